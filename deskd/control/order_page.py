"""Gathers from the ledger what one order's page tells (`deskctl why`). It only reads; use it from a thread."""

from collections.abc import Callable, Sequence

from deskd.control.names import NoSuchName
from deskd.domain import events as ev
from deskd.domain.entry import Entry
from deskd.domain.ids import ClientOrderId, UserId
from deskd.ledger.fact_reader import ID_PREFIX_MIN, ORDERS_FOUND_MAX, FactReader
from deskd.wire.drop_copy import order_of
from deskd.wire.order_story import AROUND, Material, View, tell

AROUND_READ_MAX = 2_000  # facts beside an order's own that are looked at: a GTC order may live for months


def order_page(history: FactReader, typed: str, may_see: Callable[[UserId], bool]) -> View:
    """Return the page of the order that *typed* names; raise NoSuchName where it names none, or not one."""
    found = [oid for oid, user_id in history.orders_named(typed) if may_see(UserId(user_id))]
    return tell(_material(history, _the_one(typed, found)))


def _the_one(typed: str, found: Sequence[ClientOrderId]) -> ClientOrderId:
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(found[: ORDERS_FOUND_MAX - 1]) + (", …" if len(found) >= ORDERS_FOUND_MAX else "")
        raise NoSuchName(f"order {typed!r} is ambiguous: {ids}; type more of it")
    short = f" (a beginning needs {ID_PREFIX_MIN} characters)" if len(typed) < ID_PREFIX_MIN else ""
    raise NoSuchName(f"there is no order {typed!r} of yours in the ledger{short}; `deskctl orders` lists them")


def _material(history: FactReader, oid: ClientOrderId) -> Material:
    is_over = not history.is_open(oid)
    entries = history.of_order(oid)
    is_split = any(isinstance(entry.fact, ev.OrderSplit) for entry in entries)  # then its parts' facts are its own
    own = [entry for entry in entries if is_split or order_of(entry.fact) == oid] or entries
    around: Sequence[Entry] = ()
    run: Sequence[Entry] = ()
    if own:
        last = own[-1].seq if is_over else history.last_seq()
        around = history.after(own[0].seq - 1, until=last, limit=AROUND_READ_MAX, kinds=AROUND)
        request = next((r for e in entries if (r := getattr(e.fact, "request", None)) is not None), None)
        run = history.runs_of(request.strategy_id, before=entries[0].seq) if request is not None else ()
    return Material(order_id=oid, entries=entries, around=around, run=run)
