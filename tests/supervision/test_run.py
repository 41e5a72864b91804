"""One life of a process: what it may do to the desk, and what is known of it."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest

from deskd.domain.ids import RunId, StrategyId
from deskd.domain.run import ExitReason
from deskd.domain.strategy import AtWork, Delivery, DeskWait
from deskd.ledger import codec
from tests.hang import HANG_S
from tests.supervised import a_world
from tests.supervision.test_launch import open_fds


async def test_the_first_who_ends_a_run_is_right(tmp_path: Path, jail_root: Path) -> None:
    """A stop that comes after a kill does not change why it was killed."""
    source = "import time\nprint('up')\ntime.sleep(600)\n"
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        await world.until_printed("alice", "up")
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
        async with asyncio.timeout(HANG_S):
            while (live := world.live("alice")) and live.lines_handled != 3:  # noqa: ASYNC110  a page tells nobody
                await asyncio.sleep(0.001)
        assert live is not None
        assert live.pid is not None
        assert live.uptime.total_seconds() > 0


async def test_it_is_known_which_line_its_script_is_at_work_on(tmp_path: Path, jail_root: Path) -> None:
    """So that an order can be told with what it was asked for on; nobody else's line, and none of a run that is over."""
    line = b'{"type":"trade","symbol":"AAPL","price":1,"timestamp":"2026-11-20T15:04:05Z"}\n'
    source = "import sys, time\nfor line in sys.stdin:\n    print('got it')\n    time.sleep(600)\n"
    async with a_world(tmp_path, jail_root, {"alice": source, "bob": source}, jailed=False) as world:
        for name in ("alice", "bob"):
            await world.start(name)
        world.feed(await world.until_fed("alice"), line)
        await world.until_printed("alice", "got it")
        assert world.supervisor.at_work(StrategyId("alice")) == AtWork(line="trade AAPL 2026-11-20T15:04:05Z")
        assert world.supervisor.at_work(StrategyId("bob")) == AtWork()
        assert world.supervisor.at_work(StrategyId("a laptop's")) == AtWork()
        await world.stop("alice")
        assert world.supervisor.at_work(StrategyId("alice")) == AtWork()


async def test_of_lines_that_were_read_together_the_last_is_known(tmp_path: Path, jail_root: Path) -> None:
    """A script that is fast is given several at once: which of them it is at work on, only it knows."""
    stamp = "2026-11-20T15:04:05.{:03}Z"
    sent = b"".join(
        b'{"type":"trade","symbol":"AAPL","timestamp":"%s"}\n' % stamp.format(n).encode() for n in range(100)
    )
    source = """
        import json, sys, time
        for line in sys.stdin:
            if sys.stdin.buffer.raw._piece > 1:
                print("first", json.loads(line)["timestamp"])
                time.sleep(600)
    """
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False) as world:
        await world.start("alice")
        world.feed(await world.until_fed("alice"), sent)
        await world.until_printed("alice", "first ")
        first = re.search(r"first \S+\.(\d+)Z", world.supervisor.log_path(StrategyId("alice")).read_text())
        assert first is not None
        last = stamp.format(int(first[1]) + 1)
        assert world.supervisor.at_work(StrategyId("alice")) == AtWork(line=f"trade AAPL {last}", together=2)


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
        async with asyncio.timeout(HANG_S):
            end = await world.run("alice")
        assert end.reason is ExitReason.CLEAN
        assert world.supervisor.last_end(StrategyId("alice")) == end


async def test_a_claim_that_nothing_can_write_down_is_told_without_it(tmp_path: Path, jail_root: Path) -> None:
    """Half a character in the page is in no fact and no log: either would end the desk."""
    source = """
        import gc, mmap, sys
        print(input())
        page = next(found for found in gc.get_objects() if isinstance(found, mmap.mmap))
        lie = rb'{"type": "\\ud800"}'
        page[24:26] = len(lie).to_bytes(2, "little")
        page[26 : 26 + len(lie)] = lie
        sys.exit(3)
    """
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False) as world:
        await world.start("alice")
        world.feed(await world.until_fed("alice"), b"line\n")
        end = await world.until_ended("alice")
        assert end.reason is ExitReason.ERROR
        assert end.detail.endswith("last line handled: ?")
        assert all(codec.encode(fact) for fact in world.facts)
        assert "last line handled: ?" in world.log("alice")


