"""The first half of a start: what must stand before the doors are built, begun in the order that costs least time.

Order: the ledger's lock (a second desk ends here), then the exchange's process, which takes a second of another core to
be ready, and meanwhile the fold: the snapshot and the facts since. Little is imported before the exchange is on its way.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from deskd.app.bounds import lane_rules_of
from deskd.app.time_slice import ask_for_short_turns
from deskd.config import Config
from deskd.config.keys import HOME_OF_KEYS, BrokerKeys
from deskd.core.desk import Desk
from deskd.domain.errors import ConfigError
from deskd.ledger import codec, snapshot
from deskd.ledger.store import LedgerStore
from deskd.venue.child import EmbeddedExchange
from deskd.venue.settings import Keys as VenueKeys
from deskd.venue.settings import settings_from

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An open ledger, the desk that it leads to, and the exchange that is on its way."""

    ledger: LedgerStore
    desk: Desk
    snapshot_seq: int  # the entry of the snapshot that the desk comes from; 0: every fact was replayed
    exchange: EmbeddedExchange | None  # launched; `answers` tells where it is. None: the broker is Alpaca
    keys: BrokerKeys  # to the broker


@asynccontextmanager
async def begun(
    config: Config, keys: BrokerKeys | None, *, waits_for_listener: bool = False, goes_first: bool = False
) -> AsyncIterator[Begun]:
    """Open the ledger, launch the embedded exchange, fold the facts. Both are closed at the end.

    *waits_for_listener*: the tape stands until somebody reads it, at any speed (at speed 0 it always does).
    *goes_first*: this process is a desk and nothing else, and goes before its runs.
    """
    check_places(config)
    ask_for_short_turns(goes_first=goes_first)  # before the first thread and the first process, which inherit it
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(await LedgerStore.open(db_path(config)))
        exchange = None
        if config.broker.mode == "embedded":
            keys = BrokerKeys(key_id=secrets.token_hex(10), secret_key=secrets.token_hex(20))
            exchange = _exchange(config, keys, waits_for_listener=waits_for_listener)
            stack.push_async_callback(exchange.stop)
            await exchange.launch()
        elif keys is None:
            raise ConfigError(f'broker.mode = "alpaca" needs keys: {HOME_OF_KEYS}')
        desk, seq = await folded(ledger, db_path(config))
        desk.lane = lane_rules_of(config.orders)
        waits_s = 0.0 if exchange is not None else config.broker.queue_wait_max_s  # it may have left so late
        desk.doubt_settle = timedelta(seconds=config.broker.doubt_settle_s + waits_s)
        yield Begun(ledger=ledger, desk=desk, snapshot_seq=seq, exchange=exchange, keys=keys)


async def folded(ledger: LedgerStore, path: Path) -> tuple[Desk, int]:
    """Return the desk that the ledger leads to, and the entry of the snapshot that it comes from (0: of none)."""
    desk, seq, entry_hash = Desk(), 0, codec.GENESIS
    place = snapshot.path_of(path)
    head = snapshot.head_of(place)
    trouble = head
    if isinstance(head, snapshot.Head):
        found = snapshot.load(place, head, stored_hash=await ledger.hash_of(head.seq))
        if isinstance(found, Desk):
            desk, seq, entry_hash = found, head.seq, head.hash
        else:
            trouble = found
    if isinstance(trouble, snapshot.Unfit):
        log.warning("snapshot_not_used", path=str(place), why=trouble.why, consequence="every fact is replayed")
    async for fact in ledger.replay(after=seq, prev=entry_hash):
        desk.apply(fact)
    if not ledger.last_seq:
        remedy = "where this desk has traded before: is its disk mounted, is desk.state_dir right?"
        log.info("ledger_is_new", path=str(path), remedy=remedy)
    log.info(
        "ledger_replayed",
        facts=ledger.last_seq,
        from_snapshot=seq,
        orders=len(desk.orders),
        open_orders=len(desk.open_ids),
    )
    return desk, seq


def check_places(config: Config) -> None:
    """Raise ConfigError where not even the folder above the ledger's is there: its disk is not mounted.

    A desk that made all of the path would begin an empty ledger, beside the one that it should go on with.
    """
    for key, folder in (("desk.state_dir", config.desk.state_dir), ("desk.db_path", db_path(config).parent)):
        if not folder.exists() and not folder.parent.exists():
            text = f"{key}: {folder.parent} is not there: mount its disk, or make that folder"
            raise ConfigError(f"{text}; a ledger that is made anew begins empty")


def db_path(config: Config) -> Path:
    """Return where the ledger is."""
    return config.desk.db_path or config.desk.state_dir / "desk.db"


def _exchange(config: Config, keys: BrokerKeys, *, waits_for_listener: bool) -> EmbeddedExchange:
    return EmbeddedExchange(
        settings_from(
            config.exchange,
            state=config.exchange.state or config.desk.state_dir / "exchange.db",
            keys=VenueKeys(key_id=keys.key_id, secret_key=keys.secret_key),
            rate_limit_per_min=0,
            waits_for_listener=waits_for_listener,
            log_level=config.log.level,
            log_format=config.log.format,
        )
    )
