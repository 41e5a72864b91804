"""Exit rules: of all symbols, and of one."""

from decimal import Decimal

from deskd.domain.exits import NO_EXITS, ExitRules
from tests.factories import AAPL, SPY

WIDE = ExitRules(stop_loss_pct=Decimal(5))


def test_a_symbols_own_rules_hold_in_the_place_of_the_others() -> None:
    """Every other symbol has those of all."""
    rules = ExitRules(stop_loss_pct=Decimal(2), by_symbol={AAPL: WIDE})
    assert rules.of(AAPL) is WIDE
    assert rules.of(SPY) is rules


def test_rules_of_one_symbol_are_rules() -> None:
    """A strategy that has only these has its prices looked at."""
    assert WIDE.is_any
    assert ExitRules(by_symbol={AAPL: WIDE}).is_any
    assert not NO_EXITS.is_any
    assert not ExitRules(by_symbol={AAPL: NO_EXITS}).is_any
