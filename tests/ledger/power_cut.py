"""What a power cut leaves of a ledger's two files: the model that the tests of it draw from.

The ledger syncs its write-ahead log with each commit. So of everything that a commit wrote before the last one every
byte is there; of what the last one wrote, each sector is there or not, in any order, and one may be half written.
The pages that a checkpoint copies into the main file are written after that sync, and are there or not in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deskd.domain import events as ev
from deskd.ledger.projections import project
from deskd.ledger.rebuild import Fold
from deskd.ledger.store import LedgerStore

SECTOR = 512
WAL_HEADER, FRAME_HEADER, PAGE = 32, 24, 4096


@dataclass(frozen=True)
class Files:
    """The bytes of the main file and of its write-ahead log."""

    db: bytes
    wal: bytes

    def put(self, folder: Path) -> Path:
        """Make a ledger of them that was never closed; the -shm of a machine without power is gone."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        (folder / "desk.db").write_bytes(self.db)
        if self.wal:
            (folder / "desk.db-wal").write_bytes(self.wal)
        return folder / "desk.db"


@dataclass(frozen=True)
class Moment:
    """The files right after a commit, and how many facts had been acknowledged by then."""

    files: Files
    facts: int


def files_of(path: Path) -> Files:
    wal = path.with_name(path.name + "-wal")
    return Files(path.read_bytes(), wal.read_bytes() if wal.exists() else b"")


async def moments(path: Path, facts: Sequence[ev.Fact], *, batch: int, checkpoint_pages: int) -> list[Moment]:
    """Write *facts* in batches, with their projections, and keep the files of each moment."""
    kept = []
    fold = Fold(lambda _: None)
    async with await LedgerStore.open(path) as ledger:
        await ledger._db.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")
        kept.append(Moment(files_of(path), 0))
        for start in range(0, len(facts), batch):
            some = facts[start : start + batch]
            for fact in some:
                fold.desk.apply(fact)
            await ledger.append(some, project(some, fold.desk))
            kept.append(Moment(files_of(path), start + len(some)))
    return kept


def begun_anew(old: bytes, new: bytes) -> bytes:
    """Return the log as it is when the first frame of a commit is written.

    A log that a checkpoint has emptied is written from its beginning again, under a new header; SQLite syncs that header
    before any frame (walFrames in wal.c, "Sync the header", ticket ff5be73dee): a header that came after its frames could
    make the file wrong.
    """
    return new[:WAL_HEADER] + old[WAL_HEADER:] if old[:WAL_HEADER] != new[:WAL_HEADER] else old


def sectors(old: bytes, new: bytes) -> list[int]:
    """Return the sectors that differ."""
    longest = max(len(old), len(new))
    return [at for at in range(0, longest, SECTOR) if old[at : at + SECTOR] != new[at : at + SECTOR]]


def written(old: bytes, new: bytes, places: Sequence[int], *, torn: int | None = None) -> bytes:
    """Return *old* with some sectors of *new* in it, one of them half; what lies between the sectors is zeros."""
    found = bytearray(old)
    for at in places:
        piece = new[at : at + SECTOR]
        if at == torn:
            piece = piece[: len(piece) // 2]
        if len(found) < at + len(piece):
            found.extend(bytes(at + len(piece) - len(found)))
        found[at : at + len(piece)] = piece
    return bytes(found)


def frame_ends(wal: bytes) -> list[int]:
    """Return where each frame of a write-ahead log ends."""
    return list(range(WAL_HEADER + FRAME_HEADER + PAGE, len(wal) + 1, FRAME_HEADER + PAGE))
