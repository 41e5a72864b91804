"""What clients ask and read, and how days follow each other."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from deskd.domain.order import OrderClass, OrderType, Side, TimeInForce
from deskd.exchange.account import Configurations
from deskd.exchange.errors import ApiError
from deskd.exchange.exchange import Exchange, restore
from deskd.exchange.fill_model import PAPER
from deskd.exchange.order import ExchangeOrder, OrderChanges
from tests.exchange.given import (
    ASSETS,
    MONDAY,
    Trading,
    a_buy,
    a_day,
    a_request,
    a_sell,
    an_exchange,
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
from tests.exchange.stored import Store

GTC = TimeInForce.GTC
TUESDAY = MONDAY + timedelta(days=1)


def holding(size: int = 10, **overrides: Any) -> Trading:
    world = trading(**overrides)
    world.submit(a_buy(size) if size > 0 else a_sell(-size))
    return world


def replaced(world: Trading, order: ExchangeOrder, **changes: Any) -> ExchangeOrder:
    new = world.exchange.replace(order.id, OrderChanges(**changes), world.now)
    assert isinstance(new, ExchangeOrder), new
    world._listen()
    return new


def not_replaced(world: Trading, order: ExchangeOrder, **changes: Any) -> ApiError:
    error = world.exchange.replace(order.id, OrderChanges(**changes), world.now)
    assert isinstance(error, ApiError), error
    return error


# --- names ------------------------------------------------------------------------------------------------------------


def test_client_order_id_is_used_once() -> None:
    """Neither a resting nor a finished order's client_order_id can be used again; a refused order's can."""
    world = trading()
    assert world.refused(a_buy(10**6, client_order_id="c-1")).message == "insufficient buying power"
    resting = world.submit(a_buy(1, client_order_id="c-1", **at_limit(90)))
    assert world.refused(a_buy(1, client_order_id="c-1")).message == "client_order_id must be unique"
    world.cancel(resting)
    # A client that does not know whether its order came to be has to hear this before anything else.
    assert world.refused(a_buy(10**6, client_order_id="c-1")).message == "client_order_id must be unique"
    assert world.exchange.by_client_order_id("c-1") is not None


def test_orders_without_a_name_get_one() -> None:
    """A client that sends no client_order_id finds one in the answer."""
    world = trading()
    order = world.submit(a_buy(1))
    assert world.exchange.by_client_order_id(order.client_order_id) is world.order(order)
    assert world.exchange.by_client_order_id("nobody") is None


def test_assets_are_found_by_symbol_and_id() -> None:
    """Both names lead to the asset; the list is by symbol, and grows."""
    exchange = an_exchange()
    assert exchange.asset("AAPL") is exchange.asset("aaaa-aapl") is ASSETS[0]
    assert exchange.asset("NOPE") is None
    assert [a.symbol for a in exchange.assets()] == sorted(a.symbol for a in ASSETS)


# --- cancel and replace -----------------------------------------------------------------------------------------------


def test_cancel_says_why_not() -> None:
    """An unknown order is not found; a finished one says in what state it is."""
    world = trading()
    order = world.submit(a_buy(1))
    error = world.cancel(order)
    assert error is not None
    assert (error.http, error.message) == (422, 'order is already in "filled" state')
    error = world.exchange.cancel("nobody", world.now)
    assert error is not None
    assert error.message == "order not found for nobody"


def test_cancel_frees_money() -> None:
    """A canceled order keeps what it has filled, reserves nothing, and has its one time of ending."""
    world = trading()
    order = world.submit(a_buy(10, **at_limit(90)))
    assert world.cancel(order) is None
    ended = world.order(order)
    assert told(ended.status, ended.canceled_at, ended.reserved) == ("canceled", world.now, 0)


def test_cancel_all_names_every_order() -> None:
    """Each open order is answered for, legs too, which go with their parent."""
    world = trading()
    one = world.submit(a_buy(1, **at_limit(90)))
    two = world.submit(
        a_buy(1, order_class=OrderClass.BRACKET, take_profit=profit(95), stop_loss=loss(85), **at_limit(90))
    )
    answered = world.exchange.cancel_all(world.now)
    assert [order_id for order_id, _ in answered] == [one.id, two.id, *two.legs]
    assert {error for _, error in answered} == {None}
    assert world.exchange.orders() == []


def test_replacement_is_a_new_order() -> None:
    """The old order ends as replaced and says by what; its event comes first, with the old order."""
    world = trading()
    old = world.submit(a_buy(10, client_order_id="c-1", **at_limit(90)))
    new = replaced(world, old, qty=qty(20), limit_price=price(91), client_order_id="c-2")
    ended = world.order(old)
    assert (ended.status, ended.replaced_by, ended.replaced_at) == ("replaced", new.id, world.now)
    assert told(new.replaces, new.qty, new.limit_price, new.client_order_id) == (old.id, 20, 91, "c-2")
    assert new.status == "pending_new"
    assert [(e.event, e.order.id) for e in world.events[-3:]] == [
        ("replaced", old.id),
        ("pending_new", new.id),
        ("new", new.id),
    ]
    assert world.exchange.account().buying_power == 400_000 - 1820


def test_replacement_counts_what_is_filled() -> None:
    """The quantity of a replacement counts what the old order has filled: nothing is bought twice."""
    world = trading(fills=PAPER, money=10**8)
    for _ in range(100):
        order = world.submit(a_buy(100))
        world.wait(0.15)
        filled = world.order(order).filled_qty
        if 0 < filled < 100:
            assert not_replaced(world, order, qty=filled).message == "qty must be > 0"
            new = replaced(world, order, qty=qty(150))
            assert new.qty == 150 - filled
            world.wait(5)
            assert world.order(new).filled_qty == new.qty
            return
    pytest.fail("a hundred orders, and none was filled in parts")


def test_replacement_is_checked_like_an_order() -> None:
    """Form, increment, money and shares: a replacement keeps every rule, and the old order goes on."""
    world = holding(10)
    buy = world.submit(a_buy(10, client_order_id="c-1", **at_limit(90)))
    assert not_replaced(world, buy, limit_price=price("90.001")).message.startswith("invalid limit_price 90.001")
    assert not_replaced(world, buy, stop_price=price(80)).message == "limit orders require only limit price"
    assert not_replaced(world, buy, qty=qty(10**6)).message == "insufficient buying power"
    assert not_replaced(world, buy, client_order_id="c-1").message == "client_order_id must be unique"
    sell = world.submit(a_sell(10, **at_limit(110)))
    assert not_replaced(world, sell, qty=qty(11)).message.startswith("insufficient qty available")
    assert "wash trade" in not_replaced(world, sell, limit_price=price(90)).message
    assert replaced(world, sell, qty=qty(10), limit_price=price(111)).qty == 10
    assert world.status(buy) == "new"


def test_only_working_orders_are_replaced() -> None:
    """What is unknown is not found; what is not working yet, or no more, is not open."""
    world = trading(fills=PAPER)
    order = world.submit(a_buy(10, **at_limit(90)))
    assert not_replaced(world, order, qty=qty(5)).message == "unable to replace order, order is not open"
    error = world.exchange.replace("nobody", OrderChanges(), world.now)
    assert isinstance(error, ApiError)
    assert error.message == "order not found for nobody"


def test_replaced_time_in_force_moves_the_end() -> None:
    """A day order made gtc no longer ends at the close, and the other way round."""
    world = trading()
    day = world.submit(a_buy(10, **at_limit(90)))
    gtc = replaced(world, day, time_in_force=GTC)
    assert gtc.expires_at == ny("16:15", date(2026, 4, 5))
    again = replaced(world, gtc, time_in_force=TimeInForce.DAY)
    assert again.expires_at == ny("16:00")
    world.until(ny("16:00"))
    assert world.status(again) == "expired"


def test_replaced_trail_keeps_its_best_price() -> None:
    """A new trail is measured from the best price that the old one saw."""
    world = holding()
    order = world.submit(a_sell(10, order_type=OrderType.TRAILING_STOP, trail_price=price(2)))
    world.quote(bid=104.9, ask=105.0)
    world.trade(105.0)
    new = replaced(world, order, trail=price(3))
    assert told(new.hwm, new.stop_price, new.trail_price) == (105, 102, 3)
    assert not_replaced(world, new, trail=price(0)).message == "trail price must be > 0"
    assert not_replaced(world, new, stop_price=price(90)).message == (
        "trailing stop orders require no stop or limit price"
    )
    percent = world.submit(a_buy(1, order_type=OrderType.TRAILING_STOP, trail_percent=price(10)))
    assert replaced(world, percent, trail=price(20)).stop_price == 126  # of 105, and 20 %
    assert replaced(world, new).stop_price == 102


def test_replaced_trail_before_the_first_print() -> None:
    """A trailing stop that has seen no price can be replaced, and still starts with the first one."""
    world = holding()
    world.exchange._trades.clear()
    world.exchange._quotes.clear()
    order = world.submit(a_sell(10, order_type=OrderType.TRAILING_STOP, trail_price=price(2)))
    new = replaced(world, order, trail=price(3))
    world.trade(100.0)
    assert world.order(new).stop_price == 97


def test_triggered_stop_is_replaced_as_what_it_became() -> None:
    """A stop-limit past its stop is a limit order: its limit can move although the market is beyond the stop."""
    world = holding()
    fields: dict[str, Any] = {"order_type": OrderType.STOP_LIMIT, "stop_price": price(95), "limit_price": price(94)}
    order = world.submit(a_sell(10, **fields))
    world.quote(bid=93.0, ask=93.1)
    world.trade(93.0)
    new = replaced(world, order, limit_price=price("93.5"))
    assert told(new.order_type, new.stop_price) == ("stop_limit", 95)
    world.quote(bid=93.6, ask=93.7)
    assert world.order(new).filled_avg_price == price("93.6")


def test_stop_moves() -> None:
    """A stop that sleeps can be moved, on its side of the market."""
    world = holding()
    order = world.submit(a_sell(10, order_type=OrderType.STOP, stop_price=price(95)))
    assert not_replaced(world, order, stop_price=price(101)).message == "stop price must be less than current price"
    assert replaced(world, order, stop_price=price(96)).stop_price == 96


def a_bracket(world: Trading, **overrides: Any) -> ExchangeOrder:
    legs: dict[str, Any] = {"take_profit": profit(110), "stop_loss": loss(90)}
    return world.submit(a_buy(10, order_class=OrderClass.BRACKET, **legs | overrides))


def test_replaced_entry_keeps_its_legs() -> None:
    """Legs hang on the new entry, and grow with it; the old one has none."""
    world = trading()
    old = a_bracket(world, **at_limit(95))
    assert not_replaced(world, old, limit_price=price(120)).message.startswith("take_profit.limit_price must be >=")
    new = replaced(world, old, qty=qty(15), limit_price=price(96))
    assert world.order(old).legs == ()
    assert [(leg.parent_id, leg.qty, leg.status.value) for leg in world.legs(new)] == [(new.id, qty(15), "held")] * 2
    world.quote(bid=95.5, ask=95.6)
    assert [leg.status.value for leg in world.legs(new)] == ["new", "new"]
    world.quote(bid=110.5, ask=110.6)
    assert world.position() == 0


def test_replaced_exit_keeps_its_place() -> None:
    """A moved take-profit is still its sibling's sibling; its quantity is the position's business."""
    world = trading()
    entry = a_bracket(world)
    take, stop = world.legs(entry)
    assert "qty of an exit" in not_replaced(world, take, qty=qty(5)).message
    moved = replaced(world, take, limit_price=price(105))
    lower = replaced(world, stop, stop_price=price(92))
    assert world.order(entry).legs == (moved.id, lower.id)
    world.quote(bid=105.0, ask=105.1)
    assert [world.status(o) for o in (moved, lower)] == ["filled", "canceled"]


def test_replaced_oco_keeps_its_stop() -> None:
    """The parent of an oco moves, and its stop with it to the new parent."""
    world = holding()
    request = a_sell(
        10, order_class=OrderClass.OCO, order_type=OrderType.LIMIT, take_profit=profit(110), stop_loss=loss(90)
    )
    old = world.submit(request)
    assert not_replaced(world, old, limit_price=price(89)).message == (
        "take_profit.limit_price must be > stop_loss.stop_price"
    )
    new = replaced(world, old, limit_price=price(105))
    (stop,) = world.legs(new)
    world.trade(90.0)
    assert [world.status(o) for o in (new, stop)] == ["canceled", "filled"]


def test_oto_entry_can_be_replaced() -> None:
    """An oto's one leg follows its entry, whichever exit it is."""
    world = trading()
    for leg in ({"take_profit": profit(110)}, {"stop_loss": loss(90)}):
        old = world.submit(a_buy(10, order_class=OrderClass.OTO, **leg, **at_limit(95)))
        new = replaced(world, old, limit_price=price(96))
        assert [one.status.value for one in world.legs(new)] == ["held"]


