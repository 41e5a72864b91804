"""What a run can take of the kernel is bounded, the host and a victim beside it feel nothing, and all is given back.

Each kind of thing is taken until the kernel says no, and held. What says no is the second column of TAKES.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from deskd.domain.ids import RunId
from deskd.supervision.process import SIGNALS_PENDING
from tests.hang import HANG_S
from tests.supervised import World, a_world

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

MEMORY_MB, PIDS, OPEN_FILES = 96, 24, 128
VICTIM_S = 2.0  # for a line there and back, on a machine that others use, too
SLACK_KB = 32_768  # the host's slab, from which others take and to which they give
TAKER = """
import array, ctypes, errno, fcntl, json, os, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
held = []
def call(*arguments):
    if (result := libc.syscall(*arguments)) == -1:
        raise OSError(ctypes.get_errno(), "")
    return result
def filled(writer):
    os.set_blocking(writer, False)
    try:
        while True: os.write(writer, b"x" * 4096)
    except BlockingIOError: pass
def pipe():
    reader, writer = os.pipe()
    held.append((reader, writer)); filled(writer)
def pair():
    one, other = socket.socketpair()
    held.append((one, other)); filled(one.fileno())
def in_flight():
    if not held:
        held.append(socket.socketpair()); held[0][0].setblocking(False)
    try: socket.send_fds(held[0][0], [b"x"], [0] * 100)
    except BlockingIOError: raise OSError(errno.EMFILE, "") from None
def timer():
    call(222, 1, None, ctypes.byref(ctypes.c_int()))
def queued():
    signal.pthread_sigmask(signal.SIG_BLOCK, [40])
    about = (ctypes.c_char * 128)(); struct.pack_into("iii", about, 0, 40, 0, -1)
    call(129, os.getpid(), 40, about)
def child():
    if (pid := os.fork()) == 0:
        while True: signal.pause()
    held.append(pid)
def thread():
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
def file(folder):
    descriptor = os.open(f"{folder}/{len(held)}", os.O_CREAT | os.O_WRONLY)
    held.append(None); os.close(descriptor)
def lock():
    if not held: held.append(os.open("/tmp/locked", os.O_RDWR | os.O_CREAT))
    held.append(None); fcntl.lockf(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 2 * len(held))
def family():
    if (pid := os.fork()) == 0:
        try:
            while True: pipe()
        except OSError: pass
        while True: signal.pause()
    held.append(pid)
taken, why = 0, None
try:
    while taken < 200_000:
        TAKE
        taken += 1
except (OSError, MemoryError, RuntimeError) as error:
    why = errno.errorcode[error.errno] if isinstance(error, OSError) else type(error).__name__
