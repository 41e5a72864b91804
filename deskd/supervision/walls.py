"""The walls of a jail, what each protects, and the probe that tells whether it stands.

Pure: `judge` compares what a jail's probes came to (sandbox/probes.py) with the one answer that is right. A probe that
gave no answer has failed: unknown means no.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

OWN, SHARED = "its own", "the desk's"  # a namespace
NOT_HERE = "not on this kernel"
OOM_SCORE = 500  # what the wrapper asks for: process.py
CPU_SHARE_MAX = 0.6  # of a core, by a quota of a quarter: kernels look ten times in a tenth of a second at the least
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8  # of statvfs
_OURS = "reinstall deskd: its nsjail, sandbox/ and configuration of jails belong together"
_DESK = "reinstall deskd: it keeps these bounds itself; see [api] and [sandbox] in desk.toml"
_UNIT = "run the desk as root, or as a user with CAP_SETUID, CAP_SETGID and CAP_CHOWN"
_DELEGATE = "give the desk's unit Delegate=cpu memory pids, or boot with the controllers enabled"


class Wall(StrEnum):
    """One thing that stands between a strategy and what is not its own."""

    SECCOMP = "seccomp"
    NETWORK = "network namespace"
    FILES = "own root"
    READ_ONLY = "read-only mounts"
    NO_EXEC = "noexec mounts"
    NO_PROC = "no /proc"
    PROCESSES = "pid namespace"
    USERS = "user namespace"
    UID = "own uid"
    GROUPS = "no groups"
    CAPABILITIES = "no capabilities"
    NO_NEW_PRIVS = "no new privileges"
    HOST_NAME = "host name"
    IPC = "ipc namespace"
    CGROUPS = "cgroup namespace"
    DESCRIPTORS = "no open files"
    ENVIRONMENT = "own environment"
    RLIMITS = "rlimits"
    TMP = "size of /tmp"
    STATE = "size of /state"
    MEMORY = "memory limit"
    PIDS = "process limit"
    CPU = "cpu limit"
    DOOR = "order socket"
    LOG = "log"


class Verdict(StrEnum):
    """What a probe found."""

    HOLDS = "holds"
    WEAKER = "weaker"  # where all strategies share the desk's uid; the start says so
    MISSING = "missing"


# What each protects, and what to do where it is missing.
WALLS: Mapping[Wall, tuple[str, str]] = {
    Wall.SECCOMP: (
        "the kernel from calls that no strategy needs, and every network from its sockets",
        f"run on a kernel with CONFIG_SECCOMP_FILTER; {_OURS}",
    ),
    Wall.NETWORK: ("the desk's keys and the machine's services from a strategy that talks to them", _OURS),
    Wall.FILES: ("the machine's files, and other members' code and state, from being read", _OURS),
    Wall.READ_ONLY: ("code, libraries and sockets from being changed", _OURS),
    Wall.NO_EXEC: ("the machine from programs and set-uid files that a strategy brings along", _OURS),
    Wall.NO_PROC: ("what other processes do, and their environments, from being read", _OURS),
    Wall.PROCESSES: ("other processes from signals, and the machine from what outlives its run", _OURS),
    Wall.USERS: ("the machine from a strategy that becomes root: it would be root of nothing", _OURS),
    Wall.UID: ("one strategy from another where both get out of their jails", _UNIT),
    Wall.GROUPS: (
        "files of the desk's groups from being read",
        f"{_UNIT}: `setpriv --clear-groups` needs CAP_SETGID",
    ),
    Wall.CAPABILITIES: ("the machine from a root's powers", _OURS),
    Wall.NO_NEW_PRIVS: ("the machine from set-uid programs", _OURS),
    Wall.HOST_NAME: ("the machine's name from being read and changed", _OURS),
    Wall.IPC: ("the machine's queues and shared memory of System V and POSIX from being found", _OURS),
    Wall.CGROUPS: ("where the desk's cgroups lie, and who else runs, from being read", _OURS),
    Wall.DESCRIPTORS: ("the ledger, sockets and other runs' pipes from being inherited", _OURS),
    Wall.ENVIRONMENT: ("the broker's keys in the desk's environment", _OURS),
    Wall.RLIMITS: (
        "the kernel's tables of files, locks, queues, signals and timers; crash handlers from a strategy's memory",
        f"set LimitCORE=1 in the desk's unit; {_OURS}",
    ),
    Wall.TMP: ("the machine's memory from files in /tmp", _OURS),
    Wall.STATE: ("the desk's disk from what a strategy keeps between runs", _OURS),
    Wall.MEMORY: ("everybody's memory from one strategy", f"{_DELEGATE}; on cgroup v1 with swap, with swapaccount=1"),
    Wall.PIDS: ("the machine from fork and thread bombs", _DELEGATE),
    Wall.CPU: ("everybody's time from one strategy", _DELEGATE),
    Wall.DOOR: ("the desk from connections, requests and bodies without end", _DESK),
    Wall.LOG: ("the desk's disk from what a strategy prints", _DESK),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How the tested jail was meant to be."""

    uid: int
    is_own: bool  # the jail's uid is the desk's own: see uids.py
    overflow_uid: int  # how a uid looks that is not mapped
    name: str
    environment: frozenset[str]
    mounts: Mapping[str, int]  # flags of statvfs that each must have
    roots: frozenset[str]  # what may lie in /
    tmp_bytes: int
    state_bytes: int
    state_files: int
    rlimits: Mapping[str, int]
    threads_max: int
    connections_max: int = 0  # of DESK_PROBES, as the next
    log_bytes_max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One probe and what it found."""

    wall: Wall
    probe: str
    result: Verdict
    found: str

    def as_dict(self) -> dict[str, str]:
        """Return it as the table and the JSON show it."""
        protects, remedy = WALLS[self.wall]
        shown = {"wall": self.wall.value, "probe": self.probe, "result": self.result.value, "found": self.found}
        return shown if self.result is Verdict.HOLDS else shown | {"protects": protects, "remedy": remedy}


type Holds = Callable[[Any, Setup], bool]


def _is(*wanted: object) -> Holds:
    return lambda got, _: got in wanted


_REFUSED_ABI: Holds = _is("refused", "signal 31", "signal 11", "signal 4", "signal 14")  # 14: it was tried for ever


def _lacking(got: Any, setup: Setup, flags: int) -> list[str]:
    """Return the mounts that have not all of those of *flags* that they are to have."""
    return [
        path
        for path, wanted in setup.mounts.items()
        if not isinstance(got.get(path), int) or got[path] & wanted & flags != wanted & flags
    ]


def _rlimits(got: Any, setup: Setup) -> bool:
    return all(0 <= got[name] <= bound for name, bound in setup.rlimits.items())


# What is tried, by its name in the report: the wall that must stop it, in words, and the answer that is right.
PROBES: Mapping[str, tuple[Wall, str, Holds]] = {
    "inet_socket": (Wall.SECCOMP, "make an Internet socket", _is("EAFNOSUPPORT")),
    "netlink_socket": (Wall.SECCOMP, "make a netlink socket", _is("EAFNOSUPPORT")),
    "vsock_socket": (Wall.SECCOMP, "make a socket to the hypervisor", _is("EAFNOSUPPORT")),
    "terminal_input": (Wall.SECCOMP, "type into the desk's terminal (TIOCSTI)", _is("EPERM")),
    "io_uring": (Wall.SECCOMP, "make an io_uring", _is("ENOSYS")),
    "clone3": (Wall.SECCOMP, "make namespaces with clone3", _is("ENOSYS")),
    "keys": (Wall.SECCOMP, "use the kernel's keyrings", _is("EPERM")),
    "bpf": (Wall.SECCOMP, "load BPF", _is("EPERM")),
    "userfaultfd": (Wall.SECCOMP, "handle page faults", _is("EPERM")),
    "memfd": (Wall.SECCOMP, "make a file that lies nowhere (memfd)", _is("EPERM")),
    "outlive_the_desk": (Wall.SECCOMP, "undo its death with the desk", _is("EPERM")),
    "new_namespaces": (Wall.SECCOMP, "make a user namespace", _is("EPERM")),
    "trace": (Wall.SECCOMP, "trace a process", _is("EPERM")),
    "filter_mode": (Wall.SECCOMP, "ask for its filter", _is(2)),
    "int_80": (Wall.SECCOMP, "make a system call of 32 bits", _REFUSED_ABI),
    "x32": (Wall.SECCOMP, "make a system call of x32", _REFUSED_ABI),
    "net_namespace": (Wall.NETWORK, "be in the desk's network", _is(OWN)),
    "loopback": (Wall.NETWORK, "have a loopback", _is("down")),
    "host_socket": (Wall.NETWORK, "connect to an abstract socket of the host", _is("ECONNREFUSED")),
    "mnt_namespace": (Wall.FILES, "see the desk's mounts", _is(OWN)),
    "root_folder": (Wall.FILES, "list /", lambda got, setup: {"tmp"} <= set(got) <= setup.roots),
    "host_files": (
        Wall.FILES,
        "find the host's files",
        lambda got, _: {"ENOENT"} <= set(got.values()) <= {"ENOENT", "EACCES"},
    ),
    "devices": (Wall.FILES, "list /dev", lambda got, _: {"null"} <= set(got) <= {"null", "zero", "urandom", "shm"}),
    "mounts_read_only": (Wall.READ_ONLY, "find a mount that can be written", _is([])),
    "write_code": (Wall.READ_ONLY, "write beside its code", _is("EROFS", "EACCES")),
    "write_socket_folder": (Wall.READ_ONLY, "write beside its order socket", _is("EROFS", "EACCES")),
    "mounts_no_exec": (Wall.NO_EXEC, "find a mount for set-uid files, devices, programs", _is([])),
    "execute_own_file": (Wall.NO_EXEC, "run a program it wrote", _is("EACCES")),
    "processes": (Wall.NO_PROC, "list /proc", _is("ENOENT")),
    "pid_namespace": (Wall.PROCESSES, "be among the desk's processes", _is(OWN)),
    "pids": (Wall.PROCESSES, "see its parent", _is([1, 0])),
    "kill_others": (Wall.PROCESSES, "signal all processes there are", _is("ESRCH")),
    "user_namespace": (Wall.USERS, "be among the desk's users", _is(OWN)),
    "owner_of_foreign_file": (
        Wall.USERS,
        "know the owner of a file of the desk's",
        lambda got, setup: got == setup.overflow_uid or (setup.is_own and got == setup.uid),
    ),
    "become_root": (Wall.USERS, "become root", _is("EPERM", "EINVAL")),
    "uid": (Wall.UID, "be somebody else", lambda got, setup: set(got[:2]) == {setup.uid}),
    "seen_uid": (Wall.UID, "knock at its order socket", lambda got, setup: got == setup.uid),
    "groups": (Wall.GROUPS, "list its groups", _is([])),
    "capabilities": (Wall.CAPABILITIES, "list its capabilities", _is([])),
    "no_new_privs": (Wall.NO_NEW_PRIVS, "ask whether it may gain privileges", _is(1)),
    "host_name": (Wall.HOST_NAME, "ask for the host's name", lambda got, setup: got == setup.name),
    "uts_namespace": (Wall.HOST_NAME, "share the host's name", _is(OWN)),
    "ipc_namespace": (Wall.IPC, "share the desk's queues and memory", _is(OWN)),
    "cgroup_namespace": (Wall.CGROUPS, "see the desk's cgroups", _is(OWN)),
    "open_fds": (Wall.DESCRIPTORS, "find open files", lambda got, _: got[:3] == [0, 1, 2] and len(got) == 4),
    "environment": (
        Wall.ENVIRONMENT,
        "read its environment",
        lambda got, setup: {"PATH"} <= set(got) <= setup.environment,
    ),
    "rlimits": (Wall.RLIMITS, "ask for its limits", _rlimits),
    "tmp_room": (Wall.TMP, "ask for the size of /tmp", lambda got, setup: 0 < got[0] <= setup.tmp_bytes and got[1] > 0),
    "tmp_filled": (Wall.TMP, "fill /tmp", _is("ENOSPC")),
    "state_filled": (Wall.STATE, "fill /state", _is("ENOSPC")),
    "state_files_made": (Wall.STATE, "fill /state with files", _is("ENOSPC")),
    "state_room": (
        Wall.STATE,
        "ask for the size of /state",
        lambda got, setup: 0 < got[0] <= setup.state_bytes and 0 < got[1] <= setup.state_files,
    ),
    "killed_for_memory": (Wall.MEMORY, "take more memory than it has", _is(True)),
    "dies_whole": (Wall.MEMORY, "live on in part where its memory ends", _is(True, NOT_HERE)),
    "spared": (Wall.MEMORY, "be spared where the machine's memory ends", lambda got, _: got >= OOM_SCORE),
    "threads": (Wall.PIDS, "start more threads than it may", lambda got, setup: 0 <= got < setup.threads_max),
    "cpu_quota": (Wall.CPU, "run without a quota of the kernel's", _is(True)),
    "cpu_share": (Wall.CPU, "work more than its quota", lambda got, _: 0 < got <= CPU_SHARE_MAX),
}
# What the desk itself bounds, tried at a door like every run's for `deskctl jail test` alone: it takes a few seconds.
DESK_PROBES: Mapping[str, tuple[Wall, str, Holds]] = {
    "body": (Wall.DOOR, "send a body over what an order takes", _is("413")),
    "half_a_request": (Wall.DOOR, "send half a request and wait", _is("408", "closed")),
    "requests": (Wall.DOOR, "ask more often than it may", _is("429")),
    "connections": (
        Wall.DOOR,
        "open more connections than it may",
        lambda got, setup: 0 < got <= setup.connections_max,
    ),
    "log_kept": (Wall.LOG, "print more than is kept", lambda got, setup: 0 < got <= setup.log_bytes_max),
    "log_dropped": (Wall.LOG, "print faster than it may", lambda got, _: got > 0),
}
# Told from the flags of all mounts.
_OF_MOUNTS = {"mounts_read_only": RDONLY, "mounts_no_exec": NOSUID | NODEV | NOEXEC}
_WEAKER_WHERE_OWN = frozenset({Wall.UID, Wall.GROUPS})
_FOUND_MAX = 100


def judge(
    report: Mapping[str, Any], setup: Setup, probes: Mapping[str, tuple[Wall, str, Holds]] = PROBES
) -> Sequence[Row]:
    """Return every probe's row; what is not in the report, or makes no sense there, has failed."""
    return [_row(name, report, setup, probes[name]) for name in probes]


