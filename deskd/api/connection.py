"""One connection, as aiohttp serves it, with the bounds that aiohttp leaves to its users.

aiohttp bounds lines, headers, requests that wait their turn, and idle time. Added here: the time for a whole request,
the time for the peer to take an answer, the bytes of a refused request, everybody's turn between two pipelined
requests, and an answer for a peer that has closed its own side.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from deskd.api.request import Answer, BadRequest, Request, problem, request_of

LINE_MAX = 2048  # bytes of a request line; the longest of ours, an order's id percent-encoded, has 400
FIELD_MAX = 1024  # bytes of one header, name and value; a token has 130
HEADERS_MAX = 50

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LEFTOVER_MAX = 1_048_576  # bytes read and thrown away, so that a refused sender gets to read the refusal
_TAIL_MAX = 65_536  # bytes that are read ahead of the request being answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one door lets happen."""

    connections_max: int
    body_max: int
    idle_s: float = 300.0  # a strategy that has not traded for so long makes a new connection
    first_s: float = 10.0  # from connecting to a first byte: who only holds a place gives it back
    read_s: float = 5.0  # from a request's first byte to its last
    write_s: float = 5.0  # for the peer to take the answer
    linger_s: float = 1.0  # after a refusal, for the peer to read it


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a door does with what comes in."""

    answer: Callable[[Request], Awaitable[Answer]]
    refuse: Callable[[BadRequest], Answer]
    on_cut: Callable[[str], None]  # a connection was ended without an answer: why
    on_crash: Callable[[Exception], None]  # a mistake of ours: whoever runs the door must hear of it


class Connection(web.RequestHandler):
    """The protocol of one accepted socket."""

    __slots__ = (
        "_answered",
        "_began_at",
        "_bounds",
        "_first",
        "_has_more",
        "_is_answering",
        "_is_refused",
        "_is_turn_taken",
        "_leftover",
        "_patience",
        "_said_all",
        "_service",
        "_taking",
        "_work",
    )

    def __init__(self, server: web.Server, bounds: Bounds, service: Service) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None is how it is switched off
            tcp_keepalive=False,
            keepalive_timeout=bounds.idle_s,
            lingering_time=bounds.linger_s,
            max_line_size=LINE_MAX,
            max_field_size=FIELD_MAX,
            max_headers=HEADERS_MAX,
            read_bufsize=_TAIL_MAX,
            auto_decompress=False,
        )
        self._bounds = bounds
        self._service = service
        self._work: asyncio.Task[object] | None = None  # answers the present request
        self._began_at: float | None = None  # when the request came, of which all must be here in time
        self._patience: asyncio.TimerHandle | None = None  # looks after it; one timer lasts for many requests
        self._first: asyncio.TimerHandle | None = None  # runs until the peer says anything
        self._taking: asyncio.TimerHandle | None = None  # runs while the peer does not take what was sent
        self._answered = 0
        self._is_answering = False
        self._is_turn_taken = False  # something was answered since the loop last read for this connection
        self._has_more = False  # something came while a request was answered: it may be part of one
        self._said_all = False
        self._is_refused = False
        self._leftover = 0

    # --- for the door --------------------------------------------------------------------------------------------

    async def respond(self, message: web.BaseRequest) -> web.Response:
        """Answer one message; this is the handler of aiohttp's server."""
        self._work = asyncio.current_task()
        try:
            asked = await self._whole(message)
            if self._is_refused:  # as too late, though the rest came in the same turn: who heard no, gets no
                return web.Response(status=408)  # to nobody
            self._is_answering, self._has_more, self._began_at = True, False, None
            if self._is_turn_taken:  # pipelined: everybody else first
                await asyncio.sleep(0)
            return await self._response_to(asked)
        except (ConnectionError, web.RequestPayloadError):  # gone, in the middle of the body
            return web.Response(status=400)  # to nobody
        finally:
            self._work = None
            self._answered += 1
            self._is_answering, self._is_turn_taken = False, True
            if self._said_all:
                self._leave_soon()
            elif self._has_more:
                self._begin()

    def end(self) -> asyncio.Task[object] | None:
        """End it, at once: what the peer did not take he will not get. Return the work that was canceled."""
        work = self._work
        if work is not None:
            work.cancel()
        if self.transport is not None and self.writing_paused:
            self.transport.abort()
        self.force_close()
        return work

    async def _whole(self, message: web.BaseRequest) -> Request | BadRequest:
        if (bad := problem(message, self._bounds.body_max)) is not None:
            return bad
        if message.headers.get("Expect", "").lower() == "100-continue" and not message.content.is_eof():
            await message.writer.write(_CONTINUE)
        is_here = message.content.is_eof()  # nearly always
        return request_of(message, message.content.read_nowait() if is_here else await message.read())

    async def _response_to(self, asked: Request | BadRequest) -> web.Response:
        if isinstance(asked, BadRequest):
            return self._last(asked)
        try:
            answer = await self._service.answer(asked)
        except Exception as mistake:
            self._service.on_crash(mistake)
            raise
        if answer.pause_s:
            await asyncio.sleep(answer.pause_s)
        return answer.response()

    def _last(self, bad: BadRequest) -> web.Response:
        self._is_refused = True
        response = self._service.refuse(bad).response()
        response.headers["Connection"] = "close"  # to whoever spoke HTTP/1.0, or what was taken for it, as well
        response.force_close()
        return response

    # --- for aiohttp ---------------------------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Answer bytes that are no request, in the form of every other refusal."""
        if isinstance(exc, LineTooLong):
            text = f"request line, or a header: is over {LINE_MAX} or {FIELD_MAX} bytes"
            return self._last(BadRequest(431, text))
        if isinstance(exc, HttpProcessingError):
            return self._last(BadRequest(400, f"HTTP: {ascii(exc.message.partition(chr(10))[0])[1:-1][:200]}"))
        return self._last(BadRequest(status, "the desk made a mistake"))

    # --- for the loop --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        # writing is paused until the kernel has it all: no answer waits here for a peer that does not read
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=0)
        super().connection_made(transport)
        text = f"nothing was sent within {self._bounds.first_s:g} s of connecting"
        self._first = self._loop.call_later(self._bounds.first_s, self._cut, text)

    def data_received(self, data: bytes) -> None:
        """Take what came; a request that began must be whole in time."""
        if data:  # aiohttp calls this with nothing, to go on with what it kept
            self._is_turn_taken = False
            if self._first is not None:
                self._first.cancel()
                self._first = None
            if self._is_refused:
                self._throw_away(len(data))
            elif self._is_answering:
                self._has_more = True
            elif self._began_at is None:
                self._begin()
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp never keeps its side open; asyncio lets it
        """Let a peer that has said all of his still hear the answers."""
        self._said_all = True
        if not self._is_answering:
            self._leave_soon()
        return True

    def pause_writing(self) -> None:
        """Give the peer a time to take what was sent."""
        super().pause_writing()
        if self.transport is not None:
            text = f"an answer was not taken within {self._bounds.write_s:g} s"
            self._taking = self._loop.call_later(self._bounds.write_s, self._cut, text)

    def resume_writing(self) -> None:
        """Note that he has taken it."""
        if self._taking is not None:
            self._taking.cancel()
        super().resume_writing()
        if self._said_all:
            self._leave_soon()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the peer."""
        self._said_all, self._has_more = False, False
        for timer in (self._patience, self._taking, self._first):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._began_at = self._loop.time()
        if self._patience is None:
            self._patience = self._loop.call_later(self._bounds.read_s, self._look_after)

    def _look_after(self) -> None:
        """End the connection where its request has taken too long; look again when it will have."""
        self._patience = None
        if self._began_at is None or self._is_refused:
            return
        left = self._began_at + self._bounds.read_s - self._loop.time()
        if left > 0:
            self._patience = self._loop.call_later(left, self._look_after)
            return
        text = f"request: did not arrive within {self._bounds.read_s:g} s"
        self._is_refused = True
        if self.transport is not None:
            self.transport.write(self._service.refuse(BadRequest(408, text)).last_words())
        self.force_close()

    def _leave_soon(self) -> None:
        """Leave when aiohttp has nothing more to answer: it takes a turn of the loop to begin with what is there."""
        self._loop.call_soon(self._loop.call_soon, self._leave, self._answered)

    def _leave(self, answered: int) -> None:
        if answered == self._answered and not self._is_answering and not self.writing_paused:
            self.force_close()

    def _throw_away(self, count: int) -> None:
        self._leftover += count
        if self._leftover > _LEFTOVER_MAX:
            self._cut(f"{self._leftover} bytes were sent after a refusal")

    def _cut(self, why: str) -> None:
        """End it at once, and say why to whoever keeps the log: the peer is past listening."""
        if self.transport is not None and not self.transport.is_closing():
            self._service.on_cut(why)
            self.transport.abort()
