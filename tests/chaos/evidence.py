"""What both sides wrote down, read independently of the desk's own code: facts as JSON, rows as they lie there."""

import hashlib
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from tests.chaos.settled import MANUAL
from tests.kept import given_back
from tests.whole.desk_process import ROOT

type Fact = dict[str, Any]
type Entry = tuple[int, str, str, str, str, str]  # seq, at, kind, body, prev_hash, hash

ZERO = Decimal(0)
OURS = "chaos"  # the description of what the run had the broker book


@dataclass(frozen=True, slots=True)
class BookedFill:
    """One fill of the ledger, and what it led to."""

    seq: int
    client_order_id: str
    qty: Decimal
    price: Decimal
    filled_qty: Decimal  # of the order, after it
    told_of: str  # the order of which the strategy is told: a part's fill is its whole order's
    told_qty: Decimal  # filled of that, after it
    position_qty: Decimal  # of the strategy, after it


@dataclass(slots=True)
class Asked:
    """One order as the facts tell of it."""

    strategy_id: str
    symbol: str
    side: str
    approved_seq: int
    at: str
    accepted_seq: int | None = None
    broker_order_id: str | None = None
    filled_qty: Decimal = ZERO
    is_leg: bool = False
    whole: str | None = None  # of a part: the order that went to the broker in parts
    parts: list[str] = field(default_factory=list)
    is_adopted: bool = False  # somebody replaced an order of ours at the broker


@dataclass(slots=True)
class Ledger:
    """The facts, folded by hand."""

    broken_chain: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    orders: dict[str, Asked] = field(default_factory=dict)
    denied: dict[str, str] = field(default_factory=dict)  # reason by order
    denied_at: dict[str, str] = field(default_factory=dict)  # the first time
    rejected: dict[str, str] = field(default_factory=dict)
    fills: dict[str, BookedFill] = field(default_factory=dict)  # by fill_id
    doubled_fills: list[str] = field(default_factory=list)
    doubled_orders: list[str] = field(default_factory=list)
    positions: dict[tuple[str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    held: dict[tuple[str, str], set[Decimal]] = field(default_factory=lambda: defaultdict(lambda: {ZERO}))  # ever
    given: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))  # by the house, after splits
    cash: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    allocations: dict[str, Decimal] = field(default_factory=dict)
    house: list[Fact] = field(default_factory=list)  # adjustments
    discrepancies: list[Fact] = field(default_factory=list)
    outages: Counter[str] = field(default_factory=Counter)
    ended_runs: Counter[str] = field(default_factory=Counter)


def read_facts(path: Path) -> Iterator[Entry]:
    """Yield every entry, oldest first."""
    with closing(sqlite3.connect(path)) as db:
        yield from db.execute("SELECT seq, at, kind, body, prev_hash, hash FROM facts ORDER BY seq")


def folded(entries: Iterable[Entry]) -> Ledger:
    """Fold the facts, and check their chain."""
    ledger = Ledger()
    prev = "0" * 64
    for number, (seq, at, kind, body, prev_hash, entry_hash) in enumerate(entries, start=1):
        told = hashlib.sha256(f"{prev}\n{seq}\n{at}\n{kind}\n{body}".encode()).hexdigest()
        if seq != number or prev_hash != prev or entry_hash != told:
            ledger.broken_chain.append(f"entry {seq} ({kind}): number, hash or the hash before it is wrong")
        prev = entry_hash
        ledger.kinds[kind] += 1
        _fold(ledger, seq, kind, json.loads(body))
    return ledger


