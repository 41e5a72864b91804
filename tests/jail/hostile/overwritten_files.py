import os, sys, json, ctypes.util
from tries import tries

libc = "/lib/x86_64-linux-gnu/libc.so.6"
tries(
    code=lambda: open("/strategy/strategy.py", "a"),
    chmod=lambda: os.chmod("/strategy/strategy.py", 0o777),
    unlink=lambda: os.unlink("/strategy/strategy.py"),
    new=lambda: open("/strategy/x", "w"),
    venv=lambda: open("/venv/runner.pyc", "r+"),
    library=lambda: open(json.__file__, "r+"),
    binary=lambda: open(os.path.realpath(sys.executable), "r+"),
    libc=lambda: open(libc, "r+"),
    passwd=lambda: open("/etc/passwd", "w"),
    root=lambda: os.mkdir("/new"),
    rename=lambda: os.rename("/venv", "/venv2"),
    socket=lambda: os.unlink("/run/desk/order.sock"),
    socket_mode=lambda: os.chmod("/run/desk/order.sock", 0o777),
    in_door=lambda: os.symlink("/etc", "/run/desk/x"),
    door_bind=lambda: __import__("socket").socket(1).bind("/run/desk/mine.sock"),
    times=lambda: os.utime("/venv/runner.pyc"),
    truncate=lambda: os.truncate("/strategy/strategy.py", 0),
    null=lambda: os.unlink("/dev/null"),
    attribute=lambda: os.setxattr("/state", "user.x", b"1"),
)
