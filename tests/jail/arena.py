"""Where attacks are tried: a desk's hands for real (supervisor, hub, order doors), a market, and a victim beside."""

import asyncio
import contextlib
import json
import math
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deskd.api.connection import Bounds
from deskd.api.endpoint import Api
from deskd.config import ApiSection, Config
from deskd.domain.events import PlainFact, RunEnded, StrategyRegistered
from deskd.domain.ids import RunId, StrategyId, Symbol
from deskd.domain.run import ExitReason, RunEnd
from deskd.market.hub import Hub
from deskd.ports import SystemClock
from deskd.supervision.supervisor import Supervisor
from tests.api.fakes import FakeOrders
from tests.hang import HANG_S
from tests.jail.attacks import Attack

HOSTILE = Path(__file__).parent / "hostile"
VICTIM = StrategyId("victim")
LINES_PER_S = 50
# A guest that pays ten times as much for a system call says so, and is measured by its own measure.
BUSY_MAX_S = 0.25 * float(
    os.environ.get("DESKD_TEST_SLOWNESS", "1")
)  # of the loop's own CPU time between two of its ticks; 5 ms is the rule, and this machine is shared
BLOCKED_MAX_S = 2.0  # between two ticks by the wall: a call that blocks
LATE_MAX_S = 2.0  # from the market to the victim, and from its order to the answer: that of test_exhaustion.py
_TICK_S = 0.01
# Every bound small, so that it is reached soon.
SANDBOX = {
    "memory_mb": 64,
    "pids": 24,
    "tmp_mb": 8,
    "state_mb": 8,
    "state_save_s": 0.02,  # so that a reader of the desk's is at what an attacker changes all the time
    "open_files": 64,
    "stop_grace_s": 0.2,
    "log_bytes_per_s": 65_536,
    "log_kept_bytes": 196_608,
}
LOG_SLACK_BYTES = 1_024  # the desk's own lines about a run are not counted against it
_SLICE = 100  # lines of a burst at once: so many fit into a pipe
_LATE = re.compile(r" out LATE (\S+) (\S+)$", re.MULTILINE)


@dataclass(slots=True)
class LoopWatch:
    """How long the loop was away, at worst."""

    busy_s: float = 0.0  # computing
    blocked_s: float = 0.0  # by the wall

    async def run(self) -> None:
        while True:
            wall, busy = time.monotonic(), time.thread_time()
            await asyncio.sleep(_TICK_S)
            self.busy_s = max(self.busy_s, time.thread_time() - busy)
            self.blocked_s = max(self.blocked_s, time.monotonic() - wall - _TICK_S)


@dataclass(slots=True)
class Seen:
    """What became of one attack."""

    end: RunEnd
    tried: dict[str, Any]
    log: str
    late_s: float  # at worst, the victim's lines and the answers to its orders meanwhile
    lasted_s: float  # from the start's call to the end's fact
    dropped: int  # lines of its own that were conflated away while it held


