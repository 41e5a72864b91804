"""Orders are found by every key they have."""

from datetime import timedelta
from typing import Any

from deskd.domain.events import BrokerStatus
from deskd.exchange.order import ExchangeOrder
from deskd.exchange.register import Register
from tests.exchange.given import NOON
from tests.exchange.test_matching import an_order


def numbered(number: int, **overrides: Any) -> ExchangeOrder:
    at = NOON + timedelta(seconds=number)
    return an_order(
        id=f"o-{number}", client_order_id=f"c-{number}", sequence=number, created_at=at, submitted_at=at, **overrides
    )


def listed(register: Register, **overrides: Any) -> list[str]:
    fields: dict[str, Any] = {
        "status": "all",
        "limit": 500,
        "after": None,
        "until": None,
        "is_descending": False,
        "is_nested": False,
        "symbols": None,
        "side": None,
        "after_order_id": None,
        "before_order_id": None,
    }
    return [order.id for order in register.listed(**fields | overrides)]


def test_ended_orders_leave_no_trace_in_the_books() -> None:
    """A symbol without working orders costs a quote one look-up: empty entries are dropped."""
    register = Register()
    order, held = numbered(1), numbered(2, status=BrokerStatus.HELD)
    register.add(order)
    register.add(held)
    assert register.working_in == {"AAPL": {"o-1": order}}
    register.end(order)
    assert register.working_in == {}
    register.end(held)
    register.end(held)
    assert register.open_in == {}
    assert register.by_client_id("c-1") is order


def test_late_submission_moves_in_the_list() -> None:
    """Lists are by submitted_at, which moves when the market takes an order: no page leaves one out."""
    register = Register()
    orders = [numbered(n) for n in (1, 2, 3)]
    for order in orders:
        register.add(order)
    register.submitted(orders[0], NOON + timedelta(seconds=2, milliseconds=500))
    assert listed(register) == ["o-2", "o-1", "o-3"]
    register.submitted(orders[2], orders[2].submitted_at)
    assert listed(register, after=NOON + timedelta(seconds=2)) == ["o-1", "o-3"]


def test_orders_of_one_instant_keep_their_order() -> None:
    """Two orders of the same instant are listed as they came, and the bound excludes both."""
    register = Register()
    one, two = numbered(1), numbered(2)
    two.submitted_at = one.submitted_at
    register.add(two)
    register.add(one)
    assert listed(register) == ["o-1", "o-2"]
    assert listed(register, after=one.submitted_at) == []
    assert listed(register, until=one.submitted_at) == []
    assert listed(register, status="open", after_order_id="o-1") == ["o-2"]
    assert listed(register, after_order_id="unknown", before_order_id="unknown") == ["o-1", "o-2"]


def test_groups_hold_their_members() -> None:
    """Complex orders are found by their group."""
    register = Register()
    order = numbered(1, group_id="g")
    register.add(order)
    assert register.groups == {"g": [order]}
    assert register.open_orders() == [order]
