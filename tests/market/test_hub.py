"""The hub: each run its own lines, in time, whatever the others do."""

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from deskd.domain.effects import OrderUpdate
from deskd.domain.ids import RunId, StrategyId, Symbol
from deskd.domain.order import Order, OrderStatus
from deskd.domain.strategy import Channel, History
from deskd.market.hub import GATHER_MAX_S
from tests.factories import AAPL, ALICE, NOON, SPY, a_request
from tests.market.given import (
    BOB_RUN,
    Desk,
    Run,
    a_bar,
    a_quote,
    a_spec,
    a_status,
    a_trade,
    stamp,
)

QUIET: dict[str, frozenset[Symbol]] = dict.fromkeys(["trades", "quotes", "bars", "statuses"], frozenset())


def counts(desk: Desk, run_id: RunId) -> tuple[int, int]:
    """Return how many lines the run was given and how many were conflated away."""
    seen = desk.hub.counts(run_id)
    return seen.delivered, seen.dropped


def an_update() -> OrderUpdate:
    order = Order(request=a_request(), status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON)
    return OrderUpdate(event="accepted", order=order, position_qty="0", timestamp="2026-01-05T17:00:00Z")


def prices(lines: list[dict[str, Any]]) -> list[float]:
    return [line["price"] for line in lines]


async def test_a_line_leaves_at_once_while_the_desk_is_idle() -> None:
    """No timer stands between the market and a strategy."""
    desk = Desk()
    run = await desk.run()
    desk.hub.on_messages([a_trade(150.25)])
    assert prices(run.read()) == [150.25]
    desk.hub.detach(run.run_id)
    run.close()


async def test_a_run_gets_its_symbols_and_channels_only() -> None:
    """What others want is none of its business."""
    desk = Desk()
    alice = await desk.run(Channel.TRADES, symbols=[AAPL])
    bob = await desk.run(Channel.QUOTES, Channel.BARS, symbols=[SPY], **BOB_RUN)
    desk.hub.on_messages(
        [message(symbol=symbol) for message in (a_trade, a_quote, a_bar, a_status) for symbol in ("AAPL", "SPY")]
    )
    assert [(line["type"], line["symbol"]) for line in alice.read()] == [("trade", "AAPL")]
    assert [(line["type"], line["symbol"]) for line in bob.read()] == [("quote", "SPY"), ("bar", "SPY")]
    await the_end(desk, alice, bob)


async def test_what_is_wanted_follows_the_runs() -> None:
    """The union is told when it changes, and only then; without runs nothing is wanted."""
    desk = Desk()
    assert desk.hub.wanted() == QUIET
    alice = await desk.run(Channel.TRADES, symbols=[AAPL])
    also = await desk.run(Channel.TRADES, symbols=[AAPL], **BOB_RUN)
    assert desk.wanted == [QUIET | {"trades": {AAPL}, "quotes": {AAPL}, "statuses": {AAPL}}]
    assert desk.hub.wanted() == desk.wanted[-1]
    desk.hub.detach(alice.run_id)
    desk.hub.detach(also.run_id)
    desk.hub.detach(also.run_id)
    assert desk.wanted[1:] == [QUIET]
    alice.close()
    also.close()


async def test_who_reads_and_who_lacks_is_known_by_strategy() -> None:
    """Whom an outage concerns, and whom a symbol that the broker refuses; the gate's own quotes count for their runs."""
    desk = Desk()
    assert desk.hub.readers() == []
    alice = await desk.run(Channel.TRADES, symbols=[AAPL])
    bob = await desk.run(Channel.ORDERS, symbols=[SPY], **BOB_RUN)
    assert desk.hub.readers() == [ALICE]
    assert desk.hub.readers_of([("trades", AAPL)]) == [ALICE]
    assert desk.hub.readers_of([("bars", AAPL)]) == []
    assert desk.hub.readers_of([("quotes", SPY), ("trades", AAPL)]) == [ALICE, "bob"]
    await the_end(desk, alice, bob)


async def test_every_quote_is_kept_for_the_gate() -> None:
    """Also where no strategy reads quotes; its age counts from its arrival here."""
    desk = Desk()
    run = await desk.run(Channel.BARS)
    desk.clock.seconds += 5
    desk.hub.on_messages([a_quote(150.25, 150.26), a_trade(150.255)])
    quote = desk.hub.quote(AAPL)
    assert quote is not None
    assert quote.received_at == desk.clock.now()
    assert desk.hub.mark(AAPL) == desk.hub.marks()[AAPL]
    assert desk.hub.quote(SPY) is None
    assert run.read() == []
    await the_end(desk, run)


