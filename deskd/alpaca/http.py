"""Requests to Alpaca's trading REST: kept-alive connections, bounded waits, and three kinds of outcome.

Rule 1: a request is sent once. What comes of it is a value: an answer; no answer, and it may have arrived; or it
        certainly was not sent. Only the caller knows what each means.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import aiohttp

from deskd.alpaca.endpoints import Keys
from deskd.alpaca.pacing import Pacer
from deskd.domain.priority import Priority

BODY_MAX = 64 * 1024 * 1024  # far over the longest list Alpaca sends; a longer answer is not Alpaca's
CONNECT_S = 2.0
FAILED = 500  # and over: the broker says that the fault is its own
FAILURES_KEPT = 1_000  # a bound over it bounds nothing
CONNECTIONS_MAX = 32  # a burst waits for one of these rather than open hundreds


@dataclass(frozen=True, slots=True)
class Answer:
    """The broker answered."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing left the desk, or nothing that the broker looked at."""

    why: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The request left, wholly or in part, and there is no answer: nobody knows whether it took hold."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Whose turn a request waits for, and how long at most; None: as long as for an answer."""

    priority: Priority
    flow: str = ""
    wait_max_s: float | None = None
    name: str = ""
    leaves: Callable[[], str | None] = lambda: None


type Outcome = Answer | NotSent | Unanswered


@dataclass(slots=True)
class Failures:
    """When requests failed at the broker: it could not be reached, gave no answer, or answered that it failed (5xx)."""

    _times: deque[float] = field(default_factory=lambda: deque(maxlen=FAILURES_KEPT))  # of the loop's clock

    def count(self) -> None:
        """Count one, now."""
        self._times.append(asyncio.get_running_loop().time())

    def within(self, seconds: float) -> int:
        """Return how many there were within so long; a wall clock that is set counts none twice."""
        since = asyncio.get_running_loop().time() - seconds
        return sum(at > since for at in self._times)


@dataclass(slots=True, kw_only=True)
class Http:
    """One account's trading REST. Use as an async context manager."""

    url: str
    keys: Keys
    pacer: Pacer
    timeout_s: float
    failures: Failures = field(default_factory=Failures)
    _session: aiohttp.ClientSession = field(init=False)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=min(CONNECT_S, self.timeout_s)),
            headers={"APCA-API-KEY-ID": self.keys.key_id, "APCA-API-SECRET-KEY": self.keys.secret},
            trust_env=False,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        turn: Turn,
    ) -> Outcome:
        """Send the request once, when its turn has come, and return what came of it."""
        why_not = await self.pacer.take(
            turn.priority,
            wait_max_s=self.timeout_s if turn.wait_max_s is None else turn.wait_max_s,
            flow=turn.flow,
            name=turn.name,
            leaves=turn.leaves,
        )
        if why_not is not None:
            return NotSent(why_not)
        outcome = await self._sent(method, path, params=params, body=body)
        if not isinstance(outcome, Answer) or outcome.status >= FAILED:
            self.failures.count()
        return outcome

    async def _sent(self, method: str, path: str, *, params: Mapping[str, str] | None, body: bytes | None) -> Outcome:
        headers = {"Content-Type": "application/json"} if body is not None else None
        give_back = self.pacer.unanswered
        try:
            async with self._session.request(
                method, self.url + path, params=params, data=body, headers=headers, allow_redirects=False
            ) as response:
                give_back = partial(self.pacer.answered, response.status, response.headers)
                return Answer(response.status, self.keys.hidden_in_body(await _read(response)))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            give_back = self.pacer.not_sent
            return NotSent(f"the broker cannot be reached at {self.url}: {error}")
        except TimeoutError:
            return Unanswered(f"no answer within {self.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            return Unanswered(f"the connection broke: {str(error) or type(error).__name__}")
        finally:
            give_back()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    length = response.content_length
    if length is not None and length <= BODY_MAX:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > BODY_MAX:
            raise aiohttp.ClientPayloadError(f"an answer of over {BODY_MAX} bytes")
    return bytes(body)
