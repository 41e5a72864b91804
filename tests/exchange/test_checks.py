"""What market and account do not allow is refused, with the rule and the figures."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from deskd.domain.order import OrderClass, OrderType, Side, TimeInForce
from deskd.exchange.account import Configurations
from deskd.exchange.checks import CHECKS, could_wash
from deskd.exchange.order import NewOrder, PositionIntent
from tests.exchange.given import (
    Trading,
    a_buy,
    a_day,
    a_request,
    a_sell,
    at_limit,
    cash,
    loss,
    ny,
    price,
    profit,
    qty,
    trading,
)
from tests.exchange.test_matching import an_order

GTC = TimeInForce.GTC
STOP = {"order_type": OrderType.STOP}
BRACKET = OrderClass.BRACKET


def message(world: Trading, request: NewOrder) -> str:
    return world.refused(request).message


def holding(size: int, **overrides: Any) -> Trading:
    """Return an exchange whose account holds *size* AAPL, bought (or sold short) at the quote."""
    world = trading(**overrides)
    world.submit(a_buy(size) if size > 0 else a_sell(-size))
    assert world.position() == size
    return world


# --- instrument -------------------------------------------------------------------------------------------------------


def test_unknown_and_dead_assets_are_refused() -> None:
    """What is not listed, or not traded, cannot be ordered; the asset's id is as good as its symbol."""
    world = trading()
    assert message(world, a_request(symbol="NOPE")) == 'asset "NOPE" not found'
    assert message(world, a_request(symbol="DEAD")) == 'asset "DEAD" is not tradable'
    assert world.submit(a_request(symbol="aaaa-spy")).symbol == "SPY"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (at_limit("100.001"), "limit_price 100.001"),
        (at_limit("0.12345"), "limit_price 0.12345"),
        ({**STOP, "stop_price": price("100.001")}, "stop_price 100.001"),
        (
            {"order_class": BRACKET, "take_profit": profit("110.001"), "stop_loss": loss(90)},
            "take_profit.limit_price 110.001",
        ),
    ],
)
def test_sub_penny_prices_are_refused(fields: dict[str, Any], name: str) -> None:
    """From a dollar a price has at most two decimals, below it at most four."""
    error = trading().refused(a_buy(10, **fields))
    assert error.message == f"invalid {name}. sub-penny increment does not fulfill minimum pricing criteria"
    assert error.code == 42210000


def test_fractions_need_asset_and_account() -> None:
    """A fraction is refused where the asset is whole, the account has switched it off, or the sale is short."""
    world = trading()
    assert message(world, a_buy("0.5", symbol="WHOLE")) == 'asset "WHOLE" is not fractionable'
    assert message(world, a_sell("0.5")) == "fractional orders cannot be sold short"
    world.exchange.configure(Configurations(fractional_trading=False), world.now)
    assert message(world, a_buy("0.5")) == "fractional trading is disabled for this account"
    world.submit(a_buy(1))


def test_suspended_account_does_not_trade() -> None:
    """Who has suspended trading cannot order; he can still cancel."""
    world = trading()
    order = world.submit(a_buy(1, **at_limit(90)))
    world.exchange.configure(Configurations(suspend_trade=True), world.now)
    assert message(world, a_buy(1)) == "new orders are rejected by user request"
    assert world.exchange.account().trade_suspended_by_user
    assert world.cancel(order) is None


# --- market -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "tif", "is_taken"),
    [
        ("09:27:59", TimeInForce.OPG, True),
        ("09:28", TimeInForce.OPG, False),
        ("12:00", TimeInForce.OPG, False),
        ("18:59", TimeInForce.OPG, False),
        ("19:00", TimeInForce.OPG, True),
        ("09:00", TimeInForce.CLS, True),
        ("15:49:59", TimeInForce.CLS, True),
        ("15:50", TimeInForce.CLS, False),
        ("18:59", TimeInForce.CLS, False),
        ("19:00", TimeInForce.CLS, True),
    ],
)
def test_auction_orders_have_their_window(clock: str, tif: TimeInForce, is_taken: bool) -> None:
    """Opening orders are taken from 19:00 to 09:28, closing orders from 19:00 to 15:50."""
    world = trading(now=ny(clock))
    request = a_buy(1, time_in_force=tif)
    if is_taken:
        world.submit(request)
        return
    ends = "9:28am" if tif is TimeInForce.OPG else "3:55pm"
    assert message(world, request) == f"{tif.value} orders must be submitted after 7:00pm and before {ends}"


