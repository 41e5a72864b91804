"""The drop copy: every fact has its events or is silent on purpose, and an event says all that is promised of it."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from deskd.core.deciding import decide, handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.breaker import BreakerState
from deskd.domain.events import BrokerStatus, Source
from deskd.domain.ids import BrokerOrderId, ClientOrderId, FillId, RunId, UserId
from deskd.domain.job import JobName, JobOutcome
from deskd.domain.kill import THE_DESK, KillScope, KillTarget
from deskd.domain.notifications import Severity, Topic
from deskd.domain.order import OrderClass, OrderType, Replacement, Side, StopLoss, TakeProfit, TimeInForce
from deskd.domain.reasons import DenialReason
from deskd.domain.run import ExitReason, RunEnd, StrategyStatus
from deskd.domain.stage import Stage
from deskd.ledger.codec import KINDS
from deskd.wire.drop_copy import KNOWN_MAX, DropCopy, _Known
from deskd.wire.event_line import FIELDS, SOURCES, EventLine, is_shown
from deskd.wire.event_line import DeskEvent as E
from tests.core.some_splits import a_split_story
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_fact_of_a_fill,
    a_kill,
    a_limit_request,
    a_quote,
    a_release,
    a_request,
    an_exit,
    cash,
    of_strategy,
    price,
    qty,
    registered,
    requested,
    updated,
)
from tests.ledger.story import a_story

OID = a_request().client_order_id
LEG = ev.LegSpec(
    client_order_id=ClientOrderId("leg-1"),
    broker_order_id=BrokerOrderId("b-leg-1"),
    side=Side.SELL,
    order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.DAY,
    qty=qty(10),
    limit_price=price(110),
    stop_price=None,
)
ACCEPTED = ev.OrderAccepted(
    client_order_id=OID, broker_order_id=BrokerOrderId("b-1"), submitted_at=NOON, legs=(LEG,), at=NOON
)
A_STOP = an_exit()
NEW = ClientOrderId("alice-new")
REPLACING = a_limit_request("99", client_order_id=NEW, replacement=Replacement(replaces=OID, limit_price=price(99)))
ADOPTED = ev.OrderAdopted(
    request=a_limit_request("98", client_order_id=ClientOrderId("by-hand")),
    broker_order_id=BrokerOrderId("b-by-hand"),
    replaces=OID,
    submitted_at=NOON,
    reserved_cash=cash(0),
    reserved_qty=qty(0),
    price=price(98),
    at=NOON,
)
BACK = ClientOrderId("alice-1~1")
RETURNED = ev.OrderReturned(
    request=a_limit_request("99", client_order_id=BACK, qty=qty(6)),
    replaces=OID,
    recalled_for=ClientOrderId("bob-1"),
    until=NOON,
    reason="CONFLICT_WASH",
    message="held: taken back",
    reserved_cash=cash(594),
    reserved_qty=qty(0),
    price=price(99),
    at=NOON,
)
EXCHANGED = ev.OrderFilled(
    client_order_id=BACK,
    fill_id=FillId(f"internal:{BACK}:4"),
    qty=qty(4),
    price=price(99),
    filled_at=NOON,
    at=NOON,
    source=Source.INTERNAL,
    position_qty=qty(4),
    internal_with=ClientOrderId("bob-1"),
    quote=a_quote(bid_price=price("98.99"), ask_price=price("99.01")),
)
BUST = ev.FillCorrected(
    client_order_id=OID, word="trade_bust", qty=qty(-4), notional=cash(-400), corrected_at=NOON, at=NOON
)
HOUSE_BEARS = ev.HouseAdjusted(
    cash=cash(400),
    symbol=AAPL,
    qty=qty(-4),
    price=price(100),
    why="the broker's trade_bust",
    at=NOON,
    cause=HouseCause.TRADE_BUST,
    client_order_id=OID,
)
OUTAGE = ev.OutageEnded(
    stream="trades",
    started_at=NOON,
    ended_at=NOON,
    why="no pong",
    affected=(ALICE,),
    open_orders=2,
    refusals=((ALICE, 3), (BOB, 1)),
    bars_fetched=0,
    bars_missing=0,
    at=NOON,
)


def approved(**overrides: Any) -> ev.OrderApproved:
    fields: dict[str, Any] = {
        "request": a_request(),
        "quote": a_quote(),
        "reserved_cash": cash(1020),
        "reserved_qty": qty(0),
        "market_day": MONDAY,
        "at": NOON,
    }
    return ev.OrderApproved(**fields | overrides)


def a_fill(shares: int, *, position: int | None = None, order: ClientOrderId = OID) -> ev.OrderFilled:
    fact = a_fact_of_a_fill(a_request(client_order_id=order), shares)
    return ev.OrderFilled(
        client_order_id=order,
        fill_id=fact.fill_id,
        qty=fact.qty,
        price=fact.price,
        filled_at=NOON,
        at=NOON,
        position_qty=None if position is None else qty(position),
    )


def denied() -> ev.OrderDenied:
    (fact,) = [
        effect.fact for effect in decide(a_desk(), requested(a_request(qty=qty(999)))) if hasattr(effect, "fact")
    ]
    assert isinstance(fact, ev.OrderDenied)
    return fact


def one_of_each() -> list[ev.Fact]:
    """Return a fact of every kind, in an order that can happen."""
    end = RunEnd(reason=ExitReason.OOM, detail="used it all", exit_code=9, peak_memory_bytes=1, cpu_seconds=0.5)
    return [
        ev.DeskStarted(version="1", broker="embedded", at=NOON),
        ev.StreamChanged(stream="trades", is_up=True, why="listening", at=NOON),
        ev.StreamChanged(stream="trades", is_up=False, why="no pong", affected=(ALICE,), open_orders=2, at=NOON),
        OUTAGE,
        registered(ALICE),
        ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.ACTIVE, why="started", at=NOON),
        ev.StageChanged(strategy_id=ALICE, stage=Stage.SHADOW, by="ada", why="try it first", at=NOON),
        ev.VersionChosen(strategy_id=ALICE, code_hash="b", previous="a", how="deploy", by="ada", at=NOON),
        ev.AllocationChanged(strategy_id=ALICE, allocation=cash(10), by="desk.toml", at=NOON),
        ev.LimitsChanged(strategy_id=ALICE, limits=(("open_orders_max", "20"),), by="desk.toml", at=NOON),
        ev.MarketDayBegan(market_day=NOON.date(), at=NOON),
        ev.RunStarted(run_id=RunId("r1"), strategy_id=ALICE, at=NOON),
        denied(),
        approved(),
        ev.OrderHeld(
            client_order_id=OID, until=NOON, reason="CONFLICT_WASH", message="held", in_the_way=(NEW,), at=NOON
        ),
        ev.OrderReleased(client_order_id=OID, at=NOON),
        ev.OrderSplit(client_order_id=OID, part_id=ClientOrderId("alice-1~1"), qty=qty(4), until=NOON, at=NOON),
        ACCEPTED,
        a_fill(4, position=4),
        ev.OrderCancelRequested(client_order_id=OID, by="alice", at=NOON),
        ev.OrderCancelRefused(client_order_id=OID, message="too late", at=NOON),
        a_fill(6, position=10),
        ev.LegsFound(client_order_id=OID, legs=(LEG,), at=NOON),
        ev.OrderCanceled(client_order_id=LEG.client_order_id, at=NOON),
        ev.OrderExpired(client_order_id=OID, at=NOON),
        ev.OrderCompleted(client_order_id=OID, at=NOON),
        ev.OrderRejected(client_order_id=OID, reason="BROKER_REJECTED", message="no", at=NOON),
        ev.BrokerSaid(client_order_id=OID, source="submit", word="in_doubt", detail="no answer for 5 s", at=NOON),
        ev.BrokerSaid(client_order_id=OID, source="stream", word="done_for_day", detail="", at=NOON),
        ev.OrderReplaceRequested(client_order_id=OID, replaced_by=NEW, by="alice", at=NOON),
        approved(request=REPLACING),
        ev.OrderReplaceRefused(client_order_id=OID, message="too late", at=NOON),
        ADOPTED,
        ev.OrderReplaced(client_order_id=OID, replaced_by=ADOPTED.request.client_order_id, at=NOON),
        ev.OrderRestated(client_order_id=OID, qty=qty(10), at=NOON),
        ev.DiscrepancyFound(subject=OID, expected="this", actual="that", action="reconcile", at=NOON),
        ev.DiscrepancyResolved(subject="AAPL", by="ada", reason="looked at it", at=NOON),
        ev.DiscrepancyFound(subject="AAPL", expected="1", actual="2", action="house", at=NOON, more=qty(1)),
        ev.SymbolFrozen(symbol=AAPL, why="nothing explains 1 share", at=NOON),
        ev.SymbolThawed(symbol=AAPL, why="settled", at=NOON),
        ev.SharesDistributed(symbol=AAPL, ratio=qty(2), by="ada", reason="a split", at=NOON),
        BUST,
        ev.HouseAdjusted(cash=cash(5), symbol=AAPL, qty=qty(1), price=price(3), why="opening balance", at=NOON),
        HOUSE_BEARS,
        ev.AccountReconciled(cash=cash(5), differences=(("cash", "1"),), fill_count=1, why="start", at=NOON),
        A_STOP,
        ev.TrailMoved(strategy_id=ALICE, symbol=AAPL, price=price(110), at=NOON),
        ev.PositionsMarked(marks=((AAPL, price(3)),), at=NOON),
        ev.CommandGiven(by="ada (uid 0)", command="stop", arguments="alice", at=NOON),
        ev.NoticeGiven(
            topic=Topic.SCANNER, severity=Severity.INFO, title="3 found", text="A, B, C", by="ada (uid 0)", at=NOON
        ),
        a_kill(of_strategy(ALICE)),
        ev.TradingSuspended(is_suspended=True, why="the desk is killed", at=NOON),
        ev.TradingSuspended(is_suspended=False, why="the kill was released", at=NOON),
        ev.BreakerMoved(strategy_id=ALICE, state=BreakerState.OPEN, why="denials=3", trips=1, until=NOON, at=NOON),
        ev.CancelAllRequested(by="kill", orders=2, at=NOON),
        ev.CancelAllAnswered(canceled=2, refused=0, unnamed=0, strangers=(BrokerOrderId("theirs"),), at=NOON),
        a_kill(KillTarget(KillScope.MEMBER, "alice")),
        a_kill(KillTarget(KillScope.SYMBOL, AAPL)),
        a_release(),
        ev.FlattenCompleted(target=THE_DESK, at=NOON),
        ev.FlattenHindered(target=THE_DESK, left=("alice: 5 AAPL: halted",), at=NOON),
        ev.RootSigned(market_day=MONDAY, seq=9, root="ab", public_key="cd", signature="ef", at=NOON),
        ev.JobStarted(name=JobName.REPORT, session=MONDAY, by="schedule", at=NOON),
        ev.JobEnded(
            name=JobName.REPORT, session=MONDAY, by="schedule", outcome=JobOutcome.DONE, detail="2 members", at=NOON
        ),
        ev.DaySummarized(
            market_day=MONDAY,
            equity=cash(10_000),
            day_pnl=cash(5),
            fees=cash(-1),
            orders=3,
            fills=2,
            denied=1,
            deaths=0,
            strategies=((ALICE, cash(5)),),
            at=NOON,
        ),
        RETURNED,
        ev.Heartbeat(orders_open=1, strategies_running=2, market_is_open=True, ledger_seq=9, at=NOON),
        ev.RunStalled(run_id=RunId("r1"), strategy_id=ALICE, detail="it handled no line for 30 s", at=NOON),
        ev.RunEnded(run_id=RunId("r1"), strategy_id=ALICE, end=end, at=NOON),
        ev.HaltChanged(symbol=AAPL, is_halted=True, why="LUDP", market_at=NOON, at=NOON),
        ev.HaltChanged(symbol=AAPL, is_halted=False, why="T", market_at=NOON, at=NOON),
        ev.ClockStepped(by_ms=-3_600_000, at=NOON),
        ev.DeskStopped(at=NOON),
    ]


def derived(*facts: ev.Fact) -> list[EventLine]:
    copy = DropCopy()
    return [line for seq, fact in enumerate(facts, 1) for line in copy.events(seq, fact)]


def test_every_event_is_described_and_can_be_got() -> None:
    """What the reference promises comes from the facts that it names, with fields that it names."""
    assert FIELDS.keys() == SOURCES.keys() == set(E)
    facts = one_of_each()
    assert {type(fact) for fact in facts} == set(KINDS.values())
    seen: set[str] = set()
    for line in derived(*facts, a_fill(1, position=0)):
        seen.add(line.event)
        fact = facts[line.seq - 1] if line.seq <= len(facts) else a_fill(1)
        assert type(fact) in SOURCES[E(line.event)]
        values = {name for name in EventLine.__struct_fields__ if getattr(line, name) is not None}
        assert values <= {"v", "seq", "index", "at", "event", *FIELDS[E(line.event)].split()}, line.event
    assert seen == set(E)


def test_events_of_one_fact_are_numbered() -> None:
    """Seq and index are an event's identity."""
    lines = derived(*one_of_each())
    assert len({(line.seq, line.index) for line in lines}) == len(lines)
    assert [line.index for line in lines if line.event == E.POSITION_OPENED] == [1]


