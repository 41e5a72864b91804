"""The doctor finds what is wrong, and says what to do."""

import asyncio
import os
import sqlite3
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from deskd.cli.check import Check
from deskd.cli.doctor import examine
from tests.control.a_running_desk import a_running_desk
from tests.factories import NOON

NOBODY = 65_534
NO_JAIL = "[sandbox]\nunsafe_without_jail = true\n"  # these tests are about the other checks


def checks(folder: Path, text: str, environment: dict[str, str] | None = None) -> dict[str, Check]:
    file = folder / "desk.toml"
    file.write_text(text)
    return {check.check: check for check in examine(file, environment or {})}


def test_a_good_machine_is_good(tmp_path: Path) -> None:
    """Whatever is not good carries a remedy."""
    (tmp_path / "strategies/a").mkdir(parents=True)
    (tmp_path / "strategies/a/strategy.py").touch()
    found = checks(tmp_path, NO_JAIL)
    for name in ("python", "kernel", "configuration", "folders", "strategies", "broker", "ledger"):
        assert found[name].verdict == "good", found[name]
    assert all(check.remedy for check in found.values() if check.verdict != "good")
    assert found["desk"].found == "not running"
    assert found["jail"].verdict == "warning"


def test_a_wrong_configuration_ends_the_examination(tmp_path: Path) -> None:
    """What cannot be read cannot be judged further."""
    found = checks(tmp_path, "[sandbox]\npids = 1\ncpu = 0\n")
    machine = ["kernel", "namespaces", "apparmor", "limits", "seccomp", "nsjail"]
    assert list(found) == ["python", *machine, "configuration"]
    assert found["configuration"].verdict == "bad"
    assert found["configuration"].found.endswith("(and 1 more)")


def test_a_broken_ledger_is_found(tmp_path: Path) -> None:
    """A file that is no ledger is told before the desk trips over it."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var/desk.db").write_bytes(b"certainly not a database file of any kind, nor ever was")
    found = checks(tmp_path, NO_JAIL)["ledger"]
    assert found.verdict == "bad"
    assert "backup" in str(found.remedy)
    with sqlite3.connect(tmp_path / "good.db") as ledger:
        ledger.execute("CREATE TABLE facts (seq)")
        ledger.execute("CREATE TABLE migrations (version)")
    assert checks(tmp_path, f'[desk]\ndb_path = "good.db"\n{NO_JAIL}')["ledger"].found.endswith("0 facts")
    with ledger:
        ledger.execute("INSERT INTO migrations VALUES (9999)")
    ledger.close()
    found = checks(tmp_path, f'[desk]\ndb_path = "good.db"\n{NO_JAIL}')["ledger"]
    assert found.verdict == "bad"
    assert "of version 9999" in found.found


def test_books_that_everybody_may_read_are_found(tmp_path: Path) -> None:
    """A desk makes them closed, but those of an older version stay open until somebody closes them."""
    (tmp_path / "var").mkdir()
    assert checks(tmp_path, NO_JAIL)["privacy"].verdict == "good"
    for name, mode in (("desk.db", 0o644), ("desk.db-wal", 0o640), ("exchange.db", 0o604)):
        (tmp_path / "var" / name).touch()
        (tmp_path / "var" / name).chmod(mode)
    found = checks(tmp_path, NO_JAIL)["privacy"]
    assert found.verdict == "warning"
    assert "var/desk.db (mode 0644), " in found.found
    assert "-wal" not in found.found
    assert found.remedy == f"chmod o= {tmp_path}/var/desk.db {tmp_path}/var/exchange.db"


async def test_a_running_desk_is_found(tmp_path: Path) -> None:
    """The doctor knocks at the control socket."""
    toml = f'[desk]\nruntime_dir = "run"\n{NO_JAIL}'
    async with a_running_desk(tmp_path) as desk:
        found = await asyncio.to_thread(checks, tmp_path, toml)
        desk.reload_problems.append("no such key")
        wrong = (await asyncio.to_thread(checks, tmp_path, toml))["desk"]
    assert found["desk"] == Check("desk", "good", "running, 3 strategies")
    assert (wrong.verdict, wrong.found) == ("bad", "running, as before: desk.toml is WRONG: no such key")
    assert "deskctl config reload" in str(wrong.remedy)


async def test_the_embedded_exchange_tells_the_time_to_its_next_session(tmp_path: Path) -> None:
    """In the tape's own time, by the desk that runs; the market stands while none does."""
    toml = f'[desk]\nruntime_dir = "run"\n[exchange]\nspeed = 10\n{NO_JAIL}'
    found = checks(tmp_path, toml)["session"]
    assert (found.verdict, found.found) == ("good", "the embedded exchange's market stands while no desk runs")
    async with a_running_desk(tmp_path) as desk:
        desk.market.update({"market_time": NOON, "market_is_open": True})
        unheard = (await asyncio.to_thread(checks, tmp_path, toml))["session"]
        desk.market.update(
            {"market_opens_at": NOON + timedelta(hours=20), "market_closes_at": NOON + timedelta(hours=4)}
        )
        is_open = (await asyncio.to_thread(checks, tmp_path, toml))["session"]
        desk.market["market_is_open"] = False
        closed = (await asyncio.to_thread(checks, tmp_path, toml))["session"]
    assert unheard.verdict == "warning"
    assert (
        is_open.found
        == f"open until {NOON + timedelta(hours=4):%Y-%m-%d %H:%M} UTC: 4h 0m left (the tape's time, at speed 10)"
    )
    assert closed.found.startswith("closed; the next one begins ")
    assert closed.found.endswith(": in 20h 0m (the tape's time, at speed 10)")