# --- positions --------------------------------------------------------------------------------------------------------


def test_position_is_closed_by_a_market_order() -> None:
    """All of it, so many shares, or so many percent; by symbol or by the asset's id."""
    world = holding(10)
    order = world.exchange.close_position("AAPL", world.now, qty=qty(4))
    assert isinstance(order, ExchangeOrder)
    assert told(order.side, order.qty, order.order_type) == ("sell", 4, "market")
    order = world.exchange.close_position("aaaa-aapl", world.now, percentage=Decimal("33.333"))
    assert isinstance(order, ExchangeOrder)
    assert order.qty == qty("1.99998")
    world.exchange.close_position("AAPL", world.now)
    assert world.position() == 0
    short = holding(-10)
    short.exchange.close_position("AAPL", short.now)
    assert short.position() == 0


@pytest.mark.parametrize(
    ("symbol", "size", "message"),
    [
        ("SPY", {}, "position does not exist"),
        ("NOPE", {}, "symbol not found: NOPE"),
        ("AAPL", {"qty": Decimal(1), "percentage": Decimal(1)}, "only one of qty or percentage is accepted"),
        ("AAPL", {"percentage": Decimal(101)}, "percentage must be > 0 and <= 100"),
        ("AAPL", {"percentage": Decimal(0)}, "percentage must be > 0 and <= 100"),
        ("AAPL", {"qty": Decimal(11)}, "insufficient qty available for order (requested: 11, available: 10)"),
    ],
)
def test_close_says_why_not(symbol: str, size: dict[str, Any], message: str) -> None:
    """What is not there, or not so much, cannot be closed."""
    world = holding(10)
    error = world.exchange.close_position(symbol, world.now, **size)
    assert isinstance(error, ApiError)
    assert error.message == message


