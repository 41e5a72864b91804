"""The bundle has all that the next officers need, no secret, and pages whose commands exist."""

import asyncio
import hashlib
import os
import re
import shlex
import tempfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from deskd.alerts.routes import CREDENTIAL as HANDED_OVER
from deskd.cli.client import NotDone
from deskd.cli.credentials import NAMES
from deskd.cli.deskctl import cli
from deskd.cli.handover import (
    _NAMED,
    _OF_UNIT,
    _README,
    CREDENTIAL,
    RUNBOOKS,
    _runbooks,
    _where_keys_are,
    masked,
)
from deskd.config.load import load
from deskd.domain.job import JobName
from tests.control.a_running_desk import a_running_desk
from tests.ledger.life import a_life, written

ID, SECRET = "PKTHISISTHEKEY", "thisisthesecretandnobodyseesit"
NOBODY = 65_534
PAGES = (*sorted(RUNBOOKS.glob("*.md")), RUNBOOKS.parent / "flows.md")


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """Configure a desk at rest, with a ledger, a key, and an officer who wrote secrets where they do not belong."""
    (tmp_path / "var").mkdir()
    await written(tmp_path / "var" / "desk.db", a_life(1, 60))
    (tmp_path / "var" / "ledger-key").write_text("ab" * 32)
    (tmp_path / "var" / "ledger-key.pub").write_text("cd" * 32 + "\n")
    file = tmp_path / "desk.toml"
    file.write_text(f'# {SECRET}\n# https://me:pw123@example.org/simple\n[desk]\nname = "club"\n')
    return file


def handover(config: Path, target: Path) -> Result:
    environment = {"APCA_API_KEY_ID": ID, "APCA_API_SECRET_KEY": SECRET}
    return CliRunner().invoke(cli, ["--config", str(config), "handover", str(target)], env=environment)


