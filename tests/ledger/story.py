"""A short story of a desk, as facts: what a ledger holds after a morning."""

from collections.abc import Sequence
from datetime import timedelta

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId, RunId
from deskd.domain.run import ExitReason, RunEnd, StrategyStatus
from deskd.ledger.roots import SigningKey
from tests.factories import (
    AAPL,
    ALICE,
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_kill,
    a_limit_request,
    a_release,
    a_request,
    a_snapshot,
    accepted,
    an_exit,
    cash,
    filled,
    price,
    qty,
    registered,
    requested,
    updated,
)


def a_story() -> tuple[list[ev.Fact], Desk]:
    """Return the facts of a morning, and the desk that they lead to."""
    template = a_desk()
    desk = Desk(limits=template.limits, instruments=template.instruments, calendar=template.calendar)
    facts: list[ev.Fact] = []

    def happens(event: ev.Event) -> None:
        facts.extend(e.fact for e in handle(desk, event) if isinstance(e, ef.Record))

    market, limit = a_request(), a_limit_request("99", client_order_id=ClientOrderId("alice-2"))
    happens(ev.DeskStarted(version="0", broker="embedded", at=NOON))
    happens(ev.TradeStreamChanged(is_up=True, why="listening", at=NOON))
    happens(a_snapshot(positions=(ev.BrokerPosition(symbol=AAPL, qty=qty(1), avg_entry_price=price(90)),)))
    happens(registered(ALICE))
    happens(ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.ACTIVE, why="start", at=NOON))
    happens(ev.AllocationChanged(strategy_id=ALICE, allocation=cash(10_000), by="config", at=NOON))
    happens(ev.RunStarted(run_id=RunId("r1"), strategy_id=ALICE, at=NOON))
    happens(requested(market))
    happens(accepted(market))
    happens(filled(market, 4))
    happens(filled(market, 6, cumulative=10, at_price="100.5"))
    happens(requested(limit))
    happens(accepted(limit))
    happens(ev.CancelRequested(client_order_id=limit.client_order_id, by="alice", at=NOON))
    happens(updated(a_broker_order(limit, status=BrokerStatus.CANCELED)))
    happens(requested(a_request(qty=qty(999), client_order_id=ClientOrderId("alice-3"))))
    more = (ev.BrokerPosition(symbol=AAPL, qty=qty(13), avg_entry_price=price(100)),)
    for minute in range(2):  # two shares that nothing explains, and an officer who does
        at = NOON + timedelta(minutes=minute)
        happens(a_snapshot(positions=more, cash=desk.portfolio.cash(), fill_count=desk.execution_count, at=at))
    happens(ev.ResolutionRequested(subject=AAPL, by="ada", reason="a gift", at=NOON + timedelta(minutes=2)))
    happens(ev.MarksTaken(marks=((AAPL, price(101)),), at=NOON))
    end = RunEnd(reason=ExitReason.OOM, detail="used 512 MiB of 512 MiB", peak_memory_bytes=2**29, cpu_seconds=1.5)
    happens(ev.RunEnded(run_id=RunId("r1"), strategy_id=ALICE, end=end, at=NOON))
    happens(ev.StreamChanged(stream="market", is_up=False, why="dropped", at=NOON, affected=(ALICE,)))
    happens(ev.StreamChanged(stream="market", is_up=True, why="subscribed", at=NOON + timedelta(seconds=90)))
    happens(ev.MarketResumed(affected=(ALICE,), bars_fetched=1, bars_missing=0, at=NOON + timedelta(seconds=91)))
    happens(a_kill())
    happens(a_release())
    stop = an_exit()
    desk.apply(stop)
    facts.append(stop)
    happens(SigningKey(bytes(32)).sign(MONDAY, 7, "ab" * 32, NOON))
    happens(ev.DeskStopped(at=NOON))
    return facts, desk


def rebuilt(facts: Sequence[ev.Fact]) -> Desk:
    """Return the desk that the facts alone lead to."""
    desk = Desk()
    for fact in facts:
        desk.apply(fact)
    return desk
