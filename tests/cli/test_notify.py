"""`deskctl notify`: what an officer reads, and what a script can rely on."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from deskd.cli.deskctl import cli
from tests.control.a_running_desk import RunningDesk, a_running_desk
from tests.control.test_notifications import keep_a_dead_one


async def ctl(desk: RunningDesk, *arguments: str, said: str | None = None) -> Result:
    command = ["--config", str(desk.config), "notify", *arguments]
    with capture_logs():
        return await asyncio.to_thread(CliRunner().invoke, cli, command, said)


async def test_dead_notifications_are_listed_and_sent_again(tmp_path: Path) -> None:
    """With id, route and problem; as a table or as JSON."""
    number = keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        listed = await ctl(desk, "list", "--status", "dead")
        assert "HTTP 500" in listed.output
        [row] = json.loads((await ctl(desk, "list", "--json")).output)
        assert (row["id"], row["status"]) == (number, "dead")
        assert (await ctl(desk, "retry", str(number))).output == "1 are sent again\n"
        assert json.loads((await ctl(desk, "retry", "--json")).output) == {"again": 0}


async def test_a_test_tells_what_became_of_it_on_each_route(tmp_path: Path) -> None:
    """Arrived, failed and why, or not sent in time; only where all arrived it succeeds."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        ran = await ctl(desk, "test", "risk", "--wait", "0")
        assert ran.exit_code == 1
        assert "risk on club: not sent yet" in ran.output
        told = json.loads((await ctl(desk, "test", "risk", "--wait", "0", "--json")).output)
        assert (told["topic"], [row["route"] for row in told["deliveries"]]) == ("risk", ["club", "phone"])

        desk.fates.update(club="HTTP 500", phone="")
        ran = await ctl(desk, "test", "risk")
        assert (ran.exit_code, ran.output) == (1, "risk on club: FAILED: HTTP 500\nrisk on phone: arrived\n")
        desk.fates.update(club="", mail="", ben="")
        ran = await ctl(desk, "test")
        assert (ran.exit_code, ran.output.count("arrived"), ran.output.count("\n")) == (0, 5, 5)
        ran = await ctl(desk, "test", "--member", "ben")
        assert (ran.exit_code, ran.output) == (0, "ben's on ben: arrived\n")
        ran = await ctl(desk, "test", "risk", "--member", "ben")
        assert (ran.exit_code, "not both" in ran.output) == (2, True)


async def test_a_script_tells_people_something(tmp_path: Path) -> None:
    """From its arguments or its standard input; what nobody would hear is an error."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        ran = await ctl(desk, "send", "scanner", "3 found", "--severity", "warning")
        assert ran.output == "on its way by club; look with: deskctl notify list\n"
        ran = await ctl(desk, "send", "scanner", "-", "--title", "Scan", "--json", said="A\nB\n")
        assert json.loads(ran.output) == {"topic": "scanner", "title": "Scan", "routes": ["club"]}
        assert [(one.title, one.text) for one in desk.notices] == [("3 found", "3 found"), ("Scan", "A\nB")]
        assert (await ctl(desk, "send", "calendar", "x")).exception is not None


async def test_without_routes_it_says_what_to_set(tmp_path: Path) -> None:
    """Nothing is listed, and the remedy is named."""
    async with a_running_desk(tmp_path) as desk:
        assert "set notify.routes_file" in (await ctl(desk, "list")).output
