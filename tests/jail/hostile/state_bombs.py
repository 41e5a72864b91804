import os
import socket
from tries import outcome, report

os.chdir("/state")


def sparse():
    for number in range(40):
        with open(f"sparse{number}", "wb") as file:
            file.truncate(8 << 20)
            file.seek((8 << 20) - 1)
            file.write(b"x")


def deep():
    for _ in range(50):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    os.chdir("/state")


def hard():
    open("one", "w").close()
    for number in range(60):
        os.link("one", f"link{number}")


def odd():
    os.mkfifo("fifo")
    socket.socket(socket.AF_UNIX).bind("/state/sock")
    os.symlink("x" * 4000, "long")
    os.symlink("/proc/self/fd/0", "self")
    os.symlink(".", "loop")
    os.utime("one", (1 << 33, -1 << 33))
    os.mkdir("shut", 0)
    os.chmod("one", 0o7777)
    os.chmod("/state", 0)


report(sparse=outcome(sparse), hard=outcome(hard), deep=outcome(deep), odd=outcome(odd))
