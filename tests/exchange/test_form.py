"""A request whose fields do not go together is refused with the field's rule."""

from typing import Any

import pytest

from deskd.domain.events import BrokerStatus
from deskd.domain.order import OrderClass, OrderType, TimeInForce
from deskd.exchange.form import FORM_CHECKS, check_form, check_replacement
from deskd.exchange.order import NewOrder, OrderChanges
from tests.exchange.given import a_request, at_limit, cash, loss, price, profit, qty
from tests.exchange.test_matching import an_order

STOP = {"order_type": OrderType.STOP}
STOP_LIMIT = {"order_type": OrderType.STOP_LIMIT}
TRAILING = {"order_type": OrderType.TRAILING_STOP}
BRACKET = {"order_class": OrderClass.BRACKET, "take_profit": profit(12), "stop_loss": loss(8)}
OCO = {"order_class": OrderClass.OCO, "take_profit": profit(12), "stop_loss": loss(8)}

BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"client_order_id": "x" * 129}, "client_order_id must be no more than 128 characters"),
    ({"qty": None}, "qty or notional is required"),
    ({"qty": qty(1), "notional": cash(1)}, "only one of qty or notional is accepted"),
    ({"qty": qty(0)}, "qty must be > 0"),
    ({"qty": qty(-1)}, "qty must be > 0"),
    ({"qty": None, "notional": cash(0)}, "notional must be > 0"),
    (at_limit(0), "limit price must be > 0"),
    ({**STOP, "stop_price": price(-1)}, "stop price must be > 0"),
    ({**TRAILING, "trail_percent": price(0)}, "trail percent must be > 0"),
    ({**BRACKET, "take_profit": profit(0)}, "take_profit.limit_price must be > 0"),
    ({"limit_price": price(1)}, "market orders require no stop or limit price"),
    ({"stop_price": price(1)}, "market orders require no stop or limit price"),
    ({"trail_price": price(1)}, "trail_price and trail_percent require a trailing_stop order"),
    ({"order_type": OrderType.LIMIT}, "limit orders require a limit price"),
    (at_limit(1, stop_price=price(1)), "limit orders require only limit price"),
    (STOP, "stop orders require a stop price"),
    ({**STOP, "stop_price": price(1), "limit_price": price(1)}, "stop orders require only stop price"),
    ({**STOP_LIMIT, "stop_price": price(1)}, "stop limit orders require both stop and limit price"),
    ({**STOP_LIMIT, "limit_price": price(1)}, "stop limit orders require both stop and limit price"),
    (TRAILING, "trailing stop orders must specify one of trail_price or trail_percent"),
    (
        {**TRAILING, "trail_price": price(1), "trail_percent": price(1)},
        "trailing stop orders must specify one of trail_price or trail_percent",
    ),
    (
        {**TRAILING, "trail_price": price(1), "stop_price": price(1)},
        "trailing stop orders require no stop or limit price",
    ),
    (
        {**TRAILING, "trail_price": price(1), "time_in_force": TimeInForce.IOC},
        "trailing stop orders must be DAY or GTC orders",
    ),
    (
        {**STOP, "stop_price": price(1), "time_in_force": TimeInForce.FOK},
        "fok orders must be market or limit orders",
    ),
    ({"take_profit": profit(1)}, "take_profit and stop_loss require order_class bracket, oco or oto"),
    ({**BRACKET, "take_profit": None}, "bracket orders require take_profit.limit_price"),
    ({**BRACKET, "stop_loss": None}, "bracket orders require stop_loss.stop_price"),
    (at_limit(1, **OCO | {"take_profit": None}), "oco orders require take_profit.limit_price"),
    (at_limit(1, **OCO | {"stop_loss": None}), "oco orders require stop_loss.stop_price"),
    ({"order_class": OrderClass.OTO}, "oto orders require one of take_profit or stop_loss"),
    (BRACKET | {"order_class": OrderClass.OTO}, "oto orders require one of take_profit or stop_loss"),
    (OCO, "oco orders must be limit orders"),
    ({**BRACKET, **STOP, "stop_price": price(1)}, "bracket orders must be market or limit orders"),
    ({**BRACKET, "qty": qty("1.5")}, "fractional orders must be simple orders"),
    ({**BRACKET, "time_in_force": TimeInForce.IOC}, "bracket orders must be DAY or GTC orders"),
    (at_limit(10, **BRACKET, extended_hours=True), "bracket orders are not allowed in extended hours"),
    ({"qty": qty("1.5"), "time_in_force": TimeInForce.GTC}, "fractional orders must be DAY orders"),
    (
        {**TRAILING, "trail_price": price(1), "qty": qty("1.5")},
        "fractional orders must be market, limit, stop, or stop_limit orders",
    ),
    (at_limit(1, qty=None, notional=cash(10)), "notional orders must be market DAY orders"),
    ({"extended_hours": True}, "extended hours order must be DAY or GTC limit orders"),
    (
        at_limit(1, extended_hours=True, time_in_force=TimeInForce.IOC),
        "extended hours order must be DAY or GTC limit orders",
    ),
]


