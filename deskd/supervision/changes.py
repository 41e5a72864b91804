"""Sees that a strategy's folder was changed: one that failed is tried again without anybody's command.

Only folders of strategies that do not run are looked at, by names, sizes and times; files are read after a change.
"""

import asyncio
import hashlib
import itertools
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deskd.domain.ids import StrategyId

ENTRIES_MAX = 2_000  # looked at; what has more is no strategy
DEPTH_MAX = 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SKIPPED = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


@dataclass(slots=True, kw_only=True)
class Changes:
    """The stamps of the folders that are watched."""

    every_s: float
    waiting: Callable[[], Mapping[StrategyId, Path]]  # the folders to look at
    on_change: Callable[[StrategyId], Awaitable[None]]
    _seen: dict[StrategyId, bytes] = field(default_factory=dict)  # at the last look
    _told: dict[StrategyId, bytes] = field(default_factory=dict)  # when `on_change` was called last

    async def watch(self) -> None:
        """Look from time to time, until canceled."""
        while True:
            await asyncio.sleep(self.every_s)
            await self.look()

    async def look(self) -> None:
        """Tell of each folder that differs from what was told of, and has not changed since the last look.

        One that changes between two looks is still being written: it is left alone until the next. A folder that is
        new here is told of once: it may have been changed before anybody looked.
        """
        waiting = self.waiting()
        for known in (self._seen, self._told):
            for gone in known.keys() - waiting.keys():
                del known[gone]
        stamps = await asyncio.to_thread(lambda: {one: stamp_of(folder) for one, folder in waiting.items()})
        for strategy_id, stamp in stamps.items():
            before, self._seen[strategy_id] = self._seen.get(strategy_id), stamp
            if stamp == before and stamp != self._told.get(strategy_id):
                self._told[strategy_id] = stamp
                await self.on_change(strategy_id)


def stamp_of(folder: Path) -> bytes:
    """Return what changes when a file of the folder does, without reading any: names, sizes and times, within bounds.

    No link is followed. A folder that cannot be looked at has the stamp of nothing.
    """
    digest = hashlib.sha256()
    try:
        _look(os.open(folder, _FOLDER), digest, ENTRIES_MAX, 1)
    except OSError:
        return b""
    return digest.digest()


def _look(here: int, digest: "hashlib._Hash", room: int, depth: int) -> int:
    """Add what is in the open folder, and close it; return how many more entries may be looked at."""
    try:
        with os.scandir(here) as listed:
            names = sorted(entry.name for entry in itertools.islice(listed, room))
        for name in names:
            if name in _SKIPPED or room <= 0:
                continue
            room -= 1
            facts = os.stat(name, dir_fd=here, follow_symlinks=False)
            digest.update(os.fsencode(name) + b"\0%d %d " % (facts.st_mode, facts.st_ino))
            if stat.S_ISDIR(facts.st_mode):  # its own times change with what is skipped in it
                if depth < DEPTH_MAX:
                    room = _look(os.open(name, _FOLDER, dir_fd=here), digest, room, depth + 1)
            else:
                digest.update(b"%d %d %d\0" % (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))
    finally:
        os.close(here)
    return room
