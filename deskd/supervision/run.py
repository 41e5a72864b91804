"""One life of a strategy's process: fed, watched, ended, and explained. It knows nothing of restarts."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from deskd.config import SandboxSection
from deskd.domain.ids import RunId
from deskd.domain.run import ExitReason, RunEnd
from deskd.domain.strategy import NOTHING, AtWork, Delivery, DeskWait, Liveness, StrategySpec
from deskd.ports import Clock, Feeds
from deskd.supervision.cgroup import Group, clear
from deskd.supervision.ending import Asked, Evidence, classify
from deskd.supervision.liveness import MOVES, Reading, Verdict, Watch, lines_waiting
from deskd.supervision.meter import Meter, Sample
from deskd.supervision.output import Output, pump
from deskd.supervision.page import Page, read_page
from deskd.supervision.process import Pipes, cpu_time_max_s, ended
from deskd.supervision.spawn import Child
from deskd.supervision.state_keeper import StateKeeper
from deskd.supervision.weight import STARTING, weight_of
from deskd.supervision.words import line_id

LOG_MAX = 65_536  # nsjail writes some 4 KB
_KILL_AGAIN_S = 0.02
_UP_LOOK_S = 0.005  # the page tells nobody when it is written
_UP_LOOK_SHARE = 0.1  # of the wait so far: who starts slowly is not looked at a hundred times
_UP_MOST_S = 0.5
_PIPES_TIMEOUT_S = 2.0  # nothing can hold them but a process that escaped a run without a jail

type Counts = Callable[[RunId], Delivery]
type Waited = Callable[[RunId], DeskWait]


def _no_wait(_: RunId) -> DeskWait:
    return DeskWait()


@dataclass(slots=True, kw_only=True)
class Run:
    """A started process. `live` returns when nothing of it is left."""

    run_id: RunId
    spec: StrategySpec
    process: Child
    group: Group
    pipes: Pipes
    output: Output
    feeds: Feeds
    counts: Counts
    clock: Clock
    section: SandboxSection
    state: StateKeeper | None  # None: without a jail there is no /state
    is_jailed: bool
    started_at: float  # monotonic
    on_up: Callable[[], None]  # its script is reached, or takes so long to be that nobody should wait for it
    packages: Mapping[str, str]  # what all strategies can import, by name: its version
    waited: Waited = _no_wait  # for the desk
    watch: Watch = field(init=False)
    _meter: Meter = field(init=False)
    _weight: int = field(init=False)  # as the kernel knows it
    _delivery: Delivery = field(default_factory=Delivery)  # as last seen, while the hub had it
    _asked: Asked | None = None
    _grace_s: float = 0.0
    _is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    _is_fed: bool = False  # the hub has the run's standard input, and closes it
    _was_killed: bool = False
    _is_over: bool = False  # its files are closed, and their numbers may be somebody else's
    _jail_log: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.watch = Watch(self.section)
        self._weight = weight_of(self.section.cpu_weight, STARTING)
        self._meter = Meter.open(self.group.meter_files)
        nothing = Sample(at=self.started_at, memory_bytes=0, cpu_seconds=0, throttled_periods=0, periods=0)
        self.watch.samples.add(nothing)

    def end(self, asked: Asked, *, grace_s: float) -> None:
        """Have the run end: end of input, then kill after the grace (0: at once). The first who asks is right."""
        if self._asked is None:
            self._asked, self._grace_s = asked, grace_s
            self._is_asked.set()

    async def live(self) -> RunEnd:
        """Feed the run until it ends; return how, when no process, pipe or cgroup of it is left."""
        is_cleared: bool | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                pumps = [
                    tasks.create_task(pump(self.pipes.stdout, "out", self._take), name="stdout"),
                    tasks.create_task(pump(self.pipes.stderr, "err", self._take), name="stderr"),
                    tasks.create_task(pump(self.pipes.log, "log", self._take_log), name="jail log"),
                ]
                feeding = tasks.create_task(self._feed(), name="feed")
                ending = tasks.create_task(self._end_when_asked(), name="end when asked")
                keeping = tasks.create_task(self._keep_state(), name="keep state")
                starting = tasks.create_task(self._tell_when_up(), name="tell when up")
                status = await ended(self.process)
                ended_at = self.clock.monotonic()
                usage = self.group.usage()
                page = read_page(self.pipes.progress_fd)
                delivery = self._seen()
                is_unanswered = self.watch.was_unanswered(ended_at, self.waited(self.run_id))
                feeding.cancel()
                ending.cancel()
                keeping.cancel()
                starting.cancel()
                is_cleared = await clear(self.group)
                _, late = await asyncio.wait(pumps, timeout=_PIPES_TIMEOUT_S)
                for one in late:
                    one.cancel()
        finally:
            self._leave_nothing()
            if is_cleared is None:  # a crash of ours
                await clear(self.group)
            if self.state is not None:
                await self.state.finish(self.output.note)
        if not is_cleared:
            self.output.note("the desk could not remove the run's cgroup: the kernel still holds a process of it")
        asked = self._asked
        if asked is not None and self._was_killed and asked.reason is ExitReason.STOPPED:
            late_text = f"it did not end within {self.section.stop_grace_s:g} s of the end of its input and was killed: have it end then"
            asked = Asked(reason=asked.reason, detail=f"{asked.detail}; {late_text}")
        end = classify(
            Evidence(
                status=status,
                jail_log=self._jail_log.decode("utf-8", "replace") if self.is_jailed else None,
                errors=tuple(self.output.recent_errors),
                usage=usage,
                reached_script=page.is_reached,
                asked=asked,
                section=self.section,
                growth=self.watch.samples.growth(ended_at, usage.peak_memory_bytes),
                page=page,
                delivery=delivery,
                output=tuple(self.output.recent),
                packages=self.packages,
                is_unanswered=is_unanswered,
                most_pids_seen=self.watch.samples.most_pids,
                cpu_time_max_s=cpu_time_max_s(),
            )
        )
        self.output.close(f"run {self.run_id} ended as {end.reason}: {end.detail}")
        return end

    def look(self, now: float) -> Verdict:
        """Take a sample of what it uses, and judge whether it moves; before its script began there is nothing to judge."""
        if self._is_over:
            return MOVES
        sample, page = self._meter.sample(now), read_page(self.pipes.progress_fd)
        if self._asked is not None or not page.is_reached:
            self.watch.samples.add(sample)
            return MOVES
        self._weigh(self.watch.samples.throttled_share(sample))
        waited_s = self.waited(self.run_id).total.total_seconds()
        return self.watch.look(Reading(at=now, page=page, delivery=self._seen(), sample=sample, waited_s=waited_s))

    def liveness(self) -> Liveness:
        """Return what is known of its progress."""
        sample = self._meter.sample(self.clock.monotonic())
        page, delivery = Page() if self._is_over else read_page(self.pipes.progress_fd), self._seen()
        return Liveness(
            pid=self.process.pid,
            uptime=timedelta(seconds=sample.at - self.started_at),
            lines_delivered=delivery.delivered,
            lines_handled=min(page.handled, delivery.delivered),
            lines_dropped=delivery.dropped,
            memory_bytes=sample.memory_bytes,
            cpu_seconds=sample.cpu_seconds,
            lines_waiting=lines_waiting(page, delivery),
            throttled_share=self.watch.samples.throttled_share(sample),
            stalled_for=timedelta(seconds=self.watch.still_s) if self.watch.is_warned else None,
            state=self.state.use() if self.state is not None else None,
            prints_dropped_bytes=self.output.dropped_bytes,
        )

    def at_work(self) -> AtWork:
        """Return on which line of the market its script is at work, as the run says; of several, the last."""
        page = Page() if self._is_over else read_page(self.pipes.progress_fd)
        if line := line_id(page.at_work_on):
            return AtWork(line=line)
        line = line_id(page.last_together)
        return AtWork(line=line, together=page.together) if line else NOTHING

    def _seen(self) -> Delivery:
        """Return what the hub delivered; what it last knew, where it feeds the run no more."""
        seen = self.counts(self.run_id)
        if seen.delivered or seen.dropped:
            self._delivery = seen
        return self._delivery

    async def _keep_state(self) -> None:
        if self.state is not None:
            await self.state.keep(self.output.note)

    async def _feed(self) -> None:
        self._is_fed = True
        try:
            await self.feeds.attach(self.spec, self.run_id, self.pipes.stdin)
        except Exception as error:  # noqa: BLE001  whatever kept its warm-up away, the run cannot go on without
            text = f"its warm-up could not be had ({_innermost(error)}): this is not the strategy's fault; it is tried again"
            self.end(Asked(reason=ExitReason.SANDBOX_FAILURE, detail=text), grace_s=0)

    async def _tell_when_up(self) -> None:
        waited = 0.0
        while waited < _UP_MOST_S and not read_page(self.pipes.progress_fd).is_reached:
            pause = max(_UP_LOOK_S, waited * _UP_LOOK_SHARE)
            await asyncio.sleep(pause)
            waited += pause
        self.group.settle(self.section.cpu)
        self._weigh(None)
        self.on_up()

    def _weigh(self, throttled_share: float | None) -> None:
        """Have it weigh what one that is throttled so much weighs; the kernel is told of changes only."""
        weight = weight_of(self.section.cpu_weight, throttled_share)
        if weight != self._weight:
            self._weight = weight
            self.group.weigh(weight)

    async def _end_when_asked(self) -> None:
        await self._is_asked.wait()
        self._seen()
        self.feeds.detach(self.run_id)
        await asyncio.sleep(self._grace_s)
        self._was_killed = True
        while True:  # until its end cancels us: a first kill may come before the wrapper has joined the cgroup
            self.process.kill()
            self.group.kill()
            await asyncio.sleep(_KILL_AGAIN_S)

    def _take(self, stream: str, chunk: bytes) -> bool:
        """Keep what it printed; end a run whose flood does not: it was held back for long enough."""
        is_over = self.output.take(stream, chunk)
        if self.output.flood is not None:
            self.end(Asked(reason=ExitReason.LOG_FLOOD, detail=self.output.flood), grace_s=0)
        return is_over

    def _take_log(self, _: str, chunk: bytes) -> bool:
        self._jail_log += chunk[: LOG_MAX - len(self._jail_log)]
        return False

    def _leave_nothing(self) -> None:
        """Close the run's feed and log, and kill it where a crash of ours left it alive."""
        self._is_over = True
        self.feeds.detach(self.run_id)
        self._meter.close()
        if not self._is_fed:
            os.close(self.pipes.stdin)
        for fd in (self.pipes.stdout, self.pipes.stderr, self.pipes.log, self.pipes.progress_fd):
            os.close(fd)
        if self.pipes.step >= 0:
            os.close(self.pipes.step)
        if self.state is None:
            os.close(self.pipes.state)
        self.output.finish()
        if self.process.poll() is None:
            self.group.kill()
            self.process.kill()
            self.process.wait()  # some ms; only where the desk itself is going down


def _innermost(error: BaseException) -> BaseException:
    """Return what went wrong first: a group's own words are how many there were."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