def test_the_bundle_is_whole_and_holds_no_secret(config: Path, tmp_path: Path) -> None:
    """Keys are named by their place; every file's hash is in the manifest."""
    target = tmp_path / "bundle"
    result = handover(config, target)
    assert result.exit_code == 0, result.output
    names = {file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file()}
    assert names >= {"README.md", "desk.toml", "keys.md", "versions.txt", "doctor.txt", "ledger/desk.db"}
    assert {f"runbooks/{page.name}" for page in RUNBOOKS.glob("*.md")} <= names
    for line in (target / "MANIFEST.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((target / name).read_bytes()).hexdigest() == digest
        names.discard(name)
    assert names == {"MANIFEST.sha256"}
    for file in target.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for secret in (ID, SECRET, "pw123", "ab" * 32):
                assert secret.encode() not in content, file
    assert str(tmp_path / "var" / "ledger-key") in (target / "keys.md").read_text()
    again = handover(config, target)
    assert again.exit_code != 0


def test_where_every_secret_lies_is_written_down(config: Path) -> None:
    """Of an installed desk the unit's files too, with who may read them; a file of routes by its key."""
    folder = config.parent
    (folder / "alpaca_key_id").touch(mode=0o600)
    (folder / "notification_routes").write_text("secret")
    config.write_text(f'[notify]\nroutes_file = "{folder}/ours"\n')
    known = load(config, root=folder, environment={}).config
    told = "\n".join(_where_keys_are(known, config, installed=config))
    assert f"`{folder}/alpaca_key_id` (mode 0600, uid {os.geteuid()}, empty)" in told
    assert f"`{folder}/alpaca_secret_key` (not there)" in told
    assert re.search(rf"`{folder}/notification_routes` \(mode 0\d{{3}}, uid \d+\)", told)
    assert f"`{folder}/ours` (not there): addresses of notifications" in told
    assert "alpaca_key_id` (" not in "\n".join(_where_keys_are(known, config))  # of a checkout there are none
    assert CREDENTIAL == HANDED_OVER
    assert set(_OF_UNIT) == set(NAMES)


def test_what_is_not_in_the_bundle_is_written_into_it(config: Path, tmp_path: Path) -> None:
    """Members' code and what their strategies keep: nobody must believe that they have it."""
    assert handover(config, tmp_path / "bundle").exit_code == 0
    page = (tmp_path / "bundle" / "README.md").read_text().split("## What is not in this folder")[1]
    for place in ("strategies", "var/versions", "state", "var/reports", "var/backups", "var/exchange.db"):
        assert f"{place}`" in page, place


def test_a_version_without_runbooks_makes_no_bundle(tmp_path: Path) -> None:
    """The bundle's README names pages: it is told which are missing, and how to get them."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "README.md").touch()
    with pytest.raises(NotDone, match=r"key-rotation\.md, restore\.md, kill\.md is not there: install"):
        _runbooks(tmp_path / "runbooks", tmp_path / "pages")
    for name in re.findall(r"runbooks/([a-z-]+\.md)", _README):
        assert name in _NAMED


async def test_a_damaged_ledger_is_not_handed_over(config: Path, tmp_path: Path) -> None:
    """Nobody must find that out a year later."""
    (tmp_path / "var" / "desk.db").write_bytes(b"no ledger at all")
    assert handover(config, tmp_path / "bundle").exit_code != 0
    assert not (tmp_path / "bundle").exists()  # half a bundle would be in the way of the next try


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_who_may_not_read_the_ledger_is_sent_to_an_officer(config: Path) -> None:
    """A member makes no half bundle, and is told who can make one."""
    with tempfile.TemporaryDirectory(prefix="deskd-handover-", dir="/tmp") as place:
        folder = Path(place)
        folder.chmod(0o777)
        (folder / "var").mkdir(mode=0o755)
        (folder / "var" / "desk.db").touch(mode=0o600)
        (folder / "desk.toml").write_text("")
        handover(config, folder / "roots")  # what it imports lies in root's own folders
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            result = handover(folder / "desk.toml", folder / "bundle")
        finally:
            os.setresuid(0, 0, 0)
        assert "an officer hands the desk over" in str(result.exception)
        assert not (folder / "bundle").exists()


async def test_a_running_desk_copies_its_ledger_itself(tmp_path: Path) -> None:
    """Signed first, so that a root covers it; both are on record."""
    with capture_logs():
        async with a_running_desk(tmp_path) as desk:
            result = await asyncio.to_thread(handover, desk.config, tmp_path / "bundle")
    assert "damaged" in str(result.exception)  # this desk's tables are made up, and the copy is read to its end
    assert [command.command for command in desk.commands] == ["audit sign", "backup"]


def test_passwords_in_addresses_are_masked() -> None:
    """The rest of the file stays as its officers wrote it, comments too."""
    assert masked('a = "https://u:p@h/x" # why', ()) == 'a = "https://***@h/x" # why'
    assert masked("key-abc", ("abc",)) == "key-***"


def commands(text: str) -> list[str]:
    return [found.split("deskctl ", 1)[1] for found in re.findall(r"`((?:sudo )?deskctl [^`]+)`", text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_runbook_exists_with_its_options(page: Path) -> None:
    """An officer types it at the worst moment."""
    for typed in commands(page.read_text()):
        words, group = shlex.split(typed), cli
        command: click.Command = cli
        while words and isinstance(command, click.Group):
            inner = command.get_command(click.Context(command), words[0])
            if inner is None:
                break
            command = inner
            words.pop(0)
        assert command is not group, typed
        known = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= known, typed
        if typed.startswith("jobs run"):
            assert words[0] in set(JobName), typed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_link_of_a_runbook_leads_nowhere(page: Path) -> None:
    """They lie beside each other in the bundle, too."""
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / link).is_file(), link


def test_every_page_says_when_it_is_over() -> None:
    """And is listed."""
    listed = (RUNBOOKS / "README.md").read_text()
    for page in RUNBOOKS.glob("*.md"):
        if page.name != "README.md":
            assert "**It is over when**" in page.read_text(), page.name
            assert f"({page.name})" in listed
