"""An entry is whole or it is not, and what is wrong with it has a name."""

from pathlib import Path

import pytest

from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger import codec
from deskd.ledger.chain import Chain, Damage, Entry, of_entry
from tests.factories import NOON


def an_entry(seq: int = 1, prev_hash: str = codec.GENESIS, **overrides: str) -> Entry:
    """Return an entry that is whole but for *overrides*, which its hash covers."""
    kind, body = codec.encode(ev.DeskStopped(at=NOON))
    fields = {"at": codec.stamp(NOON), "kind": kind, "body": body} | overrides
    return Entry(seq=seq, prev_hash=prev_hash, hash=codec.chain(prev_hash, seq, **fields), **fields)


def test_whole_entries_are_facts() -> None:
    """One after the other."""
    chain = Chain()
    first = an_entry()
    assert chain.take(first) == ev.DeskStopped(at=NOON)
    assert chain.take(an_entry(2, first.hash)) == ev.DeskStopped(at=NOON)
    assert (chain.seq, chain.hash) == (2, an_entry(2, first.hash).hash)


@pytest.mark.parametrize(
    ("entry", "column", "actual"),
    [
        (an_entry(2), None, "none: the next is seq=2"),
        (an_entry(prev_hash="1" * 64), "prev_hash", "1" * 64),
        (an_entry()._replace(hash="1" * 64), "hash", "1" * 64),
        (an_entry()._replace(body="{}"), "hash", an_entry().hash),
        (an_entry(kind="MoonLanded"), "kind", "fact kind 'MoonLanded' is unknown"),
        (an_entry(body="{}"), "body", "fact DeskStopped cannot be read"),
        (an_entry(at="2030-01-01T00:00:00.000000Z"), "at", "2030-01-01T00:00:00.000000Z"),
    ],
    ids=["gap", "prev_hash", "hash", "content", "kind", "body", "at"],
)
def test_what_is_wrong_with_an_entry_is_named(entry: Entry, column: str | None, actual: str) -> None:
    """Even of one whose hash was made anew; the chain stays where it was."""
    chain = Chain()
    found = chain.take(entry)
    assert isinstance(found, Damage)
    assert (found.table, found.key, found.column) == ("facts", "seq=1", column)
    assert actual in found.actual
    assert chain == Chain()


def test_damage_reads_as_one_line() -> None:
    """Place, what was to be there, what is."""
    assert str(of_entry(5, "at", "noon", "midnight")) == "facts seq=5 at: expected noon, actual midnight"


def test_a_tail_is_checked_from_the_entry_that_it_follows() -> None:
    """Number and hash of the last known entry are enough to go on from; what does not follow it is refused by name."""
    first = an_entry()
    here = Path("desk.db")
    assert Chain(1, first.hash).fact(an_entry(2, first.hash), here) == ev.DeskStopped(at=NOON)
    for wrong in (an_entry(2), an_entry(3, first.hash)):
        with pytest.raises(LedgerError, match=r"desk\.db: entry 2 is not what the desk wrote.*restore a backup"):
            Chain(1, first.hash).fact(wrong, here)
