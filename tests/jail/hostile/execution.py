import ctypes, mmap, os
from tries import call, libc, outcome, tries


def script(folder):
    path = f"{folder}/program"
    with open(path, "w") as file:
        file.write("#!/venv/bin/python3\n")
    os.chmod(path, 0o755)
    os.execv(path, [path])


def loader(folder):
    with open("/lib/x86_64-linux-gnu/libc.so.6", "rb") as file, open(f"{folder}/lib.so", "wb") as copy:
        copy.write(file.read())
    ctypes.CDLL(f"{folder}/lib.so")
    return "loaded"


def mapped(folder):
    with open(f"{folder}/code", "wb+") as file:
        file.write(b"\xc3" * 4096)
        file.flush()
        mmap.mmap(file.fileno(), 4096, prot=5)
    return "mapped"


tries(
    tmp=lambda: script("/tmp"),
    state=lambda: script("/state"),
    ld_so=lambda: loader("/tmp"),
    ld_so_state=lambda: loader("/state"),
    map=lambda: mapped("/tmp"),
    memfd=lambda: os.memfd_create("x"),
    shell=lambda: os.execv("/bin/sh", ["sh"]),
    fd_exec=lambda: call(322, os.open("/tmp/program", os.O_RDONLY), b"", 0, 0, 0x1000),
)
