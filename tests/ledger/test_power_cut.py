"""The ledger after a power cut: what was acknowledged is there, no batch is there by half, tables and facts agree."""

import asyncio
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger.rebuild import refill
from deskd.ledger.store import LedgerStore
from tests.ledger.histories import histories
from tests.ledger.life import dump
from tests.ledger.long_history import LongHistory
from tests.ledger.power_cut import (
    FRAME_HEADER,
    PAGE,
    Files,
    Moment,
    begun_anew,
    frame_ends,
    moments,
    sectors,
    written,
)

BATCH = 6


def a_history() -> list[ev.Fact]:
    history = LongHistory(orders=40, open_orders=5, strategies=2)
    return [fact for facts in history.batches() for fact in facts]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "after"


async def stored(path: Path) -> list[ev.Fact]:
    """Open the ledger as a start does, and return its facts, chain checked."""
    async with await LedgerStore.open(path) as ledger:
        return [fact async for fact in ledger.replay()]


async def told(path: Path) -> list[ev.Fact] | str:
    """Return the facts, or what a start says that finds them damaged."""
    try:
        return await stored(path)
    except LedgerError as error:
        return str(error)


async def survives(files: Files, folder: Path, facts: list[ev.Fact], allowed: set[int]) -> int:
    """Assert that the ledger is whole and holds the first so many facts, and its tables what follows from them."""
    path = files.put(folder)
    found = await stored(path)
    assert len(found) in allowed, f"{len(found)} facts, not one of {sorted(allowed)}"
    assert found == facts[: len(found)]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    before = dump(path)
    with closing(sqlite3.connect(path)) as db, db:
        refill(db)
    assert dump(path) == before
    return len(found)


