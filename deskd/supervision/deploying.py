"""Brings a version of a strategy into use: checked, kept, switched, started; each step on record, with who.

Rule 1: what fails a check changes nothing.
Rule 2: the choice is a fact before the folder is switched.
Rule 3: packages of its own are built on the way, where an officer deploys: members cause no download.
Rule 4: a stricter stage holds before the new code runs, a looser one after the old code ended: no code ever trades in
        a stage that was not meant for it, whenever the desk is killed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from deskd.domain.events import StageChanged, VersionChosen
from deskd.domain.ids import StrategyId
from deskd.domain.run import RunStatus
from deskd.domain.stage import Stage
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.ports import Clock
from deskd.supervision.versions import AT_WORK, CannotDeploy, Files, Versions

type Allow = Callable[[StrategySpec], None]  # raises where who deploys it may not


class Strategies(Protocol):
    """What a deployment needs of the supervisor."""

    def strategies(self) -> Sequence[StrategySpec | BrokenStrategy]:
        """Return what lies in strategies_dir, as last read."""

    async def examine(self, folder: Path) -> StrategySpec | BrokenStrategy:
        """Return what the folder holds, checked as at a start."""

    async def is_to_be_built(self, folder: Path) -> bool:
        """Return whether the folder asks for packages that officers let be built, and that are not yet."""

    async def build(self, strategy_id: StrategyId, folder: Path) -> str:
        """Build what the folder's requirements.txt asks for; raise ValueError with the remedy."""

    async def reread(self) -> None:
        """Read strategies_dir anew."""

    async def start(self, strategy_id: StrategyId) -> None:
        """Start it."""

    async def restart(self, strategy_id: StrategyId) -> None:
        """Stop it, and start it again."""

    def status(self, strategy_id: StrategyId) -> RunStatus:
        """Return where its process is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What came of it."""

    strategy_id: StrategyId
    code_hash: str
    previous: str  # empty: there was none
    stage: Stage
    is_started: bool


