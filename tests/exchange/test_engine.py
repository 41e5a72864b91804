"""The life of orders at the market."""

from datetime import date, timedelta
from typing import Any

import pytest

from deskd.domain.order import OrderClass, OrderType, Side, TimeInForce
from deskd.exchange.fill_model import PAPER
from deskd.exchange.order import ExchangeOrder
from tests.exchange.given import (
    MONDAY,
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
    told,
    trading,
)

GTC = TimeInForce.GTC
TUESDAY = MONDAY + timedelta(days=1)
STOP = {"order_type": OrderType.STOP}
TRAILING = {"order_type": OrderType.TRAILING_STOP}


def holding(size: int = 10, **overrides: Any) -> Trading:
    world = trading(**overrides)
    world.submit(a_buy(size) if size > 0 else a_sell(-size))
    return world


# --- latencies and fills ----------------------------------------------------------------------------------------------


def test_paper_order_takes_its_time() -> None:
    """pending_new at once, new after 5 ms with a later submitted_at, filled after 150 ms."""
    world = trading(fills=PAPER)
    order = world.submit(a_buy())
    assert order.status == "pending_new"
    assert order.submitted_at == order.created_at
    world.wait(0.004)
    assert world.words(order) == ["pending_new"]
    world.wait(0.001)
    assert world.words(order) == ["pending_new", "new"]
    assert world.order(order).submitted_at == order.created_at + timedelta(milliseconds=5)
    world.wait(0.144)
    assert world.status(order) == "new"
    world.wait(0.001)
    assert world.words(order) == ["pending_new", "new", "fill"]


def test_fraction_fills_without_being_new() -> None:
    """A fractional order fills after 3 ms, and is never seen as new; submitted_at stays."""
    world = trading(fills=PAPER)
    order = world.submit(a_request(notional=cash(50)))
    world.wait(0.003)
    assert world.words(order) == ["pending_new", "fill"]
    filled = world.order(order)
    assert (filled.qty, filled.filled_qty, filled.submitted_at) == (None, qty("0.5"), order.created_at)


def test_fraction_that_cannot_fill_rests() -> None:
    """Where the price is not there yet, a fractional order becomes new like any other."""
    world = trading(fills=PAPER)
    order = world.submit(a_buy("0.5", **at_limit(99)))
    world.wait(1)
    assert world.words(order) == ["pending_new", "new"]
    world.quote(bid=98.9, ask=98.95)
    assert world.order(order).filled_avg_price == price("98.95")


def test_immediate_order_is_filled_after_the_answer() -> None:
    """The answer says pending_new; the fill has happened by then, at the ask."""
    world = trading()
    order = world.submit(a_buy())
    assert order.status == "pending_new"
    assert world.words(order) == ["pending_new", "new", "fill"]
    fill = world.events[-1]
    assert told(fill.price, fill.qty, fill.position_qty) == (100, 10, 10)


def test_sell_fills_at_the_bid() -> None:
    """What is sold gets the bid; the event has the signed position."""
    world = trading()
    world.submit(a_sell(10))
    fill = world.events[-1]
    assert told(fill.price, fill.position_qty) == (price("99.99"), -10)


def test_partial_fills_add_up() -> None:
    """Some fills are partial; the rest follows, and every event has its own quantity."""
    world = trading(fills=PAPER, money=10_000_000)
    partial = 0
    for _ in range(100):
        order = world.submit(a_buy(100))
        world.wait(5)
        fills = [e for e in world.events if e.order.id == order.id and e.qty is not None]
        assert sum(e.qty for e in fills if e.qty) == 100
        assert [e.event for e in fills] == ["partial_fill"] * (len(fills) - 1) + ["fill"]
        partial += len(fills) > 1
    assert 2 < partial < 25


def test_resting_limit_waits_for_its_price() -> None:
    """A limit order fills when the quote comes to it, at the quote."""
    world = trading()
    order = world.submit(a_buy(10, **at_limit("99.5")))
    world.quote(bid=99.45, ask=99.51)
    assert world.status(order) == "new"
    world.quote(bid=99.3, ask=99.4)
    assert world.order(order).filled_avg_price == price("99.4")


