"""A playbook: a transcript of events in (>>) and effects out (<<), checked when it is asserted."""

from dataclasses import dataclass, field

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain.effects import Effect, Record, Tell
from deskd.domain.events import Event, Fact


@dataclass
class Playbook:
    """`Tell` effects are left out unless a test asks for them: they follow from the facts."""

    desk: Desk
    with_tells: bool = False
    _unclaimed: list[Effect] = field(default_factory=list)

    def __rshift__(self, event: Event) -> "Playbook":
        assert not self._unclaimed, f"nobody expected {self._unclaimed}"
        effects = handle(self.desk, event)
        self._unclaimed = [e for e in effects if self.with_tells or not isinstance(e, Tell)]
        return self

    def __lshift__(self, expected: Effect | type[Fact]) -> "Playbook":
        """Claim the next effect: itself, or the type of the fact that it records."""
        assert self._unclaimed, f"expected {expected}, but the desk did no more"
        actual = self._unclaimed.pop(0)
        if isinstance(expected, type):
            assert isinstance(actual, Record), f"expected {expected.__name__}, got {actual}"
            assert type(actual.fact) is expected, f"expected {expected.__name__}, got {actual.fact}"
        else:
            assert actual == expected, f"\nexpected {expected}\nactual   {actual}"
        return self

    def __bool__(self) -> bool:
        assert not self._unclaimed, f"nobody expected {self._unclaimed}"
        return True