def test_close_all_can_clear_the_way() -> None:
    """A position whose shares are promised is closed only if its orders are canceled first."""
    world = holding(10)
    world.submit(a_buy(5, symbol="SPY"))
    world.submit(a_sell(10, **at_limit(110)))
    first, second = world.exchange.close_all(world.now, cancel_orders=False)
    assert first[0] == "AAPL"
    assert isinstance(first[1], ApiError)
    assert isinstance(second[1], ExchangeOrder)
    ((symbol, order),) = world.exchange.close_all(world.now, cancel_orders=True)
    assert (symbol, isinstance(order, ExchangeOrder)) == ("AAPL", True)
    assert world.exchange.positions() == []


# --- lists ------------------------------------------------------------------------------------------------------------


def test_orders_are_listed_by_status_and_time() -> None:
    """Open by default, the newest first; legs are rows of their own, unless they are nested."""
    world = trading()
    filled = world.submit(a_buy(10))
    world.wait(1)
    entry = a_bracket(world, **at_limit(95))
    world.wait(1)
    spy = world.submit(a_buy(1, symbol="SPY", **at_limit(95)))
    orders = world.exchange.orders
    take, stop = entry.legs
    assert [o.id for o in orders()] == [spy.id, stop, take, entry.id]
    assert [o.id for o in orders(status="closed")] == [filled.id]
    assert [o.id for o in orders(status="all", is_descending=False)] == [filled.id, entry.id, take, stop, spy.id]
    assert [o.id for o in orders(status="all", is_nested=True)] == [spy.id, entry.id, filled.id]
    assert [o.id for o in orders(symbols={"SPY"})] == [spy.id]
    assert [o.id for o in orders(side=Side.SELL)] == [stop, take]
    assert [o.id for o in orders(status="all", limit=2)] == [spy.id, stop]
    assert [o.id for o in orders(status="all", after=filled.submitted_at, until=spy.submitted_at)] == [
        stop,
        take,
        entry.id,
    ]
    assert [o.id for o in orders(status="all", after_order_id=take, is_descending=False)] == [stop, spy.id]
    assert [o.id for o in orders(status="all", before_order_id=take)] == [entry.id, filled.id]


