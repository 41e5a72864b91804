"""What is meant by what is typed, and whose it is."""

from functools import partial
from pathlib import Path

import pytest

from deskd.cli.client import Desk
from tests.control.a_running_desk import MEMBER, a_running_desk
from tests.control.questions import command, look, refused


@pytest.mark.parametrize(
    ("what", "arguments", "problem"),
    [
        ("/start", {"names": ["alcie"]}, "there is no strategy 'alcie'; did you mean alice?"),
        ("/start", {"names": ["zzz"]}, "there is no strategy 'zzz'; there is: alice, bob, wreck"),
        ("/start", {}, "which strategies? Give their names, or --all"),
        ("/start", {"names": [1]}, "which strategies? Give their names, or --all"),
        ("/cancel", {}, "which orders? Give an order's id, --strategy NAME, or --all"),
        ("/cancel", {"order": "xyzxyz"}, "there is no order 'xyzxyz'; `deskctl orders --open` lists"),
        ("/cancel", {"order": "ali"}, "there is no order 'ali'"),
        ("/cancel", {"order": "alice"}, "order 'alice' is ambiguous: 3 begin so; type more of it"),
        ("/nonsense", {}, "the running desk does not know this command"),
    ],
)
async def test_a_wrong_command_is_refused_in_a_sentence(
    tmp_path: Path, what: str, arguments: dict[str, object], problem: str
) -> None:
    """Nothing is done, and nothing is recorded."""
    async with a_running_desk(tmp_path) as desk:
        said = await refused(lambda: Desk(desk.socket).command(what, arguments))
        assert said.startswith(problem)
        assert not desk.commands


async def test_a_member_sees_and_manages_what_is_theirs_and_nothing_else(tmp_path: Path) -> None:
    """The uid decides: alice gets her own orders, log and commands; what is bob's is refused by name."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        assert {o["strategy_id"] for o in (await look(desk, "/orders"))["orders"]} == {"alice"}
        assert {a["strategy_id"] for a in (await look(desk, "/account"))["accounts"]} == {"alice"}
        assert (await command(desk, "/stop", names=["alice"])).is_done
        client = Desk(desk.socket)
        for call in (
            lambda: client.command("/stop", {"names": ["bob"]}),
            lambda: client.command("/stop", {"names": ["alice", "bob"]}),
            lambda: client.look("/orders", {"strategy": "bob"}),
            lambda: client.command("/cancel", {"strategy": "bob"}),
            lambda: list(client.stream("/logs/bob", {}, is_endless=False)),
        ):
            said = await refused(call)
            assert said.startswith("bob is not yours: alice is neither its member nor an officer")
        said = await refused(lambda: client.command("/replace", {"order": "bob-1", "qty": "5"}))
        assert said.startswith("order bob-1 is not yours")
        assert "which order?" in await refused(lambda: client.command("/replace", {"qty": "5"}))
        for what, instead in (("/stop", "NAME..."), ("/cancel", "--strategy NAME")):
            said = await refused(partial(client.command, what, {"all": True}))
            assert said == f"--all means every member's: alice is no officer; name what is yours: {instead}"
        assert [c.command for c in desk.commands] == ["stop"]