@pytest.mark.parametrize(("bid", "ask"), [(0, 99.0), (99.2, 99.1), (float("nan"), 99.0)])
def test_bad_quotes_fill_nothing(bid: float, ask: float) -> None:
    """A one-sided or crossed quote is not traded at."""
    world = trading()
    order = world.submit(a_buy(10, **at_limit("99.5")))
    world.quote(bid=bid, ask=ask)
    assert world.status(order) == "new"


def test_halt_stops_fills() -> None:
    """Nothing fills in a halt; after it, only on a new quote."""
    world = trading()
    world.exchange.on_halt("AAPL", is_halted=True, now=world.now)
    order = world.submit(a_buy())
    ioc = world.submit(a_buy(time_in_force=TimeInForce.IOC))
    world.quote()
    assert world.status(order) == "new"
    assert world.status(ioc) == "canceled"
    world.exchange.on_halt("AAPL", is_halted=False, now=world.now)
    assert world.status(order) == "new"
    world.quote(bid=99, ask=99.5)
    assert world.order(order).filled_avg_price == price("99.5")


def test_rejection_comes_later() -> None:
    """The market can reject what the exchange has taken; nothing stays reserved."""
    world = trading(fills=PAPER)
    world.exchange.reject_next("AAPL", "no luck")
    order = world.submit(a_buy())
    world.wait(0.005)
    assert world.words(order) == ["pending_new", "rejected"]
    assert world.order(order).failed_at == world.now
    assert world.order(order).reject_reason == "no luck"
    assert world.exchange.account().buying_power == 400_000
    world.exchange.reject_next("AAPL", "no luck")
    fraction = world.submit(a_buy("0.5"))
    world.wait(1)
    assert world.words(fraction) == ["pending_new", "rejected"]


# --- stops ------------------------------------------------------------------------------------------------------------


def test_stop_wakes_on_a_print() -> None:
    """A sell stop sleeps until a trade at its price, then sells at the bid."""
    world = holding()
    order = world.submit(a_sell(10, **STOP, stop_price=price(95)))
    world.trade(95.01)
    assert world.status(order) == "new"
    world.quote(bid=94.9, ask=95.1)
    world.trade(95.0)
    assert world.order(order).filled_avg_price == price("94.9")


def test_stop_wakes_when_the_whole_quote_is_past_it() -> None:
    """Without a print, a quote wakes a stop once both its sides are beyond."""
    world = trading()
    order = world.submit(a_buy(10, **STOP, stop_price=price(105)))
    world.quote(bid=104.99, ask=105.2)
    assert world.order(order).triggered_at is None
    world.quote(bid=105.0, ask=105.2)
    assert world.order(order).filled_avg_price == price("105.2")


def test_triggered_buy_stop_does_not_chase() -> None:
    """A buy stop is a stop-limit 2.5 % above: past that it rests, and fills when the market comes back."""
    world = trading()
    order = world.submit(a_buy(10, **STOP, stop_price=price(105)))
    world.quote(bid=109.0, ask=109.5)
    assert world.status(order) == "new"
    world.quote(bid=107.0, ask=107.5)
    assert world.status(order) == "filled"


def test_stop_limit_keeps_its_limit() -> None:
    """A triggered stop-limit is a limit order."""
    world = holding()
    order = world.submit(a_sell(10, order_type=OrderType.STOP_LIMIT, stop_price=price(95), limit_price=price("94.5")))
    world.quote(bid=93.0, ask=93.1)
    world.trade(93.0)
    world.trade(92.0)
    assert world.status(order) == "new"
    world.quote(bid=94.6, ask=94.7)
    assert world.order(order).filled_avg_price == price("94.6")


def test_trailing_stop_trails() -> None:
    """The stop follows the best print, and wakes when the market turns by the trail."""
    world = holding()
    order = world.submit(a_sell(10, **TRAILING, trail_price=price(2)))
    assert told(world.order(order).hwm, world.order(order).stop_price) == (100, 98)
    world.trade(105.0)
    assert told(world.order(order).hwm, world.order(order).stop_price) == (105, 103)
    world.trade(103.01)
    assert world.status(order) == "new"
    world.quote(bid=102.9, ask=103.1)
    world.trade(103.0)
    assert world.order(order).filled_avg_price == price("102.9")