def test_activities_are_listed_by_time() -> None:
    """Every fill is a line; pages follow the last id seen; days are New York's."""
    world = trading()
    for _ in range(5):
        world.submit(a_buy(1))
        world.wait(60)
    listed = world.exchange.activities
    newest = listed(types={"FILL"})
    assert [a.sequence for a in newest] == sorted((a.sequence for a in newest), reverse=True)
    first = listed(types={"FILL"}, page_size=2)
    second = listed(types={"FILL"}, page_size=2, page_token=first[-1].id)
    assert [*first, *second] == newest[:4]
    oldest = listed(is_descending=False, page_size=2)
    assert [a.activity_type for a in oldest] == ["CSD", "FILL"]
    assert listed(is_descending=False, page_size=2, page_token=oldest[-1].id)[0] == newest[3]
    assert listed(after=newest[1].at) == newest[:1]
    assert listed(until=newest[3].at, types={"FILL"}) == newest[4:]
    assert listed(on=MONDAY, types={"FILL"}) == newest
    assert listed(on=TUESDAY) == []
    assert listed(order_id=newest[0].order_id) == newest[:1]


def test_fill_activity_tells_the_fill() -> None:
    """Quantities add up, the id starts with New York's time, a short sale is told apart."""
    world = trading()
    order = world.submit(a_sell(10))
    (fill,) = world.exchange.activities(types={"FILL"})
    assert fill.id.startswith("20260105120000000::")
    assert (fill.order_id, fill.order_status, fill.type) == (order.id, "filled", "fill")
    assert told(fill.qty, fill.cum_qty, fill.leaves_qty, fill.price) == (10, 10, 0, price("99.99"))
    assert fill.is_short_sale


