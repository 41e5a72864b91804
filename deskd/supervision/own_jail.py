"""A jail of the desk's own: a script of ours in a folder of ours, made as a strategy's is, and what the desk says with it."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId, UserId
from deskd.supervision.cgroup import Group
from deskd.supervision.jail import JailPlan
from deskd.supervision.process import Pipes
from deskd.supervision.scratch import prepare_scratch
from deskd.supervision.spawn import Child
from deskd.supervision.staging import Environment, give
from deskd.supervision.uids import Identity, can_map_uids

TIMEOUT_S = 20.0  # for an answer, or an end
_REPORT_MAX = 65_536
_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


def plan_of(
    name: str,
    script: bytes,
    place: Path,
    *,
    section: SandboxSection,
    environment: Environment,
    pipes: Pipes,
    path: str = _PATH,
) -> JailPlan:
    """Put *script* into the empty folder *place*, and return the jail it runs in; raise SandboxUnavailable or OSError.

    Nothing but the mount keeps the script from changing its own code. *path*: where the wrapper's programs are.
    """
    if not shutil.which("setpriv", path=path):
        raise SandboxUnavailable("setpriv is missing, and runs need it to die with the desk: install util-linux")
    prepare_scratch()
    who = (
        Identity(section.uid_first, section.uid_first, False)
        if can_map_uids()
        else Identity(os.geteuid(), os.getegid(), True)
    )
    code, knock = (place / folder for folder in ("code", "socket"))
    for folder in (code, knock):
        folder.mkdir()
    (code / "strategy.py").write_bytes(script)
    for one in (code, knock, code / "strategy.py"):  # the group's: what is another user's, we could not remove again
        give(one, -1, who.gid)
        one.chmod(0o770 if one.is_dir() else 0o660)
    return JailPlan(
        strategy_id=StrategyId(name),
        user_id=UserId(name),
        env={},
        who=who,
        environment=environment,
        code=code,
        socket_folder=knock,
        section=section,
        log_fd=pipes.log_fd,
        progress_fd=pipes.progress_fd,
        state_fd=pipes.state_fd,
    )


@contextlib.contextmanager
def our_own(place: Path, name: str) -> Iterator[None]:
    """Have the folder *place* for a while, locked; what those of that *name* that were killed have left beside it goes first.

    The kernel gives a lock back when its owner is dead: a number of a process could be another's by now, or that of a
    test that goes on beside us.
    """
    with _locked(place.parent):  # nobody sees a folder that is not locked yet
        for other in place.parent.glob(f"{name}-*"):
            with contextlib.suppress(BlockingIOError, FileNotFoundError), _locked(other, fcntl.LOCK_NB):
                shutil.rmtree(other, ignore_errors=True)
        place.mkdir(mode=0o711)
        place.chmod(0o711)
        ours = contextlib.ExitStack()
        ours.enter_context(_locked(place))
    with ours:
        try:
            yield
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, flag: int = 0) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flag)
        yield
    finally:
        os.close(descriptor)


# --- what is said --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ended_in_time(process: Child, group: Group) -> Iterator[None]:
    """End it, with all that is in its group, where it does not answer or end in time."""
    try:
        yield
    except TimeoutError:
        group.kill()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise SandboxUnavailable(
            f"a jail did not end within {TIMEOUT_S:g} s: the machine is overloaded; try again"
        ) from None


def tell(fd: int, line: str) -> None:
    """Write the line to a jail's input."""
    with contextlib.suppress(BrokenPipeError):  # it has ended, and its last words tell why
        os.write(fd, line.encode() + b"\n")


def hear(fd: int) -> bytes:
    """Return the next line, or what was said of it before the end; raise TimeoutError where none comes in time."""
    said, deadline, waiting = b"", time.monotonic() + TIMEOUT_S, select.poll()
    waiting.register(fd, select.POLLIN)
    while not said.endswith(b"\n") and len(said) < _REPORT_MAX:
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1_000):
            raise TimeoutError
        data = os.read(fd, _REPORT_MAX)
        if not data:
            break
        said += data
    return said


def left_in(fd: int) -> bytes:
    """Return what the pipe holds. Nobody writes to it any more."""
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        return os.read(fd, _REPORT_MAX)
    return b""


def report_of(said: bytes) -> dict[str, Any] | None:
    """Return what a jail of ours reported in its first line; None: it did not."""
    try:
        report = json.loads(said.partition(b"\n")[0])
    except ValueError:
        return None
    return report if isinstance(report, dict) else None
