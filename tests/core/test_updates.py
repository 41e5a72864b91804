"""What a strategy hears: each fact of an order as one event, in Alpaca's words where it has them."""

from dataclasses import replace
from typing import get_args

import pytest

from deskd.core import updates
from deskd.domain import events as ev
from deskd.domain.order import Order, OrderStatus
from tests.core.test_lifecycle import FACTS
from tests.factories import MONDAY, NOON, a_fact_of_a_fill, a_request, qty

OID = a_request().client_order_id
ORDER = Order(request=a_request(), status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON)


def test_every_fact_about_an_order_is_told() -> None:
    """Nothing that changes an order is kept from its strategy; the approval is no news: the answer tells it."""
    told = set(updates.EVENTS)
    assert told == {
        ev.OrderDenied,
        ev.OrderAdopted,
        ev.OrderHeld,
        ev.OrderReleased,
        ev.OrderReturned,
        *get_args(ev.OrderFact.__value__),
    }
    assert all(updates.order_of(fact) == OID for fact in FACTS.values())


def test_a_denial_names_its_order() -> None:
    """The order came to be, and ended at once."""
    denied = ev.OrderDenied(request=a_request(), reason="X", message="m", quote=None, market_day=MONDAY, at=NOON)
    assert updates.order_of(denied) == OID
    heard = updates.update(denied, replace(ORDER, status=OrderStatus.DENIED), qty(3))
    assert heard is not None
    assert (heard.event, heard.position_qty, heard.timestamp) == ("denied", "3", "2026-01-05T17:00:00Z")


def test_other_facts_are_nobodys_news() -> None:
    """Marks and streams are no order lines."""
    assert updates.order_of(ev.StreamChanged(stream="trades", is_up=True, why="", at=NOON)) is None


@pytest.mark.parametrize(
    ("status", "event"), [(OrderStatus.PARTIALLY_FILLED, "partial_fill"), (OrderStatus.FILLED, "fill")]
)
def test_a_fill_tells_its_own_figures(status: OrderStatus, event: str) -> None:
    """Quantity and price of this execution, at the market's time; the position is the one after it."""
    heard = updates.update(a_fact_of_a_fill(a_request(), 4, "100.50"), replace(ORDER, status=status), qty(4))
    assert heard is not None
    assert (heard.event, heard.fill_qty, heard.fill_price) == (event, "4", "100.5")


def test_an_acceptance_is_told_at_the_markets_time() -> None:
    """On a tape that is the tape's day, like every price line's; the desk's own clock stands in where it is unknown."""
    accepted = FACTS[ev.OrderAccepted]
    assert isinstance(accepted, ev.OrderAccepted)
    told = [
        updates.update(replace(accepted, submitted_at=stamp), ORDER, qty(0))
        for stamp in (NOON.replace(year=2013), None)
    ]
    assert [t and t.timestamp[:4] for t in told] == ["2013", "2026"]
