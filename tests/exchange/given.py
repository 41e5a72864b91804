"""A market day in New York, and an exchange that trades it. A test names only what it is about."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.exchange.account import Asset
from deskd.exchange.errors import ApiError
from deskd.exchange.exchange import Exchange
from deskd.exchange.fill_model import IMMEDIATE, FillModel
from deskd.exchange.order import ExchangeOrder, NewOrder, OrderEvent
from deskd.exchange.session import NEW_YORK, SessionDay

MONDAY = date(2026, 1, 5)


def ny(clock: str, day: date = MONDAY) -> datetime:
    """Return the instant at which a clock in New York says so (HH:MM or HH:MM:SS)."""
    hour, minute, second = (*map(int, clock.split(":")), 0)[:3]
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=NEW_YORK).astimezone(UTC)


def a_day(day: date = MONDAY, next_day: date | None = None, close: str = "16:00") -> SessionDay:
    after = next_day or day + timedelta(days=1)
    return SessionDay(
        day=day,
        extended_open_at=ny("04:00", day),
        open_at=ny("09:30", day),
        close_at=ny(close, day),
        extended_close_at=ny("20:00", day),
        next_day=after,
        next_extended_open_at=ny("04:00", after),
        next_open_at=ny("09:30", after),
        next_close_at=ny("16:00", after),
        next_extended_close_at=ny("20:00", after),
    )


NOON = ny("12:00")
ASSETS = (
    Asset(id="aaaa-aapl", symbol="AAPL", name="Apple", exchange="NASDAQ"),
    Asset(id="aaaa-spy", symbol="SPY", name="SPDR", exchange="ARCA"),
    Asset(id="aaaa-hard", symbol="HARD", name="Hard to borrow", exchange="NYSE", easy_to_borrow=False),
    Asset(id="aaaa-long", symbol="LONG", name="Not shortable", exchange="NYSE", shortable=False),
    Asset(id="aaaa-whole", symbol="WHOLE", name="Whole shares", exchange="NYSE", fractionable=False),
    Asset(id="aaaa-dead", symbol="DEAD", name="Delisted", exchange="NYSE", tradable=False),
    Asset(id="aaaa-cash", symbol="CASH", name="Not marginable", exchange="NYSE", marginable=False),
)


def qty(value: str | int) -> Qty:
    return Qty(Decimal(value))


def price(value: str | int) -> Price:
    return Price(Decimal(value))


def cash(value: str | int) -> Cash:
    return Cash(Decimal(value))


def a_request(**overrides: Any) -> NewOrder:
    fields: dict[str, Any] = {
        "symbol": "AAPL",
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
        "qty": None if "notional" in overrides else qty(10),
    }
    return NewOrder(**fields | overrides)


def a_buy(size: int | str = 10, **overrides: Any) -> NewOrder:
    return a_request(qty=qty(size), **overrides)


def a_sell(size: int | str = 10, **overrides: Any) -> NewOrder:
    return a_request(qty=qty(size), side=Side.SELL, **overrides)


def at_limit(limit: str | int, **overrides: Any) -> dict[str, Any]:
    return {"order_type": OrderType.LIMIT, "limit_price": price(limit), **overrides}


def profit(limit: str | int) -> TakeProfit:
    return TakeProfit(limit_price=price(limit))


def loss(stop: str | int, limit: str | int | None = None) -> StopLoss:
    return StopLoss(stop_price=price(stop), limit_price=None if limit is None else price(limit))


@dataclass(slots=True)
class Trading:
    """An exchange and its clock; what it says is kept in `events`."""

    exchange: Exchange
    now: datetime
    events: list[OrderEvent] = field(default_factory=list)

    def submit(self, request: NewOrder) -> ExchangeOrder:
        order = self.exchange.submit(request, self.now)
        assert isinstance(order, ExchangeOrder), order
        self._listen()
        return order

    def refused(self, request: NewOrder) -> ApiError:
        before = self.exchange.take_changes()
        error = self.exchange.submit(request, self.now)
        assert isinstance(error, ApiError), error
        assert not self.exchange.take_events(), "a refused order is no order"
        assert before is not None
        assert not self.exchange.take_changes().orders, "a refused order leaves nothing"
        return error

    def quote(self, symbol: str = "AAPL", bid: float = 99.99, ask: float = 100.0) -> None:
        self.exchange.on_quote(symbol, bid, 1, ask, 1, self.now)
        self._listen()

    def trade(self, at: float, symbol: str = "AAPL") -> None:
        self.exchange.on_trade(symbol, at, 100, self.now)
        self._listen()

    def wait(self, seconds: float) -> None:
        self.until(self.now + timedelta(seconds=seconds))

    def until(self, now: datetime) -> None:
        self.now = now
        self.exchange.advance(now)
        self._listen()

    def begin(self, day: SessionDay, now: datetime) -> None:
        self.now = now
        self.exchange.on_session(day, now)
        self._listen()

    def cancel(self, order: ExchangeOrder) -> ApiError | None:
        error = self.exchange.cancel(order.id, self.now)
        self._listen()
        return error

    def order(self, order: ExchangeOrder) -> ExchangeOrder:
        """Return the order as it stands now."""
        found = self.exchange.order(order.id)
        assert found is not None
        return found

    def status(self, order: ExchangeOrder) -> str:
        return self.order(order).status.value

    def legs(self, order: ExchangeOrder) -> list[ExchangeOrder]:
        legs = [self.exchange.order(leg_id) for leg_id in self.order(order).legs]
        return [leg for leg in legs if leg is not None]

    def words(self, order: ExchangeOrder | None = None) -> list[str]:
        """Return what was heard, of one order or of all."""
        return [e.event.value for e in self.events if order is None or e.order.id == order.id]

    def position(self, symbol: str = "AAPL") -> Decimal:
        view = self.exchange.position(symbol)
        return Decimal(0) if view is None else view.qty

    def _listen(self) -> None:
        self.events += self.exchange.take_events()


def an_exchange(
    *, fills: FillModel = IMMEDIATE, money: int | str = 100_000, now: datetime = NOON, seed: int = 1
) -> Exchange:
    return Exchange(assets=ASSETS, cash=cash(money), fills=fills, seed=seed, id_seed=7, now=now)


def trading(
    *,
    fills: FillModel = IMMEDIATE,
    money: int | str = 100_000,
    now: datetime = NOON,
    day: SessionDay | None = None,
    seed: int = 1,
    is_quoted: bool = True,
) -> Trading:
    """Return an exchange at *now* of a market day, AAPL quoted 99.99 to 100, last trade 100."""
    world = Trading(an_exchange(fills=fills, money=money, now=now, seed=seed), now)
    world.exchange.on_session(day or a_day(), now)
    if is_quoted:
        for asset in ASSETS:
            world.trade(100.0, asset.symbol)
            world.quote(asset.symbol)
    return world


def told(*values: object) -> tuple[object, ...]:
    """Return what was said, to be compared with plain numbers and words."""
    return values
