"""After the close each member hears what their own strategies made, and of nobody else's."""

from dataclasses import replace

from deskd.alerts.plan import Plan
from deskd.alerts.summary import told_members
from deskd.alerts.wording import About
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, StrategyId, UserId
from deskd.domain.notifications import Severity, Topic, Wishes
from tests.factories import MONDAY, NOON, cash

A, B, C, GONE = (StrategyId(name) for name in ("a", "b", "c", "gone"))
ANN, BEN = UserId("ann"), UserId("ben")
PLAN = Plan(topics={Topic.DAILY_SUMMARY: ["club"]}, members={ANN: ["ann-phone"], BEN: ["ben-mail"]})
DAY = ev.DaySummarized(
    market_day=MONDAY,
    equity=cash("100012.5"),
    day_pnl=cash("-77.5"),
    fees=cash("-1.25"),
    orders=40,
    fills=31,
    denied=5,
    deaths=2,
    strategies=((A, cash("-87.5")), (B, cash("10")), (C, cash(0)), (GONE, cash("3"))),
    at=NOON,
)


class Ledger:
    def order(self, client_order_id: ClientOrderId) -> About | None:
        raise AssertionError(f"nobody asks for {client_order_id}")

    def member_of(self, strategy: StrategyId) -> UserId | None:
        return {A: ANN, B: BEN, C: ANN}.get(strategy)


def test_each_member_hears_of_their_own_strategies_in_one_message() -> None:
    """With the sum in its title; the next word is where to read more. It goes to no officer: they have the desk's."""
    ann, ben = told_members(7, DAY, Ledger(), PLAN)
    assert (ann.topic, ann.severity, ann.member, ann.at) == (Topic.DAILY_SUMMARY, Severity.INFO, ANN, NOON)
    assert ann.title == "2026-01-05: your day's P&L -$87.50"
    assert ann.text == "a: -$87.50\nc: $0.00\nMore: deskctl report 2026-01-05"
    assert ben.text.startswith("b: $10.00\n")
    assert (ann.key, ben.key) == ("fact:7:ann", "fact:7:ben")
    assert [due.route for due in PLAN.dues(ann, NOON)] == ["ann-phone"]


def test_a_strategy_that_does_not_wish_for_it_is_left_out() -> None:
    """Where none of a member's does, there is no message; nor is there for one without a route."""
    off = Wishes(off=frozenset({Topic.DAILY_SUMMARY}))
    _, ann = told_members(7, DAY, Ledger(), replace(PLAN, wishes={A: off}))
    assert ann.text.startswith("c: $0.00\nMore")
    assert [one.member for one in told_members(7, DAY, Ledger(), replace(PLAN, wishes={B: off}))] == [ANN]
    assert told_members(7, DAY, Ledger(), replace(PLAN, members={})) == []
