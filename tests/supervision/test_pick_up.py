"""Folders that were put into strategies_dir or changed there come into use by themselves, where that is wanted."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deskd.domain.events import CommandGiven, StageChanged
from deskd.domain.ids import StrategyId
from deskd.domain.run import RunStatus
from deskd.domain.stage import Stage
from deskd.supervision.discovery import ENTRIES_MAX
from deskd.supervision.pick_up import PickUp
from tests.factories import NOON
from tests.supervised import World, a_world, write_strategy

ALICE = StrategyId("alice")
READS = "import sys\nfor line in sys.stdin: print(line, end='')\n"
OTHER = "import sys\nprint('the other')\nfor line in sys.stdin: pass\n"
AFTER_S = 10


@dataclass
class Clock:
    seconds: float = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Club:
    """A supervisor with strategies, and who looks at their folders."""

    world: World
    pick_up: PickUp
    clock: Clock
    stages: dict[StrategyId, Stage] = field(default_factory=dict)
    kept: list[CommandGiven | StageChanged] = field(default_factory=list)

    async def keep(self, fact: CommandGiven | StageChanged) -> None:
        self.kept.append(fact)
        if isinstance(fact, StageChanged):
            self.stages[fact.strategy_id] = fact.stage

    async def looks(self, times: int = 1, *, after_s: float = AFTER_S) -> None:
        """Let time pass, and have a look after each such pause."""
        for _ in range(times):
            self.clock.seconds += after_s
            await self.pick_up.look()

    def commands(self) -> Sequence[str]:
        return [
            f"{fact.command} {fact.arguments.partition(':')[0]}" for fact in self.kept if isinstance(fact, CommandGiven)
        ]


@asynccontextmanager
async def a_club(tmp_path: Path, jail_root: Path, stage: Stage = Stage.ACTIVE) -> AsyncIterator[Club]:
    async with a_world(tmp_path, jail_root, {"alice": READS}, jailed=False) as world:
        clock, stages = Clock(), dict[StrategyId, Stage]()
        pick_up = PickUp(
            strategies_dir=world.strategies_dir,
            after=timedelta(seconds=AFTER_S),
            stage=stage,
            runs=world.supervisor,
            stage_of=lambda name: stages.get(name, Stage.ACTIVE),
            keep=lambda fact: club.keep(fact),  # noqa: PLW0108  it is made below
            clock=clock,
        )
        club = Club(world, pick_up, clock, stages)
        await world.start("alice")
        await world.until_fed("alice")
        await club.looks(2)
        assert club.kept == []  # what lies there and runs is as it was read
        yield club


async def test_a_changed_folder_is_taken_once_it_is_quiet(tmp_path: Path, jail_root: Path) -> None:
    """Not while it is being written; what ran is restarted with the new code, once, and that is on record."""
    async with a_club(tmp_path, jail_root) as club:
        for version in range(3):
            write_strategy(club.world.strategies_dir, "alice", f"{OTHER}# {version}\n")
            await club.looks()
        assert club.kept == []
        await club.looks(after_s=AFTER_S - 1)
        assert club.kept == []
        await club.looks(after_s=1)
        await club.world.until_printed("alice", "the other")
        await club.looks(3)
        assert club.commands() == ["restart alice"]
        assert club.world.starts("alice") == 2
        assert [fact.by for fact in club.kept] == ["pick-up"]


async def test_a_new_folder_is_started_where_it_is_enabled(tmp_path: Path, jail_root: Path) -> None:
    """One without a strategy.py is not yet a strategy, one that is not enabled waits for a start by hand, a link is nobody's copy."""
    async with a_club(tmp_path, jail_root) as club:
        (club.world.strategies_dir / "empty").mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "strategy.py").write_text(READS)
        (club.world.strategies_dir / "link").symlink_to(tmp_path / "elsewhere")
        write_strategy(club.world.strategies_dir, "bob", READS)
        write_strategy(club.world.strategies_dir, "carol", READS, '{"enabled": false}')
        await club.looks(3)
        await club.world.until_fed("bob")
        assert club.commands() == ["start bob"]
        assert club.world.status("carol") is RunStatus.STOPPED


async def test_what_fails_a_check_changes_nothing(tmp_path: Path, jail_root: Path) -> None:
    """What runs, runs on; the log says once what is wrong. Mended, it is taken."""
    async with a_club(tmp_path, jail_root) as club:
        with capture_logs() as logs:
            write_strategy(club.world.strategies_dir, "alice", "def broken(\n")
            write_strategy(club.world.strategies_dir, "bob", READS, '{"symbls": []}')
            await club.looks(4)
        told = {line["strategy_id"]: line for line in logs if line["event"] == "folder_not_picked_up"}
        assert len([line for line in logs if line["event"] == "folder_not_picked_up"]) == 2
        assert told["alice"]["consequence"] == "what runs, runs on"
        assert "symbls" in told["bob"]["problem"]
        assert club.kept == []
        assert club.world.status("alice") is RunStatus.RUNNING
        write_strategy(club.world.strategies_dir, "alice", OTHER)
        await club.looks(3)
        assert club.commands() == ["restart alice"]


async def test_what_somebody_stopped_stays_so(tmp_path: Path, jail_root: Path) -> None:
    """A change is no start; and one whose folder is gone is nobody's to pick up."""
    async with a_club(tmp_path, jail_root) as club:
        await club.world.stop("alice")
        write_strategy(club.world.strategies_dir, "alice", OTHER)
        await club.looks(3)
        (club.world.strategies_dir / "alice" / "strategy.py").unlink()
        await club.looks(3)
        assert (club.kept, club.world.status("alice")) == ([], RunStatus.STOPPED)


@pytest.mark.parametrize("before", [Stage.ACTIVE, Stage.PAUSED])
async def test_new_code_is_in_no_looser_a_stage_than_configured(tmp_path: Path, jail_root: Path, before: Stage) -> None:
    """The stage is on record before the code runs; a stricter one that somebody gave the strategy stays."""
    async with a_club(tmp_path, jail_root, Stage.SHADOW) as club:
        club.stages[ALICE] = before
        write_strategy(club.world.strategies_dir, "alice", OTHER)
        await club.looks(3)
        assert club.commands() == ["restart alice"]
        assert club.stages[ALICE] is (Stage.SHADOW if before is Stage.ACTIVE else Stage.PAUSED)


async def test_a_folder_that_cannot_be_listed_is_said_and_nothing_is_taken(tmp_path: Path, jail_root: Path) -> None:
    """The next look tries again."""
    async with a_club(tmp_path, jail_root) as club:
        for number in range(ENTRIES_MAX + 1):
            (club.world.strategies_dir / f"junk-{number}").touch()
        with capture_logs() as logs:
            await club.looks()
        assert [line["event"] for line in logs] == ["folders_not_looked_at"]
