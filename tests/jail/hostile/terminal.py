import ctypes, fcntl, os
from tries import call, tries

byte = ctypes.byref(ctypes.c_char(b"x"))
tries(
    tiocsti=lambda: call(16, 0, 0x5412, byte),
    tiocsti_high=lambda: call(16, 0, 0x100005412, byte),
    tioclinux=lambda: call(16, 0, 0x541C, byte),
    tioccons=lambda: call(16, 0, 0x541D, byte),
    tty=lambda: open("/dev/tty"),
    reopen=lambda: open("/dev/stdout", "w"),
    write_stdin=lambda: os.write(0, b"x"),
    pipe_size=lambda: fcntl.fcntl(1, 1031, 1 << 20),
    controlling=lambda: call(16, 0, 0x540E, 1),
)
