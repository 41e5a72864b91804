"""What the ledger is told of strategies."""

from pathlib import Path

from deskd.domain.events import StrategyRegistered
from tests.supervised import a_world, write_strategy


async def test_what_was_not_changed_is_told_once(tmp_path: Path, jail_root: Path) -> None:
    """A ledger does not grow by looking; a changed strategy, or a new one, is a fact."""
    async with a_world(tmp_path, jail_root, {"alice": "print(1)"}, jailed=False) as world:
        await world.supervisor.reread()
        write_strategy(world.strategies_dir, "alice", "print(2)")
        write_strategy(world.strategies_dir, "bob", "def f(:")  # broken: nobody registers it
        await world.supervisor.reread()
        told = [fact.strategy_id for fact in world.facts if isinstance(fact, StrategyRegistered)]
        assert told == ["alice", "alice"]
        assert len(world.specs) == 3
