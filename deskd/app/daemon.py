"""The daemon: built from nothing, started, reloaded, stopped.

Start = recovery: ledger -> replay -> broker -> doors -> reconcile -> runs. A crash takes the same road.
How it is put together: rooms.py; its order of start: starting.py; of stop: stopping.py; what a reload applies: in_force.py.
Whoever asks a desk that still starts gets its end at once: no strategy runs before `trade`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from deskd.alerts.routes import Routes, plan_of, read_routes
from deskd.alpaca.broker import open_broker
from deskd.alpaca.budget import UNLIMITED
from deskd.alpaca.endpoints import Keys, embedded, endpoints
from deskd.app import desk_status, starting
from deskd.app.bounds import weights_of
from deskd.app.desk_status import Moment
from deskd.app.in_force import InForce
from deskd.app.opening import Begun, begun
from deskd.app.people import control_of, metrics_of
from deskd.app.reloading import Reloading
from deskd.app.rooms import Rooms
from deskd.app.stopping import CLOSE_S
from deskd.app.tasks import Tasks
from deskd.config import Config
from deskd.config.keys import BrokerKeys
from deskd.config.load import Loaded
from deskd.log import Voice
from deskd.ports import SystemClock

log = structlog.get_logger()


@asynccontextmanager
async def opened(config: Config, keys: BrokerKeys | None, *, goes_first: bool = False) -> AsyncIterator["Daemon"]:
    """Build the desk from nothing. It takes no orders before `start`, and none after `stop`."""
    async with begun(config, keys, goes_first=goes_first) as parts, built(config, parts) as daemon:
        yield daemon


@asynccontextmanager
async def built(
    config: Config, parts: Begun, read: Callable[[], Loaded] | None = None, voice: Voice | None = None
) -> AsyncIterator["Daemon"]:
    """Build the rest of the desk on what was begun: broker and doors. *read* reads the configuration anew.

    *voice* is the log's: what the desk learns of secrets is hidden there from then on.
    """
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
        asyncio.TaskGroup() as group,
    ):
        broker.weigh(weights_of(config.risk))
        rooms = Rooms(
            config=config,
            wall=wall,
            parts=parts,
            broker=broker,
            where=where,
            keys=pair,
            tasks=Tasks(group),
            voice=voice or Voice(),
        )
        daemon = Daemon(config, rooms, read)
        try:
            yield daemon
        finally:
            await daemon.close()


class Daemon:
    """The desk, whole. Everything it runs is a named task of one group: a crash of any ends it."""

    def __init__(self, config: Config, rooms: Rooms, read: Callable[[], Loaded] | None) -> None:
        self.rooms = rooms
        self.started_at = rooms.wall.now()
        self.broker = rooms.broker
        self.hub = rooms.feed.hub
        self.runtime = rooms.runtime
        self.api = rooms.api
        self.supervisor = rooms.supervisor
        self.kill_triggers = rooms.watches.kill_triggers
        self.in_force = InForce(config, rooms)
        self.reloading = Reloading(
            read=read,
            in_force=lambda: self.config,
            take=self.in_force.take,
            keep=rooms.runtime.keep,
            wall=rooms.wall,
            read_routes=lambda config: read_routes(config.notify, os.environ),
            routes=lambda: rooms.notifications.routes,
            take_routes=self._take_routes,
        )
        self.control = control_of(config, rooms, status=self.status, reload=self._reload_for)
        self.metrics = metrics_of(config, rooms, self.started_at)

    @property
    def config(self) -> Config:
        """Return the settings that the desk goes by."""
        return self.in_force.config

    async def start(self) -> None:
        """Reconcile with the broker. One that cannot be reached delays orders, not the start."""
        await starting.start(self.config, self.rooms)

    async def trade(self) -> None:
        """Take orders, and start the strategies."""
        await starting.trade(self.config, self.rooms)

    async def stop(self) -> None:
        """Refuse orders, end runs, cancel open orders, write the last fact."""
        await self.rooms.stopping.run()
        await self.rooms.notifications.close()

    async def close(self) -> None:
        """End every task, in whatever state the desk is; no run outlives it."""
        try:
            async with asyncio.timeout(self.config.sandbox.stop_grace_s + CLOSE_S):
                await self.supervisor.close()
                await self.api.close_all()
        except TimeoutError:
            log.exception("runs_not_ended", consequence="they die with the desk; the next start sweeps what is left")
        self.rooms.tasks.cancel()

    async def reload(self, by: str) -> str:
        """Read desk.toml and the strategies' folder anew; return how the desk is then."""
        reloaded = await self.reloading.reload(by)
        if reloaded.problems:
            await self.supervisor.reread()  # they do not wait for the file to be mended
        return f"{reloaded.in_words()}; {self._how()}"

    def _take_routes(self, config: Config, routes: Routes) -> None:
        self.rooms.voice.secrets.know_addresses(routes.addresses.values())
        self.rooms.notifications.take(routes, plan_of(config, routes))

    async def _reload_for(self, by: str, is_dry: bool) -> Mapping[str, object]:  # noqa: FBT001  the route's signature
        return (await self.reloading.reload(by, is_dry=is_dry)).as_dict()

    def in_one_line(self) -> str:
        """Return how the desk is, for `systemctl status`."""
        return self._how() if self.reloading.problem is None else f"{self.reloading.problem}; {self._how()}"

    def _how(self) -> str:
        return desk_status.in_one_line(self.config, self.runtime.desk, self.supervisor, self.runtime.refusal())

    def status(self) -> Mapping[str, object]:
        """Return the desk's own state, for `deskctl status`."""
        set_up = self.supervisor.set_up()
        now = Moment(
            started_at=self.started_at,
            refusal=self.runtime.refusal(),
            clock=self.runtime.market_clock(),
            market_stream=self.rooms.feed.stream.state(),
            jails=None if set_up is None else set_up.text,
            packages=self.supervisor.packages(),
            not_startable=self.supervisor.failing(),
            requests=self.broker.requests(),
            wrong_file=self.reloading.problem,
        )
        return desk_status.status(self.config, self.runtime.desk, now)
