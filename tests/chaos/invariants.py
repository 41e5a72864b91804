"""ARCHITECTURE 3, checked on what a run left. Each check returns what is broken, in words with the evidence.

A check looks at the evidence and at nothing else: not at the clock, and not at how fast anything was. Of what strategies
were told the evidence is each run's beginning: no check takes for untold what is only not there.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from deskd.core.desk import Desk
from deskd.ledger.codec import decode
from tests.chaos.evidence import (
    ZERO,
    Came,
    Ledger,
    Theirs,
    audited,
    crashes_in,
    folded,
    read_exchange,
    read_facts,
    read_said,
    read_wire,
)
from tests.chaos.settled import MANUAL, REPLACED_BY_HAND, agrees
from tests.chaos.told import NOT_REPLACED, Told, end_told, refused

CENT = Decimal("0.01")
ORDER_TRIES_MAX = 3  # decision 48, said here once more
SHOWN_MAX = 5  # examples of what one check found
NOTHING_SEEN = "it looked at nothing: the evidence for it is missing"

NOT_AT_THE_BROKER = frozenset({"BROKER_REJECTED", "NEVER_ARRIVED", "NOT_SENT"})
UNNAMED = frozenset({None, "unexplained", "returned"})  # causes that explain nothing


@dataclass(frozen=True, slots=True)
class Row:
    """One order's row among the projections."""

    status: str
    filled_qty: Decimal
    reason: str | None
    broker_order_id: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a check may look at."""

    ledger: Ledger
    theirs: Theirs
    came: dict[str, Came]
    said: dict[str, list[dict[str, Any]]]
    rows: dict[str, Row]
    positions: dict[tuple[str, str], Decimal]  # among the projections
    cash: dict[str, Decimal]
    desk: Desk  # replayed
    without_denials: Desk  # replayed but for what was denied
    logs: tuple[Path, ...]
    opening_cash: Decimal
    audit: str  # what `deskctl audit verify` has against the ledger


def gather(files: Path, logs: Sequence[Path], opening_cash: Decimal) -> Evidence:
    """Read everything: what was put aside when all was at rest, and the *logs* to their end."""
    with closing(sqlite3.connect(files / "desk.db")) as db:
        rows = {
            oid: Row(status, Decimal(filled), reason, broker)
            for oid, status, filled, reason, broker in db.execute(
                "SELECT client_order_id, status, filled_qty, reason, broker_order_id FROM orders"
                " UNION ALL SELECT part_id, status, filled_qty, reason, broker_order_id FROM order_parts"
            )
        }
        positions = {(who, s): Decimal(q) for who, s, q in db.execute("SELECT strategy_id, symbol, qty FROM positions")}
        cash = {who: Decimal(money) for who, money in db.execute("SELECT strategy_id, cash FROM strategies")}
    whole, without = Desk(), Desk()
    for _, _, kind, body, _, _ in read_facts(files / "desk.db"):
        fact = decode(kind, body)
        whole.apply(fact)
        if kind != "OrderDenied":
            without.apply(fact)
    return Evidence(
        ledger=folded(read_facts(files / "desk.db")),
        theirs=read_exchange(files / "exchange.db"),
        came=read_wire(files / "exchange.log"),
        said=read_said(files),
        rows=rows,
        positions=positions,
        cash=cash,
        desk=whole,
        without_denials=without,
        logs=tuple(logs),
        opening_cash=opening_cash,
        audit=audited(files / "desk.db"),
    )


type Broken = Iterator[str]
type Invariant = Callable[[Evidence], Broken]


def chain_is_whole(e: Evidence) -> Broken:
    """Facts are only ever appended; each carries the hash of the one before."""
    yield from e.ledger.broken_chain


def audit_passes(e: Evidence) -> Broken:
    """Find what the desk's own audit has against the ledger."""
    if e.audit:
        yield e.audit


