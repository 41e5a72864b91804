"""What the tables beside `facts` hold after a batch: rows from the desk's state, for all that the facts touched.

Rule 1: how facts were split into batches does not show in any table: rebuilt by replay, the tables are the same.
Rule 2: a column is one line of a row below, named as in the migration that added it; a table is one name in TABLES.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import groupby
from operator import itemgetter

import msgspec

from deskd.core import updates
from deskd.core.desk import DENIED_KEPT, Desk
from deskd.core.house import cause_of
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol
from deskd.domain.money import NO_CASH, plain
from deskd.domain.order import Order
from deskd.domain.run import RunEnd, StrategyStatus
from deskd.domain.stage import Stage
from deskd.ledger.codec import stamp
from deskd.ledger.risk_rows import RiskFact, risk_event

type Statement = tuple[str, tuple[object, ...]]  # SQL and its parameters
type Row = Mapping[str, object]

# Emptied and filled anew by a rebuild.
TABLES = (
    "strategies",
    "runs",
    "orders",
    "order_parts",
    "fills",
    "positions",
    "outages",
    "discrepancies",
    "house_bookings",
    "roots",
    "exits",
    "risk_events",
)
RESOLVED = """UPDATE discrepancies SET resolved_at = ?, resolved_by = ?, reason = ?
    WHERE subject = ? AND id <= ? AND resolved_at IS NULL AND more IS NOT NULL"""
_END_COLUMNS = (
    "exit_reason",
    "exit_detail",
    "peak_memory_bytes",
    "cpu_seconds",
    "exit_code",
    "memory_max_bytes",
    "memory_growth_bytes",
    "throttled_seconds",
    "throttled_periods",
    "periods",
    "lines_delivered",
    "lines_handled",
    "last_line",
    "traceback",
    "source_line",
    "output",
)
BATCH_MOST = DENIED_KEPT  # facts: an order that was denied before so many others is not in the desk's memory any more


def project(facts: Sequence[ev.Fact], desk: Desk) -> list[Statement]:
    """Return the statements that bring the projections to the desk's state after *facts*."""
    statements: list[Statement] = []
    orders: dict[ClientOrderId, None] = {}
    parts: dict[ClientOrderId, None] = {}
    positions: dict[tuple[StrategyId, Symbol], None] = {}
    strategies: dict[StrategyId, datetime] = {}
    registered: dict[StrategyId, datetime] = {}  # when first: later registrations are changes
    # Counted back from where the desk is now: a discrepancy has the same id whatever batch it came in.
    discrepancies = desk.standing.found - sum(isinstance(fact, ev.DiscrepancyFound) for fact in facts)
    for fact in facts:
        oid = updates.order_of(fact)
        if isinstance(fact, ev.OrderApproved):
            oid = fact.request.client_order_id
        elif isinstance(fact, ev.BrokerSaid | ev.FillCorrected):
            oid = fact.client_order_id
        elif isinstance(fact, ev.OrderSplit):
            oid = fact.part_id
        if oid is not None:
            order = desk.orders[oid]
            orders[order.part_of or oid] = None
            if order.part_of is not None:
                parts[oid] = None
        if isinstance(fact, ev.OrderAccepted | ev.LegsFound):
            orders.update(dict.fromkeys(leg.client_order_id for leg in fact.legs))
        elif isinstance(fact, ev.OrderReplaced | ev.OrderAdopted):
            orders.update(_taken_over(fact, desk))
        elif isinstance(fact, ev.OrderFilled):
            request = desk.orders[fact.client_order_id].request
            fill = _fill(fact, desk.orders[fact.client_order_id])
            statements.append((_insert("fills", tuple(fill)), tuple(fill.values())))
            positions[request.strategy_id, request.symbol] = None
            strategies[request.strategy_id] = fact.at
        elif isinstance(fact, ev.PositionsMarked):
            marked = {symbol for symbol, _ in fact.marks}
            positions.update(
                dict.fromkeys(
                    (book.strategy_id, s)
                    for book in desk.portfolio.books.values()
                    for s in book.positions
                    if s in marked
                )
            )
        elif isinstance(fact, ev.DiscrepancyFound):
            discrepancies += 1
            row = _discrepancy(discrepancies, fact)
            statements.append((_insert("discrepancies", tuple(row)), tuple(row.values())))
        elif isinstance(fact, ev.DiscrepancyResolved):
            resolved = (stamp(fact.at), fact.by, fact.reason, fact.subject, discrepancies)
            statements.append((RESOLVED, resolved))
        elif isinstance(fact, ev.SharesDistributed):
            books = desk.portfolio.books
            positions.update(dict.fromkeys((b, fact.symbol) for b in books if fact.symbol in books[b].positions))
        elif isinstance(fact, ev.HouseAdjusted):
            row = _booking(fact)
            statements.append((_insert("house_bookings", tuple(row)), tuple(row.values())))
            house = desk.portfolio.books
            positions.update(dict.fromkeys((b, fact.symbol) for b in house if fact.symbol in house[b].positions))
        elif isinstance(
            fact, ev.StrategyRegistered | ev.StrategyStatusChanged | ev.AllocationChanged | ev.StageChanged
        ):
            strategies[fact.strategy_id] = fact.at
            if isinstance(fact, ev.StrategyRegistered):
                registered.setdefault(fact.strategy_id, fact.at)
        elif isinstance(fact, ev.RunStarted | ev.RunEnded):
            statements.append(_put("runs", ("run_id",), _run(fact), is_part=True))
        elif isinstance(fact, ev.OutageEnded) or (isinstance(fact, ev.StreamChanged) and not fact.is_up):
            outage = _outage(fact)
            statements.append((_outage_sql(tuple(outage)), tuple(outage.values())))
        elif isinstance(fact, ev.ExitTriggered):
            row = _exit(fact)
            statements.append((_insert("exits", tuple(row)), tuple(row.values())))
        elif isinstance(fact, RiskFact.__value__):
            row = risk_event(fact)
            statements.append((_insert("risk_events", tuple(row)), tuple(row.values())))
        elif isinstance(fact, ev.RootSigned):
            statements.append(_put("roots", ("seq",), _root(fact)))
    statements += [_put("orders", ("client_order_id",), _order(desk.orders[oid])) for oid in orders]
    statements += [_put("order_parts", ("part_id",), _part(desk.orders[oid])) for oid in parts]
    statements += [
        _put("positions", ("strategy_id", "symbol"), _position(desk, who, symbol)) for who, symbol in positions
    ]
    for who, at in strategies.items():
        if who in desk.strategies:
            row = _strategy(desk, who, created_at=registered.get(who, at), updated_at=at)
            statements.append(_put("strategies", ("strategy_id",), row, kept="created_at"))
    return statements


