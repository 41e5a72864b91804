"""What waits for a slow run: nothing lost that may not be, nothing doubled, nothing cut, and bounded."""

import json
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deskd.market.buffer import CHUNK_BYTES, Buffer, Line, batch_of
from tests.market.given import line

LAG = 0.1


def a_buffer(*, bytes_max: int = 1_000, order_lines_max: int = 5, lag_max_s: float = LAG) -> Buffer:
    return Buffer(bytes_max=bytes_max, order_lines_max=order_lines_max, lag_max_s=lag_max_s)


def drain(buffer: Buffer, now: float = 1_000.0) -> list[str]:
    text = b""
    while buffer:
        chunk = buffer.take(now)
        buffer.sent(len(chunk))
        text += chunk
    return text.decode().splitlines()


def test_lines_leave_in_the_order_they_came() -> None:
    """Kinds do not overtake each other."""
    buffer = a_buffer()
    buffer.push(batch_of([line("1", key="t:A"), line("2"), line("3", key="t:A"), line("4", is_order=True)]))
    assert drain(buffer) == ["1", "2", "3", "4"]
    assert buffer.delivered == 4


def test_a_line_that_the_pipe_cut_goes_on_at_the_byte() -> None:
    """A reader never sees half a line followed by another."""
    buffer = a_buffer()
    buffer.push(batch_of([line("first"), line("second")]))
    taken = buffer.take(1_000.0)
    buffer.sent(8)
    assert taken[:8] + buffer.take(1_000.0) == b"first\nsecond\n"
    assert buffer.delivered == 1


def test_what_a_first_write_took_is_not_queued_again() -> None:
    """A write that went in part leaves the rest, from the byte on."""
    buffer = a_buffer()
    buffer.push(batch_of([line("first"), line("second")]), sent=9)
    assert buffer.take(1_000.0) == b"ond\n"
    assert buffer.delivered == 1


def test_who_expects_only_prices_gets_no_gap_line() -> None:
    """A plain script reads message["price"] of every line; what was dropped is counted all the same."""
    buffer = Buffer(bytes_max=30, order_lines_max=5, lag_max_s=LAG, tells_gaps=False)
    buffer.push(batch_of([line(f"trade-{n}", key="t:A") for n in range(5)]))
    assert drain(buffer) == ["trade-4"]
    assert buffer.dropped == 4
    assert not buffer


def test_over_the_bound_the_newest_of_each_symbol_stays_and_a_gap_is_told() -> None:
    """The gap line comes before what follows, with the count and the stamp of the first line dropped."""
    buffer = a_buffer(bytes_max=30)
    buffer.push(batch_of([line(f"trade-{n}", key="t:A") for n in range(5)]))
    gap, newest = drain(buffer)
    assert json.loads(gap) == {"type": "gap", "dropped": 4, "since": "2026-01-05T17:00:00Z"}
    assert newest == "trade-4"
    assert buffer.dropped == 4


def test_what_waited_too_long_is_dropped_only_where_a_newer_one_waits() -> None:
    """The lag is bounded, and no symbol goes silent for it."""
    buffer = a_buffer()
    buffer.push(batch_of([line("old", key="t:A", arrived=1.0), line("only", key="t:B", arrived=1.0)]))
    buffer.push(batch_of([line("late", key="t:A", arrived=2.0), line("new", key="t:A", arrived=2.01)]))
    assert drain(buffer, now=2.02)[1:] == ["only", "late", "new"]


def test_a_start_is_no_slowness() -> None:
    """What queued behind the history is not dropped for its age."""
    buffer = a_buffer()
    buffer.push(batch_of([line("1", key="t:A", arrived=1.0), line("2", key="t:A", arrived=1.0)]))
    buffer.push_history(batch_of([line("bar")]))
    assert drain(buffer, now=100.0) == ["bar", "1", "2"]


def test_history_does_not_use_up_the_bound() -> None:
    """A warm-up larger than the bound is delivered whole, and live lines have their own room."""
    buffer = a_buffer(bytes_max=100)
    buffer.push_history(batch_of([line("bar" * 50) for _ in range(10)]))
    buffer.push(batch_of([line("live" * 20)]))
    assert not buffer.overflowed
    assert len(drain(buffer)) == 11


