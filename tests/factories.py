"""Objects for tests. Every default is valid; a test names only what it is about."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from deskd.core.deciding import handle
from deskd.core.desk import TRADES, Desk
from deskd.domain import events as ev
from deskd.domain.events import BrokerOrder, BrokerStatus
from deskd.domain.exits import ExitKind
from deskd.domain.ids import BrokerOrderId, ClientOrderId, FillId, StrategyId, Symbol, UserId
from deskd.domain.kill import THE_DESK, KillCause, KillDepth, KillScope, KillTarget
from deskd.domain.limits import Limits
from deskd.domain.market import Instrument, Quote, TradingDay
from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import Fill, OrderRequest, OrderType, Side, TimeInForce, fill_id
from deskd.domain.run import StrategyStatus

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
MONDAY = date(2026, 1, 5)
DAY = TradingDay(
    day=MONDAY,
    extended_open_at=NOON - timedelta(hours=8),
    open_at=NOON - timedelta(hours=2, minutes=30),
    close_at=NOON + timedelta(hours=4),
    extended_close_at=NOON + timedelta(hours=8),
)
ALICE = StrategyId("alice")
BOB = StrategyId("bob")
AAPL = Symbol("AAPL")
SPY = Symbol("SPY")


def qty(value: str | int) -> Qty:
    return Qty(Decimal(value))


def price(value: str | int) -> Price:
    return Price(Decimal(value))


def cash(value: str | int) -> Cash:
    return Cash(Decimal(value))


def a_request(**overrides: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "strategy_id": ALICE,
        "user_id": UserId(overrides.get("strategy_id", ALICE)),
        "client_order_id": ClientOrderId("alice-1"),
        "symbol": AAPL,
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
        "qty": qty(10),
    }
    return OrderRequest(**fields | overrides)


def a_limit_request(limit_price: str = "100", **overrides: Any) -> OrderRequest:
    return a_request(order_type=OrderType.LIMIT, limit_price=price(limit_price), **overrides)


def a_quote(**overrides: Any) -> Quote:
    fields: dict[str, Any] = {
        "symbol": AAPL,
        "bid_price": price("99.99"),
        "bid_size": qty(100),
        "ask_price": price(100),
        "ask_size": qty(100),
        "quoted_at": NOON,
        "received_at": NOON,
    }
    return Quote(**fields | overrides)


def some_limits(**overrides: Any) -> Limits:
    fields: dict[str, Any] = {
        "symbols": frozenset({AAPL, SPY}),
        "quote_age_max": timedelta(seconds=30),
        "order_notional_max": cash(5000),
        "position_qty_max": qty(1000),
        "position_notional_max": cash(5000),
        "open_orders_max": 20,
        "orders_per_day_max": 500,
        "duplicate_window": timedelta(0),
        "is_short_allowed": False,
        "may_wait_for_open": True,
    }
    return Limits(**fields | overrides)


def an_instrument(symbol: Symbol = AAPL, **overrides: Any) -> Instrument:
    fields: dict[str, Any] = {"symbol": symbol, "is_tradable": True, "is_shortable": True, "is_fractionable": True}
    return Instrument(**fields | overrides)


def requested(request: OrderRequest | None = None, **overrides: Any) -> ev.OrderRequested:
    fields: dict[str, Any] = {
        "request": request or a_request(),
        "quote": a_quote(),
        "market_day": MONDAY,
        "at": NOON,
    }
    return ev.OrderRequested(**fields | overrides)


def a_broker_order(request: OrderRequest | None = None, **overrides: Any) -> BrokerOrder:
    r = request or a_request()
    status = overrides.pop("status", BrokerStatus.NEW)
    fields: dict[str, Any] = {
        "broker_order_id": BrokerOrderId(f"b-{r.client_order_id}"),
        "client_order_id": r.client_order_id,
        "status": status,
        "raw_status": str(status),
        "symbol": r.symbol,
        "side": r.side,
        "order_type": r.order_type,
        "time_in_force": r.time_in_force,
        "qty": r.qty,
        "notional": r.notional,
        "limit_price": r.limit_price,
        "stop_price": r.stop_price,
        "filled_qty": qty(0),
        "filled_avg_price": None,
        "submitted_at": NOON,
    }
    return BrokerOrder(**fields | overrides)


def a_fill(order: BrokerOrder, shares: str | int, *, cumulative: str | int, at_price: str = "100") -> Fill:
    return Fill(
        fill_id=fill_id(order.broker_order_id, qty(cumulative)), qty=qty(shares), price=price(at_price), at=NOON
    )


def updated(order: BrokerOrder, event: str | None = None, fill: Fill | None = None) -> ev.TradeUpdated:
    return ev.TradeUpdated(event=event or str(order.status), order=order, fill=fill, at=NOON)


def filled(
    request: OrderRequest, shares: str | int, *, cumulative: str | int | None = None, at_price: str = "100"
) -> ev.TradeUpdated:
    """Return the stream's message of an execution of *shares*, with which *cumulative* are filled in all."""
    total = qty(shares if cumulative is None else cumulative)
    is_whole = total == request.qty
    order = a_broker_order(
        request,
        status=BrokerStatus.FILLED if is_whole else BrokerStatus.PARTIALLY_FILLED,
        filled_qty=total,
        filled_avg_price=price(at_price),
    )
    word = "fill" if is_whole else "partial_fill"
    return updated(order, word, a_fill(order, shares, cumulative=str(total), at_price=at_price))


