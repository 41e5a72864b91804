"""A backtest, put together: tape, exchange, core and gate in step with one strategy in its real jail.

What the live desk does in tasks of its own (marks, exits, kills, session lines) is done by the same code, as looks of
the play. There is no ledger: nothing here outlives the answer. Requests to the order socket have no rate of their own:
the market stands while the strategy works.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from deskd.api.endpoint import Api
from deskd.app.bounds import allocation_of, lane_rules_of, limits_in_words, limits_of
from deskd.app.exit_watch import ExitWatch
from deskd.app.exit_watch import rules_of as exit_rules_of
from deskd.app.kill_keeper import KillKeeper
from deskd.app.kill_watch import KillWatch, breaker_rules_of
from deskd.app.kill_watch import rules_of as automatic_rules_of
from deskd.app.session_watch import SessionWatch
from deskd.app.trial_desk import TrialDesk
from deskd.backtest.broker import StepBroker
from deskd.backtest.clock import TapeClock
from deskd.backtest.desk import SteppedDesk
from deskd.backtest.feed import Stalled, StepFeed
from deskd.backtest.market import SessionLines, StepMarket, bars_before, warm_up
from deskd.backtest.play import Look, Play
from deskd.backtest.result import Backtest, Recorder, trips_of
from deskd.config import Config
from deskd.core.closing import has_work
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.errors import ConfigError
from deskd.domain.ids import RunId
from deskd.domain.market import MarketClock
from deskd.domain.money import Cash
from deskd.domain.run import ExitReason, RunEnd, StrategyStatus
from deskd.domain.strategy import BrokenStrategy, Channel, StrategySpec
from deskd.exchange.exchange import Exchange
from deskd.ports import SystemClock
from deskd.supervision.discovery import Defaults, discover_one
from deskd.supervision.ending import Asked
from deskd.supervision.launch import Launcher
from deskd.supervision.output import Output, RotatingLog, is_jail_noise
from deskd.supervision.run import Run
from deskd.supervision.running import log_path
from deskd.supervision.syntax import SyntaxCheck
from deskd.venue.assembly import fill_model, listed_on
from deskd.venue.calendar import Calendar, calendar_row, load_calendar
from deskd.venue.history import History
from deskd.venue.market import Market
from deskd.venue.player import start_of
from deskd.venue.tape import Tape
from deskd.venue.tapes import open_tape
from deskd.wire.alpaca.client import decode_day
from deskd.wire.alpaca.market import to_datetime

TAPE_ENDED = "the tape has ended"
CUT_SHORT = "the backtest was ended before its tape was"
MARKS_EVERY = timedelta(seconds=10)  # as on the live desk
LOOKS_EVERY = timedelta(seconds=1)
PATIENCE_S = 3_600.0  # for one line, where [sandbox] has none
_PRINTS_MAX = 2**40  # bytes a second: what is printed in a market second is no measure where that takes no time
_SYMBOLS_SHOWN = 10
_DAYS_AROUND = timedelta(days=60)

type OnPrints = Callable[[str, Sequence[bytes]], None]


@dataclass(slots=True)
class NoHurry:
    """A clock by which everybody has waited long enough (ports.Clock): no request is one too many."""

    wall: TapeClock
    _asked: int = 0

    def now(self) -> datetime:
        """Return the market's time."""
        return self.wall.now()

    def monotonic(self) -> float:
        """Return a time an hour after the one that was last told."""
        self._asked += 1
        return self._asked * 3_600.0


