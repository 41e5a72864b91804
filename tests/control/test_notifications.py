"""Officers look after notifications; members see their own; each command is on record."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deskd.alerts.outbox import opened
from deskd.alerts.plan import Plan
from deskd.cli.client import Desk, NotDone
from deskd.control.notifications import covering, tried
from deskd.domain.ids import UserId
from deskd.domain.notifications import Severity, Topic
from deskd.ports import SystemClock
from tests.alerts.notes import a_note
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk
from tests.factories import BOB, NOON

PLAN = Plan(topics={Topic.SYSTEM_ALERTS: ["club"]}, tries_max=1)


def keep_a_dead_one(folder: Path, **overrides: Any) -> int:
    with opened(folder / "notifications.db") as outbox:
        outbox.add([a_note(**overrides)], PLAN, NOON)
        [row] = outbox.rows()
        outbox.failed("club", [row["id"]], "HTTP 500", next_at=NOON, tries_max=1, now=NOON)
        return int(row["id"])


async def look(desk: RunningDesk, **query: str) -> list[dict[str, Any]]:
    answer = await asyncio.to_thread(Desk(desk.socket).look, "/notifications", query)
    rows: list[dict[str, Any]] = answer["notifications"]
    return rows


async def ask(desk: RunningDesk, what: str, **body: object) -> dict[str, Any]:
    return (await asyncio.to_thread(Desk(desk.socket).command, f"/notifications/{what}", body)).body


async def test_what_is_dead_is_seen_and_sent_again(tmp_path: Path) -> None:
    """By its number, or all of them."""
    number = keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        [row] = await look(desk, status="dead")
        assert (row["id"], row["problem"], row["route"]) == (number, "HTTP 500", "club")
        assert await ask(desk, "retry", ids=[number + 1]) == {"again": 0}
        assert await ask(desk, "retry") == {"again": 1}
        assert [one["status"] for one in await look(desk)] == ["waiting"]
        assert [(c.command, c.arguments) for c in desk.commands] == [
            ("notify retry", str(number + 1)),
            ("notify retry", "all"),
        ]


async def test_a_test_goes_the_topics_way(tmp_path: Path) -> None:
    """It says who asked for it, and that nothing is to do."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        await ask(desk, "test", topic="risk")
        row = (await look(desk))[-1]
        assert (row["title"], row["status"]) == ("Test of risk", "waiting")
        assert "ada (uid 0)" in row["text"]


async def test_a_test_without_a_topic_reaches_every_route(tmp_path: Path) -> None:
    """Officers' by as few topics as that takes, then members'; one that was left alone after a failure is tried at once."""
    number = keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        told = await ask(desk, "test")
        assert sorted(one["topic"] for one in told["tests"]) == ["risk", "system-alerts", "system-alerts"]
        rows = await look(desk, key=told["tests"][0]["key"])
        assert {row["key"] for row in rows} == {told["tests"][0]["key"]}
        assert {row["route"] for row in await look(desk) if row["id"] != number} == {"club", "phone", "mail", "ben"}
        [mine] = [row for row in await look(desk) if row["route"] == "ben"]
        assert (mine["title"], mine["member"]) == ("Test of ben's routes", "ben")
        with opened(tmp_path / "notifications.db") as outbox:
            assert outbox.due_routes(SystemClock().now()) == ["ben", "club", "mail", "phone"]


def test_topics_that_reach_most_come_first() -> None:
    """None where no topic has a route."""
    plan = Plan(topics={Topic.RISK: ["a"], Topic.HEARTBEAT: ["b", "c"], Topic.SCANNER: ["a", "b"]})
    assert covering(plan) == [Topic.HEARTBEAT, Topic.RISK]
    assert covering(Plan(topics={Topic.RISK: []})) == []


