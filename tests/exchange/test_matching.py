"""Prices at which orders trade, and stops wake."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from deskd.domain.events import BrokerStatus
from deskd.domain.order import OrderType, Side, TimeInForce
from deskd.exchange.matching import cap_price, fill_price, increment, is_triggered, shares, trail_stop, trailed
from deskd.exchange.order import ExchangeOrder, PositionIntent
from deskd.exchange.prices import Nbbo
from tests.exchange.given import NOON, cash, price, qty

QUOTE = Nbbo(bid=price("9.99"), ask=price(10))


def an_order(**overrides: Any) -> ExchangeOrder:
    order = ExchangeOrder(
        id="o-1",
        client_order_id="c-1",
        status=BrokerStatus.NEW,
        created_at=NOON,
        updated_at=NOON,
        submitted_at=NOON,
        asset_id="a-1",
        symbol="AAPL",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        position_intent=PositionIntent.BUY_TO_OPEN,
        qty=qty(10),
    )
    return replace(order, **overrides)


@pytest.mark.parametrize(
    ("side", "limit", "filled_at"),
    [
        (Side.BUY, None, "10"),
        (Side.SELL, None, "9.99"),
        (Side.BUY, "10", "10"),
        (Side.BUY, "11", "10"),
        (Side.BUY, "9.99", None),
        (Side.SELL, "9.99", "9.99"),
        (Side.SELL, "9", "9.99"),
        (Side.SELL, "10", None),
    ],
)
def test_order_trades_at_the_far_side(side: Side, limit: str | None, filled_at: str | None) -> None:
    """A buy pays the ask and a sell gets the bid, and never worse than the limit."""
    order = an_order(side=side, limit_price=None if limit is None else price(limit))
    assert fill_price(order, QUOTE) == (None if filled_at is None else Decimal(filled_at))


def test_stop_is_reached_from_its_side() -> None:
    """A buy stop wakes at or over its price, a sell stop at or under it; an unknown stop sleeps."""
    buy, sell = an_order(stop_price=price(10)), an_order(side=Side.SELL, stop_price=price(10))
    assert [is_triggered(buy, price(p)) for p in ("9.99", "10", "10.01")] == [False, True, True]
    assert [is_triggered(sell, price(p)) for p in ("9.99", "10", "10.01")] == [True, True, False]
    assert not is_triggered(an_order(), price(10))


@pytest.mark.parametrize(("stop", "cap"), [("49.99", "51.99"), ("50", "51.25"), ("0.5", "0.52"), ("100", "102.5")])
def test_buy_stop_becomes_stop_limit(stop: str, cap: str) -> None:
    """A triggered buy stop takes at most 4 % over a stop under $50, else 2.5 %."""
    order = an_order(order_type=OrderType.STOP, stop_price=price(stop))
    assert cap_price(order) == Decimal(cap)
    assert cap_price(replace(order, side=Side.SELL)) is None
    assert cap_price(replace(order, order_type=OrderType.STOP_LIMIT)) is None


def test_cap_bounds_the_fill() -> None:
    """A capped stop does not chase the market."""
    assert fill_price(an_order(cap_price=price("9.5")), QUOTE) is None


def test_trailing_stop_follows_one_way() -> None:
    """The best price seen moves the stop; a worse one does not."""
    sell = an_order(
        order_type=OrderType.TRAILING_STOP, side=Side.SELL, trail_price=price(1), hwm=price(10), stop_price=price(9)
    )
    assert trailed(sell, price("9.5")) is None
    assert trailed(sell, price(12)) == (price(12), price(11))
    buy = replace(sell, side=Side.BUY)
    assert trailed(buy, price("10.5")) is None
    assert trailed(buy, price(8)) == (price(8), price(9))
    assert trailed(an_order(order_type=OrderType.STOP), price(8)) is None
    assert trailed(replace(sell, hwm=None), price(8)) == (price(8), price(7))


def test_trail_is_money_or_percent() -> None:
    """A percent is a hundredth of the best price; the stop keeps the price's increment."""
    assert trail_stop(Side.SELL, price("10.01"), None, price(1)) == Decimal("9.91")
    assert trail_stop(Side.BUY, price("0.5"), None, price(1)) == Decimal("0.505")
    assert increment(Decimal(1)) == Decimal("0.01")


def test_notional_buys_what_it_pays_for() -> None:
    """A notional order never costs more than its money; one that closes never sells more than was promised."""
    order = an_order(qty=None, notional=cash(10))
    assert shares(order, price(3)) == Decimal("3.333333333")
    closing = replace(order, position_intent=PositionIntent.SELL_TO_CLOSE, promised_qty=qty(3))
    assert shares(closing, price(3)) == 3
    assert shares(an_order(filled_qty=qty(4)), price(3)) == 6
