"""The stream of trade updates, against a server in this process that misbehaves on order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from deskd.alpaca.connection import Timing
from deskd.alpaca.trading_stream import TradeStream
from deskd.domain.errors import BrokerFatal
from deskd.domain.events import BrokerStatus, TradeUpdated
from tests.alpaca.server import KEYS, FakeAlpaca, Hole, NoonClock, an_update, fake_alpaca, states
from tests.factories import NOON
from tests.hang import HANG_S

QUICK = Timing(open_s=2, ack_s=2, reconnect_min_s=0.01, reconnect_max_s=0.05, refused_s=0.05)


@dataclass
class Ears:
    """What a stream has told, in order, and a way to wait for it."""

    updates: list[TradeUpdated] = field(default_factory=list)
    told: list[tuple[bool, str]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, update: TradeUpdated) -> None:
        self.updates.append(update)
        self.order.append(update.event)
        self.changed.set()

    async def note(self, is_up: bool, why: str) -> None:
        self.told.append((is_up, why))
        self.order.append("up" if is_up else "down")
        self.changed.set()

    async def until_up(self, times: int = 1) -> None:
        await self.until(lambda: states(self.told).count(True) >= times)

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(HANG_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


def a_stream(fake: FakeAlpaca, ears: Ears, **overrides: Any) -> TradeStream:
    fields: dict[str, Any] = {
        "url": fake.endpoints.trade_stream,
        "keys": KEYS,
        "clock": NoonClock(),
        "on_update": ears.hear,
        "on_state": ears.note,
        "timing": QUICK,
    }
    return TradeStream(**fields | overrides)


@asynccontextmanager
async def running(stream: TradeStream) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(stream.run())
        try:
            yield
        finally:
            task.cancel()


async def test_a_fill_arrives_with_its_name_price_and_quantity() -> None:
    """One execution is named by the order and what is filled with it, as REST will name it."""
    ears = Ears()
    order = {"filled_qty": "4", "filled_avg_price": "86.88", "status": "partially_filled"}
    async with fake_alpaca() as fake, running(a_stream(fake, ears)):
        await ears.until_up()
        await fake.send_update(an_update("partial_fill", order, qty="4", price="86.88", position_qty="4"))
        await ears.until(lambda: ears.updates)
    update = ears.updates[0]
    assert update.fill is not None
    assert update.fill.fill_id == f"{update.order.broker_order_id}:4"
    assert (update.fill.qty, update.fill.price) == (Decimal(4), Decimal("86.88"))
    assert update.order.status is BrokerStatus.PARTIALLY_FILLED
    assert update.at == NOON


async def test_up_is_told_at_the_acknowledgement_and_before_any_update() -> None:
    """Re-sync starts when the server listens, not when the socket opens: else a fill between is lost."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.acks = False
        async with running(a_stream(fake, ears)):
            await fake.until(lambda: len(fake.heard) == 2)
            assert not ears.told
            fake.drop()
            fake.acks = True
            await ears.until_up()
            await fake.send_update(an_update("new"))
            await ears.until(lambda: ears.updates)
    assert ears.order == ["down", "up", "new"]


async def test_idle_drops_heal_quickly_each_time() -> None:
    """A stream without orders that is dropped again and again is back soon, and each time says so."""
    ears = Ears()
    async with fake_alpaca() as fake, running(a_stream(fake, ears)):
        for n in range(1, 6):
            await ears.until_up(n)
            fake.drop()
    assert states(ears.told)[:9] == [True, False] * 4 + [True]


async def test_a_refusal_that_may_heal_is_tried_again() -> None:
    """`unauthorized` once is bad luck; it is told."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.trade_auth.append("unauthorized")
        fake.handshakes.append(429)
        async with running(a_stream(fake, ears)):
            await ears.until_up()
    assert ears.told == [
        (False, "not connected: HTTP 429 in answer to the websocket handshake"),
        (False, "not connected: authorization: unauthorized"),
        (True, "listening"),
    ]


async def test_bad_keys_end_the_stream() -> None:
    """Three times `unauthorized` is an officer's matter; the text says what to check."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.trade_auth.extend(["unauthorized"] * 3)
        async with asyncio.timeout(HANG_S):
            with pytest.raises(BrokerFatal, match="check APCA_API_KEY_ID"):
                await a_stream(fake, ears).run()


async def test_keys_that_worked_once_end_nothing() -> None:
    """A login that fails in the middle of the day is an outage: the stream is back as soon as the broker is."""
    ears = Ears()
    async with fake_alpaca() as fake, running(a_stream(fake, ears)):
        await ears.until_up()
        fake.trade_auth.extend(["unauthorized"] * 5)
        fake.drop()
        await ears.until_up(2)
    assert states(ears.told) == [True, False, False, False, True]
    assert (
        ears.told[3][1] == "not connected: authorization: unauthorized: check APCA_API_KEY_ID and APCA_API_SECRET_KEY"
    )


