import errno
import fcntl
import os
import struct

from tries import tries

LOCK = "hhqqi4x"
READ, WRITE, NONE = 0, 1, 2


def lock():
    """Leave a lock that another could see: it is granted, and nobody can see it."""
    one, other = os.open("/venv/runner.pyc", 0), os.open("/venv/runner.pyc", 0)
    fcntl.fcntl(one, 37, struct.pack(LOCK, READ, 0, 0, 0, 0))  # F_OFD_SETLK
    seen = fcntl.fcntl(other, 36, struct.pack(LOCK, WRITE, 0, 0, 0, 0))  # F_OFD_GETLK
    if struct.unpack(LOCK, seen)[0] == NONE:
        raise OSError(errno.ENOLCK, "")
    return "allowed"


tries(
    shm=lambda: open("/dev/shm/x", "w"),
    tmp_of_others=lambda: sorted(set(os.listdir("/tmp"))),
    venv=lambda: open("/venv/x", "w"),
    door=lambda: open("/run/desk/x", "w"),
    atime=lambda: os.utime("/venv/runner.pyc", (1, 1)),
    lease=lambda: fcntl.fcntl(os.open("/venv/runner.pyc", 0), 1024, fcntl.F_RDLCK),
    lease_alone=lambda: fcntl.fcntl(os.open("/venv/runner.pyc", 0), 1024, fcntl.F_WRLCK),
    lease_of_own=lambda: fcntl.fcntl(os.open("/state/x", os.O_CREAT | os.O_RDWR), 1024, fcntl.F_WRLCK),
    change_signal=lambda: fcntl.fcntl(os.open("/state", 0), 1026, 1),  # F_NOTIFY
    lock=lock,
    queue=lambda: __import__("tries").call(240, b"/x", 0o102, 0o600, 0),
    key=lambda: __import__("tries").call(248, b"user", b"x", b"y", 1, -4),
    notify=lambda: __import__("tries").call(254, 3, b"/venv", 1),
)