def fills_are_booked_once(e: Evidence) -> Broken:
    """Every fill of the exchange is in the ledger, once, with its quantity and price; and none that it does not know."""
    for fill_id in e.ledger.doubled_fills:
        yield f"fill {fill_id} is booked twice"
    theirs: Counter[tuple[str, Decimal, Decimal]] = Counter()
    for fill in e.theirs.fills:
        if not e.theirs.is_manual(fill.order_id):
            theirs[e.theirs.orders[fill.order_id].client_order_id, fill.qty, fill.price] += 1
    ours = Counter((fill.client_order_id, fill.qty, fill.price) for fill in e.ledger.fills.values())
    for oid, qty, price in theirs - ours:
        yield f"a fill of order {oid} is not in the ledger: {qty} at {price}"
    for oid, qty, price in ours - theirs:
        yield f"a fill of order {oid} is in the ledger alone: {qty} at {price}"


def books_are_the_account(e: Evidence) -> Broken:
    """Strategies and house together hold what the broker's account holds: shares exactly, cash to the cent."""
    holdings: dict[str, Decimal] = defaultdict(Decimal)
    for (_, symbol), qty in e.ledger.positions.items():
        holdings[symbol] += qty
    for symbol in sorted(holdings.keys() | e.theirs.holdings.keys()):
        ours, real = holdings[symbol], e.theirs.holdings.get(symbol, ZERO)
        if ours != real:
            yield f"{symbol}: the books hold {ours}, the account {real}"
    cash = sum(e.ledger.cash.values(), ZERO)
    if abs(cash - e.theirs.cash) >= CENT:
        yield f"cash: the books have {cash}, the account {e.theirs.cash}"


def books_are_the_fold_of_fills(e: Evidence) -> Broken:
    """Find what projections or replayed desk say of position and cash, and the fold of the fills does not."""
    for key in e.ledger.positions.keys() | e.positions.keys():
        who, symbol = key
        folded = e.ledger.positions.get(key, ZERO)
        if e.positions.get(key, ZERO) != folded and who != "house":
            yield f"{who} {symbol}: projection {e.positions.get(key)}, fold of its fills {folded}"
        if e.desk.portfolio.books[who].qty(symbol) != folded:  # type: ignore[index, arg-type]
            yield f"{who} {symbol}: desk {e.desk.portfolio.books[who].qty(symbol)}, fold of its fills {folded}"  # type: ignore[index, arg-type]
    for who, cash in e.ledger.cash.items():
        if e.desk.portfolio.books[who].cash != cash:  # type: ignore[index]
            yield f"{who}: the desk has {e.desk.portfolio.books[who].cash} in cash, the fold of its fills {cash}"  # type: ignore[index]
        if who != "house" and e.cash.get(who) != cash:
            yield f"{who}: projection {e.cash.get(who)} in cash, fold of its fills {cash}"


def replay_is_the_projection(e: Evidence) -> Broken:
    """Replaying the facts gives the orders that the tables show."""
    replayed = {str(oid): order for oid, order in e.desk.orders.items()}
    for oid, order in replayed.items():
        row = e.rows.get(oid)
        if row is None:
            yield f"order {oid} has no row"
        elif (row.status, row.filled_qty, row.broker_order_id) != (
            order.status,
            order.filled_qty,
            order.broker_order_id,
        ):
            yield f"order {oid}: row {row}, replay {order.status} {order.filled_qty} {order.broker_order_id}"
    for oid in e.rows.keys() - replayed.keys():
        if oid not in e.ledger.denied:
            yield f"order {oid} has a row, and no replay knows it"


def orders_agree(e: Evidence) -> Broken:
    """Each order stands where the exchange says it does."""
    by_client_id = {order.client_order_id: order for order in e.theirs.orders.values()}
    busted: dict[str, Decimal] = defaultdict(Decimal)  # a member's fill stays booked
    for correction in e.theirs.corrections:
        busted[correction.fill.order_id] += correction.fill.qty if correction.is_bust else ZERO
    for order in e.theirs.orders.values():
        row = e.rows.get(order.client_order_id)
        if row is None or order.client_order_id not in e.ledger.orders:
            continue
        if not agrees(order.status, row.status, row.reason):
            yield f"order {order.client_order_id}: {order.status} at the exchange, {row.status} in the ledger"
        filled = order.filled_qty + busted[order.id]
        if row.filled_qty != filled:
            yield f"order {order.client_order_id}: {filled} filled at the exchange, {row.filled_qty} here"
    for oid in e.ledger.orders.keys() - by_client_id.keys():
        row = e.rows[oid]
        if parts := e.ledger.orders[oid].parts:  # each of which is the exchange's
            filled = sum((e.rows[part].filled_qty for part in parts), ZERO)
            if row.filled_qty != filled:
                yield f"order {oid}: its parts are filled to {filled}, it says {row.filled_qty}"
            continue
        if row.status != "rejected" or row.reason not in NOT_AT_THE_BROKER:
            yield f"order {oid}: the exchange has none, and the ledger says {row}"


