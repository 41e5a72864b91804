"""Starts a run's process, and sees it end.

    sh: join the cgroup, then -> setpriv: die with the desk, drop its groups -> nsjail -> the runner

Rule 1: "die with the desk" is "die with the thread that started you": runs are started by the one thread that lives as
        long as their desk (starter.py), tools by the thread that waits for them.
Rule 2: no fork of our own code: the C library shares the desk's memory with the child until its exec (spawn.py), and the
        desk's size does not matter.
"""

import asyncio
import fcntl
import os
import resource
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deskd.supervision.page import ask_for_steps, make_page
from deskd.supervision.spawn import Child, spawn

STDIN_PIPE_BYTES = 65_536  # a slow run should lag behind by few lines, not by many: the hub conflates the rest
SIGNALS_PENDING = 1_024  # queued signals and POSIX timers; the desk itself has use for none
JOIN_FAILED = 96  # the wrapper's own exit status
_LOOK_AGAIN_S = 0.05
_WRAPPER = (
    "umask 022; "  # the desk's own is for the desk's files: what is made in jails is the same in every set-up
    'for f in $DESK_CG; do echo 0 > "$f" || exit 96; done; unset DESK_CG; '
    "echo 500 > /proc/self/oom_score_adj; "  # the desk may be protected from the kernel's choice; a strategy is not
    'exec setpriv "$@"'
)


@dataclass(slots=True, kw_only=True)
class Pipes:
    """The ends of a run's pipes: ours, and those that the child gets."""

    stdin: int  # write end, non-blocking
    stdout: int
    stderr: int
    log: int  # nsjail's own words
    theirs: tuple[int, int, int]
    log_fd: int
    progress_fd: int  # the page that the runner writes; ours to read
    state: int  # our end of the socket over which what is kept goes in, and a hold on /state comes out
    state_fd: int  # the runner's
    step: int = -1  # in lock-step: where a byte comes for each line that the run asks for; ours to read
    step_fd: int = -1  # the runner's
    _has_theirs: bool = True
    _has_ours: bool = True

    def close_theirs(self) -> None:
        """Close the child's ends, once it has them: else we would never see their end.

        A second call does nothing: the numbers may be somebody else's by then, a broker's connection or the ledger.
        """
        is_ours_to_close, self._has_theirs = self._has_theirs, False
        for fd in (*self.theirs, self.log_fd, self.state_fd, self.step_fd) if is_ours_to_close else ():
            if fd >= 0:
                os.close(fd)

    def take_state(self) -> int:
        """Hand over our end of the state socket: whoever takes it closes it."""
        taken, self.state = self.state, -1
        return taken

    def close_ours(self) -> None:
        """Close ours, where no process came to be; a second call does nothing."""
        is_ours_to_close, self._has_ours = self._has_ours, False
        if not is_ours_to_close:
            return
        for fd in (self.stdin, self.stdout, self.stderr, self.log, self.progress_fd, self.state, self.step):
            if fd >= 0:
                os.close(fd)


def make_pipes(*, is_in_step: bool = False) -> Pipes:
    """Make the run's pipes and its progress page; where descriptors run out, none is kept."""
    made: list[int] = []
    try:
        for _ in range(4):
            made += os.pipe()
        made += (end.detach() for end in socket.socketpair())
        made.append(make_page())
        child_in, stdin, stdout, child_out, stderr, child_err, log, log_fd, state, state_fd, progress_fd = made
        step, step_fd = os.pipe() if is_in_step else (-1, -1)
        if is_in_step:
            made += (step, step_fd)
            ask_for_steps(progress_fd, step_fd)
        os.set_blocking(stdin, False)
        fcntl.fcntl(stdin, fcntl.F_SETPIPE_SZ, STDIN_PIPE_BYTES)
    except OSError:
        for fd in made:
            os.close(fd)
        raise
    return Pipes(
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        log=log,
        theirs=(child_in, child_out, child_err),
        log_fd=log_fd,
        progress_fd=progress_fd,
        state=state,
        state_fd=state_fd,
        step=step,
        step_fd=step_fd,
    )


def start(
    command: Sequence[str],
    pipes: Pipes,
    *,
    join: Sequence[Path],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    clears_groups: bool,
) -> Child:
    """Start *command* through the wrapper. *env* is the command's own, for a run without a jail.

    It blocks until the child got a core, and holds up this thread alone. The child dies with this thread.
    """
    setpriv = ["--pdeathsig", "KILL", *(["--clear-groups"] if clears_groups else [])]
    program = ["env", "-i", *(f"{name}={value}" for name, value in env.items())] if env is not None else []
    return spawn(
        ["/bin/sh", "-c", _WRAPPER, "sh", *setpriv, "--", *program, *command],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "DESK_CG": " ".join(str(file) for file in join)},
        cwd=cwd or Path("/"),
        standard=pipes.theirs,
        keeps=[fd for fd in (pipes.log_fd, pipes.progress_fd, pipes.state_fd, pipes.step_fd) if fd >= 0],
    )  # a session of its own: a Ctrl-C on the desk's terminal is for the desk alone


async def ended(process: Child) -> int:
    """Return the exit status, as soon as the process ends; negative for a signal."""
    loop = asyncio.get_running_loop()
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:  # out of descriptors: the run is there all the same, and is not to be lost sight of
        while process.poll() is None:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN_S)
        return process.wait()
    over = asyncio.Event()
    loop.add_reader(pidfd, over.set)
    try:
        await over.wait()
        return process.wait()  # it has ended: this returns at once
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def limit_what_runs_inherit() -> None:
    """Bound for ourselves what nsjail cannot bound for a jail alone: it hands on what it was started with.

    Core dumps are of one byte: 0 would not stop a dump piped into the host's crash handler, run as root.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == resource.RLIM_INFINITY or hard >= 1:
        resource.setrlimit(resource.RLIMIT_CORE, (1, hard))
    known = [bound for bound in resource.getrlimit(resource.RLIMIT_SIGPENDING) if bound != resource.RLIM_INFINITY]
    least = min([SIGNALS_PENDING, *known])
    resource.setrlimit(resource.RLIMIT_SIGPENDING, (least, least))


def cpu_time_max_s() -> int | None:
    """Return how much CPU time the machine gives a process, in seconds, where it bounds it (ulimit -t); runs inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    return None if hard == resource.RLIM_INFINITY else hard