def test_an_order_that_goes_in_parts_is_told_as_one() -> None:
    """Every event names the order that was asked for, and which part it comes from; it is filled once."""
    told, _ = a_split_story()
    lines = derived(*told)
    assert {line.client_order_id for line in lines} == {"alice-sale"}
    assert [(line.event, line.part_id, line.filled_qty) for line in lines if line.event != E.POSITION_CHANGED] == [
        (E.ORDER_CREATED, None, None),
        (E.ORDER_SUBMITTED, None, None),
        (E.ORDER_SPLIT, "alice-sale~1", None),
        (E.ORDER_ACCEPTED, "alice-sale~1", None),
        (E.ORDER_PARTIALLY_FILLED, "alice-sale~1", "5"),
        (E.POSITION_CLOSED, "alice-sale~1", None),
        (E.ORDER_SPLIT, "alice-sale~2", None),
        (E.ORDER_ACCEPTED, "alice-sale~2", None),
        (E.ORDER_FILLED, "alice-sale~2", "12"),
        (E.POSITION_OPENED, "alice-sale~2", None),
    ]
    assert [line.order_id for line in lines if line.event == E.ORDER_ACCEPTED] == ["b-alice-sale~1", "b-alice-sale~2"]


def test_parts_of_an_order_are_known_after_a_restart_and_forgotten_with_it() -> None:
    """What the desk knows stands in for facts that were not seen; what was passed over is looked up again."""
    told, desk = a_split_story(is_whole=False)
    copy = DropCopy()
    copy.take_over([*desk.asked_orders(), *desk.open_orders()], [])
    second = ClientOrderId("alice-sale~2")
    fill = replace(next(f for f in told if isinstance(f, ev.OrderFilled)), client_order_id=second, qty=qty(7))
    assert copy.lacks(fill) is None
    assert next((line.event, line.filled_qty) for line in copy.events(1, fill)) == (E.ORDER_FILLED, "12")
    copy.forget(second)
    assert copy.lacks(fill) == second


