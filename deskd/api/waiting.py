"""How long a run waits for the desk, as the desk sees it: its requests that are in the desk's hands.

1. Only the desk's own time counts: what somebody waits who asked too often is his own doing (connection.py has him wait).
2. A question counts as unanswered only once it lay here for nearly as long as a client waits for it. A strategy cannot
   make that happen by itself: nothing that is answered at once lies here at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from deskd.domain.strategy import DeskWait
from deskd.ports import Clock

PATIENCE_S = 10.0  # of desk_client, for the answer to a question; then it raises DeskUnavailable
_ON_THE_WAY_S = 0.5  # of them, at most, until the desk has the question


@dataclass(slots=True)
class Waiting:
    """The requests of one run."""

    clock: Clock
    _in_hand: int = 0
    _since: float = 0.0  # any is
    _waited_s: float = 0.0  # before that
    _asked: list[float] = field(default_factory=list)  # when each question that is in hand came
    _unanswered_at: float | None = None

    @contextmanager
    def one(self, *, is_question: bool) -> Iterator[None]:
        """Count a request while the desk has it; *is_question*: it asks to know something, and can be asked again."""
        began = self.clock.monotonic()
        if not self._in_hand:
            self._since = began
        self._in_hand += 1
        if is_question:
            self._asked.append(began)
        try:
            yield
        finally:
            now = self.clock.monotonic()
            self._in_hand -= 1
            if not self._in_hand:
                self._waited_s += now - self._since
            if is_question:
                self._asked.remove(began)
                self._unanswered_at = _later(self._unanswered_at, _given_up_at(began, now))

    def so_far(self) -> DeskWait:
        """Return what it waited until now."""
        now = self.clock.monotonic()
        waited_s, unanswered_at = self._waited_s, self._unanswered_at
        if self._in_hand:
            waited_s += now - self._since
        for began in self._asked:
            unanswered_at = _later(unanswered_at, _given_up_at(began, now))
        ago = None if unanswered_at is None else timedelta(seconds=now - unanswered_at)
        return DeskWait(total=timedelta(seconds=waited_s), unanswered_ago=ago)


def _given_up_at(began: float, now: float) -> float | None:
    """Return when who asked stopped waiting; None where he did not have to."""
    patience_s = PATIENCE_S - _ON_THE_WAY_S
    return began + patience_s if now - began >= patience_s else None


def _later(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)
