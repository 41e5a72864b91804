"""The exchange speaks to a stepped desk as it does over its sockets."""

from datetime import timedelta

from deskd.backtest.broker import StepBroker
from deskd.domain.events import BrokerStatus, SubmitAccepted, SubmitRejected
from deskd.domain.ids import BrokerOrderId, ClientOrderId, Symbol
from deskd.domain.order import Replacement, Side
from deskd.exchange.fill_model import PAPER
from tests.exchange.given import told, trading
from tests.factories import AAPL, NOON, a_limit_request, a_request, price, qty

LATER = NOON + timedelta(seconds=1)


def test_an_order_is_taken_acknowledged_and_filled_in_the_markets_time() -> None:
    """The answer first, then each event once."""
    world = trading(fills=PAPER)
    broker = StepBroker(world.exchange)
    answer = broker.submit(a_request(), NOON)
    assert isinstance(answer, SubmitAccepted)
    assert answer.order.status is BrokerStatus.PENDING_NEW
    assert [update.event for update in broker.updates(NOON)] == ["pending_new"]
    world.exchange.advance(LATER)
    heard = broker.updates(LATER)
    assert heard[0].event == "new"
    fills = [update.fill for update in heard if update.fill is not None]
    assert sum(fill.qty for fill in fills) == 10
    assert all(timedelta(milliseconds=149) < fill.at - NOON for fill in fills)
    assert broker.updates(LATER) == []
    look = broker.look_up(ClientOrderId("alice-1"), LATER)
    assert look.order is not None
    assert [fill.fill_id for fill in look.fills] == [fill.fill_id for fill in fills]


def test_a_refusal_is_in_the_exchanges_words() -> None:
    """Of an order, of a replacement, of a cancel."""
    broker = StepBroker(trading().exchange)
    refused = broker.submit(a_request(symbol=Symbol("NOPE")), NOON)
    assert isinstance(refused, SubmitRejected)
    assert "NOPE" in refused.message
    assert refused.was_sent
    nobody = BrokerOrderId("nobody")
    assert broker.cancel(ClientOrderId("x"), nobody, NOON).refusal is not None
    changes = a_limit_request(replacement=Replacement(replaces=ClientOrderId("x"), qty=qty(3)))
    assert isinstance(broker.replace(changes, nobody, NOON), SubmitRejected)
    assert broker.look_up(ClientOrderId("x"), NOON).order is None


def test_a_replaced_order_is_found_with_what_took_its_place() -> None:
    """As the live broker follows it."""
    broker = StepBroker(trading().exchange)
    first = broker.submit(a_limit_request("90"), NOON)
    assert isinstance(first, SubmitAccepted)
    wish = a_limit_request(
        "91",
        client_order_id=ClientOrderId("alice-2"),
        replacement=Replacement(replaces=ClientOrderId("alice-1"), limit_price=price(91)),
    )
    second = broker.replace(wish, first.order.broker_order_id, LATER)
    assert isinstance(second, SubmitAccepted)
    look = broker.look_up(ClientOrderId("alice-1"), LATER)
    assert [one.client_order_id for one in look.successors] == ["alice-2"]


def test_the_account_is_told_whole() -> None:
    """Cash, positions, what can be traded."""
    world = trading()
    broker = StepBroker(world.exchange)
    broker.submit(a_request(), NOON)
    taken = broker.snapshot((), 0, "a look", NOON)
    assert told(taken.cash, taken.missing) == (99_000, ())
    assert [told(p.symbol, p.qty) for p in taken.positions] == [(AAPL, 10)]
    assert AAPL in {one.symbol for one in broker.instruments()}
    broker.submit(a_request(side=Side.SELL, client_order_id=ClientOrderId("alice-2")), LATER)
    assert broker.snapshot((), 1, "again", LATER).positions == ()
