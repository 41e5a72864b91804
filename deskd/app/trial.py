"""Runs one strategy on a desk of its own, from its first line to the tape's end.

The desk is the daemon as it always is: recovery, jail, gate, ledger, embedded exchange. Only its folder is new, nobody
else trades on it, and the tape stands until the strategy reads.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from deskd.app.daemon import Daemon, built
from deskd.app.opening import begun
from deskd.app.trial_desk import TrialDesk
from deskd.domain import events as ev
from deskd.domain.errors import ConfigError
from deskd.domain.ids import RunId, StrategyId, Symbol
from deskd.domain.money import NO_CASH, Cash, Price, Qty
from deskd.domain.run import ExitReason, RunEnd
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.wire.drop_copy import DropCopy
from deskd.wire.event_line import EventLine

LINES_S = 10.0  # for a strategy to handle what waits for it when the tape has ended
ORDERS_S = 5.0  # for its orders to end when it has
_LOOK_S = 0.02  # a run tells nobody that it has handled a line
_GOOD_ENDS = frozenset({ExitReason.CLEAN, ExitReason.STOPPED})

type OnEvent = Callable[[EventLine], None]
type OnPrints = Callable[[str, Sequence[bytes]], None]  # a stream, and lines that came by it


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPosition:
    """What the strategy holds at the end."""

    symbol: Symbol  # what is held
    qty: Qty  # signed
    avg_entry_price: Price  # paid for each share
    mark_price: Price  # what one is worth now
    unrealized_pnl: Cash  # what selling at that would bring


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of it."""

    strategy_id: StrategyId  # the folder's name
    tape: tuple[str, ...]  # what was played
    ended_by: str  # tape, strategy, or user
    exit_reason: str  # how the run ended, in a word
    exit_detail: str  # and in a sentence
    lines_delivered: int  # that it was sent
    lines_handled: int  # that it says it has handled
    orders: int  # that the gate let pass
    fills: int  # executions
    denied: dict[str, int]  # by the gate, by reason
    rejected: dict[str, int]  # by the broker, by reason
    refused: dict[str, int]  # requests of which no order came to be, by reason
    allocation: Cash  # what it had to trade with
    equity: Cash  # what that is worth at the end
    realized_pnl: Cash  # of what was closed
    unrealized_pnl: Cash  # of what is held
    positions: tuple[HeldPosition, ...]  # what is held

    @property
    def ended_well(self) -> bool:
        """Tell whether the strategy ended by itself, or because it was to."""
        return self.exit_reason in _GOOD_ENDS


@dataclass(slots=True)
class _Watch:
    """Listens to the desk's facts, and to the strategy's prints."""

    strategy_id: StrategyId
    on_event: OnEvent
    on_prints: OnPrints
    end: RunEnd | None = None
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)
    orders: int = 0
    fills: int = 0
    denied: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    _copy: DropCopy = field(default_factory=DropCopy)
    _seq: int = 0

    def on_fact(self, fact: ev.Fact) -> None:
        """Take the next fact of the ledger, which began with the trial."""
        self._seq += 1
        for event in self._copy.events(self._seq, fact):
            self.on_event(event)
        match fact:
            case ev.OrderApproved():
                self.orders += 1
            case ev.OrderFilled():
                self.fills += 1
            case ev.OrderDenied(reason=reason):
                self.denied[reason] += 1
            case ev.OrderRejected(reason=reason):
                self.rejected[reason] += 1
            case ev.RunEnded(end=end):
                self.end = end
                self.has_ended.set()
            case _:
                pass

    def of(self, _spec: StrategySpec, _run_id: RunId) -> OnPrints:
        """Return what takes the run's lines (satisfies supervision's Printing)."""
        return self.on_prints


async def tried(desk: TrialDesk, *, on_event: OnEvent, on_prints: OnPrints) -> Tried:
    """Run the strategy until the tape, the strategy, or the user ends it; raise what a start of the daemon raises."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    watch = _Watch(desk.strategy_id, on_event, on_prints)
    async with begun(desk.config, None, waits_for_listener=True) as parts, built(desk.config, parts) as daemon:
        assert parts.exchange is not None, "a trial's broker is the embedded exchange"
        daemon.supervisor.prints = watch
        daemon.runtime.on_fact.append(watch.on_fact)
        await daemon.start()
        spec = _spec(daemon)
        await daemon.trade()
        if not spec.is_enabled:  # with the real desk; here it was asked for
            await daemon.supervisor.start(spec.strategy_id)
        by = await first_of(user=stop.wait(), tape=parts.exchange.tape_ends(), strategy=watch.has_ended.wait())
        if by == "tape":
            await _handles_all(daemon, watch)
        elif by == "strategy":
            with suppress(TimeoutError):
                async with asyncio.timeout(ORDERS_S):
                    await daemon.runtime.until(lambda desk: not desk.open_ids)
        await daemon.stop()
        return _outcome(desk, daemon, watch, by)


def _spec(daemon: Daemon) -> StrategySpec:
    (found,) = daemon.supervisor.strategies()
    if isinstance(found, BrokenStrategy):
        raise ConfigError(found.problem)
    return found


async def first_of(**waits: Coroutine[Any, Any, object]) -> str:
    """Return the name of what came first; the others are canceled."""
    async with asyncio.TaskGroup() as tasks:
        named = {tasks.create_task(wait, name=name): name for name, wait in waits.items()}
        done, others = await asyncio.wait(named, return_when=asyncio.FIRST_COMPLETED)
        for one in others:
            one.cancel()
    first = next(iter(done))
    first.result()
    return named[first]


async def _handles_all(daemon: Daemon, watch: _Watch) -> None:
    """Return when the strategy has handled what the tape brought, has ended, or takes too long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINES_S):
            while not watch.has_ended.is_set():
                await asyncio.sleep(_LOOK_S)
                known = daemon.supervisor.liveness(watch.strategy_id)
                if known is not None and not known.lines_waiting and known.lines_handled == known.lines_delivered:
                    return


def _outcome(desk: TrialDesk, daemon: Daemon, watch: _Watch, ended_by: str) -> Tried:
    end = watch.end or RunEnd(reason=ExitReason.SANDBOX_FAILURE, detail="it was never started: see what was said above")
    runtime = daemon.runtime
    account = runtime.account(desk.strategy_id)
    return Tried(
        strategy_id=desk.strategy_id,
        tape=desk.config.exchange.tape,
        ended_by=ended_by,
        exit_reason=end.reason.value,
        exit_detail=end.detail,
        lines_delivered=end.lines_delivered or 0,
        lines_handled=end.lines_handled or 0,
        orders=watch.orders,
        fills=watch.fills,
        denied=dict(sorted(watch.denied.items())),
        rejected=dict(sorted(watch.rejected.items())),
        refused=dict(sorted(runtime.refusals.items())),
        allocation=NO_CASH if account is None else account.allocation,
        equity=NO_CASH if account is None else account.equity,
        realized_pnl=NO_CASH if account is None else account.realized_pnl,
        unrealized_pnl=NO_CASH if account is None else account.unrealized_pnl,
        positions=tuple(
            HeldPosition(
                symbol=one.symbol,
                qty=one.qty,
                avg_entry_price=one.avg_entry_price,
                mark_price=one.mark_price,
                unrealized_pnl=one.unrealized_pnl,
            )
            for one in runtime.positions(desk.strategy_id)
        ),
    )