def test_late_lines_do_not_use_up_the_bound_and_leave_it_as_it_was() -> None:
    """They fit whatever their number; once they are read the bound is what it was."""
    buffer = a_buffer(bytes_max=100)
    late = batch_of([line("bar" * 50) for _ in range(10)])
    buffer.allow(len(late.data))
    assert buffer.push(late)
    assert buffer.push(batch_of([line("live" * 20)]))
    assert len(drain(buffer)) == 11
    assert not buffer.push(batch_of([line("bar" * 10) for _ in range(10)]))


def test_more_order_lines_than_allowed_overflow() -> None:
    """From then on the buffer takes nothing more: its run must be stopped."""
    buffer = a_buffer(order_lines_max=2)
    assert buffer.push(batch_of([line("1", is_order=True), line("2", is_order=True)]))
    assert not buffer.push(batch_of([line("3", is_order=True)]))
    before = buffer.size
    assert not buffer.push(batch_of([line("4")]))
    assert buffer.size == before


def test_bars_beyond_the_bound_overflow() -> None:
    """What may not be dropped is still bounded."""
    assert not a_buffer(bytes_max=100).push(batch_of([line("bar" * 10) for _ in range(10)]))


def test_a_chunk_leaves_the_rest_open_to_conflation() -> None:
    """Only about a pipe's worth is offered at once."""
    buffer = a_buffer(bytes_max=10**6)
    buffer.push(batch_of([line("x" * 99) for _ in range(1_000)]))
    assert CHUNK_BYTES <= len(buffer.take(1_000.0)) < CHUNK_BYTES + 100


class BufferMachine(RuleBasedStateMachine):
    """Any mixture of lines, partial writes and time keeps the buffer's rules."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = a_buffer(bytes_max=300, order_lines_max=8)
        self.now = 1_000.0
        self.number = 0
        self.pushed: list[Line] = []
        self.arrived = b""
        self.last_batch = 0

    @precondition(lambda self: not self.buffer.overflowed)
    @rule(
        keys=st.lists(
            st.sampled_from(["t:A", "q:A", "t:B", "q:B", None, "order"]),
            min_size=1,
            max_size=12,
        ),
        padding=st.integers(0, 30),
        sent=st.none() | st.integers(0, 200),
    )
    def push(self, keys: list[str | None], padding: int, sent: int | None) -> None:
        lines = []
        for key in keys:
            is_order = key == "order"
            text = json.dumps([self.number, "." * padding])
            lines.append(line(text, key=None if is_order else key, arrived=self.now, is_order=is_order))
            self.number += 1
        if sent is None or self.buffer:
            self.buffer.push(batch_of(lines))
        else:  # the way of a feed whose pipe was free: it wrote, and the pipe took a part
            payload = b"".join(one.data for one in lines)[:sent]
            self.arrived += payload
            self.buffer.push(batch_of(lines), sent=len(payload))
        self.pushed += lines
        self.last_batch = sum(len(one.data) for one in lines)

    @rule(count=st.integers(0, 400))
    def write(self, count: int) -> None:
        chunk = self.buffer.take(self.now)[:count]
        self.buffer.sent(len(chunk))
        self.arrived += chunk

    @rule(seconds=st.sampled_from([0.01, 0.09, 0.2]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def stays_within_its_bound(self) -> None:
        largest: dict[str, int] = {}  # line of each key: what is left of it by conflation is no larger
        for one in self.pushed:
            if one.key is not None:
                largest[one.key] = max(largest.get(one.key, 0), len(one.data))
        assert self.buffer.size <= 300 + 300 // 4 + sum(largest.values()) + self.last_batch

    def teardown(self) -> None:
        while self.buffer:
            self.write(10**6)
        assert self.arrived.endswith(b"\n") or not self.arrived
        numbers: list[int] = []
        gaps = 0
        for text in self.arrived.splitlines():
            match json.loads(text):  # every line is whole
                case {"type": "gap", "dropped": dropped}:
                    gaps += dropped
                case [int(number), str()]:
                    numbers.append(number)
                case other:
                    raise AssertionError(other)
        assert numbers == sorted(numbers)
        assert max(Counter(numbers).values(), default=1) == 1
        missing = set(range(len(self.pushed))) - set(numbers)
        assert gaps == self.buffer.dropped
        assert gaps == len(missing)
        last = {one.key: number for number, one in enumerate(self.pushed)}
        for number in missing:
            key = self.pushed[number].key
            assert key is not None
            assert last[key] > number


TestBuffer = BufferMachine.TestCase
TestBuffer.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
