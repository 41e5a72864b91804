"""Signed roots: the desk's name under a hash that stands for the ledger up to an entry.

What a root proves: whoever changes an entry that it covers, or takes one away, cannot make this root again. Who has the
key (root on the desk's machine has) can sign another history: so the past is protected by those roots that are kept where
the machine cannot reach them. `roots.jsonl` is there to be copied.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from deskd.core.desk import Desk
from deskd.domain.errors import LedgerError
from deskd.domain.events import RootSigned
from deskd.ledger.chain import UNREADABLE
from deskd.ledger.codec import stamp
from deskd.ledger.projections import project
from deskd.ledger.queries import read_only
from deskd.ledger.store import LedgerStore

KEY, PUBLIC_KEY, ROOTS = "ledger-key", "ledger-key.pub", "roots.jsonl"  # in desk.state_dir
_KEY_BYTES = 32

_decoder = msgspec.json.Decoder(RootSigned)


class SigningKey:
    """The desk's Ed25519 key."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw().hex()

    @property
    def secret(self) -> str:
        """Return the half that nobody may see, as text."""
        return self._private.private_bytes_raw().hex()

    def sign(self, market_day: date, seq: int, root: str, at: datetime) -> RootSigned:
        """Return the fact that entry *seq* has the hash *root*."""
        signature = self._private.sign(_message(market_day, seq, root, at)).hex()
        return RootSigned(market_day=market_day, seq=seq, root=root, public_key=self.public, signature=signature, at=at)


def _message(market_day: date, seq: int, root: str, at: datetime) -> bytes:
    return f"deskd ledger root\n{market_day.isoformat()}\n{seq}\n{root}\n{stamp(at)}\n".encode()


def is_signed(root: RootSigned) -> bool:
    """Tell whether the signature is that of the root's own public key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(root.public_key))
        key.verify(bytes.fromhex(root.signature), _message(root.market_day, root.seq, root.root, root.at))
    except (InvalidSignature, ValueError):
        return False
    return True


def load_key(state_dir: Path) -> SigningKey:
    """Return the key in state_dir/ledger-key, which is made, for the desk's eyes only, if it is not there.

    Each public key that ever was stands in ledger-key.pub, for whoever checks roots.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / KEY
    if not path.exists():
        _write_once(path, os.urandom(_KEY_BYTES).hex().encode() + b"\n")
    text = _text(path).strip()
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != _KEY_BYTES:
        raise LedgerError(f"{path}: is no key of {_KEY_BYTES} bytes in hex: put the saved one back, or remove it")
    key = SigningKey(seed)
    known = state_dir / PUBLIC_KEY
    if not known.exists() or key.public not in read_public_keys(known):
        _append(known, key.public.encode() + b"\n")
    return key


def _write_once(path: Path, content: bytes) -> None:
    """Make the file with all of its content, or not at all: a power cut leaves no half of a key."""
    descriptor, growing = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(growing, path)
    except FileExistsError:
        pass  # another desk was quicker
    finally:
        Path(growing).unlink()


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_public_keys(path: Path) -> frozenset[str]:
    """Return the public keys of a file, one a line in hex; raise LedgerError for a line that is none."""
    lines = [line.split("#")[0].strip() for line in _text(path).splitlines()]
    keys = [line.lower() for line in lines if line]
    for number, key in enumerate(keys, start=1):
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        except ValueError:
            raise LedgerError(f"{path}: key {number} is not 32 bytes in hex: give the desk's {PUBLIC_KEY}") from None
    if not keys:
        raise LedgerError(f"{path}: has no key: give the desk's {PUBLIC_KEY}")
    return frozenset(keys)


def read_roots(path: Path) -> list[RootSigned]:
    """Return the roots of a file, one a line, as the desk appended them; raise LedgerError for a line that is none.

    A last line without its end is none yet (`half_line`): a kill, or a copy taken meanwhile, cut it off.
    """
    found = []
    whole, end, _ = _text(path).rpartition("\n")
    for number, line in enumerate((whole + end).splitlines(), start=1):
        try:
            found.append(_decoder.decode(line))
        except msgspec.DecodeError as error:
            raise LedgerError(
                f"{path}: line {number} is no root ({error}): give a copy of the desk's {ROOTS}"
            ) from None
    return found


def half_line(path: Path) -> str | None:
    """Return what to say of a file whose last line is cut off; None where it is whole."""
    text = _text(path)
    if not text or text.endswith("\n"):
        return None
    number = text.count("\n") + 1
    return (
        f"{path}: line {number} is cut off: a desk was killed while it wrote it, or the copy was taken meanwhile. "
        "The root itself is in the ledger, and the next start of the desk writes the line whole; the other lines count"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: cannot be read ({error})") from error


def add_root(path: Path, root: RootSigned) -> None:
    """Append the root to the file for officers to copy. What a power cut takes of it, the next start appends again."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(root) + b"\n")


def catch_up(path: Path, signed: Iterable[RootSigned]) -> Sequence[RootSigned]:
    """Append those roots of the ledger that the file does not have: the desk was killed between the two."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:  # the last line was cut off
        os.truncate(path, len(whole))
    there = set(whole.splitlines())
    missing = [root for root in signed if msgspec.json.encode(root) not in there]
    for root in missing:
        add_root(path, root)
    return missing


def signed(path: Path) -> list[dict[str, object]]:
    """Return the ledger's roots as its table has them, oldest first."""
    try:
        with closing(read_only(path)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("SELECT * FROM roots ORDER BY seq")]
    except UNREADABLE as error:
        raise LedgerError(f"{path}: the roots cannot be read ({error}): deskctl audit verify tells more") from error


def signed_roots(path: Path) -> list[RootSigned]:
    """Return the ledger's roots, oldest first."""
    try:
        return [msgspec.convert(row, RootSigned) for row in signed(path)]
    except msgspec.ValidationError as error:
        raise LedgerError(
            f"{path}: its table of roots is damaged ({error}): deskctl audit verify tells more"
        ) from error


async def sign_at_rest(path: Path, state_dir: Path, now: datetime) -> RootSigned | None:
    """Sign the ledger of a desk that does not run; None where nothing is unsigned."""
    key = load_key(state_dir)
    async with await LedgerStore.open(path) as ledger:
        newest = signed_roots(path)[-1:]
        if ledger.last_seq <= (newest[0].seq + 1 if newest else 0):
            return None
        day = newest[0].market_day if newest else now.date()
        root = key.sign(day, ledger.last_seq, ledger.last_hash, now)
        await ledger.append([root], project([root], Desk()))
    add_root(state_dir / ROOTS, root)
    return root