def test_trailing_stop_starts_with_the_first_print() -> None:
    """Without a last price, the trail begins when one comes."""
    world = holding()
    world.exchange._trades.clear()
    world.exchange._quotes.clear()
    order = world.submit(a_sell(10, **TRAILING, trail_percent=price(1)))
    assert world.order(order).stop_price is None
    world.quote(bid=99.0, ask=99.1)
    assert world.status(order) == "new"
    world.trade(100.0)
    assert world.order(order).stop_price == 99


def test_stops_sleep_outside_the_regular_session() -> None:
    """Pre-market prints wake no stop."""
    world = holding()
    order = world.submit(a_sell(10, **STOP, stop_price=price(95), time_in_force=GTC))
    world.until(ny("17:00"))
    world.quote(bid=94.0, ask=94.1)
    world.trade(94.0)
    assert world.status(order) == "new"
    assert world.order(order).triggered_at is None


# --- time in force ----------------------------------------------------------------------------------------------------


def test_ioc_fills_what_it_can() -> None:
    """An ioc order takes the quote at once, and the rest is canceled."""
    world = trading(fills=PAPER)
    world.submit(a_buy(10, time_in_force=TimeInForce.IOC, **at_limit(99)))
    world.wait(1)
    assert world.words() == ["pending_new", "new", "canceled"]
    ended = set()
    for _ in range(60):
        order = world.submit(a_buy(100, time_in_force=TimeInForce.IOC))
        world.wait(1)
        ended.add(world.words(order)[-2:][0] + " " + world.status(order))
        world.exchange.close_all(world.now, cancel_orders=True)
        world.wait(10)
    assert ended == {"new filled", "partial_fill canceled"}


def test_fok_is_all_or_nothing() -> None:
    """A fok order is filled whole or canceled."""
    world = trading(fills=PAPER, money=10**8)
    for _ in range(60):
        order = world.submit(a_buy(100, time_in_force=TimeInForce.FOK))
        world.wait(1)
        assert world.words(order) == ["pending_new", "new", "fill"]
    order = world.submit(a_buy(100, time_in_force=TimeInForce.FOK, **at_limit(99)))
    world.wait(1)
    assert world.status(order) == "canceled"


def test_day_order_expires_at_the_close() -> None:
    """What a day order has not filled at 16:00 expires, and frees its money."""
    world = trading()
    order = world.submit(a_buy(10, **at_limit(90)))
    assert order.expires_at == ny("16:00")
    world.until(ny("15:59:59"))
    assert world.status(order) == "new"
    world.until(ny("16:30"))
    expired = world.order(order)
    assert (expired.status, expired.expired_at) == ("expired", ny("16:00"))
    assert world.exchange.account().buying_power == 400_000


def test_extended_day_order_lives_to_the_evening() -> None:
    """An extended-hours limit order trades before and after the session, and expires at 20:00."""
    world = trading(now=ny("08:00"))
    order = world.submit(a_buy(10, **at_limit(99, extended_hours=True)))
    assert order.status == "pending_new"
    regular = world.submit(a_buy(10, **at_limit(99)))
    assert regular.status == "accepted"
    world.quote(bid=98.5, ask=98.9)
    assert world.status(order) == "filled"
    assert world.status(regular) == "accepted"
    late = world.submit(a_buy(10, **at_limit(90, extended_hours=True)))
    world.until(ny("19:59"))
    assert world.status(late) == "new"
    world.until(ny("20:00"))
    assert world.status(late) == "expired"


def test_order_of_the_night_waits_for_the_open() -> None:
    """Accepted while closed, new at the open, filled at the first quote of the day after its latency."""
    world = trading(now=ny("17:00"), fills=PAPER)
    order = world.submit(a_buy())
    assert (order.status, order.expires_at) == ("accepted", ny("16:00", TUESDAY))
    assert world.words(order) == ["accepted"]
    world.begin(a_day(TUESDAY), ny("04:00", TUESDAY))
    world.until(ny("09:30", TUESDAY))
    assert world.words(order) == ["accepted", "new"]
    world.wait(0.15)
    assert world.status(order) == "new", "yesterday's quote is no quote"
    world.quote(bid=101, ask=101.5)
    assert world.order(order).filled_avg_price == price("101.5")


