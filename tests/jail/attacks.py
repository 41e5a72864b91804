"""The attack corpus: what each hostile script tries, which wall must hold it, and what the attacker must see.

One row is one script, `hostile/NAME.py`, run in a real jail beside a victim (test_attacks.py). The reference in
docs/reference/jail.md is made from this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deskd.domain.run import ExitReason

CLEAN, ERROR, STOPPED = ExitReason.CLEAN, ExitReason.ERROR, ExitReason.STOPPED
OOM, PIDS, SIGNAL, FLOOD = ExitReason.OOM, ExitReason.PIDS_LIMIT, ExitReason.SIGNAL, ExitReason.LOG_FLOOD

NO_FILE = frozenset({"ENOENT", "EACCES", "ENOTDIR"})
READ_ONLY = frozenset({"EROFS", "EACCES", "EPERM"})
DENIED = frozenset({"EPERM", "ENOSYS"})
REFUSED = frozenset({"400", "400 400", "431", "413", "405", "404", "408", "closed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One hostile script and what must come of it."""

    name: str  # of the script
    tries: str  # in words
    wall: str  # what holds it
    rows: tuple[int, ...] = ()  # of SANDBOX.md, section 7
    sees_all: frozenset[Any] | None = None  # every try that is not in `sees` comes to one of these
    sees: Mapping[str, frozenset[Any] | Any] = field(default_factory=dict)  # what that try comes to
    ends: frozenset[ExitReason] = frozenset({CLEAN})
    holds: bool = False  # it stays until it is stopped
    burst: int = 0  # lines that the market sends meanwhile, more than its pipe and its buffer hold
    uses_s: float = 0.0  # of the CPU, before it is stopped
    says: tuple[str, ...] = ()  # what must stand in its log
    one_uid: Mapping[str, Any] = field(default_factory=dict)  # what else may come of a try where all are the desk's uid


def _holding(*more: ExitReason) -> frozenset[ExitReason]:
    return frozenset({STOPPED, *more})


