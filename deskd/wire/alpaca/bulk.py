"""Answers of many parts: one request to the broker, a status for each order (HTTP 207)."""

from dataclasses import dataclass

import msgspec

from deskd.domain.ids import BrokerOrderId
from deskd.wire.alpaca.client import as_rows, decode_json, decode_refusal

ID_MAX = 200  # characters; Alpaca's have 36


@dataclass(frozen=True, slots=True)
class Item:
    """What the broker says to one order."""

    status: int  # as an HTTP status
    words: str | None  # its refusal's, where it gives one

    @property
    def is_done(self) -> bool:
        """Tell whether the broker does as it was asked."""
        return 200 <= self.status < 300


def decode_canceled(body: bytes) -> dict[BrokerOrderId, Item]:
    """Return each order's part of the answer to DELETE /v2/orders; raise WireError where it is no list of objects.

    A part that cannot be read is left out: of its order nothing is known.
    """
    items: dict[BrokerOrderId, Item] = {}
    for row in as_rows(decode_json(body), "canceled orders"):
        order_id, status = row.get("id"), row.get("status")
        if not isinstance(order_id, str) or not 0 < len(order_id) <= ID_MAX:
            continue
        if not isinstance(status, int) or isinstance(status, bool):
            continue
        refusal = None if 200 <= status < 300 else decode_refusal(status, msgspec.json.encode(row.get("body")))
        items[BrokerOrderId(order_id)] = Item(status, None if refusal is None else refusal.text)
    return items
