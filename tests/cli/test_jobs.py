"""`deskctl jobs` and `deskctl report`, against a desk that answers."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from deskd.cli.deskctl import cli
from deskd.cli.jobs import KINDS, cells
from deskd.control import jobs as control
from tests.control.a_running_desk import RunningDesk, a_running_desk
from tests.control.test_jobs import reports
from tests.factories import DAY


async def deskctl(desk: RunningDesk, *arguments: str) -> Result:
    command = ["--config", str(desk.config), *arguments]
    return await asyncio.to_thread(CliRunner().invoke, cli, command)


def test_both_ends_know_the_same_kinds() -> None:
    """`deskctl` starts in a blink: it cannot import the door's own list."""
    assert KINDS == control.KINDS


async def test_the_list_shows_last_next_and_outcome(tmp_path: Path) -> None:
    """As a table and as JSON."""
    async with a_running_desk(tmp_path) as desk:
        desk.desk.calendar = {DAY.day: DAY}
        ran = await deskctl(desk, "jobs", "run", "report")
        table, listed = await deskctl(desk, "jobs", "--wide"), await deskctl(desk, "jobs", "--json")
    assert ran.exit_code == 0, ran.output
    assert "report of" in ran.output
    lines = {line.split()[0]: line for line in table.output.splitlines()}
    assert "by hand" in lines["snapshot"]
    assert "done" in lines["report"]
    assert "ada (uid 0)" in lines["report"]
    assert [row["name"] for row in json.loads(listed.output)][:2] == ["checks", "drain"]


async def test_a_job_that_fails_is_a_command_that_failed(tmp_path: Path) -> None:
    """Scripts see it by the exit code."""
    with capture_logs():  # which would stand in the output
        async with a_running_desk(tmp_path) as desk:
            failed = await deskctl(desk, "jobs", "run", "backup", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.output)["run"]["outcome"] == "failed"


async def test_a_report_is_read_or_put_into_a_new_file(tmp_path: Path) -> None:
    """No file is overwritten."""
    reports(tmp_path)
    out = tmp_path / "mine.html"
    async with a_running_desk(tmp_path) as desk:
        shown = await deskctl(desk, "report", "2026-01-02", "--member", "bob")
        days = await deskctl(desk, "report", "--list")
        as_json = await deskctl(desk, "report", "--list", "--json")
        first = await deskctl(desk, "report", "--kind", "html", "--out", str(out))
        second = await deskctl(desk, "report", "--kind", "html", "--out", str(out))
    assert shown.output == "member-bob 2026-01-02 json"
    assert days.output.split() == ["2026-01-02", "2026-01-05"]
    assert len(json.loads(as_json.output)) == 2
    assert out.read_text() == "desk 2026-01-05 html"
    assert (first.exit_code, second.exit_code) == (0, 2)


def test_a_job_that_runs_was_cut_short_or_is_given_up_is_told_apart() -> None:
    """Three things that have no outcome."""
    last = {
        "started_at": "2026-01-05T21:05:00Z",
        "session": "2026-01-05",
        "by": "schedule",
        "outcome": None,
        "detail": "",
    }
    row = {
        "name": "report",
        "does": "x",
        "is_planned": True,
        "next_at": None,
        "is_running": False,
        "is_given_up": False,
    }
    assert cells(row | {"last": last})["outcome"] == "cut short"
    assert cells(row | {"last": last, "is_running": True})["outcome"] == "running"
    assert cells(row | {"last": None})["outcome"] is None
    assert "given up" in cells(row | {"last": last, "is_given_up": True})["note"]


async def test_where_there_is_no_report_yet_it_says_when_there_will_be(tmp_path: Path) -> None:
    """An empty page tells a new officer nothing; neither does a table wider than the page."""
    async with a_running_desk(tmp_path) as desk:
        listed, table = await deskctl(desk, "report", "--list"), await deskctl(desk, "jobs")
    assert "the first is written after the close" in listed.output
    assert max(map(len, table.output.splitlines())) <= 100
