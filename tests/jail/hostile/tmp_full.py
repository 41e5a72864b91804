import os
from tries import tries


def fill():
    for number in range(100):
        with open(f"/tmp/big{number}", "wb") as file:
            file.write(bytes(1 << 20))


def one():
    os.truncate(os.open("/tmp/sparse", os.O_CREAT | os.O_RDWR), 1 << 40)


def inodes():
    for number in range(10_000):
        open(f"/tmp/{number}", "w").close()


def deep():
    for _ in range(6_000):
        os.mkdir("d")
        os.chdir("d")


os.chdir("/tmp")
tries(sparse=one, deep=deep, files=inodes, bytes=fill)
