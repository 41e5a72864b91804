"""Desk and worker understand each other, with every wish and every hour."""

from datetime import time, timedelta

from deskd.alerts.plan import Plan
from deskd.alerts.speech import Heard, Told, heard, line, told
from deskd.domain.ids import UserId
from deskd.domain.notifications import QuietHours, Topic, Wishes
from tests.factories import ALICE, NOON


def test_what_is_said_is_understood() -> None:
    """decode(encode(x)) == x, on one line."""
    wishes = Wishes(
        off=frozenset({Topic.RISK}),
        digest=timedelta(minutes=15),
        quiet=QuietHours(since=time(22), until=time(7, 30)),
    )
    plan = Plan(topics={Topic.RISK: ["club"]}, members={UserId("ann"): ["x"]}, wishes={ALICE: wishes}, is_live=True)
    said = Told(plan=plan, addresses={"club": "json://127.0.0.1/x\n"}, is_stop=True)
    assert told(line(said)) == said
    assert line(said).count(b"\n") == 1
    answer = Heard(route="club", is_well=False, problem="HTTP 500", failures=2, next_at=NOON, dead=1)
    assert heard(line(answer)) == answer
