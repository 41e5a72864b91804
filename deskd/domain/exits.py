"""When the desk closes a position by itself: the bounds, and what it looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from deskd.domain.ids import Symbol
from deskd.domain.market import Quote

type Percent = Decimal  # 2 is two percent


class ExitKind(StrEnum):
    """What closed, or is to close, a position."""

    STOP_LOSS = "stop_loss"  # it lost so much against its average entry price
    TRAILING = "trailing"  # it fell so far from the best price since it is held
    TAKE_PROFIT = "take_profit"  # it won so much against its average entry price
    BEFORE_CLOSE = "before_close"  # nothing is held over the close


# Those that end a loss: after them a strategy waits its cool-down as after a stop at the broker.
STOP_EXITS = frozenset({ExitKind.STOP_LOSS, ExitKind.TRAILING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRules:
    """One strategy's bounds, in percent of a price. None: no such exit."""

    stop_loss_pct: Percent | None = None
    take_profit_pct: Percent | None = None
    trailing_pct: Percent | None = None
    spread_max_pct: Percent = Decimal(2)  # of the midpoint: no exit rests on a quote that is wider
    by_symbol: Mapping[Symbol, "ExitRules"] = field(default_factory=dict)  # those that have rules of their own, whole

    def of(self, symbol: Symbol) -> "ExitRules":
        """Return the bounds of a position in the symbol."""
        return self.by_symbol.get(symbol, self)

    @property
    def is_any(self) -> bool:
        """Tell whether there is any exit, of all symbols or of one."""
        own = (self.stop_loss_pct, self.take_profit_pct, self.trailing_pct)
        return own != (None, None, None) or any(rules.is_any for rules in self.by_symbol.values())


NO_EXITS = ExitRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenQuote:
    """One symbol's quote at two looks in a row: what only one of them saw may be a bad tick."""

    symbol: Symbol
    quote: Quote
    before: Quote
