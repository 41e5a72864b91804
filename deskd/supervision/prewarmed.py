"""Jails that wait: started before anybody asks, so that a start costs what the script costs.

A warm jail is the very jail that its strategy's next run would get: same uid, mounts, limits, descriptors, environment.
Its interpreter is up, and has imported what the script's first lines import of the desk's own environment; then it
waits for one byte on its standard input (sandbox/runner.py). Until that byte it is nobody's run: it has no order
channel, no line of data, and no line of the member's code has run.

Rule 1: what runs is what a cold start would run now. A jail that was made from anything else is thrown away.
Rule 2: a warm jail that is gone is no death: the run starts cold, and says itself what is wrong.
Rule 3: it lies in a cgroup of the desk's, and dies with the thread that started it, as every run.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.strategy import StrategySpec
from deskd.supervision.cgroup import clear
from deskd.supervision.folder import FolderError
from deskd.supervision.launch import EditedMeanwhile, Prepared
from deskd.supervision.process import ended
from deskd.supervision.spawn import Child

WAITS_AT = 4_095  # the page's last byte: 1 has the runner wait, 2 is its word that it does, 0 is what a script sees
GO = b"\n"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """A jail that waits. Whoever holds it starts it or abandons it, as it is with a prepared run."""

    spec: StrategySpec
    prepared: Prepared
    process: Child
    kept: tuple[int, int, int] | None  # which archive its /state is filled from

    @property
    def is_ready(self) -> bool:
        """Say whether it has imported what it will, and waits. One that is not yet can be started all the same."""
        return os.pread(self.prepared.pipes.progress_fd, 1, WAITS_AT) == b"\2"

    def fits(self, spec: StrategySpec) -> bool:
        """Say whether a cold start of *spec* would make this very jail."""
        made_from = (self.spec.code_hash, self.spec.user_id, dict(self.spec.env), self.spec.path)
        is_same = made_from == (spec.code_hash, spec.user_id, dict(spec.env), spec.path)
        return is_same and self.kept == _kept(self.prepared)

    async def start(self) -> Child:
        """Let the script run."""
        os.write(self.prepared.pipes.stdin, GO)  # the first byte of an empty pipe: it never blocks
        return self.process

    async def abandon(self) -> None:
        """End it, where nobody starts it any more; return when nothing of it is left."""
        if self.process.poll() is None:
            self.process.kill()
            await ended(self.process)
        await clear(self.prepared.group)
        self.prepared.abandon()


@dataclass(slots=True, kw_only=True)
class Prewarmed:
    """The desk's warm jails, at most *most* of them. `keep` as a task makes and ends them, one after the other."""

    prepare: Callable[[StrategySpec, RunId], Prepared]  # blocks: it is called in a thread
    most: int
    _warm: dict[StrategyId, Warm] = field(default_factory=dict)
    _wanted: dict[StrategyId, StrategySpec] = field(default_factory=dict)
    _unwanted: list[Warm] = field(default_factory=list)
    _work: asyncio.Event = field(default_factory=asyncio.Event)
    _making: StrategySpec | None = None
    _is_making_wanted: bool = False
    _is_made: asyncio.Event = field(default_factory=asyncio.Event)
    _made: int = 0
    _is_kept: bool = False
    _is_closed: bool = False
    _is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def want(self, spec: StrategySpec) -> None:
        """Have a jail wait for *spec*, which does not run; what waited for it in another form goes."""
        if not self.most or self._is_closed:
            return
        warm = self._warm.get(spec.strategy_id)
        if warm is not None and warm.fits(spec) and warm.process.poll() is None:
            return
        if self._making == spec and self._is_making_wanted:
            return
        self.forget(spec.strategy_id)
        self._wanted[spec.strategy_id] = spec
        self._work.set()

    def forget(self, strategy_id: StrategyId) -> None:
        """Have no jail wait for it any longer."""
        self._wanted.pop(strategy_id, None)
        if self._is_making(strategy_id):
            self._is_making_wanted = False  # it is thrown away when it is made
        if (warm := self._warm.pop(strategy_id, None)) is not None:
            self._throw_away(warm)

    def waiting(self, strategy_id: StrategyId) -> Warm | None:
        """Return the jail that waits for the strategy."""
        return self._warm.get(strategy_id)

    async def take(self, spec: StrategySpec) -> Warm | None:
        """Return the jail that waits for *spec*, if one does; from now on none does. After `close` there is none."""
        self._wanted.pop(spec.strategy_id, None)
        while self._is_making(spec.strategy_id):  # two at once would take the socket's folder from each other
            await self._is_made.wait()
        if self._is_closed:
            return None
        warm = self._warm.pop(spec.strategy_id, None)
        if warm is None:
            return None
        self._work.set()  # there is room for another
        if warm.fits(spec) and warm.process.poll() is None:
            return warm
        await warm.abandon()  # its state and its socket's folder are the run's from here on
        return None

    async def keep(self) -> None:
        """Make what is wanted and end what is not, until `close`; then end all."""
        self._is_kept = True
        while not self._is_closed:
            await self._work.wait()
            self._work.clear()
            await self._end_unwanted()
            while self._wanted and len(self._warm) < self.most and not self._is_closed:
                await self._make(self._wanted.pop(next(iter(self._wanted))))
                await self._end_unwanted()
        self._unwanted += self._warm.values()
        self._warm.clear()
        await self._end_unwanted()
        self._is_over.set()

    async def close(self) -> None:
        """End all, and make none again; return when they are gone. Safe to call twice, and where nobody keeps them."""
        if not self._is_closed:
            self._is_closed = True
            self._wanted.clear()
            self._work.set()
        if self._is_kept:
            await self._is_over.wait()

    async def _make(self, spec: StrategySpec) -> None:
        """Start the jail, and do not wait for it: a start may overtake its imports."""
        self._making, self._is_making_wanted = spec, True
        self._is_made.clear()
        self._made += 1
        try:
            prepared = await asyncio.to_thread(self.prepare, spec, RunId(f"{spec.strategy_id}.warm.{self._made}"))
            warm = await _started(spec, prepared)
            if self._is_making_wanted:
                self._warm[spec.strategy_id] = warm
            else:
                self._throw_away(warm)
        except (OSError, SandboxUnavailable, FolderError, EditedMeanwhile) as error:
            log.warning("not_prewarmed", strategy_id=spec.strategy_id, error=str(error) or "its folder was edited")
        finally:
            self._making = None
            self._is_made.set()

    def _throw_away(self, warm: Warm) -> None:
        self._unwanted.append(warm)
        self._work.set()

    def _is_making(self, strategy_id: StrategyId) -> bool:
        return self._making is not None and self._making.strategy_id == strategy_id

    async def _end_unwanted(self) -> None:
        while self._unwanted:
            await self._unwanted.pop().abandon()


async def _started(spec: StrategySpec, prepared: Prepared) -> Warm:
    try:
        os.pwrite(prepared.pipes.progress_fd, b"\1", WAITS_AT)
        process = await prepared.start()
    except BaseException:
        prepared.abandon()
        raise
    return Warm(spec=spec, prepared=prepared, process=process, kept=_kept(prepared))


def _kept(prepared: Prepared) -> tuple[int, int, int] | None:
    """Return which file /state is kept in: an officer may put another there, or none."""
    try:
        found = prepared.state.file.stat() if prepared.state is not None else None
    except FileNotFoundError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)
