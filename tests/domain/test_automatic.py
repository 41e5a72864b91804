"""The bounds of automatic kills are off where nobody says otherwise."""

from deskd.domain.automatic import LAGS_IN_A_ROW, OFF, AutomaticRules, LossBounds, Seen
from deskd.domain.money import ZERO


def test_nothing_is_bounded_unless_it_is_said() -> None:
    """The desk's defaults are the configuration's: the words have none."""
    rules = AutomaticRules()
    assert (rules.losses, rules.drift, rules.stale, rules.loop_lag) == ({}, OFF, OFF, OFF)
    assert (rules.deaths_max, rules.rejects_max) == (0, 0)
    assert LossBounds() == LossBounds(daily_loss_pct=ZERO, drawdown_pct=ZERO)
    assert Seen() == Seen(is_market_open=False, lag=OFF)
    assert LAGS_IN_A_ROW > 1
