"""What the tables beside `facts` hold after a batch: rows from the desk's state, for all that the facts touched."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from deskd.core import updates
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol
from deskd.domain.money import plain
from deskd.domain.order import Order
from deskd.ledger.codec import stamp

type Statement = tuple[str, tuple[object, ...]]  # SQL and its parameters

ORDER = f"INSERT OR REPLACE INTO orders VALUES ({','.join('?' * 21)})"  # noqa: S608  constants only
FILL = f"INSERT INTO fills VALUES ({','.join('?' * 9)})"  # noqa: S608
POSITION = f"INSERT OR REPLACE INTO positions VALUES ({','.join('?' * 9)})"  # noqa: S608
STRATEGY = """INSERT INTO strategies VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (strategy_id) DO UPDATE SET
    user_id = excluded.user_id, name = excluded.name, version = excluded.version, path = excluded.path,
    code_hash = excluded.code_hash, status = excluded.status, allocation = excluded.allocation, cash = excluded.cash,
    updated_at = excluded.updated_at"""
RUN_STARTED = """INSERT INTO runs (run_id, strategy_id, started_at) VALUES (?,?,?)
    ON CONFLICT (run_id) DO UPDATE SET started_at = excluded.started_at"""
RUN_ENDED = """INSERT INTO runs (run_id, strategy_id, ended_at, exit_reason, exit_detail, peak_memory_bytes, cpu_seconds)
    VALUES (?,?,?,?,?,?,?) ON CONFLICT (run_id) DO UPDATE SET ended_at = excluded.ended_at,
    exit_reason = excluded.exit_reason, exit_detail = excluded.exit_detail,
    peak_memory_bytes = excluded.peak_memory_bytes, cpu_seconds = excluded.cpu_seconds"""
TABLES = ("strategies", "runs", "orders", "fills", "positions")


def project(facts: Sequence[ev.Fact], desk: Desk) -> list[Statement]:
    """Return the statements that bring the projections to the desk's state after *facts*."""
    statements: list[Statement] = []
    orders: dict[ClientOrderId, None] = {}
    positions: dict[tuple[StrategyId, Symbol], None] = {}
    strategies: dict[StrategyId, datetime] = {}
    for fact in facts:
        oid = updates.order_of(fact)
        if isinstance(fact, ev.OrderApproved):
            oid = fact.request.client_order_id
        if oid is not None:
            orders[oid] = None
        if isinstance(fact, ev.OrderAccepted | ev.LegsFound):
            orders.update(dict.fromkeys(leg.client_order_id for leg in fact.legs))
        elif isinstance(fact, ev.OrderFilled):
            request = desk.orders[fact.client_order_id].request
            statements.append((FILL, _fill(fact, desk.orders[fact.client_order_id])))
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
        elif isinstance(fact, ev.HouseAdjusted):
            house = desk.portfolio.books
            positions.update(dict.fromkeys((b, fact.symbol) for b in house if fact.symbol in house[b].positions))
        elif isinstance(fact, ev.StrategyRegistered | ev.StrategyStatusChanged | ev.AllocationChanged):
            strategies[fact.strategy_id] = fact.at
        elif isinstance(fact, ev.RunStarted):
            statements.append((RUN_STARTED, (fact.run_id, fact.strategy_id, stamp(fact.at))))
        elif isinstance(fact, ev.RunEnded):
            statements.append((RUN_ENDED, _run_end(fact)))
    statements += [(ORDER, _order(desk.orders[oid])) for oid in orders]
    statements += [(POSITION, _position(desk, who, symbol)) for who, symbol in positions]
    statements += [(STRATEGY, _strategy(desk, who, at)) for who, at in strategies.items() if who in desk.strategies]
    return statements


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _order(order: Order) -> tuple[object, ...]:
    r = order.request
    return (
        r.client_order_id,
        order.broker_order_id,
        order.parent_id,
        r.strategy_id,
        r.user_id,
        r.symbol,
        r.side,
        _text(r.qty),
        _text(r.notional),
        r.order_type,
        r.time_in_force,
        _text(r.limit_price),
        _text(r.stop_price),
        order.status,
        plain(order.filled_qty),
        _text(order.avg_fill_price),
        order.reason,
        order.message,
        stamp(order.requested_at),
        None if order.submitted_at is None else stamp(order.submitted_at),
        stamp(order.updated_at),
    )


def _fill(fact: ev.OrderFilled, order: Order) -> tuple[object, ...]:
    r = order.request
    return (
        fact.fill_id,
        fact.client_order_id,
        r.strategy_id,
        r.user_id,
        r.symbol,
        r.side,
        plain(fact.qty),
        plain(fact.price),
        stamp(fact.filled_at),
    )


def _position(desk: Desk, who: StrategyId, symbol: Symbol) -> tuple[object, ...]:
    p = desk.portfolio.books[who].positions[symbol]
    return (
        who,
        symbol,
        plain(p.qty),
        plain(p.avg_entry_price),
        plain(p.mark_price),
        plain(p.market_value),
        plain(p.unrealized_pnl),
        plain(p.realized_pnl),
        stamp(p.updated_at),
    )


def _strategy(desk: Desk, who: StrategyId, at: datetime) -> tuple[object, ...]:
    known = desk.strategies[who]
    book = desk.portfolio.book(who)
    return (
        who,
        known.user_id,
        known.name,
        known.version,
        known.path,
        known.code_hash,
        desk.statuses[who],
        plain(book.allocation),
        plain(book.cash),
        stamp(known.at),
        stamp(at),
    )


def _run_end(fact: ev.RunEnded) -> tuple[object, ...]:
    end = fact.end
    return (
        fact.run_id,
        fact.strategy_id,
        stamp(fact.at),
        end.reason,
        end.detail,
        end.peak_memory_bytes,
        end.cpu_seconds,
    )
