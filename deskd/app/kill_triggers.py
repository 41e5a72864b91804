"""What pulls the desk's kill from outside the control socket: a file named KILL, and a signal.

Rule 1: as long as the file is there the desk is killed, also when it starts: taking the file away releases nothing.
Rule 2: a file that cannot be read counts: whoever made it meant it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

from deskd.core.kills import Kills
from deskd.domain import events as ev
from deskd.domain.kill import THE_DESK, KillCause, KillDepth
from deskd.ports import Clock

KILL_FILE = "KILL"
LOOK_EVERY_S = 0.5  # two stat calls
REASON_MAX = 1_000  # characters of the file that are kept
NO_REASON = "no reason was given"

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class KillTriggers:
    """Looks for the file, and hears the signal."""

    folders: Sequence[Path]
    depth: KillDepth
    kills: Kills
    post: Callable[[ev.KillEngaged], Awaitable[None]]
    wall: Clock
    look_every_s: float = LOOK_EVERY_S

    async def run(self) -> NoReturn:
        """Look for the file until canceled."""
        while True:
            await self.look()
            await asyncio.sleep(self.look_every_s)

    async def look(self) -> None:
        """Pull the desk's kill where the file is there."""
        file = self.file()
        if file is not None and not self._is_pulled():
            await self._pull(KillCause.FILE, f"the file {file}", await asyncio.to_thread(reason_in, file))

    def file(self) -> Path | None:
        """Return the file, where there is one."""
        return next((folder / KILL_FILE for folder in self.folders if _exists(folder / KILL_FILE)), None)

    async def on_signal(self, name: str) -> None:
        """Pull the desk's kill because of a signal to the process."""
        if not self._is_pulled():
            await self._pull(KillCause.SIGNAL, name, f"the process got {name}")

    def _is_pulled(self) -> bool:
        known = self.kills.in_force.get(THE_DESK)
        return known is not None and known.depth.reaches(self.depth)

    async def _pull(self, cause: KillCause, by: str, reason: str) -> None:
        kill = ev.KillEngaged(target=THE_DESK, depth=self.depth, cause=cause, by=by, reason=reason, at=self.wall.now())
        await self.post(kill)


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return False  # the folder itself cannot be looked into: the desk would not run
    return True


def reason_in(file: Path) -> str:
    """Return what the file says, as one line."""
    try:
        with file.open("rb") as opened:
            text = opened.read(4 * REASON_MAX).decode(errors="replace")
    except OSError as error:
        return f"{NO_REASON}: the file cannot be read ({error.strerror})"
    return " ".join(text.split())[:REASON_MAX] or NO_REASON
