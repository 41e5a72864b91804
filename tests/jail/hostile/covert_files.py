import os
from tries import tries

tries(
    shm=lambda: open("/dev/shm/x", "w"),
    tmp_of_others=lambda: sorted(set(os.listdir("/tmp"))),
    venv=lambda: open("/venv/x", "w"),
    door=lambda: open("/run/desk/x", "w"),
    atime=lambda: os.utime("/venv/runner.pyc", (1, 1)),
    lease=lambda: __import__("fcntl").fcntl(os.open("/venv/runner.pyc", 0), 1024, 1),
    write_lock=lambda: __import__("fcntl").lockf(os.open("/venv/runner.pyc", 0), 2 | 4),
    queue=lambda: __import__("tries").call(240, b"/x", 0o102, 0o600, 0),
    key=lambda: __import__("tries").call(248, b"user", b"x", b"y", 1, -4),
    notify=lambda: __import__("tries").call(254, 3, b"/venv", 1),
)
