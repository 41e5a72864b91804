"""How the desk is put together: every room built once, from its config and what `opening` has begun.

Nothing here waits, speaks or starts: `starting.py` does.
"""

import os
from datetime import timedelta
from random import SystemRandom

from deskd.alerts.office import Office
from deskd.alerts.outbox import NAME as OUTBOX
from deskd.alerts.routes import plan_of, read_routes
from deskd.alpaca.broker import AlpacaBroker
from deskd.alpaca.endpoints import Endpoints, Keys
from deskd.alpaca.trading_stream import TradeStream
from deskd.api.endpoint import Api
from deskd.app.bounds import timing_of
from deskd.app.day_jobs import day_jobs
from deskd.app.disk import DiskGuard, disk_told
from deskd.app.fact_log import FactLog
from deskd.app.heartbeat import Heartbeat
from deskd.app.laptops import LaptopDoor, tokens_of
from deskd.app.looks import Looks
from deskd.app.market_feed import MarketFeed
from deskd.app.opening import Begun, db_path
from deskd.app.root_keeper import RootKeeper
from deskd.app.snapshots import Snapshots
from deskd.app.stopping import Stopping
from deskd.app.tasks import Tasks
from deskd.app.terms import Terms
from deskd.app.watches import Watches
from deskd.config import Config
from deskd.control.live_events import LiveEvents
from deskd.control.people import login_of_member
from deskd.core.silence import Silence
from deskd.domain import events as ev
from deskd.domain.stage import Stage
from deskd.ledger.fact_reader import FactReader
from deskd.ledger.roots import ROOTS, load_key
from deskd.log import Voice
from deskd.metrics.counts import Counts
from deskd.metrics.loop_lag import LoopLag
from deskd.ports import Clock
from deskd.runtime import Runtime
from deskd.supervision.deploying import Deployer
from deskd.supervision.pick_up import PickUp
from deskd.supervision.prints import Prints
from deskd.supervision.supervisor import Supervisor
from deskd.supervision.versions import Versions
from deskd.wire.drop_copy import DropCopy

CLOCK_AGE_MAX = timedelta(seconds=5)


