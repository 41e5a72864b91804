"""Strategies are kept as somebody wishes them. Plain processes stand for jails: only what is around them matters."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.events import PlainFact, RunEnded, RunStarted, StrategyRegistered, StrategyStatusChanged
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.run import ExitReason, RunStatus, StrategyStatus
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.ports import SystemClock
from deskd.supervision.supervisor import Supervisor
from tests.hang import HANG_S
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
        assert world.ends("alice")[0].detail.startswith(
            "it ended with status 1: ValueError: no; at strategy.py:1: raise"
        )
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
        async with asyncio.timeout(HANG_S):
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
            async with asyncio.timeout(HANG_S):
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


# --- what died, and what follows -------------------------------------------------------------------------------------

QUICK = {"backoff_initial_s": 0.01, "backoff_max_s": 0.02, "watch_s": 0.05}


async def until_failed(world: World, name: str, times: int = 1) -> None:
    await world.until(lambda: statuses(world, name).count(StrategyStatus.FAILED) == times)


async def test_who_is_given_up_is_told_how_often_and_of_what_it_died(tmp_path: Path, jail_root: Path) -> None:
    """The ledger's reason and the status say it alike: counts by reason, when, the last one's words, the remedy."""
    async with a_world(
        tmp_path, jail_root, {"alice": FAILS}, jailed=False, restart=QUICK | {"give_up_after": 3, "watch_s": 600}
    ) as world:
        await world.start("alice")
        await until_failed(world, "alice")
        said = [fact for fact in world.facts if isinstance(fact, StrategyStatusChanged)][-1]
        assert said.why.startswith("died 3 times in a row from ")
        assert "(3 x error); the last: it ended with status 1: ValueError: no; " in said.why
        assert said.why.endswith("or `deskctl start alice`")
        await world.until(lambda: world.supervisor.last_end(ALICE) is not None)
        end = world.supervisor.last_end(ALICE)
        assert end is not None
        assert (end.reason, end.detail) == (ExitReason.ERROR, said.why)
        assert [fact.deaths for fact in world.facts if isinstance(fact, RunEnded)] == [1, 2, 3]


async def test_what_failed_is_tried_again_when_its_folder_changes(tmp_path: Path, jail_root: Path) -> None:
    """Nobody has to tell the desk: the mended strategy runs, its deaths forgotten. The same content is no change."""
    async with a_world(tmp_path, jail_root, {"alice": FAILS}, jailed=False, restart=QUICK) as world:
        await world.start("alice")
        await until_failed(world, "alice")
        write_strategy(world.strategies_dir, "alice", FAILS)  # saved, and not changed
        await asyncio.sleep(0.3)
        assert world.starts("alice") == 1
        write_strategy(world.strategies_dir, "alice", "def f(:")  # broken: it stays as it is
        await world.until_broken("alice")
        assert world.status("alice") is RunStatus.FATAL
        write_strategy(world.strategies_dir, "alice", READS)
        await world.until_fed("alice")
        assert world.ledger.streaks == {}
        active = [fact for fact in world.facts if isinstance(fact, StrategyStatusChanged)][-1]
        assert (active.status, active.why, active.counts_anew) == (
            StrategyStatus.ACTIVE,
            "its code or config changed",
            True,
        )


async def test_who_mends_and_starts_at_once_gets_one_run(tmp_path: Path, jail_root: Path) -> None:
    """The desk sees the change while somebody starts the strategy: whoever is faster starts it, and nobody else."""
    async with a_world(tmp_path, jail_root, {"alice": FAILS}, jailed=False, restart=QUICK) as world:
        await world.start("alice")
        await until_failed(world, "alice")
        post, is_started = world.supervisor.post, False

        async def starts_meanwhile(fact: PlainFact) -> None:
            nonlocal is_started
            if isinstance(fact, StrategyRegistered) and not is_started:
                is_started = True
                await world.start("alice")
            await post(fact)

        world.supervisor.post = starts_meanwhile
        write_strategy(world.strategies_dir, "alice", READS)
        await world.until_fed("alice")
        await asyncio.sleep(0.3)
        assert world.starts("alice") == 2
        assert world.status("alice") is RunStatus.RUNNING


async def test_who_starts_what_is_just_being_given_up_starts_it(tmp_path: Path, jail_root: Path) -> None:
    """A command is not lost because the end of the run before it is still being written down."""
    async with a_world(tmp_path, jail_root, {"alice": FAILS}, jailed=False, restart=QUICK | {"watch_s": 600}) as world:
        post, started = world.supervisor.post, list[asyncio.Task[None]]()
        async with asyncio.TaskGroup() as tasks:

            async def starts_meanwhile(fact: PlainFact) -> None:
                if isinstance(fact, StrategyStatusChanged) and fact.status is StrategyStatus.FAILED and not started:
                    write_strategy(world.strategies_dir, "alice", READS)
                    started.append(tasks.create_task(world.start("alice")))
                    await asyncio.sleep(0.01)
                await post(fact)

            world.supervisor.post = starts_meanwhile
            await world.start("alice")
            await world.until(lambda: world.starts("alice") == 2)
            await world.until_fed("alice")
        assert len(started) == 1


async def test_a_desk_that_stops_starts_nothing(tmp_path: Path, jail_root: Path) -> None:
    """Who restarts a strategy while the desk stops has it stopped."""
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False) as world:
        await world.start("alice")
        await world.until_fed("alice")
        async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(world.supervisor.restart(ALICE))
            await asyncio.sleep(0)
            tasks.create_task(world.supervisor.stop_all("the desk stopped"))
        assert (world.starts("alice"), world.status("alice")) == (1, RunStatus.STOPPED)
        await world.start("alice")
        assert (world.starts("alice"), world.status("alice")) == (1, RunStatus.STOPPED)


async def test_a_change_ends_the_wait_between_two_tries(tmp_path: Path, jail_root: Path) -> None:
    """Who mends in the middle of a long wait sees it run at once; a new config.json is a change, too."""
    restart = QUICK | {"give_up_after": 9, "backoff_initial_s": 600, "backoff_max_s": 600}
    async with a_world(tmp_path, jail_root, {"alice": FAILS}, jailed=False, restart=restart) as world:
        await world.run("alice")
        write_strategy(world.strategies_dir, "alice", FAILS, '{"version": "2"}')
        await world.until(lambda: len(world.ends("alice")) == 2)
        assert [fact.deaths for fact in world.facts if isinstance(fact, RunEnded)] == [1, 1]


async def test_a_broken_new_version_does_not_stop_what_runs(tmp_path: Path, jail_root: Path) -> None:
    """A run goes on with the version that it was started with, whatever is read meanwhile."""
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False, restart=QUICK) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        write_strategy(world.strategies_dir, "alice", "def f(:")
        await world.supervisor.reread()
        await asyncio.sleep(0.2)
        world.feed(run_id, b"hello\n")
        await world.until_printed("alice", "hello")
        assert world.ends("alice") == []


async def test_a_run_whose_folder_has_changed_is_told_from_one_that_runs_what_lies_there(
    tmp_path: Path, jail_root: Path
) -> None:
    """Once the folders were read again: by a reload, or a start of another; a restart takes what lies there."""

    def is_outdated() -> bool:
        live = world.supervisor.liveness(StrategyId("alice"))
        assert live is not None
        return live.is_outdated

    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False, restart=QUICK) as world:
        await world.start("alice")
        await world.until_fed("alice")
        assert not is_outdated()
        write_strategy(world.strategies_dir, "alice", READS, '{"version": "2"}')
        await world.supervisor.reread()
        assert is_outdated()
        await world.stop("alice")
        await world.start("alice")
        await world.until_fed("alice")
        assert not is_outdated()


async def test_a_new_start_of_the_desk_mends_no_strategy(tmp_path: Path, jail_root: Path) -> None:
    """What was given up stays so until its folder changes or somebody starts it; deaths of before go on to count."""
    restart = QUICK | {"give_up_after": 2, "watch_s": 600}
    strategies = {"alice": FAILS, "bob": READS}
    async with a_world(tmp_path, jail_root, strategies, jailed=False, restart=restart) as world:
        await world.supervisor.start_enabled()
        await until_failed(world, "alice")
        past = dict(world.ledger.streaks)
        story = [fact for fact in world.facts if isinstance(fact, StrategyStatusChanged)][-1].why
    async with a_world(tmp_path, jail_root, strategies, jailed=False, restart=restart, past=past) as world:
        await world.supervisor.start_enabled()
        await world.until_fed("bob")
        assert (world.status("alice"), world.starts("alice")) == (RunStatus.FATAL, 0)
        end = world.supervisor.last_end(ALICE)
        assert end is not None
        assert (end.reason, end.detail) == (ExitReason.ERROR, story)
        await world.start("alice")
        await until_failed(world, "alice")
        assert world.starts("alice") == 2
    once = {ALICE: replace(past[ALICE], count=1, deaths=past[ALICE].deaths[:1], is_given_up=False)}
    async with a_world(tmp_path, jail_root, strategies, jailed=False, restart=restart, past=once) as world:
        await world.supervisor.start_enabled()
        await until_failed(world, "alice")
        assert world.starts("alice") == 1


async def test_our_own_failures_are_retried_for_ever_and_told_to_an_officer(tmp_path: Path, jail_root: Path) -> None:
    """Never `failed`, never counted; after some in a row the desk's status says so, until a run stands again."""
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False, restart=QUICK) as world:
        refusing = _RefusingDoors()
        world.supervisor.doors = refusing
        await world.start("alice")
        await world.until(lambda: len(world.ends("alice")) == 7)
        assert {end.reason for end in world.ends("alice")} == {ExitReason.SANDBOX_FAILURE}
        assert statuses(world, "alice") == [StrategyStatus.ACTIVE]
        assert "times in a row; the last: the desk could not start it" in world.supervisor.failing()[ALICE]
        assert world.ledger.streaks == {}
        world.supervisor.doors = world.doors
        await world.until_fed("alice")
        assert world.supervisor.failing() == {}


