"""The broker's words: what follows from each, in each state of an order.

Rule 1: the table is whole. Each of Alpaca's statuses and stream events has a consequence in every state of ours.
Rule 2: what it forbids is recorded as a discrepancy and reconciled, never applied. Fills are money, and are booked by
        their identity whatever the word beside them.
Rule 3: the same word again is no news.
"""

from datetime import datetime
from enum import StrEnum

from deskd.core.lifecycle import is_news
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.money import plain
from deskd.domain.order import Order
from deskd.domain.order import OrderStatus as S

IN_DOUBT = "in_doubt"  # no clear answer
NOT_FOUND = "not_found"
ACKNOWLEDGED = "acknowledged"  # a cancel: the broker will try


class Follows(StrEnum):
    """What follows from a word. The text after each name is shown in the reference."""

    ACKNOWLEDGED = "acknowledged"  # the broker has the order: `accepted`, where that was not known
    NOTED = "noted"  # the word is kept (`BrokerSaid`); the order goes on as it is
    BOOKED = "booked"  # its fills are booked; the order is filled when nothing is left
    RESTATED = "restated"  # the order is for less than was asked
    ENDED = "ended"  # the order ends, once every fill that the broker counts is booked
    CANCEL_REFUSED = "cancel refused"  # the order is back where it was; a look-up tells why
    REPLACE_REFUSED = "replace refused"  # the order is back where it was; the new one is rejected
    REVIVED = "revived"  # canceled, where the desk had given it up without the broker's word; else late
    COMPARED = "compared"  # the account is compared with the books
    LATE = "late"  # no news: it was overtaken
    FORBIDDEN = "forbidden"  # a discrepancy is recorded, and the account compared; nothing is applied


_F = Follows
STATES = (
    S.SUBMITTED,
    S.ACCEPTED,
    S.PARTIALLY_FILLED,
    S.PENDING_CANCEL,
    S.PENDING_REPLACE,
    S.FILLED,
    S.CANCELED,
    S.EXPIRED,
    S.REJECTED,
    S.REPLACED,
    S.DENIED,
)
# In the order of STATES. A denied order never left: whatever the broker says of it is forbidden.
_ALIVE = (_F.LATE, _F.LATE, _F.LATE, _F.REVIVED, _F.LATE, _F.FORBIDDEN)  # once the order is final here
_MONEY = (_F.LATE, _F.BOOKED, _F.BOOKED, _F.BOOKED, _F.BOOKED, _F.FORBIDDEN)
_PART = (_F.LATE, _F.BOOKED, _F.BOOKED, _F.REVIVED, _F.BOOKED, _F.FORBIDDEN)
_ROUTINE = (_F.ACKNOWLEDGED,) * 5 + _ALIVE
_NOTED = (_F.NOTED,) * 5 + _ALIVE
_REFUSED_LATE = (_F.LATE,) * 5 + (_F.FORBIDDEN,)
_ROWS: dict[str, tuple[Follows, ...]] = {
    "pending_new": _ROUTINE,
    "accepted": _ROUTINE,
    "new": _ROUTINE,
    "accepted_for_bidding": _NOTED,
    "held": _NOTED,  # a leg that waits for its entry
    "stopped": _NOTED,  # a price is guaranteed, and the fill to come
    "suspended": _NOTED,
    "calculated": _NOTED,
    "done_for_day": _NOTED,
    "pending_cancel": _NOTED,
    "pending_replace": _NOTED,
    "partially_filled": (_F.BOOKED,) * 5 + _PART,
    "partial_fill": (_F.BOOKED,) * 5 + _PART,
    "filled": (_F.ENDED,) * 5 + _MONEY,  # a notional order is filled when the broker says so
    "fill": (_F.ENDED,) * 5 + _MONEY,
    "canceled": (_F.ENDED,) * 5 + (_F.FORBIDDEN, _F.LATE, _F.FORBIDDEN, _F.NOTED, _F.FORBIDDEN, _F.FORBIDDEN),
    "expired": (_F.ENDED,) * 5 + (_F.FORBIDDEN, _F.FORBIDDEN, _F.LATE, _F.NOTED, _F.FORBIDDEN, _F.FORBIDDEN),
    "rejected": (_F.ENDED,) * 5 + (_F.FORBIDDEN, _F.FORBIDDEN, _F.FORBIDDEN, _F.LATE, _F.FORBIDDEN, _F.FORBIDDEN),
    # A canceled order: older desks knew no `replaced`.
    "replaced": (_F.ENDED,) * 5 + (_F.FORBIDDEN, _F.NOTED, _F.FORBIDDEN, _F.NOTED, _F.LATE, _F.FORBIDDEN),
    "restated": (_F.RESTATED,) * 5 + _REFUSED_LATE,
    "order_cancel_rejected": (_F.NOTED, _F.NOTED, _F.NOTED, _F.CANCEL_REFUSED, _F.NOTED, *_REFUSED_LATE),
    "order_replace_rejected": (_F.NOTED, _F.NOTED, _F.NOTED, _F.REPLACE_REFUSED, _F.REPLACE_REFUSED, *_REFUSED_LATE),
    "trade_bust": (_F.COMPARED,) * 10 + (_F.FORBIDDEN,),
    "trade_correct": (_F.COMPARED,) * 10 + (_F.FORBIDDEN,),
}
FOLLOWS: dict[tuple[S, str], Follows] = {
    (state, word): row[column] for word, row in _ROWS.items() for column, state in enumerate(STATES)
}
WORDS = tuple(_ROWS)
_STATUSES = frozenset(status.value for status in BrokerStatus if status is not BrokerStatus.UNKNOWN)
# A live order that leaves one of these for a routine word has news: trading goes on.
_NOTABLE = frozenset(word for word, row in _ROWS.items() if row is _NOTED)


def follows(state: S, word: str) -> Follows:
    """Return what follows from *word* in *state*. A word that nobody knows is forbidden."""
    return FOLLOWS.get((state, word), Follows.FORBIDDEN)


def noted(order: Order, broker: ev.BrokerOrder, word: str, *, at: datetime, source: str) -> ev.BrokerSaid | None:
    """Return the fact that keeps the word, where no other fact of the same news does."""
    outcome = follows(order.status, word)
    if outcome is Follows.ACKNOWLEDGED and order.broker_status not in _NOTABLE:
        return None
    if outcome not in _KEPT or not is_news(order, word, source):
        return None
    if order.broker_order_id is None and order.status.is_open and word in _STATUSES:
        return None  # the acknowledgement carries it
    detail = f"filled_qty={plain(broker.filled_qty)}"
    if word != broker.raw_status:
        detail = f"status={broker.raw_status} {detail}"
    return said(order, word, detail, at=at, source=source)


def said(order: Order, word: str, detail: str, *, at: datetime, source: str) -> ev.BrokerSaid:
    """Return the fact that the broker said *word*."""
    oid = order.request.client_order_id
    return ev.BrokerSaid(client_order_id=oid, source=source, word=word, detail=detail, at=at)


_KEPT = frozenset({Follows.ACKNOWLEDGED, Follows.NOTED, Follows.FORBIDDEN, Follows.COMPARED})
