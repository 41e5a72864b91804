"""What the composition of a backtest decides by itself; the whole of it is proved in tests/whole/test_backtest.py."""

import pytest

from deskd.api.rate import TokenBucket
from deskd.app.backtesting import PATIENCE_S, NoHurry, must_be_on, patience_s
from deskd.backtest.clock import TapeClock
from deskd.config import Config, SandboxSection
from deskd.domain.errors import ConfigError
from deskd.domain.ids import Symbol
from deskd.venue.calendar import load_calendar
from deskd.venue.tapes import open_tape
from tests.factories import AAPL, NOON
from tests.market.given import a_spec


def test_no_request_is_one_too_many() -> None:
    """The market stands while a strategy asks: a rate by its time would refuse the second question."""
    bucket = TokenBucket(1, NoHurry(TapeClock(NOON)))
    assert [bucket.take() for _ in range(100)] == [0.0] * 100
    assert NoHurry(TapeClock(NOON)).now() == NOON


def test_patience_with_one_line_is_the_sandboxes() -> None:
    """An hour where it has none: a backtest that hangs for ever is no help."""
    assert patience_s(Config(sandbox=SandboxSection(stalled_after_s=2.0, stalled_end_after_s=3.0))) == 5.0
    assert patience_s(Config(sandbox=SandboxSection(stalled_after_s=0.0))) == PATIENCE_S


def test_a_tape_that_has_nothing_for_the_strategy_is_refused() -> None:
    """No line, no order, no P&L: that is not how the strategy did."""
    tape = open_tape(["synthetic"], calendar=load_calendar(), seed=1)
    with pytest.raises(ConfigError, match=r"no symbol of the strategy \(APPL\) is on this tape, which has "):
        must_be_on(tape, a_spec(symbols=(Symbol("APPL"),)))
    must_be_on(tape, a_spec(symbols=(Symbol("APPL"), AAPL)))
