"""What is remembered of exits, as a fold of facts: how far each trail is, and which exits are on their way.

Rule 1: a trail begins at the average entry price, and moves by facts alone; it goes with its position.
Rule 2: an exit that was triggered is on its way until the position is flat.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from deskd.domain import events as ev
from deskd.domain.book import Position
from deskd.domain.exits import ExitKind
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol
from deskd.domain.money import Price, Qty
from deskd.domain.order import OrderRequest

RETRY_MIN = timedelta(seconds=5)  # after an order that executed nothing; doubles each time
RETRY_MAX = timedelta(minutes=5)

type Key = tuple[StrategyId, Symbol]


@dataclass(frozen=True, slots=True)
class Running:
    """An exit on its way."""

    why: ev.ExitTriggered
    order: ClientOrderId | None = None  # the latest that was asked for
    tried_at: datetime | None = None
    attempts: int = 0  # orders in a row that executed nothing

    @property
    def wait(self) -> timedelta:
        """Return how long after the last order the next one may go."""
        return min(RETRY_MIN * (1 << min(max(self.attempts - 1, 0), 10)), RETRY_MAX)


@dataclass(slots=True)
class ExitBook:
    """Trails and exits on their way, by strategy and symbol."""

    trails: dict[Key, Price] = field(default_factory=dict)
    running: dict[Key, Running] = field(default_factory=dict)

    def trail(self, position: Position) -> Price:
        """Return the best price that is known since the position is held."""
        known = self.trails.get((position.strategy_id, position.symbol), position.avg_entry_price)
        return max(known, position.avg_entry_price) if position.qty > 0 else min(known, position.avg_entry_price)

    def kind(self, who: StrategyId, symbol: Symbol) -> ExitKind | None:
        """Return which exit is on its way, if any."""
        running = self.running.get((who, symbol))
        return None if running is None else running.why.kind

    def trigger(self, fact: ev.ExitTriggered) -> None:
        """Let the exit be on its way."""
        self.running[fact.strategy_id, fact.symbol] = Running(fact)

    def move(self, fact: ev.TrailMoved) -> None:
        """Count the trail from the new price."""
        self.trails[fact.strategy_id, fact.symbol] = fact.price

    def ask(self, request: OrderRequest, at: datetime) -> None:
        """Remember the desk's own order, approved or denied."""
        key = request.strategy_id, request.symbol
        running = self.running.get(key)
        if request.exit is not None and running is not None:
            attempts = running.attempts + 1
            self.running[key] = replace(running, order=request.client_order_id, tried_at=at, attempts=attempts)

    def fill(self, request: OrderRequest, before: Qty, after: Qty) -> None:
        """Forget what belonged to a position that is flat now, or another one; an execution ends the row of failures."""
        key = request.strategy_id, request.symbol
        if before * after <= 0:
            self.trails.pop(key, None)
            self.running.pop(key, None)
        elif request.exit is not None and key in self.running:
            self.running[key] = replace(self.running[key], attempts=0)

    def step(self, by: timedelta) -> None:
        """Take along when an exit was last tried where the desk's clock was set: it is tried again when it would have been."""
        for key, running in self.running.items():
            if running.tried_at is not None:
                self.running[key] = replace(running, tried_at=running.tried_at + by)

    def split(self, symbol: Symbol, ratio: Decimal) -> None:
        """Count trails in new shares: *ratio* of them for one."""
        for key in [key for key in self.trails if key[1] == symbol]:
            self.trails[key] = Price(self.trails[key] / ratio)
