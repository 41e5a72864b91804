"""What a run cannot do. Each forbidden thing is tried from inside a real jail."""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from deskd.supervision.uids import can_map_uids
from tests.supervised import a_world, write_strategy

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

# Each attempt's outcome is printed: the value, or the error's name.
TRIES = """
import ctypes, errno, json, os, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)

def outcome(attempt):
    try:
        return attempt()
    except OSError as error:
        return errno.errorcode[error.errno]
    except (RuntimeError, MemoryError) as error:
        return type(error).__name__

def call(*arguments):
    if libc.syscall(*arguments) == -1:
        raise OSError(ctypes.get_errno(), "")
    return "allowed"

def tries(**attempts):
    print(json.dumps({name: outcome(attempt) for name, attempt in attempts.items()}))
"""


async def tried(world: Any, name: str) -> dict[str, Any]:
    """Run the strategy and return what its attempts came to."""
    await world.run(name)
    [line] = world.printed(name) or [world.log(name)]
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


async def test_a_run_sees_no_file_of_the_host_or_of_another_member(tmp_path: Path, jail_root: Path) -> None:
    """Secrets, homes, other strategies' code and state, processes: nothing of it exists in there."""
    home, prefix = Path.home(), Path(sys.base_prefix)
    the_way_to_python = {prefix.relative_to(home).parts[0]} if prefix.is_relative_to(home) else set()
    source = (
        TRIES
        + f"""
tries(
    root=lambda: sorted(os.listdir("/")),
    shadow=lambda: open("/etc/shadow").read(),
    home=lambda: sorted(os.listdir({str(home)!r})),
    processes=lambda: os.listdir("/proc"),
    strategies=lambda: os.listdir({str(tmp_path)!r}),
    jails=lambda: os.listdir({str(jail_root)!r}),
    bobs_code=lambda: os.listdir("/strategy/../bob"),
    disk=lambda: open("/dev/vda"),
    devices=lambda: sorted(os.listdir("/dev")),
    passwd=lambda: len(open("/etc/passwd").readlines()),
    state=lambda: os.listdir("/state"),
    fds=lambda: [fd for fd in range(256) if outcome(lambda: os.fstat(fd) and "open") == "open"],
    parent=lambda: (os.getpid(), os.getppid(), os.getgroups()),
)
"""
    )
    async with a_world(tmp_path, jail_root, {"alice": source, "bob": "print('bob')"}) as world:
        await world.run("bob")
        found = await tried(world, "alice")
        inside = found.pop("home")
        assert not isinstance(inside, list) or set(inside) <= the_way_to_python, inside
        root = set(found.pop("root")) - {"root", "opt", "home", "usr", "lib", "lib64"}
        assert root == {"dev", "etc", "run", "state", "strategy", "tmp", "venv"}
        assert found == {
            "shadow": "ENOENT",
            "processes": "ENOENT",
            "strategies": "ENOENT",
            "jails": "ENOENT",
            "bobs_code": "ENOENT",
            "disk": "ENOENT",
            "devices": ["null", "urandom", "zero"],
            "passwd": 1,
            "state": [],
            "fds": [0, 1, 2, 3],  # the last is the page of progress
            "parent": [
                1,
                0,
                [] if can_map_uids() else os.getgroups(),
            ],  # who has no right cannot drop groups, and says so
        }


