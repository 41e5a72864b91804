"""The doors for people: the officers' control socket, and the page of figures."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime

from deskd.app.day_jobs import reports_dir
from deskd.app.opening import db_path
from deskd.app.rooms import Rooms
from deskd.config import Config
from deskd.control import Control
from deskd.control.building import BuildRoute
from deskd.control.deploying import DeployRoutes
from deskd.control.events import EventRoutes
from deskd.control.instruments import InstrumentRoute
from deskd.control.jail import JailRoute
from deskd.control.jobs import JobRoutes
from deskd.control.kill import KillRoutes
from deskd.control.ledger import LedgerRoutes
from deskd.control.notifications import NotificationRoutes
from deskd.control.reconciling import Reconciling
from deskd.control.reloading import ReloadRoute
from deskd.control.stages import StageRoutes
from deskd.control.why import WhyRoute
from deskd.core.desk import Desk
from deskd.domain.ids import Symbol
from deskd.domain.strategy import StrategySpec
from deskd.ledger.queries import LedgerReader
from deskd.metrics import MetricsPage
from deskd.metrics.collector import Collector


def control_of(
    config: Config,
    rooms: Rooms,
    *,
    status: Callable[[], Mapping[str, object]],
    reload: Callable[[str, bool], Awaitable[Mapping[str, object]]],
) -> Control:
    """Return the control socket, with every route of every room."""
    runtime, runs, wall = rooms.runtime, rooms.supervisor, rooms.wall
    desk, keep, db = runtime.desk, runtime.keep, db_path(config)
    told = rooms.notifications
    return Control(
        orders=runtime,
        runs=runs,
        reader=LedgerReader(db),
        wall=wall,
        post=keep,
        status=status,
        issue=rooms.laptops.issue,
        reconciling=Reconciling(
            desk=desk,
            wall=wall,
            look=runtime.look,
            post=runtime.post,
            until_idle=runtime.until_idle,
        ),
        stages=desk.stages,
        more=[
            DeployRoutes(
                deployer=rooms.deployer,
                runs=runs,
                registered=desk.strategies,
                wall=wall,
                post=keep,
            ).add_to,
            StageRoutes(stages=desk.stages, runs=runs, wall=wall, post=keep).add_to,
            LedgerRoutes(db=db, wall=wall, post=keep, sign=rooms.roots.sign).add_to,
            EventRoutes(ledger=db, live=rooms.live).add_to,
            WhyRoute(db).add_to,
            KillRoutes(
                kills=desk.kills,
                runs=runs,
                registered=desk.strategies,
                wall=wall,
                post=keep,
                symbols=lambda: _symbols(desk),
                held_by=rooms.watches.kill_file,
            ).add_to,
            JailRoute(test=runs.test_jail, wall=wall, post=keep).add_to,
            InstrumentRoute(lambda: desk.instruments).add_to,
            ReloadRoute(reload=reload).add_to,
            JobRoutes(jobs=rooms.jobs, reports=reports_dir(config), wall=wall, post=keep).add_to,
            NotificationRoutes(
                outbox=told.outbox,
                wall=wall,
                post=keep,
                tell=told.post,
                nudge=told.nudge,
                is_open=lambda: told.is_open,
                plan=lambda: told.plan,
                members=lambda: {
                    one.strategy_id: one.user_id if isinstance(one, StrategySpec) else None for one in runs.strategies()
                },
            ).add_to,
            BuildRoute(runs=runs, wall=wall, post=keep, build=runs.build).add_to,
        ],
    )


def metrics_of(config: Config, rooms: Rooms, started_at: datetime) -> MetricsPage:
    """Return the page of figures."""
    runtime, feed = rooms.runtime, rooms.feed
    return MetricsPage(
        listen=config.metrics.listen,
        collector=Collector(
            broker=config.broker.mode,
            started_at=started_at,
            wall=rooms.wall,
            runtime=runtime,
            hub=feed.hub,
            runs=rooms.supervisor,
            counts=rooms.counts,
            lag=rooms.loop_lag,
            clock=rooms.watches.clock,
            market_stream_is_up=lambda: feed.stream.is_up,
            market_silence_s=feed.stream.silence_s,
            requests=rooms.broker.requests,
            ledger_entries=lambda: rooms.ledger.last_seq,
            shows_money=config.metrics.money,
            journal_lost=lambda: rooms.voice.journal.lost_ever if rooms.voice.journal is not None else 0,
            prints_left_out=lambda: rooms.prints.left_out if rooms.prints is not None else 0,
            notifications=rooms.notifications.figures,
        ),
        refusal=runtime.refusal,
        clock=rooms.wall,
    )


def _symbols(desk: Desk) -> Collection[Symbol]:
    """Return what can be traded or is held; nothing where the broker did not tell yet."""
    if not desk.instruments:
        return ()
    return {*desk.instruments, *(symbol for book in desk.portfolio.books.values() for symbol in book.positions)}
