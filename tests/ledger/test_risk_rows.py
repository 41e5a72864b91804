"""Who stopped trading, when and why, and what let it go on: one row for each fact, in their order."""

from datetime import timedelta

from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.ids import BrokerOrderId
from deskd.domain.kill import KillCause, KillDepth
from deskd.ledger.codec import stamp
from deskd.ledger.projections import project
from deskd.ledger.risk_rows import risk_event
from tests.factories import ALICE, NOON, a_desk, a_kill, a_release, of_strategy


def test_kills_and_what_became_of_them_are_rows_of_their_own() -> None:
    """Who stopped what, when and why, and who let it go on: one row for each fact, in their order."""
    facts: list[ev.Fact] = [
        a_kill(of_strategy(ALICE), KillDepth.FLATTEN),
        ev.FlattenHindered(target=of_strategy(ALICE), left=("alice: 5 AAPL: halted", "alice: 1 SPY: halted"), at=NOON),
        ev.FlattenCompleted(target=of_strategy(ALICE), at=NOON),
        a_release(of_strategy(ALICE)),
    ]
    statements = [s for s in project(facts, a_desk()) if "risk_events" in s[0]]
    assert [(row[0], row[1], row[2], row[3], row[6]) for _, row in statements] == [
        ("kill_engaged", "strategy", "alice", "flatten", "runaway orders"),
        ("flatten_hindered", "strategy", "alice", None, "alice: 5 AAPL: halted\nalice: 1 SPY: halted"),
        ("flatten_completed", "strategy", "alice", None, "nothing is open and nothing is held"),
        ("kill_released", "strategy", "alice", None, "mended"),
    ]


def test_breakers_and_the_accounts_switch_are_rows_too() -> None:
    """An open breaker lets positions shrink only, until its cool-down is over; the switch is the whole desk's."""
    later = NOON + timedelta(minutes=5)
    opened = ev.BreakerMoved(
        strategy_id=ALICE,
        state=BreakerState.OPEN,
        why="rejects=20 rejects_max=20 in 60 s",
        trips=1,
        at=NOON,
        cause=KillCause.REJECTS,
        until=later,
    )
    row = risk_event(opened)
    assert (row["kind"], row["scope"], row["name"]) == ("breaker_open", "strategy", "alice")
    assert (row["depth"], row["cause"], row["by"]) == ("reduce_only", "rejects", "breaker")
    assert (row["reason"], row["until"]) == ("rejects=20 rejects_max=20 in 60 s", stamp(later))
    closed = ev.BreakerMoved(strategy_id=ALICE, state=BreakerState.CLOSED, why="a quiet probation", trips=0, at=NOON)
    row = risk_event(closed)
    assert (row["kind"], row["depth"], row["cause"], row["until"]) == ("breaker_closed", None, None, None)
    for is_suspended, kind in ((True, "trading_suspended"), (False, "trading_resumed")):
        row = risk_event(ev.TradingSuspended(is_suspended=is_suspended, why="why", at=NOON))
        assert (row["kind"], row["scope"], row["name"], row["by"], row["reason"]) == (kind, "desk", "", "desk", "why")


def test_the_cancel_of_all_that_is_open_is_told_with_strangers_orders_by_name() -> None:
    """Whose order went with the desk's can be told from one row."""
    asked = ev.CancelAllRequested(by="kill", orders=7, at=NOON)
    answered = ev.CancelAllAnswered(canceled=5, refused=1, unnamed=1, strangers=(BrokerOrderId("theirs"),), at=NOON)
    rows = [values for sql, values in project([asked, answered], a_desk()) if "risk_events" in sql]
    assert [(row[0], row[1], row[5], row[6]) for row in rows] == [
        ("cancel_all_requested", "desk", "kill", "orders=7"),
        ("cancel_all_answered", "desk", None, "canceled=5 refused=1 unnamed=1\nnot the desk's: theirs"),
    ]