def test_what_is_about_a_part_says_so() -> None:
    """A part that the broker makes smaller, completes or would not cancel; a cancel is the whole order's."""
    told, _ = a_split_story(is_whole=False)
    first = ClientOrderId("alice-sale~1")
    before = [fact for fact in told if not isinstance(fact, ev.OrderFilled)][:3]
    after = (
        ev.OrderCancelRequested(client_order_id=ClientOrderId("alice-sale"), by="alice", at=NOON),
        ev.OrderCancelRequested(client_order_id=first, by="alice", at=NOON),
        ev.OrderCancelRefused(client_order_id=first, message="too late", at=NOON),
        ev.OrderRestated(client_order_id=first, qty=qty(4), at=NOON),
        ev.OrderCompleted(client_order_id=first, at=NOON),
    )
    lines = derived(*before, *after)[-3:]
    assert [(line.event, line.part_id, line.qty) for line in lines] == [
        (E.ORDER_CANCEL_REQUESTED, None, None),
        (E.ORDER_CANCEL_REFUSED, first, None),
        (E.ORDER_RESTATED, first, "11"),
    ]


def test_an_order_that_is_filled_in_parts_is_filled_once() -> None:
    """The execution that completes the quantity is the one that fills the order."""
    lines = derived(approved(), ACCEPTED, a_fill(4), a_fill(6))
    fills = [(line.event, line.fill_qty, line.filled_qty, line.qty) for line in lines if line.fill_qty]
    assert fills == [(E.ORDER_PARTIALLY_FILLED, "4", "4", "10"), (E.ORDER_FILLED, "6", "10", "10")]


