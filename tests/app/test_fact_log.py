"""The log of facts: one line each, with the words an officer searches for."""

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from deskd.app.fact_log import FactLog
from deskd.core.deciding import handle
from deskd.core.house import OPENING
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.effects import Record
from deskd.domain.ids import ActivityId, BrokerOrderId, ClientOrderId, RunId
from deskd.domain.kill import THE_DESK, KillScope, KillTarget
from deskd.domain.order import Order, OrderStatus
from deskd.domain.run import ExitReason, RunEnd, StrategyStatus
from deskd.ledger import fold
from deskd.wire.drop_copy import DropCopy
from tests.core.some_splits import a_split_story
from tests.factories import (
    AAPL,
    ALICE,
    MONDAY,
    NOON,
    a_desk,
    a_fact_of_a_fill,
    a_kill,
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
)

OID = a_request().client_order_id
FEE_ID = ActivityId("20260105::fee")
AN_ORDER = Order(request=a_request(), status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON)


def a_run_end(reason: ExitReason) -> ev.RunEnded:
    return ev.RunEnded(run_id=RunId("r1"), strategy_id=ALICE, end=RunEnd(reason=reason, detail="why"), at=NOON)


def house_took(why: str) -> ev.HouseAdjusted:
    return ev.HouseAdjusted(cash=cash(5), symbol=None, qty=qty(0), price=None, why=why, at=NOON)


def an_outage(*, bars_missing: int) -> ev.OutageEnded:
    return ev.OutageEnded(
        stream="market",
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=90),
        why="dropped",
        affected=(ALICE,),
        open_orders=1,
        refusals=((ALICE, 2),),
        bars_fetched=1,
        bars_missing=bars_missing,
        at=NOON + timedelta(seconds=91),
    )


