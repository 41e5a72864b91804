"""What the account's history means: members' fills, the house's bookings, and what is only noted."""

from datetime import timedelta
from typing import Any

import pytest

from deskd.core import activities
from deskd.core.standing import DISTRIBUTE, Standing
from deskd.domain import events as ev
from deskd.domain.activity import Activity, HouseCause
from deskd.domain.ids import ActivityId, BrokerOrderId, Symbol
from deskd.domain.order import Order, OrderStatus, Side
from tests.factories import AAPL, NOON, a_broker_order, a_fill, a_request, a_snapshot, cash, price, qty

OURS = Order(
    request=a_request(),
    status=OrderStatus.CANCELED,
    requested_at=NOON,
    updated_at=NOON,
    broker_order_id=BrokerOrderId("b-alice-1"),
)
FILL = a_fill(a_broker_order(), 4, cumulative=4)


def line(name: str = "a", kind: str = "FEE", **fields: Any) -> Activity:
    return Activity(activity_id=ActivityId(name), kind=kind, **{"at": NOON} | fields)


def execution(order: str, **fields: Any) -> Activity:
    return line(
        f"of {order}",
        "FILL",
        **{"execution": "fill", "broker_order_id": BrokerOrderId(order), "fill": FILL, "symbol": AAPL} | fields,
    )


def sort(*lines: Activity, standing: Standing | None = None, booked: frozenset[str] = frozenset()) -> Any:
    return activities.sorted_out(
        a_snapshot(activities=lines),
        standing or Standing(read_until=NOON),
        lambda oid: OURS if oid == "b-alice-1" else None,
        booked,  # type: ignore[arg-type]  # texts are ids here
    )


def test_each_line_goes_where_it_belongs() -> None:
    """Our order's fill to its member, its correction to be judged, all else to the house."""
    bust = execution("b-alice-1", execution="trade_bust", fill=None)
    by_hand, fee = execution("strange"), line()
    news = sort(execution("b-alice-1"), bust, by_hand, fee)
    assert news.fills == {"alice-1": [FILL]}
    assert news.corrections == [(OURS, bust)]
    assert news.others == [by_hand, fee]
    assert news.seen == []


def test_what_may_be_of_a_leg_waits() -> None:
    """An execution of nobody's order is neither booked nor noted while a bracket in its symbol has no legs yet."""
    lines = (execution("strange"), execution("other", symbol=Symbol("SPY")), line())
    news = activities.sorted_out(
        a_snapshot(activities=lines), Standing(read_until=NOON), lambda _: None, frozenset(), {AAPL}
    )
    assert (news.others, news.seen) == ([*lines[1:]], [])


def test_what_is_booked_is_no_news() -> None:
    """A fill by its own name, another line by its id."""
    standing = Standing(read_until=NOON)
    standing.know(ActivityId("a"), NOON)
    news = sort(execution("b-alice-1"), line(), standing=standing, booked=frozenset({FILL.fill_id}))
    assert news == activities.SortedOut()


def test_the_first_look_books_no_line_but_our_own_fills() -> None:
    """What was there before is in the opening balance."""
    news = sort(execution("b-alice-1"), line(), standing=Standing())
    assert news.fills == {"alice-1": [FILL]}
    assert (news.others, news.seen) == ([], [("a", NOON)])


def test_a_line_from_a_time_that_was_forgotten_is_not_booked() -> None:
    """It may have been booked long since: it stays an unexplained difference rather than a double one."""
    standing = Standing(read_until=NOON, forgotten_until=NOON)
    later = line("later", at=NOON + timedelta(seconds=1))
    assert sort(line(), later, standing=standing).others == [later]


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (line(description="TAF"), "FEE: TAF"),
        (line(), "FEE"),
        (execution("x", side=Side.SELL), "sell order x is not the desk's"),
        (execution("x"), "order x is not the desk's"),
    ],
)
def test_the_house_takes_a_line_by_its_name(one: Activity, why: str) -> None:
    """The fact has cause, id, order, figures and the broker's words."""
    (taken,) = activities.taken(one, NOON, held_by_members=(), frozen={})
    assert isinstance(taken, ev.HouseAdjusted)
    assert (taken.why, taken.cause, taken.activity_id, taken.stamp) == (why, one.cause, one.activity_id, NOON)


SPLIT = line(kind="SPLIT", symbol=AAPL, qty=qty(10))


def test_shares_of_a_split_wait_for_an_officer_where_members_hold_the_symbol() -> None:
    """The house has them, the members' books are as before, and nobody trades on."""
    facts = activities.taken(SPLIT, NOON, held_by_members={AAPL}, frozen={})
    assert [type(f) for f in facts] == [ev.HouseAdjusted, ev.DiscrepancyFound, ev.SymbolFrozen]
    assert isinstance(facts[0], ev.HouseAdjusted)
    assert (facts[0].cause, facts[0].qty) == (HouseCause.SPLIT, qty(10))
    assert isinstance(facts[1], ev.DiscrepancyFound)
    assert (facts[1].action, facts[1].more) == (DISTRIBUTE, qty(0))
    assert isinstance(facts[2], ev.SymbolFrozen)
    again = activities.taken(SPLIT, NOON, held_by_members={AAPL}, frozen={AAPL: facts[2]})
    assert [type(f) for f in again] == [ev.HouseAdjusted, ev.DiscrepancyFound]


def test_a_split_of_what_no_member_holds_is_the_houses_alone() -> None:
    """Nobody's shares are in question."""
    assert [type(f) for f in activities.taken(SPLIT, NOON, held_by_members=(), frozen={})] == [ev.HouseAdjusted]


def test_cash_and_prices_come_through() -> None:
    """A trade by hand is booked with what it cost."""
    bought = execution("x", qty=qty(5), price=price(99), cash=cash(-495))
    (taken,) = activities.taken(bought, NOON, held_by_members={AAPL}, frozen={})
    assert isinstance(taken, ev.HouseAdjusted)
    assert (taken.qty, taken.price, taken.cash, taken.broker_order_id) == (qty(5), price(99), cash(-495), "x")
