"""Everybody sees the day's jobs, officers run them, and members read their own report."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deskd.cli.client import Answer, Desk, NotDone
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk
from tests.factories import DAY

DAYS = ("2026-01-02", "2026-01-05")


async def look(desk: RunningDesk, what: str, query: dict[str, str] | None = None) -> dict[str, Any]:
    return await asyncio.to_thread(Desk(desk.socket).look, what, query)


async def run(desk: RunningDesk, arguments: dict[str, object]) -> Answer:
    return await asyncio.to_thread(Desk(desk.socket).command, "/jobs/run", arguments)


async def read(desk: RunningDesk, **query: str) -> str:
    def text() -> str:
        return b"".join(Desk(desk.socket).stream("/report", query, is_endless=False)).decode()

    return await asyncio.to_thread(text)


def reports(folder: Path) -> None:
    """Put reports there, as the worker does."""
    for day in DAYS:
        (folder / "reports" / day).mkdir(parents=True)
        for whose in ("desk", "member-alice", "member-bob"):
            for kind in ("html", "json", "fills.csv"):
                (folder / "reports" / day / f"{whose}.{kind}").write_text(f"{whose} {day} {kind}")


async def test_the_list_names_every_job_with_last_and_next(tmp_path: Path) -> None:
    """Before the close: when the end of the day begins; what runs by hand only is told apart."""
    async with a_running_desk(tmp_path) as desk:
        desk.desk.calendar = {DAY.day: DAY}
        await run(desk, {"name": "report"})
        jobs = {row["name"]: row for row in (await look(desk, "/jobs"))["jobs"]}
    assert jobs["backup"]["next_at"] == "2026-01-05T21:05:00Z"
    assert (jobs["backup"]["is_planned"], jobs["backup"]["last"]) == (True, None)
    assert (jobs["snapshot"]["is_planned"], jobs["snapshot"]["next_at"]) == (False, None)
    last = jobs["report"]["last"]
    assert (last["by"], last["outcome"], jobs["report"]["is_running"]) == ("ada (uid 0)", "done", False)


async def test_an_officer_runs_a_job_and_hears_how_it_ended(tmp_path: Path) -> None:
    """The command is on record before it begins; a failure is no success of the command."""
    async with a_running_desk(tmp_path) as desk:
        done = await run(desk, {"name": "rep", "session": "2026-01-02"})
        failed = await run(desk, {"name": "backup"})
    assert done.is_done
    assert (done.body["run"]["name"], done.body["run"]["detail"]) == ("report", "of 2026-01-02")
    assert not failed.is_done
    assert failed.body["run"]["detail"] == "No space left on device"
    assert [(c.command, c.arguments) for c in desk.commands] == [
        ("jobs run", "report --session 2026-01-02"),
        ("jobs run", "backup"),
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "which job"),
        ({"name": "nosuch"}, "there is no job 'nosuch'; there are: checks"),
        ({"name": "re"}, "ambiguous"),
        ({"name": ""}, "ambiguous"),
        ({"name": "report", "session": "monday"}, "write it as 2026-01-31"),
    ],
    ids=str,
)
async def test_what_is_no_job_or_no_day_is_named(tmp_path: Path, arguments: dict[str, object], text: str) -> None:
    """And nothing is on record."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match=text):
            await run(desk, arguments)
        assert desk.commands == []


async def test_a_member_runs_no_job(tmp_path: Path) -> None:
    """They are the desk's."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        with pytest.raises(NotDone, match="run by officers"):
            await run(desk, {"name": "report"})
        assert (await look(desk, "/jobs"))["jobs"]


async def test_officers_read_every_report(tmp_path: Path) -> None:
    """The latest where no day is named."""
    reports(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        assert await read(desk) == "desk 2026-01-05 html"
        assert await read(desk, member="bob", day="2026-01-02", kind="json") == "member-bob 2026-01-02 json"
        assert [row["market_day"] for row in (await look(desk, "/reports"))["reports"]] == list(DAYS)


async def test_a_member_reads_his_own_report_and_no_other(tmp_path: Path) -> None:
    """Not another member's, not the desk's, and no file by a clever name."""
    reports(tmp_path)
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        assert await read(desk, kind="fills.csv") == "member-alice 2026-01-05 fills.csv"
        assert await read(desk, member="alice") == "member-alice 2026-01-05 html"
        for member in ("bob", "desk", "../2026-01-02/desk", "alice/../member-bob"):
            with pytest.raises(NotDone, match="is not yours"):
                await read(desk, member=member)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"kind": "../../desk.db"}, "allowed: html"),
        ({"day": "../.."}, "is no day"),
        ({"day": "2026-01-03"}, "jobs run report --session 2026-01-03"),
        ({"member": "a/../../x"}, "not a member's name"),
        ({"member": "nobody"}, "there is no report of member-nobody yet"),
    ],
    ids=str,
)
async def test_what_there_is_no_report_of_is_named(tmp_path: Path, query: dict[str, str], text: str) -> None:
    """A day, a kind and a member are no paths."""
    reports(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match=text):
            await read(desk, **query)


async def test_a_member_is_named_by_the_beginning_that_is_his_alone(tmp_path: Path) -> None:
    """As strategies are; an empty name means nobody in particular, and is refused."""
    reports(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        assert await read(desk, day="2026-01-05", member="bo") == "member-bob 2026-01-05 html"
        with pytest.raises(NotDone, match="there is no member"):
            await read(desk, day="2026-01-05", member="")
