"""What one comparison of the books with the broker brought."""

from dataclasses import dataclass

from deskd.domain.events import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The facts that were recorded because of it, or why the broker could not be asked."""

    facts: tuple[Fact, ...] = ()
    problem: str | None = None