@pytest.mark.parametrize(
    ("before", "shares", "side", "events"),
    [
        (0, 4, Side.BUY, [E.POSITION_OPENED]),
        (4, 6, Side.BUY, [E.POSITION_CHANGED]),
        (4, 4, Side.SELL, [E.POSITION_CLOSED]),
        (4, 10, Side.SELL, [E.POSITION_CLOSED, E.POSITION_OPENED]),
        (-4, 4, Side.BUY, [E.POSITION_CLOSED]),
        (0, 4, Side.SELL, [E.POSITION_OPENED]),
    ],
)
def test_a_fill_says_what_became_of_the_position(before: int, shares: int, side: Side, events: list[E]) -> None:
    """Opened, changed, closed; through zero it is both."""
    after = before + side.sign * shares
    lines = derived(approved(request=a_request(side=side)), a_fill(shares, position=after))
    assert [line.event for line in lines[3:]] == events
    assert all(line.position_qty == str(after) for line in lines[2:])


def test_a_ledger_from_before_positions_were_kept_tells_no_positions() -> None:
    """Nothing is guessed."""
    lines = derived(approved(), a_fill(10))
    assert [line.event for line in lines] == [E.ORDER_CREATED, E.ORDER_SUBMITTED, E.ORDER_FILLED]
    assert lines[-1].position_qty is None