def test_closing_window_follows_an_early_close() -> None:
    """On a half day, closing orders have to be in ten minutes before its own close; on another day they wait."""
    half = a_day(close="13:00")
    trading(now=ny("12:49"), day=half).submit(a_buy(1, time_in_force=TimeInForce.CLS))
    assert "cls orders" in message(trading(now=ny("12:51"), day=half), a_buy(1, time_in_force=TimeInForce.CLS))
    world = trading()
    world.until(ny("12:00", date(2026, 1, 6)))
    world.submit(a_buy(1, time_in_force=TimeInForce.OPG))


def test_stop_is_beyond_the_market() -> None:
    """A buy stop lies above the market, a sell stop below it; the answer has both prices."""
    world = holding(10)
    error = world.refused(a_buy(10, **STOP, stop_price=price(100)))
    assert error.message == "stop price must be greater than current price"
    assert error.extras == {"market_price": "100", "stop_price": "100"}
    error = world.refused(a_sell(10, **STOP, stop_price=price(101)))
    assert error.message == "stop price must be less than current price"
    assert error.extras == {"market_price": "100", "stop_price": "101"}
    world.submit(a_sell(10, **STOP, stop_price=price("99.99")))


def test_trail_leaves_a_price() -> None:
    """A trail as long as the price would put the stop at nothing."""
    request = a_sell(10, order_type=OrderType.TRAILING_STOP, trail_percent=price(100))
    assert message(holding(10), request) == "stop price must be > 0"


@pytest.mark.parametrize(
    ("side", "fields", "expected"),
    [
        (
            Side.BUY,
            {"take_profit": profit("100"), "stop_loss": loss(90)},
            "take_profit.limit_price must be >= base_price + 0.01",
        ),
        (
            Side.BUY,
            {"take_profit": profit(110), "stop_loss": loss(100)},
            "stop_loss.stop_price must be <= base_price - 0.01",
        ),
        (
            Side.BUY,
            {"take_profit": profit(90), "stop_loss": loss(95)},
            "take_profit.limit_price must be > stop_loss.stop_price",
        ),
        (
            Side.SELL,
            {"take_profit": profit(110), "stop_loss": loss(105)},
            "take_profit.limit_price must be < stop_loss.stop_price",
        ),
        (
            Side.SELL,
            {"take_profit": profit(100), "stop_loss": loss(105)},
            "take_profit.limit_price must be <= base_price - 0.01",
        ),
        (
            Side.SELL,
            {"take_profit": profit(90), "stop_loss": loss(100)},
            "stop_loss.stop_price must be >= base_price + 0.01",
        ),
        (Side.BUY, {"take_profit": profit("100.01"), "stop_loss": loss("99.99")}, None),
        (Side.SELL, {"take_profit": profit("99.99"), "stop_loss": loss("100.01")}, None),
    ],
)
def test_bracket_surrounds_its_price(side: Side, fields: dict[str, Any], expected: str | None) -> None:
    """The profit lies on the good side of the entry, the stop on the bad side."""
    request = a_request(side=side, order_class=BRACKET, **fields)
    world = trading()
    if expected is None:
        world.submit(request)
    else:
        assert message(world, request) == expected


def test_limit_entry_is_its_own_base() -> None:
    """A bracket with a limit is judged by that limit, not by the market."""
    request = a_buy(10, order_class=BRACKET, take_profit=profit(85), stop_loss=loss(75), **at_limit(80))
    trading().submit(request)
    request = a_buy(10, order_class=OrderClass.OTO, take_profit=profit(79), **at_limit(80))
    assert trading().refused(request).extras == {"base_price": "80"}


def test_unknown_market_is_judged_later() -> None:
    """Before the first price, a stop cannot be judged by the market; what cannot be priced is refused."""
    world = trading(is_quoted=False)
    world.submit(a_buy(1, **STOP, stop_price=price(100)))
    world.submit(a_buy(1, order_class=BRACKET, take_profit=profit(110), stop_loss=loss(90), **at_limit(100)))
    minimum = "cost basis must be >= minimal amount of order 1"
    assert message(world, a_buy(1, symbol="SPY")) == minimum
    assert message(world, a_request(notional=cash(100), symbol="SPY")) == minimum
    trail = {"order_type": OrderType.TRAILING_STOP, "trail_price": price(1)}
    assert message(world, a_buy(1, symbol="SPY", **trail)) == minimum
    bracket = {"order_class": BRACKET, "take_profit": profit(110), "stop_loss": loss(90)}
    assert message(world, a_buy(1, symbol="SPY", **bracket)) == minimum


# --- position ---------------------------------------------------------------------------------------------------------


