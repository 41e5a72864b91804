"""The daemon: every room built once, started in order, stopped in order.

Start = recovery: ledger -> replay -> broker -> doors -> reconcile -> runs. A crash takes the same road.
Stop: app/stopping.py. Whoever asks a desk that still starts gets its end at once: no strategy runs before `trade`.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Any

import structlog

from deskd import __version__
from deskd import log as logs
from deskd.alerts.office import Office
from deskd.alerts.outbox import NAME as OUTBOX
from deskd.alerts.routes import plan_of, read_routes
from deskd.alpaca.account_switch import AccountSwitch
from deskd.alpaca.broker import AlpacaBroker, open_broker
from deskd.alpaca.budget import UNLIMITED
from deskd.alpaca.endpoints import Endpoints, Keys, embedded, endpoints
from deskd.alpaca.stream import MarketStream
from deskd.alpaca.trading_stream import TradeStream
from deskd.api import tokens
from deskd.api.endpoint import Api
from deskd.app.bounds import allocation_of, lane_rules_of, limits_in_words, limits_of, schedule_within, timing_of
from deskd.app.day_jobs import day_jobs, reports_dir
from deskd.app.desk_status import Moment, equity_of, status
from deskd.app.disk import DiskGuard, disk_told
from deskd.app.exit_watch import ExitWatch, rules_of
from deskd.app.fact_log import FactLog
from deskd.app.kill_keeper import KillKeeper
from deskd.app.kill_triggers import KillTriggers
from deskd.app.kill_watch import KillWatch, breaker_rules_of
from deskd.app.kill_watch import rules_of as automatic_rules_of
from deskd.app.looks import Looks
from deskd.app.market_watch import MarketWatch
from deskd.app.opening import Begun, begun, db_path
from deskd.app.reloading import Misfits, Reloading
from deskd.app.root_keeper import RootKeeper
from deskd.app.session_watch import SessionWatch
from deskd.app.snapshots import Snapshots
from deskd.app.stopping import CLOSE_S, Stopping
from deskd.app.suspender import Suspender
from deskd.config import Config
from deskd.config.keys import BrokerKeys
from deskd.config.load import Loaded
from deskd.control import Control
from deskd.control.building import BuildRoute
from deskd.control.deploying import DeployRoutes
from deskd.control.events import EventRoutes
from deskd.control.jail import JailRoute
from deskd.control.jobs import JobRoutes
from deskd.control.kill import KillRoutes
from deskd.control.ledger import LedgerRoutes
from deskd.control.live_events import LiveEvents
from deskd.control.notifications import NotificationRoutes
from deskd.control.reconciling import Reconciling
from deskd.control.reloading import ReloadRoute
from deskd.control.stages import StageRoutes
from deskd.control.why import WhyRoute
from deskd.core.desk import MARKET
from deskd.core.silence import Silence
from deskd.domain import events as ev
from deskd.domain.errors import ConfigError, WireError
from deskd.domain.ids import HOUSE, RunId, StrategyId, Symbol
from deskd.domain.kill import KillDepth
from deskd.domain.money import Cash
from deskd.domain.run import ExitReason, RunStatus
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.ledger.fact_reader import FactReader
from deskd.ledger.queries import LedgerReader
from deskd.ledger.roots import ROOTS, load_key
from deskd.log import hiding, journal_of
from deskd.market.hub import Hub, Wanted
from deskd.metrics import MetricsPage
from deskd.metrics.collector import Collector
from deskd.metrics.counts import Counts
from deskd.metrics.loop_lag import LoopLag
from deskd.ports import Clock, SystemClock
from deskd.runtime import Runtime
from deskd.supervision.deploying import Deployer
from deskd.supervision.prints import Prints
from deskd.supervision.supervisor import Supervisor
from deskd.supervision.versions import Versions
from deskd.wire.drop_copy import DropCopy

SYNC_S = 30.0  # from start to the first reconcile; after that the desk runs, and takes orders when it comes
CLOCK_AGE_MAX = timedelta(seconds=5)

log = structlog.get_logger()


@asynccontextmanager
async def opened(config: Config, keys: BrokerKeys | None) -> AsyncIterator["Daemon"]:
    """Build the desk from nothing. It takes no orders before `start`, and none after `stop`."""
    async with begun(config, keys) as parts, built(config, parts) as daemon:
        yield daemon


@asynccontextmanager
async def built(config: Config, parts: Begun, read: Callable[[], Loaded] | None = None) -> AsyncIterator["Daemon"]:
    """Build the rest of the desk on what was begun: broker and doors. *read* reads the configuration anew."""
    wall = SystemClock()
    pair = Keys(key_id=parts.keys.key_id, secret=parts.keys.secret_key)
    if parts.exchange is None:
        where = endpoints(config.broker, config.market.feed)
    else:
        where = embedded(await parts.exchange.answers(), config.market.feed)
    async with (
        open_broker(
            where,
            pair,
            clock=wall,
            feed=config.market.feed,
            timeout_s=config.broker.request_timeout_s,
            requests_per_min=config.broker.requests_per_min if parts.exchange is None else UNLIMITED,
            reserve_share=config.broker.requests_reserve,
            queue_wait_max_s=config.broker.queue_wait_max_s,
        ) as broker,
        asyncio.TaskGroup() as tasks,
    ):
        daemon = Daemon(
            config=config,
            wall=wall,
            parts=parts,
            broker=broker,
            where=where,
            keys=pair,
            tasks=tasks,
            read=read,
        )
        try:
            yield daemon
        finally:
            await daemon.close()


def begun_in(tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
    """Start *work* as a task of the group; None where the group is ending: what ended it must stay the first error."""
    try:
        return tasks.create_task(work, name=name)
    except RuntimeError:
        work.close()
        return None


class Daemon:
    """The desk, whole. Everything it runs is a named task of one group: a crash of any ends it."""

    def __init__(
        self,
        *,
        config: Config,
        wall: Clock,
        parts: Begun,
        broker: AlpacaBroker,
        where: Endpoints,
        keys: Keys,
        tasks: asyncio.TaskGroup,
        read: Callable[[], Loaded] | None,
    ) -> None:
        self.config = config
        self.wall = wall
        self.broker = broker
        self.exchange = exchange = parts.exchange
        self.started_at = wall.now()
        desk, self._tasks = parts.desk, tasks
        self._running: set[asyncio.Task[None]] = set()
        self.hub = Hub(
            config.market,
            clock=wall,
            bars=broker.bars,
            bars_between=broker.bars_between,
            market_now=self._market_now,
            on_wanted=self._on_wanted,
            on_slow=self._on_slow,
        )
        timing = timing_of(config.broker)
        self.market_stream = MarketStream(
            url=where.data_stream,
            keys=keys,
            on_messages=self.hub.on_messages,
            on_state=self._on_market_state,
            stale_after_s=config.market.stale_after_s,
            timing=timing,
        )
        self._market_lost_at: float | None = None  # monotonic; until what was missed is made up for
        copy = DropCopy()
        copy.take_over(desk.open_orders(), desk.strategies.values())
        self.live = LiveEvents(copy, parts.ledger.last_seq, FactReader(db_path(config)))
        self.runtime = Runtime(
            desk=desk,
            ledger=parts.ledger,
            broker=broker,
            take_snapshot=Looks(desk=desk, broker=broker, wall=wall).take,
            quotes=self.hub,
            marks=self.hub,
            tells=self.hub,
            wall=wall,
            doubt_check=timedelta(seconds=config.broker.doubt_check_s),
            reconcile_every=timedelta(seconds=config.broker.reconcile_every_s),
            clock_age_max=CLOCK_AGE_MAX if exchange is None else timedelta(0),  # our own exchange counts no requests
            silence=Silence(timedelta(seconds=config.broker.stream_silence_s)),
            on_fact=[FactLog(desk.orders, desk.strategies), self.live],
        )
        self.roots = RootKeeper(
            key=load_key(config.desk.state_dir),
            ledger=parts.ledger,
            desk=desk,
            wall=wall,
            post=self.runtime.post,
            file=config.desk.state_dir / ROOTS,
        )
        self.runtime.on_fact.append(self.roots.on_fact)
        self.trade_stream = TradeStream(
            url=where.trade_stream,
            keys=keys,
            clock=wall,
            on_update=self.runtime.post,
            on_state=self._on_trade_state,
            timing=timing,
        )
        self.runtime.on_silence.append(self.trade_stream.reconnect)
        has_tokens = config.api.local_port != 0 and exchange is None  # our own exchange's money is nobody's
        self._tokens = tokens.load(config.desk.state_dir / "token.key") if has_tokens else None
        self.api = Api(self.runtime, wall, tasks, config=config.api, requests_per_s=config.risk.strategy.requests_per_s)
        self.supervisor = Supervisor(
            config=config,
            clock=wall,
            jitter=SystemRandom().random,
            feeds=self.hub,
            doors=self.api,
            counts=self.hub.counts,
            post=self._on_run_fact,
            registered=desk.strategies.get,
            on_spec=self._on_spec,
            past=desk.streaks.get,
            prints=self._prints(keys),
        )
        self.deployer = Deployer(
            versions=Versions(root=config.desk.state_dir / "versions", strategies_dir=config.desk.strategies_dir),
            runs=self.supervisor,
            clock=wall,
            keep=self.runtime.keep,
            stage_of=desk.stages.of,
            chosen=desk.versions,
        )
        self.market_watch = MarketWatch(
            runtime=self.runtime,
            broker=broker,
            wall=wall,
            on_open=self.market_stream.set_market_open,
            on_clock=self.roots.on_clock,
        )
        desk.exit_quote_age_max = timedelta(seconds=config.risk.exits.quote_age_max_s)
        self.exit_watch = ExitWatch(
            runtime=self.runtime,
            market=self.hub,
            wall=wall,
            clock=lambda: self.market_watch.clock,
            every_s=config.risk.exits.look_s,
        )
        self.kills = KillKeeper(
            runtime=self.runtime,
            wall=wall,
            market=lambda: self.market_watch.clock,
            uses_extended_hours=config.risk.kill.after_hours == "extended",
        )
        self.kill_triggers = KillTriggers(
            folders=(config.desk.state_dir, config.desk.runtime_dir),
            depth=KillDepth(config.risk.kill.depth),
            kills=desk.kills,
            post=self.runtime.keep,
            wall=wall,
        )
        self.kill_watch = KillWatch(
            desk=desk,
            rules=automatic_rules_of(config.risk.automatic),
            breaker_rules=breaker_rules_of(config.risk.breaker),
            post=self.runtime.post,
            clock=lambda: self.market_watch.clock,
            wall=wall,
        )
        self.suspender = Suspender(
            desk=desk,
            switch=AccountSwitch(broker.http),
            until=self.runtime.until,
            keep=self.runtime.keep,
            wall=wall,
        )
        self.runtime.on_fact.append(self.kills.on_fact)
        self.stopping = Stopping(
            runtime=self.runtime,
            wall=wall,
            end_runs=self.supervisor.stop_all,
            sign=self.roots.sign,
            grace_s=config.sandbox.stop_grace_s,
            cancels_orders=config.desk.cancel_orders_on_stop,
        )
        self.snapshots = Snapshots(
            ledger=db_path(config),
            taken_at=parts.snapshot_seq,
            last_seq=lambda: parts.ledger.last_seq,
            wall=wall,
        )
        self.jobs = day_jobs(
            config,
            runtime=self.runtime,
            broker=broker,
            wall=wall,
            market_stream=self.market_stream.state,
            sign=self.roots.sign,
            snapshot=self.snapshots.renew,
        )
        routes = read_routes(config.notifications, os.environ)
        self.notifications = Office(
            desk=config.desk.name,
            ledger=db_path(config),
            outbox=config.desk.state_dir / OUTBOX,
            first_seq=parts.ledger.last_seq,
            routes=routes,
            plan=plan_of(config, routes),
            wall=wall,
        )
        self.runtime.on_fact.append(self.notifications.on_fact)
        self.disk = DiskGuard(
            ledger=db_path(config), least=config.desk.disk_free_min_mb * 2**20, on_change=self._on_disk
        )
        self.reloading = Reloading(
            read=read,
            in_force=lambda: self.config,
            take=self.take,
            keep=self.runtime.keep,
            wall=wall,
        )
        self.loop_lag = LoopLag(clock=wall)
        counts = Counts(orders=desk.orders, wall=wall)
        self.runtime.on_fact.append(counts.on_fact)
        self.metrics = MetricsPage(
            listen=config.metrics.listen,
            collector=Collector(
                broker=config.broker.mode,
                started_at=self.started_at,
                wall=wall,
                runtime=self.runtime,
                hub=self.hub,
                runs=self.supervisor,
                counts=counts,
                lag=self.loop_lag,
                clock=lambda: self.market_watch.clock,
                market_stream_is_up=lambda: self.market_stream.is_up,
                market_silence_s=self.market_stream.silence_s,
                requests=broker.requests,
                ledger_entries=lambda: parts.ledger.last_seq,
                shows_money=config.metrics.money,
            ),
            refusal=self.runtime.refusal,
            clock=wall,
        )
        self.control = Control(
            orders=self.runtime,
            runs=self.supervisor,
            reader=LedgerReader(db_path(config)),
            wall=wall,
            post=self.runtime.keep,
            status=self.status,
            issue=self._issue_token,
            reconciling=Reconciling(
                desk=desk,
                wall=wall,
                look=self.runtime.look,
                post=self.runtime.post,
                until_idle=self.runtime.until_idle,
            ),
            stages=desk.stages,
            more=[
                DeployRoutes(
                    deployer=self.deployer,
                    runs=self.supervisor,
                    registered=desk.strategies,
                    wall=wall,
                    post=self.runtime.keep,
                ).add_to,
                StageRoutes(stages=desk.stages, runs=self.supervisor, wall=wall, post=self.runtime.keep).add_to,
                LedgerRoutes(db=db_path(config), wall=wall, post=self.runtime.keep, sign=self.roots.sign).add_to,
                EventRoutes(ledger=db_path(config), live=self.live).add_to,
                WhyRoute(db_path(config)).add_to,
                KillRoutes(
                    kills=desk.kills,
                    runs=self.supervisor,
                    wall=wall,
                    post=self.runtime.keep,
                    held_by=lambda: None if (file := self.kill_triggers.file()) is None else f"the file {file}",
                ).add_to,
                JailRoute(self.supervisor.test_jail).add_to,
                ReloadRoute(reload=self._reload_for).add_to,
                JobRoutes(jobs=self.jobs, reports=reports_dir(config), wall=wall, post=self.runtime.keep).add_to,
                NotificationRoutes(
                    outbox=self.notifications.outbox,
                    wall=wall,
                    post=self.runtime.keep,
                    tell=self.notifications.post,
                    nudge=self.notifications.nudge,
                    is_open=lambda: self.notifications.is_open,
                ).add_to,
                BuildRoute(runs=self.supervisor, wall=wall, post=self.runtime.keep, build=self.supervisor.build).add_to,
            ],
        )

    def _prints(self, keys: Keys) -> Prints | None:
        """Return the way of strategies' prints to the journal, where the desk's own log goes there."""
        journal = journal_of(self.config.log.format, os.environ, sys.stderr)
        return None if journal is None else Prints(journal.send, self.wall, hiding([keys.secret, keys.key_id]))

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Reconcile with the broker. One that cannot be reached delays orders, not the start."""
        await asyncio.to_thread(self.roots.catch_up, db_path(self.config))
        mode = self.config.broker.mode
        await self.runtime.post(ev.DeskStarted(version=__version__, broker=mode, at=self.wall.now()))
        self._spawn(self.runtime.run(), "runtime")
        if self.exchange is not None:
            self._spawn(self.exchange.watch(), "exchange")
        self._spawn(self.notifications.run(), "notifications")
        self._spawn(self.disk.run(), "disk")
        self._spawn(self.trade_stream.run(), "trade stream")
        self._spawn(self.market_stream.run(), "market stream")
        self._spawn(self.market_watch.run(), "market clock")
        self._spawn(self.exit_watch.run(), "exits")
        sessions = SessionWatch(hub=self.hub, clock=self.runtime.market_clock, schedules=self.runtime.desk.schedules)
        self._spawn(sessions.run(), "sessions")
        self._spawn(self._beat(), "heartbeat")
        self._spawn(self.loop_lag.run(), "loop lag")
        self._spawn(self.kills.run(), "kills")
        self._spawn(self.kill_triggers.run(), "kill file")
        self._spawn(self.kill_watch.run(), "kill watch")
        if self.config.risk.kill.suspend_trade or self.runtime.desk.kills.suspended is not None:
            self._spawn(self.suspender.run(), "suspender")
        self._spawn(self.supervisor.run(), "supervisor")
        await self.supervisor.open()
        await self._open_local()
        await self.runtime.until_idle()  # the start is on record: what was synced before it does not count
        await self.kill_triggers.look()  # before any order is taken
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SYNC_S):
                await self.runtime.until(lambda desk: desk.is_synced and bool(desk.instruments))
        if not (self.runtime.desk.is_synced and self.runtime.desk.instruments):
            log.error("broker_not_reached", after_s=SYNC_S, consequence="no orders are taken until it answers")
        for found in self.supervisor.strategies():
            if isinstance(found, StrategySpec):
                await self._allocate(found.strategy_id, self._spec_of(found.strategy_id))
                await self._tell_limits(found.strategy_id)
        await self.runtime.until_idle()
        self._warn_of_overcommitment()

    async def trade(self) -> None:
        """Take orders, and start the strategies."""
        mode = self.config.broker.mode
        self.runtime.closing = None
        self._spawn(self.snapshots.run(), "snapshots")
        self._spawn(self.jobs.run(), "jobs")
        await self.supervisor.start_enabled(but_not=self.runtime.desk.stopped_by_hand)
        log.info(
            "desk_ready",
            name=self.config.desk.name,
            broker=mode,
            strategies=len(self.supervisor.strategies()),
            look="in another terminal: .venv/bin/deskctl status",
        )

    async def stop(self) -> None:
        """Refuse orders, end runs, cancel open orders, write the last fact."""
        await self.stopping.run()
        await self.notifications.close()

    async def close(self) -> None:
        """End every task, in whatever state the desk is; no run outlives it."""
        try:
            async with asyncio.timeout(self.config.sandbox.stop_grace_s + CLOSE_S):
                await self.supervisor.close()
                await self.api.close_all()
        except TimeoutError:
            log.exception("runs_not_ended", consequence="they die with the desk; the next start sweeps what is left")
        for task in tuple(self._running):
            task.cancel()

    async def _open_local(self) -> None:
        """Open the door for laptops, where the configuration has one."""
        if self.config.api.local_port:
            port = await self.api.open_local(self.config.api.local_port, spec_of=self._spec_of, tokens=self._tokens)
            log.info("local_port_opened", port=port, needs_token=self._tokens is not None)

    def _spec_of(self, strategy_id: StrategyId) -> StrategySpec | None:
        found = (one for one in self.supervisor.strategies() if one.strategy_id == strategy_id)
        return next((one for one in found if isinstance(one, StrategySpec)), None)

    def _issue_token(self, strategy_id: StrategyId) -> str:
        if not self.config.api.local_port:
            raise ConfigError("laptops have no door here: set [api] local_port = 8080 and restart the desk")
        if self._tokens is None:
            raise ConfigError(f"no token is needed: on the embedded exchange STRATEGY_ID={strategy_id} is enough")
        return self._tokens.issue(strategy_id)

    async def _allocate(self, strategy_id: StrategyId, spec: StrategySpec | None, by: str = "desk.toml") -> None:
        """Give the strategy its allocation from the house, where that is not what it has."""
        risk = self.config.risk
        wanted = Cash(risk.strategy.allocation) if spec is None else allocation_of(spec, risk)
        book = self.runtime.desk.portfolio.books.get(strategy_id)
        if book is None or book.allocation != wanted:
            at = self.wall.now()
            await self.runtime.post(ev.AllocationChanged(strategy_id=strategy_id, allocation=wanted, by=by, at=at))

    async def _tell_limits(self, strategy_id: StrategyId, by: str = "desk.toml and config.json") -> None:
        """Have the strategy's limits on record, where they are others than before."""
        limits = self.runtime.desk.limits.get(strategy_id)
        if limits is not None:
            told = ev.LimitsChanged(
                strategy_id=strategy_id,
                limits=limits_in_words(limits),
                by=by,
                at=self.wall.now(),
            )
            await self.runtime.post(told)

    def _warn_of_overcommitment(self) -> None:
        house = self.runtime.desk.account(HOUSE)
        if house is not None and house.cash < 0:
            remedy = "lower risk.strategy.allocation, or run fewer strategies"
            log.warning("allocations_exceed_account", house_cash=str(house.cash), remedy=remedy)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = begun_in(self._tasks, work, name)
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    # --- what rooms tell each other ----------------------------------------------------------------------------------

    async def _on_run_fact(self, fact: ev.PlainFact) -> None:
        if isinstance(fact, ev.StrategyStatusChanged) and fact.by_hand:
            await self.runtime.keep(fact)  # whoever stopped it is answered after this
            return
        await self.runtime.post(fact)
        if isinstance(fact, ev.StrategyRegistered):  # a new one gets its capital before its first order
            await self._allocate(fact.strategy_id, self._spec_of(fact.strategy_id))
            await self._tell_limits(fact.strategy_id)

    def _on_spec(self, spec: StrategySpec) -> None:
        limits = limits_of(spec, self.config.risk, self.config.market.stale_after_s)
        self.runtime.desk.limits[spec.strategy_id] = limits
        self.runtime.desk.schedules[spec.strategy_id] = spec.schedule
        self.runtime.desk.exit_rules[spec.strategy_id] = rules_of(spec, self.config.risk.exits)
        self.notifications.wish(spec.strategy_id, spec.wishes)
        listed = self.runtime.desk.instruments
        if listed and (unknown := sorted(set(spec.symbols) - listed.keys())):
            consequence = "no data and no orders for them: check the spelling in config.json"
            log.warning("symbols_unknown", strategy_id=spec.strategy_id, symbols=unknown, consequence=consequence)

    def _on_wanted(self, wanted: Wanted) -> None:
        self.market_stream.set_symbols(wanted)
        if lacking := self.hub.lacks_quotes():
            self._spawn(self._seed_quotes(lacking), "seed quotes")

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

    def _on_disk(self, low: str | None) -> None:
        self.runtime.disk_low = low
        self._spawn(self.notifications.post(disk_told(low, self.wall.now())), "disk notification")

    def _on_slow(self, run_id: RunId) -> None:
        detail = "it did not read its order lines: the bound of market.order_lines_max was reached"
        self._spawn(self.supervisor.end(run_id, ExitReason.SLOW_CONSUMER, detail), f"end {run_id}")

    async def _on_trade_state(self, is_up: bool, why: str) -> None:  # noqa: FBT001  the stream's signature
        await self.runtime.post(ev.TradeStreamChanged(is_up=is_up, why=why, at=self.wall.now()))

    async def _on_market_state(self, is_up: bool, why: str) -> None:  # noqa: FBT001
        affected = self.hub.readers_of(self.market_stream.refused()) if is_up else self.hub.readers()
        at = self.wall.now()
        changed = ev.StreamChanged(stream=MARKET, is_up=is_up, why=why, at=at, affected=tuple(affected))
        await self.runtime.post(changed)
        if not is_up:
            self._market_lost_at = self._market_lost_at or self.wall.monotonic()
        elif self._market_lost_at is not None:
            lost_at, self._market_lost_at = self._market_lost_at, None
            self._spawn(self._make_up(self.wall.monotonic() - lost_at), "late bars")

    async def _make_up(self, down_s: float) -> None:
        """Send the runs the bars that the market stream missed, and end its outage."""
        mended = await self.hub.late.mend(down_s=down_s)
        await self.runtime.post(
            ev.MarketResumed(
                affected=tuple(self.hub.readers()),
                bars_fetched=mended.fetched,
                bars_missing=mended.missing,
                at=self.wall.now(),
            )
        )

    async def _market_now(self) -> datetime:
        return (await self.runtime.clock()).timestamp

    async def _beat(self) -> None:
        """Say from time to time that the desk lives."""
        while True:
            await asyncio.sleep(self.config.desk.heartbeat_s)
            found = self.supervisor.strategies()
            running = sum(self.supervisor.status(one.strategy_id) is RunStatus.RUNNING for one in found)
            await self.runtime.post(
                ev.Heartbeat(
                    orders_open=len(self.runtime.desk.open_ids),
                    strategies_running=running,
                    market_is_open=clock.is_open if (clock := self.market_watch.clock) else None,
                    ledger_seq=self.live.last_seq,
                    at=self.wall.now(),
                    equity=equity_of(self.runtime.desk),
                    positions=sum(bool(p.qty) for p in self.runtime.positions(None)),
                    streams_down=tuple(self.runtime.desk.outages.open),
                )
            )

    # --- reload ------------------------------------------------------------------------------------------------------

    async def reload(self, by: str) -> str:
        """Read desk.toml and the strategies' folder anew; return how the desk is then."""
        reloaded = await self.reloading.reload(by)
        if reloaded.problems:
            await self.supervisor.reread()  # they do not wait for the file to be mended
        return f"{reloaded.in_words()}; {self._how()}"

    async def _reload_for(self, by: str, is_dry: bool) -> Mapping[str, object]:  # noqa: FBT001  the route's signature
        return (await self.reloading.reload(by, is_dry=is_dry)).as_dict()

    async def take(self, config: Config, by: str) -> Misfits:
        """Go by these settings from now on; return the strategies that they have no room for any more.

        What ran before is bounded at once, whether its own config.json still fits or not.
        """
        before = {found.strategy_id: found for found in self.supervisor.strategies() if isinstance(found, StrategySpec)}
        self.config = config
        self._hand_on(config)
        for spec in before.values():
            self._on_spec(spec)
            schedules = self.runtime.desk.schedules
            schedules[spec.strategy_id] = schedule_within(spec.schedule, config.risk.schedule)
        await self.supervisor.reread()
        now = {found.strategy_id: found for found in self.supervisor.strategies()}
        for strategy_id, found in now.items():
            last_good = found if isinstance(found, StrategySpec) else before.get(strategy_id)
            if last_good is not None:
                await self._allocate(strategy_id, last_good, by)
                await self._tell_limits(strategy_id, by)
        await self.runtime.until_idle()
        self._warn_of_overcommitment()
        return {
            strategy_id: found.problem
            for strategy_id, found in now.items()
            if isinstance(found, BrokenStrategy) and strategy_id in before
        }

    def _hand_on(self, config: Config) -> None:
        """Hand each room what it keeps for itself of the keys that `config.changes` says are applied."""
        desk, risk = self.runtime.desk, config.risk
        logs.set_level(config.log.level)
        self.supervisor.take(config)
        self.api.requests_per_s = risk.strategy.requests_per_s
        desk.lane = lane_rules_of(config.orders)
        desk.exit_quote_age_max = timedelta(seconds=risk.exits.quote_age_max_s)
        self.exit_watch.every_s = risk.exits.look_s
        self.kills.uses_extended_hours = risk.kill.after_hours == "extended"
        self.kill_triggers.depth = KillDepth(risk.kill.depth)
        self.kill_watch.rules = automatic_rules_of(risk.automatic)
        self.kill_watch.breaker_rules = breaker_rules_of(risk.breaker)
        self.market_stream.stale_after_s = config.market.stale_after_s
        self.runtime.watching.doubt_check = timedelta(seconds=config.broker.doubt_check_s)
        self.runtime.looking.every = timedelta(seconds=config.broker.reconcile_every_s)
        self.stopping = replace(self.stopping, cancels_orders=config.desk.cancel_orders_on_stop)
        self.disk.least = config.desk.disk_free_min_mb * 2**20

    def in_one_line(self) -> str:
        """Return how the desk is, for `systemctl status`."""
        return self._how() if self.reloading.problem is None else f"{self.reloading.problem}; {self._how()}"

    def _how(self) -> str:
        found = self.supervisor.strategies()
        running = sum(self.supervisor.status(one.strategy_id) is RunStatus.RUNNING for one in found)
        refusal = self.runtime.refusal()
        orders = f"{len(self.runtime.desk.open_ids)} orders open"
        takes = "takes orders" if refusal is None else f"takes no orders: {refusal.message}"
        return f"{running} of {len(found)} strategies running, {orders}, {takes}; broker: {self.config.broker.mode}"

    def status(self) -> Mapping[str, object]:
        """Return the desk's own state, for `deskctl status`."""
        set_up = self.supervisor.set_up()
        now = Moment(
            started_at=self.started_at,
            refusal=self.runtime.refusal(),
            clock=self.market_watch.clock,
            market_stream=self.market_stream.state(),
            jails=None if set_up is None else set_up.text,
            packages=self.supervisor.packages(),
            not_startable=self.supervisor.failing(),
            requests=self.broker.requests(),
        )
        return status(self.config, self.runtime.desk, now)
