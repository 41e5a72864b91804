"""A run's process: its pipes, its end, and that it dies with the desk."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.supervision.process import (
    JOIN_FAILED,
    SIGNALS_PENDING,
    STDIN_PIPE_BYTES,
    Pipes,
    ended,
    make_pipes,
    start,
)
from deskd.supervision.spawn import Child
from tests.few_descriptors import room_for
from tests.hang import HANG_S


def test_what_nsjail_hands_on_is_bounded_before_and_never_raised() -> None:
    """Queued signals and timers, and core dumps; a limit that is lower already stays so, for good."""
    source = (
        "import resource, sys\n"
        "from deskd.supervision.process import limit_what_runs_inherit\n"
        "least = min(int(sys.argv[1]), *resource.getrlimit(resource.RLIMIT_SIGPENDING))\n"
        "resource.setrlimit(resource.RLIMIT_SIGPENDING, (least, least))\n"
        "limit_what_runs_inherit(); limit_what_runs_inherit()\n"
        "print(*resource.getrlimit(resource.RLIMIT_SIGPENDING), resource.getrlimit(resource.RLIMIT_CORE)[0] <= 1)\n"
    )
    said = [
        subprocess.run([sys.executable, "-c", source, given], check=True, capture_output=True, text=True).stdout
        for given in ("1000000", "100")
    ]
    assert said == [f"{SIGNALS_PENDING} {SIGNALS_PENDING} True\n", "100 100 True\n"]


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = make_pipes()
    yield made
    made.close_ours()


def started(pipes: Pipes, *command: str, join: tuple[Path, ...] = ()) -> Child:
    process = start(command, pipes, join=join, env={"A": "b c"}, cwd=Path("/tmp"), clears_groups=False)
    pipes.close_theirs()
    return process


async def test_its_end_is_seen_at_once_with_its_status(pipes: Pipes) -> None:
    """The environment is what was given, and the exit status is the command's."""
    process = started(pipes, "/bin/sh", "-c", 'echo "$A $PATH $DESK_CG $PWD"; exit 7')
    async with asyncio.timeout(HANG_S):
        assert await ended(process) == 7
    assert os.read(pipes.stdout, 100) == b"b c /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin  /tmp\n"
    assert os.read(pipes.stdout, 100) == b""


async def test_end_of_input_reaches_it(pipes: Pipes) -> None:
    """Nobody else holds the write end of its input."""
    process = started(pipes, "/bin/cat")
    os.write(pipes.stdin, b"line\n")
    os.close(pipes.stdin)
    async with asyncio.timeout(HANG_S):
        assert await ended(process) == 0
    assert os.read(pipes.stdout, 100) == b"line\n"
    pipes.stdin = os.open("/dev/null", os.O_RDONLY)


async def test_a_run_that_cannot_join_its_cgroup_does_not_start(pipes: Pipes) -> None:
    """No bounds, no run."""
    process = started(pipes, "/bin/echo", "ran", join=(Path("/nonexistent/cgroup.procs"),))
    async with asyncio.timeout(HANG_S):
        assert await ended(process) == JOIN_FAILED
    assert os.read(pipes.stdout, 100) == b""


async def test_it_dies_with_whoever_started_it() -> None:
    """Without a jail, too: the parent-death signal is set before the command runs."""
    source = """
import sys, time
from deskd.supervision.process import make_pipes, start
process = start(["/bin/sleep", "600"], make_pipes(), join=(), env={}, clears_groups=False)
print(process.pid, flush=True)
time.sleep(600)
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", source, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    child = os.pidfd_open(pid)
    await until_it_sleeps(pid)
    parent.kill()
    await parent.wait()
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(child, gone.set)
    async with asyncio.timeout(HANG_S):
        await gone.wait()
    asyncio.get_running_loop().remove_reader(child)
    os.close(child)


async def until_it_sleeps(pid: int) -> None:
    """Return once the wrapper has become the command: from then on its parent's death is its own."""
    async with asyncio.timeout(HANG_S):
        while "sleep" not in Path(f"/proc/{pid}/comm").read_text():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("count", [0, 3, 8, 9, 10])
def test_a_desk_out_of_descriptors_loses_none_over_a_run_that_cannot_be(count: int) -> None:
    """Each try gives back what it got: else the first want of them would never end."""
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    with room_for(count), pytest.raises(OSError, match="Too many open files"):
        make_pipes()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


async def test_its_end_is_seen_without_a_descriptor_to_spare(pipes: Pipes) -> None:
    """A run that lives is never lost sight of."""
    process = started(pipes, "/bin/sh", "-c", "exit 7")
    with room_for(0):
        async with asyncio.timeout(HANG_S):
            assert await ended(process) == 7


def test_a_full_pipe_does_not_block_the_desk(pipes: Pipes) -> None:
    """A run that never reads costs its own lines, not the desk's time."""
    assert os.write(pipes.stdin, bytes(10**6)) == STDIN_PIPE_BYTES
    with pytest.raises(BlockingIOError):
        os.write(pipes.stdin, b"x")
    pipes.close_theirs()


def test_signals_of_the_terminal_are_the_desks_alone(pipes: Pipes) -> None:
    """Ctrl-C does not reach runs before the desk has decided."""
    process = started(pipes, "/bin/cat")
    assert os.getsid(process.pid) == process.pid
    process.kill()
    process.wait(5)


def test_what_is_closed_twice_is_closed_once() -> None:
    """A number that was closed may be another file's by then: a connection to the broker, or the ledger."""
    pipes = make_pipes()
    numbers = {*pipes.theirs, pipes.log_fd, pipes.stdin, pipes.stdout, pipes.stderr, pipes.log, pipes.progress_fd}
    pipes.close_theirs()
    pipes.close_ours()
    others = [os.open("/dev/null", os.O_RDONLY) for _ in numbers]
    assert numbers & {*others}
    pipes.close_theirs()
    pipes.close_ours()
    for fd in others:
        os.fstat(fd)
        os.close(fd)


async def test_a_run_in_step_has_a_pipe_for_its_wishes() -> None:
    """No other run does; what was made is given back, and nothing that was not."""
    plain = make_pipes()
    assert (plain.step, plain.step_fd) == (-1, -1)
    plain.close_ours()
    plain.close_theirs()
    pipes = make_pipes(is_in_step=True)
    process = started(pipes, "/bin/sh", "-c", f"printf . > /dev/fd/{pipes.step_fd}")
    async with asyncio.timeout(HANG_S):
        await ended(process)
    assert os.read(pipes.step, 10) == b"."
    assert os.read(pipes.step, 10) == b""
    pipes.close_ours()
