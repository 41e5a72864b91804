"""Who may be started now: a few runs at a time, in the order in which they asked.

A start costs a core some 30 ms. Fifty that come at once, after a crash of the desk or in crash loops, would take the
cores from those that run. A turn lasts until the script is reached: what it then does is bounded by its cgroup.

And who died comes back at a pace: a few at once, then one after the other, with a rest that others have the cores for. One
that crashes alone waits for its back-off only; fifty in crash loops come back over ten seconds.
"""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

AT_ONCE = 5  # that died come back without a rest between them
EVERY_S = 0.2  # from one to the next: a start is some 40 ms of work, a tenth of two cores goes into starting again
EVERY_MAX_S = 0.5  # where a start takes longer than EVERY_S the next one waits for its end, but not for one that hangs


@dataclass(slots=True)
class Pace:
    """How long one that died waits for the others that did. A bucket of tries."""

    _every_s: float = EVERY_S
    _full_at: float = 0.0

    def note(self, took_s: float) -> None:
        """Go by how long the last start took: a machine that is short of cores is given time for each."""
        self._every_s = min(max(EVERY_S, took_s), EVERY_MAX_S)

    def wait_s(self, now: float) -> float:
        """Return how long the next one has to wait, and count it."""
        self._full_at = max(self._full_at, now) + self._every_s
        return max(0.0, self._full_at - now - AT_ONCE * self._every_s)


class Launches:
    """Hands out turns, first come first served."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)  # wakes those who wait in their order
        self.under_way = 0
        self.again = Pace()

    def turn(self) -> "Turn":
        """Return a turn to wait for, as `async with`."""
        return Turn(self)

    async def take(self) -> None:
        """Wait for one."""
        await self._free.acquire()
        self.under_way += 1

    def give_back(self) -> None:
        """Let the next one have it."""
        self.under_way -= 1
        self._free.release()


@dataclass(slots=True)
class Turn:
    """One start's turn: over at the end of the block, or before it with `end`."""

    launches: Launches
    _is_held: bool = field(default=False, init=False)
    _began: float = field(default=0.0, init=False)

    async def __aenter__(self) -> Self:
        """Wait in line."""
        await self.launches.take()
        self._is_held = True
        self._began = asyncio.get_running_loop().time()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, however the block ended."""
        self.end()

    def end(self) -> None:
        """Let the next one start. A second call does nothing."""
        if self._is_held:
            self._is_held = False
            self.launches.again.note(asyncio.get_running_loop().time() - self._began)
            self.launches.give_back()