async def test_a_job_that_failed_is_found(tmp_path: Path) -> None:
    """As the running desk has it, with its remedy."""
    async with a_running_desk(tmp_path) as desk:
        desk.market["jobs_failed"] = {"backup": "of 2026-01-05: disk full; deskctl jobs run backup"}
        found = (await asyncio.to_thread(checks, tmp_path, f'[desk]\nruntime_dir = "run"\n{NO_JAIL}'))["jobs"]
    assert found == Check("jobs", "bad", "backup of 2026-01-05: disk full", "deskctl jobs run backup")


def test_a_brief_look_takes_no_jail_no_desk_and_no_network(tmp_path: Path) -> None:
    """What set-up, install and start look at: in no time, whatever else is wrong."""
    text = f'[broker]\nmode = "alpaca"\ntrading_url = "http://127.0.0.1:9"\n{NO_JAIL}'
    (tmp_path / "desk.toml").write_text(text)
    brief = [one.check for one in examine(tmp_path / "desk.toml", {}, is_brief=True)]
    assert {"kernel", "configuration", "folders", "strategies", "disk", "ledger", "privacy"} <= set(brief)
    assert not {"jail", "desk", "broker", "session", "packages", "notifications"} & set(brief)


def test_half_a_pair_of_keys_is_told_before_a_start_fails_by_it(tmp_path: Path) -> None:
    """On the embedded exchange, too: nothing else would say it before the restart."""
    broker = checks(tmp_path, NO_JAIL, {"APCA_API_KEY_ID": "PKTEST"})["broker"]
    assert (broker.verdict, "needs none" in broker.found) == ("bad", True)
    assert broker.remedy == "APCA_API_SECRET_KEY: is not set, but APCA_API_KEY_ID is; set both or neither"


def test_what_bounds_state_is_said(tmp_path: Path) -> None:
    """The bound is the kernel's wherever there are jails; without jails there is no /state."""
    state = checks(tmp_path, "[sandbox]\nstate_mb = 32\nstate_files = 100")["state"]
    assert (state.verdict, state.found) == (
        "good",
        "32 MB and 100 files, held by the kernel (a tmpfs of each jail); saved every 10 s and when a run ends",
    )
    assert checks(tmp_path, NO_JAIL)["state"].verdict == "warning"


@pytest.mark.needs_nsjail
def test_a_hello_jail_is_tried(tmp_path: Path) -> None:
    """The doctor runs a real jail, or says in one sentence why none can be made."""
    with tempfile.TemporaryDirectory(prefix="deskd-doctor-", dir="/tmp") as reachable:
        Path(reachable).chmod(0o711)
        jail = checks(tmp_path, f'[sandbox]\njail_dir = "{reachable}"\n')["jail"]
    assert jail.verdict == "good" or jail.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_member_is_not_told_that_the_officers_files_are_bad(tmp_path: Path) -> None:
    """What a member may not see is not theirs to see: no verdict, no false alarm, and who may look."""
    with tempfile.TemporaryDirectory(prefix="deskd-doctor-", dir="/tmp") as place:
        folder = Path(place)
        folder.chmod(0o711)
        (folder / "var").mkdir(mode=0o711)
        (folder / "var/desk.db").touch(mode=0o600)
        text = f'[desk]\nstate_dir = "var"\n{NO_JAIL}'
        checks(folder, text)  # what it imports lies in root's own folders
        (folder / "desk.toml").write_text('[desk]\nstate_dir = "var"\n')
        (folder / "desk.toml").chmod(0o644)
        os.setresuid(NOBODY, NOBODY, 0)  # a member, for a moment
        try:
            rows = {check.check: check for check in examine(folder / "desk.toml", {})}
        finally:
            os.setresuid(0, 0, 0)
        assert (rows["folders"].verdict, rows["folders"].remedy) == (
            "not yours",
            "an officer sees it: sudo deskctl doctor",
        )
        hidden = {name for name, check in rows.items() if check.verdict == "not yours" and check.remedy}
        assert hidden >= {"ledger", "jail"}


@pytest.mark.needs_nsjail
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_root_asks_as_the_desks_own_user(tmp_path: Path) -> None:
    """The doctor leaves no file of root's where a desk without root has to write, and tries what the unit would do."""
    with tempfile.TemporaryDirectory(prefix="deskd-doctor-", dir="/tmp") as place:
        Path(place).chmod(0o711)
        state = Path(place) / "var"
        state.mkdir(mode=0o711)
        os.chown(state, NOBODY, NOBODY)
        jail = checks(tmp_path, f'[desk]\nstate_dir = "{state}"\n')["jail"]
        assert jail.verdict == "good" or jail.remedy
        assert {path.lstat().st_uid for path in state.iterdir()} <= {NOBODY}
