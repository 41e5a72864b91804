"""Who may be started now: a few runs at a time, in the order in which they asked.

A start costs a core some 30 ms. Fifty that come at once, after a crash of the desk or in crash loops, would take the
cores from those that run. A turn lasts until the script is reached: what it then does is bounded by its cgroup.
"""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


class Launches:
    """Hands out turns, first come first served."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)  # wakes those who wait in their order
        self.under_way = 0

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

    async def __aenter__(self) -> Self:
        """Wait in line."""
        await self.launches.take()
        self._is_held = True
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
            self.launches.give_back()