def test_extended_order_of_the_night_starts_in_the_morning() -> None:
    """Accepted while all is closed, new at 04:00."""
    world = trading(now=ny("21:00"))
    order = world.submit(a_buy(10, **at_limit(99, extended_hours=True)))
    assert (order.status, order.expires_at) == ("accepted", ny("20:00", TUESDAY))
    world.begin(a_day(TUESDAY), ny("03:59", TUESDAY))
    assert world.status(order) == "accepted"
    world.until(ny("04:00", TUESDAY))
    assert world.status(order) == "new"


def test_gtc_order_lives_on() -> None:
    """A gtc order rests over the night, sleeps outside of the session, and fills another day."""
    world = trading()
    order = world.submit(a_buy(10, **at_limit(99, time_in_force=GTC)))
    world.until(ny("17:00"))
    world.quote(bid=98, ask=98.5)
    assert world.status(order) == "new"
    world.begin(a_day(TUESDAY), ny("09:30", TUESDAY))
    world.quote(bid=98, ask=98.5)
    assert world.status(order) == "filled"


def test_gtc_order_fills_on_the_quote_it_finds_at_the_open() -> None:
    """At the open, what rests is looked at again: the pre-market's quote stands."""
    world = trading(now=ny("08:00"))
    order = world.submit(a_buy(10, **at_limit(99, time_in_force=GTC)))
    world.quote(bid=98, ask=98.5)
    world.until(ny("09:30"))
    assert world.status(order) == "filled"


def test_gtc_order_is_canceled_after_90_days() -> None:
    """Ninety days on, at a quarter past four in New York, a gtc order ends."""
    world = trading()
    order = world.submit(a_buy(10, **at_limit(90, time_in_force=GTC)))
    world.until(ny("16:14", date(2026, 4, 5)))
    assert world.status(order) == "new"
    world.until(ny("16:15", date(2026, 4, 5)))
    assert world.status(order) == "canceled"


def test_opening_auction() -> None:
    """An opg order trades at the first quote after the open, in one piece; what does not, is canceled."""
    world = trading(now=ny("08:00"), fills=PAPER, is_quoted=False)
    world.trade(100.0)
    market = world.submit(a_buy(500, time_in_force=TimeInForce.OPG))
    limit = world.submit(a_buy(500, time_in_force=TimeInForce.OPG, **at_limit(99)))
    silent = world.submit(a_buy(1, time_in_force=TimeInForce.OPG, symbol="SPY", **at_limit(99)))
    world.until(ny("09:31"))
    assert [world.status(o) for o in (market, limit)] == ["new", "new"]
    world.quote()
    assert [world.status(o) for o in (market, limit)] == ["filled", "canceled"]
    assert world.words(market) == ["accepted", "new", "fill"]
    world.until(ny("16:00"))
    assert world.status(silent) == "canceled"


def test_closing_auction() -> None:
    """A cls order trades at the close's quote; what does not, is canceled."""
    world = trading(fills=PAPER)
    market = world.submit(a_buy(500, time_in_force=TimeInForce.CLS))
    limit = world.submit(a_buy(500, time_in_force=TimeInForce.CLS, **at_limit(99)))
    halted = world.submit(a_buy(5, time_in_force=TimeInForce.CLS, symbol="SPY"))
    world.until(ny("15:59"))
    world.quote(bid=102, ask=102.5)
    world.exchange.on_halt("SPY", is_halted=True, now=world.now)
    assert world.status(market) == "new"
    world.until(ny("16:00"))
    assert [world.status(o) for o in (market, limit, halted)] == ["filled", "canceled", "canceled"]
    assert world.order(market).filled_avg_price == price("102.5")
    assert world.order(market).filled_at == ny("16:00")


