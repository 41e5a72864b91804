"""The thread that starts runs: the loop goes on meanwhile, and nobody's run is nobody's."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deskd.supervision.spawn import Child, spawn
from deskd.supervision.starter import Starter


@pytest.fixture
def starter() -> Iterator[Starter]:
    made = Starter()
    yield made
    made.close()


def a_sleeper() -> Child:
    return spawn(["/bin/sleep", "600"], env={}, cwd=Path("/"), standard=(0, 1, 2))


async def test_the_loop_goes_on_while_a_run_is_started(starter: Starter) -> None:
    """A child that waits for a core holds up the thread that starts it, alone."""
    may_go_on = threading.Event()

    def slowly() -> Child:
        may_go_on.wait()
        return a_sleeper()

    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(starter.start(slowly))
        await asyncio.sleep(0)
        assert not starting.done()  # we are here, and it is there
        may_go_on.set()
    child = starting.result()
    child.kill()
    assert child.wait() == -signal.SIGKILL


async def test_all_are_started_by_one_thread_that_stays(starter: Starter) -> None:
    """They die with it: another one for each, or one that ends for want of work, would end them."""
    threads: list[int] = []

    def noted() -> Child:
        threads.append(threading.get_ident())
        return a_sleeper()

    children = [await starter.start(noted) for _ in range(3)]
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    for child in children:
        child.kill()
        child.wait()


async def test_what_a_start_raises_is_told_to_who_asked_and_the_next_one_starts(starter: Starter) -> None:
    """One start that fails ends nobody else's run."""
    with pytest.raises(FileNotFoundError):
        await starter.start(lambda: spawn(["/nonexistent"], env={}, cwd=Path("/"), standard=(0, 1, 2)))
    child = await starter.start(a_sleeper)
    child.kill()
    child.wait()


async def test_a_run_that_nobody_waits_for_any_more_is_ended(starter: Starter) -> None:
    """Who asked was canceled while it was made: it would be in nobody's hands."""
    may_go_on, made = threading.Event(), list[Child]()

    def slowly() -> Child:
        may_go_on.wait()
        made.append(a_sleeper())
        return made[0]

    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(starter.start(slowly))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.sleep(0)
        may_go_on.set()
    assert starting.cancelled()
    assert made[0].returncode == -signal.SIGKILL


async def test_what_the_desk_itself_was_given_is_not_handed_on() -> None:
    """A descriptor that a shell or a service manager left open is the desk's alone."""
    given = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(given, True)
    starter = Starter()
    assert not os.get_inheritable(given)
    os.close(given)
    starter.close()
    starter.close()


PARENT = """
import asyncio, faulthandler, os, sys
from pathlib import Path
from deskd.supervision.process import make_pipes, start
from deskd.supervision.starter import Starter

def a_run():
    return start(["/bin/sleep", "600"], make_pipes(), join=(), env={}, clears_groups=False)

def no_more():
    raise SystemExit("a bug of ours")

async def main():
    starter = Starter()
    child = await starter.start(a_run)
    while "sleep" not in Path(f"/proc/{child.pid}/comm").read_text():
        await asyncio.sleep(0.005)
    print(child.pid, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    END
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("starter.close(); os._exit(0)", 0),
        ("await starter.start(no_more)", -signal.SIGABRT),
    ],
)
async def test_its_runs_die_with_the_desk_and_never_alone(end: str, status: int) -> None:
    """Killed, closed, or by a bug in the thread itself: that one ends the desk, too, which then starts anew."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT.replace("END", end),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    child = os.pidfd_open(int(await parent.stdout.readline()))
    parent.stdin.write(b"\n")
    assert await parent.wait() == status
    await until(child)


async def until(pidfd: int) -> None:
    """Return when that process is gone."""
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    done: Callable[[], None] = gone.set
    loop.add_reader(pidfd, done)
    async with asyncio.timeout(5):
        await gone.wait()
    loop.remove_reader(pidfd)
    os.close(pidfd)


FIRST = """
import asyncio, os
from deskd.supervision.spawn import spawn
from deskd.supervision.starter import Starter
from pathlib import Path

async def main():
    starter = Starter()
    child = await starter.start(lambda: spawn(["/bin/sleep", "600"], env={}, cwd=Path("/"), standard=(0, 1, 2)))
    print(os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, child.pid))
    starter.close()
    child.kill()

try:
    os.setpriority(os.PRIO_PROCESS, 0, -5)
except OSError:
    pass
asyncio.run(main())
"""


async def test_what_it_starts_does_not_go_before_others() -> None:
    """The desk may: it is quick. What a member wrote is not to inherit that."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FIRST, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    desk, run = map(int, said.split())
    assert run == max(0, desk)
