"""The snapshot beside the ledger: the desk's fold as it stood at one entry, so that a start replays the rest only.

Rule 1: it is a cache of a replay, never the truth. What is off about it is said, and the whole ledger is replayed.
Rule 2: it is bound to the entry it stands at (number and hash), to the code that folds, and to its own bytes.
Rule 3: it is written whole or not at all: a file of its own, synced, then renamed over the last one.
"""

import hashlib
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deskd.core.desk import Desk
from deskd.ledger import fold

FORMAT = 1
_HEAD_MAX = 4_096  # bytes of the first line


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first line of the file: what the rest is."""

    format: int
    code: str  # fold.fingerprint of the program that took it
    seq: int  # the entry that it stands at
    hash: str  # of that entry
    size: int  # bytes of the body
    sha256: str  # of the body


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a snapshot is not used."""

    why: str


_heads = msgspec.json.Decoder(Head)


def path_of(ledger: Path) -> Path:
    """Return where the snapshot of the ledger at *ledger* is."""
    return ledger.with_name(ledger.name + ".snapshot")


def head_of(path: Path) -> Head | Unfit | None:
    """Return what the snapshot at *path* says that it is; None where there is none."""
    try:
        with path.open("rb") as file:
            line = file.readline(_HEAD_MAX)
        head = _heads.decode(line)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unfit(f"it cannot be read: {error.strerror}")
    except msgspec.MsgspecError:
        return Unfit("its first line is not a snapshot's")
    if head.format != FORMAT:
        return Unfit(f"its format is {head.format}, this program's is {FORMAT}")
    if head.code != fold.fingerprint():
        return Unfit("another version of the desk's code took it")
    return head


def load(path: Path, head: Head, *, stored_hash: str | None) -> Desk | Unfit:
    """Return the desk as it stood at the snapshot's entry; *stored_hash* is the ledger's of that entry."""
    if stored_hash is None:
        return Unfit(f"the ledger has no entry {head.seq}")
    if stored_hash != head.hash:
        return Unfit(f"the ledger's entry {head.seq} is another one")
    try:
        with path.open("rb") as file:
            file.readline(_HEAD_MAX)
            start, size = file.tell(), os.fstat(file.fileno()).st_size
            if size - start != head.size or not head.size:
                return Unfit(f"it has {size - start} bytes, and should have {head.size}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole, memoryview(whole) as view:
                return _decoded(view, start, head)
    except OSError as error:
        return Unfit(f"it cannot be read: {error.strerror}")


def _decoded(view: memoryview, start: int, head: Head) -> Desk | Unfit:
    with view[start:] as body:
        if digest(body) != head.sha256:
            return Unfit("its bytes are not what was written")
        try:
            return fold.decode(body)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            return Unfit(f"it cannot be decoded: {error}")


def take(path: Path, desk: Desk, *, seq: int, entry_hash: str) -> Head:
    """Put the snapshot of *desk*, which stands at entry *seq*, in the place of the last; return when it is on disk."""
    body = fold.encode(desk)
    head = Head(
        format=FORMAT,
        code=fold.fingerprint(),
        seq=seq,
        hash=entry_hash,
        size=len(body),
        sha256=digest(body),
    )
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)  # of one that was killed
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(head) + b"\n")
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)  # a full disk needs every byte
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return head


def digest(body: bytes | memoryview) -> str:
    """Return what a snapshot's head says of its body."""
    return hashlib.sha256(body).hexdigest()
