"""Whatever clients, market and time do, in whatever order: the exchange keeps its promises."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from deskd.domain.events import BrokerStatus
from deskd.domain.order import OrderClass, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.exchange.checks import could_wash
from deskd.exchange.errors import ApiError
from deskd.exchange.exchange import restore
from deskd.exchange.fill_model import IMMEDIATE, PAPER
from deskd.exchange.order import FINAL, ExchangeOrder, NewOrder, OrderChanges, OrderWord
from deskd.exchange.promises import promised
from tests.exchange.given import ASSETS, MONDAY, a_day, an_exchange, cash, ny, price, qty
from tests.exchange.stored import Store

SYMBOLS = st.sampled_from(["AAPL", "SPY"])
CENTS = st.integers(9500, 10_500)
ENDS = ("filled_at", "canceled_at", "expired_at", "failed_at", "replaced_at")
MONEY = 20_000


def dollars(cents: int) -> Any:
    return price(Decimal(cents) / 100)  # type: ignore[arg-type]


@st.composite
def requests(draw: st.DrawFn) -> NewOrder:
    """Any order, most of them well formed."""
    order_type = draw(st.sampled_from(OrderType))
    order_class = draw(st.sampled_from([OrderClass.SIMPLE] * 3 + list(OrderClass)))
    tif = draw(st.sampled_from([TimeInForce.DAY, TimeInForce.GTC, *TimeInForce]))
    side = draw(st.sampled_from(Side))
    sign = 1 if side is Side.BUY else -1
    fields: dict[str, Any] = {}
    if order_class is OrderClass.OCO:
        order_type, sign = OrderType.LIMIT, -sign
    elif order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        fields["limit_price"] = dollars(draw(CENTS))
    if order_type in (OrderType.STOP, OrderType.STOP_LIMIT):
        fields["stop_price"] = dollars(draw(CENTS))
    if order_type is OrderType.TRAILING_STOP:
        fields[draw(st.sampled_from(["trail_price", "trail_percent"]))] = dollars(draw(st.integers(1, 300)))
    if order_class in (OrderClass.BRACKET, OrderClass.OCO) or (order_class is OrderClass.OTO and draw(st.booleans())):
        fields["take_profit"] = TakeProfit(limit_price=dollars(10_000 + sign * draw(st.integers(1, 600))))
    if order_class in (OrderClass.BRACKET, OrderClass.OCO) or (
        order_class is OrderClass.OTO and "take_profit" not in fields
    ):
        fields["stop_loss"] = StopLoss(stop_price=dollars(10_000 - sign * draw(st.integers(1, 600))))
    if order_class is OrderClass.SIMPLE and draw(st.integers(0, 5)) == 0:
        tif = TimeInForce.DAY
        if order_type is OrderType.MARKET and draw(st.booleans()):
            fields["notional"] = cash(draw(st.integers(1, 3000)))
        else:
            fields["qty"] = dollars(draw(st.integers(1, 5000)))
    if "notional" not in fields and "qty" not in fields:
        fields["qty"] = qty(draw(st.integers(1, 60)))
    return NewOrder(
        symbol=draw(SYMBOLS),
        side=side,
        order_type=order_type,
        time_in_force=tif,
        order_class=order_class,
        extended_hours=order_type is OrderType.LIMIT and order_class is OrderClass.SIMPLE and draw(st.booleans()),
        **fields,
    )


class Machine(RuleBasedStateMachine):
    """Random clients at a random market."""

    def __init__(self) -> None:
        super().__init__()
        self.day = a_day()
        self.now = ny("10:00")
        self.exchange = an_exchange(money=MONEY, now=self.now)
        self.store = Store()
        self.seen: dict[str, ExchangeOrder] = {}
        self.final: dict[str, ExchangeOrder] = {}
        self.ids: list[str] = []
        self.fills = IMMEDIATE

    @initialize(is_paper=st.booleans(), seed=st.integers(0, 1000), clock=st.sampled_from(["10:00", "08:00", "15:59"]))
    def open(self, is_paper: bool, seed: int, clock: str) -> None:
        self.now = ny(clock)
        self.fills = PAPER if is_paper else IMMEDIATE
        self.exchange = an_exchange(money=MONEY, now=self.now, fills=self.fills, seed=seed)
        self.exchange.on_session(self.day, self.now)
        for symbol in ("AAPL", "SPY"):
            self.exchange.on_trade(symbol, 100.0, 1, self.now)
            self.exchange.on_quote(symbol, 99.99, 1, 100.01, 1, self.now)

    # --- clients ---

    @rule(request=requests())
    def ask(self, request: NewOrder) -> None:
        self.submit(request)

    def submit(self, request: NewOrder) -> None:
        before = {s: self._position(s) for s in ("AAPL", "SPY")}
        answer = self.exchange.submit(request, self.now)
        if isinstance(answer, ApiError):
            assert answer.http in {403, 422}
            return
        assert answer.status in {BrokerStatus.PENDING_NEW, BrokerStatus.ACCEPTED}
        closes = not answer.position_intent.opens
        assert closes is (before[answer.symbol] * answer.side.sign < 0)
        self.ids += [answer.id, *answer.legs]

    @rule(symbol=SYMBOLS, side=st.sampled_from(Side), size=st.integers(1, 60))
    def take(self, symbol: str, side: Side, size: int) -> None:
        """Trade at the market, so that there are positions."""
        self._send(symbol, side, OrderType.MARKET, qty=qty(size))

    @rule(symbol=SYMBOLS, profit=st.integers(1, 600), loss=st.integers(1, 600), tif=st.sampled_from(["day", "gtc"]))
    def guard(self, symbol: str, profit: int, loss: int, tif: str) -> None:
        """Put an oco around a position."""
        position = self._position(symbol)
        sign = 1 if position > 0 else -1
        self._send(
            symbol,
            Side.SELL if position > 0 else Side.BUY,
            OrderType.LIMIT,
            TimeInForce(tif),
            qty=qty(max(1, int(abs(position)) // 2)),
            order_class=OrderClass.OCO,
            take_profit=TakeProfit(limit_price=dollars(10_000 + sign * profit)),
            stop_loss=StopLoss(stop_price=dollars(10_000 - sign * loss)),
        )

    @rule(symbol=SYMBOLS, sign=st.sampled_from([1, -1]), size=st.integers(2, 60), is_gtc=st.booleans())
    def enter(self, symbol: str, sign: int, size: int, is_gtc: bool) -> None:
        """Open with a bracket at the market."""
        self._send(
            symbol,
            Side.BUY if sign > 0 else Side.SELL,
            OrderType.MARKET,
            TimeInForce.GTC if is_gtc else TimeInForce.DAY,
            qty=qty(size),
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfit(limit_price=dollars(10_000 + sign * 300)),
            stop_loss=StopLoss(stop_price=dollars(10_000 - sign * 300)),
        )

    def _send(
        self,
        symbol: str,
        side: Side,
        order_type: OrderType,
        time_in_force: TimeInForce = TimeInForce.DAY,
        **fields: Any,
    ) -> None:
        self.submit(NewOrder(symbol=symbol, side=side, order_type=order_type, time_in_force=time_in_force, **fields))

    @rule(pick=st.integers(0, 200))
    def cancel(self, pick: int) -> None:
        order = self._pick(pick)
        if order is None:
            return
        was_open = order.is_open
        assert (self.exchange.cancel(order.id, self.now) is None) is was_open or not order.is_open

    @rule(
        pick=st.integers(0, 200),
        size=st.none() | st.integers(1, 80),
        limit=st.none() | CENTS,
        stop=st.none() | CENTS,
        trail=st.none() | st.integers(1, 300),
        tif=st.sampled_from([None, TimeInForce.DAY, TimeInForce.GTC]),
    )
    def replace(  # noqa: PLR0917  Hypothesis calls it
        self,
        pick: int,
        size: int | None,
        limit: int | None,
        stop: int | None,
        trail: int | None,
        tif: TimeInForce | None,
    ) -> None:
        order = self._pick(pick)
        if order is None:
            return
        changes = OrderChanges(
            qty=None if size is None else qty(size),
            limit_price=None if limit is None or order.limit_price is None else dollars(limit),
            stop_price=None if stop is None or order.order_type not in {"stop", "stop_limit"} else dollars(stop),
            trail=None if trail is None or order.order_type != "trailing_stop" else dollars(trail),
            time_in_force=tif,
        )
        answer = self.exchange.replace(order.id, changes, self.now)
        if isinstance(answer, ExchangeOrder):
            self.ids.append(answer.id)
            assert self.exchange.order(order.id).status is BrokerStatus.REPLACED  # type: ignore[union-attr]

    @rule(symbol=SYMBOLS, percentage=st.none() | st.integers(1, 100))
    def close(self, symbol: str, percentage: int | None) -> None:
        part = None if percentage is None else Decimal(percentage)
        answer = self.exchange.close_position(symbol, self.now, percentage=part)
        if isinstance(answer, ExchangeOrder):
            self.ids.append(answer.id)

    @rule()
    def cancel_all(self) -> None:
        self.exchange.cancel_all(self.now)
        assert not self.exchange.orders()
        assert self.exchange._portfolio.reserved == 0

    @rule(symbol=SYMBOLS)
    def reject(self, symbol: str) -> None:
        self.exchange.reject_next(symbol, "the market says no")

    # --- market and time ---

    @rule(symbol=SYMBOLS, bid=CENTS, spread=st.integers(-2, 20))
    def quote(self, symbol: str, bid: int, spread: int) -> None:
        self.exchange.on_quote(symbol, bid / 100, 1, (bid + spread) / 100, 1, self.now)

    @rule(symbol=SYMBOLS, at=CENTS)
    def move(self, symbol: str, at: int) -> None:
        """Move quote and last price together."""
        self.exchange.on_quote(symbol, at / 100, 1, (at + 1) / 100, 1, self.now)
        self.exchange.on_trade(symbol, at / 100, 1, self.now)

    @rule(symbol=SYMBOLS, at=CENTS)
    def trade(self, symbol: str, at: int) -> None:
        self.exchange.on_trade(symbol, at / 100, 1, self.now)

    @rule(symbol=SYMBOLS)
    def halt(self, symbol: str) -> None:
        """Halt the symbol; the next step of time resumes it."""
        self.exchange.on_halt(symbol, is_halted=True, now=self.now)

    @rule(milliseconds=st.sampled_from([1, 3, 5, 150, 150, 1000, 1000, 60_000, 3_600_000, 9_000_000]))
    def wait(self, milliseconds: int) -> None:
        self.now += timedelta(milliseconds=milliseconds)
        self.exchange.advance(self.now)
        for symbol in ("AAPL", "SPY"):
            self.exchange.on_halt(symbol, is_halted=False, now=self.now)
            self.exchange.on_quote(symbol, 99.99, 1, 100.0, 1, self.now)

    @rule(days=st.integers(1, 3), clock=st.sampled_from(["03:00", "08:00", "09:30", "12:00", "15:59"]))
    def next_day(self, days: int, clock: str) -> None:
        day = self.day.day + timedelta(days=days)
        self.day = a_day(day)
        self.now = max(self.now, ny(clock, day))
        self.exchange.on_session(self.day, self.now)

    @rule()
    def start_again(self) -> None:
        """Play the tape from its beginning again."""
        self.day = a_day(MONDAY)
        self.now = ny("09:30")
        self.exchange.on_session(self.day, self.now)

    @rule()
    def restart(self) -> None:
        """Kill the process, and let another one read what was stored."""
        self._listen()
        self.store.take(self.exchange)
        again = restore(fills=self.fills, assets=ASSETS, now=self.now, **self.store.rows())
        assert Store.picture(again) == Store.picture(self.exchange)
        again.on_session(self.day, self.now)
        self.exchange = again

    # --- promises ---

    @invariant()
    def statuses_only_go_forward(self) -> None:
        self._listen()
        for order_id in self.ids:
            order = self.exchange.order(order_id)
            assert order is not None
            if order_id in self.final:
                was = self.final[order_id]
                assert (order.status, order.filled_qty) == (was.status, was.filled_qty), "final is final"
            elif order.status in FINAL:
                self.final[order_id] = order.snapshot()
                assert sum(getattr(order, end) is not None for end in ENDS) == 1, "one time of ending"
                assert order.reserved == 0, "nothing final holds money"
            else:
                assert not any(getattr(order, end) for end in ENDS)

    @invariant()
    def fills_never_exceed_orders(self) -> None:
        for order_id in self.ids:
            order = self.exchange.order(order_id)
            assert order is not None
            was = self.seen.get(order_id)
            assert was is None or was.filled_qty <= order.filled_qty, "fills are never taken back"
            assert order.qty is None or 0 <= order.filled_qty <= order.qty
            assert order.notional is None or order.filled_notional <= order.notional
            assert (order.filled_avg_price is None) is (order.filled_qty == 0)
            self.seen[order_id] = order.snapshot()

    @invariant()
    def account_is_the_sum_of_its_fills(self) -> None:
        fills = self.exchange.activities(types={"FILL"}, page_size=10**9)
        money, shares = Decimal(MONEY), {"AAPL": Decimal(0), "SPY": Decimal(0)}
        for fill in fills:
            assert fill.side is not None
            assert fill.qty is not None
            assert fill.price is not None
            assert fill.symbol is not None
            money -= fill.side.sign * fill.qty * fill.price
            shares[fill.symbol] += fill.side.sign * fill.qty
        account = self.exchange.account()
        assert account.cash == money
        assert {s: self._position(s) for s in shares} == shares
        assert account.equity == account.cash + account.long_market_value + account.short_market_value
        values = [p.market_value for p in self.exchange.positions()]
        assert sum(values, Decimal(0)) == account.long_market_value + account.short_market_value

    @invariant()
    def reserved_is_what_open_orders_reserve(self) -> None:
        orders = self.exchange.orders(limit=10**9)
        assert self.exchange._portfolio.reserved == sum((o.reserved for o in orders), Decimal(0))
        assert all(o.reserved == 0 for o in orders if not o.position_intent.opens)

    @invariant()
    def nothing_is_sold_twice(self) -> None:
        for symbol in ("AAPL", "SPY"):
            orders = self._open(symbol)
            held, _ = promised(orders)
            assert held <= abs(self._position(symbol))
            for order in orders:
                if not order.position_intent.opens and order.status is not BrokerStatus.HELD:
                    assert self._position(symbol) * order.side.sign < 0, "an exit has something to exit"

    @invariant()
    def no_two_orders_could_wash(self) -> None:
        for symbol in ("AAPL", "SPY"):
            orders = self._open(symbol)
            for order in orders:
                if order.order_class is OrderClass.SIMPLE and order.order_type is not OrderType.TRAILING_STOP:
                    assert not any(could_wash(order.side, order.limit_price, o) for o in orders if o is not order)

    @invariant()
    def siblings_are_open_for_the_same(self) -> None:
        for symbol in ("AAPL", "SPY"):
            by_group: dict[str, set[Decimal]] = {}
            for order in self._open(symbol):
                if order.group_id is not None and order.group_role != "entry":
                    by_group.setdefault(order.group_id, set()).add(order.leaves_qty)
            assert all(len(sizes) == 1 for sizes in by_group.values())

    def _listen(self) -> None:
        for event in self.exchange.take_events():
            is_fill = event.event in {OrderWord.FILL, OrderWord.PARTIAL_FILL}
            assert is_fill is (event.qty is not None) is (event.price is not None) is (event.position_qty is not None)

    def _open(self, symbol: str) -> list[ExchangeOrder]:
        return self.exchange.orders(symbols={symbol}, limit=10**9)

    def _pick(self, pick: int) -> ExchangeOrder | None:
        return self.exchange.order(self.ids[-1 - pick % len(self.ids)]) if self.ids else None

    def _position(self, symbol: str) -> Decimal:
        view = self.exchange.position(symbol)
        return Decimal(0) if view is None else view.qty


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