BUSTED = ev.HouseAdjusted(
    cash=cash(400),
    symbol=AAPL,
    qty=qty(-4),
    price=None,
    why="busted",
    at=NOON,
    cause=HouseCause.TRADE_BUST,
    client_order_id=OID,
)
FEE = ev.HouseAdjusted(
    cash=cash(-1), symbol=None, qty=qty(0), price=None, why="FEE", at=NOON, cause=HouseCause.FEE, activity_id=FEE_ID
)
LINES: list[tuple[ev.Fact, str, str, dict[str, Any]]] = [
    # its order's symbol and its own are one key
    (BUSTED, "house_adjusted", "warning", {"cause": "trade_bust", "symbol": "AAPL", "strategy_id": ALICE}),
    (FEE, "house_adjusted", "info", {"cause": "fee", "cash": "-1", "activity_id": FEE_ID}),
    (
        ev.FillCorrected(
            client_order_id=OID, word="trade_bust", qty=qty(-4), notional=cash(-400), corrected_at=NOON, at=NOON
        ),
        "fill_corrected",
        "warning",
        {"qty": "-4", "symbol": "AAPL"},
    ),
    (ev.SymbolFrozen(symbol=AAPL, why="2 more", at=NOON), "symbol_frozen", "error", {"symbol": "AAPL"}),
    (
        a_kill(of_strategy(ALICE)),
        "kill_engaged",
        "error",
        {"strategy_id": ALICE, "depth": "stop_new", "cause": "command"},
    ),
    (a_release(), "kill_released", "warning", {"scope": "desk", "why": "mended"}),
    (
        ev.FlattenCompleted(target=KillTarget(KillScope.SYMBOL, AAPL), at=NOON),
        "flatten_completed",
        "warning",
        {"symbol": AAPL},
    ),
    (
        ev.FlattenHindered(target=THE_DESK, left=("alice: 5 AAPL: halted",), at=NOON),
        "flatten_hindered",
        "error",
        {"left": ["alice: 5 AAPL: halted"]},
    ),
    (ev.SymbolThawed(symbol=AAPL, why="ada: a gift", at=NOON), "symbol_thawed", "info", {"why": "ada: a gift"}),
    (
        an_exit(),
        "exit_triggered",
        "info",
        {
            "strategy_id": ALICE,
            "exit": "stop_loss",
            "why": "exit=stop_loss level=98 avg_entry_price=100 price=97",
        },
    ),
    (
        ev.DiscrepancyResolved(subject="cash", by="ada", reason="found", at=NOON),
        "discrepancy_resolved",
        "info",
        {"by": "ada", "reason": "found"},
    ),
    (
        ev.SharesDistributed(symbol=AAPL, ratio=qty(2), by="ada", reason="2:1", at=NOON),
        "shares_distributed",
        "warning",
        {"ratio": "2"},
    ),
    (
        ev.OrderApproved(
            request=a_request(qty=None, notional=cash(100)),
            quote=a_quote(),
            reserved_cash=cash(100),
            reserved_qty=qty(0),
            market_day=MONDAY,
            at=NOON,
            line="trade AAPL 2026-11-20T15:04:05Z",
        ),
        "order_approved",
        "info",
        {"client_order_id": OID, "strategy_id": ALICE, "qty": "100", "line": "trade AAPL 2026-11-20T15:04:05Z"},
    ),
    (
        ev.OrderDenied(request=a_request(), reason="DUPLICATE", message="wait", quote=None, market_day=MONDAY, at=NOON),
        "order_denied",
        "info",
        {"reason": "DUPLICATE", "detail": "wait"},
    ),
    (
        a_fact_of_a_fill(a_request(), 4),
        "order_filled",
        "info",
        {"client_order_id": OID, "strategy_id": ALICE, "symbol": "AAPL", "side": "buy", "qty": "4"},
    ),
    (
        ev.OrderRejected(client_order_id=OID, reason="NEVER_ARRIVED", message="m", at=NOON),
        "order_rejected",
        "warning",
        {"reason": "NEVER_ARRIVED"},
    ),
    (
        ev.OrderAccepted(client_order_id=OID, broker_order_id=BrokerOrderId("b"), submitted_at=NOON, legs=(), at=NOON),
        "order_accepted",
        "info",
        {"client_order_id": OID, "broker_order_id": "b"},
    ),
    (ev.OrderReleased(client_order_id=OID, at=NOON), "order_released", "info", {"client_order_id": OID}),
    (
        ev.OrderCancelRequested(client_order_id=OID, by="ada", at=NOON),
        "order_cancel_requested",
        "info",
        {"client_order_id": OID, "by": "ada"},
    ),
    (ev.OrderCanceled(client_order_id=OID, at=NOON), "order_canceled", "info", {"client_order_id": OID}),
    (ev.OrderExpired(client_order_id=OID, at=NOON), "order_expired", "info", {"client_order_id": OID}),
    (
        ev.OrderReplaced(client_order_id=OID, replaced_by=ClientOrderId("new"), at=NOON),
        "order_replaced",
        "info",
        {"client_order_id": OID, "replaced_by": "new"},
    ),
    (
        ev.OrderAdopted(
            request=a_request(),
            broker_order_id=BrokerOrderId("b"),
            replaces=ClientOrderId("old"),
            submitted_at=None,
            reserved_cash=cash(0),
            reserved_qty=qty(0),
            price=price(1),
            at=NOON,
        ),
        "order_adopted",
        "warning",
        {"client_order_id": OID, "strategy_id": ALICE, "replaces": "old"},
    ),
    (
        ev.BrokerSaid(client_order_id=OID, source="submit", word="in_doubt", detail="HTTP 504", at=NOON),
        "broker_said",
        "info",
        {"client_order_id": OID, "source": "submit", "word": "in_doubt", "detail": "HTTP 504"},
    ),
    (ev.RunStarted(run_id=RunId("r1"), strategy_id=ALICE, at=NOON), "run_started", "info", {"run_id": "r1"}),
    (
        ev.RunStalled(run_id=RunId("r1"), strategy_id=ALICE, detail="why", at=NOON),
        "run_stalled",
        "warning",
        {"run_id": "r1", "detail": "why"},
    ),
    (a_run_end(ExitReason.STOPPED), "run_ended", "info", {"reason": "stopped"}),
    (a_run_end(ExitReason.OOM), "run_ended", "warning", {"reason": "oom", "detail": "why"}),
    (
        ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.FAILED, why="w", at=NOON),
        "strategy_status_changed",
        "info",
        {"status": "failed"},
    ),
    (
        ev.DiscrepancyFound(subject="cash", expected="the books", actual="5 more", action="house", at=NOON),
        "discrepancy_found",
        "error",
        {"subject": "cash", "detail": "5 more"},
    ),
    (ev.StreamChanged(stream="trades", is_up=True, why="w", at=NOON), "stream_changed", "info", {"is_up": True}),
    (ev.StreamChanged(stream="trades", is_up=False, why="w", at=NOON), "stream_changed", "warning", {"why": "w"}),
    (
        an_outage(bars_missing=0),
        "outage_ended",
        "info",
        {"lasted_s": 90.0, "affected": [ALICE], "refusals": {ALICE: 2}},
    ),
    (an_outage(bars_missing=1), "outage_ended", "warning", {"stream": "market", "bars_missing": 1}),
    (
        ev.StreamChanged(stream="market", is_up=True, why="405", at=NOON, affected=(ALICE,)),
        "stream_changed",
        "info",
        {"affected": [ALICE]},
    ),
    (house_took(OPENING), "house_adjusted", "info", {"cash": "5"}),
    (house_took("no fill explains it"), "house_adjusted", "warning", {"cash": "5"}),
]