class Rooms:
    """All that the desk consists of, but the doors for people."""

    def __init__(
        self,
        *,
        config: Config,
        wall: Clock,
        parts: Begun,
        broker: AlpacaBroker,
        where: Endpoints,
        keys: Keys,
        tasks: Tasks,
        voice: Voice,
    ) -> None:
        self.wall = wall
        self.voice = voice
        self.broker = broker
        self.tasks = tasks
        self.ledger = parts.ledger
        self.exchange = exchange = parts.exchange
        desk, timing = parts.desk, timing_of(config.broker)
        self.feed = MarketFeed(
            settings=config.market,
            url=where.data_stream,
            keys=keys,
            timing=timing,
            broker=broker,
            wall=wall,
            tasks=tasks,
            post=lambda fact: self.runtime.post(fact),  # noqa: PLW0108  built below
            clock=lambda: self.runtime.clock(),  # noqa: PLW0108  built below
            end_run=lambda *of: self.supervisor.end(*of),  # noqa: PLW0108  built below
        )
        self.feed.hub.halts.remember(desk.halts.values())
        copy = DropCopy()
        copy.take_over([*desk.asked_orders(), *desk.open_orders()], desk.strategies.values())
        self.live = LiveEvents(copy, parts.ledger.last_seq, FactReader(db_path(config)))
        self.runtime = Runtime(
            desk=desk,
            ledger=parts.ledger,
            broker=broker,
            take_snapshot=Looks(desk=desk, broker=broker, wall=wall).take,
            quotes=self.feed.hub,
            marks=self.feed.hub,
            tells=self.feed.hub,
            wall=wall,
            doubt_check=timedelta(seconds=config.broker.doubt_check_s),
            reconcile_every=timedelta(seconds=config.broker.reconcile_every_s),
            clock_age_max=CLOCK_AGE_MAX if exchange is None else timedelta(0),  # our own exchange counts no requests
            silence=Silence(timedelta(seconds=config.broker.stream_silence_s)),
            on_fact=[FactLog(desk.orders, desk.strategies), self.live],
        )
        signing_key = load_key(config.desk.state_dir)
        voice.secrets.know([keys.secret, keys.key_id, signing_key.secret])
        self.roots = RootKeeper(
            key=signing_key,
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
        tokens = tokens_of(config.api.local_port, config.desk.state_dir, is_embedded=exchange is not None)
        self.api = Api(
            self.runtime, wall, tasks.group, config=config.api, requests_per_s=config.risk.strategy.requests_per_s
        )
        routes = read_routes(config.notify, os.environ)
        voice.secrets.know_addresses(routes.addresses.values())
        self.notifications = Office(
            desk=config.desk.name,
            ledger=db_path(config),
            outbox=config.desk.state_dir / OUTBOX,
            first_seq=parts.ledger.last_seq,
            routes=routes,
            plan=plan_of(config, routes),
            wall=wall,
        )
        self.terms = Terms(
            config=config,
            desk=desk,
            wall=wall,
            post=self.runtime.post,
            keep=self.runtime.keep,
            strategies=lambda: self.supervisor.strategies(),  # noqa: PLW0108  built below
            wish=self.notifications.wish,
        )
        self.terms.stand_in()
        self.laptops = LaptopDoor(port=config.api.local_port, tokens=tokens, api=self.api, spec_of=self.terms.spec_of)
        self.prints = None if voice.journal is None else Prints(voice.journal.send, wall, voice.secrets.hide)
        self.supervisor = Supervisor(
            config=config,
            clock=wall,
            jitter=SystemRandom().random,
            feeds=self.feed.hub,
            doors=self.api,
            counts=self.feed.hub.counts,
            post=self.terms.on_run_fact,
            registered=desk.strategies.get,
            on_spec=self.terms.on_spec,
            past=desk.streaks.get,
            prints=self.prints,
            hide=voice.secrets.hide,
            login=login_of_member,
        )
        self.runtime.at_work = self.supervisor.at_work
        self.deployer = Deployer(
            versions=Versions(root=config.desk.state_dir / "versions", strategies_dir=config.desk.strategies_dir),
            runs=self.supervisor,
            clock=wall,
            keep=self.runtime.keep,
            stage_of=desk.stages.of,
            chosen=desk.versions,
        )
        self.pick_up = PickUp(
            strategies_dir=config.desk.strategies_dir,
            after=timedelta(seconds=config.strategies.pick_up_after_s),
            stage=Stage(config.strategies.pick_up_stage),
            runs=self.supervisor,
            stage_of=desk.stages.of,
            keep=self.runtime.keep,
            clock=wall,
        )
        desk.exit_quote_age_max = timedelta(seconds=config.risk.exits.quote_age_max_s)
        self.watches = Watches(
            config=config,
            runtime=self.runtime,
            broker=broker,
            hub=self.feed.hub,
            wall=wall,
            on_open=self.feed.stream.set_market_open,
            on_clock=self.roots.on_clock,
        )
        self.runtime.on_fact.append(self.watches.kills.on_fact)
        self.heartbeat = Heartbeat(
            every_s=config.desk.heartbeat_s,
            runtime=self.runtime,
            runs=self.supervisor,
            clock=self.watches.clock,
            last_seq=lambda: self.live.last_seq,
            wall=wall,
        )
        self.stopping = Stopping(
            runtime=self.runtime,
            wall=wall,
            end_runs=self.supervisor.stop_all,
            be_quiet=self.heartbeat.end,
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
            market_stream=self.feed.stream.state,
            disk_free_min_mb=lambda: self.disk.least // 2**20,
            sign=self.roots.sign,
            snapshot=self.snapshots.renew,
        )
        self.runtime.on_fact.append(self.notifications.on_fact)
        self.disk = DiskGuard(
            ledger=db_path(config), least=config.desk.disk_free_min_mb * 2**20, on_change=self._on_disk
        )
        self.loop_lag = LoopLag(clock=wall)
        self.counts = Counts(orders=desk.orders, wall=wall)
        self.runtime.on_fact.append(self.counts.on_fact)

    async def _on_trade_state(self, is_up: bool, why: str) -> None:  # noqa: FBT001  the stream's signature
        await self.runtime.post(ev.TradeStreamChanged(is_up=is_up, why=why, at=self.wall.now()))

    def _on_disk(self, low: str | None) -> None:
        self.runtime.disk_low = low
        self.tasks.spawn(self.notifications.post(disk_told(low, self.wall.now())), "disk notification")