def _row(name: str, report: Mapping[str, Any], setup: Setup, row: tuple[Wall, str, Holds]) -> Row:
    wall, probe, holds = row
    got = report.get(name)
    try:
        if name in _OF_MOUNTS:
            got = _lacking(report["mounts"], setup, _OF_MOUNTS[name])
        is_held = got is not None and holds(got, setup)
    except (AttributeError, KeyError, IndexError, TypeError):  # no answer of the kind that was asked for
        is_held = False
    found = "no answer" if got is None else ascii(got)[:_FOUND_MAX]
    result = Verdict.HOLDS if is_held else Verdict.MISSING
    if wall in _WEAKER_WHERE_OWN and setup.is_own and (result is Verdict.MISSING or wall is Wall.UID):
        result = Verdict.WEAKER
    return Row(wall=wall, probe=probe, result=result, found=found)


def complaint(rows: Sequence[Row]) -> str | None:
    """Return which walls are missing, what each protects and what to do, in one sentence each; None: all stand."""
    by_wall: dict[Wall, list[Row]] = {}
    for row in rows:
        if row.result is Verdict.MISSING:
            by_wall.setdefault(row.wall, []).append(row)
    sentences = []
    for wall, failed in by_wall.items():
        protects, remedy = WALLS[wall]
        tried = "; ".join(f"{row.probe}: {row.found}" for row in failed[:3])
        sentences.append(f"jails lack a wall, {wall} ({tried}), which protects {protects}: {remedy}")
    return ". ".join(sentences) or None