async def test_under_load_lines_are_gathered_and_a_strategy_wakes_once_for_many() -> None:
    """What comes before the runs had time for the last lines goes together, in order, after a few milliseconds at most."""
    desk = Desk()
    run = await desk.run()
    desk.hub.on_messages([a_trade(1.0)])
    for price in (2.0, 3.0, 4.0):
        desk.hub.on_messages([a_trade(price)])
    assert prices(run.read()) == [1.0]
    await asyncio.sleep(GATHER_MAX_S * 4)
    assert prices(run.read()) == [2.0, 3.0, 4.0]
    await the_end(desk, run)


async def test_a_run_that_never_reads_costs_the_others_nothing() -> None:
    """Its pipe and its buffer fill, its prices are conflated; the others get every line."""
    desk = Desk(feed_buffer_bytes=65_536)
    stuck = await desk.run(Channel.TRADES, Channel.QUOTES, Channel.BARS, Channel.STATUS)
    other = await desk.run(Channel.TRADES, **BOB_RUN)
    found: list[float] = []
    for n in range(1, 2_001):
        desk.hub.on_messages([a_trade(float(n)), a_quote(n, n + 1)])
        await asyncio.sleep(0)
        found += prices(other.read())
    desk.hub.on_messages([a_bar(7.0)])
    while len(found) < 2_000:
        await asyncio.sleep(GATHER_MAX_S)
        found += prices(other.read())
    assert found == [float(n) for n in range(1, 2_001)]
    assert counts(desk, other.run_id) == (2_000, 0)

    late: list[dict[str, Any]] = []
    while not late or late[-1]["type"] != "bar":
        await asyncio.sleep(0)
        late += stuck.read()
    trades = prices([line for line in late if line["type"] == "trade"])
    quotes = [line["bid"] for line in late if line["type"] == "quote"]
    gaps = [line["dropped"] for line in late if line["type"] == "gap"]
    assert trades == sorted(trades)
    assert trades[-1] == 2_000
    assert quotes[-1] == 2_000
    assert len(gaps) == 1
    assert len(trades) + len(quotes) + gaps[0] == 4_000
    assert counts(desk, stuck.run_id) == (len(late), gaps[0])
    assert desk.slow == []
    await the_end(desk, stuck, other)


async def test_a_run_that_leaves_its_order_lines_unread_is_slow() -> None:
    """They are never dropped, so their bound ends the run: its supervisor is told once."""
    desk = Desk(order_lines_max=10)
    run = await desk.run(Channel.ORDERS)
    for _ in range(2_000):
        desk.hub.tell(ALICE, an_update())
    assert desk.slow == [run.run_id]
    await the_end(desk, run)


async def test_order_lines_go_to_their_strategy_if_it_wants_them() -> None:
    """Nobody hears of another's orders."""
    desk = Desk()
    alice = await desk.run(Channel.ORDERS)
    bob = await desk.run(Channel.TRADES, **BOB_RUN)
    desk.hub.tell(ALICE, an_update())
    desk.hub.tell(StrategyId("bob"), an_update())
    desk.hub.tell(StrategyId("nobody"), an_update())
    assert [line["event"] for line in alice.read()] == ["accepted"]
    assert bob.read() == []
    await the_end(desk, alice, bob)


async def test_history_comes_first_and_live_lines_queue_behind_it() -> None:
    """Bars of all symbols in the order of time, marked; then what the market said meanwhile."""
    desk = Desk()
    desk.bars = {
        "AAPL": [a_bar(1.0, t=stamp(0)), a_bar(3.0, t=stamp(120)), {"t": "garbage"}],
        "SPY": [a_bar(2.0, "SPY", t=stamp(60))],
    }
    desk.bars_come.clear()
    history = History(bars=3, timeframe="1Min")
    async with asyncio.TaskGroup() as group:
        attaching = group.create_task(desk.run(symbols=[AAPL, SPY], history=history))
        await desk.bars_asked.wait()
        desk.hub.on_messages([a_trade(9.0)])
        desk.clock.seconds += 60
        desk.hub.on_messages([a_trade(10.0)])
        desk.bars_come.set()
    run = attaching.result()
    lines = run.read()
    assert prices(lines) == [1.0, 2.0, 3.0, 9.0, 10.0]
    assert [line.get("history", False) for line in lines] == [True, True, True, False, False]
    assert desk.hub.malformed == 1
    await the_end(desk, run)