async def test_a_run_reaches_nothing_but_its_own_order_socket(tmp_path: Path, jail_root: Path) -> None:
    """No network of any family, not even loopback; the host's abstract sockets are elsewhere."""
    host = socket.socket(socket.AF_INET)
    host.bind(("127.0.0.1", 0))
    host.listen()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0{tmp_path.name}")
    abstract.listen()
    source = (
        TRIES
        + f"""
tries(
    loopback=lambda: socket.create_connection(("127.0.0.1", {host.getsockname()[1]})),
    inet6=lambda: socket.socket(socket.AF_INET6),
    netlink=lambda: socket.socket(socket.AF_NETLINK),
    vsock=lambda: socket.socket(socket.AF_VSOCK),
    packet=lambda: socket.socket(socket.AF_PACKET),
    abstract=lambda: socket.socket(socket.AF_UNIX).connect("\\0{tmp_path.name}"),
    unlink_socket=lambda: os.unlink("/run/desk/order.sock"),
    own_socket=lambda: socket.socket(socket.AF_UNIX).bind("/run/desk/mine"),
)
"""
    )
    with host, abstract:
        async with a_world(tmp_path, jail_root, {"alice": source}) as world:
            found = await tried(world, "alice")
    assert {found.pop(name) for name in ("loopback", "inet6", "netlink", "vsock", "packet")} == {"EAFNOSUPPORT"}
    assert found == {"abstract": "ECONNREFUSED", "unlink_socket": "EROFS", "own_socket": "EROFS"}


async def test_a_run_knocks_on_its_door_as_its_own_uid(tmp_path: Path, jail_root: Path) -> None:
    """The socket is the identity: the desk sees which strategy's uid is calling, and only that one can pass."""
    source = """
        import os, socket, sys
        sys.stdin.readline()
        door = socket.socket(socket.AF_UNIX)
        door.connect(os.environ["DESK_SERVER_URL"].removeprefix("unix://"))
        door.sendall(b"hello")
    """
    async with a_world(tmp_path, jail_root, {"alice": source}) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        folder, uid = world.doors.opened[run_id]
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.setblocking(False)
            listener.bind(str(folder / "order.sock"))
            (folder / "order.sock").chmod(0o777)  # the folder alone keeps others out
            listener.listen()
            world.feed(run_id, b"go\n")
            connection, _ = await loop.sock_accept(listener)
            with connection:
                peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                assert await loop.sock_recv(connection, 5) == b"hello"
        assert int.from_bytes(peer[4:8], "little") == (os.geteuid() if uid is None else uid)  # None: all are the desk
        assert folder.stat().st_mode & 0o777 == 0o710
        await world.until_ended("alice")


async def test_a_run_changes_nothing_but_tmp_and_state(tmp_path: Path, jail_root: Path) -> None:
    """Its code, the interpreter and the system are read-only; what it may fill is bounded; nothing there executes."""
    source = (
        TRIES
        + """
def fill(path):
    with open(path, "wb") as file:
        while True: file.write(bytes(1 << 20))

def inodes():
    for number in range(10_000): open(f"/tmp/{number}", "w").close()

def script():
    with open("/state/run", "w") as file: file.write("#!/venv/bin/python3\\n")
    os.chmod("/state/run", 0o755)
    os.execv("/state/run", ["/state/run"])

tries(
    code=lambda: open("/strategy/strategy.py", "a"),
    new_code=lambda: open("/strategy/other.py", "w"),
    environment=lambda: open("/venv/runner.py", "a"),
    interpreter=lambda: open(os.path.realpath(sys.executable), "a"),
    library=lambda: open(os.path.join(os.path.dirname(json.__file__), "x.py"), "w"),
    passwd=lambda: open("/etc/passwd", "a"),
    root=lambda: open("/new", "w"),
    device=lambda: os.mknod("/tmp/vda", 0o60600, os.makedev(254, 0)),
    execute=script,
    tmp=lambda: fill("/tmp/full"),
    files=inodes,
)
"""
    )
    async with a_world(tmp_path, jail_root, {"filler": source}, sandbox={"tmp_mb": 2, "state_mb": 2}) as world:
        found = await tried(world, "filler")
    assert {found.pop(name) for name in ("code", "new_code", "environment", "passwd", "root")} <= {"EROFS", "EACCES"}
    assert found.pop("library") in ("EROFS", "EACCES")
    assert found.pop("interpreter") in ("EROFS", "EACCES", "ETXTBSY")  # it runs: told before, where it is the run's own
    assert found["device"] == "EPERM"
    assert found["execute"] == "EACCES"
    assert found["tmp"] in ("EFBIG", "ENOSPC")
    assert found["files"] == "ENOSPC"


