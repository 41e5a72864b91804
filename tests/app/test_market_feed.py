"""Hub and stream together: what is wanted has a price, what an outage cost is made up for, who is too slow is ended."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from deskd.alpaca.connection import TIMING
from deskd.alpaca.endpoints import Keys
from deskd.app.market_feed import MarketFeed
from deskd.app.tasks import Tasks
from deskd.config import MarketSection
from deskd.domain import events as ev
from deskd.domain.ids import RunId, Symbol
from deskd.domain.market import MarketClock
from deskd.domain.run import ExitReason
from deskd.ports import RawMarketMessage
from tests.factories import AAPL, NOON
from tests.market.given import HandClock, a_quote, a_status

MARKET_NOW = NOON - timedelta(minutes=15)  # a feed that is late, or a tape


@dataclass
class OldPrices:
    """A broker that is asked for what the stream does not bring."""

    fails: bool = False
    asked: list[list[Symbol]] = field(default_factory=list)

    async def clock(self) -> MarketClock:
        day = timedelta(days=1)
        return MarketClock(timestamp=MARKET_NOW, is_open=True, next_open=NOON + day, next_close=NOON + day)

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        return []

    async def bars_between(
        self, symbols: Collection[Symbol], start: datetime, end: datetime
    ) -> Mapping[Symbol, Sequence[RawMarketMessage]]:
        return {}

    async def latest_quotes(self, symbols: Collection[Symbol]) -> Sequence[RawMarketMessage]:
        self.asked.append(sorted(symbols))
        if self.fails:
            raise ConnectionError("refused")
        stamp = (MARKET_NOW - timedelta(seconds=3)).isoformat()
        return [{"T": "q", "S": AAPL, "bp": 100, "ap": 101, "bs": 1, "as": 1, "t": stamp}]


@dataclass
class Fed:
    """A feed, and all that it said to whom."""

    feed: MarketFeed
    broker: OldPrices
    posted: list[ev.Event]
    ended: list[tuple[Any, ...]]
    clock: HandClock


@asynccontextmanager
async def a_feed(**broker: Any) -> AsyncIterator[Fed]:
    """Yield a feed; at the end whatever it began is done."""
    posted: list[ev.Event] = []
    ended: list[tuple[Any, ...]] = []
    clock, prices = HandClock(), OldPrices(**broker)

    async def post(event: ev.Event) -> None:
        posted.append(event)

    async def end_run(run_id: RunId, reason: ExitReason, detail: str) -> None:
        ended.append((run_id, reason, detail))

    async with asyncio.TaskGroup() as group:
        feed = MarketFeed(
            settings=MarketSection(),
            url="ws://127.0.0.1:9",
            keys=Keys(key_id="PK", secret="s"),
            timing=TIMING,
            broker=prices,
            wall=clock,
            tasks=Tasks(group),
            post=post,
            clock=prices.clock,
            end_run=end_run,
        )
        yield Fed(feed, prices, posted, ended, clock)


async def test_what_is_wanted_for_the_first_time_has_a_price_before_the_stream_says_one() -> None:
    """A first order finds the gate with a quote, as old as it is by the market's own clock; no run gets a line of it."""
    async with a_feed() as fed:
        fed.feed.hub.watch({AAPL})
    assert fed.broker.asked == [[AAPL]]
    quote = fed.feed.hub.quote(AAPL)
    assert quote is not None
    assert quote.received_at == NOON - timedelta(seconds=3)


async def test_a_broker_that_has_no_price_leaves_that_to_the_stream() -> None:
    """It is said, and nothing ends."""
    with capture_logs() as told:
        async with a_feed(fails=True) as fed:
            fed.feed.hub.watch({AAPL})
    assert fed.feed.hub.quote(AAPL) is None
    assert [(line["event"], line["symbols"]) for line in told] == [("quotes_not_seeded", [AAPL])]


async def test_a_run_that_does_not_read_its_order_lines_is_ended() -> None:
    """As what it is: the member finds the reason in its exit."""
    async with a_feed() as fed:
        fed.feed._on_slow(RunId("run-1"))
    assert [one[:2] for one in fed.ended] == [("run-1", ExitReason.SLOW_CONSUMER)]
    assert f"[market] order_lines_max={MarketSection().order_lines_max} of them waited" in fed.ended[0][2]


async def test_an_outage_of_the_stream_ends_when_what_was_missed_is_made_up_for() -> None:
    """Down, up, resumed: in this order, however often it was said to be down; the first word of up ends nothing."""
    async with a_feed() as fed:
        await fed.feed._on_state(True, "listening")
        await fed.feed._on_state(False, "it broke")
        await fed.feed._on_state(False, "refused")
        fed.clock.seconds += 90
        await fed.feed._on_state(True, "listening")
    told = [(type(event).__name__, getattr(event, "is_up", None)) for event in fed.posted]
    assert told == [
        ("StreamChanged", True),
        ("StreamChanged", False),
        ("StreamChanged", False),
        ("StreamChanged", True),
        ("MarketResumed", None),
    ]


async def test_a_halt_goes_to_the_ledger_and_a_gap_leaves_nobody_sure() -> None:
    """What the market says is a fact; what it may have said while the stream was away is unknown until the next quote."""
    async with a_feed() as fed:
        hub = fed.feed.hub
        hub.watch({AAPL})
        hub.on_messages([a_quote(150.0, 150.1)])
        assert hub.is_halted(AAPL) is False
        await fed.feed._on_state(False, "dropped")
        unsure = hub.is_halted(AAPL)
        hub.on_messages([a_quote(150.0, 150.1)])
        assert (unsure, hub.is_halted(AAPL)) == (None, False)
        hub.on_messages([a_status("H")])
    [halted] = [event for event in fed.posted if isinstance(event, ev.HaltChanged)]
    assert (halted.symbol, halted.is_halted, halted.why) == (AAPL, True, "LUDP")
    async with a_feed() as again:  # the desk's next start has it from the ledger
        again.feed.hub.halts.remember([halted])
        again.feed.hub.on_messages([a_quote(150.0, 150.1)])
        assert again.feed.hub.is_halted(AAPL) is True