@dataclass(slots=True, kw_only=True)
class Arena:
    """The desk under attack."""

    config: Config
    supervisor: Supervisor
    hub: Hub
    orders: FakeOrders
    loop: LoopWatch
    facts: list[PlainFact] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    abstract: str
    port: int
    _number: int = 0  # of the last line that the market sent
    _asked: int = 0  # orders of the victim
    _tally: dict[str, tuple[int, float, float]] = field(default_factory=dict)  # attack: tries, late_s, busy_s
    _figures: dict[str, float] = field(default_factory=dict)

    # --- the market ---------------------------------------------------------------------------------------------

    def print_trade(self, price: float) -> None:
        """Send one line to whoever runs; its size is its number."""
        self._number += 1
        stamp = SystemClock().now().isoformat().replace("+00:00", "Z")
        trade = {"T": "t", "S": "SPY", "p": price, "s": self._number, "t": stamp, "i": self._number, "x": "V", "c": []}
        self.hub.on_messages([trade])

    async def market(self) -> None:
        while True:
            self.print_trade(500.0)
            await asyncio.sleep(1 / LINES_PER_S)

    # --- attacks ------------------------------------------------------------------------------------------------

    async def attack(self, attack: Attack, *, name: str | None = None) -> Seen:
        """Run it beside the victim, who trades before, during and after; return what came of it.

        *name*: of the strategy, where it is run again with what it left in /state.
        """
        strategy = StrategyId(name or f"attack-{attack.name}".replace("_", "-"))
        self.write(strategy, (HOSTILE / f"{attack.name}.py").read_text())
        ended, asked, dropped = len(self.ends(strategy)), self._asked, 0
        await self.victim_trades()
        began = time.monotonic()
        await self.supervisor.start(strategy)
        await self.victim_trades()
        if attack.holds:
            await self.until(lambda: "HOLDING" in self.log(strategy) or len(self.ends(strategy)) > ended, attack.name)
            await self.victim_trades()
            await self.burst(attack.burst)
            await self.until(lambda: self.used_s(strategy) >= attack.uses_s, f"{attack.name}: its use of the CPU")
            dropped = self.dropped(strategy)
            await self.supervisor.stop(strategy)
        await self.until(lambda: len(self.ends(strategy)) > ended, attack.name)
        lasted_s = time.monotonic() - began
        await self.victim_trades()
        log = self.log(strategy)
        return Seen(
            end=self.ends(strategy)[-1],
            tried=tried(log),
            log=log,
            late_s=await self.victim_was_late(asked),
            lasted_s=lasted_s,
            dropped=dropped,
        )

    async def burst(self, lines: int) -> None:
        """Send so many lines, as fast as the victim takes them: who does not read has them all before it."""
        wanted = self.victims_counts()[1]
        for _ in range(0, lines, _SLICE):
            for _ in range(_SLICE):
                self.print_trade(500.0)
            wanted += _SLICE
            await self.until(lambda wanted=wanted: self.victims_counts()[1] >= wanted, "the victim to read on")  # type: ignore[misc]

    def write(self, strategy: StrategyId, source: str) -> None:
        """Put a strategy where the desk finds it, with what attacks share beside it."""
        folder = self.config.desk.strategies_dir / strategy
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "strategy.py").write_text(source)
        (folder / "tries.py").write_text((HOSTILE / "tries.py").read_text())
        env = {
            "JAIL_ROOT": str(self.config.sandbox.jail_dir),
            "STATE_DIR": str(self.config.desk.state_dir),
            "VICTIM_UID": str(self.uid_of(VICTIM) if strategy != VICTIM else 0),
            "ABSTRACT": self.abstract,
            "PORT": str(self.port),
        }
        (folder / "config.json").write_text(json.dumps({"symbols": ["SPY"], "channels": ["trades"], "env": env}))

    def uid_of(self, strategy: StrategyId) -> int:
        return self.supervisor.launcher.uids.of(strategy)

    async def victim_trades(self) -> None:
        """See the victim read the next line of the tape and have its order taken."""
        had = self.victims_orders()
        self._asked += 1
        self.print_trade(777.0)
        await self.until(lambda: self.victims_orders() > had, "the victim's order")

    def victims_asked(self) -> int:
        """Return how many orders it was asked for so far."""
        return self._asked

    async def victim_was_late(self, since: int) -> float:
        """Return by how much its lines and answers were late at worst, as it says itself, since so many orders."""
        await self.until(lambda: len(_LATE.findall(self.log(VICTIM))) == self._asked, "the victim's word")
        return max(float(word) for words in _LATE.findall(self.log(VICTIM))[since:] for word in words)

    def victims_orders(self) -> int:
        return sum(order.request.strategy_id == VICTIM for order in self.orders.known.values())

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Return as soon as it holds; files and pages tell nobody when they change."""
        try:
            async with asyncio.timeout(HANG_S):
                while not holds():  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"in vain waited for: {what}") from None

    def ends(self, strategy: StrategyId) -> list[RunEnd]:
        return [fact.end for fact in self.facts if isinstance(fact, RunEnded) and fact.strategy_id == strategy]

    def log(self, strategy: StrategyId) -> str:
        path = self.supervisor.log_path(strategy)
        return path.read_text(errors="replace") if path.exists() else ""

    # --- what must be so afterwards -----------------------------------------------------------------------------

    def victims_counts(self) -> tuple[int, int, int]:
        """Return how many lines the victim was given, handled and lost."""
        live = self.supervisor.liveness(VICTIM)
        assert live is not None, self.log(VICTIM)
        return live.lines_delivered, live.lines_handled or 0, live.lines_dropped

    def dropped(self, strategy: StrategyId) -> int:
        """Return how many of its lines were conflated away; none where it runs no more."""
        live = self.supervisor.liveness(strategy)
        return 0 if live is None else live.lines_dropped

    def used_s(self, strategy: StrategyId) -> float:
        """Return how much of the CPU it has used; all there is where it runs no more."""
        live = self.supervisor.liveness(strategy)
        return math.inf if live is None else live.cpu_seconds or 0.0

    def log_bytes(self, strategy: StrategyId) -> int:
        """Return how much of its prints is kept."""
        path = self.supervisor.log_path(strategy)
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))

    def remains(self, strategy: StrategyId) -> list[str]:
        """Return what is left of the strategy's run on the host: processes, cgroups, sockets, files."""
        root = self.config.sandbox.jail_dir
        assert root is not None
        uid = self.uid_of(strategy)
        folders = self.supervisor.launcher.groups.folders
        left = [str(path) for folder in folders for path in folder.glob(f"{strategy}.*") if path.is_dir()]
        left += [str(path) for path in (root / "run" / str(uid)).glob("*")]
        if self.supervisor.launcher.maps_uids:  # else all that is the desk's looks like the strategy's
            left += [f"process {pid}" for pid in processes_of(uid)]
            left += [str(path) for path in Path("/tmp").iterdir() if _owner(path) == uid]
        return left

    def tally(self, attack: Attack, seen: Seen) -> None:
        """Count an attack that was contained."""
        self._tally[attack.name] = (len(seen.tried), seen.late_s, self.loop.busy_s)
        tries, late_s, busy_s = zip(*self._tally.values(), strict=True)
        self.note(
            attacks_contained=len(self._tally),
            tries=sum(tries),
            victim_late_s_at_worst=round(max(late_s), 3),
            loop_busy_s_at_worst=round(max(busy_s), 3),
        )

    def note(self, **figures: float) -> None:
        """Write figures down for whoever wants them: DESKD_TEST_FIGURES names the file."""
        self._figures |= figures
        if path := os.environ.get("DESKD_TEST_FIGURES"):
            head = {"at": SystemClock().now().isoformat(timespec="seconds"), "kernel": os.uname().release}
            told = head | {"set_up": self.supervisor.set_up()} | self._figures
            Path(path).write_text(json.dumps(told, indent=1) + "\n")

    def fds(self) -> int:
        return len(list(Path("/proc/self/fd").iterdir()))