async def test_the_log_cut_at_and_inside_every_frame(tmp_path: Path, folder: Path) -> None:
    """Each commit before the cut is there, whole; of the one that was cut, nothing."""
    facts = a_history()[:48]
    kept = await moments(tmp_path / "desk.db", facts, batch=BATCH, checkpoint_pages=0)
    last = kept[-1].files
    ends = [(len(moment.files.wal), moment.facts) for moment in kept]
    reached = set()
    for end in frame_ends(last.wal)[-40:]:
        for cut in (end - PAGE - FRAME_HEADER + 8, end - PAGE // 2, end - 1, end):
            expected = max((count for size, count in ends if size <= cut), default=0)
            reached.add(await survives(Files(last.db, last.wal[:cut]), folder, facts, {expected}))
    assert len(reached) > 2


@pytest.mark.parametrize(
    "tail", [bytes(3 * PAGE), b"\xa5" * 5_000, b"\x37\x7f\x06\x83" * 1_000], ids=["zeros", "garbage", "magic"]
)
async def test_what_lies_behind_the_last_frame_is_nothing(tmp_path: Path, folder: Path, tail: bytes) -> None:
    """A file that grew before its bytes came: zeros, or whatever was on the disk there."""
    facts = a_history()[:30]
    kept = await moments(tmp_path / "desk.db", facts, batch=BATCH, checkpoint_pages=0)
    for moment in kept[1:]:
        grown = Files(moment.files.db, moment.files.wal + tail)
        await survives(grown, folder, facts, {moment.facts})


async def test_a_log_that_is_gone_after_its_checkpoint_is_not_missed(tmp_path: Path, folder: Path) -> None:
    """All that it had is in the main file, which was synced."""
    facts = a_history()[:30]
    path = tmp_path / "desk.db"
    kept = await moments(path, facts, batch=BATCH, checkpoint_pages=1)
    for moment in kept[1:]:
        await survives(Files(moment.files.db, b""), folder, facts, {moment.facts})


@settings(max_examples=25, deadline=None)
@given(facts=histories(), data=st.data())
def test_any_sectors_of_the_last_commit_may_be_missing(
    tmp_path_factory: pytest.TempPathFactory, facts: list[ev.Fact], data: st.DataObject
) -> None:
    """In whatever order the disk wrote them, and one of them half: the commit is there whole, or it is not there."""
    batch, pages = data.draw(st.integers(1, 9)), data.draw(st.sampled_from((0, 8, 30)))
    asyncio.run(_cut(tmp_path_factory.mktemp("cut"), facts, batch, pages, data))


async def _cut(folder: Path, facts: list[ev.Fact], batch: int, pages: int, data: st.DataObject) -> None:
    kept = await moments(folder / "desk.db", facts, batch=batch, checkpoint_pages=pages)
    before, after = data.draw(st.sampled_from(list(pairwise(kept))))
    log = begun_anew(before.files.wal, after.files.wal)
    changed = sectors(log, after.files.wal)
    there: list[int] = data.draw(st.lists(st.sampled_from(changed), unique=True)) if changed else []
    is_torn: bool = data.draw(st.booleans())
    torn = data.draw(st.sampled_from(there)) if there and is_torn else None
    wal = written(log, after.files.wal, there, torn=torn)
    is_whole = wal == after.files.wal
    await survives(
        Files(before.files.db, wal), folder / "after", facts, {after.facts} if is_whole else {before.facts, after.facts}
    )
    if before.files.db == after.files.db:
        return
    # The commit was followed by a checkpoint: the log is whole and synced, the main file is written anywhere.
    pages_there: list[int] = data.draw(st.lists(st.sampled_from(sectors(before.files.db, after.files.db)), unique=True))
    half = data.draw(st.sampled_from(pages_there)) if pages_there else None
    db = written(before.files.db, after.files.db, pages_there, torn=half)
    await survives(Files(db, after.files.wal), folder / "after", facts, {after.facts})


async def test_a_torn_page_of_the_main_file_is_healed_by_the_log_while_there_is_one(
    tmp_path: Path, folder: Path
) -> None:
    """A checkpoint that was cut begins anew: the log has every page that it was writing."""
    facts = a_history()[:36]
    path = tmp_path / "desk.db"
    kept = await moments(path, facts, batch=BATCH, checkpoint_pages=0)
    with closing(sqlite3.connect(Files(kept[-1].files.db, kept[-1].files.wal).put(tmp_path / "checkpointed"))) as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        after = (tmp_path / "checkpointed" / "desk.db").read_bytes()
    before = kept[-1].files
    for at in range(0, len(after), PAGE):
        torn = after[: at + PAGE // 2] + before.db[at + PAGE // 2 :]
        await survives(Files(torn, before.wal), folder, facts, {len(facts)})


async def test_a_torn_page_without_a_log_is_refused_with_the_remedy(tmp_path: Path, folder: Path) -> None:
    """No power cut does this, a disk may: where facts are hurt the ledger is refused; no fact is ever another one."""
    facts = a_history()[:60]
    kept = await moments(tmp_path / "desk.db", facts, batch=BATCH, checkpoint_pages=1)
    whole = kept[-1].files.db
    refused = 0
    for at in range(0, len(whole), PAGE):
        torn = whole[: at + PAGE // 2] + bytes(PAGE // 2) + whole[at + PAGE :]
        path = Files(torn, b"").put(folder)
        found = await told(path)
        if isinstance(found, str):
            assert "restore a backup" in found
            refused += 1
        else:
            assert found == facts  # a page of the tables: `deskctl audit verify` finds it
    assert refused > 5


async def test_the_writer_goes_on_after_a_cut(tmp_path: Path, folder: Path) -> None:
    """The chain is continued where the cut left it, and the next start finds all of it."""
    facts = a_history()[:48]
    kept = await moments(tmp_path / "desk.db", facts, batch=BATCH, checkpoint_pages=0)
    before, last = kept[-2], kept[-1]
    path = Files(last.files.db, last.files.wal[:-100]).put(folder)
    async with await LedgerStore.open(path) as ledger:
        assert ledger.last_seq == before.facts
        await ledger.append(facts[before.facts :], [])
    assert await stored(path) == facts


async def test_a_long_reader_makes_the_log_grow_and_its_end_gives_the_room_back(tmp_path: Path) -> None:
    """While somebody reads the log cannot begin anew; after that it does, and is cut to its bound."""
    path = tmp_path / "desk.db"
    wal = path.with_name("desk.db-wal")
    big = ev.CommandGiven(by="x", command="y", arguments="z" * 200_000, at=a_history()[0].at)
    async with await LedgerStore.open(path) as ledger:
        async with ledger._db.execute("PRAGMA journal_size_limit") as cursor:
            assert await cursor.fetchone() == (64 * 2**20,)
        await ledger._db.execute(f"PRAGMA journal_size_limit = {2 * 2**20}")
        for _ in range(60):
            await ledger.append([big], [])
        assert wal.stat().st_size < 7 * 2**20, "it begins anew by itself"
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM facts").fetchone()
            for _ in range(60):
                await ledger.append([big], [])
            assert wal.stat().st_size > 12 * 2**20
            reader.execute("COMMIT")
        for _ in range(60):
            await ledger.append([big], [])
        assert wal.stat().st_size < 7 * 2**20


def test_the_model_is_of_the_files_that_sqlite_writes(tmp_path: Path) -> None:
    """Frames end where the log ends, and every sector that differs makes the next moment."""
    kept: list[Moment] = asyncio.run(moments(tmp_path / "desk.db", a_history()[:24], batch=BATCH, checkpoint_pages=0))
    for before, after in pairwise(kept):
        assert frame_ends(after.files.wal)[-1] == len(after.files.wal)
        log = begun_anew(before.files.wal, after.files.wal)
        changed = sectors(log, after.files.wal)
        assert written(log, after.files.wal, changed) == after.files.wal
