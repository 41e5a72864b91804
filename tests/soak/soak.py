"""A whole desk that starts and stops runs, several at once, and counts what it holds whenever none is left."""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from deskd.app.daemon import Daemon, opened
from deskd.config import Config
from deskd.domain.events import Fact, RunEnded, RunStarted
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.run import ExitReason
from tests.leftovers import sweep_up
from tests.soak.counts import Counts, take
from tests.soak.lives import ENDS_ITSELF, Life, write

AT_ONCE = 4
PAUSE_MAX_S = 0.25  # from a run's start to what is done to it: before, in and after the script's first line
LIFE_MAX_S = 60.0  # a machine that others use, too
_WANTED = "the soak wanted it"
_THREADS = 64  # more than asyncio's pool has: all of them are there before anything is counted


@dataclass(slots=True, kw_only=True)
class Soaked:
    """What came of it."""

    samples: list[Counts] = field(default_factory=list)
    ends: Counter[ExitReason] = field(default_factory=Counter)
    took_s: float = 0.0
    left: list[str] = field(default_factory=list)  # outside its own folder, once the desk has ended


@dataclass(slots=True)
class _Seen:
    """What the ledger was told of the runs (an OnFact)."""

    ends: Counter[ExitReason]
    started: dict[StrategyId, asyncio.Future[RunId]] = field(default_factory=dict)
    ended: dict[StrategyId, asyncio.Future[None]] = field(default_factory=dict)

    def expect(self, who: StrategyId) -> tuple["asyncio.Future[RunId]", "asyncio.Future[None]"]:
        loop = asyncio.get_running_loop()
        self.started[who], self.ended[who] = loop.create_future(), loop.create_future()
        return self.started[who], self.ended[who]

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, RunStarted) and not self.started[fact.strategy_id].done():
            self.started[fact.strategy_id].set_result(fact.run_id)
        elif isinstance(fact, RunEnded):
            is_wanted = _WANTED in fact.end.detail  # before its script began, an end that the desk wants is the desk's
            self.ends[ExitReason.SLOW_CONSUMER if is_wanted else fact.end.reason] += 1
            if not self.ended[fact.strategy_id].done():
                self.ended[fact.strategy_id].set_result(None)


async def soak(starts: int, every: int, *, seed: int, say: Callable[[Counts], None]) -> Soaked:
    """Start and stop so many runs; take a sample after each *every* of them."""
    folder = _make_folder()
    sets = write(folder / "strategies", AT_ONCE)
    soaked, loop, groups = Soaked(), asyncio.get_running_loop(), list[Path]()
    try:
        async with opened(_config(folder), None) as daemon:
            await daemon.start()
            await daemon.trade()
            launcher = daemon.supervisor.launcher
            root, groups = launcher.folder.root, list(launcher.groups.folders)
            daemon.runtime.on_fact.append(seen := _Seen(soaked.ends))
            async with asyncio.TaskGroup() as tasks:
                for number in range(_THREADS):
                    tasks.create_task(asyncio.to_thread(time.sleep, 0.02), name=f"thread {number}")
            began = loop.time()
            for names in sets:  # once each, so that every strategy has its uid, its folders and its log
                for life in Life:
                    await _live(daemon, seen, StrategyId(names[life]), life, 0.0)
            done = AT_ONCE * len(Life)
            while True:
                await daemon.runtime.until_idle()
                soaked.samples.append(take(done, root, groups))
                say(soaked.samples[-1])
                if done >= starts:
                    break
                lives = min(every, starts - done)
                async with asyncio.TaskGroup() as tasks:
                    for number, names in enumerate(sets):
                        share = lives // AT_ONCE + (number < lives % AT_ONCE)
                        chance = random.Random(f"{seed} {done} {number}")
                        tasks.create_task(_lives(daemon, seen, names, share, chance), name=f"lives {number}")
                done += lives
            soaked.took_s = loop.time() - began
            await daemon.stop()
        soaked.left = [str(path) for path in groups if path.exists()]
    finally:
        sweep_up(folder / "jails")
        shutil.rmtree(folder, ignore_errors=True)
    return soaked


async def _lives(daemon: Daemon, seen: _Seen, names: dict[Life, str], count: int, chance: random.Random) -> None:
    for _ in range(count):
        life = chance.choice(list(Life))
        await _live(daemon, seen, StrategyId(names[life]), life, chance.uniform(0, PAUSE_MAX_S))


async def _live(daemon: Daemon, seen: _Seen, who: StrategyId, life: Life, pause_s: float) -> None:
    """Have one run come and go."""
    supervisor = daemon.supervisor
    started, ended = seen.expect(who)
    async with asyncio.timeout(LIFE_MAX_S):
        await supervisor.start(who)
        run_id = await started
        if life not in ENDS_ITSELF:
            await asyncio.sleep(pause_s)
        if life is Life.KILLED:
            while not ended.done():  # a run that does not exist yet is not there to be ended
                await supervisor.end(run_id, ExitReason.SLOW_CONSUMER, _WANTED)
                await asyncio.sleep(0.01)
        elif life in ENDS_ITSELF:
            await ended
        await supervisor.stop(who)
        await ended


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="deskd-soak-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


def _config(folder: Path) -> Config:
    return Config.model_validate(
        {
            "desk": {
                "state_dir": folder / "state",
                "runtime_dir": folder / "run",
                "strategies_dir": folder / "strategies",
            },
            "broker": {"reconcile_every_s": 3600},
            "risk": {"strategy": {"allocation": Decimal(1000)}},
            "sandbox": {"jail_dir": folder / "jails", "memory_mb": 64, "stop_grace_s": 0.2},
            "restart": {"give_up_after": 1},
            "jobs": {"enabled": False},  # where /tmp is small memory, its checks rightly ask for room
        }
    )
