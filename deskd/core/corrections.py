"""Busts and corrections of fills. The member's fill stays booked; the house bears the difference.

Rule 1: the difference is of the order's totals at the broker: before, as the desk counts them, and after.
Rule 2: where the broker counts more than the desk, fills are missing: they come first, and the correction is found again
        in the account's history.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.ids import ActivityId
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty
from deskd.domain.order import Correction, Order

_STEP = Decimal("0.000001")  # the broker's average price is rounded; times the quantity this is what can be told
_LEAST = Decimal("0.005")  # dollars; without a change of quantity, less is the rounding of the average


def judged(
    order: Order,
    broker: ev.BrokerOrder,
    *,
    word: str,
    stamp: datetime,
    at: datetime,
    activity_id: ActivityId | None = None,
    found_qty: Qty = NO_QTY,
    found_notional: Cash = NO_CASH,
) -> list[ev.Fact] | None:
    """Return the facts of a correction that *broker* already shows: none where its totals are the desk's.

    None where it counts more than the desk: fills are missing.
    *found_qty* and *found_notional* are of fills that are recorded with these facts.
    """
    qty = Qty(broker.filled_qty - order.counted_qty - found_qty)
    total = broker.filled_qty * (broker.filled_avg_price or ZERO)
    worth = Cash((total - order.counted_notional - found_notional).quantize(_STEP))
    if qty > 0:
        return None
    if qty == 0 and abs(worth) < _LEAST:
        return []
    request = order.request
    corrected = ev.FillCorrected(
        client_order_id=request.client_order_id, word=word, qty=qty, notional=worth, corrected_at=stamp, at=at
    )
    taken = ev.HouseAdjusted(
        cash=Cash(-request.side.sign * worth),
        symbol=request.symbol,
        qty=Qty(request.side.sign * qty),
        price=Price(worth / qty) if qty else None,
        why=f"the broker's {word} of order {request.client_order_id}: the fill stays with {request.strategy_id}",
        at=at,
        cause=HouseCause(word),
        activity_id=activity_id,
        broker_order_id=broker.broker_order_id,
        client_order_id=request.client_order_id,
    )
    return [corrected, taken]


def apply(order: Order, fact: ev.FillCorrected) -> Order:
    """Return the order with the broker's new count of it."""
    correction = Correction(qty=fact.qty, notional=fact.notional, at=fact.corrected_at)
    return replace(order, corrections=(*order.corrections, correction), updated_at=fact.at)
