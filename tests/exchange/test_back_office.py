"""What the broker does outside of trading: account, positions, orders, history and events stay of one mind."""

from collections.abc import Callable

import pytest

from deskd.domain.events import BrokerStatus
from deskd.domain.order import TimeInForce
from deskd.exchange.account import Activity
from deskd.exchange.back_office import NothingToCorrect
from deskd.exchange.fill_model import IMMEDIATE
from tests.exchange.given import Trading, a_buy, a_sell, an_exchange, at_limit, cash, price, qty, trading


def newest(world: Trading) -> Activity:
    return world.exchange.activities(page_size=1)[0]


def heard(world: Trading) -> list[str]:
    world._listen()
    return world.words()


def test_cash_comes_with_a_line_of_history() -> None:
    """A fee is in the cash and in the history, with the same figure."""
    world = trading()
    world.exchange.back_office.book("FEE", cash("-1.25"), symbol=None, description="TAF")
    assert world.exchange.account().cash == cash("99998.75")
    fee = newest(world)
    assert (fee.activity_type, fee.net_amount, fee.description) == ("FEE", cash("-1.25"), "TAF")


def test_a_split_multiplies_shares_and_leaves_the_cost() -> None:
    """Two for one: twice the shares at half the entry, the cash untouched."""
    world = trading()
    world.submit(a_buy(10))
    before = world.exchange.account().cash
    world.exchange.back_office.split("AAPL", qty(2))
    held = world.exchange.position("AAPL")
    assert held is not None
    assert (held.qty, held.avg_entry_price, held.cost_basis) == (qty(20), price(50), cash(1000))
    assert world.exchange.account().cash == before
    split = newest(world)
    assert (split.activity_type, split.symbol, split.qty) == ("SPLIT", "AAPL", qty(10))


def test_a_busted_fill_is_as_if_it_had_never_been() -> None:
    """Shares and cash are back, the order has lost its fill, and stream and history say so."""
    world = trading()
    order = world.submit(a_buy(10))
    fill = newest(world)
    world.exchange.back_office.bust(None)
    assert world.position() == 0
    assert world.exchange.account().cash == cash(100_000)
    now = world.order(order)
    assert (now.status, now.filled_qty, now.filled_avg_price) == (BrokerStatus.FILLED, qty(0), None)
    assert heard(world)[-1] == "trade_bust"
    event = world.events[-1]
    assert (event.qty, event.price, event.position_qty) == (qty(10), price(100), qty(0))
    assert event.previous_execution_id == fill.execution_id
    bust = newest(world)
    assert (bust.activity_type, bust.type, bust.qty, bust.cum_qty) == ("FILL", "trade_bust", qty(10), qty(0))
    assert bust.corrects == fill.id


def test_an_overfill_is_a_fill_beyond_the_order() -> None:
    """Order, shares, cash and history have what was executed too much, and the stream tells it as one more fill."""
    world = trading()
    order = world.submit(a_buy(10))
    world.exchange.back_office.overfill(None, qty(3))
    assert world.position() == 13
    assert world.exchange.account().cash == cash(100_000 - 1300)
    now = world.order(order)
    assert (now.status, now.qty, now.filled_qty) == (BrokerStatus.FILLED, qty(10), qty(13))
    assert heard(world)[-1] == "fill"
    assert (world.events[-1].qty, world.events[-1].position_qty) == (qty(3), qty(13))
    more = newest(world)
    assert (more.type, more.qty, more.cum_qty, more.corrects) == ("fill", qty(3), qty(13), None)


def test_an_overfill_has_shares_and_an_order() -> None:
    """Less than one step of shares, and an account without a fill, are refused by name."""
    world = trading()
    with pytest.raises(NothingToCorrect, match="no fill"):
        world.exchange.back_office.overfill(None, qty(1))
    world.submit(a_buy(10))
    with pytest.raises(NothingToCorrect, match="qty=0"):
        world.exchange.back_office.overfill(None, qty(0))