async def test_what_an_officer_says_is_on_record(tmp_path: Path) -> None:
    """Topic, words, whose member hears it too, and who said it; the routes by which it goes are the answer."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        told = await ask(desk, "send", topic="scanner", text="3 found\nA, B, C", strategy="bob", severity="warning")
        assert told == {"topic": "scanner", "title": "3 found", "routes": ["ben", "club"]}
        [notice] = desk.notices
        assert (notice.topic, notice.severity, notice.strategy_id) == (Topic.SCANNER, Severity.WARNING, BOB)
        assert (notice.title, notice.text, notice.by) == ("3 found", "3 found\nA, B, C", "ada (uid 0)")
        assert [(c.command, c.arguments) for c in desk.commands] == [("notify send", "scanner: 3 found")]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"topic": "scaner", "text": "x"}, "topic='scaner': there are paper-trading"),
        ({"topic": "scanner", "text": " "}, "text: from 1 to 4000 characters"),
        ({"topic": "scanner", "text": "x" * 4_001}, "text: from 1 to 4000 characters"),
        ({"topic": "scanner", "text": "x", "title": "x" * 121}, "title: from 1 to 120 characters"),
        ({"topic": "scanner", "text": "x", "severity": "loud"}, "severity='loud': there are info"),
        ({"topic": "scanner", "text": "x", "strategy": "bop"}, "there is no strategy 'bop'"),
        ({"topic": "calendar", "text": "x"}, "calendar has no route; set notifications.calendar"),
    ],
)
async def test_words_that_cannot_be_told_are_refused(tmp_path: Path, body: dict[str, Any], why: str) -> None:
    """With what is allowed: a script must know that nobody heard it."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match=why):
            await ask(desk, "send", **body)
        assert desk.notices == []


async def test_a_test_of_a_members_routes_reaches_nobody_else(tmp_path: Path) -> None:
    """A member who has none is named, with those who have."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        [one] = (await ask(desk, "test", member="ben"))["tests"]
        assert [row["route"] for row in await look(desk, key=one["key"])] == ["ben"]
        with pytest.raises(NotDone, match="member 'bem' has no route; who has one: ben"):
            await ask(desk, "test", member="bem")


def test_members_routes_that_officers_have_too_are_tried_once() -> None:
    """And one that two members share."""
    ann, ben = UserId("ann"), UserId("ben")
    shared = Plan(topics={Topic.RISK: ["club"]}, members={ann: ["club", "phone", "phone"], ben: ["phone"]})
    assert tried(shared, None, None) == ([Topic.RISK], {ann: ["phone"]})
    assert tried(Plan(), None, None) == ([], {})


async def test_a_member_sees_their_own_and_commands_nothing(tmp_path: Path) -> None:
    """Others' notifications are none of theirs."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        assert await look(desk) == []
        with opened(tmp_path / "notifications.db") as outbox:
            outbox.add([a_note("mine", member="alice")], PLAN, NOON)
        assert [row["member"] for row in await look(desk)] == ["alice"]
        commands: tuple[tuple[str, dict[str, Any]], ...] = (
            ("retry", {}),
            ("test", {"topic": "risk"}),
            ("send", {"topic": "scanner", "text": "x"}),
        )
        for what, body in commands:
            with pytest.raises(NotDone, match="kept by officers: alice is none"):
                await ask(desk, what, **body)
        assert desk.commands == []


async def test_what_is_not_meant_is_refused(tmp_path: Path) -> None:
    """With what is allowed; and where there are no routes, that is said."""
    async with a_running_desk(tmp_path) as desk:
        assert await look(desk) == []
        with pytest.raises(NotDone, match=r"there are no routes: set notify.routes_file"):
            await ask(desk, "test", topic="risk")
        with pytest.raises(NotDone, match="topic='rsik': there are paper-trading"):
            await ask(desk, "test", topic="rsik")
        with pytest.raises(NotDone, match="ids: a list of at most"):
            await ask(desk, "retry", ids=["1"])
        with pytest.raises(NotDone, match="status='lost': allowed: waiting"):
            await look(desk, status="lost")
