"""Tries, in a jail of the desk's own, what no strategy may do; the desk judges what comes out.

It runs at every start of the desk and for `deskctl jail test`: as `/strategy/strategy.py`, like any strategy. It knocks at
its order socket, says that it is up, and waits while the desk looks at it from outside. Then one line of standard input
says what to look for; one line of standard output says what each try came to: the error's name, or what was got. At the
next line it works as much as it can, and says how much that was; at the last it takes memory until it is killed.
`deskd/supervision/walls.py` has the answers that are right.

What could change the process for the tries after it comes last: where a wall is missing, all of this succeeds.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import errno
import functools
import json
import mmap
import os
import resource
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS_TRIED = 48
MEMORY_TRIED_MB = 256
FDS_TRIED = 64
CAPABILITIES = 41
LIMITS = ("CORE", "FSIZE", "MEMLOCK", "NOFILE", "NPROC", "RTPRIO", "MSGQUEUE", "STACK", "SIGPENDING")
FILLED_MB = 6  # of a folder that has room for two
FILES_TRIED = 128  # in one that has room for 64
WORKS_S, WORKS_MOST_S = 0.025, 1.0
FOREIGN_S = 0.3  # User Mode Linux has no 32-bit entry, and tries for ever
INT_80 = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (getpid of i386); int 0x80; ret
X32_GETPID = 0x40000000 | 39

libc = ctypes.CDLL(None, use_errno=True)


def outcome(attempt: Callable[[], Any]) -> Any:
    """Return what the attempt got, "allowed" where that is nothing, or the name of the error that stopped it."""
    try:
        got = attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except (RuntimeError, MemoryError) as error:
        return type(error).__name__
    return "allowed" if got is None else got


def call(*arguments: Any) -> str:
    """Make a system call by its number on x86-64."""
    if libc.syscall(*arguments) == -1:
        raise OSError(ctypes.get_errno(), "")
    return "allowed"


def room(path: str) -> list[int]:
    """Return how many bytes and files fit."""
    of = os.statvfs(path)
    return [of.f_blocks * of.f_frsize, of.f_files]


def found(path: str) -> str:
    """Look at a file."""
    os.stat(path)
    return "there"


def flags(path: str) -> int:
    """Return how the path's file system is mounted."""
    return os.statvfs(path).f_flag


def a_socket(family: int, kind: int = socket.SOCK_STREAM) -> str:
    """Make a socket of that family."""
    socket.socket(family, kind).close()
    return "allowed"


def reach(address: str) -> str:
    """Connect to a Unix socket."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(address)
    return "allowed"


def write(path: str) -> str:
    """Make a file."""
    with open(path, "w") as file:
        file.write("x")
    return "allowed"


def execute(path: str) -> str:
    """Run a program that we wrote ourselves."""
    with open(path, "w") as file:
        file.write("#!/venv/bin/python3\n")
    os.chmod(path, 0o700)
    os.waitpid(os.posix_spawn(path, [path], {}), 0)
    return "allowed"


def capabilities() -> list[int]:
    """Return those that we hold or could ever hold; the last number is the kernel's word for `permitted`."""
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, data)
    return [*(n for n in range(CAPABILITIES) if libc.prctl(23, n, 0, 0, 0) == 1), *(word for word in data if word)]


def open_fds() -> list[int]:
    """Return what was handed to us open."""
    return [fd for fd in range(FDS_TRIED) if outcome(functools.partial(os.fstat, fd)) != "EBADF"]


def threads() -> int:
    """Return how many threads could be started."""
    gate = _thread.allocate_lock()
    gate.acquire()
    for count in range(THREADS_TRIED):
        try:
            _thread.start_new_thread(gate.acquire, ())
        except RuntimeError:  # noqa: PERF203  it ends the loop
            return count
    return THREADS_TRIED


def fill(folder: str) -> str:
    """Write into one file after another, for each has a bound of its own; leave none behind."""
    with emptied(folder):
        for number in range(FILLED_MB):
            with open(f"{folder}/filled{number}", "wb", buffering=0) as file:
                file.writelines([bytes(1 << 16)] * 16)
    return "allowed"


def make_files(folder: str) -> str:
    """Make empty files; leave none behind."""
    with emptied(folder):
        for number in range(FILES_TRIED):
            os.close(os.open(f"{folder}/empty{number}", os.O_CREAT | os.O_WRONLY))
    return "allowed"


@contextlib.contextmanager
def emptied(folder: str) -> Iterator[None]:
    """Remove all files that lie there afterwards: they are memory, and others want the room."""
    try:
        yield
    finally:
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")