def test_what_happens_to_a_part_is_found_by_its_order() -> None:
    """Who follows an order through the log sees its parts, each by its name."""
    told, desk = a_split_story()
    with capture_logs() as lines:
        for fact in told:
            FactLog(desk.orders)(fact)
    assert {line["client_order_id"] for line in lines} == {"alice-sale"}
    assert [(line["event"], line.get("part_id")) for line in lines if line["event"] != "order_approved"] == [
        ("order_split", "alice-sale~1"),
        ("order_accepted", "alice-sale~1"),
        ("order_filled", "alice-sale~1"),
        ("order_split", "alice-sale~2"),
        ("order_accepted", "alice-sale~2"),
        ("order_filled", "alice-sale~2"),
    ]


@pytest.mark.parametrize(("fact", "event", "level", "keys"), LINES)
def test_a_fact_that_people_look_for_is_one_line(fact: ev.Fact, event: str, level: str, keys: dict[str, Any]) -> None:
    """Its name, how much it matters, and whose it is."""
    with capture_logs() as lines:
        FactLog({OID: AN_ORDER})(fact)
    assert len(lines) == 1
    assert lines[0]["event"] == event
    assert lines[0]["log_level"] == level
    assert lines[0].items() >= keys.items()


# Names of the log that are not the drop copy's: one line for a fact that has several events, or more than one name.
OTHERWISE_NAMED = {
    "order_approved": {"order_created", "order_submitted"},
    "order_adopted": {"order_created", "order_accepted"},
    "broker_said": {"broker_said", "order_in_doubt"},
    "order_filled": {"order_filled", "order_partially_filled"},
    "stream_changed": {"stream_up", "outage_started"},
    "trade_bust": {"fill_corrected"},  # the log has the broker's own word
    "trade_correct": {"fill_corrected"},
}


@pytest.mark.parametrize(("fact", "event", "level", "keys"), LINES)
def test_log_and_drop_copy_tell_one_story(fact: ev.Fact, event: str, level: str, keys: dict[str, Any]) -> None:
    """Who searches the log for an event's name finds its fact; the names that are the log's own are listed."""
    copy = DropCopy()
    copy.take_over([AN_ORDER], [])
    names = {line.event for line in copy.events(1, fact)}
    assert names & OTHERWISE_NAMED.get(event, {event})


