"""Who deploys what; what was there stays when something is wrong."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deskd.cli.client import Answer, Desk, NotDone
from deskd.control.deploying import HEAD_DIGITS
from deskd.domain.ids import StrategyId
from deskd.domain.stage import Stage
from deskd.supervision.folder import BYTES_MAX
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk

ALICES = b'{"user_id": "alice"}'


async def deploy(desk: RunningDesk, name: str, files: dict[str, bytes], /, **head: Any) -> Answer:
    sizes = [[path, len(content)] for path, content in files.items()]
    given = {"name": name, "stage": None, "files": sizes} | head
    return await asyncio.to_thread(Desk(desk.socket).upload, "/deploy", given, list(files.values()))


async def look(desk: RunningDesk, what: str) -> Any:
    return await asyncio.to_thread(Desk(desk.socket).look, what)


async def command(desk: RunningDesk, what: str, **body: Any) -> Any:
    return (await asyncio.to_thread(Desk(desk.socket).command, what, body)).body


async def test_a_version_is_put_in_place_and_the_one_before_comes_back(tmp_path: Path) -> None:
    """Deployed, listed, rolled back, and back again; each with who."""
    async with a_running_desk(tmp_path) as desk:
        source = tmp_path / "strategies" / "alice" / "strategy.py"
        first = (await deploy(desk, "alice", {"strategy.py": b"print(1)"})).body
        assert (first["previous"], first["stage"], first["started"], first["status"]) == (
            None,
            "active",
            True,
            "running",
        )
        second = (await deploy(desk, "alice", {"strategy.py": b"print(2)"}, stage="shadow")).body
        assert (second["previous"], second["stage"]) == (first["code_hash"], "shadow")
        assert desk.desk.stages.of(StrategyId("alice")) is Stage.SHADOW
        rows = (await look(desk, "/versions/ali"))["versions"]
        assert {row["code_hash"]: (row["present"], row["how"], row["by"]) for row in rows} == {
            second["code_hash"]: (True, "deploy", "ada (uid 0)"),
            first["code_hash"]: (False, "deploy", "ada (uid 0)"),
        }
        assert (await command(desk, "/rollback", name="alice"))["code_hash"] == first["code_hash"]
        assert source.read_text() == "print(1)"
        assert (await command(desk, "/rollback", name="alice", to=second["code_hash"][:8]))["previous"]
        assert source.read_text() == "print(2)"
        with pytest.raises(NotDone, match="no version of alice begin with 'zz'"):
            await command(desk, "/rollback", name="alice", to="zz")
    given = [(c.command, c.arguments) for c in desk.commands]
    assert given[:3] == [("deploy", "alice"), ("deploy", "alice --as shadow"), ("rollback", "alice")]


async def test_what_fails_a_check_changes_nothing(tmp_path: Path) -> None:
    """The reason is told without the desk's own paths."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match=r"^alice: has no strategy\.py"):
            await deploy(desk, "alice", {"other.py": b""})
        with pytest.raises(NotDone, match=r"config\.json"):
            await deploy(desk, "alice", {"strategy.py": b"", "config.json": b'{"symbls": []}'})
        assert list((tmp_path / "strategies").iterdir()) == []
        with pytest.raises(NotDone, match="there is no version of alice before this one"):
            await command(desk, "/rollback", name="alice")


async def test_members_deploy_what_is_theirs_to_themselves(tmp_path: Path) -> None:
    """Neither another's, nor to another, nor what is new here."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        done = await deploy(desk, "alice", {"strategy.py": b"", "config.json": ALICES})
        assert done.body["strategy_id"] == "alice"
        with pytest.raises(NotDone, match="the strategy would be bob's"):
            await deploy(desk, "alice", {"strategy.py": b"", "config.json": b'{"user_id": "bob"}'})
        for name, why in (("bob", "bob is not yours"), ("carol", "carol is new on this desk"), ("wreck", "is new")):
            with pytest.raises(NotDone, match=why):
                await deploy(desk, name, {"strategy.py": b"", "config.json": ALICES})
        for ask in (look(desk, "/versions/bob"), command(desk, "/rollback", name="bob")):
            with pytest.raises(NotDone, match="bob is not yours"):
                await ask
    assert [c.command for c in desk.commands] == ["deploy", "deploy"]


async def test_an_officers_deployment_builds_and_a_members_does_not(tmp_path: Path) -> None:
    """Packages are fetched by nobody else: a member is told whom to ask."""
    files = {"strategy.py": b"", "config.json": ALICES, "requirements.txt": b"ta == 1.0"}
    for place in ("member", "officer"):
        (tmp_path / place).mkdir()
    async with a_running_desk(tmp_path / "member", caller=MEMBER) as desk:
        with pytest.raises(NotDone, match="fetching them is an officer's to do"):
            await deploy(desk, "alice", files)
        assert desk.runs.built == []
    async with a_running_desk(tmp_path / "officer") as desk:
        await deploy(desk, "alice", files)
        assert desk.runs.built == ["ta == 1.0"]


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ({"files": [["strategy.py", BYTES_MAX + 1]]}, "is over 64 MB"),
        ({"files": [["strategy.py", -1]]}, "is not a head"),
        ({"files": [["strategy.py", "1"]]}, "is not a head"),
        ({"stage": "live"}, "is not a head"),
        ({"name": "../bob"}, "is not a head"),
        ({"files": [["../bob/strategy.py", 0]]}, "is no name of a file"),
    ],
)
async def test_a_body_that_is_no_deployment_is_refused(tmp_path: Path, head: dict[str, Any], why: str) -> None:
    """Before anything of it is kept."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match=why):
            await deploy(desk, "alice", {}, **head)
        with pytest.raises(NotDone, match="is not a head"):
            await command(desk, "/deploy", name="alice")
        with pytest.raises(NotDone, match="which strategy"):
            await command(desk, "/rollback", name=7)
    assert HEAD_DIGITS == 10