def by_machine_code() -> int:
    """Ask for our number by a system call of 32 bits."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(INT_80)
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())


def in_a_child(asks_for_its_number: Callable[[], int]) -> str:
    """Return whether a child got its own number that way; some kernels end who tries."""
    pid = os.fork()
    if pid == 0:
        signal.setitimer(signal.ITIMER_REAL, FOREIGN_S)
        os._exit(asks_for_its_number() == os.getpid())
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {0: "refused", 1: "served"}.get(status, f"signal {-status}")


def work() -> dict[str, float]:
    """Work for a moment, and return how much of a core that was.

    On a busy machine, or by a clock that only ticks, none may have been told yet: it works on until some has.
    """
    began, before = time.monotonic(), time.thread_time()
    took = used = 0.0
    while took < WORKS_S or (not used and took < WORKS_MOST_S):
        took, used = time.monotonic() - began, time.thread_time() - before
    return {"share": round(used / took, 3)}


def report(look_for: dict[str, Any]) -> dict[str, Any]:
    """Make every try, the harmless ones first."""
    paths = {path: outcome(functools.partial(flags, path)) for path in look_for["paths"]}
    tried: dict[str, Any] = {
        "open_fds": open_fds(),
        "environment": sorted(os.environ),
        "root_folder": sorted(os.listdir("/")),
        "devices": sorted(os.listdir("/dev")),
        "host_files": {path: outcome(functools.partial(found, path)) for path in look_for["secrets"]},
        "processes": outcome(lambda: len(os.listdir("/proc"))),
        "mounts": paths,
        "tmp_room": room("/tmp"),
        "state_room": room("/state"),
        "pids": [os.getpid(), os.getppid()],
        "kill_others": outcome(lambda: os.kill(-1, 0)),
        "uid": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
        "groups": os.getgroups(),
        "owner_of_foreign_file": os.stat("/venv").st_uid,
        "host_name": socket.gethostname(),
        "capabilities": capabilities(),
        "no_new_privs": libc.prctl(39, 0, 0, 0, 0),
        "filter_mode": libc.prctl(21, 0, 0, 0, 0),
        "rlimits": {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1] for name in LIMITS},
        "host_socket": outcome(lambda: reach("\0" + look_for["abstract"])),
        "write_code": outcome(lambda: write("/strategy/new.py")),
        "write_socket_folder": outcome(lambda: write("/run/desk/new")),
        "execute_own_file": outcome(lambda: execute("/tmp/program")),
        "int_80": in_a_child(by_machine_code),
        "x32": in_a_child(lambda: int(libc.syscall(X32_GETPID))),
        "tmp_filled": outcome(lambda: fill("/tmp")),
        "state_filled": outcome(lambda: fill("/state")),
        "state_files_made": outcome(lambda: make_files("/state")),
        "inet_socket": outcome(lambda: a_socket(socket.AF_INET)),
        "netlink_socket": outcome(lambda: a_socket(socket.AF_NETLINK, socket.SOCK_RAW)),
        "vsock_socket": outcome(lambda: a_socket(socket.AF_VSOCK)),
        "terminal_input": outcome(lambda: call(16, 0, 0x5412, ctypes.byref(ctypes.c_char(b"x")))),
        "io_uring": outcome(lambda: call(425, 1, 0)),
        "clone3": outcome(lambda: call(435, 0, 0)),
        "keys": outcome(lambda: call(250, 0, -3, 0, 0, 0)),
        "bpf": outcome(lambda: call(321, 0, 0, 0)),
        "userfaultfd": outcome(lambda: call(323, 0)),
        "memfd": outcome(lambda: os.close(os.memfd_create("x"))),
        "outlive_the_desk": outcome(lambda: call(157, 1, 0, 0, 0, 0)),
        "new_namespaces": outcome(lambda: call(272, 0x10000000)),
        "trace": outcome(lambda: call(101, 0, 0, 0, 0)),
        "become_root": outcome(lambda: os.setuid(0)),
    }
    return tried | {"threads": threads()}


def take_memory() -> None:
    """Fill memory until the kernel ends us."""
    kept = [b"x" * (1 << 20 | number) for number in range(MEMORY_TRIED_MB)]
    assert kept


def main() -> None:
    """Do as the desk says, line by line, and run into the last wall."""
    outcome(lambda: reach("/run/desk/order.sock"))
    print("up", flush=True)
    print(json.dumps(report(json.loads(sys.stdin.readline()))), flush=True)
    sys.stdin.readline()
    print(json.dumps(work()), flush=True)
    sys.stdin.readline()
    take_memory()
    print("memory is not bounded", flush=True)


if __name__ == "__main__":
    main()