# --- the account ------------------------------------------------------------------------------------------------------


def test_account_of_a_new_exchange() -> None:
    """A flat account has four times its money to spend, and says so in every figure."""
    account = trading().exchange.account()
    assert told(account.cash, account.equity, account.last_equity) == (100_000, 100_000, 100_000)
    assert told(account.buying_power, account.regt_buying_power) == (400_000, 200_000)
    assert told(account.multiplier, account.initial_margin, account.shorting_enabled) == ("4", 0, True)
    assert trading(money=1999).exchange.account().multiplier == "1"


def test_account_keeps_its_identities() -> None:
    """Equity is cash plus long plus short; what is held lowers what may be spent."""
    world = trading()
    world.submit(a_buy(100))
    world.submit(a_sell(50, symbol="SPY"))
    world.trade(110.0)
    account = world.exchange.account()
    assert told(account.long_market_value, account.short_market_value) == (11_000, -5000)
    assert account.equity == account.cash + 11_000 - 5000
    assert account.position_market_value == 16_000
    assert account.buying_power == 4 * account.equity - 16_000
    assert told(account.initial_margin, account.maintenance_margin) == (8000, 4800)


def test_margin_switch_is_honoured() -> None:
    """max_margin_multiplier bounds what may be spent."""
    world = trading()
    world.exchange.configure(Configurations(max_margin_multiplier="2"), world.now)
    assert world.exchange.configurations.max_margin_multiplier == "2"
    assert world.exchange.account().buying_power == 200_000


