import ctypes, mmap, os, signal
from tries import call, in_child, report


def machine_code(code):
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(code)
    signal.alarm(3)  # User Mode Linux has no 32-bit entry, and tries for ever
    got = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return "served" if got == os.getpid() else "another"


int80 = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (getpid of i386); int 0x80; ret
sysenter = bytes.fromhex("b8140000000f34c3")
far_jump = bytes.fromhex("6a23488d050400000050 48cb c3".replace(" ", ""))  # to a 32-bit code segment
report(
    int80=in_child(lambda: machine_code(int80)),
    sysenter=in_child(lambda: machine_code(sysenter)),
    compat=in_child(lambda: machine_code(far_jump)),
    x32_getpid=in_child(lambda: call(0x40000000 | 39)),  # a unit with SystemCallArchitectures=native ends who tries
    x32_execve=in_child(lambda: call(0x40000000 | 520, 0, 0, 0)),
    x32_socket=in_child(lambda: call(0x40000000 | 41, 2, 1, 0)),
)
