"""Whether the trade stream brings what it must. Answered pings prove a connection; only events prove a stream.

1. What the broker tells by REST of our orders, its stream owes: that it has the order, and each fill.
2. An acknowledgement is paid by any event at all: a broker may say little of one order. A fill is paid by an event that
   counts it.
3. What happened before the stream listened, and what the look after that found, it does not owe.
4. A debt that is not paid in time is a reason to connect anew: the look that follows finds whatever was lost. Where that
   does not help, the patience doubles.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import NO_QTY, Qty, plain
from deskd.domain.order import Order

DOUBLINGS_MAX = 5  # ten seconds become five minutes


@dataclass(frozen=True, slots=True)
class _Debt:
    filled_qty: Qty  # zero: any event of any order will do
    since: datetime


@dataclass(slots=True)
class Silence:
    """The events that are overdue. It looks at each event before the desk handles it."""

    patience: timedelta
    _owed: dict[ClientOrderId, _Debt] = field(default_factory=dict)
    _written_off: dict[ClientOrderId, Qty] = field(default_factory=dict)
    _in_vain: int = 0  # connections given up since the stream last paid a debt

    def see(self, event: ev.Event, desk: Desk) -> None:
        """Note what *event* makes the stream owe, or pays."""
        match event:
            case ev.TradeStreamChanged():
                self._owed.clear()
            case ev.TradeUpdated():
                self._paid(desk.find(event.order), event.order)
            case ev.SubmitAccepted() if desk.is_synced:
                self._told(desk, (event.order,), event.at)
            case ev.OrderLookedUp(order=ev.BrokerOrder() as order) if desk.is_synced:
                self._told(desk, (order,), event.at)
            case ev.BrokerSnapshot() if desk.is_synced:
                self._told(desk, event.orders, event.at)
            case ev.ClockStepped():
                by = timedelta(milliseconds=event.by_ms)
                self._owed = {oid: _Debt(debt.filled_qty, debt.since + by) for oid, debt in self._owed.items()}
            case _:
                pass

    def overdue(self, now: datetime) -> str | None:
        """Return why the connection is to be given up, in words, and expect nothing more of it."""
        oldest = min(self._owed.items(), key=lambda item: item[1].since, default=None)
        if oldest is None:
            return None
        oid, debt = oldest
        if now - debt.since < self.patience * 2 ** min(self._in_vain, DOUBLINGS_MAX):
            return None
        self._owed.clear()
        self._written_off[oid] = debt.filled_qty
        self._in_vain += 1
        told = f"{plain(debt.filled_qty)} shares filled" if debt.filled_qty else "the order"
        waited_s = (now - debt.since).total_seconds()
        return f"mute: the broker told of {told} by REST ({oid}), and no event came for {waited_s:.1f} s"

    def _told(self, desk: Desk, orders: Iterable[ev.BrokerOrder], at: datetime) -> None:
        for theirs in orders:
            ours = desk.find(theirs)
            if ours is None:
                continue
            oid = ours.request.client_order_id
            if theirs.filled_qty > max(ours.counted_qty, self._written_off.get(oid, NO_QTY)):
                known = self._owed.get(oid)
                if known is None or known.filled_qty < theirs.filled_qty:
                    self._owed[oid] = _Debt(theirs.filled_qty, at)
            elif ours.broker_order_id is None:
                self._owed.setdefault(oid, _Debt(NO_QTY, at))

    def _paid(self, ours: Order | None, theirs: ev.BrokerOrder) -> None:
        paid = [oid for oid, debt in self._owed.items() if not debt.filled_qty]
        oid = ours.request.client_order_id if ours else None
        if oid in self._owed and oid not in paid and theirs.filled_qty >= self._owed[oid].filled_qty:
            paid.append(oid)
        for one in paid:
            del self._owed[one]
        if paid:
            self._in_vain = 0
