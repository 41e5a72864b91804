"""What the desk learns of its account after the stream was away."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from deskd.alpaca.resync import STRANGERS_LISTED, History, snapshot
from deskd.domain import events as ev
from deskd.domain.activity import Activity
from deskd.domain.events import BrokerOrder, BrokerPosition, BrokerStatus
from deskd.domain.ids import ActivityId, BrokerOrderId, ClientOrderId, StrategyId, Symbol
from deskd.domain.market import Instrument, MarketClock
from deskd.domain.money import Cash
from deskd.domain.order import Fill, Order, OrderRequest, OrderStatus
from deskd.domain.priority import Priority
from deskd.ports import Broker, RawMarketMessage
from tests.factories import AAPL, NOON, a_broker_order, a_fill, a_request, cash, price, qty


@dataclass
class Books:
    """A broker that knows its orders (keeps the promises of ports.Broker, as far as a look goes)."""

    open: list[BrokerOrder] = field(default_factory=list)
    done: list[BrokerOrder] = field(default_factory=list)
    executed: dict[BrokerOrderId, list[Fill]] = field(default_factory=dict)
    unclear: set[ClientOrderId] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    time: datetime = NOON
    history: list[Activity] = field(default_factory=list)
    others: list[Activity] = field(default_factory=list)
    pages: int = 1
    strangers: list[BrokerOrder] = field(default_factory=list)

    async def orders(self, *, after: datetime | None = None, is_open: bool = False) -> Sequence[BrokerOrder]:
        self.asked.append("open" if is_open else f"since {after:%H:%M}")
        return list(self.open) if is_open else [*self.done, *self.open, *self.strangers]

    async def look_up(self, client_order_id: ClientOrderId) -> ev.OrderLookedUp | None:
        self.asked.append(client_order_id)
        if client_order_id in self.unclear:
            return None
        found = next((o for o in self.open + self.done if o.client_order_id == client_order_id), None)
        fills = tuple(self.executed.get(found.broker_order_id, ())) if found else ()
        return ev.OrderLookedUp(client_order_id=client_order_id, order=found, fills=fills, at=NOON)

    async def fills(self, *, after: datetime) -> Mapping[BrokerOrderId, Sequence[Fill]]:
        self.asked.append(f"fills since {after:%H:%M}")
        return self.executed

    async def account(self) -> tuple[Cash, Cash, Cash]:
        self.asked.append("account")
        return cash(1), cash(2), cash(3)

    async def positions(self) -> Sequence[BrokerPosition]:
        self.asked.append("positions")
        return [BrokerPosition(symbol=AAPL, qty=qty(4), avg_entry_price=price(100))]

    async def submit(
        self, request: OrderRequest, *, priority: Priority, leaves: Callable[[], str | None]
    ) -> ev.SubmitInDoubt:
        raise AssertionError("a look at the account does not ask for this")

    async def replace(
        self,
        request: OrderRequest,
        broker_order_id: BrokerOrderId,
        *,
        priority: Priority,
        leaves: Callable[[], str | None],
    ) -> ev.SubmitInDoubt:
        raise AssertionError("a look at the account does not ask for this")

    def crowded(self, strategy_id: StrategyId) -> tuple[float, str] | None:
        raise AssertionError("a look at the account does not ask for this")

    def weigh(self, weights: Mapping[StrategyId, float]) -> None:
        raise AssertionError("a look at the account does not ask for this")

    def withdraw(self, why: str, client_order_id: ClientOrderId | None = None) -> None:
        raise AssertionError("a look at the account does not ask for this")

    async def cancel(self, client_order_id: ClientOrderId, broker_order_id: BrokerOrderId) -> ev.CancelInDoubt:
        raise AssertionError("a look at the account does not ask for this")

    async def cancel_all(
        self, orders: Sequence[tuple[ClientOrderId, BrokerOrderId]]
    ) -> Sequence[ev.CancelAnswered | ev.CancelInDoubt | ev.CancelAllAnswered]:
        raise AssertionError("a look at the account does not ask for this")

    async def activities(
        self, *, after: datetime, until: datetime | None = None, is_trade: bool, pages_max: int = 200
    ) -> Sequence[Activity]:
        if not is_trade:
            return self.others
        up_to = "" if until is None else f" to {until:%H:%M}"
        self.asked.append(f"history {after:%d %H:%M}{up_to}")
        if pages_max < self.pages:
            raise ConnectionError("the account's history does not end")
        return self.history

    async def order(self, broker_order_id: BrokerOrderId) -> BrokerOrder | None:
        self.asked.append(f"order {broker_order_id}")
        return next((o for o in self.strangers if o.broker_order_id == broker_order_id), None)

    async def clock(self) -> MarketClock:
        return MarketClock(timestamp=self.time, is_open=True, next_open=NOON, next_close=NOON)

    async def instruments(self) -> Sequence[Instrument]:
        raise AssertionError("a look at the account does not ask for this")

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        raise AssertionError("a look at the account does not ask for this")


def ours(oid: str) -> Order:
    request = a_request(client_order_id=ClientOrderId(oid))
    return Order(request=request, status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON)


def theirs(oid: str, status: BrokerStatus = BrokerStatus.NEW, filled: int = 0) -> BrokerOrder:
    return a_broker_order(a_request(client_order_id=ClientOrderId(oid)), status=status, filled_qty=qty(filled))


async def look(
    broker: Broker,
    *open_orders: Order,
    since: datetime | None = None,
    count: Callable[[], int] = lambda: 7,
    history: History | None = None,
) -> ev.BrokerSnapshot:
    return await snapshot(
        broker,
        open_orders=open_orders,
        since=since,
        fill_counter=count,
        history=history or a_history(),
        now=lambda: NOON,
        why="a test",
    )


def a_history(
    *,
    read_until: datetime | None = NOON,
    is_wide: bool = False,
    knows: Callable[[Activity], bool] = lambda _: False,
    ours: Collection[str] = (),
) -> History:
    return History(read_until=read_until, is_wide=is_wide, knows=knows, is_ours=lambda oid: oid in ours)


def an_execution(order: BrokerOrder, *, execution: str = "fill") -> Activity:
    fill = a_fill(order, 1, cumulative=1)
    return Activity(
        activity_id=ActivityId(f"{execution} of {order.broker_order_id}"),
        kind="FILL",
        at=NOON,
        symbol=AAPL,
        execution=execution,
        broker_order_id=order.broker_order_id,
        fill=fill if execution == "fill" else None,
    )


async def test_an_order_that_ended_meanwhile_comes_with_its_fills() -> None:
    """A fill inside a black hole never came by the stream: the look brings it, under the stream's name for it."""
    order = theirs("a", BrokerStatus.FILLED, filled=10)
    fill = a_fill(order, 10, cumulative=10)
    books = Books(done=[order], executed={order.broker_order_id: [fill]})
    seen = await look(books, ours("a"))
    assert seen.orders == (order,)
    assert seen.fills == (("a", (fill,)),)
    assert (seen.missing, seen.fill_count, seen.why) == ((), 7, "a test")