async def backtested(desk: TrialDesk, *, tape_names: Sequence[str], on_prints: OnPrints) -> Backtest:
    """Play the tape to the strategy, and return what came of it; raise ConfigError or SandboxUnavailable as a desk does."""
    config = desk.config
    calendar = await asyncio.to_thread(load_calendar)
    exchange = config.exchange
    tape = await asyncio.to_thread(lambda: open_tape(exchange.tape, calendar=calendar, seed=exchange.seed))
    begin = start_of(tape, exchange.start)
    launcher = await asyncio.to_thread(Launcher.open, config)
    try:
        spec = await asyncio.to_thread(_spec, desk, launcher)
        must_be_on(tape, spec)
        stage = _Stage.built(config, spec, tape, calendar, begin)
        end = await stage.played(replace(launcher, is_in_step=True), begin, on_prints)
    finally:
        await asyncio.to_thread(launcher.close)
    return stage.outcome(end, tape_names)


def must_be_on(tape: Tape, spec: StrategySpec) -> None:
    """Raise ConfigError where the tape has nothing for the strategy: figures of nothing look like a result."""
    known = listed_on(tape)
    if any(symbol in known for symbol in spec.symbols):
        return
    has = ", ".join(sorted(known)[:_SYMBOLS_SHOWN]) or "nothing"
    more = f" and {len(known) - _SYMBOLS_SHOWN} more" if len(known) > _SYMBOLS_SHOWN else ""
    wants = ", ".join(spec.symbols[:_SYMBOLS_SHOWN])
    raise ConfigError(f"no symbol of the strategy ({wants}) is on this tape, which has {has}{more}: change either")