async def test_a_warm_up_larger_than_the_buffer_arrives_whole() -> None:
    """History is asked for: it is neither conflated nor a reason to stop the run."""
    desk = Desk(feed_buffer_bytes=65_536)
    desk.bars = {"AAPL": [a_bar(n, t=stamp(n)) for n in range(1, 2_001)]}
    run = await desk.run(history=History(bars=2_000, timeframe="1Min"))
    found: list[float] = []
    while len(found) < 2_000:
        await asyncio.sleep(0)
        found += prices(run.read())
    assert found == list(range(1, 2_001))
    assert desk.slow == []
    await the_end(desk, run)


async def test_without_its_history_a_run_is_not_fed() -> None:
    """The broker's error reaches the supervisor, the input is closed, and nothing stays subscribed."""
    desk = Desk()
    run = Run()
    spec = a_spec(history=History(bars=1, timeframe="1Min"))
    with pytest.RaisesGroup(TimeoutError):
        await desk.hub.attach(spec, run.run_id, run.stdin)
    assert await run.read_all() == []
    assert desk.hub.wanted() == QUIET
    run.close()


async def test_detach_delivers_what_was_gathered_then_ends_the_input() -> None:
    """A strategy that is stopped has read all that came before."""
    desk = Desk()
    run = await desk.run()
    for price in (1.0, 2.0, 3.0):
        desk.hub.on_messages([a_trade(price)])
    desk.hub.detach(run.run_id)
    assert prices(await run.read_all()) == [1.0, 2.0, 3.0]
    assert counts(desk, run.run_id) == (0, 0)
    desk.hub.on_messages([a_trade(4.0)])
    run.close()


async def test_a_run_that_closed_its_input_still_has_its_quotes() -> None:
    """It may trade on without reading, and the gate needs them, until its supervisor detaches it."""
    desk = Desk()
    run = await desk.run()
    run.close()
    desk.hub.on_messages([a_trade(1.0)])
    desk.hub.on_messages([a_trade(2.0)])
    assert desk.hub.wanted()["quotes"] == {AAPL}
    desk.hub.detach(run.run_id)
    assert desk.hub.wanted() == QUIET


async def test_a_lying_market_harms_nobody() -> None:
    """A message that is no such thing is counted and left out; the rest of its frame is delivered."""
    desk = Desk()
    run = await desk.run(Channel.TRADES, Channel.QUOTES, Channel.BARS, Channel.STATUS)
    nonsense: list[dict[str, Any]] = [
        {},
        {"T": "t"},
        {"T": "t", "S": ["AAPL"], "p": 1},
        a_trade(float("nan")),
        a_trade(p=None),
        a_trade(t="yesterday"),
        a_quote(bid=-1, ask=0),
        a_quote(bp="150"),
        a_bar(c=None),
        {"T": "s", "S": "AAPL", "t": stamp()},
    ]
    desk.hub.on_messages([*nonsense, {"T": "c", "S": "AAPL"}, a_quote(bid=0, ask=0), a_trade(150.25)])
    assert prices(run.read()) == [150.25]
    assert desk.hub.malformed == len(nonsense)
    await the_end(desk, run)


async def test_a_symbol_stays_halted_through_news_about_it() -> None:
    """Only a resume ends a halt."""
    desk = Desk()
    run = await desk.run(Channel.STATUS)
    desk.hub.on_messages([a_status("H"), a_status("Q", "IPOQ"), a_status("T", ""), a_status("E", "1")])
    assert [(line["halted"], line["reason"]) for line in run.read()] == [
        (True, "LUDP"),
        (True, "IPOQ"),
        (False, "T"),
        (False, "1"),
    ]
    await the_end(desk, run)


