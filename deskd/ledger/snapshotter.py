"""The worker that takes snapshots and checks the whole ledger, beside the desk: `python -m deskd.ledger.snapshotter`.

Rule 1: it reads the ledger in short transactions, so that the write-ahead log never waits for it.
Rule 2: it says what it found in one line of JSON, and by its exit code. The desk decides what follows.
Rule 3: it is niced, and ends with the desk.
"""

import ctypes
import gc
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from deskd.core.desk import Desk
from deskd.domain.errors import LedgerError
from deskd.domain.events import Fact
from deskd.ledger import codec, fold, snapshot
from deskd.ledger.chain import SELECT_AFTER, Chain, Entry

BROKEN = 3  # exit code: the ledger is not what was written, or the snapshot is not what it leads to
_CHUNK = 2_000  # entries in one read transaction
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the worker did."""

    seq: int  # the last entry that it saw
    replayed: int  # how many it replayed
    taken: bool  # is a new snapshot there
    size: int = 0  # bytes of it


def renew(ledger: Path) -> Report:
    """Take a snapshot: the last one, and the entries since."""
    place = snapshot.path_of(ledger)
    with closing(_connect(ledger)) as db:
        desk, start, entry_hash = _last(db, place)
        seq = start
        for entry in _entries(db, ledger, after=start, prev=entry_hash):
            seq, entry_hash, fact = entry
            desk.apply(fact)
    return _taken(place, desk, start, seq, entry_hash)


def verify(ledger: Path, *, renews_after: int) -> Report:
    """Replay the whole ledger, check its chain, and compare the snapshot with where the replay stands at its entry.

    Raise LedgerError, and remove the snapshot, where one of them is off: the next start then replays everything, and
    refuses what is broken. A sound one that is *renews_after* entries behind is taken anew.
    """
    place = snapshot.path_of(ledger)
    head = snapshot.head_of(place)
    known, desk, seq, entry_hash = 0, Desk(), 0, codec.GENESIS
    try:
        with closing(_connect(ledger)) as db:
            for seq, entry_hash, fact in _entries(db, ledger, after=0, prev=codec.GENESIS):
                desk.apply(fact)
                if isinstance(head, snapshot.Head) and seq == head.seq:
                    _compare(desk, head, entry_hash, place)
                    known = seq
    except LedgerError:
        with suppress(OSError):
            place.unlink(missing_ok=True)
        raise
    if seq - known < renews_after:
        return Report(seq=seq, replayed=seq, taken=False)
    return _taken(place, desk, 0, seq, entry_hash)


def _compare(desk: Desk, head: snapshot.Head, entry_hash: str, place: Path) -> None:
    if entry_hash == head.hash and snapshot.digest(fold.encode(desk)) == head.sha256:
        return
    raise LedgerError(f"{place}: the snapshot is not what the ledger leads to: it is removed; start the desk again")


def _last(db: sqlite3.Connection, place: Path) -> tuple[Desk, int, str]:
    head = snapshot.head_of(place)
    if isinstance(head, snapshot.Head):
        row = db.execute("SELECT hash FROM facts WHERE seq = ?", (head.seq,)).fetchone()
        found = snapshot.load(place, head, stored_hash=row[0] if row else None)
        if isinstance(found, Desk):
            return found, head.seq, head.hash
    return Desk(), 0, codec.GENESIS


def _taken(place: Path, desk: Desk, start: int, seq: int, entry_hash: str) -> Report:
    if seq == start:
        return Report(seq=seq, replayed=0, taken=False)
    head = snapshot.take(place, desk, seq=seq, entry_hash=entry_hash)
    return Report(seq=seq, replayed=seq - start, taken=True, size=head.size)


def _entries(db: sqlite3.Connection, ledger: Path, *, after: int, prev: str) -> Iterator[tuple[int, str, Fact]]:
    read = Chain(after, prev)
    while rows := db.execute(f"{SELECT_AFTER} LIMIT {_CHUNK}", (read.seq,)).fetchall():
        for row in rows:
            fact = read.fact(Entry(*row), ledger)
            yield read.seq, read.hash, fact


def _connect(ledger: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(ledger))}?mode=ro", uri=True, isolation_level=None)


def main(arguments: list[str]) -> int:
    """Do one thing: `renew LEDGER PARENT`, or `verify LEDGER PARENT RENEWS_AFTER`."""
    what, ledger, parent = arguments[0], Path(arguments[1]), int(arguments[2])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return 1  # the desk is gone already
    gc.disable()  # it would walk through every order again and again: a fold has no circles
    os.setpriority(os.PRIO_PROCESS, 0, max(10, os.getpriority(os.PRIO_PROCESS, 0)))  # the desk may go before others
    try:
        report = renew(ledger) if what == "renew" else verify(ledger, renews_after=int(arguments[3]))
    except LedgerError as error:
        sys.stderr.write(str(error))
        return BROKEN
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(str(error))
        return 1
    sys.stdout.write(msgspec.json.encode(report).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
