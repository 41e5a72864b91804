"""The exchange put together: every part opened and joined, run, and closed again in order.

Order of opening: account, tape, market, doors; what is wrong with one of them is told before anybody can connect.
Order of closing: market, doors, account; so the last thing written is all that happened.
"""

import asyncio
import secrets
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from aiohttp import web

from deskd.domain.errors import ConfigError
from deskd.domain.money import Cash
from deskd.exchange.account import Asset
from deskd.exchange.exchange import Exchange, restore
from deskd.exchange.fill_model import IMMEDIATE, PAPER, FillModel
from deskd.ports import Clock, SystemClock
from deskd.venue import not_traded
from deskd.venue.calendar import Calendar
from deskd.venue.calendar_cache import cached_calendar, place_beside
from deskd.venue.data_rest import DataRest
from deskd.venue.data_stream import FEEDS, TEST_FEED, DataStream
from deskd.venue.faults import Faults
from deskd.venue.faults_rest import FaultsRest
from deskd.venue.floor import Floor
from deskd.venue.history import History
from deskd.venue.market import Market
from deskd.venue.outbox import Outbox
from deskd.venue.player import Player, make_player
from deskd.venue.server import FrontDoor
from deskd.venue.settings import VenueSettings
from deskd.venue.store import Saved, Store, open_store
from deskd.venue.tape import Tape
from deskd.venue.tapes import SYNTHETIC, open_tape
from deskd.venue.trade_stream import PATHS as TRADE_PATHS
from deskd.venue.trade_stream import TradeStream
from deskd.venue.trading_rest import TradingRest
from deskd.venue.watchlists import Watchlists

HOUSEKEEPING_EVERY_S = 1.0  # so much of its tape an idle exchange plays again after a kill
SHUTDOWN_S = 2.0  # for answers on their way when the exchange is asked to end
ASSET_IDS = uuid.UUID("0d7a2f0e-5b4c-4a6e-9c55-2a0c7a3b1d10")  # an asset's id is the same in every life

SOCKETS = (*TRADE_PATHS, *(f"/v2/{feed}" for feed in (*FEEDS, TEST_FEED)))

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """A running exchange, for who started it."""

    url: str
    floor: Floor
    faults: Faults | None
    tape_ended: asyncio.Event  # never, where it loops


@asynccontextmanager
async def opened(
    settings: VenueSettings, clock: Clock | None = None, calendar: Calendar | None = None
) -> AsyncIterator[Venue]:
    """Run an exchange while the body runs; raise ConfigError where it cannot start as told.

    A *calendar* that is at hand saves the half second of building one.
    """
    _ = settings.address  # a wrong one is told before anything is opened
    clock = clock or SystemClock()
    store = open_store(settings.state, tape=_tape_name(settings))
    try:
        saved = store.load()
        if calendar is None:
            calendar = await asyncio.to_thread(cached_calendar, place_beside(settings.state))
        tape, player = await asyncio.to_thread(_open_tape, settings, saved, calendar, clock)
        for notice in tape.notices:
            log.warning("tape_noticed", text=notice)
        now = player.now()
        exchange = _open_exchange(settings, saved, tape, now)
        faults = Faults() if settings.faults else None
        trade_stream = TradeStream(settings.keys, faults)
        outbox = Outbox(exchange, store, publish=trade_stream.publish, market_time=now)
        market = Market()
        data_stream = DataStream(settings.keys, clock, is_patient=not settings.speed, faults=faults)
        floor = Floor(
            exchange=exchange,
            market=market,
            tape=tape,
            player=player,
            outbox=outbox,
            speed=settings.speed,
            publish=data_stream.publish,
        )
        session = calendar.session_day(player.day)
        assert session is not None, "a tape's days are trading days"
        await floor.prepare(session, now)
        await floor.settled()
        bug: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        door = FrontDoor(
            keys=settings.keys,
            clock=clock,
            rate_limit_per_min=settings.rate_limit_per_min,
            sockets=SOCKETS,
            faults=faults,
            bug=bug,
        )
        app = door.app(
            [
                *TradingRest(floor, calendar, faults).routes(),
                *Watchlists(floor, list(store.watchlists().values())).routes(),
                *not_traded.routes(),
                *trade_stream.routes(),
                *DataRest(History(tape, market), market, player.now_ns).routes(),
                *data_stream.routes(),
                *(FaultsRest(faults, floor, trade_stream, data_stream).routes() if faults is not None else []),
            ]
        )
        tape_ended = asyncio.Event()
        async with _listening(app, settings, (trade_stream, data_stream)) as url, asyncio.TaskGroup() as tasks:
            market_tasks = [
                tasks.create_task(_play(player, floor, data_stream, settings, tape_ended), name="player"),
                tasks.create_task(floor.run_timers(), name="timers"),
                tasks.create_task(_keep_house(floor, outbox, store), name="housekeeping"),
                tasks.create_task(_wait(bug), name="bug"),
            ]
            try:
                yield Venue(url=url, floor=floor, faults=faults, tape_ended=tape_ended)
            finally:
                for task in market_tasks:
                    task.cancel()
        outbox.close(floor.now())  # not after a failure: the exchange may be half changed
    finally:
        store.close()