def test_an_internal_fill_is_marked_and_names_nobody() -> None:
    """What is left of a recalled order begins as a new one; what it exchanged is its own, with whom nobody's business."""
    lines = derived(approved(), RETURNED, EXCHANGED)
    created, held, filled, opened = lines[2:]
    assert (created.event, created.client_order_id, created.replaces) == (E.ORDER_CREATED, BACK, OID)
    assert (held.event, held.message) == (E.ORDER_HELD, "held: taken back")
    assert (filled.event, filled.fill_qty, filled.is_internal) == (E.ORDER_PARTIALLY_FILLED, "4", True)
    assert opened.event == E.POSITION_OPENED
    assert "bob" not in str(lines)


def test_an_order_that_the_broker_cuts_down_may_be_filled_by_it() -> None:
    """What it is for then counts; when no more is left, it is filled."""
    lines = derived(approved(), a_fill(4), ev.OrderRestated(client_order_id=OID, qty=qty(6), at=NOON), a_fill(2))
    assert [(e.event, e.filled_qty, e.qty) for e in lines[3:]] == [
        (E.ORDER_RESTATED, "4", "6"),
        (E.ORDER_FILLED, "6", "6"),
    ]
    lines = derived(approved(), a_fill(4), ev.OrderRestated(client_order_id=OID, qty=qty(4), at=NOON))
    assert [e.event for e in lines[3:]] == [E.ORDER_RESTATED, E.ORDER_FILLED]
    assert derived(ev.OrderRestated(client_order_id=OID, qty=qty(4), at=NOON)) == []


def test_an_order_that_takes_anothers_place_says_whose() -> None:
    """Whether it was asked for here, or at the broker by hand."""
    lines = derived(approved(request=REPLACING), ADOPTED)
    created = [(e.client_order_id, e.replaces) for e in lines if e.event == E.ORDER_CREATED]
    assert created == [(NEW, OID), ("by-hand", OID)]
    assert [e.event for e in lines] == [E.ORDER_CREATED, E.ORDER_SUBMITTED, E.ORDER_CREATED, E.ORDER_ACCEPTED]


def test_an_outage_tells_who_was_affected_and_how_many_orders_were_not_taken() -> None:
    """Who was affected when the stream died at 14:32 is one line."""
    (line,) = derived(OUTAGE)
    assert (line.event, line.affected, line.orders_refused, line.orders_open) == (E.OUTAGE_ENDED, [ALICE], 4, 2)


def test_only_so_many_orders_are_remembered() -> None:
    """A year of orders does not fill the memory: what came before is looked up."""
    copy = DropCopy()
    for number in range(KNOWN_MAX + 1):
        copy._know(ClientOrderId(str(number)), _Known(a_request()))
    assert copy.lacks(ev.OrderCanceled(client_order_id=ClientOrderId("0"), at=NOON)) == "0"
    assert copy.lacks(ev.OrderCanceled(client_order_id=ClientOrderId("1"), at=NOON)) is None


def test_a_leg_is_an_order_of_the_same_member() -> None:
    """A bracket's legs are created by the broker, and their fills are told as any other's."""
    lines = derived(approved(), ACCEPTED, a_fill(10, order=LEG.client_order_id, position=0))
    created, filled = lines[3], lines[4]
    assert (created.event, created.parent_id, created.side, created.limit_price) == (
        E.ORDER_CREATED, OID, "sell", "110",
    )  # fmt: skip
    assert (filled.event, filled.user_id, filled.order_id, filled.side) == (E.ORDER_FILLED, ALICE, "b-leg-1", "sell")


