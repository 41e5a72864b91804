"""The state folder of a desk with a long life: its ledger, and the embedded exchange that knows its open orders."""

from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import OrderRequest
from deskd.wire.alpaca.client import encode_order
from tests.ledger.long_history import LongHistory
from tests.whole.exchange_process import KEYS, an_exchange


async def a_long_life(state: Path, *, orders: int, open_orders: int) -> LongHistory:
    """Make desk.db and exchange.db in the folder *state*, which agree on every open order and on the money."""
    ends_at = datetime.now(UTC)  # noqa: TID251  the real desk goes on from here
    history = LongHistory(orders=orders, open_orders=open_orders, ends_at=ends_at)
    async with an_exchange(state / "exchange.db") as exchange:
        history.acknowledged = await _placed(exchange.url, history.open_requests())
    await history.write(state / "desk.db")
    return history


async def _placed(url: str, requests: list[OrderRequest]) -> dict[ClientOrderId, tuple[BrokerOrderId, datetime]]:
    headers = {"APCA-API-KEY-ID": KEYS["APCA_API_KEY_ID"], "APCA-API-SECRET-KEY": KEYS["APCA_API_SECRET_KEY"]}
    placed = {}
    async with aiohttp.ClientSession(headers=headers) as session:
        for request in requests:
            async with session.post(f"{url}/v2/orders", data=encode_order(request)) as answer:
                body = await answer.json()
                assert answer.status == 200, body
            submitted_at = datetime.fromisoformat(body["submitted_at"])
            placed[request.client_order_id] = (BrokerOrderId(body["id"]), submitted_at)
    return placed
