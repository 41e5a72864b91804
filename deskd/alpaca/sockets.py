"""alpaca-py's two streams as connections: all use of their private names is in this file; `library` checks them.

alpaca-py connects, speaks the handshake and computes the wait between tries. Authentication is overridden, because
alpaca-py drops the server's code; its receive loops are not used.
"""

from typing import Any

import msgpack
import msgspec
from alpaca.data.live.stock import StockDataStream
from alpaca.trading.stream import TradingStream

from deskd.alpaca.connection import AUTH_TRIES, Timing, close_socket
from deskd.alpaca.endpoints import Keys
from deskd.domain.errors import BrokerFatal
from deskd.wire.alpaca.client import as_object, decode_json, decode_market_frame, is_control

FATAL_CODES = {409: "insufficient subscription", 411: "insufficient scope"}  # the plan does not allow this feed
_KEYS_REMEDY = "check APCA_API_KEY_ID and APCA_API_SECRET_KEY"


class DataSocket(StockDataStream):
    """A connection to the market-data stream."""

    _ws: Any

    def __init__(self, url: str, keys: Keys, timing: Timing) -> None:
        super().__init__(keys.key_id, keys.secret, raw_data=True, url_override=url, websocket_params=timing.websocket())
        self._reconnect_min_backoff, self._reconnect_max_backoff = timing.reconnect_min_s, timing.reconnect_max_s
        self._refusals = 0

    async def open(self) -> Any:
        """Connect and authenticate; return the websocket."""
        await self._start_ws()
        return self._ws

    async def _auth(self) -> None:
        await self._ws.send(msgpack.packb({"action": "auth", "key": self._api_key, "secret": self._secret_key}))
        answer = decode_market_frame(await self._ws.recv())
        message = answer[0] if is_control(answer) else {}
        if message.get("msg") == "authenticated":
            self._refusals = 0
            return
        code, text = message.get("code", "?"), message.get("msg", "no answer to auth")
        raise_if_fatal(self._endpoint, code, text)
        if code == 402:
            self._refusals += 1
            if self._refusals >= AUTH_TRIES:
                raise BrokerFatal(f"{self._endpoint}: {code} {text}: {_KEYS_REMEDY}")
        raise ConnectionError(f"{code} {text}")

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message, in fragments where it is long, as alpaca-py does."""
        packed, piece = msgpack.packb(message), self._max_frame_size
        fragments = [packed[i : i + piece] for i in range(0, len(packed), piece)]
        await self._ws.send(fragments if len(fragments) > 1 else packed)

    async def close(self) -> None:
        """Close the websocket, politely or not."""
        websocket, self._ws = self._ws, None
        await close_socket(websocket)

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row: doubling, with jitter."""
        return self._reconnect_delay(failures)


class TradeSocket(TradingStream):
    """A connection to the stream of trade updates."""

    _ws: Any

    def __init__(self, url: str, keys: Keys, timing: Timing) -> None:
        super().__init__(keys.key_id, keys.secret, raw_data=True, url_override=url, websocket_params=timing.websocket())
        self._reconnect_min_backoff, self._reconnect_max_backoff = timing.reconnect_min_s, timing.reconnect_max_s
        self._refusals = 0

    async def open(self) -> Any:
        """Connect and authenticate; return the websocket."""
        await self._connect()  # type: ignore[no-untyped-call]
        await self._auth()
        return self._ws

    async def _auth(self) -> None:
        keys = {"key_id": self._api_key, "secret_key": self._secret_key}
        await self._ws.send(encode_text({"action": "authenticate", "data": keys}))
        answer = as_object(decode_text(await self._ws.recv()).get("data"), "data of the authorization")
        status = answer.get("status")
        if status == "authorized":
            self._refusals = 0
            return
        if status == "unauthorized":
            self._refusals += 1
            if self._refusals >= AUTH_TRIES:
                raise BrokerFatal(f"{self._endpoint}: unauthorized: {_KEYS_REMEDY}")
        raise ConnectionError(f"authorization: {status}")

    async def close(self) -> None:
        """Close the websocket, politely or not."""
        websocket, self._ws = self._ws, None
        await close_socket(websocket)

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row: doubling, with jitter."""
        return self._reconnect_delay(failures)


def raise_if_fatal(url: str, code: object, text: object) -> None:
    """Raise BrokerFatal for a code that only another plan or another feed can help."""
    if isinstance(code, int) and code in FATAL_CODES:
        raise BrokerFatal(f"{url}: {code} {text}: choose a [market] feed that the account's data plan has")


def encode_text(message: dict[str, Any]) -> str:
    """Return a message as /stream wants it: JSON in a text frame."""
    return msgspec.json.encode(message).decode()


def decode_text(frame: bytes | str) -> dict[str, Any]:
    """Return a message of /stream: JSON, in text or in binary frames; raise WireError."""
    return as_object(decode_json(frame.encode() if isinstance(frame, str) else frame), "a message of /stream")
