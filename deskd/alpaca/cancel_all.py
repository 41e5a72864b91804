"""The cancel of all that is open in the account: one request, and an answer for each order.

Rule 1: an order that the broker does not name in a clear answer, or names with anything but a plain yes or no, is in
        doubt: the stream or a look tells.
Rule 2: it may be asked again, however often: what is gone already is not named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from deskd.alpaca.http import Answer, Outcome
from deskd.domain.errors import WireError
from deskd.domain.events import CancelAllAnswered, CancelAnswered, CancelInDoubt
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.wire.alpaca.bulk import Item, decode_canceled

PATH = "/v2/orders"
REFUSED = frozenset({403, 404, 422})  # the broker's plain no to one order

log = structlog.get_logger()

type Wanted = Sequence[tuple[ClientOrderId, BrokerOrderId]]
type Known = CancelAnswered | CancelInDoubt | CancelAllAnswered


@dataclass(frozen=True, slots=True)
class CancelAll:
    """One such request, and when its answer came."""

    wanted: Wanted
    at: datetime

    def judged(self, outcome: Outcome) -> list[Known]:
        """Return what is known of each order after *outcome*, and last the sum where the answer was clear."""
        if not isinstance(outcome, Answer):
            return self._in_doubt(outcome.why)
        if not 200 <= outcome.status < 300:
            return self._in_doubt(f"HTTP {outcome.status}")
        try:
            items = decode_canceled(outcome.body)
        except WireError as error:
            return self._in_doubt(f"the broker's answer cannot be read: {error}")
        known: list[Known] = [self._of(oid, items.get(broker_id)) for oid, broker_id in self.wanted]
        ours = {broker_id for _, broker_id in self.wanted}
        answered = [one for one in known if isinstance(one, CancelAnswered)]
        refused = sum(one.refusal is not None for one in answered)
        strangers = tuple(broker_id for broker_id, item in items.items() if broker_id not in ours and item.is_done)
        total = CancelAllAnswered(
            canceled=len(answered) - refused,
            refused=refused,
            unnamed=len(known) - len(answered),
            strangers=strangers,
            at=self.at,
        )
        return [*known, total]

    def _of(self, oid: ClientOrderId, item: Item | None) -> Known:
        if item is None:
            return CancelInDoubt(client_order_id=oid, why="the broker's answer does not name it", at=self.at)
        if item.is_done:
            return CancelAnswered(client_order_id=oid, refusal=None, at=self.at)
        if item.words is None or item.status not in REFUSED:
            return CancelInDoubt(client_order_id=oid, why=item.words or f"status {item.status}", at=self.at)
        return CancelAnswered(client_order_id=oid, refusal=item.words, at=self.at)

    def _in_doubt(self, why: str) -> list[Known]:
        log.warning("cancel_all_unanswered", orders=len(self.wanted), why=why)
        return [CancelInDoubt(client_order_id=oid, why=why, at=self.at) for oid, _ in self.wanted]