async def test_a_run_gains_no_power_over_the_kernel_or_its_own_death(tmp_path: Path, jail_root: Path) -> None:
    """Namespaces, ptrace, keys, io_uring, its parent-death signal: refused; threads and processes are counted."""
    source = (
        TRIES
        + """
def threads():
    gate = threading.Event()
    for _ in range(200): threading.Thread(target=gate.wait, daemon=True).start()

tries(
    survive_the_desk=lambda: call(157, 1, 0, 0, 0, 0),
    namespaces=lambda: call(272, 0x10000000),
    clone3=lambda: call(435, 0, 0),
    ptrace=lambda: call(101, 16, 1, 0, 0),
    keys=lambda: call(250, 0, 0, 0),
    io_uring=lambda: call(425, 1, 0),
    bpf=lambda: call(321, 0, 0, 0),
    memfd=lambda: os.memfd_create("x"),
    be_root=lambda: os.setuid(0),
    mount=lambda: call(165, 0, 0, 0, 0, 0),
    first_in_line=lambda: os.nice(-20),
    more_files=lambda: call(302, 0, 7, ctypes.byref(ctypes.c_ulonglong(4096)), 0),
    kill_all=lambda: os.kill(-1, 9),
    threads=threads,
)
os._exit(0)
"""
    ).replace("os._exit(0)", "sys.stdout.flush(); os._exit(0)")
    async with a_world(tmp_path, jail_root, {"alice": source}, sandbox={"pids": 16}) as world:
        found = await tried(world, "alice")
    assert found.pop("clone3") == found.pop("io_uring") == "ENOSYS"
    assert found.pop("kill_all") == "ESRCH"
    assert found.pop("threads") == "RuntimeError"
    assert found.pop("first_in_line") in ("EPERM", "EACCES")
    assert set(found.values()) == {"EPERM"}, found


async def test_the_environment_is_the_contracts_and_nothing_else(tmp_path: Path, jail_root: Path) -> None:
    """No variable of the desk's own gets in, keys least of all; the member's do, and hash seeds are fixed."""
    source = 'import json, os; print(json.dumps(dict(os.environ) | {"seed": str(hash("a"))}))'
    async with a_world(tmp_path, jail_root, {}) as world:
        write_strategy(
            world.strategies_dir, "alice", source, '{"env": {"THRESHOLD": "5 %\\n\\"x\\""}, "user_id": "al"}'
        )
        first = await tried(world, "alice")
        assert first.pop("seed") == "4644417185603328019"
        assert first == {
            "THRESHOLD": '5 %\n"x"',
            "DESK_SERVER_URL": "unix:///run/desk/order.sock",
            "USER_ID": "al",
            "STRATEGY_ID": "alice",
            "PATH": "/venv/bin",
            "HOME": "/tmp",
            "TMPDIR": "/tmp",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "USER": "strategy",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "NUMEXPR_NUM_THREADS": "1",
            "POLARS_MAX_THREADS": "1",
            "RAYON_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
            "PYTHONHASHSEED": "0",
        }


async def test_a_run_cannot_touch_the_desk_through_its_progress_page(tmp_path: Path, jail_root: Path) -> None:
    """The page is sealed: its size stays, so that the desk's look at it never fails."""
    source = (
        TRIES
        + "tries(shrink=lambda: os.truncate(3, 0), grow=lambda: os.truncate(3, 1 << 20), other=lambda: os.truncate(4, 0))"
    )
    async with a_world(tmp_path, jail_root, {"alice": source}) as world:
        assert await tried(world, "alice") == {"shrink": "EPERM", "grow": "EPERM", "other": "EBADF"}
