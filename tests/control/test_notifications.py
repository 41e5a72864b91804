"""Officers look after notifications; members see their own; each command is on record."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deskd.alerts.outbox import opened
from deskd.alerts.plan import Plan
from deskd.cli.client import Desk, NotDone
from deskd.domain.notifications import Topic
from tests.alerts.notes import a_note
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk
from tests.factories import NOON

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


async def test_a_member_sees_their_own_and_commands_nothing(tmp_path: Path) -> None:
    """Others' notifications are none of theirs."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        assert await look(desk) == []
        with opened(tmp_path / "notifications.db") as outbox:
            outbox.add([a_note("mine", member="alice")], PLAN, NOON)
        assert [row["member"] for row in await look(desk)] == ["alice"]
        for what, body in (("retry", {}), ("test", {"topic": "risk"})):
            with pytest.raises(NotDone, match="kept by officers: alice is none"):
                await ask(desk, what, **body)
        assert desk.commands == []


async def test_what_is_not_meant_is_refused(tmp_path: Path) -> None:
    """With what is allowed; and where there are no routes, that is said."""
    async with a_running_desk(tmp_path) as desk:
        assert await look(desk) == []
        with pytest.raises(NotDone, match="there are no routes: set notifications"):
            await ask(desk, "test", topic="risk")
        with pytest.raises(NotDone, match="topic='rsik': there are paper-trading"):
            await ask(desk, "test", topic="rsik")
        with pytest.raises(NotDone, match="ids: a list of at most"):
            await ask(desk, "retry", ids=["1"])
        with pytest.raises(NotDone, match="status='lost': allowed: waiting"):
            await look(desk, status="lost")
