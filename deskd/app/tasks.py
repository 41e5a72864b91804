"""The desk's tasks: each has a name, and a crash of any ends them all."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Tasks:
    """What the desk runs beside itself, in one group."""

    group: asyncio.TaskGroup
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start *work*, where the group is not ending."""
        task = begun_in(self.group, work, name)
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def cancel(self) -> None:
        """Ask all of them to end."""
        for task in tuple(self._running):
            task.cancel()


def begun_in(group: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
    """Start *work* as a task of the group; None where the group is ending: what ended it must stay the first error."""
    try:
        return group.create_task(work, name=name)
    except RuntimeError:
        work.close()
        return None
