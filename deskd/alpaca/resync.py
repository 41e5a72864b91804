"""The shared account at one moment, for a reconcile: after each `listening`, and on schedule.

Rule 1: orders before positions and cash: those may lag the orders by seconds, and are only checks.
Rule 2: the account's history before positions, too; what the desk does not know of it comes with the order it is of, if
        that may be ours: an order that the desk gave up may have traded after all.
Rule 3: an order that the desk thinks open and no list has is asked for by its id. Only the broker's own "not found"
        makes it missing; an unclear answer fails the whole look, and the caller looks again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deskd.domain.activity import Activity
from deskd.domain.errors import WireError
from deskd.domain.events import BrokerOrder, BrokerSnapshot
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import Fill, Order
from deskd.ports import Broker

LOOKS_MAX = 3  # orders whose fills are asked for one by one; beyond it one list of all fills since is cheaper
HISTORY_BACK = timedelta(minutes=1)  # executions are asked for from so long before the last look, in the broker's time
HISTORY_WIDE = timedelta(days=1)  # where a difference is suspected, or a tape began anew
OTHERS_BACK = timedelta(days=7)  # fees and the like are booked days later, with the day that they are for
WIDE_PAGES_MAX = 20  # of a wide look: it must not use up the broker's requests
STRANGERS_LISTED = 3  # orders that are fetched one by one; beyond it one list of orders is cheaper


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How much of the account's history is asked for."""

    read_until: datetime | None  # by the last look, in the broker's time; None: never yet
    is_wide: bool  # a difference is suspected: look further
    knows: Callable[[Activity], bool]
    is_ours: Callable[[BrokerOrderId], bool]


async def snapshot(
    broker: Broker,
    *,
    open_orders: Sequence[Order],
    since: datetime | None,
    fill_counter: Callable[[], int],
    history: History,
    now: Callable[[], datetime],
    why: str,
) -> BrokerSnapshot:
    """Return what the broker knows of the account, its own open orders, and every order that the desk thinks open.

    *since* is in the broker's time (the last known submitted_at, less five minutes): orders and fills after it are
    included even where the desk thinks them done. Raise OSError where the broker cannot be asked.
    """
    fill_count = fill_counter()
    try:
        orders = {o.broker_order_id: o for o in await broker.orders(is_open=True)}
        if since is not None:
            orders |= {o.broker_order_id: o for o in await broker.orders(after=since)}
        look = await _look_closer(broker, open_orders, orders, since)
        market_at = (await broker.clock()).timestamp
        news = await _news(broker, history, market_at)
        await _find_orders(broker, history, news, orders)
        positions = tuple(await broker.positions())
        cash, equity, buying_power = await broker.account()
    except WireError as error:
        raise ConnectionError(f"the broker's answer cannot be read: {error}") from error
    fills, missing = look
    return BrokerSnapshot(
        cash=cash,
        equity=equity,
        buying_power=buying_power,
        positions=positions,
        orders=tuple(orders.values()),
        fills=tuple((oid, tuple(known)) for oid, known in fills.items()),
        missing=tuple(missing),
        fill_count=fill_count,
        why=why,
        at=now(),
        activities=tuple(news),
        market_at=market_at,
    )


async def _news(broker: Broker, history: History, market_at: datetime) -> Sequence[Activity]:
    """Return the lines of the account's history that the desk does not know, executions first.

    A tape that began anew writes its lines into the past: then they are asked for up to where it stands now.
    """
    last = history.read_until or market_at
    has_gone_back = market_at < last - HISTORY_BACK
    since, until = min(last, market_at), market_at + HISTORY_BACK
    wide = since - HISTORY_WIDE
    executions: Sequence[Activity] | None = None
    if history.is_wide or has_gone_back:
        try:
            up_to = None if history.is_wide else until
            executions = await broker.activities(after=wide, until=up_to, is_trade=True, pages_max=WIDE_PAGES_MAX)
        except ConnectionError:
            executions = None  # too much to read: what the narrow look misses stays unexplained
    if executions is None:
        executions = await broker.activities(after=since - HISTORY_BACK, until=until, is_trade=True)
    others = await broker.activities(after=since - OTHERS_BACK, is_trade=False)
    return [line for line in (*executions, *others) if not history.knows(line)]


async def _find_orders(
    broker: Broker, history: History, news: Sequence[Activity], orders: dict[BrokerOrderId, BrokerOrder]
) -> None:
    """Add the orders of lines that are not by their id ours, and, as they are now, those with corrections."""
    corrected = {line.broker_order_id for line in news if line.is_correction and line.broker_order_id is not None}
    strange = {
        line.broker_order_id: line.at
        for line in reversed(news)
        if line.broker_order_id is not None and not history.is_ours(line.broker_order_id)
    }
    if len(strange.keys() - orders.keys()) > STRANGERS_LISTED:
        listed = await broker.orders(after=min(strange.values()) - HISTORY_WIDE)
        orders |= {o.broker_order_id: o for o in listed if o.broker_order_id in strange}
    for oid in sorted(corrected | (strange.keys() - orders.keys())):
        if (found := await broker.order(oid)) is not None:
            orders[oid] = found


async def _look_closer(
    broker: Broker,
    open_orders: Sequence[Order],
    orders: dict[BrokerOrderId, BrokerOrder],
    since: datetime | None,
) -> tuple[Mapping[ClientOrderId, Sequence[Fill]], Sequence[ClientOrderId]]:
    """Add the desk's open orders that no list had; return the fills that the desk lacks, and what is missing."""
    fills: dict[ClientOrderId, Sequence[Fill]] = {}
    missing: list[ClientOrderId] = []
    by_client_id = {o.client_order_id: o for o in orders.values()}
    behind: list[BrokerOrder] = []
    for ours in open_orders:
        oid = ours.request.client_order_id
        theirs = by_client_id.get(oid)
        if theirs is None:
            if not await _look_up(broker, oid, orders, fills):
                missing.append(oid)
        elif theirs.filled_qty > ours.filled_qty - ours.internal_qty:
            behind.append(theirs)
    if since is not None and len(behind) > LOOKS_MAX:
        listed = await broker.fills(after=since)
        for theirs in behind:
            fills[theirs.client_order_id] = listed.get(theirs.broker_order_id, ())
        behind = [o for o in behind if sum(f.qty for f in fills[o.client_order_id]) < o.filled_qty]
    for theirs in behind:
        await _look_up(broker, theirs.client_order_id, orders, fills)
    return fills, missing


async def _look_up(
    broker: Broker,
    oid: ClientOrderId,
    orders: dict[BrokerOrderId, BrokerOrder],
    fills: dict[ClientOrderId, Sequence[Fill]],
) -> bool:
    """Put the order and its fills in; return False where the broker has no such order."""
    found = await broker.look_up(oid)
    if found is None:
        raise ConnectionError(f"no clear answer about order {oid}")
    if found.order is None:
        return False
    orders[found.order.broker_order_id] = found.order
    fills[oid] = found.fills
    return True
