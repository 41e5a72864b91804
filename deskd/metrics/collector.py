"""Reads the desk at a scrape, a little at a time: whoever looks at the desk does not hold it up.

1. Nothing here changes the desk, and nothing waits for anybody.
2. Strategies are read one after the other, and whoever reads gives the loop its turn in between (`turn`).
3. Families are yielded one by one, so that a page can be written between turns, too.
"""

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

from deskd import __version__
from deskd.core.desk import MARKET, TRADES
from deskd.core.outages import DESK
from deskd.domain.job import JobName, JobOutcome
from deskd.domain.market import MarketClock
from deskd.domain.reasons import DenialReason, RefusalReason, RejectReason
from deskd.domain.run import ExitReason, RunStatus
from deskd.domain.strategy import StrategySpec
from deskd.market.figures import MarketFigures
from deskd.market.hub import Hub
from deskd.metrics import families as fam
from deskd.metrics.counts import ORDER_EVENTS, Counts
from deskd.metrics.families import Family
from deskd.metrics.loop_lag import LoopLag
from deskd.metrics.strategies import StrategyFigures, look
from deskd.ports import Clock, RequestFigures, Runs
from deskd.runtime import Runtime

STRATEGIES_MAX = 500  # with series of their own: a folder full of copies must not fill Prometheus's disk