ATTACKS = (
    # --- files, members, environment ----------------------------------------------------------------------------
    Attack(
        name="files_of_the_host",
        rows=(1,),
        tries="find passwords, keys, logs, disks, the ledger, the jail folder",
        wall="own root: a tmpfs with read-only binds",
        sees_all=NO_FILE,
    ),
    Attack(
        name="other_members",
        rows=(4, 5),
        tries="reach another strategy's code, state and order socket",
        wall="own root; the socket's folder, and one uid per strategy",
        sees_all=NO_FILE,
        one_uid={"list": "order.sock"},  # its own
    ),
    Attack(
        name="environment",
        rows=(2, 40),
        tries="find the desk's variables, and a folder of sys.path to write to",
        wall="own environment; -P -s, read-only binds",
        sees={
            "names": [
                "DESK_SERVER_URL",
                "HOME",
                "LANG",
                "MALLOC_ARENA_MAX",
                "MKL_NUM_THREADS",
                "NUMEXPR_NUM_THREADS",
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "PATH",
                "POLARS_MAX_THREADS",
                "PYTHONHASHSEED",
                "RAYON_NUM_THREADS",
                "STRATEGY_ID",
                "TMPDIR",
                "TZ",
                "USER",
                "USER_ID",
            ],
            "parent": 0,
            "argv": ["/strategy/strategy.py"],
            "writable": [],
            "site": [],
        },
    ),
    Attack(
        name="python_tricks",
        rows=(40,),
        tries="preload libraries, change the runner, inject into the interpreter",
        wall="noexec /tmp, read-only binds: what it does to itself stays in its jail",
        sees={
            "runner": READ_ONLY,
            "trace": "allowed",  # of itself alone
            "preload": 0,
            "audit": 0,
            "inject": frozenset({"absent", "EPERM", "ENOENT", "RuntimeError"}),
        },
    ),
    Attack(
        name="overwritten_files",
        rows=(22, 23),
        tries="write, chmod, unlink, rename code, venv, interpreter, libc, passwd and the order socket",
        wall="read-only binds",
        sees_all=READ_ONLY,
        sees={"null": frozenset({"EROFS", "EACCES", "EBUSY"}), "rename": frozenset({"EROFS", "EACCES", "EBUSY"})},
        one_uid={"binary": "ETXTBSY"},  # its owner's answer while it runs, before that of the mount
    ),
    Attack(
        name="links_and_nodes",
        rows=(24, 25),
        tries="symlinks to secrets, hard links, device nodes, fifos, set-uid files in /state",
        wall="own root, seccomp (mknod, chown), nosuid; the desk follows no link in /state",
        sees_all=frozenset({"EPERM", "EXDEV", "ENOENT", "EACCES", "EROFS"}),
        sees={"suid": frozenset({"made", "EPERM"})},
    ),
    Attack(
        name="become_root",
        rows=(26,),
        tries="setuid, capset, su and sudo",
        wall="seccomp, no new privileges, user namespace",
        sees_all=frozenset({"EPERM", "ENOENT"}),
        sees={"who": False},
    ),
    Attack(
        name="execution",
        rows=(35,),
        tries="run its own programs, libraries and memfds, and a shell",
        wall="noexec mounts, seccomp; there is no shell",
        sees_all=frozenset({"EACCES", "EPERM", "ENOENT", "OSError"}),
    ),
    # --- the kernel ---------------------------------------------------------------------------------------------
    Attack(
        name="processes",
        rows=(3, 10),
        tries="see, signal and reprioritise other processes; read /proc",
        wall="pid namespace, no /proc",
        sees_all=frozenset({"ESRCH", "ENOENT", "EPERM", "EACCES"}),
        sees={"others": 0, "parent": 0, "priority": frozenset({"allowed", "ESRCH", "EPERM", "EACCES"})},
    ),
    Attack(
        name="network",
        rows=(6, 7),
        tries="the host's abstract sockets, loopback, metadata service, DNS, interfaces",
        wall="network namespace; seccomp: no socket but AF_UNIX",
        sees_all=frozenset({"EAFNOSUPPORT", "ECONNREFUSED", "ENOENT", "gaierror", "EPERM"}),
    ),
    Attack(
        name="families",
        rows=(8,),
        tries="sockets of all 46 other families, of four kinds",
        wall="seccomp",
        sees_all=frozenset({"EAFNOSUPPORT"}),
        sees={"sockets": ["EAFNOSUPPORT"]},
    ),
    Attack(name="tracing", rows=(9,), tries="ptrace, process_vm_*, kcmp, pidfd_getfd", wall="seccomp", sees_all=DENIED),
    Attack(
        name="mounts",
        rows=(27,),
        tries="mount, remount, umount, pivot_root, chroot and the new mount calls",
        wall="no capabilities, seccomp",
        sees_all=DENIED,
    ),
    Attack(
        name="namespaces",
        rows=(28,),
        tries="unshare, clone and clone3 with every namespace; setns",
        wall="seccomp",
        sees_all=DENIED | {"EINVAL"},
    ),
    Attack(
        name="system_calls",
        rows=(29,),
        tries="bpf, io_uring, keys, modules, kexec, userfaultfd, SysV IPC, ... (over 80 calls), and unknown ones",
        wall="seccomp: an allowlist",
        sees_all=DENIED,
        sees={"uretprobe": frozenset({"signal 4", "ENOSYS"})},  # the kernel lets it past any filter, and kills for it
    ),
    Attack(
        name="foreign_abi",
        rows=(30,),
        tries="32-bit and x32 system calls by machine code",
        wall="seccomp: the architecture is checked",
        # "another": its number meant another call; 14: the child's own alarm, where a kernel repeats what it cannot run
        sees_all=frozenset({"ENOSYS", "another", "signal 31", "signal 11", "signal 4", "signal 14"}),
    ),
    Attack(
        name="scheduling",
        rows=(31,),
        tries="real-time priority, negative nice, affinity, core scheduling",
        wall="no capabilities, seccomp",
        sees_all=frozenset({"EPERM", "EACCES", "ENOSYS"}),
    ),
    Attack(
        name="prctls",
        rows=(32,),
        tries="undo its death with the desk, become a subreaper, change its memory map, ...",
        wall="seccomp: prctl by option",
        sees_all=DENIED,
    ),
    Attack(
        name="terminal",
        rows=(36,),
        tries="type into the desk's terminal (TIOCSTI), reopen /dev/stdout, grow pipes",
        wall="no terminal, a session of its own, seccomp",
        sees_all=frozenset({"EPERM", "ENOENT", "EBADF", "EROFS", "ENOTTY", "ENXIO", "ESRCH"}),
    ),
    Attack(
        name="raised_limits",
        rows=(15,),
        tries="raise its own rlimits",
        wall="seccomp: prlimit64 only reads",
        sees_all=frozenset({"EPERM", "ValueError"}),
    ),
    Attack(
        name="crash",
        rows=(38,),
        tries="dump core, into the host's crash handler where it is a pipe",
        wall="RLIMIT_CORE of one byte",
        sees={"core": frozenset({0, 1})},
        ends=frozenset({SIGNAL}),
    ),
    # --- exhaustion ---------------------------------------------------------------------------------------------
    Attack(
        name="fork_bomb",
        rows=(11,),
        tries="fork without end, in every child",
        wall="pids.max of the cgroup, rlimit_nproc; cgroup.kill",
        sees={"fork": "EAGAIN"},
        ends=_holding(PIDS),
        holds=True,
    ),
    Attack(
        name="thread_bomb",
        rows=(12,),
        tries="threads without end",
        wall="pids.max of the cgroup",
        sees={"thread": "RuntimeError"},
        ends=_holding(),
        holds=True,
    ),
    Attack(name="zombies", tries="children that nobody waits for", wall="pids.max", ends=_holding(), holds=True),
    Attack(name="memory_bomb", rows=(13,), tries="memory without end", wall="memory limit", ends=frozenset({OOM})),
    Attack(
        name="memory_in_a_child",
        rows=(13,),
        tries="memory without end, in a child",
        wall="memory limit; on cgroup v2 the whole run dies",
        sees={"child": 9},
        ends=frozenset({OOM, CLEAN}),
    ),
    Attack(
        name="memory_in_tmp",
        rows=(13, 18),
        tries="fill /tmp, then memory: files there are memory",
        wall="size of /tmp, memory limit",
        ends=frozenset({OOM}),
    ),
    Attack(
        name="endless_recursion",
        rows=(13,),
        tries="recursion without end",
        wall="rlimit_stack, memory limit",
        ends=frozenset({OOM, SIGNAL, ERROR}),
    ),
    Attack(
        name="address_space",
        rows=(14,),
        tries="64 TiB at once, huge pages, locked and shared memory, page zero",
        wall="overcommit, rlimit_memlock, seccomp",
        sees_all=frozenset({"ENOMEM", "MemoryError", "EPERM", "ENOSYS", "EAGAIN"}),
        sees={"hugetlb": frozenset({"ENOMEM", "EPERM", "EINVAL"})},  # the last from a kernel that has none
    ),
    Attack(
        name="descriptors",
        rows=(15,),
        tries="open files and pipes without end, in nine processes",
        wall="rlimit_nofile and pids.max; pipes' memory is the run's",
        sees={"open": "EMFILE"},
        ends=_holding(OOM),
        holds=True,
    ),
    Attack(
        name="kernel_memory",
        tries="fill socket buffers in the kernel without end",
        wall="rlimit_nofile, memory limit",
        sees={"sockets": frozenset({"EMFILE", "ENOBUFS", "ENOMEM"})},
        ends=_holding(OOM),
        holds=True,
    ),
    Attack(
        name="timers",
        rows=(39,),
        tries="100,000 POSIX timers, epolls without end",
        wall="RLIMIT_SIGPENDING, rlimit_nofile, memory limit",
        sees={"timers": "EAGAIN", "epolls": "EMFILE"},
        ends=_holding(OOM),
        holds=True,
    ),
    Attack(
        name="tmp_full",
        rows=(18,),
        tries="fill /tmp: bytes, files, a sparse terabyte, six thousand nested folders",
        wall="size and inodes of its tmpfs, rlimit_fsize",
        sees_all=frozenset({"ENOSPC", "EFBIG"}),
        sees={"deep": frozenset({"ENOSPC", "ENAMETOOLONG", "allowed"})},
        ends=frozenset({CLEAN, OOM}),
    ),
    Attack(
        name="state_full",
        rows=(19,),
        tries="fill /state with many files, each within the size of one",
        wall="quota of /state",
        sees={"state": frozenset({"ENOSPC", "EDQUOT", "EFBIG"}), "at_most_16_mb": True},
    ),
    Attack(
        name="spin",
        rows=(37,),
        tries="all cores, in four processes",
        wall="cpu quota and weight of the cgroup, nice",
        ends=_holding(),
        holds=True,
        uses_s=0.6,
    ),
    # --- life and death -----------------------------------------------------------------------------------------
    Attack(
        name="immortal",
        rows=(33,),
        tries="ignore all signals, double fork, leave the session",
        wall="pid namespace, cgroup.kill",
        ends=_holding(),
        holds=True,
    ),
    Attack(
        name="forks_while_killed",
        rows=(33,),
        tries="be another process each time it is killed",
        wall="the kill freezes the cgroup, and is repeated until it is empty",
        ends=_holding(PIDS, CLEAN),
        holds=True,
    ),
    Attack(
        name="stopped_processes",
        rows=(34,),
        tries="stop itself and its child, so that nothing handles a signal",
        wall="pid namespace: its first process cannot be stopped from within",
        sees_all=frozenset({"allowed"}),
        ends=_holding(),
        holds=True,
    ),
    Attack(
        name="late_writer",
        tries="print on after the script has ended",
        wall="pid namespace: all die with the first process",
    ),
    Attack(
        name="exit_riddles",
        tries="forge nsjail's own words, then end as a failed launch does",
        wall="nsjail's log has a pipe of its own",
        ends=frozenset({ERROR}),
    ),
    # --- pipes, log, page ---------------------------------------------------------------------------------------
    Attack(
        name="prints_flood",
        rows=(20,),
        tries="print 2 MB in lines",
        wall="token bucket of the log, files of it that are turned over; the desk reads on at its own pace",
        ends=frozenset({CLEAN, FLOOD, STOPPED}),
        says=("bytes of prints were dropped",),
    ),
    Attack(
        name="endless_line",
        rows=(20,),
        tries="print 3 MB without an end of line",
        wall="lines are cut; token bucket of the log",
        ends=frozenset({CLEAN, FLOOD, STOPPED}),
        says=("bytes of prints were dropped",),
    ),
    Attack(
        name="escape_sequences",
        rows=(20,),
        tries="terminal escapes, NULs, bad UTF-8, right-to-left marks in its prints",
        wall="control characters are escaped where output is shown",
        sees={"done": 1},
    ),
    Attack(
        name="forged_log_lines",
        tries="forge lines of the desk, and hide behind the loader's noise",
        wall="each line has its time and stream in front",
        sees={"done": 1},
        says=(" out 2026-01-01T00:00:00.000Z desk run victim ended", " err /nsjail: no version information"),
    ),
    Attack(
        name="deaf_reader",
        rows=(21,),
        tries="never read the market, while it sends 5,000 lines at once",
        wall="a bounded buffer per run, conflation",
        ends=_holding(),
        holds=True,
        burst=5_000,
    ),
    Attack(
        name="closed_pipes",
        tries="close its standard streams and live on",
        wall="the desk asks the process, not the pipes",
        ends=_holding(),
        holds=True,
    ),
    Attack(
        name="stdin_thieves",
        tries="read the market in seven processes at once, some bytes each",
        wall="its pipe is its own",
        ends=_holding(CLEAN),
        holds=True,
    ),
    Attack(
        name="page_lies",
        tries="lie in the progress page, shrink and grow it",
        wall="the page is sealed; what stands there is a claim, for display",
        sees_all=frozenset({"EPERM", "EBADF", "SystemError", "ValueError", "OSError"}),
        sees={"lie": 1, "resize": frozenset({"EPERM", "EBADF", "ValueError", "SystemError", "OSError", "EINVAL"})},
        ends=_holding(),
        holds=True,
    ),
    Attack(
        name="scribbled_fds",
        tries="write to file descriptors 0 to 9",
        wall="nothing is inherited but three pipes and its own page",
        sees_all=frozenset({"EBADF"}),
        sees={"fd3": frozenset({"written", "EBADF"})},
        ends=_holding(),
        holds=True,
    ),
    # --- the order socket ---------------------------------------------------------------------------------------
    Attack(
        name="connections",
        rows=(16,),
        tries="48 connections at once",
        wall="connections_max per run; the rest are refused and closed",
        sees={"served": frozenset(range(1, 17))},
        ends=_holding(),
        holds=True,
    ),
    Attack(
        name="half_open_connections",
        tries="connections that say nothing, and that close half of themselves; 200 that leave at once",
        wall="connections_max, idle and read timeouts",
        sees={"after": frozenset({"200", "503", "429"})},
        ends=_holding(),
        holds=True,
    ),
    Attack(
        name="passed_descriptors",
        rows=(17,),
        tries="4,800 file descriptors by SCM_RIGHTS",
        wall="the desk does not take them: the kernel drops them",
        sees={"flood": frozenset({"allowed", "ETOOMANYREFS", "EPIPE", "ECONNRESET", "TimeoutError"})},
        ends=_holding(),
        holds=True,
    ),
    Attack(
        name="request_smuggling",
        tries="two lengths, chunked and length, folded, signed, hex, bare LF, HTTP/0.9, HTTP/2, TLS",
        wall="one parser, and what two could read differently is refused",
        sees_all=REFUSED,
    ),
    Attack(
        name="slow_loris",
        tries="a header, a body, a request line, a byte at a time",
        wall="a whole request must come in read_s",
        sees={"closed": 3},
    ),
    Attack(
        name="header_flood",
        tries="headers without end, many, long; a long line; a body of 20 MB announced; gzip",
        wall="bounds of line, header, count and body, before reading",
        sees_all=REFUSED | {"415"},
        sees={"endless": frozenset({"EPIPE", "ECONNRESET", "TimeoutError"})},
    ),
    Attack(
        name="pipelined_flood",
        tries="20,000 requests on one connection without reading an answer",
        wall="requests_per_s; who does not take answers is not read",
        sees={"flood": frozenset({"EPIPE", "ECONNRESET", "TimeoutError"})},
        ends=_holding(),
        holds=True,
    ),
    Attack(
        name="unread_answers",
        tries="ask for much on ten connections and read nothing",
        wall="write_s; an answer waits in the kernel, not in the desk",
        sees={"all_taken": 0},
        ends=_holding(),
        holds=True,
    ),
    Attack(
        name="protobuf_bombs",
        tries="nesting, groups, repeated and unknown fields, over 16 KiB, endless varints, NaN, 1e9999999",
        wall="body_max before parsing; decimals in plain digits",
        sees_all=REFUSED | {"422"},
    ),
    Attack(
        name="wrong_paths",
        tries="dots, NULs, the control socket's routes, another strategy's orders and name",
        wall="routes are a table; the socket is the identity",
        sees_all=REFUSED,
        sees={"as_victim": "403", "strategy": frozenset({"403", "404"}), "trace": frozenset({"405", "400", "501"})},
    ),
    Attack(
        name="starved_budget",
        tries="orders without end on twelve connections",
        wall="requests_per_s per run; who asks too often waits himself",
        sees={"limited": True, "at_most_60": True},
        ends=_holding(),
        holds=True,
    ),
    # --- state --------------------------------------------------------------------------------------------------
    Attack(
        name="pickles_in_state",
        tries="pickles that run code, under every name the desk might read",
        wall="the desk never unpickles, and reads nothing in /state",
        sees={"done": 1},
    ),
    Attack(
        name="names_in_state",
        tries="file names with newlines, escapes, shell words, bytes that are no text",
        wall="the desk hands no name to a shell",
        sees={"made": True},
    ),
    Attack(
        name="state_bombs",
        tries="sparse files, hard links, deep folders, fifos, sockets, shut folders, wild times in /state",
        wall="size and inodes of its tmpfs; what is kept is read by descriptor, within bounds",
        sees_all=frozenset({"allowed", "ENOSPC", "EFBIG", "ENAMETOOLONG", "EPERM", "EINVAL", "OverflowError"}),
    ),
    Attack(
        name="state_race",
        tries="swap links to /etc and the ledger for folders while it is started and stopped",
        wall="the desk follows no link in /state",
        ends=_holding(CLEAN),
        holds=True,
    ),
    # --- one jail to another ------------------------------------------------------------------------------------
    Attack(
        name="covert_files",
        tries="leave marks for another jail: files, shared memory, leases, byte-range locks, queues, keys",
        wall="read-only binds, own /tmp, own namespaces, seccomp",
        sees_all=READ_ONLY | {"ENOENT", "ENOSYS", "ENOLCK"},
        sees={"tmp_of_others": []},
    ),
    Attack(
        name="timing",
        tries="time a neighbour: its CPU clock, counters of processor and kernel, what it has of shared files in the "
        "page cache, a core shared on purpose; its own work and its own answers while the neighbour trades",
        wall="pid namespace, no /proc, seccomp; what is left is the time that others leave",
        sees_all=frozenset({"EPERM", "EINVAL", "ESRCH", "ENOENT", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"}),
        sees={"counter": "signal 11", "timed": True},
    ),
)
NOT_CONTAINED = (
    ("locks on shared read-only files", "flock of a file in /venv is seen by every jail: one bit at a time"),
    (
        "futexes on shared read-only files",
        "a page of /venv that two jails map wakes one from the other, and says nothing",
    ),
    (
        "figures of the whole machine",
        "sysinfo and statfs tell load, free memory, processes and free disk, of all together",
    ),
    (
        "the time that others leave",
        "caches, memory bus, CPU frequency, for this nsjail schedules no cores: two who want to pass some bits a second",
    ),
    (
        "the machine's loopback, from jails that fetch packages",
        "officers' builds share its network to reach an index (decision 67): what listens there must trust no caller",
    ),
    ("bugs of the kernel", "in the system calls that are allowed"),
    ("the order socket itself", "whatever the checks and limits of its strategy permit"),
)
