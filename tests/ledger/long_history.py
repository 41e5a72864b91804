"""A long life of a desk, through the real desk: orders of every fate, many strategies, some orders still open."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from deskd.core.deciding import handle
from deskd.core.desk import TRADES, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId, RunId, StrategyId, Symbol, UserId
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.domain.run import StrategyStatus
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from tests.factories import (
    AAPL,
    DAY,
    MONDAY,
    NOON,
    SPY,
    a_broker_order,
    a_fill,
    a_quote,
    a_request,
    a_snapshot,
    an_instrument,
    cash,
    price,
    qty,
    registered,
    requested,
    some_limits,
    updated,
)

BATCH = 200  # orders whose facts are one commit
_NEW_YORK = ZoneInfo("America/New_York")


@dataclass(kw_only=True)
class LongHistory:
    """So many orders, of which the last stay open. `batches` plays it once; `desk` is where it leads."""

    orders: int
    open_orders: int
    strategies: int = 20
    ends_at: datetime = NOON
    acknowledged: Mapping[ClientOrderId, tuple[BrokerOrderId, datetime]] = field(default_factory=dict)
    desk: Desk = field(init=False)
    _facts: list[ev.Fact] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits = some_limits(open_orders_max=10_000, orders_per_day_max=1_000_000)
        self.desk = Desk(
            limits=dict.fromkeys(self.names, limits),
            instruments={s: an_instrument(s) for s in (AAPL, SPY)},
            calendar={MONDAY: DAY},
        )

    @property
    def names(self) -> list[StrategyId]:
        return [StrategyId(f"strategy-{number:02}") for number in range(self.strategies)]

    def open_requests(self) -> list[OrderRequest]:
        """Return the orders that stay open: far under the market, until canceled."""
        return [self._resting(number) for number in range(self.orders - self.open_orders, self.orders)]

    def batches(self) -> Iterator[list[ev.Fact]]:
        """Yield the facts of it, a commit each."""
        yield self._opening()
        for number in range(self.orders):
            if number >= self.orders - self.open_orders:
                self._stays_open(number)
            else:
                FATES[number % len(FATES)](self, number)
            if number % BATCH == BATCH - 1:
                yield self._taken()
        self._happens(ev.DeskStopped(at=self.ends_at))
        yield self._taken()

    async def write(self, path: Path) -> None:
        """Make the ledger at *path* of it."""
        async with await LedgerStore.open(path) as ledger:
            for facts in self.batches():
                await ledger.append(facts, project(facts, self.desk))

    # --- what becomes of orders --------------------------------------------------------------------------------------

    def _opening(self) -> list[ev.Fact]:
        at = self._at(0)
        self._happens(ev.DeskStarted(version="0", broker="embedded", at=at))
        self._happens(ev.TradeStreamChanged(is_up=True, why="listening", at=at))
        self._happens(a_snapshot(at=at))
        for name in self.names:
            self._happens(replace(registered(name), at=at))
            self._happens(ev.StrategyStatusChanged(strategy_id=name, status=StrategyStatus.ACTIVE, why="start", at=at))
            self._happens(ev.AllocationChanged(strategy_id=name, allocation=cash(5_000), by="desk.toml", at=at))
            self._happens(ev.RunStarted(run_id=RunId(f"{name}-1"), strategy_id=name, at=at))
        assert self.desk.is_trade_stream_up, f"{TRADES} is up"
        return self._taken()

    def _filled(self, number: int) -> None:
        """Buy two in two pieces, or sell them again at the same price: the books come back to where they were."""
        ten, place = divmod(number, len(FATES))
        request = self._request(number, side=Side.BUY if place in BUYS else Side.SELL, qty=qty(2))
        self._asks(request, number)
        self._accepts(request, number)
        for cumulative, status in ((1, BrokerStatus.PARTIALLY_FILLED), (2, BrokerStatus.FILLED)):
            order = self._theirs(request, number, status=status, filled_qty=qty(cumulative))
            fill = a_fill(order, 1, cumulative=cumulative, at_price=f"{90 + ten % 10}.25")
            self._happens(replace(updated(order, fill=replace(fill, at=self._at(number))), at=self._at(number)))

    def _canceled(self, number: int) -> None:
        request = self._limit(number)
        self._asks(request, number)
        self._accepts(request, number)
        self._happens(
            ev.CancelRequested(client_order_id=request.client_order_id, by=request.user_id, at=self._at(number))
        )
        self._ends(request, number, BrokerStatus.CANCELED)

    def _expired(self, number: int) -> None:
        request = self._limit(number)
        self._asks(request, number)
        self._accepts(request, number)
        self._ends(request, number, BrokerStatus.EXPIRED)

    def _denied(self, number: int) -> None:
        self._asks(self._request(number, qty=qty(999)), number)

    def _rejected(self, number: int) -> None:
        request = self._limit(number)
        self._asks(request, number)
        words = "asset SPY cannot be traded now"
        self._happens(ev.SubmitRejected(client_order_id=request.client_order_id, message=words, at=self._at(number)))

    def _bracket(self, number: int) -> None:
        """Ask for an entry with two legs; cancel it, and the legs with it."""
        request = replace(
            self._limit(number),
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfit(limit_price=price(110)),
            stop_loss=StopLoss(stop_price=price(40)),
        )
        self._asks(request, number)
        legs = [
            self._theirs(self._leg(request, part, kind, number), number, status=BrokerStatus.HELD)
            for part, kind in (("tp", OrderType.LIMIT), ("sl", OrderType.STOP))
        ]
        self._accepts(request, number, legs=tuple(legs))
        self._ends(request, number, BrokerStatus.CANCELED)
        for part, kind in (("tp", OrderType.LIMIT), ("sl", OrderType.STOP)):
            self._ends(self._leg(request, part, kind, number), number, BrokerStatus.CANCELED)

    def _stays_open(self, number: int) -> None:
        request = self._resting(number)
        self._asks(request, number)
        self._accepts(request, number)

    # --- the pieces --------------------------------------------------------------------------------------------------

    def _happens(self, event: ev.Event) -> None:
        self._facts.extend(e.fact for e in handle(self.desk, event) if isinstance(e, ef.Record))

    def _taken(self) -> list[ev.Fact]:
        taken, self._facts = self._facts, []
        return taken

    def _at(self, number: int) -> datetime:
        """Return when the order came: a thousand a day, some seconds apart."""
        days, in_day = divmod(self.orders - 1 - number, 1_000)
        return self.ends_at - timedelta(days=days, seconds=10 * in_day + 60)

    def _request(self, number: int, **overrides: object) -> OrderRequest:
        name = self.names[number // (2 * len(FATES)) % self.strategies]
        return a_request(
            strategy_id=name,
            user_id=UserId(name.replace("strategy", "member")),
            client_order_id=ClientOrderId(f"7f3c1a52-0e55-4c1b-9d3a-{number:012}"),
            symbol=SPY if number // len(FATES) % 3 else AAPL,
            **overrides,
        )

    def _limit(self, number: int) -> OrderRequest:
        return self._request(number, order_type=OrderType.LIMIT, limit_price=price("50.25"), reason="a small test")

    def _resting(self, number: int) -> OrderRequest:
        plain = self._request(number, order_type=OrderType.LIMIT, limit_price=price("1"), qty=qty(1))
        return replace(plain, time_in_force=TimeInForce.GTC)

    def _leg(self, parent: OrderRequest, part: str, kind: OrderType, number: int) -> OrderRequest:
        return replace(
            parent,
            client_order_id=ClientOrderId(f"9b1f-{part}-{number:012}"),
            side=Side.SELL,
            order_type=kind,
            limit_price=price(110) if kind is OrderType.LIMIT else None,
            stop_price=price(40) if kind is OrderType.STOP else None,
            take_profit=None,
            stop_loss=None,
        )

    def _asks(self, request: OrderRequest, number: int) -> None:
        at = self._at(number)
        symbol: Symbol = request.symbol
        quote = a_quote(symbol=symbol, quoted_at=at, received_at=at)
        day = at.astimezone(_NEW_YORK).date()
        self._happens(requested(request, quote=quote, market_day=day, at=at))

    def _theirs(self, request: OrderRequest, number: int, **overrides: object) -> ev.BrokerOrder:
        oid = request.client_order_id
        known = (BrokerOrderId(f"b-{oid}"), self._at(number))
        broker_order_id, submitted_at = self.acknowledged.get(oid, known)
        return a_broker_order(request, broker_order_id=broker_order_id, submitted_at=submitted_at, **overrides)

    def _accepts(self, request: OrderRequest, number: int, **overrides: object) -> None:
        order = self._theirs(request, number, **overrides)
        self._happens(ev.SubmitAccepted(client_order_id=request.client_order_id, order=order, at=self._at(number)))

    def _ends(self, request: OrderRequest, number: int, status: BrokerStatus) -> None:
        self._happens(replace(updated(self._theirs(request, number, status=status)), at=self._at(number)))


# One order in ten each; after every ten the strategy is flat again.
FATES = (
    LongHistory._filled,
    LongHistory._canceled,
    LongHistory._filled,
    LongHistory._filled,
    LongHistory._expired,
    LongHistory._filled,
    LongHistory._bracket,
    LongHistory._denied,
    LongHistory._canceled,
    LongHistory._rejected,
)
BUYS = (0, 3)  # of the fates; the other two that are filled sell