def no_order_is_unknown(e: Evidence) -> Broken:
    """Find orders of the exchange that the ledger does not know."""
    for order in e.theirs.orders.values():
        oid = order.client_order_id
        if oid in e.ledger.orders or e.theirs.is_manual(order.id):
            continue
        parent = e.theirs.orders.get(order.parent_id) if order.parent_id else None
        if parent is not None and (not parent.filled_qty or e.theirs.is_manual(parent.id)):
            continue  # a leg of an entry that never filled: the desk need not have learned of it
        yield f"order {oid} ({order.status}) is at the exchange, and not in the ledger"


def orders_are_durable_before_they_are_sent(e: Evidence) -> Broken:
    """No order came to the exchange's door before its fact, and none whose fact is missing."""
    for oid, came in e.came.items():
        order = e.ledger.orders.get(oid)
        if order is None:
            if not oid.startswith((MANUAL, REPLACED_BY_HAND)):
                yield f"order {oid} came to the exchange at {came.first_at}, and has no fact"
        elif came.first_at < order.at and not order.is_adopted:
            yield f"order {oid} came to the exchange at {came.first_at}, before it was asked for at {order.at}"
        if e.ledger.rejected.get(oid) == "NOT_SENT" and came.count > came.turned_away:
            yield f"order {oid} was not sent, says the ledger, and came to the exchange at {came.first_at}"
        if order is None or order.accepted_seq is None or order.is_adopted:
            continue
        if order.accepted_seq <= order.approved_seq:
            yield f"order {oid} was accepted by entry {order.accepted_seq}, before entry {order.approved_seq}"


def no_order_is_sent_twice(e: Evidence) -> Broken:
    """No client_order_id came to the exchange's door again, but where it was turned away unread each time before.

    And none is carried by two of its orders.
    """
    for oid, came in e.came.items():
        if came.count > came.turned_away + 1 or came.count > ORDER_TRIES_MAX:
            yield f"order {oid} was sent {came.count} times, and turned away unread {came.turned_away} times"
    for oid in e.theirs.doubled:
        yield f"client_order_id {oid} is carried by two orders"
    for oid in e.ledger.doubled_orders:
        yield f"order {oid} was approved twice"


def reservations_are_for_open_orders(e: Evidence) -> Broken:
    """Find what is held for no open order, and sums that are not the sums of it."""
    held = e.desk.reservations
    for oid in held.by_order.keys() - e.desk.open_ids.keys() - e.desk.split_ids.keys():
        yield f"order {oid} is {e.desk.orders[oid].status}, and holds {held.by_order[oid]}"
    cash: Counter[str] = Counter()
    for order_id, reservation in held.by_order.items():
        cash[e.desk.orders[order_id].request.strategy_id] += reservation.cash  # type: ignore[assignment]
    for who in e.desk.portfolio.books:
        if held.cash(who) != cash.get(who, ZERO):
            yield f"{who}: {held.cash(who)} is held, its open orders hold {cash.get(who, ZERO)}"


def refusals_change_nothing(e: Evidence) -> Broken:
    """Without what the gate denied the books are the same; what the door refused is not in the ledger at all."""
    whole, without = e.desk, e.without_denials
    for name in ("portfolio", "reservations", "fill_ids", "open_ids", "legs", "by_broker_id", "days"):
        if getattr(whole, name) != getattr(without, name):
            yield f"what was denied changed {name}"
    for who, lines in e.said.items():
        for oid, (reasons, known_until) in refused(lines).items():
            taken = [] if (order := e.ledger.orders.get(oid)) is None else [order.at]
            taken += [e.ledger.denied_at[oid]] if oid in e.ledger.denied_at else []
            if any(at <= known_until for at in taken):  # later: asked again, in words that were lost
                yield f"{who}: order {oid} was refused ({', '.join(sorted(reasons))}), and is in the ledger"