def _fold(ledger: Ledger, seq: int, kind: str, fact: Fact) -> None:
    match kind:
        case "OrderApproved":
            request = fact["request"]
            oid = request["client_order_id"]
            if oid in ledger.orders:
                ledger.doubled_orders.append(oid)
            asked = Asked(request["strategy_id"], request["symbol"], request["side"], seq, fact["at"])
            ledger.orders[oid] = asked
        case "OrderAdopted":
            request = fact["request"]
            adopted = Asked(request["strategy_id"], request["symbol"], request["side"], seq, fact["at"], seq)
            adopted.broker_order_id, adopted.is_adopted = fact["broker_order_id"], True
            ledger.orders[request["client_order_id"]] = adopted
        case "OrderSplit":
            oid, part_id = fact["client_order_id"], fact["part_id"]
            if part_id in ledger.orders:
                ledger.doubled_orders.append(part_id)
            whole = ledger.orders[oid]
            whole.parts.append(part_id)
            ledger.orders[part_id] = Asked(whole.strategy_id, whole.symbol, whole.side, seq, fact["at"], whole=oid)
        case "SharesDistributed":
            _distribute(ledger, fact["symbol"], Decimal(fact["ratio"]))
        case "OrderDenied":
            ledger.denied[fact["request"]["client_order_id"]] = fact["reason"]
            ledger.denied_at.setdefault(fact["request"]["client_order_id"], fact["at"])
        case "OrderAccepted" | "LegsFound":
            order = ledger.orders[fact["client_order_id"]]
            if kind == "OrderAccepted":
                order.accepted_seq, order.broker_order_id = seq, fact["broker_order_id"]
                if order.whole is not None and (whole := ledger.orders[order.whole]).broker_order_id is None:
                    whole.broker_order_id = fact["broker_order_id"]  # of its first part
            for leg in fact["legs"]:
                ledger.orders[leg["client_order_id"]] = Asked(
                    order.strategy_id,
                    order.symbol,
                    leg["side"],
                    order.approved_seq,
                    order.at,
                    seq,
                    leg["broker_order_id"],
                    is_leg=True,
                )
        case "OrderRejected":
            ledger.rejected[fact["client_order_id"]] = fact["reason"]
        case "OrderFilled":
            _fill(ledger, seq, fact)
        case "AllocationChanged":
            who, allocation = fact["strategy_id"], Decimal(fact["allocation"])
            moved = allocation - ledger.allocations.get(who, ZERO)
            ledger.allocations[who] = allocation
            ledger.cash[who] += moved
            ledger.cash["house"] -= moved
        case "HouseAdjusted":
            ledger.house.append(fact)
            ledger.cash["house"] += Decimal(fact["cash"])
            if fact["symbol"] is not None:
                ledger.positions["house", fact["symbol"]] += Decimal(fact["qty"])
        case "DiscrepancyFound":
            ledger.discrepancies.append(fact)
        case "StreamChanged" if not fact["is_up"]:
            ledger.outages[fact["stream"]] += 1
        case "RunEnded":
            ledger.ended_runs[fact["end"]["reason"]] += 1
        case _:
            pass  # no money, and no order, is moved by it


def _distribute(ledger: Ledger, symbol: str, ratio: Decimal) -> None:
    """Multiply every member's shares; the house gives what that makes."""
    for (who, held), qty in list(ledger.positions.items()):
        if who == "house" or held != symbol or not qty:
            continue
        new = (qty * ratio).quantize(Decimal("0.000000001"), ROUND_DOWN)
        ledger.positions[who, symbol] = new
        ledger.positions["house", symbol] -= new - qty
        ledger.given[symbol] += new - qty
        ledger.held[who, symbol].add(new)


def _fill(ledger: Ledger, seq: int, fact: Fact) -> None:
    oid, fill_id = fact["client_order_id"], fact["fill_id"]
    if fill_id in ledger.fills:
        ledger.doubled_fills.append(fill_id)
    order = ledger.orders[oid]
    qty, price = Decimal(fact["qty"]), Decimal(fact["price"])
    signed = qty if order.side == "buy" else -qty
    order.filled_qty += qty
    ledger.positions[order.strategy_id, order.symbol] += signed
    ledger.cash[order.strategy_id] -= signed * price
    position = ledger.positions[order.strategy_id, order.symbol]
    ledger.held[order.strategy_id, order.symbol].add(position)
    told_of, told = (oid, order) if order.whole is None else (order.whole, ledger.orders[order.whole])
    if told is not order:
        told.filled_qty += qty
    ledger.fills[fill_id] = BookedFill(seq, oid, qty, price, order.filled_qty, told_of, told.filled_qty, position)


@dataclass(frozen=True, slots=True)
class TheirOrder:
    """One order of the exchange."""

    id: str
    client_order_id: str
    symbol: str
    status: str
    filled_qty: Decimal
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class TheirFill:
    """One execution of the exchange."""

    order_id: str
    qty: Decimal
    price: Decimal
    side: str
    symbol: str

    @property
    def signed_qty(self) -> Decimal:
        return self.qty if self.side == "buy" else -self.qty


@dataclass(frozen=True, slots=True)
class Correction:
    """What the broker did to a fill later: it busted it, or gave it another price."""

    fill: TheirFill
    is_bust: bool
    price: Decimal  # the new one

    @property
    def more_qty(self) -> Decimal:
        """Return the shares that it moved into the account."""
        return -self.fill.signed_qty if self.is_bust else ZERO

    @property
    def more_cash(self) -> Decimal:
        """Return the cash that it moved into the account."""
        old = self.fill.signed_qty * self.fill.price
        return old if self.is_bust else old - self.fill.signed_qty * self.price