async def test_the_more_runs_wake_the_longer_lines_gather() -> None:
    """Two hundred strategies have a few milliseconds for the last lines before the next; no line waits for longer."""
    desk = Desk()
    runs = [await desk.run(run_id=f"r{n}", strategy_id=StrategyId(f"s{n}")) for n in range(64)]
    desk.hub.on_messages([a_trade(1.0)])
    desk.clock.seconds += GATHER_MAX_S / 10
    desk.hub.on_messages([a_trade(2.0)])
    await asyncio.sleep(0)
    assert prices(runs[0].read()) == [1.0]
    desk.clock.seconds += GATHER_MAX_S
    desk.hub.on_messages([a_trade(3.0)])
    await asyncio.sleep(GATHER_MAX_S * 2)
    assert prices(runs[0].read()) == [2.0, 3.0]
    await the_end(desk, *runs)


async def test_many_runs_are_written_in_slices_each_once() -> None:
    """A flush lets the loop do other work between its slices, and all runs are as often in the first: each begins anew."""
    desk = Desk()
    names = [StrategyId(f"s{n}") for n in range(150)]
    runs = [await desk.run(run_id=name, strategy_id=name) for name in names]
    firsts = list[frozenset[str]]()
    for flush in range(1, len(runs) + 1):
        desk.hub.on_messages([a_trade(1.0)])
        firsts.append(frozenset(run.run_id for run in runs if run.read()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert {counts(desk, RunId(name)) for name in names} == {(flush, 0)}
        assert all(len(run.read()) == (run.run_id not in firsts[-1]) for run in runs)
        desk.clock.seconds += GATHER_MAX_S
    assert {len(first) for first in firsts} == {64}
    assert all(before != after for before, after in pairwise(firsts))
    assert set(Counter(run_id for first in firsts for run_id in first).values()) == {64}
    await the_end(desk, *runs)


async def the_end(desk: Desk, *runs: Run) -> None:
    for run in runs:
        desk.hub.detach(run.run_id)
        await run.read_all()
        run.close()
    await asyncio.sleep(GATHER_MAX_S * 2)  # timers of a flush that has nothing left to do


async def test_what_the_desk_itself_watches_is_subscribed_without_any_run() -> None:
    """Exits of a strategy that is stopped rest on quotes and halts, too; and nobody gets lines of them."""
    desk = Desk()
    desk.hub.watch({AAPL})
    assert desk.hub.wanted() == QUIET | {"quotes": frozenset({AAPL}), "statuses": frozenset({AAPL})}
    run = await desk.run(Channel.TRADES, symbols=[SPY])
    assert desk.hub.wanted()["quotes"] == {AAPL, SPY}
    desk.hub.on_messages([a_quote(150.0, 150.1)])
    assert desk.hub.quote(AAPL) is not None
    assert run.read() == []
    desk.hub.watch(())
    assert desk.hub.wanted()["quotes"] == {SPY}
    desk.hub.detach(run.run_id)
    run.close()


async def test_a_run_that_wants_status_hears_where_the_day_is_and_of_changes_once() -> None:
    """Who did not ask for lines without a price gets none."""
    desk = Desk()
    run = await desk.run(Channel.STATUS)
    plain = await desk.run(Channel.TRADES, **BOB_RUN)
    for phase in ("open", "open", "closing", "close"):
        desk.hub.tell_session("2026-01-05T17:00:00.000Z", "" if phase == "close" else "x", lambda _, p=phase: p)  # type: ignore[misc]
    assert [(line["type"], line["event"], line.get("closes_at")) for line in run.read()] == [
        ("session", "open", "x"),
        ("session", "closing", "x"),
        ("session", "close", None),
    ]
    assert plain.read() == []
    for one in (run, plain):
        desk.hub.detach(one.run_id)
        one.close()


async def test_what_became_of_the_market_is_counted() -> None:
    """Messages, lines and flushes are told, those of runs that are gone included; and how long a line took."""
    desk = Desk()
    alice = await desk.run(Channel.TRADES)
    bob = await desk.run(Channel.TRADES, **BOB_RUN)
    desk.hub.on_messages([a_trade(1), a_trade(2), {"T": "t", "S": "AAPL"}])
    await the_end(desk, alice, bob)
    told = desk.hub.figures()
    assert (told.messages, told.malformed, told.flushes, told.gathered) == (3, 1, 1, 2)
    assert (told.delivered, told.dropped, told.waiting_bytes) == (4, 0, 0)
    assert desk.hub.to_stdin.count == 2  # once for each write