def house_has_what_the_run_gave_it(e: Evidence) -> Broken:
    """Nothing is left to the house but the opening balance, what the run traded by hand, and what it had booked."""
    by_hand: dict[str, Decimal] = defaultdict(Decimal, e.theirs.splits)
    cost = ZERO
    for fill in e.theirs.fills:
        if e.theirs.is_manual(fill.order_id):
            by_hand[fill.symbol] += fill.signed_qty
            cost += fill.signed_qty * fill.price
    for correction in e.theirs.corrections:
        by_hand[correction.fill.symbol] += correction.more_qty
        cost -= correction.more_cash
    for symbol, given in e.ledger.given.items():
        by_hand[symbol] -= given
    held = {symbol: qty for (who, symbol), qty in e.ledger.positions.items() if who == "house"}
    for symbol in held.keys() | by_hand.keys():
        if held.get(symbol, ZERO) != by_hand[symbol]:
            yield f"the house holds {held.get(symbol, ZERO)} {symbol}, the run left it {by_hand[symbol]}"
    expected = e.opening_cash - sum(e.ledger.allocations.values(), ZERO) - cost + e.theirs.booked
    if abs(e.ledger.cash["house"] - expected) >= 2 * CENT:  # the broker told its cash in whole cents, each time
        yield f"the house has {e.ledger.cash['house']} in cash, the run left it {expected}"
    for fact in e.ledger.house[1:]:
        is_cash_of_ours = fact["symbol"] is None and (by_hand or e.theirs.has_bookings)
        if fact.get("cause") in UNNAMED and not is_cash_of_ours and fact["symbol"] not in by_hand:
            yield f"the house took what no hand gave it: {fact}"


def told_is_in_the_ledger(e: Evidence) -> Broken:
    """Find what strategies were told of their orders, in answers and in lines, that the ledger does not say."""
    by_order: dict[str, dict[Decimal, tuple[Decimal, Decimal, Decimal]]] = defaultdict(dict)
    for fill in e.ledger.fills.values():
        by_order[fill.told_of][fill.told_qty] = (fill.qty, fill.price, fill.position_qty)
    for who, lines in e.said.items():
        told: Counter[tuple[str, str]] = Counter()
        for line in lines:
            match line["what"]:
                case "answer":
                    yield from _answer_is_true(e, who, line)
                case "line" if line.get("fill_qty") is not None:
                    oid, filled = line["client_order_id"], Decimal(line["filled_qty"])
                    told[oid, str(filled)] += 1
                    real = by_order[oid].get(filled)
                    heard = (Decimal(line["fill_qty"]), Decimal(line["fill_price"]), Decimal(line["position_qty"]))
                    if real != heard:
                        yield f"{who}: was told of a fill {heard} of {oid} to {filled}, the ledger has {real}"
                case "order_seen":
                    filled = Decimal(line["filled_qty"] or 0)
                    if filled and filled not in by_order[line["id"]]:
                        yield f"{who}: saw {line['id']} filled to {filled}, which it never was"
                case "position_seen":
                    if Decimal(line["qty"]) not in e.ledger.held[who, line["symbol"]]:
                        yield f"{who}: saw a position of {line['qty']} {line['symbol']}, which it never had"
                case _:
                    pass
        for (oid, level), count in told.items():
            if count > 1:
                yield f"{who}: was told {count} times that {oid} is filled to {level}"


def _answer_is_true(e: Evidence, who: str, line: dict[str, Any]) -> Broken:
    oid, status = line["id"], line["status"]
    order = e.ledger.orders.get(oid)
    if status == "success" and (order is None or order.broker_order_id is None):
        yield f"{who}: was told that the broker has {oid}, and the ledger does not say so"
    elif status == "success" and order is not None and line["order_id"] and order.broker_order_id != line["order_id"]:
        yield f"{who}: was told that {oid} is {line['order_id']}, the ledger says {order.broker_order_id}"
    elif status == "denied" and oid not in e.ledger.denied and line["reason"] not in NOT_REPLACED:
        yield f"{who}: was told that {oid} is denied, and the ledger does not say so"
    elif status == "rejected" and oid not in e.ledger.rejected:
        yield f"{who}: was told that {oid} is rejected, and the ledger does not say so"


