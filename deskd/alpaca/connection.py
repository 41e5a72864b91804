"""Keeps one stream connected: opens, serves until it is lost, waits with jitter, opens again.

Rule 1: what heals by itself is retried for ever, and so is what an officer must mend, at longer intervals. Only keys
        that never worked end with BrokerFatal: an officer stands before a desk that starts (docs/decisions/0023).
Rule 2: the wait grows with failures in a row, and starts anew after a connection that held or brought data. An idle
        trade stream is dropped now and then: it must not be away for longer each time.
Rule 3: the socket is closed before the next one opens, and when the task is canceled. A half-dead one would hold the
        account's only slot.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from websockets.exceptions import WebSocketException
from websockets.legacy.exceptions import InvalidStatusCode

from deskd.domain.errors import BrokerFatal, WireError

STEADY_S = 20.0  # a connection that lived so long was a good one
CLOSE_S = 1.5  # the closing handshake; then the socket is cut
AUTH_TRIES = 3  # keys are refused now and then for no reason; three times in a row is a no
RETRY_DIGITS_MAX = 6  # a date is not worth a parser, and longer numbers are nonsense
RETRY_AFTER_MAX_S = 120.0  # a server that asks for a longer wait is asked again all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a stream waits, in seconds. The defaults are for Alpaca; tests are less patient."""

    open_s: float = 10.0  # connect and authenticate; Alpaca itself gives 10 s for the latter
    ack_s: float = 10.0  # a request without an acknowledgement for so long: the connection is mute
    ping_every_s: float = 5.0  # with the next, a dead link is found in 15 s instead of alpaca-py's 190
    ping_answer_s: float = 10.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 30.0
    refused_s: float = 60.0  # between tries, where only an officer can help

    def websocket(self) -> dict[str, Any]:
        """Return the settings of the websocket. max_queue is back-pressure, in frames."""
        return {
            "ping_interval": self.ping_every_s,
            "ping_timeout": self.ping_answer_s,
            "max_queue": 1024,
            "close_timeout": 1,
            "compression": None,
        }


TIMING = Timing()

LOST = (WebSocketException, OSError, TimeoutError, WireError)
# While it opens, alpaca-py reads what the peer sends without a look, so nonsense shows as these, too.
_NOT_OPENED = (*LOST, ValueError, LookupError, TypeError, AttributeError)

type OnState = Callable[[bool, str], Awaitable[None]]  # is it up, and why


class Link(Protocol):
    """One stream's connection, opened again and again."""

    async def open(self) -> None:
        """Connect and authenticate."""

    async def serve(self) -> NoReturn:
        """Handle what arrives until the connection is lost, which raises."""

    async def close(self) -> None:
        """Close the socket, whatever its state, within CLOSE_S."""

    @property
    def timing(self) -> Timing:
        """Return how long to wait for what."""

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""

    def has_received(self) -> bool:
        """Tell whether this connection has brought data."""


async def keep_connected(link: Link, on_lost: Callable[[str], Awaitable[None]]) -> NoReturn:
    """Keep *link* connected until canceled; raise BrokerFatal where retrying cannot help."""
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        opened_at = loop.time()
        try:
            why, wait_s = await _live(link)
        finally:
            await link.close()
        if link.has_received() or loop.time() - opened_at >= STEADY_S:
            failures = 0
        failures += 1
        await on_lost(why)
        await asyncio.sleep(max(link.delay(failures), wait_s))


async def _live(link: Link) -> tuple[str, float]:
    """Open and serve; return why it ended, and for how many seconds the server does not want to be asked again."""
    try:
        async with asyncio.timeout(link.timing.open_s):
            await link.open()
    except _NOT_OPENED as error:
        return f"not connected: {in_words(error)}", retry_after(error)
    try:
        await link.serve()
    except LOST as error:
        return f"connection lost: {in_words(error)}", 0.0


def retry_after(error: BaseException) -> float:
    """Return the seconds that a refused handshake asks for; 0 where it does not, or not in seconds."""
    said = error.headers.get_all("Retry-After") if isinstance(error, InvalidStatusCode) else []
    counts = [float(text) for text in said if text.isascii() and text.isdecimal() and len(text) <= RETRY_DIGITS_MAX]
    return min(*counts, RETRY_AFTER_MAX_S) if counts else 0.0


def in_words(error: BaseException) -> str:
    """Return what happened, on one line; a TimeoutError has no text of its own."""
    if isinstance(error, InvalidStatusCode):
        return f"HTTP {error.status_code} in answer to the websocket handshake"
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return str(error) or type(error).__name__


def worst(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the exception of a task group to go on with: our own mistake, a fatal refusal, a lost connection."""
    ours = [e for e in group.exceptions if not isinstance(e, (*LOST, BrokerFatal))]
    fatal = [e for e in group.exceptions if isinstance(e, BrokerFatal)]
    return (ours or fatal or list(group.exceptions))[0]


async def close_socket(socket: Any) -> None:
    """Close a websocket politely within CLOSE_S, else cut it."""
    if socket is None:
        return
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close()
    except (*LOST, RuntimeError):
        pass
    finally:
        if (transport := getattr(socket, "transport", None)) is not None:
            transport.abort()