LINE = "trade AAPL 2026-11-20T15:04:05Z"


def test_every_entry_of_an_order_has_the_line_that_led_to_it() -> None:
    """`journalctl DESK_LINE=...` shows what one line of the market led to, to the last fill; after a restart, too."""
    request = a_request()
    desk = a_desk()
    approved = next(
        record.fact
        for record in handle(desk, requested(request, line=LINE, lines_together=4))
        if isinstance(record, Record)
    )
    told: list[ev.Fact] = [
        approved,
        ev.OrderHeld(client_order_id=OID, until=NOON, reason="WASH_TRADE", message="m", in_the_way=(), at=NOON),
        ev.OrderReleased(client_order_id=OID, at=NOON),
        ev.BrokerSaid(client_order_id=OID, source="submit", word="in_doubt", detail="HTTP 504", at=NOON),
        ev.OrderAccepted(client_order_id=OID, broker_order_id=BrokerOrderId("b"), submitted_at=NOON, legs=(), at=NOON),
        a_fact_of_a_fill(request, 4),
        ev.OrderCancelRequested(client_order_id=OID, by="alice", at=NOON),
        ev.OrderCanceled(client_order_id=OID, at=NOON),
    ]
    restarted = fold.decode(fold.encode(desk))
    for orders in (desk.orders, restarted.orders):
        with capture_logs() as lines:
            for fact in told:
                FactLog(orders)(fact)
        assert [line["event"] for line in lines] == [
            "order_approved",
            "order_held",
            "order_released",
            "broker_said",
            "order_accepted",
            "order_filled",
            "order_cancel_requested",
            "order_canceled",
        ]
        assert {(line["line"], line["lines_together"]) for line in lines} == {(LINE, 4)}


def test_parts_have_the_line_of_the_order_that_was_asked_for() -> None:
    """Whatever the desk made of it, it was asked for on that line."""
    told, desk = a_split_story(line=LINE)
    with capture_logs() as lines:
        for fact in told:
            FactLog(desk.orders)(fact)
    assert {line.get("line") for line in lines} == {LINE}
    assert {name: order.line for name, order in desk.orders.items() if "sale" in name} == {
        "alice-sale": LINE,
        "alice-sale~1": LINE,
        "alice-sale~2": LINE,
    }


def test_what_nobody_looks_for_is_no_line() -> None:
    """A mark every ten seconds would drown the rest."""
    with capture_logs() as lines:
        FactLog({})(ev.PositionsMarked(marks=(), at=NOON))
    assert lines == []


def test_member_and_run_stand_beside_what_happens_to_a_strategy() -> None:
    """`journalctl DESK_RUN=...` shows a run from its start to its end, its orders and their fills included."""
    run = RunId("alice.1")
    told = FactLog({OID: AN_ORDER}, {ALICE: registered(ALICE)})
    with capture_logs() as lines:
        told(ev.RunStarted(run_id=run, strategy_id=ALICE, at=NOON))
        told(a_fact_of_a_fill(a_request(), 10))
        told(ev.RunEnded(run_id=run, strategy_id=ALICE, end=RunEnd(reason=ExitReason.CLEAN, detail="x"), at=NOON))
        told(a_fact_of_a_fill(a_request(), 10))
    assert [line.get("run_id") for line in lines] == [run, run, run, None]
    assert {line["user_id"] for line in lines} == {registered(ALICE).user_id}


def test_an_order_tells_the_quote_that_it_rested_on() -> None:
    """From the fill by client_order_id to the request, and by the market's stamp to the line that was read."""
    fact = ev.OrderApproved(
        request=a_request(), quote=a_quote(), reserved_cash=cash(1), reserved_qty=qty(0), market_day=MONDAY, at=NOON
    )
    with capture_logs() as lines:
        FactLog({})(fact)
    assert lines[0]["quoted_at"] == a_quote().quoted_at.isoformat()
    assert lines[0]["client_order_id"] == OID
