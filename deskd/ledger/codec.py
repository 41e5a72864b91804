"""Facts and their stored form: a kind, a JSON body, and a hash that chains each entry to the one before.

The stored form is for ever: a field is only ever added with a default; a meaning never changes.
"""

import hashlib
from datetime import datetime
from typing import get_args

import msgspec

from deskd.domain import events as ev
from deskd.domain.errors import LedgerError

GENESIS = "0" * 64  # the prev_hash of the first entry


def _kinds() -> dict[str, type[ev.Fact]]:
    members = [*get_args(ev.Fact.__value__), *get_args(ev.OrderFact.__value__)]
    return {member.__name__: member for member in members if isinstance(member, type)}


KINDS = _kinds()
_DECODERS = {kind: msgspec.json.Decoder(fact_type) for kind, fact_type in KINDS.items()}
_encoder = msgspec.json.Encoder()


def encode(fact: ev.Fact) -> tuple[str, str]:
    """Return the fact's kind and JSON body."""
    return type(fact).__name__, _encoder.encode(fact).decode()


def decode(kind: str, body: str) -> ev.Fact:
    """Return the fact; raise LedgerError for a kind or body that this program does not know."""
    try:
        fact: ev.Fact = _DECODERS[kind].decode(body)
    except KeyError:
        raise LedgerError(f"fact kind {kind!r} is unknown: the ledger was written by a newer deskd") from None
    except (msgspec.DecodeError, TypeError) as error:  # no JSON, not of this kind's form, or no text at all
        raise LedgerError(f"fact {kind} cannot be read: {error}") from error
    return fact


def stamp(at: datetime) -> str:
    """Return RFC 3339 in UTC with microseconds: a fixed width, so that texts sort as times do."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def chain(prev_hash: str, seq: int, at: str, kind: str, body: str) -> str:
    """Return the entry's hash: SHA-256 over the hash before it and every stored field, a line each."""
    return hashlib.sha256(f"{prev_hash}\n{seq}\n{at}\n{kind}\n{body}".encode()).hexdigest()