def test_closing_auction_without_a_quote() -> None:
    """Without a quote at the close, a cls order is canceled."""
    world = trading(is_quoted=False)
    world.trade(100.0)
    order = world.submit(a_buy(5, time_in_force=TimeInForce.CLS))
    world.until(ny("16:00"))
    assert world.status(order) == "canceled"


def test_last_milliseconds_before_the_close() -> None:
    """An order that the market has not seen by the close expires unseen."""
    world = trading(fills=PAPER)
    world.until(ny("16:00") - timedelta(milliseconds=2))
    order = world.submit(a_buy())
    world.wait(1)
    assert world.words(order) == ["pending_new", "expired"]


# --- complex orders ---------------------------------------------------------------------------------------------------


def bracket(world: Trading, size: int = 10, **overrides: Any) -> tuple[ExchangeOrder, ExchangeOrder, ExchangeOrder]:
    fields: dict[str, Any] = {"take_profit": profit(110), "stop_loss": loss(90)}
    entry = world.submit(a_buy(size, order_class=OrderClass.BRACKET, **fields | overrides))
    take, stop = world.legs(entry)
    return entry, take, stop


def statuses(world: Trading, *orders: ExchangeOrder) -> list[str]:
    return [world.status(order) for order in orders]


def test_bracket_legs_wait_for_the_whole_entry() -> None:
    """Legs are held until the entry is filled; then both stand at the market, and hold the shares once."""
    world = trading(fills=PAPER)
    orders = bracket(world)
    entry, take, stop = orders
    assert statuses(world, *orders) == ["pending_new", "held", "held"]
    assert (take.group_role, stop.group_role, entry.group_role) == ("take_profit", "stop_loss", "entry")
    assert (take.order_type, stop.order_type) == ("limit", "stop")
    assert take.parent_id == stop.parent_id == entry.id
    world.wait(5)
    assert statuses(world, *orders) == ["filled", "new", "new"]
    view = world.exchange.position("AAPL")
    assert view is not None
    assert view.qty_available == 0


def test_profit_cancels_the_stop() -> None:
    """When the take-profit is filled, the stop-loss is canceled."""
    world = trading()
    orders = bracket(world)
    world.quote(bid=110.5, ask=110.6)
    assert statuses(world, *orders) == ["filled", "filled", "canceled"]
    assert world.position() == 0


def test_stop_cancels_the_profit() -> None:
    """When the stop-loss is filled, the take-profit is canceled; a stop with a limit is a stop-limit."""
    world = trading()
    orders = bracket(world, stop_loss=loss(90, 88))
    assert orders[2].order_type == "stop_limit"
    world.quote(bid=89.0, ask=89.1)
    world.trade(89.0)
    assert statuses(world, *orders) == ["filled", "canceled", "filled"]


def test_partial_profit_shrinks_the_stop() -> None:
    """Both exits are always open for the same quantity, and together they never sell too much."""
    world = trading(fills=PAPER, money=10**8)
    shrunk = 0
    for _ in range(60):
        entry, take, stop = bracket(world, 100)
        world.wait(10)
        world.quote(bid=110.5, ask=110.6)
        one, other = world.order(take), world.order(stop)
        if one.status == "partially_filled":
            shrunk += 1
            assert "restated" in world.words(stop)
            assert one.leaves_qty == other.leaves_qty
        world.quote(bid=90.5, ask=90.6)
        world.quote(bid=89.5, ask=89.6)
        world.wait(10)
        assert world.position() == 0
        assert world.order(take).filled_qty + world.order(stop).filled_qty == 100
        assert world.status(entry) == "filled"
        world.quote()
        world.trade(100.0)
    assert shrunk


def test_canceled_entry_takes_its_legs_along() -> None:
    """Cancel the parent, and the legs are canceled; a leg canceled alone takes its sibling along."""
    world = trading()
    orders = bracket(world, **at_limit(95))
    assert statuses(world, *orders) == ["new", "held", "held"]
    world.cancel(orders[0])
    assert statuses(world, *orders) == ["canceled"] * 3
    orders = bracket(world)
    world.cancel(orders[2])
    assert statuses(world, *orders) == ["filled", "canceled", "canceled"]
    orders = bracket(world, **at_limit(95))
    world.cancel(orders[1])
    assert statuses(world, *orders) == ["new", "canceled", "canceled"]