def told_is_complete(e: Evidence) -> Broken:
    """Find news of orders that a run should have had between two others: what is told has no gap.

    What came before the run read its first line, or after a kill, nobody could tell it.
    """
    fills: dict[str, list[tuple[str, Decimal]]] = defaultdict(list)
    for fill in e.ledger.fills.values():  # in the order of the ledger
        fills[e.ledger.orders[fill.client_order_id].strategy_id].append((fill.told_of, fill.told_qty))
    for who, lines in e.said.items():
        places = {known: place for place, known in enumerate(fills[who])}
        told: dict[int, list[int]] = defaultdict(list)
        for line in lines:
            if line["what"] == "line" and line.get("fill_qty") is not None:
                place = places.get((line["client_order_id"], Decimal(line["filled_qty"])))
                if place is not None:  # else another invariant is broken
                    told[line["run"]].append(place)
        for run, heard in told.items():
            expected = list(range(heard[0], heard[0] + len(heard)))
            if heard != expected:
                missed = sorted(set(range(min(heard), max(heard))) - set(heard))
                text = f"missed {[fills[who][place] for place in missed[:3]]}" if missed else "out of order"
                yield f"{who}, run {run}: was told of {len(heard)} fills, {text}"


def told_ends_are_ends(e: Evidence) -> Broken:
    """Find orders of which a strategy was told that they have ended, and that stand otherwise in the ledger."""
    for who, lines in e.said.items():
        for line in lines:
            oid, status = line.get("client_order_id") or line.get("id") or "", end_told(line)
            row = e.rows.get(oid)
            if status is not None and (row is None or row.status != status):
                yield f"{who}: was told that {oid} is {status}, the ledger says {row}"


def logs_have_no_crash(e: Evidence) -> Broken:
    """No exception went unhandled, in the desk or in the exchange."""
    for log in e.logs:
        for crash in crashes_in(log):
            yield f"{log.name}: {crash}"


INVARIANTS: tuple[Invariant, ...] = (
    chain_is_whole,
    audit_passes,
    fills_are_booked_once,
    books_are_the_account,
    books_are_the_fold_of_fills,
    replay_is_the_projection,
    orders_agree,
    no_order_is_unknown,
    orders_are_durable_before_they_are_sent,
    no_order_is_sent_twice,
    reservations_are_for_open_orders,
    refusals_change_nothing,
    house_has_what_the_run_gave_it,
    told_is_in_the_ledger,
    told_is_complete,
    told_ends_are_ends,
    logs_have_no_crash,
)


def looked_at(e: Evidence) -> dict[str, int]:
    """Return how much there was to look at, by invariant: one that saw nothing holds whatever happened."""
    orders, theirs = len(e.ledger.orders), len(e.theirs.orders)
    told = Told.of(e.said)
    return {
        "chain_is_whole": sum(e.ledger.kinds.values()),
        "audit_passes": sum(e.ledger.kinds.values()),
        "fills_are_booked_once": len(e.theirs.fills),
        "books_are_the_account": len(e.ledger.positions),
        "books_are_the_fold_of_fills": len(e.ledger.positions),
        "replay_is_the_projection": orders,
        "orders_agree": theirs,
        "no_order_is_unknown": theirs,
        "orders_are_durable_before_they_are_sent": len(e.came),
        "no_order_is_sent_twice": len(e.came),
        "reservations_are_for_open_orders": orders,
        "refusals_change_nothing": told.refused,
        "house_has_what_the_run_gave_it": len(e.ledger.house),
        "told_is_in_the_ledger": min(told.answers, told.fills),
        "told_is_complete": told.fills,
        "told_ends_are_ends": told.ends,
        "logs_have_no_crash": sum(log.stat().st_size for log in e.logs),
    }


def check(e: Evidence) -> dict[str, list[str]]:
    """Return what is broken, by invariant; one that had nothing to look at is."""
    seen = looked_at(e)
    found = {invariant.__name__: list(invariant(e)) for invariant in INVARIANTS}
    for name, broken in found.items():
        if not seen[name]:
            broken.append(NOTHING_SEEN)
    return {name: broken for name, broken in found.items() if broken}
