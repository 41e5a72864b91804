"""Officers read the ledger by their group while the desk writes it; nobody else does, and no key is among it."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deskd.app.officers import open_to_officers
from deskd.core.desk import Desk
from deskd.ledger.roots import KEY, PUBLIC_KEY, ROOTS, load_key
from deskd.ledger.store import LedgerStore
from tests.ledger.life import Life, append

OFFICERS, STRANGERS, NOBODY = 64_001, 64_002, 65_534
# As somebody of that group alone; prints how many facts there are, or why it cannot tell.
COUNT = """
import os, sqlite3, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(65534)
try:
    print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT count(*) FROM facts").fetchone()[0])
except sqlite3.Error as error:
    print(error)
"""


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """Lie where others may pass: pytest's own folder is closed to them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o711)
        yield Path(made)


async def counted(ledger: Path, gid: int) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COUNT, str(ledger), str(gid), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return out.decode().strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
async def test_officers_read_the_ledger_that_is_being_written_and_nobody_else_does(state_dir: Path) -> None:
    """By the group's right alone, with what came a moment ago; the folder is not theirs to write into."""
    path, life = state_dir / "desk.db", Life(5)
    load_key(state_dir)
    async with await LedgerStore.open(path) as ledger:
        life.goes_on(40)
        await append(ledger, Desk(), [life.facts])
        assert "unable to open" in await counted(path, OFFICERS)
        open_to_officers(path, state_dir, OFFICERS)
        assert await counted(path, OFFICERS) == str(ledger.last_seq)
        assert "unable to open" in await counted(path, STRANGERS)
    for name in (PUBLIC_KEY, ROOTS, "desk.db"):
        assert (state_dir / name).stat().st_gid == OFFICERS, name
        assert (state_dir / name).stat().st_mode & 0o027 == 0 or name == PUBLIC_KEY
    key = (state_dir / KEY).stat()
    assert (key.st_gid, key.st_mode & 0o777) == (os.getegid(), 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
def test_a_desk_that_may_not_give_them_away_goes_on(state_dir: Path) -> None:
    """It has no right to: officers say sudo, and the log says so."""
    (state_dir / "desk.db").touch()
    os.chown(state_dir, NOBODY, -1)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        with capture_logs() as told:
            open_to_officers(state_dir / "desk.db", state_dir, OFFICERS)
    finally:
        os.setresuid(0, 0, 0)
    assert [line["event"] for line in told] == ["ledger_not_open_to_officers"]
    assert (state_dir / "desk.db").stat().st_gid != OFFICERS


def test_where_there_is_no_group_nothing_is_touched(state_dir: Path) -> None:
    """On a laptop: its owner reads it anyway."""
    open_to_officers(state_dir / "desk.db", state_dir, None)
    assert list(state_dir.iterdir()) == []
