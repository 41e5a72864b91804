"""The order of a start: the fact that it is one, every task, the first reconcile, and only then orders and strategies."""

import asyncio
import contextlib

import structlog

from deskd import __version__
from deskd.app.officers import open_to_officers
from deskd.app.opening import db_path
from deskd.app.rooms import Rooms
from deskd.config import Config
from deskd.control.people import officers_gid
from deskd.domain import events as ev
from deskd.domain.strategy import StrategySpec

SYNC_S = 30.0  # from start to the first reconcile; after that the desk runs, and takes orders when it comes

log = structlog.get_logger()


async def start(config: Config, rooms: Rooms) -> None:
    """Reconcile with the broker. One that cannot be reached delays orders, not the start."""
    runtime, watches, spawn = rooms.runtime, rooms.watches, rooms.tasks.spawn
    await asyncio.to_thread(rooms.roots.catch_up, db_path(config))
    await runtime.post(ev.DeskStarted(version=__version__, broker=config.broker.mode, at=rooms.wall.now()))
    spawn(runtime.run(), "runtime")
    if rooms.exchange is not None:
        spawn(rooms.exchange.watch(), "exchange")
    spawn(rooms.notifications.run(), "notifications")
    spawn(rooms.disk.run(), "disk")
    spawn(rooms.trade_stream.run(), "trade stream")
    spawn(rooms.feed.stream.run(), "market stream")
    spawn(watches.market.run(), "market clock")
    spawn(watches.exits.run(), "exits")
    spawn(watches.sessions.run(), "sessions")
    spawn(rooms.heartbeat.run(), "heartbeat")
    spawn(rooms.loop_lag.run(), "loop lag")
    spawn(watches.kills.run(), "kills")
    spawn(watches.kill_triggers.run(), "kill file")
    spawn(watches.kill_watch.run(), "kill watch")
    if config.risk.kill.suspend_trade or runtime.desk.kills.suspended is not None:
        spawn(watches.suspender.run(), "suspender")
    spawn(rooms.supervisor.run(), "supervisor")
    await rooms.supervisor.open()
    await rooms.laptops.open()
    await runtime.until_idle()  # the start is on record: what was synced before it does not count
    await asyncio.to_thread(open_to_officers, db_path(config), config.desk.state_dir, officers_gid())
    await watches.kill_triggers.look()  # before any order is taken
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SYNC_S):
            await runtime.until(lambda desk: desk.is_synced and bool(desk.instruments))
    if not (runtime.desk.is_synced and runtime.desk.instruments):
        log.error("broker_not_reached", after_s=SYNC_S, consequence="no orders are taken until it answers")
    for found in rooms.supervisor.strategies():
        if isinstance(found, StrategySpec):
            await rooms.terms.allocate(found.strategy_id, rooms.terms.spec_of(found.strategy_id))
            await rooms.terms.tell_limits(found.strategy_id)
    await runtime.until_idle()
    rooms.terms.warn_of_overcommitment()


async def trade(config: Config, rooms: Rooms) -> None:
    """Take orders, and start the strategies."""
    rooms.runtime.closing = None
    rooms.tasks.spawn(rooms.snapshots.run(), "snapshots")
    rooms.tasks.spawn(rooms.jobs.run(), "jobs")
    await rooms.supervisor.start_enabled(but_not=rooms.runtime.desk.stopped_by_hand)
    if config.strategies.pick_up_after_s:
        rooms.tasks.spawn(rooms.pick_up.run(), "pick-up of folders")
    log.info(
        "desk_ready",
        name=config.desk.name,
        broker=config.broker.mode,
        strategies=len(rooms.supervisor.strategies()),
        look="in another terminal: .venv/bin/deskctl status",
    )
