"""`exits` of config.json: a strategy's own exits only tighten the desk's, and what is wrong is said by name."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deskd.config import MarketSection, RiskExitsSection, RiskStrategySection
from deskd.domain.exits import NO_EXITS, ExitRules
from deskd.domain.ids import Symbol
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.supervision.discovery import Defaults, discover_one


def found(tmp_path: Path, exits: Any, **desk: str) -> StrategySpec | BrokenStrategy:
    folder = tmp_path / "alice"
    folder.mkdir()
    (folder / "strategy.py").write_text("pass\n")
    (folder / "config.json").write_text(json.dumps({} if exits is None else {"exits": exits}))
    section = RiskExitsSection.model_validate({name: Decimal(value) for name, value in desk.items()})
    defaults = Defaults(market=MarketSection(), risk=RiskStrategySection(), exits=section)
    return discover_one(folder, defaults, lambda sources: [None] * len(sources))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, NO_EXITS),
        ({}, NO_EXITS),
        ({"stop_loss_pct": 2}, ExitRules(stop_loss_pct=Decimal(2))),
        (
            {"take_profit_pct": 4.5, "trailing_pct": "3"},
            ExitRules(take_profit_pct=Decimal("4.5"), trailing_pct=Decimal(3)),
        ),
        (
            {"stop_loss_pct": 2, "trailing_pct": 3, "symbols": {"SPY": {"stop_loss_pct": 5}}},
            ExitRules(
                stop_loss_pct=Decimal(2),
                trailing_pct=Decimal(3),
                by_symbol={Symbol("SPY"): ExitRules(stop_loss_pct=Decimal(5), trailing_pct=Decimal(3))},
            ),
        ),
    ],
)
def test_a_strategy_says_its_own_exits(tmp_path: Path, given: Any, expected: ExitRules) -> None:
    """Numbers or texts, exact; nothing where it says nothing."""
    spec = found(tmp_path, given)
    assert isinstance(spec, StrategySpec)
    assert spec.exits == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stop_loss": 2}, 'exits.stop_loss: is no known key: did you mean "stop_loss_pct"?'),
        ({"stop_loss_pct": 0}, "exits.stop_loss_pct: must be over 0 and under 100"),
        ({"stop_loss_pct": -2}, "exits.stop_loss_pct: must be over 0 and under 100"),
        ({"trailing_pct": 100}, "exits.trailing_pct: must be over 0 and under 100"),
        ({"trailing_pct": True}, "exits.trailing_pct: must be a number"),
        ({"trailing_pct": "much"}, "exits.trailing_pct: is not a decimal number"),
        ({"take_profit_pct": [1]}, "exits.take_profit_pct: must be a number"),
        ({"symbols": ["SPY"]}, "exits.symbols: must be an object"),
        (
            {"symbols": {"spy": {"trailing_pct": 3}}},
            'exits.symbols.spy: the strategy does not trade it: did you mean "SPY"?',
        ),
        ({"symbols": {"ZZZZZ": {"trailing_pct": 3}}}, "exits.symbols.ZZZZZ: the strategy does not trade it: add it to"),
        ({"symbols": {"SPY": {}}}, "exits.symbols.SPY: says nothing: give one of stop_loss_pct, take_profit_pct"),
        ({"symbols": {"SPY": {"stop_loss_pct": 0}}}, "exits.symbols.SPY.stop_loss_pct: must be over 0 and under 100"),
        ({"symbols": {"SPY": {"stop": 1}}}, "exits.symbols.SPY.stop: is no known key: known keys are stop_loss_pct"),
        ({"symbols": {"SPY": {"stop_los_pct": 1}}}, 'stop_los_pct: is no known key: did you mean "stop_loss_pct"?'),
    ],
)
def test_what_is_wrong_is_said_by_name(tmp_path: Path, given: Any, said: str) -> None:
    """Key, rule and remedy; no exit is guessed."""
    broken = found(tmp_path, given)
    assert isinstance(broken, BrokenStrategy)
    assert said in broken.problem


def test_an_exit_that_is_looser_than_the_desks_is_refused(tmp_path: Path) -> None:
    """Tighter is fine; where the desk has none, all are."""
    broken = found(tmp_path, {"stop_loss_pct": 6}, stop_loss_pct="5")
    assert isinstance(broken, BrokenStrategy)
    assert "exits.stop_loss_pct: 6 is looser than the desk's 5" in broken.problem


def test_a_symbols_exit_that_is_looser_than_the_desks_is_refused(tmp_path: Path) -> None:
    """It may be wider than the strategy's own for all others."""
    wider = {"stop_loss_pct": 2, "symbols": {"SPY": {"stop_loss_pct": 5}}}
    broken = found(tmp_path, wider, stop_loss_pct="4")
    assert isinstance(broken, BrokenStrategy)
    assert "exits.symbols.SPY.stop_loss_pct: 5 is looser than the desk's 4" in broken.problem


def test_an_exit_as_tight_as_the_desks_is_taken(tmp_path: Path) -> None:
    """The bound itself is allowed."""
    spec = found(tmp_path, {"stop_loss_pct": 5, "trailing_pct": 50}, stop_loss_pct="5")
    assert isinstance(spec, StrategySpec)
