"""The bounds at which the desk pulls the kill switch by itself. 0 turns one off."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from deskd.domain.kill import KillDepth, KillScope
from deskd.domain.money import ZERO

OFF = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossBounds:
    """What a scope may lose, in percent."""

    daily_loss_pct: Decimal = ZERO  # of its allocations, since the market day began
    drawdown_pct: Decimal = ZERO  # of the peak of its equity


NO_BOUNDS = LossBounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticRules:
    """What pulls a kill, and how deep it goes."""

    depth: KillDepth = KillDepth.STOP_NEW
    losses: Mapping[KillScope, LossBounds] = field(default_factory=dict)
    drift: timedelta = OFF  # a difference with the broker is open so long
    stale: timedelta = OFF  # a stream of the broker is away so long while the market is open
    window: timedelta = timedelta(minutes=1)  # of the counts below
    deaths_max: int = 0  # of most members: kills the desk; of one: kills the member
    rejects_max: int = 0
    loop_lag: timedelta = OFF  # so late is every one of LAGS_IN_A_ROW looks
    broker_errors_max: int = 0  # requests that the broker failed or left unanswered, in the window


LAGS_IN_A_ROW = 5  # one late look is a stopped process or a busy machine; five are a desk that does not keep up


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What of the desk's surroundings is looked at."""

    is_market_open: bool = False  # False, too, while the broker's clock is not known
    lag: timedelta = OFF  # the least by which the last LAGS_IN_A_ROW looks were late
    broker_errors: int = 0  # requests that failed at the broker within the window, since the desk was last released