def test_a_bust_of_what_was_sold_since_leaves_a_short_position() -> None:
    """Ten bought, ten sold, the purchase busted: the account is short, and the cash is exact."""
    world = trading()
    bought = world.submit(a_buy(10))
    world.submit(a_sell(10))
    world.exchange.back_office.bust(bought.id)
    assert world.position() == -10
    assert world.exchange.account().cash == cash("100999.90")


def test_a_bust_takes_more_than_is_left_of_a_position() -> None:
    """Ten bought, four sold: the bust closes six and opens four short, at the busted price."""
    world = trading()
    bought = world.submit(a_buy(10))
    world.submit(a_sell(4))
    world.exchange.back_office.bust(bought.id)
    held = world.exchange.position("AAPL")
    assert held is not None
    assert (held.qty, held.avg_entry_price) == (qty(-4), price(100))


def test_a_corrected_fill_costs_its_new_price() -> None:
    """A sale at 101 in place of 99.99: cash and average follow, shares do not."""
    world = trading()
    world.submit(a_buy(10))
    sold = world.submit(a_sell(5))
    before = world.exchange.account().cash
    world.exchange.back_office.correct(sold.id, price("100.99"))
    assert world.exchange.account().cash == before + 5
    assert world.position() == 5
    assert world.order(sold).filled_avg_price == price("100.99")
    assert heard(world)[-1] == "trade_correct"
    assert newest(world).price == price("100.99")


def test_an_open_order_may_fill_again_what_was_busted() -> None:
    """The bust of a part gives the order its quantity back, and its reservation."""
    world = trading(is_quoted=True)
    order = world.submit(a_buy(10, time_in_force=TimeInForce.DAY, **at_limit(90)))
    open_order = world.exchange.order(order.id)
    assert open_order is not None
    world.exchange._books.fill(open_order, qty(4), price(90), is_done=False)
    reserved = open_order.reserved
    world.exchange.back_office.bust(order.id)
    assert open_order.leaves_qty == 10
    assert open_order.status is BrokerStatus.PARTIALLY_FILLED
    assert open_order.reserved > reserved
    world.quote(bid=89.0, ask=89.5)
    assert world.status(order) == "filled"
    assert world.position() == 10


def test_each_fill_is_corrected_once() -> None:
    """The second bust takes the fill before; then there is none left."""
    world = trading()
    world.submit(a_buy(10))
    world.submit(a_buy(1))
    for left in (10, 0):
        world.exchange.back_office.bust(None)
        assert world.position() == left
    with pytest.raises(NothingToCorrect, match=r"no fill that was not corrected already$"):
        world.exchange.back_office.bust(None)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (lambda w: w.exchange.back_office.split("AAPL", qty(2)), "no position in AAPL"),
        (lambda w: w.exchange.back_office.split("AAPL", qty(0)), "ratio=0"),
        (lambda w: w.exchange.back_office.correct(None, price(0)), "price=0"),
        (lambda w: w.exchange.back_office.bust("o-1"), "of order o-1"),
    ],
)
def test_what_cannot_be_booked_is_refused_and_changes_nothing(asked: Callable[[Trading], object], why: str) -> None:
    """The refusal names what is missing or wrong."""
    world = trading()
    world.exchange.take_changes()
    with pytest.raises(NothingToCorrect, match=why):
        asked(world)
    assert not world.exchange.take_changes().activities


def test_conjured_shares_are_in_no_history() -> None:
    """Shares appear; neither cash nor history says why. That is the point of it."""
    world = trading()
    before = world.exchange.activities(page_size=100)
    world.exchange.back_office.conjure("AAPL", qty(7), price(100))
    world.exchange.back_office.conjure("AAPL", qty(-2), price(100))
    assert world.position() == 5
    assert world.exchange.account().cash == cash(100_000)
    assert world.exchange.activities(page_size=100) == before


def test_the_latest_price_is_known_of_what_was_traded() -> None:
    """Of a symbol that is not listed, or has no price yet, there is none."""
    exchange = an_exchange(fills=IMMEDIATE)
    assert (exchange.last_price("AAPL"), exchange.last_price("NONE")) == (None, None)
    assert trading().exchange.last_price("AAPL") == price(100)
