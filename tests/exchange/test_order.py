"""The table of an order's life, and snapshots."""

from deskd.domain.events import BrokerStatus as S
from deskd.exchange.order import FINAL, OPEN, TRANSITIONS, OrderWord
from tests.exchange.given import a_request, loss, price, profit
from tests.exchange.test_matching import an_order


def test_nothing_follows_a_final_status() -> None:
    """What has ended never changes."""
    assert not {status for status, _ in TRANSITIONS} & FINAL


def test_every_open_status_can_end() -> None:
    """No order lives forever: each open status can be canceled."""
    for status in OPEN:
        assert TRANSITIONS[status, OrderWord.CANCELED] is S.CANCELED


def test_words_lead_to_their_status() -> None:
    """A word of the stream and the status beside it agree."""
    words = {
        OrderWord.FILL: S.FILLED,
        OrderWord.PARTIAL_FILL: S.PARTIALLY_FILLED,
        OrderWord.NEW: S.NEW,
        OrderWord.EXPIRED: S.EXPIRED,
        OrderWord.REPLACED: S.REPLACED,
        OrderWord.REJECTED: S.REJECTED,
    }
    for (_, word), status in TRANSITIONS.items():
        assert words.get(word, status) is status


def test_snapshot_does_not_change() -> None:
    """What left the exchange stays as it was, field by field."""
    order = an_order()
    snapshot = order.snapshot()
    assert snapshot == order
    order.status = S.FILLED
    assert snapshot.status is S.NEW


def test_fraction_is_told_apart() -> None:
    """A part of a share, or money instead of shares, is fractional; a notional order leaves no quantity open."""
    assert not an_order().is_fractional
    assert an_order(qty=None).is_fractional
    assert an_order(qty=price("1.5")).is_fractional
    assert an_order(qty=None).leaves_qty == 0


def test_prices_have_their_names() -> None:
    """Errors name the field that is wrong."""
    request = a_request(limit_price=price(1), take_profit=profit(2), stop_loss=loss(3, 4))
    assert dict(request.named_prices()) == {
        "limit_price": 1,
        "take_profit.limit_price": 2,
        "stop_loss.stop_price": 3,
        "stop_loss.limit_price": 4,
    }


def test_group_is_together() -> None:
    """An order is together with itself and its group, not with every other order."""
    one, two = an_order(group_id="g"), an_order(group_id="g")
    alone = an_order()
    assert one.is_together_with(two)
    assert alone.is_together_with(alone)
    assert not alone.is_together_with(an_order())