def processes_of(uid: int) -> list[int]:
    """Return the processes that run as that uid."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and entry.stat().st_uid == uid:
                found.append(int(entry.name))
    return found


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def tried(log: str) -> dict[str, Any]:
    """Return what an attack reported in its log."""
    found: dict[str, Any] = {}
    for line in log.splitlines():
        _, is_report, text = line.partition("TRIED ")
        if is_report:
            with contextlib.suppress(ValueError):
                found |= json.loads(text)
    return found


@asynccontextmanager
async def an_arena(folder: Path, jail_root: Path, uid_first: int) -> AsyncIterator[Arena]:
    """Open the desk's hands, the market, and the victim's run."""
    strategies = folder / "strategies"
    strategies.mkdir()
    config = Config.model_validate(
        {
            "desk": {"state_dir": folder, "runtime_dir": folder / "rt", "strategies_dir": strategies},
            "sandbox": SANDBOX | {"jail_dir": jail_root, "uid_first": uid_first},
            "restart": {"give_up_after": 1, "backoff_initial_s": 0.01, "backoff_max_s": 0.02},
            "market": {"feed_lag_max_s": 600.0, "symbols": ("SPY",)},
        }
    )
    clock = SystemClock()
    facts: list[PlainFact] = []
    known: dict[StrategyId, StrategyRegistered] = {}

    async def post(fact: PlainFact) -> None:
        facts.append(fact)
        if isinstance(fact, StrategyRegistered):
            known[fact.strategy_id] = fact

    async def no_bars(*_: object) -> list[dict[str, Any]]:
        return []

    async def no_late_bars(*_: object) -> dict[Symbol, Sequence[dict[str, Any]]]:
        return {}

    async def market_now() -> None:
        return None

    def on_slow(run_id: RunId) -> None:
        raise AssertionError(run_id)

    hub = Hub(
        config.market,
        clock=clock,
        bars=no_bars,
        bars_between=no_late_bars,
        market_now=market_now,  # type: ignore[arg-type]  # nobody asks: no run wants bars
        on_wanted=lambda _: None,
        on_slow=on_slow,
    )
    orders = FakeOrders()
    abstract = f"deskd-arena-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as host, socket.create_server(("127.0.0.1", 0)) as loopback:
        host.bind(f"\0{abstract}")
        host.listen()
        async with asyncio.TaskGroup() as tasks:
            bounds = Bounds(connections_max=16, body_max=16_384, read_s=0.5, write_s=0.5)
            api = Api(orders, clock, tasks, config=ApiSection(), requests_per_s=20, bounds=bounds)
            supervisor = Supervisor(
                config=config,
                clock=clock,
                jitter=lambda: 0.5,
                feeds=hub,
                doors=api,
                counts=hub.counts,
                post=post,
                registered=known.get,
                on_spec=lambda _: None,
            )
            await supervisor.open()
            running = tasks.create_task(supervisor.run(), name="supervisor")
            arena = Arena(
                config=config,
                supervisor=supervisor,
                hub=hub,
                orders=orders,
                loop=LoopWatch(),
                facts=facts,
                abstract=abstract,
                port=loopback.getsockname()[1],
            )
            watch = tasks.create_task(arena.loop.run(), name="loop watch")
            arena.write(VICTIM, (HOSTILE / "victim.py").read_text())
            await supervisor.start(VICTIM)
            await arena.until(lambda: VICTIM in hub.readers() or bool(arena.ends(VICTIM)), "the victim's run")
            market = tasks.create_task(arena.market(), name="market")
            try:
                yield arena
            finally:
                market.cancel()
                await supervisor.close()
                await api.close_all()
                watch.cancel()
                await running
    assert arena.ends(VICTIM)[-1].reason is ExitReason.STOPPED, arena.ends(VICTIM)
