"""The worker beside the desk: it renews snapshots, and finds a ledger that is not what was written."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from deskd.core.desk import DENIED_KEPT, Desk
from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger import codec, fold, snapshot, snapshotter
from deskd.ledger.snapshot import Head
from deskd.ledger.snapshotter import BROKEN, Report, renew, verify
from deskd.ledger.store import LedgerStore
from tests.hang import HANG_S
from tests.ledger.histories import histories
from tests.ledger.long_history import LongHistory
from tests.ledger.story import a_story, rebuilt


async def a_ledger(path: Path, facts: list[ev.Fact]) -> Path:
    async with await LedgerStore.open(path) as ledger:
        await ledger.append(facts, [])
    return path


def standing(ledger: Path) -> tuple[int, Desk]:
    """Return where the snapshot stands, and the desk in it."""
    place = snapshot.path_of(ledger)
    head = snapshot.head_of(place)
    assert isinstance(head, Head)
    desk = snapshot.load(place, head, stored_hash=head.hash)
    assert isinstance(desk, Desk)
    return head.seq, desk


def changed(ledger: Path, crime: str) -> None:
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("DROP TRIGGER facts_are_never_changed")
        assert db.execute(crime).rowcount == 1


def worker(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deskd.ledger.snapshotter", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)


async def test_each_renewal_replays_what_came_since(tmp_path: Path) -> None:
    """The first stands on every fact, the second on the first and the tail; with no tail there is nothing to do."""
    facts, desk = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts[:8])
    assert renew(ledger).replayed == 8
    await a_ledger(ledger, facts[8:])
    assert renew(ledger).replayed == len(facts) - 8
    assert standing(ledger) == (len(facts), desk)
    assert renew(ledger) == Report(seq=len(facts), replayed=0, taken=False)


async def test_one_that_is_unfit_is_made_anew_from_every_fact(tmp_path: Path) -> None:
    """Nothing is built on a snapshot that a start would not use."""
    facts, desk = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts)
    snapshot.path_of(ledger).write_bytes(b"nonsense")
    assert renew(ledger).replayed == len(facts)
    assert standing(ledger) == (len(facts), desk)


@settings(max_examples=20, deadline=None)
@given(facts=histories())
async def test_any_history_in_any_pieces_gives_the_fold_of_a_full_replay(
    tmp_path_factory: pytest.TempPathFactory, facts: list[ev.Fact]
) -> None:
    """Snapshot upon snapshot, the fold does not drift by a byte: the check of the whole finds nothing."""
    ledger = tmp_path_factory.mktemp("pieces") / "desk.db"
    for start in range(0, len(facts), 9):
        await a_ledger(ledger, facts[start : start + 9])
        renew(ledger)
    assert standing(ledger) == (len(facts), rebuilt(facts))
    assert verify(ledger, renews_after=1) == Report(seq=len(facts), replayed=len(facts), taken=False)


async def test_a_sound_snapshot_that_is_far_behind_is_renewed_by_the_check(tmp_path: Path) -> None:
    """The check has replayed everything anyway."""
    facts, desk = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts[:5])
    renew(ledger)
    await a_ledger(ledger, facts[5:])
    assert verify(ledger, renews_after=100).taken is False
    assert verify(ledger, renews_after=3).taken is True
    assert standing(ledger) == (len(facts), desk)


async def test_a_ledger_changed_before_the_snapshot_is_found_and_the_next_start_replays(tmp_path: Path) -> None:
    """What a start from the snapshot cannot see, the check behind it does; the snapshot is gone after it."""
    facts, _ = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts)
    renew(ledger)
    changed(ledger, "UPDATE facts SET body = replace(body, '\"10000\"', '\"10001\"') WHERE kind = 'AllocationChanged'")
    with pytest.raises(LedgerError, match=r"entry \d+ is not what the desk wrote"):
        verify(ledger, renews_after=1)
    assert snapshot.head_of(snapshot.path_of(ledger)) is None
    async with await LedgerStore.open(ledger) as opened:
        with pytest.raises(LedgerError, match="is not what the desk wrote"):
            assert [fact async for fact in opened.replay()]


async def test_a_snapshot_that_the_ledger_does_not_lead_to_is_found(tmp_path: Path) -> None:
    """A fold that drifted, with every hash right, would be a bug of ours: it is removed, and the desk starts anew."""
    facts, _ = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts)
    renew(ledger)
    place = snapshot.path_of(ledger)
    head = snapshot.head_of(place)
    assert isinstance(head, Head)
    snapshot.take(place, rebuilt(facts[:-4]), seq=head.seq, entry_hash=head.hash)
    with pytest.raises(LedgerError, match=r"desk\.db\.snapshot: the snapshot is not what the ledger leads to"):
        verify(ledger, renews_after=1)
    assert snapshot.head_of(place) is None


async def test_a_hundred_orders_of_every_fate_are_folded_alike(tmp_path: Path) -> None:
    """Fills in pieces, cancels, expiries, denials, rejections, brackets with legs, and some that stay open."""
    history = LongHistory(orders=120, open_orders=20, strategies=3)
    await history.write(tmp_path / "desk.db")
    renew(tmp_path / "desk.db")
    _, desk = standing(tmp_path / "desk.db")
    assert desk == history.desk
    assert len(desk.open_ids) == 20


# `make soak` lives through the hundred thousand that a start is measured with. A tenth is denied: each strategy has so many
# that the bound of what the desk remembers of them is passed.
ORDERS = int(os.environ.get("DESKD_HISTORY_ORDERS", "25000"))
STRATEGIES = max(1, ORDERS // (DENIED_KEPT * 25 // 2))


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_long_history_is_folded_alike(tmp_path: Path) -> None:
    """Snapshot and tail equal a full replay, and both equal the desk that lived it. Four times as long: `make soak`."""
    history = LongHistory(orders=ORDERS, open_orders=500, strategies=STRATEGIES)
    path = tmp_path / "desk.db"
    half, written = ORDERS * 7 // 4, 0
    async with await LedgerStore.open(path) as ledger:
        for facts in history.batches():
            await ledger.append(facts, [])
            before, written = written, written + len(facts)
            if before < half <= written:
                assert renew(path).taken
    assert renew(path).replayed < written - half + 10_000
    seq, desk = standing(path)
    assert seq == written
    assert desk == history.desk
    replayed = Desk()
    async with await LedgerStore.open(path) as ledger:
        async for fact in ledger.replay():
            replayed.apply(fact)
    assert desk == replayed
    assert fold.encode(desk) == fold.encode(replayed)


def test_a_worker_killed_at_any_moment_leaves_a_whole_snapshot_or_the_last(tmp_path: Path) -> None:
    """Before it read, while it folds, writes or renames: what a start finds is whole, and the next worker goes on."""
    history = LongHistory(orders=1_500, open_orders=20)
    ledger = tmp_path / "desk.db"
    asyncio.run(history.write(ledger))
    place = snapshot.path_of(ledger)
    began = time.monotonic()
    assert worker("renew", str(ledger), str(os.getpid())).returncode == 0
    took = time.monotonic() - began
    last = snapshot.head_of(place)
    for share in (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0):
        place.unlink()
        snapshot.take(place, Desk(), seq=0, entry_hash=codec.GENESIS)  # an old one, at the very beginning
        command = [sys.executable, "-m", "deskd.ledger.snapshotter", "renew", str(ledger), str(os.getpid())]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(share * took)
            process.kill()
        head = snapshot.head_of(place)
        assert isinstance(head, Head)
        assert head == last or head.seq == 0
        assert isinstance(snapshot.load(place, head, stored_hash=head.hash), Desk)
    renew(ledger)
    assert standing(ledger)[1] == history.desk


async def test_as_a_process_it_says_what_it_did_and_never_lives_without_its_desk(tmp_path: Path) -> None:
    """One line of JSON and exit code 0; 3 for a broken ledger; 1 for the world's failures, and for a desk that is gone."""
    facts, _ = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts)
    done = worker("renew", str(ledger), str(os.getpid()))
    assert done.returncode == 0
    assert msgspec.json.decode(done.stdout, type=Report).taken
    assert worker("renew", str(ledger), "1").returncode == 1
    absent = worker("renew", str(tmp_path / "nothing.db"), str(os.getpid()))
    assert absent.returncode == 1
    assert "unable to open" in absent.stderr
    changed(ledger, "UPDATE facts SET body = '{}' WHERE seq = 3")
    broken = worker("verify", str(ledger), str(os.getpid()), "1")
    assert broken.returncode == BROKEN == snapshotter.BROKEN
    assert "entry 3 is not what the desk wrote" in broken.stderr