def test_day_bracket_ends_with_the_day() -> None:
    """Working exits expire; legs that were held are canceled with their entry."""
    world = trading()
    filled, waiting = bracket(world), bracket(world, **at_limit(95))
    world.until(ny("16:00"))
    assert statuses(world, *filled) == ["filled", "expired", "expired"]
    assert statuses(world, *waiting) == ["expired", "canceled", "canceled"]


def test_shares_of_a_partial_entry_wait_for_their_legs() -> None:
    """What a bracket's entry has bought so far is not free: its exits will sell it."""
    world = trading(fills=PAPER, money=10**8)
    for _ in range(60):
        entry, take, stop = bracket(world, 100)
        world.wait(0.15)
        if world.status(entry) == "partially_filled":
            view = world.exchange.position("AAPL")
            assert view is not None
            assert view.qty_available == 0
            assert statuses(world, take, stop) == ["held", "held"]
            world.cancel(entry)
            assert statuses(world, entry, take, stop) == ["canceled"] * 3
            view = world.exchange.position("AAPL")
            assert view is not None
            assert view.qty_available == view.qty
            return
        world.cancel(take)
        world.wait(5)
        world.exchange.close_all(world.now, cancel_orders=True)
        world.wait(5)
    pytest.fail("sixty orders, and none was filled in parts")


def test_oto_has_one_leg() -> None:
    """The one leg stands once the entry is filled."""
    world = trading()
    entry = world.submit(a_buy(10, order_class=OrderClass.OTO, stop_loss=loss(90)))
    (leg,) = world.legs(entry)
    assert statuses(world, entry, leg) == ["filled", "new"]
    world.trade(89.0)
    assert statuses(world, leg) == ["filled"]


def test_oco_exits_stand_together() -> None:
    """The take-profit is the parent, the stop its leg; one fills, the other is canceled."""
    world = holding()
    request = a_sell(
        10, order_class=OrderClass.OCO, order_type=OrderType.LIMIT, take_profit=profit(110), stop_loss=loss(90)
    )
    take = world.submit(request)
    (stop,) = world.legs(take)
    assert told(take.limit_price, take.group_role) == (110, "take_profit")
    assert statuses(world, take, stop) == ["new", "new"]
    assert world.exchange.position("AAPL").qty_available == 0  # type: ignore[union-attr]
    world.trade(90.0)
    assert statuses(world, take, stop) == ["canceled", "filled"]


def test_short_bracket_is_mirrored() -> None:
    """A bracket that opens a short buys back, at a profit below or a loss above."""
    world = trading()
    entry = world.submit(a_sell(10, order_class=OrderClass.BRACKET, take_profit=profit(90), stop_loss=loss(110)))
    take, stop = world.legs(entry)
    assert (take.side, stop.side) == (Side.BUY, Side.BUY)
    world.quote(bid=89, ask=89.5)
    assert statuses(world, take, stop) == ["filled", "canceled"]
    assert world.position() == 0


def test_worthless_money_order_is_canceled() -> None:
    """Where the money does not pay for the smallest part of a share, the order ends."""
    world = trading(fills=PAPER)
    order = world.submit(a_request(notional=cash(1)))
    world.quote(bid=2_000_000_000.0, ask=2_000_000_001.0)
    world.wait(1)
    assert world.status(order) == "canceled"
    assert world.order(order).filled_qty == 0


def test_notional_sale_never_sells_more_than_is_held() -> None:
    """The price may fall between order and fill: what was promised is the most that is sold."""
    world = holding(1)
    world.exchange.on_halt("AAPL", is_halted=True, now=world.now)
    world.exchange._quotes["AAPL"] = (99.99, 100.0, world.now)
    order = world.submit(a_request(notional=cash("99.99"), side=Side.SELL))
    world.exchange.on_halt("AAPL", is_halted=False, now=world.now)
    world.quote(bid=50, ask=51)
    assert world.order(order).filled_qty == 1
    assert world.position() == 0