# --- days -------------------------------------------------------------------------------------------------------------


def test_day_ends_and_starts() -> None:
    """The close is yesterday's price and equity from the next morning on."""
    world = holding(10)
    world.trade(110.0)
    world.until(ny("17:00"))
    (point,) = world.exchange.equity_points()
    assert told(point.day, point.at, point.equity) == (MONDAY, ny("16:00"), 100_100)
    assert world.exchange.account().last_equity == 100_000
    world.begin(a_day(TUESDAY), ny("09:30", TUESDAY))
    world.trade(112.0)
    account, view = world.exchange.account(), world.exchange.position("AAPL")
    assert told(account.last_equity, account.balance_asof) == (100_100, MONDAY)
    assert account.last_maintenance_margin == 330
    assert view is not None
    assert told(view.lastday_price, view.unrealized_intraday_pl, view.unrealized_pl) == (110, 20, 120)


def test_shut_day_changes_nothing() -> None:
    """On a weekend the exchange is shut: orders wait for its next day."""
    world = trading()
    world.until(ny("21:00"))
    order = world.submit(a_buy(10))
    world.exchange.on_session(None, ny("12:00", TUESDAY))
    assert world.exchange.submit(a_buy(10), ny("12:00", TUESDAY)).status == "accepted"  # type: ignore[union-attr]
    assert world.status(order) == "accepted"


def test_orders_before_the_first_day_wait() -> None:
    """Before the calendar is known, an order is taken without an end, and gets it with the day."""
    exchange = an_exchange()
    exchange.on_trade("AAPL", 100.0, 1, exchange._timetable.now)
    order = exchange.submit(a_buy(10), exchange._timetable.now)
    assert isinstance(order, ExchangeOrder)
    assert (order.status, order.expires_at) == ("accepted", None)
    exchange.on_session(a_day(), ny("12:01"))
    now = exchange.order(order.id)
    assert now is not None
    assert (now.status, now.expires_at) == ("new", ny("16:00"))


def test_queued_order_goes_to_the_next_day_there_is() -> None:
    """A tape may leave days out: what waited for one of them waits for the next that comes; legs too."""
    world = trading(now=ny("17:00"))
    order = world.submit(a_buy(10, **at_limit(90)))
    bracket = a_bracket(world, **at_limit(95))
    later = date(2026, 3, 2)
    world.begin(a_day(later), ny("09:30", later))
    assert (world.status(order), world.order(order).expires_at) == ("new", ny("16:00", later))
    assert {leg.expires_at for leg in world.legs(bracket)} == {ny("16:00", later)}


def test_day_that_never_closed_ends_with_the_next() -> None:
    """If the next day begins before the old one's boundaries, its day orders are over."""
    world = trading()
    order = world.submit(a_buy(10, **at_limit(90)))
    gtc = world.submit(a_buy(10, **at_limit(90, time_in_force=GTC)))
    world.exchange._timetable._boundaries.clear()
    world.begin(a_day(TUESDAY), ny("09:30", TUESDAY))
    assert [world.status(o) for o in (order, gtc)] == ["expired", "new"]


def test_same_day_twice_is_one_day() -> None:
    """To be told of the day again changes nothing."""
    world = trading()
    order = world.submit(a_buy(10, **at_limit(90)))
    before = world.exchange.account()
    world.begin(a_day(), world.now)
    assert world.status(order) == "new"
    assert world.exchange.account() == before


def test_tape_that_starts_again() -> None:
    """Time goes back: day orders end, gtc orders go on, nobody waits for an instant that has passed."""
    world = trading(fills=PAPER, now=ny("15:00"))
    day = world.submit(a_buy(10, **at_limit(90)))
    gtc = world.submit(a_buy(10, **at_limit(90, time_in_force=GTC)))
    held = a_bracket(world, time_in_force=GTC, **at_limit(95))
    fresh = world.submit(a_buy(10, time_in_force=GTC))
    world.wait(0.01)
    world.begin(a_day(), ny("09:31"))
    assert [world.status(o) for o in (day, gtc, held)] == ["expired", "new", "new"]
    assert world.status(fresh) == "new", "the quote of before is no quote"
    world.quote(bid=88, ask=89)
    assert [world.status(o) for o in (gtc, fresh)] == ["filled", "filled"]
    world.until(ny("16:00"))
    assert world.exchange.next_timer() == ny("20:00")