type Turn = Callable[[], Awaitable[None]]  # lets the loop do other work, if it is time


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Whom to ask for figures."""

    broker: str
    started_at: datetime
    wall: Clock
    runtime: Runtime
    hub: Hub
    runs: Runs
    counts: Counts
    lag: LoopLag
    clock: Callable[[], MarketClock | None]
    market_stream_is_up: Callable[[], bool]
    market_silence_s: Callable[[], float | None]
    requests: Callable[[], RequestFigures]
    ledger_entries: Callable[[], int]
    shows_money: bool
    journal_lost: Callable[[], int]
    prints_left_out: Callable[[], int]
    notifications: Callable[[], Awaitable[Mapping[str, int] | None]]  # how many, by status; None: there are no routes

    async def strategies(self, turn: Turn) -> Sequence[StrategyFigures]:
        """Return the figures of the strategies, as they are one after the other."""
        desk, found = self.runtime.desk, []
        open_counts = Counter(order.request.strategy_id for order in desk.open_orders())
        for spec in self._specs():
            with contextlib.suppress(KeyError):  # its folder went away since the list was made
                count = open_counts[spec.strategy_id]
                found.append(look(spec, self.runs, desk, orders_open=count, shows_money=self.shows_money))
            await turn()
        return found

    def _specs(self) -> Sequence[StrategySpec]:
        specs = [one for one in self.runs.strategies() if isinstance(one, StrategySpec)]
        return sorted(specs, key=lambda one: one.strategy_id)[:STRATEGIES_MAX]

    def families(
        self, strategies: Sequence[StrategyFigures], notifications: Mapping[str, int] | None
    ) -> Iterator[Metric]:
        """Yield every family with what it has to say now; one without a sample is there, too: its name is known."""
        yield from self._desk()
        yield from self._day()
        for family, status in ((fam.NOTES_WAITING, "waiting"), (fam.NOTES_DEAD, "dead")):
            yield family.of(*_maybe(None if notifications is None else notifications.get(status, 0)))
        yield from self._orders()
        yield from self._broker()
        yield from self._streams()
        yield from _lines(self.hub.figures())
        yield fam.TO_STDIN.durations(self.hub.to_stdin)
        yield from self._runs()
        yield from _of_each(strategies)
        yield from ProcessCollector(registry=None).collect()

    def _desk(self) -> Iterator[Metric]:
        desk, now = self.runtime.desk, self.wall.now()
        yield fam.INFO.of(((__version__, self.broker), 1))
        yield fam.UPTIME.of(_one((now - self.started_at).total_seconds()))
        yield fam.READY.of(_one(self.runtime.refusal() is None))
        yield fam.KILLS.of(_one(len(desk.kills.in_force)))
        clock = self.clock()
        yield fam.MARKET_OPEN.of(*_maybe(None if clock is None else clock.is_open))
        yield fam.LOOP_LAG.durations(self.lag.lags)
        yield fam.INBOX.of(_one(self.runtime.inbox.qsize()))
        yield fam.COMMITS.durations(self.runtime.commits)
        yield fam.ENTRIES.of(_one(self.ledger_entries()))
        yield fam.JOURNAL_LOST.of(_one(self.journal_lost()))
        yield fam.PRINTS_LEFT_OUT.of(_one(self.prints_left_out()))
        yield fam.CASH.of(*_maybe(float(desk.portfolio.cash()) if self.shows_money else None))
        yield fam.EQUITY.of(*_maybe(float(desk.portfolio.equity()) if self.shows_money else None))

    def _day(self) -> Iterator[Metric]:
        jobs, now = self.runtime.desk.jobs, self.wall.now()
        ended = ((name, outcome) for name in JobName for outcome in JobOutcome)
        yield fam.JOB_RUNS.of(*((one, float(self.counts.jobs[one])) for one in ended))
        runs = ((name, run.outcome) for name, run in jobs.last.items())
        yield fam.JOB_FAILED.of(*(((name,), float(how is JobOutcome.FAILED)) for name, how in runs if how is not None))
        yield fam.JOB_DONE.of(*(((name,), (now - at).total_seconds()) for name, at in jobs.done_at.items()))

    def _orders(self) -> Iterator[Metric]:
        counts, runtime = self.counts, self.runtime
        yield _by(fam.ORDERS, counts.order_events, ORDER_EVENTS.values())
        yield fam.ORDERS_OPEN.of(_one(len(runtime.desk.open_ids)))
        yield _by(fam.DENIALS, counts.denials, DenialReason)
        yield _by(fam.REJECTIONS, counts.rejections, RejectReason)
        yield _by(fam.REFUSALS, Counter(runtime.refusals), RefusalReason)
        yield fam.TO_SEND.durations(runtime.sending.to_send)
        yield fam.TO_ANSWER.durations(runtime.sending.to_answer)
        yield fam.TO_FILL.durations(counts.to_fill)

    def _broker(self) -> Iterator[Metric]:
        desk, figures = self.runtime.desk, self.requests()
        yield fam.ORDERS_WAITING.of(_one(sum(figures.waiting.values())))
        yield fam.REQUESTS_MAX.of(*_maybe(figures.limit))
        yield fam.REQUESTS_USED.of(_one(figures.used))
        yield fam.REQUESTS_LEFT.of(*_maybe(None if figures.limit is None else max(0, figures.limit - figures.used)))
        yield fam.TURNED_AWAY.of(_one(figures.turned_away))
        yield fam.PAUSE.of(_one(figures.pause_s))
        told = desk.last_reconciled
        yield fam.RECONCILED.of(*_maybe(None if told is None else (self.wall.now() - told.at).total_seconds()))
        yield fam.DIFFERENCES.of(_one(len(desk.standing.open)))
        yield fam.DIFFERENCES_FOUND.of(_one(self.counts.differences_found))
        yield fam.FROZEN.of(_one(len(desk.standing.frozen)))

    def _streams(self) -> Iterator[Metric]:
        desk, counts, now = self.runtime.desk, self.counts, self.wall.monotonic()
        up = {TRADES: desk.is_trade_stream_up, MARKET: self.market_stream_is_up()}
        yield fam.STREAM_UP.of(*(((stream,), float(is_up)) for stream, is_up in up.items()))
        yield fam.STREAM_AGE.of(*(((s,), now - counts.changed_at[s]) for s in up if s in counts.changed_at))
        yield fam.SILENCE.of(*_maybe(self.market_silence_s()))
        yield _by(fam.OUTAGES, counts.outages, (*up, DESK))
        yield fam.OUTAGE_TIME.of(*(((stream,), counts.outage_s.get(stream, 0.0)) for stream in (*up, DESK)))
        yield fam.BARS_FETCHED.of(_one(counts.bars_fetched))
        yield fam.BARS_MISSING.of(_one(counts.bars_missing))

    def _runs(self) -> Iterator[Metric]:
        found = self.runs.strategies()
        statuses = Counter(
            str(self.runs.status(one.strategy_id)) if isinstance(one, StrategySpec) else "broken" for one in found
        )
        yield fam.RUNS_STARTED.of(_one(self.counts.runs_started))
        yield _by(fam.RUNS_ENDED, self.counts.runs_ended, ExitReason)
        yield _by(fam.STRATEGIES, statuses, (*RunStatus, "broken"))
        sound = sum(isinstance(one, StrategySpec) for one in found)
        yield fam.LEFT_OUT.of(_one(max(0, sound - STRATEGIES_MAX)))


def _lines(figures: MarketFigures) -> Iterator[Metric]:
    yield fam.MESSAGES.of(_one(figures.messages))
    yield fam.MALFORMED.of(_one(figures.malformed))
    yield fam.FLUSHES.of(_one(figures.flushes))
    yield fam.GATHERED.of(_one(figures.gathered))
    yield fam.DELIVERED.of(_one(figures.delivered))
    yield fam.DROPPED.of(_one(figures.dropped))
    yield fam.WAITING.of(_one(figures.waiting_bytes))


def _of_each(found: Sequence[StrategyFigures]) -> Iterator[Metric]:
    yield fam.STRATEGY.of(*(((one.strategy_id, one.member), 1.0) for one in found))
    yield fam.OPEN_OF_ONE.of(*(((one.strategy_id,), float(one.orders_open)) for one in found))
    yield fam.RUNNING.of(*(((one.strategy_id,), float(one.status is RunStatus.RUNNING)) for one in found))
    lives = [((one.strategy_id,), one.live) for one in found if one.live is not None]
    yield fam.CPU.of(*((who, live.cpu_seconds) for who, live in lives if live.cpu_seconds is not None))
    yield fam.MEMORY.of(*((who, float(live.memory_bytes)) for who, live in lives if live.memory_bytes is not None))
    yield fam.THROTTLED.of(*((who, live.throttled_share) for who, live in lives if live.throttled_share is not None))
    yield fam.LINES.of(*((who, float(live.lines_delivered)) for who, live in lives))
    yield fam.LINES_DROPPED.of(*((who, float(live.lines_dropped)) for who, live in lives))
    yield fam.PRINTS_DROPPED.of(*((who, float(live.prints_dropped_bytes)) for who, live in lives))
    yield fam.LAG.of(*((who, float(live.lines_waiting)) for who, live in lives))
    yield fam.STALLED.of(*((who, live.stalled_for.total_seconds() if live.stalled_for else 0.0) for who, live in lives))
    owned = [((one.strategy_id,), one, one.account) for one in found if one.account is not None]
    yield fam.POSITIONS.of(*((who, float(one.positions)) for who, one, _ in owned))
    yield fam.LONG.of(*((who, one.long) for who, one, _ in owned))
    yield fam.SHORT.of(*((who, one.short) for who, one, _ in owned))
    yield fam.EQUITY_OF_ONE.of(*((who, float(account.equity)) for who, _, account in owned))
    yield fam.REALIZED.of(*((who, float(account.realized_pnl)) for who, _, account in owned))
    yield fam.UNREALIZED.of(*((who, float(account.unrealized_pnl)) for who, _, account in owned))
    yield fam.DAY_PNL.of(*((who, float(account.day_pnl)) for who, _, account in owned))


def _one(value: float) -> tuple[tuple[str, ...], float]:
    return (), float(value)


def _maybe(value: float | None) -> list[tuple[tuple[str, ...], float]]:
    """Return the sample, or none where it is not known: absent is not zero."""
    return [] if value is None else [_one(value)]


def _by(family: Family, counts: Counter[str], words: Iterable[str]) -> Metric:
    """Return a sample for each word, zero or not: what never happened must be seen, to be seen to happen."""
    return family.of(*(((str(word),), float(counts[str(word)])) for word in words))
