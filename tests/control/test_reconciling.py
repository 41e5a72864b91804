"""`deskctl reconcile` behind the door: what it reports, who may ask, and what can be settled."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deskd.control import reconciling
from deskd.control.reconciling import CannotResolve, Reconciling, report
from deskd.core.desk import Desk
from deskd.core.standing import CASH
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.look import Look
from deskd.domain.money import NO_CASH, NO_QTY
from deskd.ports import SystemClock
from tests.control.a_running_desk import MEMBER, OFFICER, RunningDesk, a_running_desk
from tests.factories import AAPL, NOON, a_desk, a_fact_of_a_fill, a_request, cash, price, qty


async def ask(desk: RunningDesk, **body: Any) -> tuple[int, Any]:
    connector = aiohttp.UnixConnector(str(desk.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://desk/reconcile", json=body) as answer,
    ):
        return answer.status, await answer.json()


def differ(desk: Desk) -> None:
    """Have two shares more at the broker, found and frozen, and three dollars more, found."""
    for subject, more in ((AAPL, qty(2)), (CASH, cash(3))):
        desk.apply(ev.DiscrepancyFound(subject=subject, expected="", actual="more", action="house", at=NOON, more=more))
    desk.apply(ev.SymbolFrozen(symbol=AAPL, why="the broker has 2 more", at=NOON))


async def test_books_that_agree_are_said_to(tmp_path: Path) -> None:
    """The command is a fact, with who gave it; nothing stands between books and broker."""
    async with a_running_desk(tmp_path) as desk:
        status, body = await ask(desk)
        assert (status, body["agree"], body["problem"], body["resolved"]) == (200, True, None, None)
        assert body["open"] == body["frozen"] == body["suspected"] == body["house_bookings"] == []
        assert [(c.command, c.arguments) for c in desk.commands] == [("reconcile", "")]


async def test_an_officer_settles_what_is_open(tmp_path: Path) -> None:
    """With a reason; what is left stays open, and books and broker do not agree before all is settled."""
    async with a_running_desk(tmp_path) as desk:
        differ(desk.desk)
        _, body = await ask(desk)
        assert not body["agree"]
        assert [(one["subject"], one["more"]) for one in body["open"]] == [("AAPL", "2"), ("cash", "3")]
        assert [one["symbol"] for one in body["frozen"]] == ["AAPL"]
        _, body = await ask(desk, resolve="AAPL", reason=" a gift ")
        assert (body["resolved"], body["frozen"], body["agree"]) == ("AAPL", [], False)
        _, body = await ask(desk, resolve="cash", reason="found")
        assert body["agree"]
        assert desk.commands[-1].arguments == "reason=found resolve=cash"


async def test_members_may_not(tmp_path: Path) -> None:
    """The account is everybody's."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        status, body = await ask(desk)
        assert status == 403
        assert "no officer" in body["error"]
        assert desk.commands == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"resolve": "SPY", "reason": "x"}, "SPY is neither an open difference nor frozen; what is open: AAPL, cash"),
        ({"resolve": "AAPL", "reason": "  "}, "Give --reason"),
        ({"resolve": "cash", "reason": "x", "distribute": "2"}, "cash is not distributed"),
        ({"resolve": "AAPL", "reason": "x", "distribute": "1/0"}, "distribute=1/0"),
        ({"resolve": "AAPL", "reason": "x", "distribute": "two"}, "distribute=two"),
        ({"resolve": "AAPL", "reason": "x", "distribute": "NaN"}, "distribute=NaN"),
        ({"resolve": "AAPL", "reason": "x", "distribute": "1001"}, "up to 1000"),
    ],
)
async def test_what_cannot_be_settled_is_refused_and_is_no_fact(tmp_path: Path, body: dict[str, Any], why: str) -> None:
    """The refusal names what is open, and how it is asked."""
    async with a_running_desk(tmp_path) as desk:
        differ(desk.desk)
        status, answer = await ask(desk, **body)
        assert (status, desk.commands) == (422, [])
        assert why in answer["error"]
        assert set(desk.desk.standing.open) == {"AAPL", "cash"}


async def test_a_split_is_distributed_by_its_ratio(tmp_path: Path) -> None:
    """The member's ten shares are twenty, at half the price; a reverse split is written as a fraction."""
    async with a_running_desk(tmp_path) as desk:
        differ(desk.desk)
        await ask(desk, resolve="AAPL", reason="2:1", distribute="2")
        assert desk.desk.portfolio.holdings() == {AAPL: qty(10)}
        assert desk.desk.portfolio.books[a_request().strategy_id].qty(AAPL) == 20
    answers = Reconciling(
        desk=desk.desk,
        wall=SystemClock(),
        look=lambda _: asyncio.sleep(0, Look()),
        post=lambda _: asyncio.sleep(0),
        until_idle=lambda: asyncio.sleep(0),
    )
    differ(desk.desk)
    asked = answers.asked({"resolve": "AAPL", "reason": "1:10", "distribute": "1/10"}, OFFICER.name)
    assert asked is not None
    assert asked.ratio == qty("0.1")


def test_nothing_open_is_said_so() -> None:
    """Whoever comes late hears that it is settled already."""
    answers = Reconciling(
        desk=a_desk(),
        wall=SystemClock(),
        look=lambda _: asyncio.sleep(0, Look()),
        post=lambda _: asyncio.sleep(0),
        until_idle=lambda: asyncio.sleep(0),
    )
    with pytest.raises(CannotResolve, match="nothing is open"):
        answers.asked({"resolve": "AAPL", "reason": "x"}, "ada")


async def test_a_broker_that_cannot_be_asked_is_told() -> None:
    """The answer says what went wrong; nobody claims that the books agree."""

    async def look(_why: str) -> Look:
        raise TimeoutError

    async def nothing(*_: object) -> None:
        return None

    answers = Reconciling(desk=a_desk(), wall=SystemClock(), look=look, post=nothing, until_idle=nothing)
    told = await answers.answer(None, "ada")
    assert not told["agree"]
    assert "came to an end" in str(told["problem"])


def test_the_report_counts_what_the_look_brought() -> None:
    """Orders, fills and bookings; a suspicion is told as one."""
    desk = a_desk()
    fill = a_fact_of_a_fill(a_request(), 10)
    ended = ev.OrderCanceled(client_order_id=a_request().client_order_id, at=NOON)
    fee = ev.HouseAdjusted(
        cash=cash(-1), symbol=None, qty=NO_QTY, price=None, why="FEE: TAF", at=NOON, cause=HouseCause.FEE
    )
    found = ev.HouseAdjusted(cash=NO_CASH, symbol=AAPL, qty=qty(1), price=price(9), why="no fill explains it", at=NOON)
    desk.last_reconciled = ev.AccountReconciled(
        cash=NO_CASH, differences=(), fill_count=0, why="", at=NOON, suspected=(("AAPL", "2", NOON),)
    )
    told = report(desk, Look(facts=(fill, ended, fee, found)))
    assert (told["orders_caught_up"], told["fills_found"], told["agree"]) == (1, 1, False)
    assert [(b["cause"], b["price"]) for b in told["house_bookings"]] == [("fee", None), ("unexplained", "9")]
    assert told["suspected"] == [{"subject": "AAPL", "more": "2", "since": "2026-01-05T17:00:00Z"}]
    desk.last_reconciled = None
    assert report(desk, Look(problem="no answer"))["suspected"] == []
    assert not report(desk, Look(problem="no answer"))["agree"]
    assert timedelta(seconds=reconciling.LOOK_S) < timedelta(seconds=120), "deskctl waits no longer"
