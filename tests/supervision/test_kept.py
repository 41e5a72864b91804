"""What is known of a strategy that nobody has started yet."""

from pathlib import Path

from deskd.domain.ids import StrategyId
from deskd.domain.run import RunStatus
from deskd.domain.strategy import BrokenStrategy
from deskd.supervision.kept import Kept
from deskd.supervision.lifecycle import Life


def test_nobody_keeps_what_was_only_found() -> None:
    """It rests from the beginning; what died too often is given up once nobody keeps it."""
    kept = Kept(BrokenStrategy(strategy_id=StrategyId("alice"), path=Path("alice"), problem="has no strategy.py"))
    seen = [(kept.at_rest.is_set(), kept.is_given_up)]
    kept.life = Life(status=RunStatus.FATAL)
    seen.append((kept.at_rest.is_set(), kept.is_given_up))
    kept.at_rest.clear()
    seen.append((kept.at_rest.is_set(), kept.is_given_up))
    assert seen == [(True, False), (True, True), (False, False)]