async def test_an_order_the_broker_does_not_have_is_missing() -> None:
    """Only the broker's own `not found` says so."""
    assert (await look(Books(), ours("a"))).missing == ("a",)


async def test_an_unclear_answer_fails_the_whole_look() -> None:
    """Half a picture is none: the caller looks again."""
    with pytest.raises(ConnectionError, match="no clear answer about order a"):
        await look(Books(unclear={ClientOrderId("a")}), ours("a"))


async def test_an_open_order_without_news_costs_no_request() -> None:
    """Five hundred quiet orders are one list."""
    books = Books(open=[theirs(f"o{n}") for n in range(500)])
    seen = await look(books, *(ours(f"o{n}") for n in range(500)))
    assert len(seen.orders) == 500
    assert books.asked == ["open", "history 05 16:59 to 17:01", "positions", "account"], (
        "orders first: positions may lag them"
    )


async def test_news_of_many_orders_are_one_list_of_fills() -> None:
    """Many fills behind: one list since then, and one by one only what it did not cover."""
    orders = [theirs(f"o{n}", BrokerStatus.PARTIALLY_FILLED, filled=4) for n in range(10)]
    executed = {o.broker_order_id: [a_fill(o, 4, cumulative=4)] for o in orders}
    old = orders[3]
    executed[old.broker_order_id] = [a_fill(old, 1, cumulative=4)]  # the rest was before `since`
    books = Books(open=orders, executed=executed)
    seen = await look(books, *(ours(f"o{n}") for n in range(10)), since=NOON - timedelta(minutes=5))
    assert books.asked[:4] == ["open", "since 16:55", "fills since 16:55", "o3"]
    assert len(seen.fills) == 10