print(json.dumps([taken, why]))
sys.stdin.read()
"""
# name: what takes one, what the kernel says in the end, and how many there can be
TAKES: dict[str, tuple[str, str | None, int]] = {
    "descriptors": ('held.append(os.open("/dev/null", 0))', "EMFILE", OPEN_FILES),  # rlimit_nofile
    "pipes": ("pipe()", "EMFILE", OPEN_FILES),
    "sockets": ("pair()", "EMFILE", OPEN_FILES),
    "descriptors_in_flight": ("in_flight()", "ETOOMANYREFS", OPEN_FILES),  # of the uid, against rlimit_nofile
    "epolls": ("held.append(call(291, 0))", "EMFILE", OPEN_FILES),
    "timer_descriptors": ("held.append(call(283, 1, 0))", "EMFILE", OPEN_FILES),
    "timers": ("timer()", "EAGAIN", SIGNALS_PENDING),  # the cgroup counts their memory, too
    "queued_signals": ("queued()", "EAGAIN", SIGNALS_PENDING),
    "processes": ("child()", "EAGAIN", PIDS),  # pids.max
    "threads": ("thread()", "RuntimeError", PIDS),
    "files_in_tmp": ('file("/tmp")', "ENOSPC", 4_096),  # nr_inodes of the tmpfs
    "files_in_state": ('file("/state")', "ENOSPC", 4_097),
    "locks": ("lock()", None, 200_000),  # seccomp grants them and the kernel keeps none: no cgroup counts them
    "keys": ('call(248, b"user", b"x", b"y", 1, -3)', "EPERM", 0),  # seccomp, as all below
    "keyrings": ("call(250, 1, 0)", "EPERM", 0),
    "requested_keys": ('call(249, b"user", b"x", None, -3)', "EPERM", 0),
    "watches": ("call(294, 0)", "EPERM", 0),
    "anonymous_files": ('call(319, b"x", 0)', "EPERM", 0),
    "queues": ('call(240, b"/q", 0o102, 0o600, None)', "EPERM", 0),
    "shared_memory": ("call(29, 1, 4096, 0o1600)", "EPERM", 0),
    "namespaces": ("call(272, 0x40000000)", "EPERM", 0),
    "rings": ("call(425, 8, None)", "ENOSYS", 0),
    "terminals": ("held.append(os.openpty())", "ENOENT", 0),  # no /dev/ptmx
}
VICTIM = """
import sys
for line in sys.stdin: print("had", line.strip())
"""

RETRIES = 2


@dataclass(frozen=True, slots=True)
class Host:
    """What the whole machine has in use. Others use it, too."""

    open_files: int
    slab_kb: int
    terminals: int
    unix_sockets: int
    keys: int  # of the run's uid

    @classmethod
    def now(cls, uid: int) -> "Host":
        memory = dict(re.findall(r"(\w+):\s+(\d+)", Path("/proc/meminfo").read_text()))
        users = [line.split() for line in Path("/proc/key-users").read_text().splitlines()]
        return cls(
            open_files=int(Path("/proc/sys/fs/file-nr").read_text().split()[0]),
            slab_kb=int(memory["SUnreclaim"]),
            terminals=int(Path("/proc/sys/kernel/pty/nr").read_text()),
            unix_sockets=len(Path("/proc/net/unix").read_text().splitlines()),
            keys=sum(int(row[1]) for row in users if row[0] == f"{uid}:"),
        )


async def holding(world: World, name: str) -> None:
    """Start it, and return when it has said what it holds, or has ended."""
    told = len(world.printed(name)) + len(world.ends(name))
    await world.start(name)
    async with asyncio.timeout(HANG_S):
        while len(world.printed(name)) + len(world.ends(name)) == told:  # noqa: ASYNC110  a file tells nobody
            await asyncio.sleep(0.01)


async def a_line_there_and_back(world: World, victim: RunId, text: str) -> float:
    began = time.monotonic()
    world.feed(victim, f"{text}\n".encode())
    await world.until_printed("victim", f"had {text}")
    return time.monotonic() - began


async def taken(world: World, victim: RunId, name: str, jail_root: Path) -> tuple[list[str], list[str]]:
    """Let a run take all that it can get, and end it; return what was wrong of its own, and of the whole machine's counts."""
    _, said, most = TAKES[name]
    wrong, shared = list[str](), list[str]()
    before = Host.now(_uid(jail_root, name))
    await holding(world, name)
    if await a_line_there_and_back(world, victim, f"{name} {len(world.log('victim'))}") > VICTIM_S:
        wrong.append(f"{name}: the victim had its line late")
    held = Host.now(_uid(jail_root, name))
    live = world.live(name)
    charged_kb = (live.memory_bytes or 0) // 1024 if live is not None else 0
    await world.stop(name)
    after = Host.now(_uid(jail_root, name))
    answer = json.loads((world.printed(name) or ["[-1, null]"])[-1])
    if not 0 <= answer[0] <= most or answer[1] != said:
        wrong.append(f"{name}: {answer}, expected {said} within {most}")
    if held.slab_kb - before.slab_kb > charged_kb + SLACK_KB:
        shared.append(f"{name}: {held.slab_kb - before.slab_kb} kB of the kernel, {charged_kb} kB counted")
    if held.keys > max(before.keys, 1) or after.keys > before.keys:  # a session's keyring is one
        wrong.append(f"{name}: keys {before.keys}, {held.keys}, {after.keys}")
    if held.terminals > before.terminals:
        shared.append(f"{name}: {before} became {held}")
    if after.unix_sockets - before.unix_sockets > OPEN_FILES // 2:
        shared.append(f"{name}: {before} stayed {after}")
    return wrong, shared


