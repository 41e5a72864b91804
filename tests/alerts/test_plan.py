"""Routes of officers and of members, digests and quiet hours: who hears what, and when."""

from dataclasses import replace
from datetime import time, timedelta

import pytest

from deskd.alerts.plan import Due, Plan
from deskd.domain.ids import UserId
from deskd.domain.notifications import QuietHours, Severity, Topic, Wishes
from tests.alerts.notes import a_fill_note, a_note
from tests.factories import ALICE, NOON

ANN = UserId("ann")
NIGHT = QuietHours(since=time(22), until=time(7))  # NOON is 12:00 in New York
PLAN = Plan(
    topics={Topic.PAPER_TRADING: ["club"], Topic.SYSTEM_ALERTS: ["club", "officer-mail"]},
    members={ANN: ["ann-phone"]},
)


def test_a_topic_goes_to_its_routes_and_to_the_member_whom_it_concerns() -> None:
    """Officers hear everything of a topic, a member what is theirs, nobody what has no route."""
    minute = NOON + timedelta(minutes=1)
    assert PLAN.dues(a_fill_note("f"), NOON) == [
        Due(route="club", at=minute, is_digest=True),
        Due(route="ann-phone", at=minute, is_digest=True),
    ]
    assert [due.route for due in PLAN.dues(a_note(), NOON)] == ["club", "officer-mail"]
    assert {due.at for due in PLAN.dues(a_note(), NOON)} == {NOON}
    assert PLAN.dues(a_note(topic=Topic.SCANNER), NOON) == []


def test_a_route_that_is_both_officers_and_members_is_used_once() -> None:
    """The same words twice on one phone are one too many."""
    both = replace(PLAN, members={ANN: ["club"]})
    assert [due.route for due in both.dues(a_fill_note("f"), NOON)] == ["club"]


def test_what_is_private_goes_to_its_member_alone() -> None:
    """Officers have the same in a form of their own: twenty members are no twenty messages to them."""
    assert [due.route for due in PLAN.dues(replace(a_fill_note("f"), is_private=True), NOON)] == ["ann-phone"]


def test_a_member_turns_topics_off_and_chooses_the_digest() -> None:
    """For the strategy whose wishes they are, and on the member's routes only."""
    wishes = Wishes(off=frozenset({Topic.RISK}), digest=timedelta(minutes=15))
    plan = replace(PLAN, wishes={ALICE: wishes})
    assert [due.at - NOON for due in plan.dues(a_fill_note("f"), NOON)] == [timedelta(minutes=1), timedelta(minutes=15)]
    assert plan.dues(a_note(topic=Topic.RISK, member=ANN, strategy=ALICE), NOON) == []
    assert plan.dues(a_note(topic=Topic.RISK, member=ANN, strategy=None), NOON) != []


def test_what_is_critical_is_told_whatever_anybody_wishes() -> None:
    """A kill at three in the night, with the topic turned off."""
    wishes = Wishes(off=frozenset({Topic.RISK}), quiet=QuietHours(since=time(0), until=time(23, 59)))
    plan = replace(PLAN, wishes={ALICE: wishes})
    kill = a_note(topic=Topic.RISK, severity=Severity.CRITICAL, member=ANN, strategy=ALICE)
    assert plan.dues(kill, NOON) == [Due(route="ann-phone", at=NOON, is_digest=False)]


@pytest.mark.parametrize(("hours", "waits"), [(0, 0), (9, 0), (10, 9), (14, 5), (18, 1), (19, 0)])
def test_quiet_hours_put_the_rest_off_to_their_end(hours: int, waits: int) -> None:
    """From 22:00 to 07:00 in New York, over midnight."""
    plan = replace(PLAN, wishes={ALICE: Wishes(quiet=NIGHT)})
    now = NOON + timedelta(hours=hours)
    [due] = plan.dues(a_note(topic=Topic.RISK, member=ANN, strategy=ALICE), now)
    assert due.at - now == timedelta(hours=waits)


def test_what_may_heal_waits() -> None:
    """An outage is due when it has lasted for its time."""
    waits = a_note(wait=timedelta(minutes=2))
    assert {due.at - NOON for due in PLAN.dues(waits, NOON)} == {timedelta(minutes=2)}


def test_what_is_for_some_routes_only_goes_to_no_other() -> None:
    """A test of a member's routes is not told to every officer."""
    assert [due.route for due in PLAN.dues(a_note(member=ANN, only=("ann-phone",)), NOON)] == ["ann-phone"]


def test_quiet_hours_within_a_day() -> None:
    """They begin with their first minute, and end before their last."""
    lunch = QuietHours(since=time(12), until=time(13))
    assert [lunch.covers(time(h, m)) for h, m in ((11, 59), (12, 0), (12, 59), (13, 0))] == [False, True, True, False]
