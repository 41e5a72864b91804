"""Hours, halts, and prices that are near the market."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deskd.core import gate
from deskd.core.checks import Denied, Valued
from deskd.domain.order import OrderType
from deskd.domain.reasons import DenialReason as R
from tests.core.test_checks import COLLARED, HOURS, a_sale, at, evidence
from tests.factories import DAY, a_limit_request, a_quote, a_request, price, qty, some_limits

EXTENDED = {"request": a_limit_request(extended_hours=True)}
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    "case",
    [
        at(DAY.open_at),
        at(DAY.close_at - SECOND),
        at(DAY.extended_open_at) | EXTENDED,
        at(DAY.close_at) | EXTENDED,
        at(DAY.close_at) | {"limits": some_limits(may_wait_for_open=True)},
    ],
)
def test_what_is_in_its_hours_passes(case: dict[str, Any]) -> None:
    """The first instant of a session is in it."""
    assert isinstance(gate.judge(evidence(**HOURS | case)).answer, Valued)


def test_an_early_close_is_the_calendars() -> None:
    """On a half day the session ends when the broker's calendar says so."""
    half = replace(DAY, close_at=DAY.open_at + timedelta(hours=1))
    denied = gate.judge(evidence(**HOURS, trading_day=half)).answer
    assert isinstance(denied, Denied)
    assert "session=post" in denied.message


def test_the_markets_time_is_its_last_stamp_moved_on() -> None:
    """The first order of the day need not wait for the first quote of the day."""
    just_before = DAY.open_at - SECOND
    quote = a_quote(quoted_at=just_before, received_at=just_before)
    assert isinstance(gate.judge(evidence(**HOURS, quote=quote, now=DAY.open_at)).answer, Valued)
    behind = evidence(**HOURS, quote=a_quote(quoted_at=DAY.open_at, received_at=DAY.open_at), now=just_before)
    assert behind.market_now == DAY.open_at  # a clock that was set back does not set the market back


@pytest.mark.parametrize(
    ("request_", "passes"),
    [
        (a_limit_request("105"), True),
        (a_limit_request("0.01"), True),  # a buy far under the market rests
        (a_sale(order_type=OrderType.LIMIT, limit_price=price("95")), True),
        (a_sale(order_type=OrderType.LIMIT, limit_price=price("94.9")), False),
        (a_request(order_type=OrderType.STOP_LIMIT, stop_price=price(110), limit_price=price(115)), True),
        (a_request(order_type=OrderType.STOP_LIMIT, stop_price=price(110), limit_price=price(116)), False),
    ],
)
def test_a_limit_price_is_near_the_far_side(request_: Any, passes: bool) -> None:
    """What rests in its own book is nobody's slip of the pen; what reaches through the other side is."""
    answer = gate.judge(evidence(limits=COLLARED, request=request_, position_qty=qty(10))).answer
    assert isinstance(answer, Valued) is passes
    if not passes:
        assert isinstance(answer, Denied)
        assert answer.reason is R.PRICE_COLLAR


def test_the_remedy_of_the_collar_passes() -> None:
    """A member who asks for the price that the desk names gets it."""
    denied = gate.judge(evidence(limits=COLLARED, request=a_limit_request("120"))).answer
    assert isinstance(denied, Denied)
    assert "ask for at most 105.00" in denied.message
