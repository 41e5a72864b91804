import os, stat
from tries import tries


def suid():
    open("/state/suid", "w").close()
    os.chmod("/state/suid", 0o6755)
    return "made"


def link():
    os.symlink("/etc/shadow", "/state/shadow")
    return open("/state/shadow").read()


tries(
    symlink=link,
    hardlink=lambda: os.link("/strategy/strategy.py", "/state/x"),
    libc=lambda: os.link("/etc/passwd", "/tmp/passwd"),
    node=lambda: os.mknod("/state/vda", 0o60600, os.makedev(254, 0)),
    char=lambda: os.mknod("/tmp/mem", 0o20600, os.makedev(1, 1)),
    fifo=lambda: os.mkfifo("/state/fifo"),
    suid=suid,
    owner=lambda: os.chown("/state", 0, 0),
    run_suid=lambda: os.execv("/state/suid", ["x"]),
)
