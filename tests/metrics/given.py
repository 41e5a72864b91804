"""A desk to be measured: real runtime, real hub, and runs that stand still."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from deskd.config import MarketSection
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import OrderUpdate
from deskd.domain.ids import StrategyId, Symbol
from deskd.domain.market import Quote
from deskd.domain.money import Price
from deskd.domain.order import Order
from deskd.market.hub import Hub
from deskd.metrics.collector import Collector
from deskd.metrics.counts import Counts
from deskd.metrics.loop_lag import LoopLag
from deskd.metrics.page import MetricsPage
from deskd.ports import Clock, RequestFigures
from deskd.runtime import Runtime
from tests.control.a_running_desk import FakeRuns
from tests.factories import AAPL, NOON, a_desk, a_quote, price
from tests.market.given import HandClock


class NoBroker:
    """A broker that nobody asks."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"somebody asked the broker for {name}")


class NoLedger:
    async def append(self, facts: Sequence[ev.Fact], statements: Sequence[Any]) -> None:
        raise AssertionError("nothing is recorded here")


@dataclass
class Watched:
    """All that a page of figures is read from."""

    clock: Clock = field(default_factory=HandClock)
    desk: Desk = field(default_factory=a_desk)
    runs: FakeRuns = field(default_factory=lambda: FakeRuns(Path("/logs")))
    shows_money: bool = True
    listen: str = "127.0.0.1:0"
    requests: RequestFigures = field(
        default_factory=lambda: RequestFigures(
            limit=200, used=30, reserve=20, waiting={"alice": 2, "bob": 1}, turned_away=4, pause_s=0.0
        )
    )
    market_silence_s: float | None = None
    told: Mapping[str, int] | None = None  # notifications by status; None: there are no routes
    runtime: Runtime = field(init=False)
    hub: Hub = field(init=False)
    counts: Counts = field(init=False)
    lag: LoopLag = field(init=False)
    page: MetricsPage = field(init=False)

    def __post_init__(self) -> None:
        self.hub = _a_hub(self.clock)
        self.runtime = Runtime(
            desk=self.desk,
            ledger=NoLedger(),
            broker=NoBroker(),
            take_snapshot=_no_snapshot,
            quotes=self,
            marks=self,
            tells=self,
            wall=self.clock,
            doubt_check=timedelta(seconds=60),
            reconcile_every=timedelta(seconds=60),
            clock_age_max=timedelta(0),
            closing=None,
        )
        self.counts = Counts(orders=self.desk.orders, wall=self.clock)
        self.lag = LoopLag(clock=self.clock)
        collector = Collector(
            broker="embedded",
            started_at=NOON,
            wall=self.clock,
            runtime=self.runtime,
            hub=self.hub,
            runs=self.runs,
            counts=self.counts,
            lag=self.lag,
            clock=lambda: None,
            market_stream_is_up=lambda: True,
            market_silence_s=lambda: self.market_silence_s,
            requests=lambda: self.requests,
            ledger_entries=lambda: 7,
            shows_money=self.shows_money,
            journal_lost=lambda: 3,
            prints_left_out=lambda: 4,
            notifications=self.notifications,
        )
        self.page = MetricsPage(listen=self.listen, collector=collector, refusal=self.runtime.refusal, clock=self.clock)

    async def notifications(self) -> Mapping[str, int] | None:
        return self.told

    def tell(self, strategy_id: StrategyId, update: OrderUpdate) -> None:
        raise AssertionError("nobody is told anything here")

    def quote(self, symbol: Symbol) -> Quote | None:
        return a_quote()

    def is_halted(self, symbol: Symbol) -> bool:
        return False

    def marks(self) -> Mapping[Symbol, Price]:
        return {AAPL: price(101)}


async def _nothing(*_: Any) -> Any:
    raise AssertionError("nothing is fetched here")


def _a_hub(clock: Clock) -> Hub:
    return Hub(
        MarketSection(),
        clock=clock,
        bars=_nothing,
        bars_between=_nothing,
        market_now=_nothing,
        on_wanted=lambda _: None,
        on_slow=lambda _: None,
    )


async def _no_snapshot(orders: Sequence[Order], count: Callable[[], int], why: str) -> ev.BrokerSnapshot:
    raise AssertionError("nobody looks at the broker here")