def test_intent_is_inferred_and_compared() -> None:
    """An order does what its author meant, or nothing."""
    world = trading()
    request = a_buy(1, position_intent=PositionIntent.SELL_TO_OPEN)
    assert message(world, request) == "position intent mismatch, inferred: buy_to_open, specified: sell_to_open"
    assert world.submit(a_buy(1)).position_intent is PositionIntent.BUY_TO_OPEN
    sell = a_sell(1, position_intent=PositionIntent.SELL_TO_CLOSE)
    assert world.submit(sell).position_intent is PositionIntent.SELL_TO_CLOSE
    assert world.submit(a_sell(1)).position_intent is PositionIntent.SELL_TO_OPEN
    assert world.submit(a_buy(1)).position_intent is PositionIntent.BUY_TO_CLOSE


def test_classes_open_or_close() -> None:
    """A bracket opens, an oco closes."""
    short_legs = {"take_profit": profit(90), "stop_loss": loss(110)}
    legs = {"take_profit": profit(110), "stop_loss": loss(90)}
    assert message(holding(10), a_sell(1, order_class=BRACKET, **short_legs)) == "bracket orders must be entry orders"
    oto = a_sell(1, order_class=OrderClass.OTO, stop_loss=loss(110))
    assert message(holding(10), oto) == "oto orders must be entry orders"
    oco = a_sell(1, order_class=OrderClass.OCO, order_type=OrderType.LIMIT, **legs)
    assert message(trading(), oco) == "oco orders must be exit orders"
    holding(10).submit(oco)


def test_no_order_crosses_zero() -> None:
    """More than the position cannot be closed by one order, long or short; the answer has the figures."""
    error = holding(1).refused(a_sell(3))
    assert error.message == "insufficient qty available for order (requested: 3, available: 1)"
    assert error.extras == {"available": "1", "existing_qty": "1", "held_for_orders": "0", "symbol": "AAPL"}
    error = holding(-9).refused(a_buy(10))
    assert error.extras["existing_qty"] == "-9"


def test_promised_shares_are_not_sold_twice() -> None:
    """A resting sell holds its shares; the refusal names it."""
    world = holding(9)
    first = world.submit(a_sell(9, **at_limit(110)))
    error = world.refused(a_sell(9, **at_limit(110)))
    assert error.message == "insufficient qty available for order (requested: 9, available: 0)"
    assert error.extras["held_for_orders"] == "9"
    assert error.extras["related_orders"] == [first.id]
    world.cancel(first)
    world.submit(a_sell(9, **at_limit(110)))


def test_shorting_needs_leave() -> None:
    """A short needs equity, the account's own switch, margin, and somebody who lends."""
    assert message(trading(money=1999), a_sell(1)) == "account is not allowed to short"
    world = trading()
    assert message(world, a_sell(1, symbol="LONG")) == 'asset "LONG" cannot be sold short'
    assert message(world, a_sell(1, symbol="HARD")) == 'asset "HARD" cannot be sold short'
    hard = a_sell(1, symbol="HARD", time_in_force=GTC)
    assert message(world, hard) == "only day orders are allowed for hard-to-borrow asset"
    for switched in (Configurations(no_shorting=True), Configurations(max_margin_multiplier="1")):
        world.exchange.configure(switched, world.now)
        assert message(world, a_sell(1)) == "account is not allowed to short"
        assert not world.exchange.account().shorting_enabled
    world.exchange.configure(Configurations(), world.now)
    world.submit(a_sell(1))


def test_long_and_short_do_not_open_together() -> None:
    """While an order to open a short waits, no long is opened, and the other way round."""
    world = trading()
    short = world.submit(a_sell(1, **at_limit(110)))
    assert message(world, a_buy(1, **at_limit(90))) == "cannot open a long buy while a short sell order is open"
    world.cancel(short)
    world.submit(a_buy(1, **at_limit(90)))
    assert message(world, a_sell(1, **at_limit(110))) == "cannot open a short sell while a long buy order is open"


@pytest.mark.parametrize(
    ("resting", "coming", "reason"),
    [
        (at_limit(110), {}, "opposite side limit order exists. use complex/limit/stop_limit orders"),
        (at_limit(110), at_limit(110), "opposite side limit order exists. use complex/limit/stop_limit orders"),
        (at_limit(110), at_limit("109.99"), None),
        (
            {**STOP, "stop_price": price(90)},
            at_limit(80),
            "opposite side market/stop order exists",
        ),
        ({"order_type": OrderType.TRAILING_STOP, "trail_price": price(5)}, {}, None),
        (at_limit(110), {"order_type": OrderType.TRAILING_STOP, "trail_price": price(5)}, None),
        (
            at_limit(110),
            {"order_class": BRACKET, "take_profit": profit(120), "stop_loss": loss(90)},
            None,
        ),
    ],
)
def test_wash_trades_are_refused(resting: dict[str, Any], coming: dict[str, Any], reason: str | None) -> None:
    """An order that could meet one's own is refused; complex orders and trailing stops are exempt."""
    world = holding(10)
    first = world.submit(a_sell(10, **resting))
    if reason is None:
        world.submit(a_buy(10, **coming))
        return
    error = world.refused(a_buy(10, **coming))
    assert error.message == "potential wash trade detected. use complex orders"
    assert error.extras == {"existing_order_id": first.id, "reject_reason": reason}


