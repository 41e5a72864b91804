"""An order in words. What facts and ends say is held by the stories (test_order_story.py)."""

from datetime import timedelta

import pytest

from deskd.domain.order import OrderClass, OrderRequest, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.wire.order_words import asked, clock, duration
from tests.factories import NOON, a_limit_request, a_request, cash, price


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (a_request(), "buy 10 AAPL at the market, good for the day"),
        (a_request(qty=None, notional=cash(100)), "buy AAPL for $100 at the market, good for the day"),
        (
            a_limit_request("99", side=Side.SELL, time_in_force=TimeInForce.GTC),
            "sell 10 AAPL at 99 or better, good until canceled",
        ),
        (
            a_request(order_type=OrderType.STOP, stop_price=price(110), time_in_force=TimeInForce.IOC),
            "buy 10 AAPL at the market once the price reaches 110, at once, the rest canceled",
        ),
        (
            a_request(order_type=OrderType.STOP_LIMIT, stop_price=price(110), limit_price=price(111)),
            "buy 10 AAPL at 111 or better once the price reaches 110, good for the day",
        ),
        (
            a_request(order_type=OrderType.TRAILING_STOP, trail_percent=price(2)),
            "buy 10 AAPL at the market once the price turns by 2 %, good for the day",
        ),
        (
            a_request(order_type=OrderType.TRAILING_STOP, trail_price=price(3)),
            "buy 10 AAPL at the market once the price turns by 3, good for the day",
        ),
        (
            a_limit_request(
                "99",
                extended_hours=True,
                order_class=OrderClass.BRACKET,
                take_profit=TakeProfit(limit_price=price(110)),
                stop_loss=StopLoss(stop_price=price(90)),
            ),
            (
                "buy 10 AAPL at 99 or better, good for the day, take profit at 110, stop loss at 90, "
                "also before and after the regular session"
            ),
        ),
    ],
)
def test_a_request_is_told_in_words(request_: OrderRequest, words: str) -> None:
    """As one person would ask another."""
    assert asked(request_) == words


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(milliseconds=48.53), "48.5 ms"),
        (timedelta(seconds=9), "9000 ms"),
        (timedelta(seconds=599), "599 s"),
        (timedelta(minutes=75), "75 min"),
        (timedelta(days=2), "48 h"),
    ],
)
def test_a_span_is_told_in_the_unit_that_reads_best(span: timedelta, words: str) -> None:
    """Milliseconds for machines, hours for people."""
    assert duration(span) == words
    assert clock(NOON + span).count(":") == 2