def test_next_timer() -> None:
    """The venue is told when to wake the exchange; never, where nothing is due."""
    assert an_exchange().next_timer() is None
    world = trading(fills=PAPER)
    assert world.exchange.next_timer() == ny("16:00")
    world.submit(a_buy(10))
    assert world.exchange.next_timer() == world.now + timedelta(milliseconds=5)


def test_quotes_and_trades_let_time_pass() -> None:
    """What is due before a quote happens before it, also where the venue forgot to say so."""
    world = trading(fills=PAPER)
    order = world.submit(a_buy(10))
    world.now += timedelta(seconds=1)
    world.quote("SPY", 98, 99)
    assert world.order(order).filled_avg_price == 100
    order = world.submit(a_buy(10))
    world.now += timedelta(seconds=1)
    world.trade(99.0, "SPY")
    assert world.status(order) == "filled"
    world.trade(float("nan"), "SPY")
    assert world.exchange._prices.last("SPY") == 99


# --- the store --------------------------------------------------------------------------------------------------------


def test_restored_exchange_goes_on() -> None:
    """The rows of all changes make the same exchange again, in the middle of a day, with orders under way."""
    world, store = trading(fills=PAPER), Store()
    world.submit(a_buy(10))
    world.wait(1)
    bracket = a_bracket(world, **at_limit(95))
    world.wait(1)
    under_way = world.submit(a_buy(5, **at_limit(101)))
    store.take(world.exchange)
    again = restore(fills=PAPER, assets=ASSETS, now=world.now, **store.rows())
    assert isinstance(again, Exchange)
    assert store.picture(again) == store.picture(world.exchange)
    other = Trading(again, world.now)
    other.begin(a_day(), world.now)
    other.quote()
    other.wait(5)
    assert other.status(under_way) == "filled"
    assert other.status(bracket) == "new"
    assert other.submit(a_buy(1)).id not in {o.id for o in world.exchange.orders(status="all")}
    other.until(ny("16:00"))
    assert other.status(bracket) == "expired"
    other.begin(a_day(TUESDAY), ny("09:30", TUESDAY))
    assert other.exchange.account().last_equity == again.equity_points()[-1].equity


def test_market_without_a_held_symbol() -> None:
    """Restored to a market that does not have it, a position is still told, and cannot be traded."""
    world, store = holding(10), Store()
    store.take(world.exchange)
    spy = [asset for asset in ASSETS if asset.symbol == "SPY"]
    again = restore(fills=PAPER, assets=spy, now=world.now, **store.rows())
    (view,) = again.positions()
    assert told(view.symbol, view.qty, view.market_value) == ("AAPL", 10, 1000)
    error = again.close_position("AAPL", world.now)
    assert isinstance(error, ApiError)
    assert error.message == 'asset "AAPL" is not tradable'


def test_changes_are_told_once() -> None:
    """Nothing new, nothing to store; a flat position is a row to delete."""
    world = holding(10)
    world.exchange.take_changes()
    empty = world.exchange.take_changes()
    assert (empty.orders, empty.holdings, empty.activities, empty.account) == ((), {}, (), None)
    world.submit(a_sell(10))
    changes = world.exchange.take_changes()
    assert changes.holdings == {"AAPL": None}
    assert changes.account is not None
    assert changes.account.cash == cash("99999.9")


def test_fractions_of_money_are_exact() -> None:
    """Cash is what the fills say, to the last digit."""
    world = trading()
    world.quote(bid=86.872, ask=86.878)
    world.submit(a_request(notional=cash(50)))
    (fill,) = world.exchange.activities(types={"FILL"})
    assert fill.qty is not None
    assert fill.price is not None
    assert world.exchange.account().cash == 100_000 - fill.qty * fill.price
    assert fill.qty * fill.price <= 50