@dataclass(slots=True, kw_only=True)
class Deployer:
    """Deploys, and rolls back; one at a time."""

    versions: Versions
    runs: Strategies
    clock: Clock
    keep: Callable[[VersionChosen | StageChanged], Awaitable[None]]  # returns when it is on disk
    stage_of: Callable[[StrategyId], Stage]
    chosen: Mapping[StrategyId, Sequence[VersionChosen]]  # the newest last
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def deploy(
        self,
        name: StrategyId,
        files: Files,
        *,
        by: str,
        allow: Allow,
        stage: Stage | None = None,
        how: str = "deploy",
        builds: bool = False,
    ) -> Deployed:
        """Bring the files into use as the strategy *name*; raise CannotDeploy, and leave all as it was.

        What ran runs with them when this returns, and what is new is started, if it is enabled. *builds*: who deploys
        may have packages fetched.
        """
        if self._turn.locked():
            raise CannotDeploy("another version is being deployed: try again when that is done")
        async with self._turn:
            try:
                fresh = await asyncio.to_thread(self.versions.lay_out, name, files)
                await self._built(name, fresh, builds=builds)
                spec = await self.runs.examine(fresh)
                if isinstance(spec, BrokenStrategy):
                    raise CannotDeploy(spec.problem.replace(f"{self.versions.strategies_dir / AT_WORK}/", ""))
                allow(spec)
                return await self._bring(spec, files, fresh, by=by, stage=stage, how=how)
            finally:
                await asyncio.to_thread(self.versions.sweep)

    async def _built(self, name: StrategyId, fresh: Path, *, builds: bool) -> None:
        """Have the packages that the version asks for, or say who can have them built."""
        if not await self.runs.is_to_be_built(fresh):
            return
        if not builds:
            raise CannotDeploy(
                f"{name}/requirements.txt: asks for packages that are not built here, and fetching them is an officer's "
                f"to do: ask one for `deskctl deploy DIR`, which builds them"
            )
        try:
            await self.runs.build(name, fresh)
        except ValueError as problem:
            raise CannotDeploy(f"{name}: its packages cannot be built: {problem}") from None

    async def listed(self, name: StrategyId) -> list[Mapping[str, object]]:
        """Return what is kept of the strategy, the newest first: which lies there now, and who chose each last."""
        kept = await asyncio.to_thread(self.versions.kept, name)
        present = await asyncio.to_thread(self.versions.present, name)
        now = None if present is None else present[1]
        last = {fact.code_hash: fact for fact in self.chosen.get(name, ())}
        rows: list[Mapping[str, object]] = []
        if now is not None and now not in {version.code_hash for version in kept}:
            rows.append(_row(now, None, None, is_present=True))
        return rows + [
            _row(one.code_hash, one.kept_at, last.get(one.code_hash), is_present=one.code_hash == now) for one in kept
        ]

    async def rollback(
        self, name: StrategyId, typed: str | None, *, by: str, allow: Allow, builds: bool = False
    ) -> Deployed:
        """Bring back the version before the present one, or that whose hash begins so."""
        wanted = await asyncio.to_thread(self._wanted, name, typed)
        files = await asyncio.to_thread(self.versions.files_of, name, wanted)
        return await self.deploy(name, files, by=by, allow=allow, how="rollback", builds=builds)

    def _wanted(self, name: StrategyId, typed: str | None) -> str:
        kept = [version.code_hash for version in self.versions.kept(name)]
        if typed is not None:
            begun = [one for one in kept if one.startswith(typed)]
            if len(begun) == 1:
                return begun[0]
            what = "several versions" if begun else "no version"
            raise CannotDeploy(f"{what} of {name} begin with {typed!r}: `deskctl versions {name}` lists them")
        present = self.versions.present(name)
        now = None if present is None else present[1]
        for one in before(self.chosen.get(name, ()), now):
            if one in kept:
                return one
        raise CannotDeploy(
            f"there is no version of {name} before this one: `deskctl versions {name}` lists what is kept"
        )

    async def _bring(
        self, spec: StrategySpec, files: Files, fresh: Path, *, by: str, stage: Stage | None, how: str
    ) -> Deployed:
        name = spec.strategy_id
        known = {found.strategy_id for found in self.runs.strategies()}
        runs_now = name in known and self.runs.status(name) is not RunStatus.STOPPED
        previous = await asyncio.to_thread(self._keep_both, spec, files)
        wanted = stage or self.stage_of(name)
        at = self.clock.now()
        staged = StageChanged(strategy_id=name, stage=wanted, by=by, why=f"{how} {spec.code_hash[:12]}", at=at)
        is_looser = wanted.is_looser_than(self.stage_of(name))
        if not is_looser and stage is not None:
            await self.keep(staged)
        if previous != spec.code_hash:
            await self.keep(
                VersionChosen(strategy_id=name, code_hash=spec.code_hash, previous=previous, how=how, by=by, at=at)
            )
            try:
                await asyncio.to_thread(self.versions.switch, fresh)
            except OSError as error:
                raise CannotDeploy(f"{name}: cannot be put into its place ({error.strerror}): mend the disk") from error
        await self.runs.reread()
        is_started = runs_now or (name not in known and spec.is_enabled)
        if runs_now:
            await self.runs.restart(name)
        if is_looser:
            await self.keep(staged)
        if is_started and not runs_now:
            await self.runs.start(name)
        return Deployed(
            strategy_id=name, code_hash=spec.code_hash, previous=previous, stage=wanted, is_started=is_started
        )

    def _keep_both(self, spec: StrategySpec, files: Files) -> str:
        """Keep what is there and what is to come; return the hash of what is there."""
        name, present = spec.strategy_id, self.versions.present(spec.strategy_id)
        try:
            if present is not None:
                self.versions.keep(name, *present)
            self.versions.keep(name, files, spec.code_hash)
            self.versions.prune(name, present=spec.code_hash)
        except OSError as error:
            raise CannotDeploy(f"{self.versions.root}: cannot be written ({error.strerror}): free the disk") from error
        return "" if present is None else present[1]


def _row(
    code_hash: str, kept_at: datetime | None, chosen: VersionChosen | None, *, is_present: bool
) -> Mapping[str, object]:
    return {
        "code_hash": code_hash,
        "present": is_present,
        "kept_at": None if kept_at is None else kept_at.isoformat(),
        "chosen_at": None if chosen is None else chosen.at.isoformat(),
        "how": None if chosen is None else chosen.how,
        "by": None if chosen is None else chosen.by,
    }


def before(chosen: Sequence[VersionChosen], now: str | None) -> list[str]:
    """Return the versions that lay there before the one that does *now*, the latest first.

    A choice is recorded before the folder is switched, so the last may not have come true; and somebody may have
    edited the folder by hand.
    """
    lay = [one for fact in chosen for one in (fact.previous, fact.code_hash) if one]
    if now in lay:
        last = max(place for place, one in enumerate(lay) if one == now)
        lay = lay[:last]
    return [one for one in reversed(lay) if one != now]