@dataclass(frozen=True, slots=True)
class Theirs:
    """The exchange's file."""

    orders: Mapping[str, TheirOrder]  # by id
    fills: Sequence[TheirFill]
    doubled: tuple[str, ...]  # client_order_ids that two orders carry
    cash: Decimal
    holdings: Mapping[str, Decimal]
    booked: Decimal = ZERO  # cash that the run had the broker book: fees, dividends
    has_bookings: bool = False
    corrections: Sequence[Correction] = ()
    splits: Mapping[str, Decimal] = field(default_factory=dict)  # shares that they made, by symbol

    def is_manual(self, order_id: str) -> bool:
        """Tell whether the run itself made the order, past the desk."""
        return self.orders[order_id].client_order_id.startswith(MANUAL)


def read_exchange(path: Path) -> Theirs:
    """Read what the exchange wrote."""
    with closing(sqlite3.connect(path)) as db:
        bodies = [json.loads(body) for (body,) in db.execute("SELECT body FROM orders")]
        activities = [json.loads(body) for (body,) in db.execute("SELECT body FROM activities")]
        cash = Decimal(db.execute("SELECT cash FROM account").fetchone()[0])
        holdings = {symbol: Decimal(qty) for symbol, qty in db.execute("SELECT symbol, qty FROM holdings")}
    orders = {
        body["id"]: TheirOrder(
            body["id"],
            body["client_order_id"],
            body["symbol"],
            body["status"],
            Decimal(body["filled_qty"]),
            body["parent_id"],
        )
        for body in bodies
    }
    executions = {
        a["id"]: TheirFill(a["order_id"], Decimal(a["qty"]), Decimal(a["price"]), a["side"], a["symbol"])
        for a in activities
        if a["activity_type"] == "FILL" and a.get("corrects") is None
    }
    corrections = [
        Correction(executions[a["corrects"]], a["type"] == "trade_bust", Decimal(a["price"]))
        for a in activities
        if a.get("corrects") is not None
    ]
    splits: dict[str, Decimal] = defaultdict(Decimal)
    for a in activities:
        if a["activity_type"] == "SPLIT":
            splits[a["symbol"]] += Decimal(a["qty"])
    ids = Counter(order.client_order_id for order in orders.values())
    return Theirs(
        orders=orders,
        fills=tuple(executions.values()),
        doubled=tuple(oid for oid, count in ids.items() if count > 1),
        cash=cash,
        holdings={symbol: qty for symbol, qty in holdings.items() if qty},
        corrections=tuple(corrections),
        splits=splits,
        has_bookings=any(a.get("description") == OURS for a in activities),
        booked=sum((Decimal(a["net_amount"]) for a in activities if a.get("description") == OURS), ZERO),
    )


@dataclass(frozen=True, slots=True)
class Came:
    """When an order first reached the exchange's door, and how often it did."""

    first_at: str
    count: int
    turned_away: int = 0  # so often it was told that it is one too many, and was not looked at


def read_wire(log: Path) -> dict[str, Came]:
    """Return what came to the exchange's door, by client_order_id."""
    came: dict[str, Came] = {}
    with log.open("rb") as file:
        for line in file:
            is_came, is_away = b'"order_came"' in line, b'"order_turned_away"' in line
            if not (is_came or is_away):
                continue
            told = json.loads(line)
            known = came.get(told["client_order_id"], Came(told["timestamp"], 0))
            came[told["client_order_id"]] = replace(
                known, count=known.count + is_came, turned_away=known.turned_away + is_away
            )
    return came


def read_said(state: Path) -> dict[str, list[Fact]]:
    """Return what each strategy wrote of what it was told, out of what the desk kept of its /state.

    Of each run that is the beginning: a killed desk loses what is newer than its last save, and a run of which nothing
    was saved is not there at all. A line that a kill or a save cut short is left out.
    """
    said: dict[str, list[Fact]] = {}
    for archive in sorted(state.glob("state/*.kept")):
        with tempfile.TemporaryDirectory() as folder:
            file = given_back(archive, Path(folder)) / "said.jsonl"
            text = file.read_text(errors="replace") if file.exists() else ""
        lines = said[archive.stem] = []
        for line in text.splitlines():
            if line.startswith("{") and line.endswith("}"):
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    continue
    return said


def audited(ledger: Path) -> str:
    """Return what `deskctl audit verify` has against the ledger."""
    deskctl = [sys.executable, "-m", "deskd.cli.deskctl", "audit", "verify"]
    done = subprocess.run([*deskctl, "--db", str(ledger)], capture_output=True, check=False, cwd=ROOT, text=True)
    return "" if done.returncode == 0 else f"exit code {done.returncode}: {done.stdout} {done.stderr}"


def crashes_in(log: Path) -> list[str]:
    """Return what speaks of an unhandled exception, with what stands around it."""
    lines = log.read_text(errors="replace").splitlines()
    found = []
    for number, line in enumerate(lines):
        is_trace = "Traceback (most recent call last)" in line or "Exception Group Traceback" in line
        if is_trace or ('"exception"' in line and line.startswith("{")):
            found.append("\n".join(lines[number : number + 40])[-4000:])
    return found
