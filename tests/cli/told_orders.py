"""A synthetic ledger in which orders meet every fate, for the pages of `deskctl why`."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import Record
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId, RunId
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Replacement, Side, StopLoss, TakeProfit
from deskd.domain.run import ExitReason, RunEnd, StrategyStatus
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from tests.factories import (
    AAPL,
    ALICE,
    NOON,
    a_broker_order,
    a_fill,
    a_limit_request,
    a_quote,
    a_request,
    a_snapshot,
    an_instrument,
    cash,
    price,
    qty,
    registered,
    some_limits,
)

FATES = ("filled", "denied", "canceled", "doubted", "vanished", "refused", "bracket", "leg", "replaced", "new", "open")


def named(fate: str, **fields: Any) -> OrderRequest:
    return replace(a_limit_request(**fields), client_order_id=ClientOrderId(f"order-{fate}"))


class Story:
    """Lets events happen, one after the other, on a clock of its own."""

    def __init__(self) -> None:
        self.desk = Desk(
            limits={ALICE: some_limits()}, instruments={s: an_instrument(s) for s in some_limits().symbols}
        )
        self.facts: list[ev.Fact] = []
        self.now: datetime = NOON

    def happens(self, after_ms: float, event: Callable[[datetime], ev.Event]) -> None:
        self.now += timedelta(milliseconds=after_ms)
        effects = handle(self.desk, event(self.now))
        self.facts += [effect.fact for effect in effects if isinstance(effect, Record)]

    def asks(self, request: OrderRequest) -> None:
        def event(at: datetime) -> ev.Event:
            quote = a_quote(
                bid_price=price("99.98"),
                quoted_at=at - timedelta(milliseconds=32),
                received_at=at - timedelta(milliseconds=12),
            )
            line = f"trade AAPL {quote.quoted_at:%Y-%m-%dT%H:%M:%S.%fZ}"
            return ev.OrderRequested(request=request, quote=quote, market_day=NOON.date(), at=at, line=line)

        self.happens(1000, event)

    def accepts(self, request: OrderRequest, after_ms: float = 21.5, **fields: Any) -> None:
        self.happens(
            after_ms,
            lambda at: ev.SubmitAccepted(
                client_order_id=request.client_order_id,
                order=a_broker_order(request, submitted_at=at - timedelta(milliseconds=3), **fields),
                at=at,
            ),
        )

    def fills(self, request: OrderRequest, shares: int, total: int, at_price: str, **fields: Any) -> None:
        status = BrokerStatus.FILLED if qty(total) == request.qty else BrokerStatus.PARTIALLY_FILLED

        def event(at: datetime) -> ev.Event:
            order = a_broker_order(request, status=status, filled_qty=qty(total), **fields)
            fill = replace(a_fill(order, shares, cumulative=total, at_price=at_price), at=at)
            return ev.TradeUpdated(event=str(status), order=order, fill=fill, at=at)

        self.happens(250, event)

    def updates(self, request: OrderRequest, status: BrokerStatus, **fields: Any) -> None:
        order = a_broker_order(request, status=status, **fields)
        self.happens(9, lambda at: ev.TradeUpdated(event=str(status), order=order, fill=None, at=at))


def a_ledger_of_fates() -> tuple[list[ev.Fact], Desk]:
    """Return the facts, and the desk that they lead to."""
    story = Story()
    happens = story.happens
    happens(0, lambda at: ev.DeskStarted(version="0.2.0", broker="embedded", at=at))
    happens(5, lambda at: ev.TradeStreamChanged(is_up=True, why="listening", at=at))
    happens(5, lambda at: a_snapshot(at=at))
    happens(5, lambda at: replace(registered(ALICE), at=at))
    happens(
        0, lambda at: ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.ACTIVE, why="started", at=at)
    )
    happens(0, lambda at: ev.AllocationChanged(strategy_id=ALICE, allocation=cash(10_000), by="desk.toml", at=at))
    happens(1, lambda at: ev.RunStarted(run_id=RunId("alice.1"), strategy_id=ALICE, at=at))

    filled = named("filled", reason="momentum is up: the close is over its 20-minute mean")
    story.asks(filled)
    story.accepts(filled)
    story.fills(filled, 4, 4, "99.99")
    story.fills(filled, 6, 10, "100")

    denied = replace(named("denied"), order_type=OrderType.MARKET, limit_price=None, qty=qty(50))
    story.asks(denied)

    canceled = named("canceled", limit_price="98")
    story.asks(canceled)
    story.accepts(canceled)
    story.fills(canceled, 3, 3, "98")
    oid = canceled.client_order_id
    happens(500, lambda at: ev.CancelRequested(client_order_id=oid, by="alice", at=at))
    story.updates(canceled, BrokerStatus.CANCELED, filled_qty=qty(3))

    doubted = named("doubted", limit_price="97")
    story.asks(doubted)
    oid_doubted = doubted.client_order_id
    happens(500, lambda at: ev.SubmitInDoubt(client_order_id=oid_doubted, why="no answer for 0.5 s", at=at))
    happens(400, lambda at: ev.TradeStreamChanged(is_up=False, why="no pong for 10 s", at=at))
    happens(100, lambda at: ev.TradeStreamChanged(is_up=True, why="listening", at=at))
    happens(
        100,
        lambda at: ev.OrderLookedUp(
            client_order_id=doubted.client_order_id, order=a_broker_order(doubted, submitted_at=NOON), fills=(), at=at
        ),
    )
    held = ev.BrokerPosition(symbol=AAPL, qty=qty(13), avg_entry_price=price(99))
    happens(
        50,
        lambda at: a_snapshot(
            at=at,
            asked_at=at,
            fill_count=story.desk.fill_count,
            cash=story.desk.portfolio.cash(),
            positions=(held,),
        ),
    )

    vanished = named("vanished", limit_price="96")
    story.asks(vanished)
    happens(
        12_000,
        lambda at: ev.OrderLookedUp(client_order_id=vanished.client_order_id, order=None, fills=(), at=at),
    )

    refused = named("refused", limit_price="95")
    story.asks(refused)
    happens(
        31,
        lambda at: ev.SubmitRejected(
            client_order_id=refused.client_order_id, message="potential wash trade detected (40310000)", at=at
        ),
    )

    bracket = replace(
        named("bracket"),
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    leg = replace(named("leg", limit_price="110"), side=Side.SELL)
    story.asks(bracket)
    story.accepts(bracket, legs=(a_broker_order(leg, broker_order_id=BrokerOrderId("b-order-leg")),))
    story.fills(bracket, 10, 10, "100")
    story.fills(leg, 10, 10, "110")

    replaced = named("replaced", limit_price="94")
    story.asks(replaced)
    story.accepts(replaced)
    story.fills(replaced, 2, 2, "94")
    new = named("new", limit_price="95")
    wanted = Replacement(replaces=replaced.client_order_id, limit_price=price(95))
    quote = a_quote()
    happens(
        700,
        lambda at: ev.ReplaceRequested(
            client_order_id=new.client_order_id,
            replacement=wanted,
            quote=replace(quote, received_at=at),
            market_day=NOON.date(),
            by="alice",
            at=at,
        ),
    )
    new = story.desk.orders[new.client_order_id].request
    theirs = BrokerOrderId(f"b-{replaced.client_order_id}")
    story.accepts(new, replaces=theirs)
    story.updates(
        replaced, BrokerStatus.REPLACED, filled_qty=qty(2), replaced_by=BrokerOrderId(f"b-{new.client_order_id}")
    )

    resting = replace(
        a_request(order_type=OrderType.STOP, stop_price=price(120)), client_order_id=ClientOrderId("order-open")
    )
    story.asks(resting)
    story.accepts(resting)
    end = RunEnd(reason=ExitReason.OOM, detail="it used 512 MiB of 512 MiB")
    happens(10, lambda at: ev.RunEnded(run_id=RunId("alice.1"), strategy_id=ALICE, end=end, at=at))
    return story.facts, story.desk


async def write(path: Path) -> None:
    """Write the ledger to *path*."""
    facts, desk = a_ledger_of_fates()
    store = await LedgerStore.open(path)
    await store.append(facts, project(facts, desk))
    await store.close()
