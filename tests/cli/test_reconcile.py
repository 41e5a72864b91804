"""`deskctl reconcile`: what a person reads, and what a script can rely on."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from deskd.cli.deskctl import cli
from deskd.cli.reconcile import tell
from deskd.domain import events as ev
from tests.control.a_running_desk import RunningDesk, a_running_desk
from tests.factories import AAPL, NOON, qty


async def ctl(desk: RunningDesk, *arguments: str) -> Result:
    with capture_logs():  # the desk's, which runs in this process, are no part of what deskctl prints
        return await asyncio.to_thread(CliRunner().invoke, cli, ["--config", str(desk.config), "reconcile", *arguments])


async def test_books_that_agree_are_exit_0(tmp_path: Path) -> None:
    """One line that says so; as JSON, all of it."""
    async with a_running_desk(tmp_path) as desk:
        told = await ctl(desk)
        assert (told.exit_code, told.output.splitlines()[-1]) == (0, "books and broker agree")
        as_json = await ctl(desk, "--json")
        assert as_json.exit_code == 0
        assert json.loads(as_json.output)["agree"] is True


async def test_what_differs_is_exit_1_until_it_is_settled(tmp_path: Path) -> None:
    """The text names what, since when, and what to do; the officer's reason settles it."""
    async with a_running_desk(tmp_path) as desk:
        desk.desk.apply(
            ev.DiscrepancyFound(subject=AAPL, expected="", actual="more", action="house", at=NOON, more=qty(2))
        )
        desk.desk.apply(ev.SymbolFrozen(symbol=AAPL, why="the broker has 2 more", at=NOON))
        told = await ctl(desk)
        assert told.exit_code == 1
        assert "open: the broker has 2 shares of AAPL more" in told.output
        assert "frozen: AAPL: the broker has 2 more" in told.output
        assert "deskctl reconcile --resolve" in told.output
        settled = await ctl(desk, "--resolve", "AAPL", "--reason", "a gift")
        assert (settled.exit_code, settled.output.splitlines()[0]) == (0, "resolved: AAPL")


@pytest.mark.parametrize("arguments", [("--reason", "x"), ("--distribute", "2"), ("--resolve", "AAPL")])
async def test_half_a_settlement_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What, and why, go together."""
    async with a_running_desk(tmp_path) as desk:
        assert (await ctl(desk, *arguments)).exit_code == 2
        assert desk.commands == []


def test_bookings_suspicions_and_trouble_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Each on a line of its own."""
    body: dict[str, Any] = {
        "agree": False,
        "problem": "no answer",
        "orders_caught_up": 0,
        "fills_found": 0,
        "house_bookings": [
            {"cause": "fee", "symbol": None, "qty": "0", "price": None, "cash": "-1", "why": "FEE: TAF", "at": "x"}
        ],
        "suspected": [{"subject": "cash", "more": "3", "since": "2026-01-05T17:00:00Z"}],
        "open": [],
        "frozen": [],
        "resolved": None,
    }
    tell(body)
    told = capsys.readouterr().out
    assert "the broker could not be asked: no answer" in told
    assert "FEE: TAF" in told
    assert "suspected, not yet confirmed: the broker has 3 cash more" in told