async def test_a_connection_that_brings_nothing_is_given_up() -> None:
    """Who knows of an event that did not come says so, and a new connection is told from a lost one by its reason."""
    ears = Ears()
    async with fake_alpaca() as fake:
        stream = a_stream(fake, ears)
        stream.reconnect("there is no connection yet")
        async with running(stream):
            await ears.until_up()
            stream.reconnect("order alice-1 was acknowledged, and no event came for 10 s")
            await ears.until_up(2)
            fake.drop()
            await ears.until_up(3)
            assert len(fake.trade_sockets) == 1
    assert ears.told[1] == (False, "connection lost: order alice-1 was acknowledged, and no event came for 10 s")
    assert "alice-1" not in ears.told[3][1]


async def test_a_session_that_ends_is_left() -> None:
    """`unauthorized` after the login: no event would ever come."""
    ears = Ears()
    async with fake_alpaca() as fake, running(a_stream(fake, ears)):
        await ears.until_up()
        await fake.send_trade("authorization", {"status": "unauthorized", "action": "listen"})
        await ears.until_up(2)
    assert ears.told[1] == (False, "connection lost: authorization: unauthorized")


async def test_what_the_server_says_besides_is_logged_and_bounded() -> None:
    """An error message ends nothing; a long one does not flood the log."""
    ears = Ears()
    async with fake_alpaca() as fake, running(a_stream(fake, ears)):
        await ears.until_up()
        with capture_logs() as logs:
            await fake.send_trade("error", {"error": "x" * 10_000})
            await fake.send_trade("authorization", {"status": "authorized"})
            await fake.send_update(an_update("new"))
            await ears.until(lambda: ears.updates)
    assert [line["event"] for line in logs] == ["trade_stream_message"] * 2
    assert len(logs[0]["data"]) == 200


async def test_a_storm_of_429_heals() -> None:
    """However often the handshake is refused, the stream is back when the broker lets it, and told it once."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.handshakes.extend([429] * 10)
        async with running(a_stream(fake, ears)):
            await ears.until_up()
    assert states(ears.told) == [False, True]


async def test_a_broker_that_is_gone_is_one_fact() -> None:
    """A night of refused connections is told once, and the end of it, too."""
    ears = Ears()
    async with fake_alpaca() as fake:
        gone = a_stream(fake, ears, url="ws://127.0.0.1:1/stream")
        async with running(gone):
            await asyncio.sleep(0.2)
    assert states(ears.told) == [False]


async def test_an_update_that_cannot_be_read_starts_a_resync() -> None:
    """Nonsense is a message missed: the stream listens again, on the same connection, and REST tells the rest."""
    ears = Ears()
    async with fake_alpaca() as fake, running(a_stream(fake, ears)):
        await ears.until_up()
        with capture_logs() as logs:
            await fake.send_update(an_update("fill", {"side": "sideways"}))
            await ears.until_up(2)
        await fake.send_update(an_update("new"))
        await ears.until(lambda: ears.updates)
        assert [said["action"] for said in fake.heard] == ["authenticate", "listen", "listen"]
    assert ears.order == ["up", "up", "new"]
    assert [line["event"] for line in logs] == ["trade_update_unreadable"]


async def test_an_unknown_status_or_event_is_no_nonsense() -> None:
    """What Alpaca invents next is kept in its own words, and is no reason to lose an update."""
    ears = Ears()
    async with fake_alpaca() as fake, running(a_stream(fake, ears)):
        await ears.until_up()
        await fake.send_update(an_update("teleported", {"status": "elsewhere"}))
        await ears.until(lambda: ears.updates)
    assert (ears.updates[0].event, ears.updates[0].order.status) == ("teleported", BrokerStatus.UNKNOWN)
    assert ears.updates[0].order.raw_status == "elsewhere"


async def test_a_server_that_does_not_listen_is_left() -> None:
    """An acknowledgement that does not come is found by its time-out, and told."""
    ears = Ears()
    async with fake_alpaca() as fake:
        fake.acks = False
        timing = Timing(ack_s=0.05, reconnect_min_s=0.01, reconnect_max_s=0.01)
        async with running(a_stream(fake, ears, timing=timing)):
            await ears.until(lambda: ears.told)
            fake.acks = True
            await ears.until_up()
    assert ears.told == [(False, "connection lost: no answer to listen within 0.05 s"), (True, "listening")]


async def test_a_black_hole_is_found_and_left() -> None:
    """TCP that swallows everything is found by missing pongs, and no order is taken until it is left."""
    ears = Ears()
    timing = Timing(open_s=0.3, ping_every_s=0.1, ping_answer_s=0.1, reconnect_min_s=0.01, reconnect_max_s=0.05)
    async with (
        fake_alpaca() as fake,
        Hole(int(fake.url.rsplit(":", 1)[1])).listening() as hole,
        running(a_stream(fake, ears, url=f"ws://127.0.0.1:{hole.port}/stream", timing=timing)),
    ):
        await ears.until_up()
        hole.is_open.clear()
        await ears.until(lambda: not ears.told[-1][0])
        hole.is_open.set()
        await ears.until_up(2)
        assert ears.told[-1][0]


async def test_canceling_closes_the_socket() -> None:
    """A stopped desk leaves no connection behind."""
    ears = Ears()
    async with fake_alpaca() as fake:
        async with running(a_stream(fake, ears)):
            await ears.until_up()
            assert len(fake.trade_sockets) == 1
        await fake.until(lambda: not fake.trade_sockets)