def _spec(desk: TrialDesk, launcher: Launcher) -> StrategySpec:
    config = desk.config
    defaults = Defaults(
        market=config.market,
        risk=config.risk.strategy,
        exits=config.risk.exits,
        schedule=config.risk.schedule,
        own_packages=launcher.own_packages,
    )
    found = discover_one(desk.folder, defaults, SyntaxCheck(launcher.environment.interpreter))
    if isinstance(found, BrokenStrategy):
        raise ConfigError(found.problem)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """All that plays a part."""

    config: Config
    spec: StrategySpec
    play: Play
    recorder: Recorder
    began_at: datetime

    @classmethod
    def built(cls, config: Config, spec: StrategySpec, tape: Tape, calendar: Calendar, begin: int) -> "_Stage":
        """Put it together; nothing has happened yet."""
        now = to_datetime(begin)
        wall, market, seen = TapeClock(now), Market(), StepMarket(spec)
        section, history = config.exchange, History(tape, market)
        exchange = Exchange(
            assets=listed_on(tape).values(),
            cash=Cash(section.cash),
            fills=fill_model(section.fills),
            seed=section.seed,
            id_seed=section.seed,
            now=now,
        )
        feed = StepFeed(patience_s=patience_s(config))
        desk = Desk(lane=lane_rules_of(config.orders))
        stepped = SteppedDesk(
            desk=desk,
            broker=StepBroker(exchange),
            wall=wall,
            quotes=seen,
            market=calendar.clock,
            bars_of=lambda symbol, frame, limit: bars_before(history, symbol, frame, limit, wall.now()),
            hears=feed,
        )
        recorder = Recorder(desk, spec.strategy_id)
        stepped.on_fact.append(recorder)
        play = Play(
            tape=tape,
            calendar=calendar,
            exchange=exchange,
            market=market,
            seen=seen,
            desk=stepped,
            feed=feed,
            wall=wall,
        )
        return cls(config=config, spec=spec, play=play, recorder=recorder, began_at=now)

    async def played(self, launcher: Launcher, begin: int, on_prints: OnPrints) -> RunEnd:
        """Play it, and return how the run ended."""
        play, spec, config = self.play, self.spec, self.config
        await play.prepare(begin)
        self._open()
        play.looks = self._looks()
        play.on_minute = self._on_minute
        number = count(1)
        async with asyncio.TaskGroup() as tasks:
            api = Api(
                play.desk,
                NoHurry(play.wall),
                tasks,
                config=config.api,
                requests_per_s=config.risk.strategy.requests_per_s,
                new_id=lambda: f"backtest-{next(number)}",
            )
            run_id = RunId(f"{spec.strategy_id}.backtest")
            prepared = await asyncio.to_thread(launcher.prepare, spec, run_id)
            try:
                await api.open(spec, run_id, prepared.plan.socket_folder, prepared.door_uid)
                play.feed.listen(prepared.pipes.step)
                output = Output(
                    log=RotatingLog(log_path(config, spec.strategy_id), config.sandbox.log_kept_bytes),
                    clock=SystemClock(),
                    bytes_per_s=_PRINTS_MAX,
                    flood_s=config.sandbox.log_flood_s,
                    is_noise=is_jail_noise,
                    on_lines=on_prints,
                )
                run = Run(
                    run_id=run_id,
                    spec=spec,
                    process=await prepared.start(),
                    group=prepared.group,
                    pipes=prepared.pipes,
                    output=output,
                    feeds=play.feed,
                    counts=play.feed.counts,
                    clock=SystemClock(),
                    section=config.sandbox,
                    state=prepared.state,
                    is_jailed=prepared.config is not None,
                    started_at=SystemClock().monotonic(),
                    on_up=lambda: None,
                    packages=launcher.own_packages.shared,
                )
            except BaseException:
                prepared.abandon()
                raise
            running = tasks.create_task(run.live(), name="run")
            await self._play_to(run, begin)
            end = await running
            await api.close_all()
        self._on_minute(play.wall.now())
        return end

    async def _play_to(self, run: Run, begin: int) -> None:
        play = self.play
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, play.feed.stop)
        await play.feed.attached.wait()
        grace_s = self.config.sandbox.stop_grace_s
        try:
            await play.run(begin, warm_up(History(play.tape, play.market), self.spec, play.wall.now()))
        except Stalled as stalled:
            text = f"{stalled}: a backtest goes on only where the strategy reads sys.stdin line by line"
            run.end(Asked(reason=ExitReason.STALLED, detail=text), grace_s=0)
            return
        if not play.has_ended and not play.feed.is_stopped:  # it asks for nothing more: it is about to end by itself
            text = f"it closed the pipe by which it asks for lines, and did not end within {grace_s:g} s"
            asyncio.get_running_loop().call_later(
                grace_s, lambda: run.end(Asked(reason=ExitReason.STALLED, detail=text), grace_s=0)
            )
            return
        detail = TAPE_ENDED if play.has_ended else CUT_SHORT
        run.end(Asked(reason=ExitReason.STOPPED, detail=detail), grace_s=grace_s)

    def _open(self) -> None:
        """Have the desk know broker, market and strategy, as a start of the daemon does."""
        play, spec, risk = self.play, self.spec, self.config.risk
        stepped, desk, now = play.desk, play.desk.desk, play.wall.now()
        desk.limits[spec.strategy_id] = limits = limits_of(spec, risk, self.config.market.stale_after_s)
        desk.schedules[spec.strategy_id] = spec.schedule
        desk.exit_rules[spec.strategy_id] = exit_rules_of(spec, risk.exits)
        desk.exit_quote_age_max = timedelta(seconds=risk.exits.quote_age_max_s)
        days = play.calendar.days(now.date() - _DAYS_AROUND, play.tape.days()[-1] + _DAYS_AROUND)
        stepped.happen(ev.CalendarListed(days=tuple(decode_day(calendar_row(day)) for day in days), at=now))
        stepped.happen(ev.InstrumentsListed(instruments=tuple(stepped.broker.instruments()), at=now))
        stepped.hear()
        stepped.happen(ev.TradeStreamChanged(is_up=True, why="in step", at=now))
        stepped.happen(
            ev.StrategyRegistered(
                strategy_id=spec.strategy_id,
                user_id=spec.user_id,
                name=spec.name,
                version=spec.version,
                path=spec.strategy_id,
                code_hash=spec.code_hash,
                at=now,
            )
        )
        allocation = allocation_of(spec, risk)
        stepped.happen(ev.AllocationChanged(strategy_id=spec.strategy_id, allocation=allocation, by="backtest", at=now))
        told = limits_in_words(limits)
        stepped.happen(ev.LimitsChanged(strategy_id=spec.strategy_id, limits=told, by="backtest", at=now))
        stepped.happen(
            ev.StrategyStatusChanged(strategy_id=spec.strategy_id, status=StrategyStatus.ACTIVE, why="backtest", at=now)
        )

    def _looks(self) -> list[Look]:
        play, config = self.play, self.config
        stepped, wall = play.desk, play.wall

        def clock() -> MarketClock:
            return stepped.market_clock()

        exits = ExitWatch(runtime=stepped, market=play.seen, wall=wall, clock=clock, every_s=config.risk.exits.look_s)
        kills = KillWatch(
            desk=stepped.desk,
            rules=automatic_rules_of(config.risk.automatic),
            breaker_rules=breaker_rules_of(config.risk.breaker),
            post=stepped.post,
            clock=clock,
            wall=wall,
        )
        keeper = KillKeeper(
            runtime=stepped,
            wall=wall,
            market=clock,
            uses_extended_hours=config.risk.kill.after_hours == "extended",
        )
        stepped.on_fact.append(keeper.on_fact)
        session = SessionLines(play.seen, self.spec.strategy_id)
        sessions = SessionWatch(hub=session, clock=clock, schedules=stepped.desk.schedules)

        async def mark() -> None:
            self._mark()

        async def exit_() -> None:
            if (seen := exits.look()) is not None:
                stepped.happen(seen)

        async def keep() -> None:
            if has_work(stepped.desk):
                await keeper.step()

        async def tell_session() -> None:
            sessions.look()
            if (line := session.take()) is not None:
                await play.feed.hand_over(line)

        looks = [
            Look(MARKS_EVERY, mark),
            Look(timedelta(seconds=config.risk.exits.look_s), exit_),
            Look(LOOKS_EVERY, kills.look),
            Look(LOOKS_EVERY, keep),
        ]
        return [*looks, Look(LOOKS_EVERY, tell_session)] if Channel.STATUS in self.spec.channels else looks

    def _mark(self) -> None:
        marks = tuple(sorted(self.play.seen.marks().items()))
        self.play.desk.happen(ev.MarksTaken(marks=marks, at=self.play.wall.now()))

    def _on_minute(self, at: datetime) -> None:
        self._mark()
        self.recorder.sample(at)

    def outcome(self, end: RunEnd, tape_names: Sequence[str]) -> Backtest:
        """Return what came of it."""
        spec, config, recorder = self.spec, self.config, self.recorder
        allocation = allocation_of(spec, config.risk)
        return Backtest(
            strategy_id=spec.strategy_id,
            name=spec.name,
            version=spec.version,
            code_hash=spec.code_hash,
            tape=tuple(tape_names),
            is_synthetic=self.play.tape.is_synthetic,
            seed=config.exchange.seed,
            fills_model=config.exchange.fills,
            days=tuple(self.play.days),
            began_at=self.began_at,
            ended_at=self.play.wall.now(),
            allocation=allocation,
            is_whole=self.play.has_ended,
            exit_reason=end.reason.value,
            exit_detail=end.detail,
            lines=self.play.feed.delivered,
            refused=dict(sorted(self.play.desk.refusals.items())),
            rejected=dict(sorted(recorder.rejected.items())),
            metrics=recorder.metrics(allocation),
            orders=recorder.order_lines(),
            fills=tuple(recorder.fills),
            trips=trips_of(recorder.fills),
            denials=tuple(recorder.denials[reason] for reason in sorted(recorder.denials)),
            curve=tuple(recorder.curve),
        )


def patience_s(config: Config) -> float:
    """Return for how long one line may be worked on, of the machine's time."""
    section = config.sandbox
    if not section.stalled_after_s or not section.stalled_end_after_s:
        return PATIENCE_S
    return section.stalled_after_s + section.stalled_end_after_s
