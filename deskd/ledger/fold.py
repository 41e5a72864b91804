"""The desk's fold as bytes and back: every compared field of Desk, whatever it is made of.

Rule 1: generic over the fields. What the desk compares is its fold, and is kept; what it does not compare is input.
Rule 2: the same fold gives the same bytes: dicts keep their order, sets are sorted. So two folds are compared by hash.
Rule 3: other code never reads it: `fingerprint` names the sources that fold, and those that decode.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, get_type_hints

import msgspec

from deskd.core.desk import Desk

_SOURCES = ("deskd.domain", "deskd.core", "deskd.ledger")  # who folds, and who reads facts and folds

_encoder = msgspec.msgpack.Encoder()
_parts = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])


def encode(desk: Desk) -> bytes:
    """Return the desk's fold; equal desks give equal bytes."""
    return _encoder.encode({name: _steady(getattr(desk, name)) for name in _decoders()})


def decode(body: bytes | memoryview) -> Desk:
    """Return the desk whose fold this is; raise ValueError where it is none of this program's."""
    parts = _parts.decode(body)
    decoders = _decoders()
    if parts.keys() != decoders.keys():
        raise ValueError(f"its fields are not the desk's: {sorted(parts.keys() ^ decoders.keys())}")
    return Desk(**{name: decoder.decode(parts[name]) for name, decoder in decoders.items()})


@cache
def fingerprint() -> str:
    """Return what tells this program's folding from any other's: the hash of its sources."""
    digest = hashlib.sha256(msgspec.__version__.encode())
    for room in _SOURCES:
        for path, source in _sources_of(resources.files(room), room):
            digest.update(f"\n{path}\n".encode() + source.read_bytes())
    return digest.hexdigest()


def _sources_of(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    """Yield every source below the folder, those of rooms within the room among them."""
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            yield from _sources_of(entry, f"{path}/{entry.name}")
        elif entry.name.endswith(".py"):
            yield f"{path}/{entry.name}", entry


@cache
def _decoders() -> Mapping[str, msgspec.msgpack.Decoder[Any]]:
    hints = get_type_hints(Desk)
    return {f.name: msgspec.msgpack.Decoder(hints[f.name]) for f in fields(Desk) if f.compare}


def _steady(value: Any) -> Any:
    """Return *value* for the encoder: sets in one order, and of a part that changes what it compares."""
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value, key=_encoder.encode)
    if is_dataclass(value) and type(value).__hash__ is None:  # it changes: what is frozen has a hash
        return {f.name: _steady(getattr(value, f.name)) for f in fields(value) if f.compare}
    return value  # what is frozen is kept whole, with its defaults: msgspec reads it twice as fast as with gaps
