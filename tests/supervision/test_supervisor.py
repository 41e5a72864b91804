"""Strategies are kept as somebody wishes them. Plain processes stand for jails: only what is around them matters."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.events import PlainFact, RunEnded, RunStarted, StrategyRegistered, StrategyStatusChanged
from deskd.domain.ids import StrategyId
from deskd.domain.run import ExitReason, RunStatus, StrategyStatus
from deskd.domain.strategy import BrokenStrategy
from deskd.ports import SystemClock
from deskd.supervision.supervisor import Supervisor
from tests.supervised import Doors, Feeds, World, a_config, a_world, write_strategy

ALICE = StrategyId("alice")
READS = "import sys\nprint('up')\nfor line in sys.stdin: print(line, end='')\n"
FAILS = "raise ValueError('no')\n"


def statuses(world: World, name: str) -> list[StrategyStatus]:
    return [fact.status for fact in world.facts if isinstance(fact, StrategyStatusChanged) and fact.strategy_id == name]


async def test_a_run_is_known_before_it_lives_and_after_it_ended(tmp_path: Path, jail_root: Path) -> None:
    """Registered, active, started, ended, stopped: in this order, once each."""
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        world.feed(run_id, b"hello\n")
        await world.until_printed("alice", "hello")
        assert world.status("alice") is RunStatus.RUNNING
        await world.stop("alice")
        kinds = [type(fact) for fact in world.facts]
        assert kinds == [StrategyRegistered, StrategyStatusChanged, RunStarted, RunEnded, StrategyStatusChanged]
        assert statuses(world, "alice") == [StrategyStatus.ACTIVE, StrategyStatus.STOPPED]
        [end] = world.ends("alice")
        assert end.reason is ExitReason.STOPPED
        assert world.supervisor.last_end(ALICE) == end
        assert world.live("alice") is None
        assert world.printed("alice") == ["up", "hello"]
        assert world.doors.closed == {run_id}
        assert world.feeds.stdins == {}


async def test_a_strategy_that_dies_is_tried_again_and_then_given_up(tmp_path: Path, jail_root: Path) -> None:
    """After give_up_after deaths in a row it is failed, with the last reason; a start by hand counts anew."""
    async with a_world(
        tmp_path, jail_root, {"alice": FAILS, "bob": READS}, jailed=False, restart={"give_up_after": 3}
    ) as world:
        await world.supervisor.start_enabled()
        await world.until(lambda: StrategyStatus.FAILED in statuses(world, "alice"))
        assert len(world.ends("alice")) == 3
        assert world.ends("alice")[0].detail == "it ended with status 1: ValueError: no"
        assert world.status("alice") is RunStatus.FATAL
        await world.start("alice")
        await world.until(lambda: statuses(world, "alice").count(StrategyStatus.FAILED) == 2)
        assert len(world.ends("alice")) == 6
        assert world.ends("bob") == []
        await world.stop("alice")
        assert world.status("alice") is RunStatus.STOPPED
        assert statuses(world, "alice")[-1] is StrategyStatus.STOPPED


async def test_a_desk_that_never_opened_closes_all_the_same(tmp_path: Path, jail_root: Path) -> None:
    """A start that fails leaves nothing to trip over; closing twice is closing once."""
    async with a_world(tmp_path, jail_root, {}, jailed=False) as world:
        second = replace(world.supervisor, _tasks=asyncio.TaskGroup(), _closing=asyncio.Event(), _is_open=False)
        with pytest.raises(SandboxUnavailable):
            await second.open()
        await second.close()
        await world.supervisor.close()


async def test_a_stop_ends_the_wait_between_two_tries(tmp_path: Path, jail_root: Path) -> None:
    """Nobody waits for a back-off to run out."""
    restart = {"give_up_after": 9, "backoff_initial_s": 600, "backoff_max_s": 600}
    async with a_world(tmp_path, jail_root, {"alice": FAILS}, jailed=False, restart=restart) as world:
        await world.run("alice")
        await world.until(lambda: world.status("alice") is RunStatus.BACKOFF)
        await world.start("alice")  # does not wait, either
        await world.until(lambda: len(world.ends("alice")) == 2)
        async with asyncio.timeout(10):
            await world.stop("alice")
        assert world.status("alice") is RunStatus.STOPPED
        assert len(world.ends("alice")) == 2


async def test_a_clean_end_rests(tmp_path: Path, jail_root: Path) -> None:
    """A script that came to its end is not started again."""
    async with a_world(tmp_path, jail_root, {"alice": "print('done')"}, jailed=False) as world:
        assert (await world.run("alice")).reason is ExitReason.CLEAN
        await world.until(lambda: statuses(world, "alice")[-1] is StrategyStatus.STOPPED)
        assert world.starts("alice") == 1


async def test_each_start_reads_the_folder_anew(tmp_path: Path, jail_root: Path) -> None:
    """What was edited runs from the next start on, and the ledger knows the new version."""
    async with a_world(tmp_path, jail_root, {"alice": "print('one')"}, jailed=False) as world:
        await world.run("alice")
        write_strategy(world.strategies_dir, "alice", "print('two')", '{"version": "2"}')
        await world.start("alice")
        await world.until(lambda: len(world.ends("alice")) == 2)
        assert world.printed("alice") == ["one", "two"]
        versions = [fact.version for fact in world.facts if isinstance(fact, StrategyRegistered)]
        assert versions == ["0", "2"]
        assert [spec.version for spec in world.specs] == ["0", "0", "2"]


async def test_a_broken_strategy_stops_no_other(tmp_path: Path, jail_root: Path) -> None:
    """It is listed with its problem; starting it says the same; the others run."""
    async with a_world(tmp_path, jail_root, {"alice": "def f(:", "bob": READS}, jailed=False) as world:
        broken, _ = world.supervisor.strategies()
        assert isinstance(broken, BrokenStrategy)
        await world.supervisor.start_enabled()
        await world.until_fed("bob")
        await world.start("alice")
        await world.until(lambda: StrategyStatus.FAILED in statuses(world, "alice"))
        assert world.starts("alice") == 0
        end = world.supervisor.last_end(ALICE)
        assert end is not None
        assert "strategy.py: line 1: " in end.detail
        write_strategy(world.strategies_dir, "alice", "print('mended')")
        assert (await world.run("alice")).reason is ExitReason.CLEAN


async def test_only_what_is_enabled_and_wished_starts_with_the_desk(tmp_path: Path, jail_root: Path) -> None:
    """`enabled: false` waits for a command; what somebody stopped stays stopped."""
    write_strategy(tmp_path / "strategies", "alice", READS, '{"enabled": false}')
    write_strategy(tmp_path / "strategies", "bob", READS)
    async with a_world(tmp_path, jail_root, {"carol": READS}, jailed=False) as world:
        await world.supervisor.start_enabled(but_not={StrategyId("bob")})
        await world.until_fed("carol")
        assert [world.status(name) for name in ("alice", "bob")] == [RunStatus.STOPPED] * 2
        write_strategy(world.strategies_dir, "dave", READS)
        await world.start("dave")
        await world.until_fed("dave")


async def test_what_somebody_stops_is_told_as_stopped_by_hand(tmp_path: Path, jail_root: Path) -> None:
    """It does not start again with the desk; what is restarted does, wherever the desk is killed."""
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False) as world:
        await world.start("alice")
        await world.until_fed("alice")
        await world.supervisor.restart(ALICE)
        await world.until(
            lambda: statuses(world, "alice") == [StrategyStatus.ACTIVE, StrategyStatus.STOPPED, StrategyStatus.ACTIVE]
        )
        await world.stop("alice")
        said = [fact for fact in world.facts if isinstance(fact, StrategyStatusChanged)]
        assert [fact.by_hand for fact in said if fact.status is StrategyStatus.STOPPED] == [False, True]


async def test_stopping_the_desk_leaves_strategies_active(tmp_path: Path, jail_root: Path) -> None:
    """They start again with the desk; the runs are over, and say that the desk ended them."""
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False) as world:
        await world.start("alice")
        await world.until_fed("alice")
        await world.supervisor.stop_all("the desk stopped")
        assert statuses(world, "alice") == [StrategyStatus.ACTIVE]
        assert world.ends("alice")[0].detail.startswith("the desk stopped")


async def test_a_run_without_its_warm_up_is_tried_again_and_not_blamed(tmp_path: Path, jail_root: Path) -> None:
    """History that cannot be had is the broker's or the desk's fault."""
    restart = {"give_up_after": 1}
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False, restart=restart) as world:
        world.feeds.problem = ExceptionGroup("two symbols", [ConnectionError("no bars"), ConnectionError("none")])
        await world.start("alice")
        await world.until(lambda: world.starts("alice") == 2)
        [end] = world.ends("alice")
        assert end.reason is ExitReason.SANDBOX_FAILURE
        assert end.detail.startswith("its warm-up could not be had (no bars): ")
        await world.until_fed("alice")


async def test_a_door_that_cannot_be_made_ends_that_try_alone(tmp_path: Path, jail_root: Path) -> None:
    """Nothing of the try is left, and the next one may succeed."""
    restart = {"backoff_initial_s": 600, "backoff_max_s": 600}
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False, restart=restart) as world:
        world.doors.problem = OSError(24, "Too many open files")
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        end = await world.run("alice")
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        assert end.reason is ExitReason.SANDBOX_FAILURE
        assert "Too many open files" in end.detail
        while world.status("alice") is not RunStatus.BACKOFF:  # noqa: ASYNC110  one turn of the loop
            await asyncio.sleep(0)
        await world.start("alice")
        await world.until_fed("alice")


async def test_a_stop_while_it_starts_is_a_stop(tmp_path: Path, jail_root: Path) -> None:
    """Whenever the stop comes, it returns when the run is gone, and nothing starts after."""
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False) as world:
        for turns in range(12):
            await world.start("alice")
            for _ in range(turns * 3):
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await world.stop("alice")
            assert world.status("alice") is RunStatus.STOPPED
            assert world.feeds.stdins == {}
        assert world.starts("alice") == len(world.ends("alice"))


async def test_a_restart_that_overtakes_a_stop_runs_once(tmp_path: Path, jail_root: Path) -> None:
    """Two people who press at the same time get one run."""
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False) as world:
        await world.start("alice")
        await world.until_fed("alice")
        async with asyncio.TaskGroup() as people:
            people.create_task(world.stop("alice"))
            await asyncio.sleep(0)
            people.create_task(world.start("alice"))
            people.create_task(world.start("alice"))
        await world.until_fed("alice")
        assert world.starts("alice") == 2
        assert world.status("alice") is RunStatus.RUNNING


async def test_an_unknown_strategy_is_a_key_error(tmp_path: Path, jail_root: Path) -> None:
    """The doors ask only for names that `strategies` knows."""
    async with a_world(tmp_path, jail_root, {}, jailed=False) as world:
        with pytest.raises(KeyError):
            await world.start("nobody")


async def test_who_asks_while_the_desk_starts_waits(tmp_path: Path, jail_root: Path) -> None:
    """Before the jails are prepared nothing can be read: a command then is carried out after it, and ends no desk."""
    write_strategy(tmp_path / "strategies", "alice", READS)
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    feeds = Feeds()

    async def post(_fact: PlainFact) -> None:
        pass

    starting = Supervisor(
        config=config,
        clock=SystemClock(),
        jitter=lambda: 0.5,
        feeds=feeds,
        doors=Doors(),
        counts=feeds.counts,
        post=post,
        registered=lambda _: None,
        on_spec=lambda _: None,
    )
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(starting.reread())
        await asyncio.sleep(0)
        assert starting.strategies() == []
        await starting.open()
        await asked
        assert [found.strategy_id for found in starting.strategies()] == ["alice"]
        await starting.close()
