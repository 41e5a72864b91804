"""The market's way to the runs: the hub and the stream, and what the two tell each other and the desk."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from deskd.alpaca.connection import Timing
from deskd.alpaca.endpoints import Keys
from deskd.alpaca.stream import MarketStream
from deskd.app.tasks import Tasks
from deskd.config import MarketSection
from deskd.core.desk import MARKET
from deskd.domain import events as ev
from deskd.domain.errors import WireError
from deskd.domain.ids import RunId, Symbol
from deskd.domain.market import MarketClock
from deskd.domain.run import ExitReason
from deskd.market.hub import Hub, Wanted
from deskd.ports import Clock, RawMarketMessage

SLOW = "it did not read its order lines: [market] order_lines_max={most} of them waited; read on while it works"

log = structlog.get_logger()


class History(Protocol):
    """What the broker knows of prices that the stream does not bring."""

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        """Return the latest bars, oldest first."""

    async def bars_between(
        self, symbols: Collection[Symbol], start: datetime, end: datetime
    ) -> Mapping[Symbol, Sequence[RawMarketMessage]]:
        """Return the minute bars of all *symbols*, oldest first."""

    async def latest_quotes(self, symbols: Collection[Symbol]) -> Sequence[RawMarketMessage]:
        """Return the newest quote of each symbol that has one, shaped as on the stream."""

    async def clock(self) -> MarketClock:
        """Return the market's clock."""


@dataclass(slots=True, kw_only=True)
class MarketFeed:
    """Hub and stream. What is wanted is subscribed, what was missed is made up for, who is too slow is ended."""

    settings: InitVar[MarketSection]
    url: InitVar[str]
    keys: InitVar[Keys]
    timing: InitVar[Timing]
    broker: History
    wall: Clock
    tasks: Tasks
    post: Callable[[ev.Event], Awaitable[None]]
    clock: Callable[[], Awaitable[MarketClock]]
    end_run: Callable[[RunId, ExitReason, str], Awaitable[None]]
    hub: Hub = field(init=False)
    stream: MarketStream = field(init=False)
    _slow: str = ""  # what is said of a run that does not read
    _lost_at: float | None = None  # monotonic; until what was missed is made up for

    def __post_init__(self, settings: MarketSection, url: str, keys: Keys, timing: Timing) -> None:
        self._slow = SLOW.format(most=settings.order_lines_max)
        self.hub = Hub(
            settings,
            clock=self.wall,
            bars=self.broker.bars,
            bars_between=self.broker.bars_between,
            market_now=self._market_now,
            on_wanted=self._on_wanted,
            on_slow=self._on_slow,
            on_halt=self._on_halt,
        )
        self.stream = MarketStream(
            url=url,
            keys=keys,
            on_messages=self.hub.on_messages,
            on_state=self._on_state,
            stale_after_s=settings.stale_after_s,
            timing=timing,
        )

    async def _market_now(self) -> datetime:
        return (await self.clock()).timestamp

    def _on_wanted(self, wanted: Wanted) -> None:
        self.stream.set_symbols(wanted)
        if lacking := self.hub.lacks_quotes():
            self.tasks.spawn(self._seed_quotes(lacking), "seed quotes")

    async def _seed_quotes(self, symbols: Collection[Symbol]) -> None:
        """Fetch the present quotes: a first trade must not find the gate without a price. Their true age counts."""
        try:
            market_now = (await self.broker.clock()).timestamp
            for quote in await self.broker.latest_quotes(symbols):
                quoted_at = datetime.fromisoformat(quote["t"])
                self.hub.seed(quote, self.wall.now() - max(market_now - quoted_at, timedelta(0)))
        except (
            OSError,
            WireError,
            LookupError,
            ValueError,
            TypeError,
        ) as error:  # whatever it answered: the stream will
            log.warning("quotes_not_seeded", symbols=sorted(symbols), error=str(error))

    def _on_halt(self, changed: ev.HaltChanged) -> None:
        self.tasks.spawn(self._tell_halt(changed), f"halt of {changed.symbol}")

    async def _tell_halt(self, changed: ev.HaltChanged) -> None:
        await self.post(changed)

    def _on_slow(self, run_id: RunId) -> None:
        self.tasks.spawn(self._end(run_id), f"end {run_id}")

    async def _end(self, run_id: RunId) -> None:
        await self.end_run(run_id, ExitReason.SLOW_CONSUMER, self._slow)

    async def _on_state(self, is_up: bool, why: str) -> None:  # noqa: FBT001  the stream's signature
        affected = self.hub.readers_of(self.stream.refused()) if is_up else self.hub.readers()
        at = self.wall.now()
        changed = ev.StreamChanged(stream=MARKET, is_up=is_up, why=why, at=at, affected=tuple(affected))
        await self.post(changed)
        if not is_up:
            self.hub.halts.on_gap()
            self._lost_at = self._lost_at or self.wall.monotonic()
        elif self._lost_at is not None:
            lost_at, self._lost_at = self._lost_at, None
            self.tasks.spawn(self._make_up(self.wall.monotonic() - lost_at), "late bars")

    async def _make_up(self, down_s: float) -> None:
        """Send the runs the bars that the market stream missed, and end its outage."""
        mended = await self.hub.late.mend(down_s=down_s)
        await self.post(
            ev.MarketResumed(
                affected=tuple(self.hub.readers()),
                bars_fetched=mended.fetched,
                bars_missing=mended.missing,
                at=self.wall.now(),
            )
        )