def test_same_side_is_no_wash() -> None:
    """Only the other side can meet an order."""
    assert not could_wash(Side.BUY, None, an_order(side=Side.BUY))
    assert could_wash(Side.SELL, price(9), an_order(side=Side.BUY, limit_price=price(10)))


# --- money ------------------------------------------------------------------------------------------------------------


def test_order_is_worth_a_dollar() -> None:
    """What opens is worth a dollar at least; the last crumbs can be sold."""
    world = trading()
    minimum = "cost basis must be >= minimal amount of order 1"
    assert message(world, a_request(notional=cash("0.99"))) == minimum
    assert message(world, a_buy("0.001")) == minimum
    world.submit(a_buy("0.015"))
    assert message(world, a_request(notional=cash("0.5"), side=Side.SELL)) == minimum
    world.submit(a_sell("0.001"))


def test_buying_power_is_not_exceeded() -> None:
    """An order that costs more than four times the equity is refused with both figures."""
    error = trading().refused(a_buy(1_000_000, **at_limit(900, time_in_force=GTC)))
    assert error.message == "insufficient buying power"
    assert error.extras == {"buying_power": "400000", "cost_basis": "900000000"}
    trading().submit(a_buy(4000, **at_limit(100)))


def test_open_orders_reserve() -> None:
    """What rests is spent; a sale frees nothing until it is filled."""
    world = trading()
    first = world.submit(a_buy(3000, **at_limit(90)))
    assert world.exchange.account().buying_power == 400_000 - 270_000
    assert message(world, a_buy(2000, **at_limit(90))) == "insufficient buying power"
    world.cancel(first)
    assert world.exchange.account().buying_power == 400_000


@pytest.mark.parametrize(
    ("request_", "cost"),
    [
        (a_buy(10), "1000"),
        (a_buy(10, **at_limit(90)), "900"),
        (a_buy(10, **STOP, stop_price=price(110)), "1100"),
        (a_buy(10, order_type=OrderType.TRAILING_STOP, trail_price=price(5)), "1050"),
        (a_request(notional=cash("12.5")), "12.5"),
        (a_sell(10), "1030"),
        (a_sell(10, **at_limit(110)), "1100"),
        (a_sell(10, **at_limit(101)), "1030"),
    ],
)
def test_cost_basis_by_type(request_: NewOrder, cost: str) -> None:
    """A limit costs its limit, a market order the far side, a short the larger of limit and 103 % of the ask."""
    world = trading(money=100_000)
    world.exchange.on_halt("AAPL", is_halted=True, now=world.now)  # nothing fills
    world.exchange._quotes["AAPL"] = (99.99, 100.0, world.now)
    world.submit(request_)
    assert world.exchange.account().buying_power == 400_000 - cash(cost)


def test_market_order_is_priced_by_the_session() -> None:
    """Out of the regular session a market order costs the middle of the quote; when all is closed, the last trade."""
    world = trading(now=ny("08:00"), is_quoted=False)
    world.trade(90.0)
    world.quote(bid=99.0, ask=101.0)
    world.submit(a_buy(10))
    assert world.exchange.account().buying_power == 400_000 - 1000
    world = trading(now=ny("21:00"), is_quoted=False)
    world.trade(90.0)
    world.submit(a_buy(10))
    assert world.exchange.account().buying_power == 400_000 - 900


def test_unmarginable_asset_is_paid_in_full() -> None:
    """What cannot be bought on margin is bought with money."""
    error = trading().refused(a_buy(1001, symbol="CASH"))
    assert error.extras == {"buying_power": "100000", "cost_basis": "100100"}


def test_every_check_is_reached() -> None:
    """Each check stands in the table once."""
    assert len(set(CHECKS)) == len(CHECKS)


def test_long_quantity_of_notional_is_capped() -> None:
    """A notional sale is measured in shares at the bid: no more than are held."""
    world = holding(1)
    error = world.refused(a_request(notional=cash(200), side=Side.SELL))
    assert error.message.startswith("insufficient qty available for order (requested: 2.0002")
    request = replace(a_request(notional=cash(50), side=Side.SELL), qty=None)
    world.submit(request)
    assert world.position() == qty(1) - world.exchange.activities(types={"FILL"})[0].qty  # type: ignore[operator]
