"""The supervisor and the hub as a process of the jails bench, without a broker: every line is a bar of the warm-up.

usage: python -m tests.bench.jails_desk FOLDER COUNT [plain|json]      FOLDER/strategies is made, with COUNT strategies

Says `ready`, then obeys: `desk` starts the first strategy and answers `took NS`, from the start's call to its first
line parsed; `warm` does so with a jail that waits for it, `nsjail` starts the same jail without the desk; `all` starts
all and answers `memory RUNS DESK` in bytes when each has its line.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop

from deskd.config import Config, MarketSection
from deskd.domain.events import PlainFact
from deskd.domain.ids import RunId, StrategyId, Symbol
from deskd.domain.strategy import DeskWait, StrategySpec
from deskd.market.hub import Hub
from deskd.ports import RawMarketMessage, SystemClock
from deskd.supervision.jail import NSJAIL
from deskd.supervision.supervisor import Supervisor
from tests.bench.tools import memory_bytes, no_gap, no_time

STRATEGY = """
import json, sys, time
print("up", time.monotonic_ns(), flush=True)
for line in sys.stdin:
    json.loads(line)
    print("line", time.monotonic_ns(), flush=True)
"""
PLAIN = """
import sys, time
for line in sys.stdin:
    print("line", time.monotonic_ns(), flush=True)
"""
SOURCES = {"json": STRATEGY, "plain": PLAIN}  # plain: no module that Python has not loaded by itself
SAID = re.compile(r"line (\d+)")
BAR = {"o": 1.0, "h": 1.0, "l": 1.0, "c": 1.0, "v": 1, "n": 1, "vw": 1.0, "t": "2026-01-05T17:00:00Z"}
LOOK_S = 0.002
WAIT_S = 60.0


class NoDoors:
    """Nobody trades here (keeps ports.Doors)."""

    async def open(self, spec: StrategySpec, run_id: RunId, directory: Path, uid: int | None) -> None:
        pass

    async def close(self, run_id: RunId) -> None:
        pass

    def waited(self, run_id: RunId) -> DeskWait:
        return DeskWait()


def make_strategies(folder: Path, count: int, settings: dict[str, object], source: str = STRATEGY) -> None:
    for n in range(count):
        place = folder / "strategies" / f"s{n:03}"
        place.mkdir(parents=True)
        (place / "strategy.py").write_text(source)
        (place / "config.json").write_text(json.dumps({"symbols": ["AAPL"], **settings}))


def a_config(folder: Path) -> Config:
    return Config.model_validate(
        {
            "desk": {
                "state_dir": folder / "state",
                "runtime_dir": folder / "run",
                "strategies_dir": folder / "strategies",
            },
            "sandbox": {"prewarmed": 1},  # its jail is let go where a cold start is measured
            "restart": {"give_up_after": 0},
        }
    )


async def one_bar(symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
    return [dict(BAR)]


async def nowhere(fact: PlainFact) -> None:
    pass


async def first_line(supervisor: Supervisor, strategy_id: StrategyId, since: int) -> int:
    """Return when the strategy had its first line, by its own word."""
    path = supervisor.log_path(strategy_id)
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if path.exists():
            said = [int(stamp) for stamp in SAID.findall(path.read_text()) if int(stamp) > since]
            if said:
                return said[0]
        await asyncio.sleep(LOOK_S)
    raise TimeoutError(f"{strategy_id} had no line within {WAIT_S:g} s")


async def cooled(supervisor: Supervisor, spec: StrategySpec) -> None:
    """Let the jail go that waits; return when it is gone."""
    if (warm := await supervisor.prewarmed.take(spec)) is not None:
        await warm.abandon()


async def by_the_desk(supervisor: Supervisor, spec: StrategySpec, *, is_warm: bool) -> int:
    strategy_id = spec.strategy_id
    supervisor.prewarmed.want(spec)
    async with asyncio.timeout(WAIT_S):
        while (warm := supervisor.prewarmed.waiting(strategy_id)) is None or not warm.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
    if not is_warm:
        await cooled(supervisor, spec)
    began = time.monotonic_ns()
    await supervisor.start(strategy_id)
    said = await first_line(supervisor, strategy_id, began)
    await supervisor.stop(strategy_id)
    return said - began


def by_nsjail(supervisor: Supervisor, spec: StrategySpec) -> int:
    """Start the same jail with nsjail and nothing else, its line waiting in its input."""
    prepared = supervisor.launcher.prepare(spec, RunId("alone"))
    pipes = prepared.pipes
    os.write(pipes.stdin, b'{"price": 1}\n')
    began = time.monotonic_ns()
    jail = subprocess.Popen(
        [NSJAIL, "--config", str(prepared.config)],
        stdin=pipes.theirs[0],
        stdout=pipes.theirs[1],
        stderr=pipes.theirs[2],
        pass_fds=(pipes.log_fd, pipes.progress_fd, pipes.state_fd),
    )
    pipes.close_theirs()
    text = ""
    while not (found := SAID.search(text)):
        data = os.read(pipes.stdout, 4096)
        if not data:
            raise RuntimeError(f"nsjail ended with {jail.wait()}: {os.read(pipes.log, 65_536).decode()}")
        text += data.decode()
    jail.kill()
    jail.wait()
    while not prepared.group.remove():  # what was killed leaves it some ms later
        prepared.group.kill()
        time.sleep(LOOK_S)
    prepared.abandon()
    return int(found[1]) - began


async def commands() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main(folder: Path, count: int, kind: str) -> None:
    settings: dict[str, object] = {"channels": ["bars"], "history": {"bars": 1, "timeframe": "1Min"}}
    make_strategies(folder, count, settings, SOURCES[kind])
    clock = SystemClock()
    hub = Hub(
        MarketSection(),
        clock=clock,
        bars=one_bar,
        bars_between=no_gap,
        market_now=no_time,
        on_wanted=lambda _: None,
        on_slow=lambda _: None,
    )
    supervisor = Supervisor(
        config=a_config(folder),
        clock=clock,
        jitter=lambda: 0.5,
        feeds=hub,
        doors=NoDoors(),
        counts=hub.counts,
        post=nowhere,
        registered=lambda _: None,
        on_spec=lambda _: None,
    )
    await supervisor.open()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run(), name="supervisor")
        try:
            specs = [found for found in supervisor.strategies() if isinstance(found, StrategySpec)]
            assert len(specs) == count, supervisor.strategies()
            said = await commands()
            print("ready", flush=True)
            while command := (await said.readline()).decode().strip():
                if command in {"desk", "warm"}:
                    took = await by_the_desk(supervisor, specs[0], is_warm=command == "warm")
                    print("took", took, flush=True)
                elif command == "nsjail":
                    await cooled(supervisor, specs[0])
                    print("took", by_nsjail(supervisor, specs[0]), flush=True)
                else:
                    began = time.monotonic_ns()
                    await supervisor.start_enabled()
                    for spec in specs:
                        await first_line(supervisor, spec.strategy_id, began)
                    alive = [supervisor.liveness(spec.strategy_id) for spec in specs]
                    used = sum(one.memory_bytes or 0 for one in alive if one)
                    print("memory", used, memory_bytes(os.getpid()), flush=True)
        finally:
            await supervisor.close()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
