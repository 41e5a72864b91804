"""What goes over the line, each side in its own words: no bytes in between, they would add nothing but time."""

from collections.abc import Sequence

from deskd.domain import events as ev
from deskd.domain.events import BrokerOrder
from deskd.domain.ids import BrokerOrderId, ClientOrderId, Symbol
from deskd.domain.order import Fill, OrderRequest, fill_id
from deskd.exchange.order import ExchangeOrder, NewOrder, OrderEvent, OrderWord

FILL_WORDS = frozenset({OrderWord.FILL, OrderWord.PARTIAL_FILL})
# How the exchange begins to say that an order breaks a rule between the orders of one account, and the rule's name.
CONFLICTS = {
    "insufficient qty": "held_shares_or_zero",
    "cannot open a": "long_and_short",
    "potential wash trade": "wash_trade",
    "bracket orders must be entry": "account_position",
    "oto orders must be entry": "account_position",
    "oco orders must be exit": "account_position",
    "fractional orders cannot be sold short": "account_position",
    "opg orders must be": "auction_window",
    "cls orders must be": "auction_window",
}


def conflict_in(message: str) -> str | None:
    """Return the rule between orders that the exchange says was broken; None where it refuses for another reason."""
    return next((rule for words, rule in CONFLICTS.items() if message.startswith(words)), None)


def new_order(r: OrderRequest) -> NewOrder:
    """Return the request as the exchange reads it."""
    return NewOrder(
        symbol=r.symbol,
        side=r.side,
        order_type=r.order_type,
        time_in_force=r.time_in_force,
        qty=r.qty,
        notional=r.notional,
        limit_price=r.limit_price,
        stop_price=r.stop_price,
        trail_price=r.trail_price,
        client_order_id=r.client_order_id,
        order_class=r.order_class,
        take_profit=r.take_profit,
        stop_loss=r.stop_loss,
        extended_hours=r.extended_hours,
    )


def order(theirs: ExchangeOrder, legs: Sequence[ExchangeOrder] = ()) -> BrokerOrder:
    """Return the exchange's order as the desk reads it."""
    return BrokerOrder(
        broker_order_id=BrokerOrderId(theirs.id),
        client_order_id=ClientOrderId(theirs.client_order_id),
        status=theirs.status,
        raw_status=theirs.status.value,
        symbol=Symbol(theirs.symbol),
        side=theirs.side,
        order_type=theirs.order_type,
        time_in_force=theirs.time_in_force,
        qty=theirs.qty,
        notional=theirs.notional,
        limit_price=theirs.limit_price,
        stop_price=theirs.stop_price,
        filled_qty=theirs.filled_qty,
        filled_avg_price=theirs.filled_avg_price,
        submitted_at=theirs.submitted_at,
        legs=tuple([order(leg) for leg in legs]),
        replaced_by=None if theirs.replaced_by is None else BrokerOrderId(theirs.replaced_by),
        replaces=None if theirs.replaces is None else BrokerOrderId(theirs.replaces),
    )


def update(event: OrderEvent) -> ev.TradeUpdated:
    """Return what the stream says as the desk reads it."""
    theirs, fill = event.order, None
    if event.event in FILL_WORDS:
        assert event.qty is not None
        assert event.price is not None
        name = fill_id(BrokerOrderId(theirs.id), theirs.filled_qty)
        fill = Fill(fill_id=name, qty=event.qty, price=event.price, at=event.at)
    return ev.TradeUpdated(event=event.event.value, order=order(theirs), fill=fill, at=event.at)