@asynccontextmanager
async def _listening(
    app: web.Application, settings: VenueSettings, streams: Sequence[TradeStream | DataStream]
) -> AsyncIterator[str]:
    """Answer at the settings' address while the body runs; the value is where."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await _bind(runner, settings)
        host, port, *_ = runner.addresses[0]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        with suppress(TimeoutError):  # who does not answer a close is cut off by the clean-up
            async with asyncio.timeout(SHUTDOWN_S):
                for stream in streams:
                    await stream.close()
        await runner.cleanup()


async def _bind(runner: web.AppRunner, settings: VenueSettings) -> None:
    host, port = settings.address
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ConfigError(
            f"exchange.listen: cannot listen on {settings.listen}: {error.strerror or error}. "
            "Choose another address of this machine, or port 0 for any free one"
        ) from error


def _open_tape(settings: VenueSettings, saved: Saved | None, calendar: Calendar, clock: Clock) -> tuple[Tape, Player]:
    is_same = saved is not None and saved.tape == _tape_name(settings)
    resume_at = saved.market_time if saved is not None and is_same else None
    tape = open_tape(settings.tape, calendar=calendar, seed=settings.seed, start=resume_at)
    player = make_player(
        tape,
        calendar,
        clock,
        speed=settings.speed,
        loop=settings.loop,
        start=settings.start,
        resume_at=resume_at,
    )
    return tape, player


def _open_exchange(settings: VenueSettings, saved: Saved | None, tape: Tape, now: datetime) -> Exchange:
    fills = fill_model(settings.fills)
    listed = listed_on(tape)
    if saved is None:
        return Exchange(
            assets=listed.values(),
            cash=Cash(settings.cash),
            fills=fills,
            seed=settings.seed,
            id_seed=secrets.randbits(64),
            now=now,
        )
    known = {order.symbol for order in saved.orders} | {holding.symbol for holding in saved.holdings}
    gone = [
        Asset(id=_asset_id(symbol), symbol=symbol, name=f"{symbol} (not on this tape)", exchange="NYSE", tradable=False)
        for symbol in sorted(known - listed.keys())
    ]
    return restore(
        account=saved.account,
        orders=saved.orders,
        holdings=saved.holdings,
        activities=saved.activities,
        equity_points=saved.equity_points,
        assets=[*listed.values(), *gone],
        fills=fills,
        now=now,
    )


def fill_model(name: str) -> FillModel:
    """Return the fills that `exchange.fills` names."""
    return PAPER if name == "paper" else IMMEDIATE


def listed_on(tape: Tape) -> dict[str, Asset]:
    """Return what the exchange lists where it plays this tape, by symbol."""
    return {
        listing.symbol: Asset(
            id=_asset_id(listing.symbol), symbol=listing.symbol, name=listing.name, exchange=listing.exchange
        )
        for listing in tape.listings()
    }


def _asset_id(symbol: str) -> str:
    return str(uuid.uuid5(ASSET_IDS, symbol))


def _tape_name(settings: VenueSettings) -> str:
    """Return what tells one tape from another: the account's market time means something on its own tape only."""
    name = " ".join(settings.tape)
    return f"{name} {settings.seed}" if SYNTHETIC in settings.tape else name


async def _keep_house(floor: Floor, outbox: Outbox, store: Store) -> None:
    while True:
        await asyncio.sleep(HOUSEKEEPING_EVERY_S)
        outbox.note_time(floor.now())
        await asyncio.to_thread(store.checkpoint)


async def _play(
    player: Player, floor: Floor, data_stream: DataStream, settings: VenueSettings, tape_ended: asyncio.Event
) -> None:
    if settings.waits_for_listener:
        await data_stream.listened.wait()
    await player.run(floor.on_step, floor.on_day)
    tape_ended.set()


async def _wait(bug: "asyncio.Future[None]") -> None:
    await bug
