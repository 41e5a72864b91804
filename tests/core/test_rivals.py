"""What is open is counted as the broker counts it: no share twice, and none too few."""

from deskd.core import rivals
from deskd.core.deciding import handle
from deskd.domain.order import OrderClass, Side, StopLoss, TakeProfit
from deskd.domain.reasons import DenialReason as R
from tests.core.test_lane import ask, desk_with_shorts, hold, limit, ours, reason, theirs
from tests.factories import a_request, accepted, price, qty

AAPL = a_request().symbol


def test_a_notional_sale_holds_what_it_may_come_to() -> None:
    """Only the broker knows how many shares it is: the most that it can be is held."""
    desk = desk_with_shorts()
    hold(desk, ours("1"))
    assert ask(desk, ours("2", side=Side.SELL, qty=None, notional=price(500))) is None
    found = rivals.among(desk, desk.open_in(AAPL))
    assert [r.promised_qty > qty(5) for r in found] == [True]
    assert reason(desk, theirs("3", side=Side.SELL, qty=qty(5))) == R.CONFLICT_HELD


def test_a_buy_for_money_is_for_more_shares_where_the_price_falls() -> None:
    """What covers a short promises the most that it can come to, too."""
    desk = desk_with_shorts()
    hold(desk, ours("1", side=Side.SELL))
    assert ask(desk, theirs("1", qty=None, notional=price(500))) is None
    [found] = rivals.at_the_broker(desk, AAPL)
    assert found.promised_qty > qty("5.1")
    assert rivals.among(desk, desk.open_in(AAPL), closing=Side.SELL)[0].promised_qty == 0


def test_exits_that_nobody_has_told_of_hold_what_their_entry_has_bought() -> None:
    """A fill was faster than the word of them: they are counted once, and open nothing."""
    desk = desk_with_shorts()
    legs = {"take_profit": TakeProfit(limit_price=price(110)), "stop_loss": StopLoss(stop_price=price(90))}
    hold(desk, ours("1", order_class=OrderClass.BRACKET, **legs))
    [found] = rivals.at_the_broker(desk, AAPL)
    assert (found.side, found.promised_qty, found.opens, found.is_exempt) == (Side.SELL, qty(10), False, True)
    resting = theirs("1", side=Side.BUY, **limit("80"))
    assert ask(desk, resting) is None
    handle(desk, accepted(resting))
    assert len(rivals.at_the_broker(desk, AAPL)) == 2
