"""Officers sign and copy the running desk's ledger; each is on record."""

import asyncio
from pathlib import Path

import pytest

from deskd.cli.client import Answer, Desk, NotDone
from deskd.ledger.backup import identity_of
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk
from tests.factories import MONDAY
from tests.ledger.life import dump


async def command(desk: RunningDesk, what: str, arguments: object) -> Answer:
    assert isinstance(arguments, dict)
    return await asyncio.to_thread(Desk(desk.socket).command, what, arguments)


async def test_an_officer_has_the_ledger_signed(tmp_path: Path) -> None:
    """And hears up to where; where nothing is unsigned, that."""
    async with a_running_desk(tmp_path) as desk:
        first, second = await command(desk, "/sign", {}), await command(desk, "/sign", {})
    assert first.body == {"root": {"market_day": MONDAY.isoformat(), "seq": 7, "root": "ab" * 32}}
    assert second.body == {"root": None}
    assert [(c.command, c.by) for c in desk.commands] == [("audit sign", "ada (uid 0)")] * 2


async def test_an_officer_has_the_ledger_copied(tmp_path: Path) -> None:
    """The command is on record, with the file."""
    target = tmp_path / "copy.db"
    async with a_running_desk(tmp_path) as desk:
        answer = await command(desk, "/backup", {"file": str(target)})
    assert answer.body["file"] == str(target)
    assert len(dump(target)["facts"]) == answer.body["facts"]
    assert [(c.command, c.arguments) for c in desk.commands] == [("backup", str(target))]


async def test_a_backup_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """The desk goes on."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match="there is no folder"):
            await command(desk, "/backup", {"file": str(tmp_path / "nowhere" / "copy.db")})
        with pytest.raises(NotDone, match="is there already"):
            await command(desk, "/backup", {"file": str(tmp_path / "desk.toml")})
        with pytest.raises(NotDone, match="is there already"):
            await command(desk, "/backup", {"file": "/"})


async def test_a_backup_into_a_folder_that_only_the_desk_sees_is_refused(tmp_path: Path) -> None:
    """Under its unit /tmp is the desk's own: the copy would be gone with it. The command is on record all the same."""
    target = tmp_path / "copy.db"
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match="is another folder to the desk than to you"):
            await command(desk, "/backup", {"file": str(target), "folder": identity_of(Path("/proc"))})
        assert not target.exists()
        await command(desk, "/backup", {"file": str(target), "folder": identity_of(tmp_path)})
        assert target.exists()
    assert [c.arguments for c in desk.commands] == [str(target)] * 2


@pytest.mark.parametrize(
    "arguments", [{}, {"file": 7}, {"file": "copy.db"}, {"file": "/tmp/a\0b"}, {"file": "/tmp/\udcff"}]
)
async def test_a_backup_names_its_file_wholly(tmp_path: Path, arguments: object) -> None:
    """The desk's own folder is nobody's guess."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match=r"Give its whole path|UTF-8"):
            await command(desk, "/backup", arguments)
    assert desk.commands == []


@pytest.mark.parametrize(("what", "arguments"), [("/sign", {}), ("/backup", {"file": "/tmp/copy.db"})])
async def test_members_keep_no_ledger(tmp_path: Path, what: str, arguments: object) -> None:
    """A backup holds what every strategy did."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        with pytest.raises(NotDone, match="the ledger is kept by officers"):
            await command(desk, what, arguments)
    assert desk.commands == []
