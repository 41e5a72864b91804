"""Picks up folders that somebody put into strategies_dir, or changed there, where `[strategies] pick_up_after_s` says so.

Rule 1: a folder is left alone until nothing in it has changed for that long: it may still be being written.
Rule 2: what fails a check changes nothing: what runs, runs on; it is said once for each change.
Rule 3: what is new is started where it is enabled; what runs is restarted where its code or config is another; what
        somebody stopped stays so. One that failed, or waits for its next try, is tried again anyway (changes.py).
Rule 4: new code never trades in a looser stage than `pick_up_stage`, nor in a looser one than somebody gave it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NoReturn, Protocol

import structlog

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.events import CommandGiven, StageChanged
from deskd.domain.ids import StrategyId
from deskd.domain.run import RunStatus
from deskd.domain.stage import Stage
from deskd.domain.strategy import BrokenStrategy, Liveness, StrategySpec
from deskd.ports import Clock
from deskd.supervision.changes import stamp_of
from deskd.supervision.discovery import folders_in

BY = "pick-up"
EVERY_MAX_S = 2.0  # between two looks
_NO_STAMP = b""  # of a link, or of what cannot be looked at
_AT_WORK = frozenset({RunStatus.STARTING, RunStatus.RUNNING})

log = structlog.get_logger()


class Strategies(Protocol):
    """What a pick-up needs of the supervisor."""

    def strategies(self) -> Sequence[StrategySpec | BrokenStrategy]:
        """Return what lies in strategies_dir, as last read."""

    async def examine(self, folder: Path) -> StrategySpec | BrokenStrategy:
        """Return what the folder holds, checked as at a start."""

    async def reread(self) -> None:
        """Read strategies_dir anew."""

    async def start(self, strategy_id: StrategyId) -> None:
        """Start it."""

    async def restart(self, strategy_id: StrategyId) -> None:
        """Stop it, and start it again."""

    def status(self, strategy_id: StrategyId) -> RunStatus:
        """Return where its process is."""

    def liveness(self, strategy_id: StrategyId) -> Liveness | None:
        """Return what is known of its present run; None where there is none."""


@dataclass(slots=True)
class _Look:
    stamp: bytes
    since: float  # it is so since then
    is_told: bool = False


@dataclass(slots=True, kw_only=True)
class PickUp:
    """One task of the desk."""

    strategies_dir: Path
    after: timedelta
    stage: Stage
    runs: Strategies
    stage_of: Callable[[StrategyId], Stage]
    keep: Callable[[CommandGiven | StageChanged], Awaitable[None]]  # returns when it is on disk
    clock: Clock
    _seen: dict[StrategyId, _Look] = field(default_factory=dict)

    async def run(self) -> NoReturn:
        """Look until canceled. What lies there at first was read by the start."""
        known = {found.strategy_id for found in self.runs.strategies()}
        for name, stamp in (await self._stamps()).items():
            self._seen[name] = _Look(stamp, self.clock.monotonic(), is_told=name in known)
        while True:
            await asyncio.sleep(min(self.after.total_seconds() / 2, EVERY_MAX_S))
            await self.look()

    async def look(self) -> None:
        """Pick up each folder that changed, and has been quiet since for long enough."""
        stamps = await self._stamps()
        for gone in self._seen.keys() - stamps.keys():
            del self._seen[gone]
        now = self.clock.monotonic()
        for name, stamp in stamps.items():
            seen = self._seen.get(name)
            if seen is None or seen.stamp != stamp:
                self._seen[name] = _Look(stamp, now)
            elif not seen.is_told and now - seen.since >= self.after.total_seconds():
                seen.is_told = True
                await self._take(name)

    async def _stamps(self) -> dict[StrategyId, bytes]:
        try:
            return await asyncio.to_thread(self._stamp_all)
        except SandboxUnavailable as problem:
            log.warning("folders_not_looked_at", problem=str(problem))
            return {name: seen.stamp for name, seen in self._seen.items()}

    def _stamp_all(self) -> dict[StrategyId, bytes]:
        whole = [folder for folder in folders_in(self.strategies_dir) if (folder / "strategy.py").exists()]
        stamps = {StrategyId(folder.name): stamp_of(folder) for folder in whole}
        return {name: stamp for name, stamp in stamps.items() if stamp != _NO_STAMP}

    async def _take(self, name: StrategyId) -> None:
        is_new = name not in {found.strategy_id for found in self.runs.strategies()}
        found = await self.runs.examine(self.strategies_dir / name)
        if isinstance(found, BrokenStrategy):
            consequence = "what runs, runs on" if not is_new else "it is not started"
            log.warning("folder_not_picked_up", strategy_id=name, problem=found.problem, consequence=consequence)
            return
        await self.runs.reread()
        if is_new and found.is_enabled:
            await self._note(found, "start")
            await self.runs.start(name)
        elif self.runs.status(name) in _AT_WORK:
            live = self.runs.liveness(name)
            if live is not None and live.is_outdated:
                await self._note(found, "restart")
                await self.runs.restart(name)

    async def _note(self, found: StrategySpec, what: str) -> None:
        """Have what is done on record before it is, and the stricter of the two stages hold before new code runs."""
        name, at = found.strategy_id, self.clock.now()
        why = f"{found.code_hash[:12]} lay in its folder"
        log.info("folder_picked_up", strategy_id=name, code_hash=found.code_hash, consequence=f"{what}ed")
        await self.keep(CommandGiven(by=BY, command=what, arguments=f"{name}: {why}", at=at))
        if self.stage_of(name).is_looser_than(self.stage):
            await self.keep(StageChanged(strategy_id=name, stage=self.stage, by=BY, why=f"pick-up: {why}", at=at))
