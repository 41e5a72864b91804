"""A disk without room, for real: what was acknowledged stands, the error says what to do, and room heals it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger import snapshot, snapshotter
from deskd.ledger.projections import project
from deskd.ledger.rebuild import Fold, refill
from deskd.ledger.snapshot import Head
from deskd.ledger.store import LedgerStore
from tests.ledger.life import dump
from tests.ledger.long_history import LongHistory
from tests.small_disk import SIZE_MB, grown, small_disk

__all__ = ["small_disk"]

MIB = 2**20


def filled_up(disk: Path, *, but: int) -> Path:
    """Leave so many bytes of the disk."""
    filler = disk / "filler"
    filler.write_bytes(bytes(SIZE_MB * MIB - but))
    return filler


def room_on(disk: Path) -> int:
    return shutil.disk_usage(disk).free


async def test_the_batch_that_finds_no_room_is_not_there_and_all_before_it_are(small_disk: Path) -> None:
    """Appending ends with the remedy; the next opening has every acknowledged fact, and its tables; then it goes on."""
    filled_up(small_disk, but=3 * MIB)
    path = small_disk / "desk.db"
    fold, words = Fold(lambda _: None), ""
    acknowledged: list[ev.Fact] = []
    lost: list[ev.Fact] = []
    async with await LedgerStore.open(path) as ledger:
        for facts in LongHistory(orders=4_000, open_orders=10).batches():
            for fact in facts:
                fold.desk.apply(fact)
            try:
                await ledger.append(facts, project(facts, fold.desk))
            except LedgerError as error:
                lost = facts
                words = str(error)
                break
            acknowledged += facts
    assert lost
    assert "the ledger cannot be written" in words
    assert "free the disk" in words
    grown(small_disk, 64)
    async with await LedgerStore.open(path) as ledger:
        assert [fact async for fact in ledger.replay()] == acknowledged
        before = dump(path)
        with closing(sqlite3.connect(path)) as db, db:
            refill(db)
        assert dump(path) == before
        await ledger.append(lost, [])
        assert [fact async for fact in ledger.replay()] == acknowledged + lost


async def test_a_ledger_cannot_be_made_on_a_full_disk_and_can_be_once_there_is_room(small_disk: Path) -> None:
    """The file and the remedy are named; the lock is let go, and half a ledger is in nobody's way."""
    filler = filled_up(small_disk, but=20_000)
    with pytest.raises(LedgerError, match=r"desk\.db: .*(free the disk|restore a backup)"):
        await LedgerStore.open(small_disk / "desk.db")
    filler.unlink()
    async with await LedgerStore.open(small_disk / "desk.db") as ledger:
        assert ledger.last_seq == 0


async def test_a_snapshot_that_finds_no_room_leaves_the_last_one_and_gives_its_bytes_back(small_disk: Path) -> None:
    """A cache is not worth the ledger's last pages."""
    path = small_disk / "desk.db"
    desk_of = LongHistory(orders=700, open_orders=10, strategies=3)
    facts = [fact for some in desk_of.batches() for fact in some]
    async with await LedgerStore.open(path) as ledger:
        await ledger.append(facts[:100], [])
        snapshotter.renew(path)
        await ledger.append(facts[100:], [])
        filler = filled_up(small_disk, but=SIZE_MB * MIB - room_on(small_disk) + 200_000)
        with pytest.raises(OSError, match="No space left"):
            snapshotter.renew(path)
        head = snapshot.head_of(snapshot.path_of(path))
        assert isinstance(head, Head)
        assert head.seq == 100
        assert not (small_disk / "desk.db.snapshot.new").exists()
        await ledger.append([ev.DeskStopped(at=facts[-1].at)], [])
        filler.unlink()
        assert snapshotter.renew(path).taken
