"""Keeps every strategy's process as somebody wishes it: started, restarted after a wait, stopped, given up.

One keeper task per strategy that is to run, one task group per run: what goes wrong with one ends that one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path, PurePosixPath

import structlog

from deskd.config import Config
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.events import PlainFact, RunEnded, RunStarted, StrategyRegistered
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.run import ExitReason, RunEnd, RunStatus, StrategyStatus
from deskd.domain.strategy import NOTHING, AtWork, BrokenStrategy, Liveness, StrategySpec
from deskd.domain.streak import Streak
from deskd.domain.streak import after_end as streak_after
from deskd.ports import Clock, Doors, Feeds
from deskd.supervision.changes import Changes
from deskd.supervision.discovery import Defaults, discover, discover_one
from deskd.supervision.door_test import DoorTest
from deskd.supervision.ending import Asked
from deskd.supervision.environment import BUILD_COMMAND, described
from deskd.supervision.folder import FolderError, read_folder
from deskd.supervision.kept import Kept
from deskd.supervision.launch import Launcher
from deskd.supervision.launches import Launches
from deskd.supervision.lifecycle import FAULTS_MANY, Step, after_end, backoff, counted_anew, step, went_well
from deskd.supervision.ownership import Owners
from deskd.supervision.prewarmed import Prewarmed
from deskd.supervision.prints import Printing
from deskd.supervision.requirements import FILE as REQUIREMENTS
from deskd.supervision.requirements import prune_unused
from deskd.supervision.requirements_build import CannotBuild, build_for
from deskd.supervision.run import Counts, Run
from deskd.supervision.running import Hands, log_path
from deskd.supervision.set_up import SetUp
from deskd.supervision.syntax import SyntaxCheck
from deskd.supervision.telling import Telling, given_up
from deskd.supervision.watcher import Watcher

_OVER = frozenset({RunStatus.STOPPED, RunStatus.FATAL})  # whoever keeps it only writes down how it ended
_BY_HAND, _CHANGED = "started", "its code or config changed"  # why a strategy's deaths are forgotten

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """The strategies and their runs (satisfies ports.Runs). `open`, then `run` as a task, then `close`."""

    config: Config
    clock: Clock
    jitter: Callable[[], float]  # from 0 to 1
    feeds: Feeds
    doors: Doors
    counts: Counts
    post: Callable[[PlainFact], Awaitable[None]]
    registered: Callable[[StrategyId], StrategyRegistered | None]  # as the ledger has it
    on_spec: Callable[[StrategySpec], None]  # a strategy was read, or read anew: its limits may have changed
    past: Callable[[StrategyId], Streak | None] = lambda _: None  # the deaths that the ledger remembers
    prints: Printing | None = None  # where prints go beside the strategies' own logs
    hide: Callable[[str], str] = str  # the desk's secrets
    login: Callable[[int], str | None] = lambda _: None  # a member's, by uid; None: nobody's, or an officer's
    launcher: Launcher = field(init=False)
    prewarmed: Prewarmed = field(init=False)
    launches: Launches = field(init=False)
    _syntax: SyntaxCheck = field(init=False)
    _is_open: bool = False
    _can_read: asyncio.Event = field(default_factory=asyncio.Event)  # what lies in strategies_dir: after `open`
    _kept: dict[StrategyId, Kept] = field(default_factory=dict)
    _here: frozenset[StrategyId] = frozenset()  # in strategies_dir, as last read: what runs on may be gone
    _building: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _is_stopping: bool = False
    _runs_made: int = 0
    _changes: Changes = field(init=False)
    _watching: "asyncio.Task[None] | None" = None

    def __post_init__(self) -> None:
        self.launches = Launches(self.config.restart.launches_max)
        self._changes = Changes(
            every_s=self.config.restart.watch_s, waiting=self._not_running, on_change=self._on_change
        )
        self.prewarmed = Prewarmed(
            prepare=lambda spec, name: self.launcher.prepare(spec, name),  # noqa: PLW0108  it is there after `open`
            most=self.config.sandbox.prewarmed,
        )

    async def open(self) -> None:
        """Prepare the jails, end what an earlier desk left, find strategies; raise SandboxUnavailable with a remedy."""
        self.launcher = await asyncio.to_thread(Launcher.open, self.config)
        self._is_open = True
        self._say_packages()
        self._syntax = SyntaxCheck(self.launcher.environment.interpreter)
        self._can_read.set()
        await self.reread()

    def take(self, config: Config) -> None:
        """Go by these settings: bounds of jails from each strategy's next start, all else at once."""
        has_other_jails = config.sandbox != self.config.sandbox
        self.config = config
        if self._is_open and has_other_jails:
            self.launcher = replace(self.launcher, section=config.sandbox)
            for strategy_id in self._kept:
                self.prewarmed.forget(strategy_id)  # the next look at the folder has them made anew

    def set_up(self) -> SetUp | None:
        """Return how strategies are kept apart; None before `open`."""
        return self.launcher.set_up if self._is_open else None

    def _say_packages(self) -> None:
        """Say at the start what strategies can import, and what to do where that is not much."""
        packages = self.packages()
        if self.launcher.environment.packages is None and self.config.sandbox.python is None:
            log.warning("strategy_packages_missing", packages=packages, remedy=BUILD_COMMAND)
        else:
            log.info("strategy_packages", packages=packages)

    def packages(self) -> str | None:
        """Return what all strategies share, for people; None before the jails are open."""
        return described(self.launcher.own_packages.shared) if self._is_open else None

    async def run(self) -> None:
        """Keep the runs until `close`."""
        watcher = Watcher(runs=self._running, clock=self.clock, post=self.post)
        async with self._tasks:
            self._tasks.create_task(self.prewarmed.keep(), name="prewarmed jails")
            self._watching = self._tasks.create_task(self._changes.watch(), name="watch folders")
            looking = self._tasks.create_task(watcher.watch(), name="look at runs")
            await self._closing.wait()
            self._watching.cancel()
            looking.cancel()

    async def close(self) -> None:
        """Stop all runs and remove what was made for them, in whatever state we are. Safe to call twice.

        Their strategies stay active: they start with the desk.
        """
        await self.stop_all("the desk stopped")
        self._closing.set()
        if self._is_open:
            self._is_open = False
            await asyncio.to_thread(self.launcher.close)

    async def stop_all(self, why: str) -> None:
        """End every run, all at once; return when they are gone. Nothing is started after by itself."""
        self._is_stopping = True
        if self._is_open:
            self.launcher.is_closing.set()
        if self._watching is not None:
            self._watching.cancel()
        running = [kept for kept in self._kept.values() if not kept.at_rest.is_set()]
        for kept in running:
            self._wish_end(kept, Asked(reason=ExitReason.STOPPED, detail=why))
        await self.prewarmed.close()  # meanwhile the runs end
        for kept in running:
            await kept.at_rest.wait()
        async with self._building:  # it is ended, and cleans up
            return

    async def start_enabled(self, *, but_not: Collection[StrategyId] = ()) -> None:
        """Start every strategy that is enabled; *but_not*: those that somebody stopped.

        What the ledger remembers of their deaths goes on to count, and what was given up stays so: a new start of the
        desk mends no strategy.
        """
        for strategy_id, kept in list(self._kept.items()):
            found = kept.found
            if not (isinstance(found, StrategySpec) and found.is_enabled and strategy_id not in but_not):
                self._prewarm(strategy_id, kept)
                continue
            if not kept.at_rest.is_set():
                continue
            kept.streak, kept.ran = self.past(strategy_id), found.code_hash
            kept.life = replace(kept.life, deaths=kept.streak.count if kept.streak is not None else 0)
            if kept.streak is not None and kept.streak.is_given_up:
                kept.life = step(kept.life, Step.HELD)
                kept.last_end = RunEnd(reason=kept.streak.deaths[-1].reason, detail=given_up(strategy_id, kept.streak))
                log.warning("strategy_stays_failed", strategy_id=strategy_id, why=kept.last_end.detail)
            else:
                self._begin(strategy_id, kept)

    def failing(self) -> Mapping[StrategyId, str]:
        """Return the strategies that the desk itself fails to start, again and again, and why."""
        return {
            strategy_id: f"{kept.life.failures} times in a row; the last: {kept.last_end.detail}"
            for strategy_id, kept in self._kept.items()
            if kept.life.failures >= FAULTS_MANY and kept.life.status is not RunStatus.RUNNING and kept.last_end
        }

    async def end(self, run_id: RunId, reason: ExitReason, detail: str) -> None:
        """Kill that run at once, for *reason*; it counts as a death. Nothing happens if it is over."""
        for kept in self._kept.values():
            if kept.run is not None and kept.run.run_id == run_id:
                kept.run.end(Asked(reason=reason, detail=detail), grace_s=0)

    async def reread(self) -> None:
        """Read strategies_dir anew. What runs goes on as it is until it is started again.

        A desk that still starts has nothing to read with: whoever asks it waits.
        """
        await self._can_read.wait()
        found = await asyncio.to_thread(discover, self.config.desk.strategies_dir, self._defaults(), self._syntax)
        for one in found:
            kept = self._kept.setdefault(one.strategy_id, Kept(one))
            kept.found = one
        self._here = frozenset(one.strategy_id for one in found)
        for one in found:  # all are known before one is told of: who is new is told of with those that are there
            await self._telling().found(one)
            self._prewarm(one.strategy_id, self._kept[one.strategy_id])
        gone = self._kept.keys() - self._here
        for strategy_id in gone:
            if self._kept[strategy_id].at_rest.is_set():
                del self._kept[strategy_id]
                self.prewarmed.forget(strategy_id)

    async def examine(self, folder: Path) -> StrategySpec | BrokenStrategy:
        """Return what the folder holds, checked as at a start; it need not lie in strategies_dir."""
        await self._can_read.wait()
        return await asyncio.to_thread(discover_one, folder, self._defaults(), self._syntax)

    async def test_jail(self) -> Sequence[Mapping[str, str]]:
        """Return what every wall of a jail did under attack, just now; raise SandboxUnavailable where none comes up."""
        await self._can_read.wait()
        if not self.launcher.is_jailed:
            raise SandboxUnavailable("strategies run WITHOUT jails here: set [sandbox] unsafe_without_jail = false")
        walls = await asyncio.to_thread(self.launcher.test)
        door = DoorTest(
            jail=self.launcher.self_test,
            doors=self.doors,
            clock=self.clock,
            connections_max=self.config.api.connections_max,
            requests_per_s=self.config.risk.strategy.requests_per_s,
        )
        return [row.as_dict() for row in (*walls, *await door.run())]

    async def is_to_be_built(self, folder: Path) -> bool:
        """Return whether the folder asks for packages that officers let be built, and that are not yet."""
        await self._can_read.wait()
        return await asyncio.to_thread(self._is_to_be_built, folder)

    def _is_to_be_built(self, folder: Path) -> bool:
        try:
            files, _ = read_folder(folder)
            return self.launcher.own_packages.is_to_be_built(files.get(PurePosixPath(REQUIREMENTS)))
        except FolderError:
            return False  # whoever examines it says what is wrong

    async def build(self, strategy_id: StrategyId, folder: Path | None = None) -> str:
        """Build what the strategy's requirements.txt asks for, read it anew, and say what was done.

        *folder*: where it lies, if that is not its place yet. Raise CannotBuild or FolderError, with the remedy; one
        build at a time, for it may take minutes.
        """
        if self._building.locked():
            raise CannotBuild("another strategy's packages are being built: try again when that is done")
        async with self._building:
            folder = Path(self._kept[strategy_id].found.path) if folder is None else folder
            builder = await asyncio.to_thread(self.launcher.builder, strategy_id)  # it may write down a new uid
            told = await asyncio.to_thread(build_for, folder, builder)
            now, strategies_dir = self.clock.now().timestamp(), self.config.desk.strategies_dir
            if removed := await asyncio.to_thread(prune_unused, builder.own, strategies_dir, now):
                log.info("unused_packages_removed", sets=removed)
        await self.reread()
        return told

    # --- ports.Runs --------------------------------------------------------------------------------------------------

    def strategies(self) -> Sequence[StrategySpec | BrokenStrategy]:
        """Return what lies in strategies_dir, as last read."""
        return [kept.found for kept in self._kept.values()]

    async def start(self, strategy_id: StrategyId) -> None:
        """Start the strategy, read anew, if it is not running; a failed one gets a fresh count of restarts."""
        if strategy_id not in self._kept:
            await self.reread()
        kept = self._kept[strategy_id]
        if not kept.at_rest.is_set():
            if kept.wish is None and kept.life.status not in _OVER:
                self._try_at_once(kept, _BY_HAND)
                return
            await kept.at_rest.wait()  # it was being stopped
        self._begin(strategy_id, kept, _BY_HAND)

    def _begin(self, strategy_id: StrategyId, kept: Kept, anew: str | None = None) -> None:
        """Have somebody keep the strategy, unless somebody does, its folder went away, or the desk stops.

        *anew*: why its deaths are to be forgotten.
        """
        if not kept.at_rest.is_set() or self._kept.get(strategy_id) is not kept or self._is_stopping:
            return
        kept.anew = anew
        kept.wish = None
        kept.at_rest.clear()
        kept.life = step(counted_anew(kept.life) if kept.anew else kept.life, Step.START)
        self._tasks.create_task(self._keep(strategy_id, kept), name=f"keep {strategy_id}")

    def _try_at_once(self, kept: Kept, why: str) -> None:
        """End its wait between two tries; what it died of before counts no more."""
        if kept.life.status is RunStatus.BACKOFF:
            kept.anew = why
            kept.retry.set()

    async def stop(self, strategy_id: StrategyId) -> None:
        """End the strategy's run: end of input, grace, then kill; return when it is gone, and stays so with the desk."""
        await self._stop(strategy_id, stays_so=True)

    async def restart(self, strategy_id: StrategyId) -> None:
        """Stop the strategy, and start it again; a desk that is killed in between starts it, too."""
        await self._stop(strategy_id, stays_so=False)
        await self.start(strategy_id)

    async def _stop(self, strategy_id: StrategyId, *, stays_so: bool) -> None:
        kept = self._kept[strategy_id]
        self._wish_end(kept, Asked(reason=ExitReason.STOPPED, detail="it was stopped by command"))
        await kept.at_rest.wait()
        if kept.life.status is RunStatus.FATAL:
            kept.life = step(kept.life, Step.STOP)
        await self._telling().over(strategy_id, StrategyStatus.STOPPED, "stopped by command", by_hand=stays_so)

    def status(self, strategy_id: StrategyId) -> RunStatus:
        """Return where its process is."""
        return self._kept[strategy_id].life.status

    def liveness(self, strategy_id: StrategyId) -> Liveness | None:
        """Return what is known of its present run; None where there is none."""
        kept = self._kept[strategy_id]
        if kept.run is None:
            return None
        is_same = isinstance(kept.found, StrategySpec) and kept.found.code_hash == kept.run.spec.code_hash
        return replace(kept.run.liveness(), is_outdated=not is_same)

    def at_work(self, strategy_id: StrategyId) -> AtWork:
        """Return on which line of the market it is at work; nothing where its run says none."""
        kept = self._kept.get(strategy_id)
        return NOTHING if kept is None or kept.run is None else kept.run.at_work()

    def last_end(self, strategy_id: StrategyId) -> RunEnd | None:
        """Return how its last run ended."""
        return self._kept[strategy_id].last_end

    def log_path(self, strategy_id: StrategyId) -> Path:
        """Return the newest file of its log (older ones: .1, .2)."""
        return log_path(self.config, strategy_id)

    def _running(self) -> Iterator[Run]:
        return (kept.run for kept in self._kept.values() if kept.run is not None)

    # --- one strategy's keeper ---------------------------------------------------------------------------------------

    async def _keep(self, strategy_id: StrategyId, kept: Kept) -> None:
        """Run it, and again, until it rests, or is given up."""
        try:
            await self._say_active(strategy_id, kept)
            await self._live_once(strategy_id, kept)
            while await self._wait(kept):
                if kept.anew:
                    await self._say_active(strategy_id, kept)
                await self._live_once(strategy_id, kept)
            end = kept.last_end
            if kept.life.status is RunStatus.FATAL and end is not None:
                why = given_up(strategy_id, kept.streak) if kept.streak is not None else end.detail
                kept.last_end = replace(end, detail=why)
                log.error("strategy_given_up", strategy_id=strategy_id, why=why)
                await self._telling().over(strategy_id, StrategyStatus.FAILED, why)
            elif kept.wish is None and end is not None:
                await self._telling().over(strategy_id, StrategyStatus.STOPPED, end.detail)
        finally:
            kept.at_rest.set()
            self._prewarm(strategy_id, kept)

    async def _live_once(self, strategy_id: StrategyId, kept: Kept) -> None:
        """Wait for a turn, read the folder anew, and run what is there once."""
        async with self.launches.turn() as turn:
            if kept.wish is not None:
                kept.life = step(kept.life, Step.RESTED)
                return
            kept.found = found = await asyncio.to_thread(
                discover_one, Path(kept.found.path), self._defaults(), self._syntax
            )
            await self._telling().found(found)
            if isinstance(found, BrokenStrategy):
                kept.last_end, kept.streak, kept.ran = RunEnd(reason=ExitReason.ERROR, detail=found.problem), None, None
                kept.life = step(kept.life, Step.RESTED if kept.life.status is RunStatus.STOPPING else Step.GAVE_UP)
                return
            if found.code_hash != kept.ran and kept.streak is not None:
                kept.anew = _CHANGED
                kept.life = counted_anew(kept.life)
                await self._say_active(strategy_id, kept)
            kept.ran = found.code_hash
            run_id = self._new_run_id(strategy_id)
            await self.post(RunStarted(run_id=run_id, strategy_id=strategy_id, at=self.clock.now()))
            began = self.clock.monotonic()
            end = await self._hands().run_once(kept, found, run_id, turn)
        await self._note_end(strategy_id, kept, run_id, end, timedelta(seconds=self.clock.monotonic() - began))

    async def _note_end(
        self, strategy_id: StrategyId, kept: Kept, run_id: RunId, end: RunEnd, lived: timedelta
    ) -> None:
        """Have the end of a run on record, with what it counts."""
        at = self.clock.now()
        kept.retry.clear()  # who asked for a start until now has had it
        kept.last_end = end
        lived_well = went_well(end.reason, lived, self.config.sandbox)
        kept.life = life = after_end(kept.life, end.reason, lived_well, self.config.restart)
        kept.streak = streak_after(kept.streak, end, deaths=life.deaths, at=at)
        if life.failures >= FAULTS_MANY and (life.failures // FAULTS_MANY).bit_count() == 1:  # not at each of them
            remedy = "deskctl doctor"
            log.error(
                "strategy_not_startable", strategy_id=strategy_id, times=life.failures, why=end.detail, remedy=remedy
            )
        await self.post(RunEnded(run_id=run_id, strategy_id=strategy_id, end=end, at=at, deaths=life.deaths))

    async def _wait(self, kept: Kept) -> bool:
        """Wait until the next try; say whether there is one. A stop, a start by hand or a change ends the wait."""
        if kept.life.status is not RunStatus.BACKOFF:
            return False
        self._prewarm(kept.found.strategy_id, kept)
        pause = backoff(kept.life, self.config.restart, self.jitter)
        await _set_within(kept.retry, pause.total_seconds())
        if not kept.retry.is_set():  # its own wait is over: then that for the others that died
            await _set_within(kept.retry, self.launches.again.wait_s(asyncio.get_running_loop().time()))
        if kept.wish is not None:
            kept.life = step(kept.life, Step.STOP)
            return False
        kept.life = step(counted_anew(kept.life) if kept.anew else kept.life, Step.START)
        return True

    # --- changes of what does not run ---------------------------------------------------------------------------------

    def _not_running(self) -> dict[StrategyId, Path]:
        return {
            strategy_id: Path(kept.found.path)
            for strategy_id, kept in self._kept.items()
            if kept.life.status in {RunStatus.FATAL, RunStatus.BACKOFF}
        }

    async def _on_change(self, strategy_id: StrategyId) -> None:
        """Start the strategy, its deaths forgotten, where its folder holds another version than the one that died."""
        kept = self._kept.get(strategy_id)
        if kept is None:
            return
        if kept.life.status is RunStatus.FATAL:
            await kept.at_rest.wait()  # that it failed is still being written down
        found = await asyncio.to_thread(discover_one, Path(kept.found.path), self._defaults(), self._syntax)
        if kept.is_given_up:
            kept.found = found
            await self._telling().found(found)
        if isinstance(found, BrokenStrategy) or found.code_hash == kept.ran or not found.is_enabled:
            return
        if kept.is_given_up:  # still: somebody may have started or stopped it meanwhile
            log.info("strategy_changed", strategy_id=strategy_id, consequence="it is tried again")
            self._begin(strategy_id, kept, _CHANGED)
        else:
            self._try_at_once(kept, _CHANGED)

    def _prewarm(self, strategy_id: StrategyId, kept: Kept) -> None:
        """Have a jail wait for what may be started next: it does not run, and is enabled and sound."""
        found = kept.found
        if kept.life.status not in {RunStatus.STOPPED, RunStatus.BACKOFF}:
            return
        if isinstance(found, StrategySpec) and found.is_enabled:
            self.prewarmed.want(found)
        else:
            self.prewarmed.forget(strategy_id)

    def _wish_end(self, kept: Kept, asked: Asked) -> None:
        if kept.at_rest.is_set() or kept.wish is not None:
            return
        kept.wish = asked
        kept.retry.set()
        if kept.life.status in {RunStatus.STARTING, RunStatus.RUNNING}:
            kept.life = step(kept.life, Step.STOP)
        if kept.run is not None:
            kept.run.end(asked, grace_s=self.config.sandbox.stop_grace_s)

    def _hands(self) -> Hands:
        return Hands(
            config=self.config,
            clock=self.clock,
            feeds=self.feeds,
            doors=self.doors,
            counts=self.counts,
            launcher=self.launcher,
            prewarmed=self.prewarmed,
            prints=self.prints,
        )

    def _telling(self) -> Telling:
        return Telling(
            clock=self.clock, post=self.post, registered=self.registered, on_spec=self.on_spec, beside=self._beside
        )

    def _beside(self) -> tuple[StrategyId, ...]:
        """Return the strategies that are there and could run: not those that are broken, disabled, or gone and still run."""
        here = ((name, self._kept[name].found) for name in sorted(self._here & self._kept.keys()))
        return tuple(name for name, found in here if isinstance(found, StrategySpec) and found.is_enabled)

    async def _say_active(self, strategy_id: StrategyId, kept: Kept) -> None:
        """Say that it runs from now on; where its deaths are to be forgotten, they are."""
        why, kept.anew = kept.anew, None
        if why is not None:
            kept.streak = None
        await self._telling().active(strategy_id, why or _BY_HAND, counts_anew=why is not None)

    def _new_run_id(self, strategy_id: StrategyId) -> RunId:
        self._runs_made += 1  # two runs of one microsecond are still two
        return RunId(f"{strategy_id}.{self.clock.now():%Y%m%dT%H%M%S%f}.{self._runs_made}")

    def _defaults(self) -> Defaults:
        own_packages = self.launcher.own_packages if self._is_open else None
        risk = self.config.risk
        return Defaults(
            market=self.config.market,
            risk=risk.strategy,
            exits=risk.exits,
            schedule=risk.schedule,
            own_packages=own_packages,
            hide=self.hide,
            owners=Owners(
                named={name: own.member for name, own in risk.strategies.items() if own.member is not None},
                on_record=lambda name: None if (known := self.registered(name)) is None else known.user_id,
                login=self.login,
            ),
        )


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
