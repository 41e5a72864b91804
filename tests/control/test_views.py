"""What the control socket answers is JSON that programs can rely on."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import PurePath

from deskd.control import views
from deskd.core.deciding import handle
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Order, OrderStatus
from tests.factories import ALICE, NOON, a_desk, a_limit_request, a_request, accepted, filled, price, qty, requested


def test_an_orders_decimals_are_text_and_its_times_utc() -> None:
    """No figure passes through a float."""
    order = Order(request=a_limit_request("0.10"), status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON)
    view = views.order(order)
    assert (view["limit_price"], view["qty"], view["filled_qty"]) == ("0.1", "10", "0")
    assert view["requested_at"] == "2026-01-05T17:00:00Z"
    assert json.loads(json.dumps(view)) == view


def test_figures_that_rest_on_a_mean_have_nine_places() -> None:
    """Three fills at two prices make a mean without an end; its 28 digits are nobody's to read."""
    desk = a_desk()
    for number, at_price in enumerate(("100", "100", "101")):
        request = a_request(client_order_id=ClientOrderId(f"alice-{number}"), qty=qty(1))
        for event in (requested(request, at=NOON + timedelta(seconds=number)), accepted(request)):
            handle(desk, event)
        handle(desk, filled(request, 1, at_price=at_price))
    (held,) = desk.portfolio.book(ALICE).positions.values()
    view = views.position(held)
    assert view["avg_entry_price"] == "100.333333333"
    assert [key for key, text in view.items() if len(str(text).partition(".")[2]) > 9 and key != "updated_at"] == []


def test_whatever_the_desk_tells_of_itself_becomes_json() -> None:
    """A new field in the desk's status cannot break `deskctl status`."""
    told = {"at": NOON, "cash": Decimal("1E+3"), "path": PurePath("/x"), "up": timedelta(1), "deep": [{"p": price(1)}]}
    shown = views.plain_values(told)
    assert shown == {
        "at": "2026-01-05T17:00:00Z",
        "cash": "1000",
        "path": "/x",
        "up": "1 day, 0:00:00",
        "deep": [{"p": "1"}],
    }
    json.dumps(shown)


def test_the_clubs_money_is_not_every_members_to_see() -> None:
    """They see how the desk is, not what it has."""
    desk = {
        "name": "desk",
        "cash": "5",
        "house_cash": "1",
        "account_equity": "6",
        "books_differ": "none, of cash and 1 position",
        "differences_open": {},
        "differences_suspected": {},
        "orders": 3,
    }
    assert views.for_members(desk) == {"name": "desk", "orders": 3}
