"""The market-data stream: alpaca-py's StockDataStream, run in the desk's loop.

alpaca-py connects, speaks the handshake and knows the addresses; what it does in a loop of its own is done here:
frames are taken in batches, symbols change while it runs, refusals and silence become state.

Rule 1: nothing is connected before the first symbol is wanted.
Rule 2: what is wanted and what the server acknowledged are compared after every change; a difference is told.
Rule 3: messages are handed on in the order of arrival, all that is there at once. The receiver must be quick: it is
        back-pressure on the socket, and a slow reader is thrown out by the server (407).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog

from deskd.alpaca.connection import TIMING, OnState, Timing, keep_connected, worst
from deskd.alpaca.endpoints import Keys
from deskd.alpaca.sockets import PLAN_CODES, DataSocket
from deskd.domain.ids import Symbol
from deskd.ports import RawMarketMessage
from deskd.wire.alpaca.client import decode_market_frame, is_control, well_formed

FRAMES_MAX = 32  # taken between two turns of the loop
MESSAGES_MAX = 2_000  # likewise: with the hub's work on them, some milliseconds
SILENCES_MAX = 5  # doublings: half a minute becomes a quarter of an hour
ANSWER_CODES = frozenset({400, 405, 410})  # errors that answer a subscribe; others come unasked
# Not authenticated, auth failed, auth timeout, connection limit, v2 not enabled: to this server we are nobody (any more).
ENDING_CODES = frozenset({401, 402, 404, 406, 408})

type Pair = tuple[str, Symbol]  # channel and symbol
type Wanted = Mapping[str, frozenset[Symbol]]  # symbols by channel: trades, quotes, bars, statuses, ...
type OnMessages = Callable[[list[RawMarketMessage]], None]

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class MarketStream:
    """One connection to the market's data. `run` keeps it until canceled."""

    url: str
    keys: Keys
    on_messages: OnMessages
    on_state: OnState
    stale_after_s: float  # without data for so long while the market is open: reconnect
    timing: Timing = TIMING
    _socket: DataSocket = field(init=False)
    _websocket: Any = field(default=None, init=False)
    _wanted: dict[str, frozenset[Symbol]] = field(default_factory=dict, init=False)
    _held: set[Pair] = field(default_factory=set, init=False)
    _last_held: set[Pair] = field(default_factory=set, init=False)  # by the connection before this
    _refused: dict[Pair, str] = field(default_factory=dict, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _answer: asyncio.Future[dict[str, Any]] | None = field(default=None, init=False)
    _is_up: bool = field(default=False, init=False)
    _last_why: str = field(default="", init=False)
    _last_error: str = field(default="", init=False)  # what the server said on this connection, in its words
    _is_market_open: bool = field(default=False, init=False)
    _data_at: float = field(default=0.0, init=False)  # loop time; of the last data, or since when it is expected
    _has_data: bool = field(default=False, init=False)
    _silences: int = field(default=0, init=False)  # reconnects for silence that did not help

    def __post_init__(self) -> None:
        self._socket = DataSocket(self.url, self.keys, self.timing)

    # --- what others ask -------------------------------------------------------------------------------------------

    def set_symbols(self, wanted: Wanted) -> None:
        """Have exactly these symbols subscribed, soon; returns at once. What was refused is asked for again."""
        new = {channel: frozenset(symbols) for channel, symbols in wanted.items() if symbols}
        if new != self._wanted:
            self._wanted = new
            self._refused.clear()
            self._changed.set()

    def set_market_open(self, is_open: bool) -> None:  # noqa: FBT001  a setter
        """Tell whether data must be flowing: silence is a fault only while the market is open."""
        if is_open and not self._is_market_open:
            self._expect_data()
        self._is_market_open = is_open

    def refused(self) -> Mapping[Pair, str]:
        """Return what is wanted and not delivered, and why: `405 symbol limit exceeded`."""
        return dict(self._refused)

    def state(self) -> str:
        """Return in words whether it is up, and what is wrong with it; before the first symbol is wanted: not needed."""
        if not self._last_why:
            return "not needed yet" if not self._wanted else "connecting"
        return f"{'up' if self._is_up else 'down'}: {self._last_why}"

    @property
    def is_up(self) -> bool:
        """Tell whether what is wanted is subscribed."""
        return self._is_up

    def silence_s(self) -> float | None:
        """Return for how long no data have come; None where none are held, or none ever came."""
        if not self._held or not self._has_data:
            return None
        return max(0.0, asyncio.get_running_loop().time() - self._data_at)

    async def run(self) -> NoReturn:
        """Keep the stream connected until canceled. What only an officer can mend is told, and tried again."""
        while not self._wanted:
            await self._changed.wait()
            self._changed.clear()
        await keep_connected(self, self._on_lost)

    # --- one connection (connection.Link) ----------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and authenticate."""
        self._has_data, self._last_error = False, ""
        self._websocket = await self._socket.open()

    async def serve(self) -> NoReturn:
        """Subscribe to what is wanted, hand on what arrives, until the connection is lost."""
        self._expect_data()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._subscribing(), name="market stream: subscriptions")
                tasks.create_task(self._watching(), name="market stream: silence")
                await self._receiving()
        except* Exception as group:  # noqa: BLE001  passed on, the worst of them
            error = worst(group)
        raise error

    async def close(self) -> None:
        """Close the socket; what was held is forgotten."""
        self._last_held, self._held = self._held or self._last_held, set()
        self._answer = None
        await self._socket.close()

    def delay(self, failures: int) -> float:
        """Return alpaca-py's wait: it doubles, with jitter."""
        return self._socket.delay(failures)

    def has_received(self) -> bool:
        """Tell whether this connection has brought market data."""
        return self._has_data

    async def _on_lost(self, why: str) -> None:
        self._refused.clear()
        if self._last_error and self._last_error not in why:  # a slow client (407) is cut off after it was told
            why = f"{why} (the server had said: {self._last_error})"
        await self._tell(is_up=False, why=why)

    async def _tell(self, *, is_up: bool, why: str) -> None:
        why = self.keys.hidden_in(why)
        if (is_up, why) != (self._is_up, self._last_why):
            self._is_up, self._last_why = is_up, why
            await self.on_state(is_up, why)

    # --- receive -----------------------------------------------------------------------------------------------------

    async def _receiving(self) -> NoReturn:
        loop, socket = asyncio.get_running_loop(), self._websocket
        while True:
            data: list[RawMarketMessage] = []
            for _ in range(FRAMES_MAX):
                messages = decode_market_frame(await socket.recv())  # waits only for the first
                if is_control(messages):
                    await self._on_control(messages[0])
                else:
                    data += well_formed(messages)
                if not socket.messages or len(data) >= MESSAGES_MAX:
                    break
            if data:
                if not self._has_data and loop.time() - self._data_at < self.stale_after_s:
                    self._silences = 0
                self._data_at, self._has_data = loop.time(), True
                self.on_messages(data)
            if socket.messages:
                await asyncio.sleep(0)  # a flood must not keep the loop from everybody else

    async def _on_control(self, message: dict[str, Any]) -> None:
        if message["T"] == "success":
            return
        code, text = _error(message)
        if message["T"] == "error":
            self._last_error = f"{code} {text}"
            if code in PLAN_CODES:
                self._socket.welcome.refuse_plan(self._last_error)
            if code in ENDING_CODES:
                raise ConnectionError(self._last_error)
        is_answer = message["T"] == "subscription" or code in ANSWER_CODES
        if is_answer and self._answer is not None and not self._answer.done():
            self._answer.set_result(message)
        elif message["T"] == "error":
            log.warning("market_stream_error", code=code, text=text)
            await self._tell(is_up=self._is_up, why=self._last_error)

    async def _watching(self) -> NoReturn:
        """End the connection when it is mute: TCP and pings can be well, and no data come.

        Where a reconnect brings nothing, it is the symbols that are quiet: the patience doubles.
        """
        loop = asyncio.get_running_loop()
        while True:
            bound = self.stale_after_s * 2 ** min(self._silences, SILENCES_MAX)
            quiet_s = loop.time() - self._data_at
            if self._is_market_open and self._held and quiet_s >= bound:
                self._silences += 1
                raise ConnectionError(f"no market data for {quiet_s:.1f} s while the market is open")
            await asyncio.sleep(max(bound - quiet_s, bound / 4))

    def _expect_data(self) -> None:
        try:
            self._data_at = asyncio.get_running_loop().time()
        except RuntimeError:  # no loop yet: `serve` will
            self._data_at = 0.0

    # --- subscribe ---------------------------------------------------------------------------------------------------

    async def _subscribing(self) -> NoReturn:
        """Bring what is held to what is wanted, by deltas, one at a time, each acknowledged."""
        while True:
            self._changed.clear()
            wanted = {(channel, symbol) for channel, symbols in self._wanted.items() for symbol in symbols}
            if gone := self._held - wanted:  # first: it makes room under the symbol limit
                await self._ask("unsubscribe", gone)
                self._held -= gone
            elif new := wanted - self._held - self._refused.keys():
                await self._ask("subscribe", new)
            else:
                await self._tell(is_up=True, why=self._shortfall() or "subscribed")
                await self._changed.wait()

    async def _ask(self, action: str, pairs: set[Pair]) -> None:
        """Send one change; where the server refuses it, find out by halves what it would take."""
        self._answer = asyncio.get_running_loop().create_future()
        await self._send(action, pairs)
        try:
            async with asyncio.timeout(self.timing.ack_s):
                answer = await self._answer
        except TimeoutError:
            raise ConnectionError(f"no answer to {action} within {self.timing.ack_s:g} s") from None
        if answer["T"] == "subscription":
            self._socket.welcome.settle()
            if not self._held:
                self._expect_data()
            ours = self._wanted.keys() | {channel for channel, _ in self._held | pairs}
            self._held = {(channel, symbol) for channel in ours for symbol in _symbols(answer, channel)}
            missing = pairs - self._held if action == "subscribe" else set()
            self._refused |= dict.fromkeys(missing, "not acknowledged")
        elif len(pairs) > 1:
            first = sorted(pairs, key=lambda pair: (pair not in self._last_held, pair))  # who had data keeps it
            half = len(first) // 2
            await self._ask(action, set(first[:half]))
            await self._ask(action, set(first[half:]))
        else:
            self._refused |= dict.fromkeys(pairs, "{} {}".format(*_error(answer)))

    async def _send(self, action: str, pairs: set[Pair]) -> None:
        message: dict[str, Any] = {"action": action}
        for channel, symbol in sorted(pairs):
            message.setdefault(channel, []).append(symbol)
        await self._socket.send(message)

    def _shortfall(self) -> str:
        """Return what is refused, in words; empty where nothing is."""
        by_why: dict[str, list[str]] = {}
        for (channel, symbol), why in sorted(self._refused.items()):
            by_why.setdefault(why, []).append(f"{channel} {symbol}")
        return "; ".join(f"{why}: no data for {', '.join(pairs)}" for why, pairs in by_why.items())


def _error(message: Mapping[str, Any]) -> tuple[object, object]:
    return message.get("code"), message.get("msg")


def _symbols(ack: Mapping[str, Any], channel: str) -> list[Symbol]:
    symbols = ack.get(channel)  # an empty channel may be absent
    return [Symbol(s) for s in symbols if isinstance(s, str)] if isinstance(symbols, list) else []
