"""Notifications, and real receivers for them: an HTTP server and a mail server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import Message as Mail
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP

from deskd.domain.notifications import Notification, Severity, Topic, Trade
from deskd.domain.order import Side
from tests.factories import AAPL, ALICE, NOON, price, qty


def a_note(key: str = "fact:1", **overrides: Any) -> Notification:
    fields: dict[str, Any] = {
        "key": key,
        "topic": Topic.SYSTEM_ALERTS,
        "severity": Severity.WARNING,
        "title": f"title of {key}",
        "text": "disk_free_mb=3\nTo do: free room",
        "at": NOON,
    }
    return Notification(**fields | overrides)


def a_fill_note(key: str, shares: int = 10, at_price: str = "150", **overrides: Any) -> Notification:
    fields: dict[str, Any] = {
        "topic": Topic.PAPER_TRADING,
        "severity": Severity.INFO,
        "member": "ann",
        "strategy": ALICE,
        "title": f"alice bought {shares} AAPL at {at_price}",
        "trade": Trade(side=Side.BUY, symbol=AAPL, qty=qty(shares), price=price(at_price)),
    }
    return a_note(key, **fields | overrides)


@dataclass
class HandClock:
    """A clock that a test sets."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def pass_s(self, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at


@dataclass
class HttpReceiver:
    """Takes what apprise's json:// sends; answers *status*, or nothing while *is_hanging*."""

    port: int = 0
    status: int = 200
    is_hanging: bool = False
    got: list[dict[str, Any]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def address(self, read_s: float = 5) -> str:
        return f"json://robot:s3cr3t-pass@127.0.0.1:{self.port}/t0k3n-of-club?cto=2&rto={read_s}"

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.came.set()
        if self.is_hanging:
            await self.may_end.wait()
        if self.status == 200:
            self.got.append(body)
        return web.Response(status=self.status)

    def titles(self) -> list[str]:
        return [body["title"] for body in self.got]


@asynccontextmanager
async def http_receiver() -> AsyncIterator[HttpReceiver]:
    receiver = HttpReceiver()
    app = web.Application()
    app.router.add_post("/{anything:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        receiver.may_end.set()
        await runner.cleanup()


@dataclass
class Mailbox:
    """What a mail server does with mails: it keeps them."""

    mails: list[Mail] = field(default_factory=list)
    refusal: str | None = None

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        if self.refusal is not None:
            return self.refusal
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


@asynccontextmanager
async def mail_server(mailbox: Mailbox) -> AsyncIterator[int]:
    """Serve mail on a port of loopback."""
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
