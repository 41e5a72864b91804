"""The stream of trade updates: alpaca-py's TradingStream, run in the desk's loop.

Rule 1: it has no replay. `on_state(True)` comes with each `listening` acknowledgement, and means: whatever happened
        before now must be asked for by REST.
Rule 2: a message that cannot be read is a message missed: the stream asks to listen again, and the acknowledgement
        starts the same re-sync.
Rule 3: answered pings prove the connection, not that events come. Nothing on it can prove that: who knows of an event
        that did not come says `reconnect` (core.silence).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog
from websockets.exceptions import WebSocketException

from deskd.alpaca.connection import TIMING, OnState, Timing, keep_connected
from deskd.alpaca.endpoints import Keys
from deskd.alpaca.sockets import TradeSocket, decode_text, encode_text
from deskd.domain.errors import WireError
from deskd.domain.events import TradeUpdated
from deskd.ports import Clock
from deskd.wire.alpaca.client import as_object, decode_trade_update

_LISTEN = encode_text({"action": "listen", "data": {"streams": ["trade_updates"]}})

type OnUpdate = Callable[[TradeUpdated], Awaitable[None]]

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class TradeStream:
    """One connection to the account's trade updates. `run` keeps it until canceled."""

    url: str
    keys: Keys
    clock: Clock
    on_update: OnUpdate  # awaited: a full inbox is back-pressure on the socket
    on_state: OnState
    timing: Timing = TIMING
    _socket: TradeSocket = field(init=False)
    _websocket: Any = field(default=None, init=False)
    _last_lost: str | None = field(default=None, init=False)  # why, while it is down
    _has_updates: bool = field(default=False, init=False)
    _left: str = field(default="", init=False)  # why this connection was given up

    def __post_init__(self) -> None:
        self._socket = TradeSocket(self.url, self.keys, self.timing)

    async def run(self) -> NoReturn:
        """Keep the stream connected until canceled; raise BrokerFatal where the keys never worked."""
        await keep_connected(self, self._on_lost)

    def reconnect(self, why: str) -> None:
        """Give the connection up, if there is one: it does not bring what it must. A new one is made at once."""
        self._left = why
        self._socket.cut()

    async def _on_lost(self, why: str) -> None:
        why = self.keys.hidden_in(why)
        if why != self._last_lost:  # one fact for a night of refused connections
            self._last_lost = why
            await self.on_state(False, why)

    # --- one connection (connection.Link) ----------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and authenticate."""
        self._has_updates, self._left = False, ""
        self._websocket = await self._socket.open()

    async def serve(self) -> NoReturn:
        """Listen, and hand on what arrives, until the connection is lost."""
        loop, socket = asyncio.get_running_loop(), self._websocket
        await socket.send(_LISTEN)
        try:
            async with asyncio.timeout(self.timing.ack_s) as unanswered:
                while True:
                    message = decode_text(self._hidden_in(await socket.recv()))
                    if message.get("stream") == "listening":
                        unanswered.reschedule(None)
                        await self._on_listening(message)
                    elif message.get("stream") == "trade_updates":
                        if not await self._on_update(message):
                            unanswered.reschedule(loop.time() + self.timing.ack_s)
                            await socket.send(_LISTEN)
                    else:
                        _on_refusal(message)
        except TimeoutError:
            raise ConnectionError(f"no answer to listen within {self.timing.ack_s:g} s") from None
        except WebSocketException:
            if self._left:
                raise ConnectionError(self._left) from None
            raise

    def _hidden_in(self, frame: str | bytes) -> str | bytes:
        return self.keys.hidden_in(frame) if isinstance(frame, str) else self.keys.hidden_in_body(frame)

    async def close(self) -> None:
        """Close the socket."""
        await self._socket.close()

    def delay(self, failures: int) -> float:
        """Return alpaca-py's wait: it doubles, with jitter."""
        return self._socket.delay(failures)

    def has_received(self) -> bool:
        """Tell whether this connection has brought an update."""
        return self._has_updates

    async def _on_listening(self, message: Mapping[str, Any]) -> None:
        streams = _data(message).get("streams")
        if not isinstance(streams, list) or "trade_updates" not in streams:
            raise ConnectionError(f"the broker listens to {streams}, not to trade_updates")
        self._last_lost = None
        self._socket.welcome.settle()
        await self.on_state(True, "listening")

    async def _on_update(self, message: Mapping[str, Any]) -> bool:
        """Hand the update on; return False if it cannot be read."""
        try:
            update = decode_trade_update(_data(message), self.clock.now())
        except WireError as error:
            log.error("trade_update_unreadable", problem=str(error))  # noqa: TRY400  the text says it all
            return False
        self._has_updates = True
        await self.on_update(update)
        return True


def _on_refusal(message: Mapping[str, Any]) -> None:
    """Log what the server says besides events; raise where it does not know us (any more)."""
    stream, data = message.get("stream"), message.get("data")
    status = data.get("status") if isinstance(data, dict) else None
    if stream == "authorization" and status != "authorized":
        raise ConnectionError(f"authorization: {status}")
    log.warning("trade_stream_message", stream=str(stream)[:40], data=str(data)[:200])


def _data(message: Mapping[str, Any]) -> dict[str, Any]:
    return as_object(message.get("data"), "data")
