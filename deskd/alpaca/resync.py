"""The shared account at one moment, for a reconcile: after each `listening`, and on schedule.

Rule 1: orders before positions and cash: those may lag the orders by seconds, and are only checks.
Rule 2: an order that the desk thinks open and no list has is asked for by its id. Only the broker's own "not found"
        makes it missing; an unclear answer fails the whole look, and the caller looks again.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from deskd.domain.errors import WireError
from deskd.domain.events import BrokerOrder, BrokerSnapshot
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import Fill, Order
from deskd.ports import Broker

LOOKS_MAX = 3  # orders whose fills are asked for one by one; beyond it one list of all fills since is cheaper


async def snapshot(
    broker: Broker,
    *,
    open_orders: Sequence[Order],
    since: datetime | None,
    fill_counter: Callable[[], int],
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
    )


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
        elif theirs.filled_qty > ours.filled_qty:
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