def accepted(request: OrderRequest) -> ev.SubmitAccepted:
    return ev.SubmitAccepted(client_order_id=request.client_order_id, order=a_broker_order(request), at=NOON)


def a_snapshot(**overrides: Any) -> ev.BrokerSnapshot:
    fields: dict[str, Any] = {
        "cash": cash(100_000),
        "equity": cash(100_000),
        "buying_power": cash(400_000),
        "positions": (),
        "orders": (),
        "fills": (),
        "missing": (),
        "fill_count": 0,
        "why": "test",
        "at": NOON,
    }
    return ev.BrokerSnapshot(**fields | overrides)


def registered(strategy_id: StrategyId) -> ev.StrategyRegistered:
    return ev.StrategyRegistered(
        strategy_id=strategy_id,
        user_id=UserId(strategy_id),
        name=strategy_id,
        version="0",
        path=f"strategies/{strategy_id}",
        code_hash="0",
        at=NOON,
    )


def a_desk(*, allocation: str = "10000", limits: Limits | None = None) -> Desk:
    """Return a desk with alice and bob, each allocated, over an account of 100,000, synced with its broker."""
    desk = Desk(
        limits={ALICE: limits or some_limits(), BOB: limits or some_limits()},
        instruments={AAPL: an_instrument(AAPL), SPY: an_instrument(SPY)},
        calendar={MONDAY: DAY},
    )
    desk.apply(ev.StreamChanged(stream=TRADES, is_up=True, why="listening", at=NOON))
    handle(desk, a_snapshot())
    for who in (ALICE, BOB):
        desk.apply(registered(who))
        desk.apply(ev.StrategyStatusChanged(strategy_id=who, status=StrategyStatus.ACTIVE, why="test", at=NOON))
        desk.apply(ev.AllocationChanged(strategy_id=who, allocation=cash(allocation), by="test", at=NOON))
    return desk


def a_fact_of_a_fill(request: OrderRequest, shares: str | int, at_price: str = "100") -> ev.OrderFilled:
    return ev.OrderFilled(
        client_order_id=request.client_order_id,
        fill_id=FillId(f"b-{request.client_order_id}:{shares}"),
        qty=qty(shares),
        price=price(at_price),
        filled_at=NOON,
        at=NOON,
    )


def an_exit(**overrides: Any) -> ev.ExitTriggered:
    fields: dict[str, Any] = {
        "strategy_id": ALICE,
        "symbol": AAPL,
        "kind": ExitKind.STOP_LOSS,
        "position_qty": qty(10),
        "price": price(97),
        "level": price(98),
        "avg_entry_price": price(100),
        "market_day": MONDAY,
        "at": NOON,
    }
    return ev.ExitTriggered(**fields | overrides)


def a_kill(target: KillTarget = THE_DESK, depth: KillDepth = KillDepth.STOP_NEW, **overrides: Any) -> ev.KillEngaged:
    fields: dict[str, Any] = {
        "target": target,
        "depth": depth,
        "cause": KillCause.COMMAND,
        "by": "ada (uid 0)",
        "reason": "runaway orders",
        "at": NOON,
    }
    return ev.KillEngaged(**fields | overrides)


def a_release(target: KillTarget = THE_DESK, **overrides: Any) -> ev.KillReleased:
    fields: dict[str, Any] = {"target": target, "by": "ada (uid 0)", "reason": "mended", "at": NOON}
    return ev.KillReleased(**fields | overrides)


def of_strategy(strategy_id: StrategyId) -> KillTarget:
    return KillTarget(KillScope.STRATEGY, strategy_id)
