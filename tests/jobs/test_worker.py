"""What is heavy is done in a process of its own, whole or not at all."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from deskd.jobs.worker import check, write
from deskd.ledger.backup import backup
from tests.jobs.a_week import TUESDAY, Week, a_week


@pytest.fixture
async def week(tmp_path: Path) -> Week:
    """Write a ledger."""
    return await a_week(tmp_path / "desk.db", 1)


def test_reports_are_for_the_desk_and_every_member(week: Week, tmp_path: Path) -> None:
    """Nobody but the desk's user opens them; made again, they take the place of those before."""
    folder = tmp_path / "reports" / TUESDAY.isoformat()
    assert write(week.path, folder, TUESDAY) == write(week.path, folder, TUESDAY)
    names = {file.name for file in folder.iterdir()}
    assert {"desk.html", "member-alice.json", "member-bob.fills.csv"} <= names
    assert len(names) == 3 * 7
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_copy_is_read_to_its_last_entry(week: Week, tmp_path: Path) -> None:
    """What was changed in it is named."""
    copy = tmp_path / "copy.db"
    backup(week.path, copy)
    good = check(copy)
    assert good.damages == ()
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute("UPDATE fills SET price = '1' WHERE rowid = 1")
    [damage, *_] = check(copy).damages
    assert "fills" in damage


def test_the_process_answers_in_one_line_of_json(week: Week, tmp_path: Path) -> None:
    """And it ends with the desk: without its parent it does nothing."""
    command = [sys.executable, "-m", "deskd.jobs.worker", "report"]
    rest = [str(week.path), str(tmp_path / "reports" / "a"), TUESDAY.isoformat()]
    ran = subprocess.run([*command, str(os.getpid()), *rest], capture_output=True, check=True, text=True)
    assert json.loads(ran.stdout)["members"] == 2
    orphan = subprocess.run([*command, "1", *rest], capture_output=True, check=False, text=True)
    assert orphan.returncode == 1
    nowhere = [*command, str(os.getpid()), str(tmp_path / "none.db"), *rest[1:]]
    failed = subprocess.run(nowhere, capture_output=True, check=False, text=True)
    assert (failed.returncode, "none.db" in failed.stderr) == (1, True)