class _RefusingDoors(Doors):
    """No door can be made, as when descriptors have run out."""

    async def open(self, spec: StrategySpec, run_id: RunId, directory: Path, uid: int | None) -> None:
        raise OSError(24, "Too many open files")


async def test_fifty_in_crash_loops_start_a_few_at_a_time(tmp_path: Path, jail_root: Path) -> None:
    """They wait in line, all end as `failed`, and those that run are not touched."""
    strategies = {f"crash{number:02}": FAILS for number in range(50)} | {"alice": READS}
    restart = QUICK | {"give_up_after": 2, "launches_max": 2, "watch_s": 600}
    async with a_world(tmp_path, jail_root, strategies, jailed=False, restart=restart) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        most = 0

        def all_failed() -> bool:
            nonlocal most
            most = max(most, world.supervisor.launches.under_way)
            return sum(s is RunStatus.FATAL for s in map(world.status, strategies)) == 50

        for name in strategies:
            await world.start(name)
        async with asyncio.timeout(HANG_S):
            async with world.changed:
                await world.changed.wait_for(all_failed)
        assert 1 <= most <= 2
        assert sum(isinstance(fact, RunStarted) for fact in world.facts) == 101
        world.feed(run_id, b"hello\n")
        await world.until_printed("alice", "hello")
        assert world.ends("alice") == []
