"""What the control socket answers, as JSON: names of columns and words of CONTRACTS 5, decimals as text."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from deskd.control import answers
from deskd.domain.book import Account, Position
from deskd.domain.money import shown_decimal
from deskd.domain.order import Order
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.ports import Orders, Runs

type View = dict[str, Any]


def strategy(found: StrategySpec | BrokenStrategy, runs: Runs, orders: Orders) -> answers.StrategyAnswer:
    """Return all that is known of a strategy at a glance."""
    if isinstance(found, BrokenStrategy):
        return {"strategy_id": found.strategy_id, "status": "broken", "problem": found.problem}
    name = found.strategy_id
    view: answers.StrategyAnswer = {
        "strategy_id": name,
        "user_id": found.user_id,
        "name": found.name,
        "version": found.version,
        "symbols": list(found.symbols),
        "enabled": found.is_enabled,
        "status": str(runs.status(name)),
    }
    if live := runs.liveness(name):
        view |= {
            "pid": live.pid,
            "uptime_s": round(live.uptime.total_seconds(), 1),
            "lines_delivered": live.lines_delivered,
            "lines_handled": live.lines_handled,
            "lines_dropped": live.lines_dropped,
            "lines_waiting": live.lines_waiting,
            "stalled_for_s": None if live.stalled_for is None else round(live.stalled_for.total_seconds(), 1),
            "memory_bytes": live.memory_bytes,
            "cpu_seconds": live.cpu_seconds,
            "throttled_share": live.throttled_share,
        }
        if live.is_outdated:
            view["outdated"] = True
        if live.state is not None:
            use = live.state
            view["state"] = {
                "bytes": use.bytes,
                "bytes_max": use.bytes_max,
                "files": use.files,
                "files_max": use.files_max,
            }
    if end := runs.last_end(name):
        view |= {"exit_reason": str(end.reason), "exit_detail": end.detail}
    view["open_orders"] = len(orders.orders(name, is_open=True))
    if money := orders.account(name):
        view |= {"equity": shown_decimal(money.equity), "realized_pnl": shown_decimal(money.realized_pnl)}
        view["unrealized_pnl"] = shown_decimal(money.unrealized_pnl)
    return view


def for_others(strategy: answers.StrategyAnswer) -> View:
    """Return what a member may see of a strategy that is not theirs: that it is there and runs, and no more.

    What is wrong with a broken one stays: nobody can tell yet whose it is.
    """
    shown = ("strategy_id", "user_id", "name", "version", "enabled", "status", "uptime_s", "problem")
    return {key: value for key, value in strategy.items() if key in shown}


def for_members(desk: View) -> View:
    """Return the desk's state without the club's money."""
    hidden = {
        "cash",
        "house_cash",
        "books",
        "account_equity",
        "books_differ",
        "members",
        "differences_suspected",
        "differences_open",
        "strategies_not_startable",
    }
    hidden |= {"orders_waiting"}
    seen = {key: value for key, value in desk.items() if key not in hidden}
    if "kills" not in desk:
        return seen
    kills = [kill for kill in desk["kills"] if kill["scope"] in {"desk", "symbol"}]  # others' are not theirs
    return seen | {"kills": [{**kill, "left": []} for kill in kills]}


def order(order: Order) -> answers.OrderAnswer:
    """Return an order under the ledger's column names."""
    r = order.request
    return {
        "client_order_id": r.client_order_id,
        "broker_order_id": order.broker_order_id,
        "strategy_id": r.strategy_id,
        "user_id": r.user_id,
        "symbol": r.symbol,
        "side": str(r.side),
        "qty": _text(order.qty),
        "notional": _text(r.notional),
        "order_type": str(r.order_type),
        "time_in_force": str(r.time_in_force),
        "limit_price": _text(r.limit_price),
        "stop_price": _text(r.stop_price),
        "status": str(order.status),
        "filled_qty": shown_decimal(order.filled_qty),
        "avg_fill_price": _text(order.avg_fill_price),
        "reason": order.reason,
        "message": order.message,
        "requested_at": instant(order.requested_at),
        "submitted_at": None if order.submitted_at is None else instant(order.submitted_at),
        "updated_at": instant(order.updated_at),
        "broker_status": order.broker_status,
        "source": order.source,
        "replaces": order.replaces,
        "replaced_by": order.replaced_by,
    }


def position(position: Position) -> answers.PositionAnswer:
    """Return a position under the ledger's column names."""
    return {
        "strategy_id": position.strategy_id,
        "symbol": position.symbol,
        "qty": shown_decimal(position.qty),
        "avg_entry_price": shown_decimal(position.avg_entry_price),
        "mark_price": shown_decimal(position.mark_price),
        "market_value": shown_decimal(position.market_value),
        "unrealized_pnl": shown_decimal(position.unrealized_pnl),
        "realized_pnl": shown_decimal(position.realized_pnl),
        "updated_at": instant(position.updated_at),
    }


def account(account: Account) -> answers.AccountAnswer:
    """Return a strategy's money."""
    return {
        "strategy_id": account.strategy_id,
        "allocation": shown_decimal(account.allocation),
        "cash": shown_decimal(account.cash),
        "reserved": shown_decimal(account.reserved),
        "buying_power": shown_decimal(account.buying_power),
        "equity": shown_decimal(account.equity),
        "realized_pnl": shown_decimal(account.realized_pnl),
        "unrealized_pnl": shown_decimal(account.unrealized_pnl),
        "day_pnl": shown_decimal(account.day_pnl),
        "peak_equity": shown_decimal(account.peak_equity),
        "drawdown": shown_decimal(account.drawdown),
        "fees": shown_decimal(account.fees),
    }


def instant(at: datetime) -> str:
    """Return RFC 3339, UTC."""
    return at.isoformat().replace("+00:00", "Z")


def plain_values(values: Mapping[str, object]) -> View:
    """Return the desk's own words on its state with nothing in them that JSON does not know."""
    return {key: _plain_value(value) for key, value in values.items()}


def _plain_value(value: object) -> object:
    match value:
        case None | bool() | int() | float() | str():
            return value if not isinstance(value, str) else str(value)
        case Decimal():
            return shown_decimal(value)
        case datetime():
            return instant(value)
        case Mapping():
            return {str(key): _plain_value(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain_value(item) for item in value]
        case _:
            return str(value)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else shown_decimal(value)