@pytest.mark.parametrize(
    ("owes", "reason"), [(True, ExitReason.SANDBOX_FAILURE), (False, ExitReason.ERROR)], ids=["the desk's", "its own"]
)
async def test_who_ends_in_want_of_the_desks_answer_is_not_blamed(
    tmp_path: Path, jail_root: Path, owes: bool, reason: ExitReason
) -> None:
    """Only where the order door itself says that it owed one: a member may raise DeskUnavailable whenever they like."""
    source = "import desk_client\nraise desk_client.DeskUnavailable('the desk did not answer in time')\n"
    restart = {"watch_s": 600.0, "backoff_initial_s": 60.0, "backoff_max_s": 60.0}
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False, restart=restart) as world:
        if owes:
            world.doors.wait = DeskWait(unanswered_ago=timedelta(seconds=1))
        end = await world.run("alice")
        assert end.reason is reason, end
        assert "DeskUnavailable: the desk did not answer in time; at strategy.py:2: raise" in end.detail
        assert end.detail.startswith("the desk did not answer its question") is owes
        assert bool(world.ledger.streaks) is not owes


async def test_more_is_never_handled_than_was_delivered(tmp_path: Path, jail_root: Path) -> None:
    """What a live run claims is shown within what the desk knows, as it is of one that ended."""
    source = """
        import gc, mmap, time
        page = next(found for found in gc.get_objects() if isinstance(found, mmap.mmap))
        input()
        page[:8] = (2**60).to_bytes(8, "little")
        print("lied")
        time.sleep(600)
    """
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False, sandbox={"stop_grace_s": 0.1}) as world:
        await world.start("alice")
        world.feed(await world.until_fed("alice"), b"line\n" * 3)
        await world.until_printed("alice", "lied")
        live = world.live("alice")
        assert live is not None
        assert (live.lines_handled, live.lines_delivered) == (3, 3)


async def test_a_run_that_we_crash_over_leaves_nothing(tmp_path: Path, jail_root: Path) -> None:
    """No pipe, no cgroup, no process: the next run finds what the first found."""
    mark = tmp_path / "over"
    source = f"import os\nos.close(os.open({str(mark)!r}, os.O_CREAT))\n"
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False, restart={"watch_s": 600}) as world:

        def crash(run_id: RunId) -> Delivery:
            return Delivery(delivered=1 // (0 if mark.exists() else 1))

        counts, world.supervisor.counts = world.supervisor.counts, crash
        before = open_fds()
        end = await world.run("alice")
        assert (end.reason, end.detail[:28]) == (ExitReason.SANDBOX_FAILURE, "the desk failed to watch it;")
        world.supervisor.counts = counts
        await world.until(lambda: len(world.ends("alice")) > 1)
        await world.stop("alice")
        assert open_fds() == before
        assert not [path for folder in world.supervisor.launcher.groups.folders for path in folder.glob("*/")]


async def test_its_log_says_how_it_ended(tmp_path: Path, jail_root: Path) -> None:
    """The last line of a run is the desk's: the reason, in the words that status shows."""
    source = "print('hello')\nraise KeyError('prise')\n"
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False) as world:
        end = await world.run("alice")
        assert end.reason is ExitReason.ERROR
        last = world.log("alice").splitlines()[-1]
        assert last.endswith(
            " ended as error: it ended with status 1: KeyError: 'prise'; at strategy.py:2: raise KeyError('prise')"
        )
        assert " desk run alice." in last
        assert " starts WITHOUT a jail: " in world.log("alice")


async def test_a_flood_is_held_back_and_then_ended(tmp_path: Path, jail_root: Path) -> None:
    """Who prints without end is throttled first, told so in the log, and ended as log_flood with figures."""
    source = "import os\nline = b'x' * 1000 + b'\\n'\nwhile True: os.write(1, line * 60)\n"
    quiet = "import time\nfor n in range(10_000): print(n)\ntime.sleep(600)\n"  # a table at once is no flood
    sandbox = {"log_flood_s": 1.0, "log_bytes_per_s": 65_536, "stop_grace_s": 0.1}
    strategies = {"flood": source, "table": quiet}
    async with a_world(tmp_path, jail_root, strategies, jailed=False, sandbox=sandbox) as world:
        await world.supervisor.start_enabled()
        end = await world.until_ended("flood")
        assert end.reason is ExitReason.LOG_FLOOD
        assert "in 1 s without a pause, and was held back by [sandbox] log_bytes_per_s=65536;" in end.detail
        log = world.log("flood")
        assert " desk it prints more than [sandbox] log_bytes_per_s=65536: what is over that is dropped" in log
        assert len(log) < 1_000_000
        assert world.ends("table") == []


async def test_a_line_of_a_gigabyte_is_no_memory_of_the_desk(tmp_path: Path, jail_root: Path) -> None:
    """A line without an end is cut while it is read: the desk keeps a piece of it."""
    source = "import os\npiece = b'x' * (1 << 20)\nfor _ in range(100): os.write(1, piece)\n"
    sandbox = {"log_flood_s": 0.2}
    async with a_world(tmp_path, jail_root, {"long": source}, jailed=False, sandbox=sandbox) as world:
        end = await world.run("long")
        assert end.reason is ExitReason.LOG_FLOOD
        assert max(map(len, world.log("long").splitlines())) < 9_000
