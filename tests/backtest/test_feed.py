"""One line at a time: the next is handed over when the strategy asks for it, and not before."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deskd.backtest.feed import Stalled, StepFeed
from deskd.core.updates import update as update_of
from deskd.domain import events as ev
from deskd.domain.effects import OrderUpdate
from deskd.domain.ids import RunId
from deskd.domain.money import NO_QTY
from deskd.domain.order import Order, OrderStatus
from deskd.domain.strategy import Channel
from tests.api.fakes import a_spec
from tests.factories import ALICE, BOB, NOON, a_request

RUN = RunId("alice.1")


@dataclass
class Strategy:
    """The other ends of the pipes."""

    stdin: int
    wishes: int

    def asks(self) -> None:
        os.write(self.wishes, b".")

    def reads(self) -> bytes:
        os.set_blocking(self.stdin, False)
        try:
            return os.read(self.stdin, 4_096)
        except BlockingIOError:
            return b""


@pytest.fixture
def ends() -> Iterator[tuple[int, int, Strategy]]:
    theirs, stdin = os.pipe()
    step, wishes = os.pipe()
    yield stdin, step, Strategy(theirs, wishes)
    for fd in (theirs, step):
        os.close(fd)


async def fed(ends: tuple[int, int, Strategy], *, patience_s: float = 10.0) -> tuple[StepFeed, Strategy]:
    stdin, step, strategy = ends
    feed = StepFeed(patience_s=patience_s)
    feed.listen(step)
    await feed.attach(a_spec(channels=frozenset({Channel.ORDERS})), RUN, stdin)
    assert feed.attached.is_set()
    return feed, strategy


def an_update() -> OrderUpdate:
    order = Order(request=a_request(), status=OrderStatus.CANCELED, requested_at=NOON, updated_at=NOON)
    told = update_of(ev.OrderCanceled(client_order_id=a_request().client_order_id, at=NOON), order, NO_QTY)
    assert told is not None
    return told


async def test_a_line_waits_for_the_wish_and_is_done_with_at_the_next(ends: tuple[int, int, Strategy]) -> None:
    """However long the strategy takes."""
    feed, strategy = await fed(ends)
    async with asyncio.TaskGroup() as tasks:
        handing = tasks.create_task(feed.hand_over(b"one\n"))
        await asyncio.sleep(0.01)
        assert strategy.reads() == b""
        strategy.asks()
        await asyncio.sleep(0.01)
        assert strategy.reads() == b"one\n"
        assert not handing.done()
        strategy.asks()
    assert feed.counts(RUN).delivered == 1
    os.close(strategy.wishes)
    feed.detach(RUN)


async def test_order_lines_come_before_the_markets_next(ends: tuple[int, int, Strategy]) -> None:
    """To the strategy that they are of, where it wants them."""
    feed, strategy = await fed(ends)
    feed.tell(ALICE, an_update())
    feed.tell(BOB, an_update())
    strategy.asks()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.hand_over(b"one\n"))
        seen = b""
        while seen.count(b"\n") < 2:
            await asyncio.sleep(0.005)
            if piece := strategy.reads():
                seen += piece
                strategy.asks()
    assert seen.startswith(b"one\n")
    assert b'"event":"canceled"' in seen
    os.close(strategy.wishes)
    feed.detach(RUN)


async def test_a_strategy_that_has_ended_gets_nothing_more(ends: tuple[int, int, Strategy]) -> None:
    """Nobody waits for it."""
    feed, strategy = await fed(ends)
    os.close(strategy.wishes)
    await feed.hand_over(b"one\n")
    assert feed.is_over
    assert not feed.is_stopped
    assert feed.counts(RUN).delivered == 0
    feed.detach(RUN)
    feed.detach(RUN)


async def test_whoever_started_it_can_stop_it(ends: tuple[int, int, Strategy]) -> None:
    """In the middle of a line."""
    feed, strategy = await fed(ends)
    strategy.asks()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.hand_over(b"one\n"))
        await asyncio.sleep(0.01)
        feed.stop()
    assert feed.is_over
    assert feed.is_stopped
    os.close(strategy.wishes)
    feed.detach(RUN)


async def test_patience_with_one_line_has_an_end(ends: tuple[int, int, Strategy]) -> None:
    """A strategy that reads by its own means never asks."""
    feed, strategy = await fed(ends, patience_s=0.02)
    with pytest.raises(Stalled, match=r"within 0\.02 s"):
        await feed.hand_over(b"one\n")
    os.close(strategy.wishes)
    feed.detach(RUN)
