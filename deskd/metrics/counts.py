"""Counts facts as they pass: what happened so often since the desk started. One listener among those of the runtime."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Order, OrderType
from deskd.latency import Latency
from deskd.ports import Clock

# The word of each fact about an order that is counted.
ORDER_EVENTS: Mapping[type, str] = {
    ev.OrderApproved: "approved",
    ev.OrderDenied: "denied",
    ev.OrderHeld: "held",
    ev.OrderAccepted: "accepted",
    ev.OrderRejected: "rejected",
    ev.OrderFilled: "filled",
    ev.OrderCanceled: "canceled",
    ev.OrderExpired: "expired",
    ev.OrderReplaced: "replaced",
    ev.OrderAdopted: "adopted",
    ev.OrderReturned: "returned",
}


@dataclass(slots=True, kw_only=True)
class Counts:
    """What happened so often. *orders* tell what kind an order is."""

    orders: Mapping[ClientOrderId, Order]
    wall: Clock
    order_events: Counter[str] = field(default_factory=Counter)
    denials: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    runs_started: int = 0
    runs_ended: Counter[str] = field(default_factory=Counter)
    outages: Counter[str] = field(default_factory=Counter)
    outage_s: dict[str, float] = field(default_factory=dict)
    bars_fetched: int = 0
    bars_missing: int = 0
    differences_found: int = 0
    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)  # by name and outcome
    changed_at: dict[str, float] = field(default_factory=dict)  # streams' last change, on the monotonic clock
    to_fill: Latency = field(default_factory=Latency)

    def on_fact(self, fact: ev.Fact) -> None:
        """Count the fact, if it is one that is counted."""
        word = ORDER_EVENTS.get(type(fact))
        if word is not None:
            self.order_events[word] += 1
        match fact:
            case ev.OrderFilled():
                self._fill(fact)
            case ev.OrderDenied():
                self.denials[str(fact.reason)] += 1
            case ev.OrderRejected():
                self.rejections[str(fact.reason)] += 1
            case ev.RunStarted():
                self.runs_started += 1
            case ev.RunEnded(end=end):
                self.runs_ended[str(end.reason)] += 1
            case ev.StreamChanged():
                self.changed_at[fact.stream] = self.wall.monotonic()
            case ev.OutageEnded():
                lasted = (fact.ended_at - fact.started_at).total_seconds()
                self.outages[fact.stream] += 1
                self.outage_s[fact.stream] = self.outage_s.get(fact.stream, 0.0) + max(lasted, 0.0)
                self.bars_fetched += fact.bars_fetched
                self.bars_missing += fact.bars_missing
            case ev.JobEnded():
                self.jobs[fact.name, fact.outcome] += 1
            case ev.DiscrepancyFound():
                self.differences_found += 1
            case _:
                pass

    def _fill(self, fact: ev.OrderFilled) -> None:
        """Count how long a market order waited for its first fill: any other order waits for a price."""
        order = self.orders[fact.client_order_id]
        if order.request.order_type is OrderType.MARKET and order.filled_qty == fact.qty:
            self.to_fill.observe((self.wall.now() - order.requested_at).total_seconds())
