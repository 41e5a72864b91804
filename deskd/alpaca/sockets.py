"""alpaca-py's two streams as connections: all use of their private names is in this file; `library` checks them.

alpaca-py connects, speaks the handshake and computes the wait between tries. Authentication is overridden, because
alpaca-py drops the server's code; its receive loops are not used.
"""

import random
from dataclasses import dataclass
from typing import Any, NoReturn

import msgpack
import msgspec
import structlog
from alpaca.data.live.stock import StockDataStream
from alpaca.trading.stream import TradingStream

from deskd.alpaca.connection import AUTH_TRIES, Timing, close_socket
from deskd.alpaca.endpoints import Keys
from deskd.domain.errors import BrokerFatal
from deskd.wire.alpaca.client import as_object, decode_json, decode_market_frame, is_control

PLAN_CODES = frozenset({409, 411})  # insufficient subscription, insufficient scope: the plan has no such feed
_KEYS_REMEDY = "check APCA_API_KEY_ID and APCA_API_SECRET_KEY"
_PLAN_REMEDY = "choose a [market] feed that the account's data plan has"

log = structlog.get_logger()


@dataclass(slots=True)
class Welcome:
    """What one server makes of our keys and our plan. A refusal for good is said once, and tried again seldom."""

    url: str
    refused_s: float  # between tries, where only an officer can help
    has_worked: bool = False  # the keys were accepted, in this life of the process
    _refusals: int = 0  # of the keys, in a row
    _is_for_good: bool = False  # the latest try ended so
    _said: str = ""

    def begin(self) -> None:
        """Note that a try begins."""
        self._is_for_good = False

    def accept(self) -> None:
        """Note that the keys were accepted."""
        self._refusals, self.has_worked = 0, True

    def settle(self) -> None:
        """Note that the server gives us all that we came for."""
        self._said = ""

    def refuse_keys(self, text: str, *, is_fatal: bool) -> NoReturn:
        """Raise what a refusal of the keys is: bad luck, or for good, or fatal where they never worked."""
        self._refusals += 1
        if self._refusals < AUTH_TRIES:
            raise ConnectionError(text)
        if is_fatal and not self.has_worked:
            raise BrokerFatal(f"{self.url}: {text}: {_KEYS_REMEDY}")
        self._refuse(text, _KEYS_REMEDY)

    def refuse_plan(self, text: str) -> NoReturn:
        """Raise what a refusal of the plan is: other things go on, but no data come."""
        self._refuse(text, _PLAN_REMEDY)

    def delay(self, usual_s: float) -> float:
        """Return the wait before the next try: long, and with jitter, after a refusal for good."""
        if not self._is_for_good:
            return usual_s
        return max(usual_s, self.refused_s * random.uniform(0.5, 1.0))  # noqa: S311  no secret

    def _refuse(self, text: str, remedy: str) -> NoReturn:
        self._is_for_good = True
        if self._said != text:
            self._said = text
            log.error("stream_refused", url=self.url, why=text, remedy=remedy, retried_every_s=self.refused_s)
        raise ConnectionError(f"{text}: {remedy}")


class DataSocket(StockDataStream):
    """A connection to the market-data stream."""

    _ws: Any

    def __init__(self, url: str, keys: Keys, timing: Timing) -> None:
        super().__init__(keys.key_id, keys.secret, raw_data=True, url_override=url, websocket_params=timing.websocket())
        self._reconnect_min_backoff, self._reconnect_max_backoff = timing.reconnect_min_s, timing.reconnect_max_s
        self.welcome = Welcome(url, timing.refused_s)

    async def open(self) -> Any:
        """Connect and authenticate; return the websocket."""
        self.welcome.begin()
        await self._start_ws()
        return self._ws

    async def _auth(self) -> None:
        await self._ws.send(msgpack.packb({"action": "auth", "key": self._api_key, "secret": self._secret_key}))
        answer = decode_market_frame(await self._ws.recv())
        message = answer[0] if is_control(answer) else {}
        if message.get("msg") == "authenticated":
            self.welcome.accept()
            return
        code, text = message.get("code", "?"), message.get("msg", "no answer to auth")
        if code in PLAN_CODES:
            self.welcome.refuse_plan(f"{code} {text}")
        if code == 402:
            # The trade stream was first with these keys: what only data refuse is no reason to end the desk.
            self.welcome.refuse_keys(f"{code} {text}", is_fatal=False)
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
        return self.welcome.delay(self._reconnect_delay(failures))


class TradeSocket(TradingStream):
    """A connection to the stream of trade updates."""

    _ws: Any

    def __init__(self, url: str, keys: Keys, timing: Timing) -> None:
        super().__init__(keys.key_id, keys.secret, raw_data=True, url_override=url, websocket_params=timing.websocket())
        self._reconnect_min_backoff, self._reconnect_max_backoff = timing.reconnect_min_s, timing.reconnect_max_s
        self.welcome = Welcome(url, timing.refused_s)

    async def open(self) -> Any:
        """Connect and authenticate; return the websocket."""
        self.welcome.begin()
        await self._connect()  # type: ignore[no-untyped-call]
        await self._auth()
        return self._ws

    async def _auth(self) -> None:
        keys = {"key_id": self._api_key, "secret_key": self._secret_key}
        await self._ws.send(encode_text({"action": "authenticate", "data": keys}))
        answer = as_object(decode_text(await self._ws.recv()).get("data"), "data of the authorization")
        status = answer.get("status")
        if status == "authorized":
            self.welcome.accept()
            return
        if status == "unauthorized":
            self.welcome.refuse_keys("authorization: unauthorized", is_fatal=True)
        raise ConnectionError(f"authorization: {status}")

    def cut(self) -> None:
        """End the connection without a word: who reads from it sees at once that it is lost."""
        if self._ws is not None and self._ws.transport is not None:
            self._ws.transport.abort()

    async def close(self) -> None:
        """Close the websocket, politely or not."""
        websocket, self._ws = self._ws, None
        await close_socket(websocket)

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row: doubling, with jitter."""
        return self.welcome.delay(self._reconnect_delay(failures))


def encode_text(message: dict[str, Any]) -> str:
    """Return a message as /stream wants it: JSON in a text frame."""
    return msgspec.json.encode(message).decode()


def decode_text(frame: bytes | str) -> dict[str, Any]:
    """Return a message of /stream: JSON, in text or in binary frames; raise WireError."""
    return as_object(decode_json(frame.encode() if isinstance(frame, str) else frame), "a message of /stream")
