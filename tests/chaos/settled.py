"""Whether desk and exchange have come to rest: quick questions to both files, asked again and again."""

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path

CENT = Decimal("0.01")
MANUAL = "manual-"  # the run's own orders, which the desk never sent
REPLACED_BY_HAND = "by-hand-"  # and those that it put in the place of the desk's: they are the strategy's

# The desk's word for each of the broker's.
STATUS: Mapping[str, frozenset[str]] = {
    "filled": frozenset({"filled"}),
    "canceled": frozenset({"canceled"}),
    "expired": frozenset({"expired"}),
    "rejected": frozenset({"rejected"}),
    "replaced": frozenset({"replaced"}),
}
OPEN = frozenset({"accepted", "partially_filled", "pending_cancel", "pending_replace", "submitted"})


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def agrees(theirs: str, ours: str, reason: str | None) -> bool:
    """Tell whether both say the same of one order."""
    if theirs not in STATUS:
        return ours in OPEN
    # An order that came so late that the desk had closed it: told by name, and canceled at once.
    return ours in STATUS[theirs] or (ours == "rejected" and reason in {"NEVER_ARRIVED", "BROKER_REJECTED"})


def why_not(state: Path, books_cash: Decimal | None) -> str | None:
    """Return what is still on its way, or None. *books_cash* is what the desk itself says that all books have."""
    if books_cash is None:
        return "the desk does not answer"
    with closing(connect(state / "desk.db")) as desk, closing(connect(state / "exchange.db")) as exchange:
        ours = {
            oid: (status, reason)
            for oid, status, reason in desk.execute(
                "SELECT client_order_id, status, reason FROM orders"
                " WHERE client_order_id NOT IN (SELECT client_order_id FROM order_parts)"
                " UNION ALL SELECT part_id, status, reason FROM order_parts"
            )
        }
        theirs = dict(exchange.execute("SELECT client_order_id, status FROM orders").fetchall())
        for oid, status in theirs.items():
            if oid in ours and not agrees(status, *ours[oid]):
                return f"order {oid} is {status} at the exchange, {ours[oid][0]} in the ledger"
        if doubtful := [oid for oid, (status, _) in ours.items() if status == "submitted" and oid not in theirs]:
            return f"orders in doubt: {doubtful[:3]}"
        filled = exchange.execute(
            "SELECT count(*) FROM activities JOIN orders ON orders.id = activities.order_id"
            " WHERE orders.client_order_id NOT LIKE ? AND json_extract(CAST(activities.body AS TEXT), '$.corrects') IS NULL",
            (f"{MANUAL}%",),
        ).fetchone()[0]
        booked = desk.execute("SELECT count(*) FROM fills").fetchone()[0]
        if filled != booked:
            return f"the exchange has {filled} fills, the ledger {booked}"
        started = desk.execute("SELECT max(seq) FROM facts WHERE kind = 'DeskStarted'").fetchone()[0]
        last = desk.execute(
            "SELECT seq, body FROM facts WHERE kind = 'AccountReconciled' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        if last is None or last[0] < started:
            return "the account was not compared since the last start"
        if '"differences":[]' not in last[1]:
            return f"the account differs: {last[1]}"
        return _differences(desk, exchange, books_cash)


def _differences(desk: sqlite3.Connection, exchange: sqlite3.Connection, books_cash: Decimal) -> str | None:
    """Compare the account: the desk itself believes a difference after some time only."""
    ours: dict[str, Decimal] = defaultdict(Decimal)
    for symbol, qty in desk.execute("SELECT symbol, qty FROM positions"):
        ours[symbol] += Decimal(qty)
    theirs = {symbol: Decimal(qty) for symbol, qty in exchange.execute("SELECT symbol, qty FROM holdings")}
    for symbol in ours.keys() | theirs.keys():
        if ours[symbol] != theirs.get(symbol, 0):
            return f"the books hold {ours[symbol]} {symbol}, the account {theirs.get(symbol, 0)}"
    cash = Decimal(exchange.execute("SELECT cash FROM account").fetchone()[0])
    return None if abs(cash - books_cash) < CENT else f"the books have {books_cash} in cash, the account {cash}"


def put_aside(state: Path, to: Path) -> None:
    """Copy all that the invariants read, as it is: everything that could write it is dead."""
    to.mkdir()
    for name in ("desk.db", "exchange.db"):
        for suffix in ("", "-wal"):
            if (state / (name + suffix)).exists():
                shutil.copy(state / (name + suffix), to / (name + suffix))
    shutil.copy(state.parent / "exchange.log", to / "exchange.log")
    (to / "state").mkdir()
    for kept in (state / "state").glob("*.kept"):
        shutil.copy(kept, to / "state" / kept.name)
