"""The page that Prometheus reads, and two answers for whoever watches over processes: /health and /ready.

1. It listens on loopback, unless the configuration says otherwise in so many words. It only tells; nobody can change
   anything here, and no key and no member's text is on it.
2. A page is written family by family, and the loop has its turn in between: 200 strategies hold it for no longer than
   one family takes.
3. One page at a time, and one that is fresh is given again: whoever asks too often costs nothing.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from deskd.domain.effects import Refuse
from deskd.metrics.collector import Collector
from deskd.ports import Clock

TURN_S = 0.001  # of work, then the loop has its turn
FRESH_S = 1.0  # so long a page is given again
BACKLOG = 16

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Only:
    """A registry of one family: prometheus-client writes registries."""

    family: Metric

    def collect(self) -> Iterable[Metric]:
        return (self.family,)


@dataclass(slots=True)
class _Turns:
    """Lets the loop do other work, once TURN_S of it is used."""

    clock: Clock
    began: float = 0.0

    async def __call__(self) -> None:
        if self.clock.monotonic() - self.began >= TURN_S:
            await asyncio.sleep(0)
            self.began = self.clock.monotonic()


@dataclass(slots=True, kw_only=True)
class MetricsPage:
    """Answers GET /metrics, /health and /ready."""

    listen: str  # HOST:PORT; empty: nothing is served
    collector: Collector
    refusal: Callable[[], Refuse | None]  # why no order is taken; None: they are
    clock: Clock
    _page: bytes = b""
    _made_at: float | None = None
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def text(self) -> bytes:
        """Return the page, made anew where the last is not fresh."""
        async with self._making:
            if self._made_at is None or self.clock.monotonic() - self._made_at >= FRESH_S:
                self._page = await self._made()
                self._made_at = self.clock.monotonic()
            return self._page

    async def _made(self) -> bytes:
        turn = _Turns(self.clock, self.clock.monotonic())
        strategies = await self.collector.strategies(turn)
        written = []
        notifications = await self.collector.notifications()
        for family in self.collector.families(strategies, notifications):
            written.append(_written(family))
            await turn()
        return b"".join(written)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int | None]:
        """Listen until the context ends; yield the port, or None where nothing is served.

        An address that is taken is said, and costs the desk nothing: it trades without being watched.
        """
        listener = self._listener()
        if listener is None:
            yield None
            return
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await runner.setup()
        try:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
            port: int = listener.getsockname()[1]
            log.info("metrics_served", listen=self.listen, port=port)
            yield port
        finally:
            await runner.cleanup()

    def _listener(self) -> socket.socket | None:
        if not self.listen:
            return None
        host, _, port = self.listen.rpartition(":")
        try:
            family, kind, proto, _, address = socket.getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_NUMERICSERV
            )[0]
            listener = socket.socket(family, kind, proto)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.setblocking(False)
                listener.bind(address)
                listener.listen(BACKLOG)  # here: an address that another desk took after our bind is told by this
            except OSError:
                listener.close()
                raise
        except OSError as error:
            remedy = "set another [metrics] listen, or end what listens there"
            log.warning("metrics_not_served", listen=self.listen, error=str(error), remedy=remedy)
            return None
        return listener

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        return app

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=await self.text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _health(self, _: web.Request) -> web.Response:
        """Answer at all: the loop turns, or nobody would."""
        return web.json_response({"status": "alive"})

    async def _ready(self, _: web.Request) -> web.Response:
        refusal = self.refusal()
        if refusal is None:
            return web.json_response({"status": "ready"})
        return web.json_response(
            {"status": "not ready", "reason": str(refusal.reason), "message": refusal.message}, status=503
        )


def _written(family: Metric) -> bytes:
    registry: CollectorRegistry = _Only(family)  # type: ignore[assignment]  # all that is asked of one
    return generate_latest(registry)
