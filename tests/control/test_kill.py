"""Kill and release over the control socket: who may, what is on record, and what is refused."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deskd.cli.client import Desk, NotDone
from deskd.control.people import Caller
from deskd.domain.ids import StrategyId, UserId
from deskd.domain.kill import THE_DESK, KillDepth, KillScope, KillTarget
from tests.control.a_running_desk import MEMBER, OFFICER, RunningDesk, a_running_desk
from tests.factories import ALICE, a_kill, of_strategy, registered


async def ask(desk: RunningDesk, path: str, **body: Any) -> dict[str, Any]:
    return (await asyncio.to_thread(Desk(desk.socket).command, path, {"reason": "runaway", **body})).body


@pytest.mark.parametrize(
    ("body", "target", "depth"),
    [
        ({}, THE_DESK, KillDepth.STOP_NEW),
        ({"cancel": True}, THE_DESK, KillDepth.CANCEL),
        ({"cancel": True, "flatten": True}, THE_DESK, KillDepth.FLATTEN),
        ({"reduce_only": True}, THE_DESK, KillDepth.REDUCE_ONLY),
        ({"strategy": "ali"}, of_strategy(ALICE), KillDepth.STOP_NEW),
        ({"user": "alice"}, KillTarget(KillScope.MEMBER, "alice"), KillDepth.STOP_NEW),
        ({"symbol": "aapl"}, KillTarget(KillScope.SYMBOL, "AAPL"), KillDepth.STOP_NEW),
    ],
)
async def test_an_officer_kills_and_releases(
    tmp_path: Path, body: dict[str, Any], target: KillTarget, depth: KillDepth
) -> None:
    """The command and the kill are facts, with who and why; only the release ends it."""
    async with a_running_desk(tmp_path) as desk:
        answer = await ask(desk, "/kill", **body)
        assert desk.desk.kills.in_force[target].depth is depth
        assert (answer["kill"]["by"], answer["kill"]["reason"], answer["changed"]) == ("ada (uid 0)", "runaway", True)
        assert (await ask(desk, "/kill", **body))["changed"] is False
        named = {key: value for key, value in body.items() if key in {"strategy", "user", "symbol"}}
        released = await ask(desk, "/release", **named)
        assert (released["released"]["scope"], released["in_force"]) == (str(target.scope), [])
        assert desk.desk.kills.in_force == {}
        assert [c.command for c in desk.commands] == ["kill", "kill", "release"]


async def test_a_mistyped_symbol_is_no_kill(tmp_path: Path) -> None:
    """Whoever typed it would believe that the other one is stopped; what nobody knows yet can be killed all the same."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match=r"no instrument 'APPL' is known to the broker; did you mean AAPL\?"):
            await ask(desk, "/kill", symbol="APPL")
        with pytest.raises(NotDone, match="positions and orders show what is traded"):
            await ask(desk, "/kill", symbol="XYZW")
        assert desk.commands == []
        desk.desk.apply(a_kill(target=KillTarget(KillScope.SYMBOL, "GONE")))
        await ask(desk, "/kill", symbol="GONE")
        desk.desk.instruments = {}
        await ask(desk, "/kill", symbol="APPL")
        assert KillTarget(KillScope.SYMBOL, "APPL") in desk.desk.kills.in_force


async def test_a_member_kills_what_is_theirs_and_releases_nothing(tmp_path: Path) -> None:
    """Their strategies and all that is theirs; not another's, nor what everybody shares."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        await ask(desk, "/kill", strategy="alice", flatten=True)
        await ask(desk, "/kill", user="alice")
        for body, why in (
            ({"strategy": "bob"}, "not yours"),
            ({"user": "bob"}, "not yours"),
            ({}, "stops every member: alice is no officer"),
            ({"symbol": "AAPL"}, "a kill of the symbol AAPL stops every member"),
        ):
            with pytest.raises(NotDone, match=why):
                await ask(desk, "/kill", **body)
        with pytest.raises(NotDone, match="only officers release a kill: alice is none"):
            await ask(desk, "/release", strategy="alice")
        assert len(desk.desk.kills.in_force) == len(desk.commands) == 2


@pytest.mark.parametrize("caller", [OFFICER, MEMBER])
async def test_a_strategy_whose_folder_is_gone_can_be_killed_by_its_whole_name(tmp_path: Path, caller: Caller) -> None:
    """Its book may hold something, and its orders may be open: by an officer, and by whose it was."""
    async with a_running_desk(tmp_path, caller=caller) as desk:
        gone = StrategyId("gone")
        desk.desk.apply(replace(registered(gone), user_id=UserId("alice")))
        await ask(desk, "/kill", strategy="gone", flatten=True)
        assert desk.desk.kills.in_force[of_strategy(gone)].depth is KillDepth.FLATTEN
        with pytest.raises(NotDone, match="there is no strategy 'gon'"):
            await ask(desk, "/kill", strategy="gon")


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/kill", {"reason": " "}, "why"),
        ("/kill", {"reason": 5}, "why"),
        ("/kill", {"strategy": "alice", "symbol": "AAPL"}, "give one of"),
        ("/kill", {"strategy": 5}, "a name is a text"),
        ("/kill", {"strategy": "nobody"}, "there is no strategy 'nobody'"),
        ("/kill", {"symbol": "no symbol"}, "not a symbol"),
        ("/release", {}, "no kill of desk is in force; in force: none"),
    ],
)
async def test_what_is_not_meant_is_refused(tmp_path: Path, path: str, body: dict[str, Any], why: str) -> None:
    """Nothing is on record, and nothing is stopped."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match=why):
            await ask(desk, path, **body)
        assert desk.desk.kills.in_force == {}
        assert desk.commands == []


async def test_what_would_pull_it_again_is_taken_away_first(tmp_path: Path) -> None:
    """A release that a file undoes at once is none."""
    async with a_running_desk(tmp_path) as desk:
        await ask(desk, "/kill")
        desk.held.append("the file KILL")
        with pytest.raises(NotDone, match="the file KILL would pull it again at once: take it away first"):
            await ask(desk, "/release")
        desk.held.clear()
        await ask(desk, "/release")
        assert desk.desk.kills.in_force == {}


async def test_members_see_what_stops_everybody(tmp_path: Path) -> None:
    """And not whom else it stops, or what others hold."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        desk.desk.kills.engage(a_kill())
        desk.desk.kills.engage(a_kill(of_strategy(ALICE)))
        told = await asyncio.to_thread(Desk(desk.socket).look, "/status", {})
        assert [kill["scope"] for kill in told["desk"]["kills"]] == ["desk"]
