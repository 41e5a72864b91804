"""Paused, shadow, active: what becomes of a strategy's orders, and what follows when that is changed.

Rule 1: a stage that it has already is no fact.
Rule 2: what waits at the desk ends when orders are sent no more; what the broker has stays open, and can be canceled.
        What came back from there to meet another the line judges (core/line.py).
Rule 3: a shadow order passed the whole gate and the lane before it is denied: its record says what would have been.
"""

from deskd.core.checks import Denied, Valued
from deskd.core.desk import Desk
from deskd.core.gate import Verdict
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record
from deskd.domain.money import plain
from deskd.domain.order import OrderRequest
from deskd.domain.reasons import DenialReason
from deskd.domain.stage import Stage


def on_stage_changed(desk: Desk, event: ev.StageChanged) -> list[Effect]:
    """Return the fact, and the ends of what waits at the desk, where its orders are not sent any more."""
    if desk.stages.of(event.strategy_id) is event.stage:
        return []
    effects: list[Effect] = [Record(event)]
    if event.stage is Stage.ACTIVE:
        return effects
    for oid in desk.held_ids:
        order = desk.orders[oid]
        if order.request.strategy_id == event.strategy_id and order.recalled_for is None:
            wish = ev.OrderCancelRequested(client_order_id=oid, by=event.by, at=event.at)
            effects += [Record(wish), Record(ev.OrderCanceled(client_order_id=oid, at=event.at))]
    return effects


def in_shadow(request: OrderRequest, verdict: Verdict, valued: Valued) -> Verdict:
    """Return the no to an order that would have been sent."""
    worth = f"qty={plain(valued.qty)} price={plain(valued.price)} notional={plain(valued.notional)}"
    text = (
        f"stage=shadow {worth}: {request.side.value} {request.symbol} passed every check and was recorded, not sent; "
        "an officer, or its member, activates the strategy"
    )
    found = ev.Checked("is_sent", "stage=shadow")
    return Verdict(Denied(DenialReason.SHADOW, text), (*verdict.checks, found))