async def test_orders_done_lately_are_shown_though_the_desk_thinks_them_done() -> None:
    """An order that arrived after all, a late fill: the core compares, and decides."""
    late = theirs("late", BrokerStatus.FILLED, filled=10)
    seen = await look(Books(done=[late]), since=NOON)
    assert seen.orders == (late,)


async def test_the_look_is_as_old_as_its_question() -> None:
    """A fill that arrives while the broker is asked makes the look too old; the count before says so."""
    count = 0

    class Moving(Books):
        async def positions(self) -> Sequence[BrokerPosition]:
            nonlocal count
            count += 1
            await asyncio.sleep(0)
            return ()

    seen = await look(Moving(), count=lambda: count)
    assert (seen.fill_count, count) == (0, 1)


async def test_what_was_filled_before_is_not_asked_again() -> None:
    """A desk that knows the first four of ten asks only for orders with more."""
    known = replace(ours("a"), filled_qty=qty(4), status=OrderStatus.PARTIALLY_FILLED)
    books = Books(open=[theirs("a", BrokerStatus.PARTIALLY_FILLED, filled=4)])
    assert (await look(books, known)).fills == ()


async def test_history_is_read_from_the_last_look_on() -> None:
    """Executions since then with an overlap; what the desk knows is left out."""
    known, new = an_execution(theirs("known")), an_execution(theirs("new"))
    fee = Activity(activity_id=ActivityId("fee"), kind="FEE", at=NOON, cash=cash(-1))
    books = Books(time=NOON + timedelta(hours=1), history=[known, new], others=[fee])
    seen = await look(books, history=a_history(knows=lambda a: a is known, ours=("b-known", "b-new")))
    assert seen.activities == (new, fee)
    assert seen.market_at == books.time
    assert "history 05 16:59 to 18:01" in books.asked


@pytest.mark.parametrize(
    ("time", "history", "asked"),
    [
        (NOON, a_history(is_wide=True), "history 04 17:00"),  # a difference is suspected
        (NOON - timedelta(hours=3), a_history(), "history 04 14:00 to 14:01"),  # the tape began anew
        (NOON, a_history(read_until=None), "history 05 16:59 to 17:01"),  # the first look
    ],
)
async def test_a_look_goes_further_back_where_it_must(time: datetime, history: History, asked: str) -> None:
    """A day, where a difference wants to be explained or lines were written into the past."""
    books = Books(time=time)
    await look(books, history=history)
    assert asked in books.asked


async def test_a_wide_look_that_would_take_too_long_is_a_narrow_one() -> None:
    """The broker's requests are for orders first."""
    books = Books(pages=21)
    await look(books, history=a_history(is_wide=True))
    assert books.asked[-3:] == ["history 05 16:59 to 17:01", "positions", "account"]


async def test_orders_that_are_not_known_by_their_id_come_with_their_description() -> None:
    """An order that the desk gave up is known by its client_order_id; a stranger's is none of ours."""
    given_up, gone = theirs("given-up"), theirs("gone")
    books = Books(history=[an_execution(given_up), an_execution(gone)], strangers=[given_up])
    seen = await look(books)
    assert seen.orders == (given_up,)
    assert books.asked[2:4] == ["order b-given-up", "order b-gone"]


async def test_an_order_with_a_corrected_fill_is_described_as_it_is_now() -> None:
    """Its totals are younger than the correction, though it was listed before."""
    before, after = theirs("a", BrokerStatus.FILLED, filled=10), theirs("a", BrokerStatus.FILLED)
    books = Books(open=[before], history=[an_execution(after, execution="trade_bust")], strangers=[after])
    assert (await look(books, history=a_history(ours=("b-a",)))).orders == (after,)


async def test_many_strangers_are_listed_at_once() -> None:
    """A day's trading by hand is not fetched order by order."""
    strangers = [theirs(f"s{number}") for number in range(STRANGERS_LISTED + 1)]
    books = Books(history=[an_execution(o) for o in strangers], strangers=strangers)
    assert set((await look(books)).orders) == set(strangers)
    assert not [a for a in books.asked if a.startswith("order ")]