def _taken_over(fact: ev.OrderReplaced | ev.OrderAdopted, desk: Desk) -> dict[ClientOrderId, None]:
    """Return the orders whose links change: the new order, and the legs that go over to it."""
    new = fact.replaced_by if isinstance(fact, ev.OrderReplaced) else fact.request.client_order_id
    if new is None or new not in desk.orders:  # one that comes back to the desk begins with the fact after this
        return {}
    return dict.fromkeys((new, *desk.legs.get(new, ())))


def write(db: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    """Perform the statements in the transaction that is open: those of one table in their order, many at a time."""
    for sql, group in groupby(sorted(statements, key=itemgetter(0)), key=itemgetter(0)):
        db.executemany(sql, [parameters for _, parameters in group])


# --- statements: a row that changes keeps its place (rowid), so that rows stand in the order of their facts -------------


def _put(table: str, key: tuple[str, ...], row: Row, *, kept: str = "", is_part: bool = False) -> Statement:
    """Return what adds the row, or changes it: all but the column *kept*; where it *is_part*, what it knows."""
    return _upsert(table, key, tuple(row), kept, is_part), tuple(row.values())


@cache
def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({','.join('?' * len(columns))})"  # noqa: S608  our own names


@cache
def _upsert(table: str, key: tuple[str, ...], columns: tuple[str, ...], kept: str, is_part: bool) -> str:  # noqa: FBT001
    new = "coalesce(excluded.{0}, {0})" if is_part else "excluded.{0}"
    changes = ", ".join(f"{column} = {new.format(column)}" for column in columns if column not in {*key, kept})
    return f"{_insert(table, columns)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"


@cache
def _outage_sql(columns: tuple[str, ...]) -> str:
    """Return what adds the row, or ends it; a loss of a stream that is lost already, and not mended, adds none."""
    names, marks = ", ".join(columns), ", ".join(f"?{number}" for number in range(1, len(columns) + 1))
    closed = f"?{columns.index('closed_at') + 1}"
    goes_on = f"SELECT 1 FROM outages WHERE stream = ?{columns.index('stream') + 1} AND closed_at IS NULL"  # noqa: S608
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
    return (
        f"INSERT INTO outages ({names}) SELECT {marks} WHERE {closed} IS NOT NULL OR NOT EXISTS ({goes_on}) "
        f"ON CONFLICT (stream, started_at) DO UPDATE SET {changes}"
    )


# --- rows --------------------------------------------------------------------------------------------------------------


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _order(order: Order) -> Row:
    r = order.request
    return {
        "client_order_id": r.client_order_id,
        "broker_order_id": order.broker_order_id,
        "parent_id": order.parent_id,
        "strategy_id": r.strategy_id,
        "user_id": r.user_id,
        "symbol": r.symbol,
        "side": r.side,
        "qty": _text(order.qty),
        "notional": _text(r.notional),
        "order_type": r.order_type,
        "time_in_force": r.time_in_force,
        "limit_price": _text(r.limit_price),
        "stop_price": _text(r.stop_price),
        "status": order.status,
        "filled_qty": plain(order.filled_qty),
        "avg_fill_price": _text(order.avg_fill_price),
        "reason": order.reason,
        "message": order.message,
        "requested_at": stamp(order.requested_at),
        "submitted_at": None if order.submitted_at is None else stamp(order.submitted_at),
        "updated_at": stamp(order.updated_at),
        "broker_status": order.broker_status,
        "source": order.source,
        "replaces": order.replaces,
        "replaced_by": order.replaced_by,
    }


def _fill(fact: ev.OrderFilled, order: Order) -> Row:
    r = order.request
    return {
        "fill_id": fact.fill_id,
        "client_order_id": order.part_of or fact.client_order_id,
        "strategy_id": r.strategy_id,
        "user_id": r.user_id,
        "symbol": r.symbol,
        "side": r.side,
        "qty": plain(fact.qty),
        "price": plain(fact.price),
        "at": stamp(fact.filled_at),
        "part_id": None if order.part_of is None else fact.client_order_id,
        "is_internal": int(fact.internal_with is not None),
    }


def _part(part: Order) -> Row:
    r = part.request
    return {
        "part_id": r.client_order_id,
        "client_order_id": part.part_of,
        "broker_order_id": part.broker_order_id,
        "strategy_id": r.strategy_id,
        "user_id": r.user_id,
        "symbol": r.symbol,
        "side": r.side,
        "qty": _text(part.qty),
        "status": part.status,
        "filled_qty": plain(part.filled_qty),
        "avg_fill_price": _text(part.avg_fill_price),
        "reason": part.reason,
        "message": part.message,
        "sent_at": stamp(part.requested_at),
        "submitted_at": None if part.submitted_at is None else stamp(part.submitted_at),
        "updated_at": stamp(part.updated_at),
        "broker_status": part.broker_status,
    }


def _discrepancy(number: int, fact: ev.DiscrepancyFound) -> Row:
    return {
        "id": number,
        "subject": fact.subject,
        "found_at": stamp(fact.at),
        "expected": fact.expected,
        "actual": fact.actual,
        "action": fact.action,
        "more": _text(fact.more),
    }


def _booking(fact: ev.HouseAdjusted) -> Row:
    return {
        "cause": cause_of(fact),
        "activity_id": fact.activity_id,
        "symbol": fact.symbol,
        "qty": plain(fact.qty),
        "price": _text(fact.price),
        "cash": plain(fact.cash),
        "why": fact.why,
        "at": stamp(fact.at),
    }


def _exit(fact: ev.ExitTriggered) -> Row:
    return {
        "strategy_id": fact.strategy_id,
        "symbol": fact.symbol,
        "kind": fact.kind,
        "position_qty": plain(fact.position_qty),
        "price": plain(fact.price),
        "level": plain(fact.level),
        "avg_entry_price": plain(fact.avg_entry_price),
        "market_day": fact.market_day.isoformat(),
        "at": stamp(fact.at),
    }


def _position(desk: Desk, who: StrategyId, symbol: Symbol) -> Row:
    p = desk.portfolio.books[who].positions[symbol]
    return {
        "strategy_id": who,
        "symbol": symbol,
        "qty": plain(p.qty),
        "avg_entry_price": plain(p.avg_entry_price),
        "mark_price": plain(p.mark_price),
        "market_value": plain(p.market_value),
        "unrealized_pnl": plain(p.unrealized_pnl),
        "realized_pnl": plain(p.realized_pnl),
        "updated_at": stamp(p.updated_at),
    }


def _status_of(desk: Desk, who: StrategyId) -> StrategyStatus:
    """Return what the contract calls its status: one that is active and paused is `paused`."""
    is_paused = desk.stages.of(who) is Stage.PAUSED and desk.statuses[who] is StrategyStatus.ACTIVE
    return StrategyStatus.PAUSED if is_paused else desk.statuses[who]


def _strategy(desk: Desk, who: StrategyId, *, created_at: datetime, updated_at: datetime) -> Row:
    known = desk.strategies[who]
    book = desk.portfolio.books.get(who)
    return {
        "strategy_id": who,
        "user_id": known.user_id,
        "name": known.name,
        "version": known.version,
        "path": known.path,
        "code_hash": known.code_hash,
        "status": _status_of(desk, who),
        "stage": desk.stages.of(who),
        "allocation": plain(book.allocation if book else NO_CASH),
        "cash": plain(book.cash if book else NO_CASH),
        "created_at": stamp(created_at),
        "updated_at": stamp(updated_at),
    }


def _run(fact: ev.RunStarted | ev.RunEnded) -> Row:
    is_started = isinstance(fact, ev.RunStarted)
    at = stamp(fact.at)
    return {
        "run_id": fact.run_id,
        "strategy_id": fact.strategy_id,
        "started_at": at if is_started else None,
        "ended_at": None if is_started else at,
        **_end(None if isinstance(fact, ev.RunStarted) else fact.end),
    }


def _end(end: RunEnd | None) -> Row:
    """Return how a run ended; of one that has not, empty columns: what a part of a row does not know stays as it is."""
    if end is None:
        return dict.fromkeys(_END_COLUMNS)
    return {
        "exit_reason": end.reason,
        "exit_detail": end.detail,
        "peak_memory_bytes": end.peak_memory_bytes,
        "cpu_seconds": end.cpu_seconds,
        "exit_code": end.exit_code,
        "memory_max_bytes": end.memory_max_bytes,
        "memory_growth_bytes": end.memory_growth_bytes,
        "throttled_seconds": end.throttled_seconds,
        "throttled_periods": end.throttled_periods,
        "periods": end.periods,
        "lines_delivered": end.lines_delivered,
        "lines_handled": end.lines_handled,
        "last_line": end.last_line or None,
        "traceback": end.traceback or None,
        "source_line": end.source_line or None,
        "output": _json(end.output) if end.output else None,
    }


def _outage(fact: ev.StreamChanged | ev.OutageEnded) -> Row:
    ended = fact if isinstance(fact, ev.OutageEnded) else None
    return {
        "stream": fact.stream,
        "started_at": stamp(ended.started_at if ended else fact.at),
        "ended_at": stamp(ended.ended_at) if ended else None,
        "closed_at": stamp(ended.at) if ended else None,
        "why": fact.why,
        "affected": _json(fact.affected),
        "open_orders": fact.open_orders,
        "refusals": _json(dict(ended.refusals) if ended else {}),
        "bars_fetched": ended.bars_fetched if ended else 0,
        "bars_missing": ended.bars_missing if ended else 0,
        "is_cut_short": int(ended.is_cut_short) if ended else 0,
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _root(fact: ev.RootSigned) -> Row:
    return {
        "seq": fact.seq,
        "market_day": fact.market_day.isoformat(),
        "root": fact.root,
        "public_key": fact.public_key,
        "signature": fact.signature,
        "at": stamp(fact.at),
    }
