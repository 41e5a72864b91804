"""One entry of the ledger: a fact, and where it stands."""

from dataclasses import dataclass

from deskd.domain.events import Fact


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact as it was committed."""

    seq: int
    hash: str
    fact: Fact
