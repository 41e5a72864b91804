"""One life of a process: what it may do to the desk, and what is known of it."""

import asyncio
from pathlib import Path

from deskd.domain.ids import StrategyId
from deskd.domain.run import ExitReason
from tests.supervised import a_world


async def test_the_first_who_ends_a_run_is_right(tmp_path: Path, jail_root: Path) -> None:
    """A stop that comes after a kill does not change why it was killed."""
    source = "import time\nprint('up')\ntime.sleep(600)\n"
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        await world.supervisor.end(run_id, ExitReason.SLOW_CONSUMER, "1000 unread order lines")
        await world.stop("alice")
        assert world.ends("alice")[0].reason is ExitReason.SLOW_CONSUMER
        assert world.ends("alice")[0].detail == "1000 unread order lines"
        await world.supervisor.end(run_id, ExitReason.OOM, "too late")


async def test_what_it_claims_of_its_progress_is_shown(tmp_path: Path, jail_root: Path) -> None:
    """Lines handled are those before the one it waits for; input() and a for loop count alike."""
    source = "import sys\nprint(input())\nfor line in sys.stdin: print(line, end='')\n"
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        for number in range(3):
            world.feed(run_id, b"line %d\n" % number)
            await world.until_printed("alice", f"line {number}")
        async with asyncio.timeout(5):
            while (live := world.live("alice")) and live.lines_handled != 3:  # noqa: ASYNC110  a page tells nobody
                await asyncio.sleep(0.001)
        assert live is not None
        assert live.pid is not None
        assert live.uptime.total_seconds() > 0


async def test_a_process_that_escaped_its_session_does_not_hold_the_desk_up(tmp_path: Path, jail_root: Path) -> None:
    """Without a jail a run can leave a process behind that holds its pipes; the run is over all the same."""
    source = """
        import os, sys, time
        if os.fork() == 0:
            os.setsid()
            time.sleep(4)
            os._exit(0)
    """
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False) as world:
        async with asyncio.timeout(15):
            end = await world.run("alice")
        assert end.reason is ExitReason.CLEAN
        assert world.supervisor.last_end(StrategyId("alice")) == end


async def test_its_log_says_how_it_ended(tmp_path: Path, jail_root: Path) -> None:
    """The last line of a run is the desk's: the reason, in the words that status shows."""
    source = "print('hello')\nraise KeyError('prise')\n"
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False) as world:
        end = await world.run("alice")
        assert end.reason is ExitReason.ERROR
        last = world.log("alice").splitlines()[-1]
        assert last.endswith(" ended as error: it ended with status 1: KeyError: 'prise'")
        assert " desk run alice." in last
        assert " starts WITHOUT a jail: " in world.log("alice")