def test_a_denial_by_a_limit_tells_figure_and_limit() -> None:
    """Whoever watches limits needs no parsing of messages."""
    breached = derived(denied())[-1]
    assert breached.event == E.LIMIT_BREACHED
    assert breached.reason == DenialReason.ORDER_NOTIONAL_MAX
    assert (breached.figure, breached.limit) == ("notional=101898.00", "order_notional_max=5000.00")
    form = ev.OrderDenied(request=a_request(), reason="SUB_PENNY", message="m", quote=None, market_day=MONDAY, at=NOON)
    assert [line.event for line in derived(form)] == [E.ORDER_CREATED, E.ORDER_DENIED]
    old = ev.OrderDenied(request=a_request(), reason="DUPLICATE", message="m", quote=None, market_day=MONDAY, at=NOON)
    assert derived(old)[-1].figure is None


def test_of_an_order_whose_beginning_is_unknown_only_the_id_is_told() -> None:
    """A broken ledger makes no wrong events."""
    canceled = ev.OrderCanceled(client_order_id=OID, at=NOON)
    found = ev.LegsFound(client_order_id=OID, legs=(LEG,), at=NOON)
    (line,) = derived(a_fill(1), canceled, found)
    assert (line.client_order_id, line.strategy_id) == (OID, None)
    assert derived(ACCEPTED)[0].order_id is None


def test_what_a_fact_lacks_is_named() -> None:
    """A reader that begins in the middle knows whose beginning it has to look up."""
    copy = DropCopy()
    assert copy.lacks(approved()) is None
    assert copy.lacks(ev.DeskStopped(at=NOON)) is None
    assert copy.lacks(a_fill(1)) == OID
    copy.events(1, approved())
    assert copy.lacks(a_fill(1)) is None
    copy.forget(OID)
    assert copy.lacks(a_fill(1)) == OID
    assert copy.lacks(ev.DiscrepancyFound(subject="b", expected="", actual="", action="", at=NOON)) == "b"


@pytest.mark.parametrize(
    "fact",
    [
        ev.DiscrepancyFound(subject="cash", expected="", actual="", action="house", at=NOON, more=cash(5)),
        ev.DiscrepancyResolved(subject="cash", by="ada", reason="a gift", at=NOON),
    ],
)
def test_a_difference_of_the_account_is_no_members_whatever_an_order_is_called(fact: ev.Fact) -> None:
    """Members choose their orders' ids: one that is called `cash` shows its owner nothing of the desk's cash."""
    (line,) = derived(approved(request=a_request(client_order_id=ClientOrderId("cash"))), fact)[2:]
    assert (line.subject, line.client_order_id, line.user_id) == ("cash", None, None)
    assert not is_shown(line, user_id=UserId(ALICE))


def test_taking_over_a_desk_is_as_good_as_having_seen_its_facts() -> None:
    """A desk that starts from its ledger goes on with the same events as one that never stopped."""
    facts, _ = a_story()
    desk, seen = Desk(), DropCopy()
    for fact in facts:
        desk.apply(fact)
        seen.events(1, fact)
    taken = DropCopy()
    taken.take_over(desk.orders.values(), desk.strategies.values())
    later: list[ev.Fact] = [
        a_fill(1, position=3),
        ev.OrderCanceled(client_order_id=ClientOrderId("alice-2"), at=NOON),
        ev.RunStarted(run_id=RunId("r2"), strategy_id=ALICE, at=NOON),
    ]
    for seq, fact in enumerate(later, 100):
        assert taken.events(seq, fact) == seen.events(seq, fact)


def test_a_bracket_that_a_desk_trades_is_told_whole() -> None:
    """From the desk's own facts: entry, legs, and the leg that ends it."""
    desk, copy = a_desk(), DropCopy()
    bracket = a_limit_request(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    profit = a_broker_order(a_limit_request("110", side=Side.SELL, client_order_id=ClientOrderId("leg-1")))
    order = a_broker_order(bracket, legs=(profit,), status=BrokerStatus.NEW)
    events: list[ev.Event] = [
        requested(bracket),
        ev.SubmitAccepted(client_order_id=bracket.client_order_id, order=order, at=NOON),
        updated(a_broker_order(bracket, status=BrokerStatus.CANCELED)),
    ]
    facts = [e.fact for event in events for e in handle(desk, event) if hasattr(e, "fact")]
    lines = [line.event for seq, fact in enumerate(facts) for line in copy.events(seq, fact)]
    assert lines[:4] == [E.ORDER_CREATED, E.ORDER_SUBMITTED, E.ORDER_ACCEPTED, E.ORDER_CREATED]
    assert lines[-1] == E.ORDER_CANCELED


def test_every_fact_type_is_known_to_this_test() -> None:
    """The union is read here as the ledger's codec reads it."""
    assert set(get_args(ev.OrderFact.__value__)) <= set(KINDS.values())