@pytest.mark.parametrize(("fields", "message"), BROKEN)
def test_broken_form_names_its_rule(fields: dict[str, Any], message: str) -> None:
    """Each rule of an order's form has its own text."""
    error = check_form(a_request(**fields))
    assert error is not None
    assert error.message == message


@pytest.mark.parametrize(
    "request_",
    [
        a_request(),
        a_request(client_order_id="x" * 128),
        a_request(notional=cash("10.5")),
        a_request(qty=qty("0.5"), **at_limit(1)),
        a_request(time_in_force=TimeInForce.IOC),
        a_request(**at_limit(1, time_in_force=TimeInForce.GTC, extended_hours=True)),
        a_request(**STOP, stop_price=price(1)),
        a_request(**STOP_LIMIT, stop_price=price(1), limit_price=price(1), time_in_force=TimeInForce.GTC),
        a_request(**TRAILING, trail_percent=price(1)),
        a_request(**BRACKET),
        a_request(**OCO, order_type=OrderType.LIMIT),
        a_request(order_class=OrderClass.OTO, stop_loss=loss(8, 7)),
    ],
)
def test_good_form_passes(request_: NewOrder) -> None:
    """What Alpaca documents as allowed is allowed."""
    assert check_form(request_) is None


def test_every_check_can_refuse() -> None:
    """No form check is there for nothing: each refuses one of the broken requests."""
    broken = [a_request(**fields) for fields, _ in BROKEN]
    for check in FORM_CHECKS:
        assert any(check(request) for request in broken), check


@pytest.mark.parametrize(
    ("order", "changes", "message"),
    [
        ({"status": BrokerStatus.PENDING_NEW}, {}, "unable to replace order, order is not open"),
        ({"status": BrokerStatus.ACCEPTED}, {}, "unable to replace order, order is not open"),
        ({"status": BrokerStatus.FILLED}, {}, "unable to replace order, order is not open"),
        ({"qty": None, "notional": cash(9)}, {}, "unable to replace order, a notional order cannot be changed"),
        ({}, {"trail": price(1)}, "trail_price and trail_percent require a trailing_stop order"),
        (
            {"qty": qty("1.5")},
            {"qty": qty(2)},
            "unable to replace order, qty of a fractional order cannot be changed",
        ),
        (
            {"group_role": "stop_loss"},
            {"qty": qty(2)},
            "unable to replace order, qty of an exit cannot be changed",
        ),
        ({}, {"qty": qty("2.5")}, "qty of a replacement must be whole shares"),
        ({}, {"qty": qty(2)}, None),
        ({"group_role": "entry"}, {"qty": qty(2)}, None),
        ({"qty": qty("1.5")}, {"limit_price": price(2)}, None),
    ],
)
def test_what_cannot_be_replaced(order: dict[str, Any], changes: dict[str, Any], message: str | None) -> None:
    """A replacement changes what Alpaca lets it change, in the states in which it does."""
    error = check_replacement(an_order(**order), OrderChanges(**changes))
    assert (error and error.message) == message