async def test_whatever_a_run_takes_is_bounded_and_given_back(tmp_path: Path, jail_root: Path) -> None:
    """The kernel says no in time, the victim has its lines, and the host has everything again."""
    takers = {name: TAKER.replace("TAKE", take) for name, (take, _, _) in TAKES.items()}
    sandbox = {"memory_mb": MEMORY_MB, "pids": PIDS, "open_files": OPEN_FILES}
    wrong: list[str] = []
    async with a_world(tmp_path, jail_root, takers | {"victim": VICTIM}, sandbox=sandbox) as world:
        await world.start("victim")
        victim = await world.until_fed("victim")
        await world.until(lambda: world.status("victim") == "running")
        for name in TAKES:
            own, shared = await taken(world, victim, name, jail_root)
            wrong += own
            for _ in range(
                RETRIES
            ):  # of what is the whole machine's alone: another test's desk may have come meanwhile
                if shared:
                    own, shared = await taken(world, victim, name, jail_root)
                    wrong += own
            wrong += shared
        groups = world.supervisor.launcher.groups.folders
        left = [path for folder in groups for path in folder.glob("*/") if not path.name.startswith("victim")]
        assert left == []
    assert wrong == []


async def test_a_family_of_takers_is_bounded_together(tmp_path: Path, jail_root: Path) -> None:
    """Limits of one process times processes: what all of them hold is in the run's memory, or it dies of it."""
    takers = {"alice": TAKER.replace("TAKE", "family()"), "victim": VICTIM}
    sandbox = {"memory_mb": 32, "pids": PIDS, "open_files": OPEN_FILES}
    async with a_world(tmp_path, jail_root, takers, sandbox=sandbox) as world:
        await world.start("victim")
        victim = await world.until_fed("victim")
        before = Host.now(0).open_files
        await holding(world, "alice")
        assert await a_line_there_and_back(world, victim, "x") < VICTIM_S
        live = world.live("alice")
        assert live is None or (live.memory_bytes or 0) <= 32 << 20
        assert Host.now(0).open_files - before <= PIDS * OPEN_FILES + 1_000  # others open files, too
        await world.stop("alice")
        async with asyncio.timeout(HANG_S):
            while Host.now(0).open_files - before > 1_000:  # noqa: ASYNC110  the kernel frees them a little later
                await asyncio.sleep(0.05)


async def test_a_database_in_state_works_without_locks(tmp_path: Path, jail_root: Path) -> None:
    """Byte-range locks are granted, not kept: one process with SQLite does not notice."""
    source = """
        import sqlite3
        for mode in ("delete", "wal"):
            with sqlite3.connect(f"/state/{mode}.db") as base:
                base.execute(f"pragma journal_mode={mode}")
                base.execute("create table t (x)")
                base.execute("insert into t values (1)")
            base.close()
            print(sqlite3.connect(f"/state/{mode}.db").execute("select x from t").fetchall())
    """
    async with a_world(tmp_path, jail_root, {"banker": source}) as world:
        await world.run("banker")
        assert world.printed("banker") == ["[(1,)]", "[(1,)]"], world.log("banker")


def _uid(jail_root: Path, name: str) -> int:
    known = json.loads((jail_root / "uids.json").read_text())
    return int(known.get(name, -1))  # none yet
