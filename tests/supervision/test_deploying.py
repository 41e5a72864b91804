"""A deployment on real runs: what ran runs the new code, and no code trades in a stage that was not meant for it."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from deskd.domain.events import StageChanged, VersionChosen
from deskd.domain.ids import StrategyId
from deskd.domain.run import RunStatus
from deskd.domain.stage import Stage
from deskd.domain.strategy import StrategySpec
from deskd.ports import SystemClock
from deskd.supervision.deploying import Deployer, before
from deskd.supervision.versions import CannotDeploy, Files, Versions
from tests.factories import NOON
from tests.supervised import World, a_world

ALICE = StrategyId("alice")
READS = "import sys\nprint('{}')\nfor line in sys.stdin: print(line, end='')\n"


def code(word: str) -> Files:
    return {PurePosixPath("strategy.py"): READS.format(word).encode()}


def anybody(_: StrategySpec) -> None:
    """Allow it."""


@dataclass
class Kept:
    """What a deployment recorded, and what lay in the folder just then."""

    world: World
    stage: Stage = Stage.ACTIVE
    seen: list[tuple[str, str, RunStatus]] = field(default_factory=list)
    chosen: dict[StrategyId, tuple[VersionChosen, ...]] = field(default_factory=dict)

    async def keep(self, fact: VersionChosen | StageChanged) -> None:
        word = (self.world.strategies_dir / "alice" / "strategy.py").read_text().split("'")[1]
        what = fact.stage.value if isinstance(fact, StageChanged) else fact.how
        self.seen.append((what, word, self.world.status("alice")))
        if isinstance(fact, StageChanged):
            self.stage = fact.stage
        else:
            self.chosen[ALICE] = (*self.chosen.get(ALICE, ()), fact)


def a_deployer(tmp_path: Path, world: World, kept: Kept) -> Deployer:
    return Deployer(
        versions=Versions(root=tmp_path / "versions", strategies_dir=world.strategies_dir),
        runs=world.supervisor,
        clock=SystemClock(),
        keep=kept.keep,
        stage_of=lambda _: kept.stage,
        chosen=kept.chosen,
    )


async def test_what_runs_runs_the_new_version_and_then_the_old_again(tmp_path: Path, jail_root: Path) -> None:
    """Nobody has to stop and start anything."""
    async with a_world(tmp_path, jail_root, {"alice": READS.format("one")}, jailed=False) as world:
        deployer = a_deployer(tmp_path, world, Kept(world))
        await world.start("alice")
        await world.until_printed("alice", "one")
        done = await deployer.deploy(ALICE, code("two"), by="ada", allow=anybody)
        assert done.is_started
        await world.until_printed("alice", "two")
        back = await deployer.rollback(ALICE, None, by="ada", allow=anybody)
        assert (back.code_hash, back.previous) == (done.previous, done.code_hash)
        await world.until(lambda: world.starts("alice") == 3)
        assert "'one'" in (world.strategies_dir / "alice" / "strategy.py").read_text()


async def test_a_stricter_stage_holds_before_the_new_code_and_a_looser_one_after_the_old(
    tmp_path: Path, jail_root: Path
) -> None:
    """Wherever a kill cuts it off, the code that lies there is in a stage that is no looser than was asked for it."""
    async with a_world(tmp_path, jail_root, {"alice": READS.format("one")}, jailed=False) as world:
        kept = Kept(world)
        deployer = a_deployer(tmp_path, world, kept)
        await deployer.deploy(ALICE, code("two"), by="ada", allow=anybody, stage=Stage.SHADOW)
        await deployer.deploy(ALICE, code("three"), by="ada", allow=anybody, stage=Stage.ACTIVE)
        assert [(what, word) for what, word, _ in kept.seen] == [
            ("shadow", "one"),
            ("deploy", "one"),
            ("deploy", "two"),
            ("active", "three"),
        ]
        assert world.status("alice") is RunStatus.STOPPED  # nobody had started it


async def test_what_does_not_compile_or_is_not_allowed_changes_nothing(tmp_path: Path, jail_root: Path) -> None:
    """The old version goes on running, and nothing is recorded."""
    async with a_world(tmp_path, jail_root, {"alice": READS.format("one")}, jailed=False) as world:
        kept = Kept(world)
        deployer = a_deployer(tmp_path, world, kept)
        await world.start("alice")
        await world.until_printed("alice", "one")
        with pytest.raises(CannotDeploy, match=r"^alice/strategy\.py: line 1: "):
            await deployer.deploy(ALICE, {PurePosixPath("strategy.py"): b"def f(:"}, by="ada", allow=anybody)

        def nobody(_: StrategySpec) -> None:
            raise PermissionError("not yours")

        with pytest.raises(PermissionError):
            await deployer.deploy(ALICE, code("two"), by="ada", allow=nobody)
        assert kept.seen == []
        assert world.starts("alice") == 1
        assert [path.name for path in world.strategies_dir.iterdir()] == ["alice"]


def chosen(previous: str, code_hash: str) -> VersionChosen:
    return VersionChosen(strategy_id=ALICE, code_hash=code_hash, previous=previous, how="deploy", by="ada", at=NOON)


@pytest.mark.parametrize(
    ("history", "now", "expected"),
    [
        ([("", "a"), ("a", "b")], "b", "a"),
        ([("", "a"), ("a", "b"), ("b", "c")], "b", "a"),  # c was chosen, and the desk killed before the switch
        ([("", "a"), ("a", "b")], "edited", "b"),
        ([("", "a"), ("a", "b")], None, "b"),
        ([("", "a"), ("a", "b"), ("b", "a")], "a", "b"),  # a rollback of a rollback
    ],
)
def test_the_version_before_is_what_lay_there_before(
    history: list[tuple[str, str]], now: str | None, expected: str
) -> None:
    """Also where a choice did not come true, or somebody edited the folder by hand."""
    assert before([chosen(*one) for one in history], now)[0] == expected


def test_before_the_first_there_is_none() -> None:
    """Nothing is made up."""
    assert before([chosen("", "a")], "a") == []
    assert before([], "a") == []
