"""One run's pipe: written without waiting, continued at the byte, closed once."""

import asyncio
import json
import os
from collections.abc import Iterator

import pytest

from deskd.domain.ids import RunId
from deskd.domain.strategy import Channel, Delivery
from deskd.market.buffer import Buffer, batch_of
from deskd.market.feed import PIPE_BYTES, Feed, set_pipe_size
from tests.market.given import HandClock, Run, a_spec, line


@pytest.fixture
def run() -> Iterator[Run]:
    run = Run()
    yield run
    run.close()


def a_feed(run: Run, *, order_lines_max: int = 100) -> tuple[Feed, list[RunId]]:
    os.set_blocking(run.stdin, False)
    set_pipe_size(run.stdin)
    slow: list[RunId] = []
    buffer = Buffer(bytes_max=100_000, order_lines_max=order_lines_max, lag_max_s=10.0)
    feed = Feed(a_spec(Channel.TRADES), run.run_id, run.stdin, buffer=buffer, clock=HandClock(), on_slow=slow.append)
    return feed, slow


def send(feed: Feed, *numbers: int, padding: int = 0, is_order: bool = False) -> None:
    lines = [line(json.dumps({"n": n, "pad": "." * padding}), is_order=is_order) for n in numbers]
    feed.write(batch_of(lines))


async def test_lines_wait_for_the_start(run: Run) -> None:
    """History comes first, whatever the market sends meanwhile."""
    feed, _ = a_feed(run)
    send(feed, 1)
    assert run.read() == []
    feed.start(batch_of([line('{"n": 0}')]))
    assert [m["n"] for m in run.read()] == [0, 1]
    feed.close()


async def test_a_full_pipe_is_continued_where_it_stopped(run: Run) -> None:
    """What a run reads late is the same as what it would have read in time."""
    feed, _ = a_feed(run)
    feed.start(batch_of([]))
    for first in range(0, 300, 3):
        send(feed, first, first + 1, first + 2, padding=199)
    found: list[dict[str, int]] = []
    while len(found) < 300:
        found += run.read()
        await asyncio.sleep(0)
    assert [m["n"] for m in found] == list(range(300))
    assert feed.delivered == 300
    feed.close()


async def test_after_a_full_pipe_the_feed_writes_at_once_again(run: Run) -> None:
    """Nothing lingers: the loop is left alone when all is delivered."""
    feed, _ = a_feed(run)
    feed.start(batch_of([]))
    send(feed, *range(200), padding=199)
    found: list[dict[str, int]] = []
    while len(found) < 200:
        found += run.read()
        await asyncio.sleep(0)
    send(feed, 200)
    assert [m["n"] for m in run.read()] == [200]
    assert not asyncio.get_running_loop().remove_writer(run.stdin)
    feed.close()


async def test_a_run_that_reads_no_order_lines_is_reported_once(run: Run) -> None:
    """slow_consumer is said once, and the memory stays bounded."""
    feed, slow = a_feed(run, order_lines_max=10)
    feed.start(batch_of([]))
    for n in range(1_000):
        send(feed, n, padding=199, is_order=True)
    assert slow == [run.run_id]
    feed.close()


async def test_a_run_that_closed_its_input_is_left_alone(run: Run) -> None:
    """A broken pipe ends the feed, not the desk; the descriptor is closed and never written again."""
    feed, slow = a_feed(run)
    feed.start(batch_of([]))
    run.close()
    send(feed, 1)
    assert not feed.is_open
    send(feed, 2)
    feed.close()
    assert slow == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(run.stdin)


async def test_a_run_that_dies_behind_a_full_pipe_is_noticed(run: Run) -> None:
    """The loop's watch on the pipe ends with the run."""
    feed, _ = a_feed(run)
    feed.start(batch_of([]))
    send(feed, *range(300), padding=199)
    run.close()
    while feed.is_open:  # noqa: ASYNC110  the feed has no event to await: nobody needs one
        await asyncio.sleep(0)
    feed.close()
    assert not feed.is_open


async def test_the_end_of_input_comes_after_what_fits(run: Run) -> None:
    """A run that is stopped reads what was on its way, then the end."""
    feed, _ = a_feed(run)
    feed.start(batch_of([]))
    send(feed, 1, 2)
    feed.close()
    feed.close()
    assert [m["n"] for m in await run.read_all()] == [1, 2]


async def test_the_pipe_is_kept_small(run: Run) -> None:
    """What lies in a pipe cannot be conflated any more."""
    feed, _ = a_feed(run)
    feed.start(batch_of([]))
    send(feed, *range(400), padding=199)
    in_the_pipe = os.read(run.stdout, 10**6)
    assert len(in_the_pipe) <= PIPE_BYTES
    feed.close()


def test_a_descriptor_that_is_no_pipe_is_taken_as_it_is() -> None:
    """A laptop's plain file or terminal does as well."""
    with open(os.devnull, "wb") as null:  # noqa: PTH123  a descriptor is what is meant
        set_pipe_size(null.fileno())
        assert null.write(b"a line") == 6


async def test_late_lines_stop_no_run(run: Run) -> None:
    """More than the pipe and the buffer take, and the run is not called slow; afterwards its bound is what it was."""
    feed, slow = a_feed(run)
    feed.start(batch_of([]))
    feed.write_late(batch_of([line(json.dumps({"n": n, "pad": "." * 199})) for n in range(1_000)]))
    assert slow == []
    found: list[dict[str, int]] = []
    while len(found) < 1_000:
        found += run.read()
        await asyncio.sleep(0)
    assert [m["n"] for m in found] == list(range(1_000))
    send(feed, *range(1_000), padding=199)
    assert slow == [run.run_id]
    feed.close()


async def test_what_the_run_has_not_read_is_known_by_its_bytes(run: Run) -> None:
    """The desk sees by itself what lies in the pipe and what waits for room; a closed feed has nothing in it."""
    feed, _ = a_feed(run)
    send(feed, 1)
    assert feed.delivery() == Delivery()  # the warm-up is not out: what waits is not the run's fault
    feed.start(batch_of([]))
    one = feed.delivery()
    assert (one.delivered, one.buffered, one.unread_bytes) == (1, 0, one.sent_bytes)
    assert run.read() == [{"n": 1, "pad": ""}]
    assert feed.delivery().unread_bytes == 0
    send(feed, *range(100, 300), padding=179)
    seen = feed.delivery()
    assert seen.unread_bytes == PIPE_BYTES
    assert seen.delivered + seen.buffered >= 200
    feed.close()
    assert feed.delivery().unread_bytes == 0
