"""A supervisor on real processes, for the tests of runs: what it posts and feeds is in the test's hands."""

import asyncio
import fcntl
import os
import shutil
import tempfile
import termios
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from deskd.config import Config
from deskd.core.desk import Desk
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.events import PlainFact, RunEnded, RunStarted, StrategyRegistered
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.run import RunEnd, RunStatus
from deskd.domain.strategy import BrokenStrategy, Delivery, DeskWait, Liveness, StrategySpec
from deskd.domain.streak import Streak
from deskd.ports import SystemClock
from deskd.supervision.hello import hello_jail
from deskd.supervision.staging import JailFolder, stage_environment
from deskd.supervision.supervisor import Supervisor
from tests.hang import HANG_S
from tests.leftovers import sweep_up


@pytest.fixture(scope="session")
def jail_root() -> Iterator[Path]:
    """Make a folder that strategies' uids can reach (pytest's own is 0700); the interpreter is staged there once."""
    root = Path(tempfile.mkdtemp(prefix="deskd-jails-", dir="/tmp"))
    root.chmod(0o711)
    yield root
    sweep_up(root)
    shutil.rmtree(root, ignore_errors=os.geteuid() != 0)  # what is a strategy's uid's own, only root can remove


@pytest.fixture(scope="session")
def needs_jail(jail_root: Path) -> None:
    """Skip, with the reason, where a hello jail does not start."""
    folder, section = JailFolder(jail_root), Config().sandbox
    try:
        folder.prepare()
        problem = hello_jail(section, folder, stage_environment(folder, None))
    except SandboxUnavailable as error:
        problem = str(error)
    if problem:
        pytest.skip(problem)


@dataclass(slots=True)
class Feeds:
    """Keeps ports.Feeds' promise: owns each run's standard input until it is detached."""

    stdins: dict[RunId, int] = field(default_factory=dict)
    attached: asyncio.Condition = field(default_factory=asyncio.Condition)
    problem: Exception | None = None  # raised by the next attach, as the hub does when history cannot be had

    async def attach(self, spec: StrategySpec, run_id: RunId, stdin: int) -> None:
        async with self.attached:
            self.stdins[run_id] = stdin
            self.attached.notify_all()
        if self.problem is not None:
            self.detach(run_id)
            problem, self.problem = self.problem, None
            raise problem

    def detach(self, run_id: RunId) -> None:
        stdin = self.stdins.pop(run_id, None)
        if stdin is not None:
            os.close(stdin)

    sent: Counter[RunId] = field(default_factory=Counter)  # bytes that the test wrote
    lines: Counter[RunId] = field(default_factory=Counter)

    def counts(self, run_id: RunId) -> Delivery:
        """Tell what the test wrote, and what of it lies unread."""
        if run_id not in self.stdins:
            return Delivery()
        unread = array("i", [0])
        fcntl.ioctl(self.stdins[run_id], termios.FIONREAD, unread)
        return Delivery(delivered=self.lines[run_id], dropped=2, sent_bytes=self.sent[run_id], unread_bytes=unread[0])


@dataclass(slots=True)
class Doors:
    """Keeps ports.Doors' promise in the least way: it remembers who may knock where."""

    opened: dict[RunId, tuple[Path, int | None]] = field(default_factory=dict)
    closed: set[RunId] = field(default_factory=set)
    problem: OSError | None = None  # raised by the next open
    wait: DeskWait = field(default_factory=DeskWait)  # of any run

    async def open(self, spec: StrategySpec, run_id: RunId, directory: Path, uid: int | None) -> None:
        if self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem
        self.opened[run_id] = directory, uid

    async def close(self, run_id: RunId) -> None:
        self.closed.add(run_id)

    def waited(self, run_id: RunId) -> DeskWait:
        return self.wait


@dataclass(slots=True)
class World:
    """One supervisor and what the test sees of it."""

    supervisor: Supervisor
    feeds: Feeds
    doors: Doors
    facts: list[PlainFact]
    strategies_dir: Path
    changed: asyncio.Condition
    specs: list[StrategySpec]  # as told to whoever sets limits
    ledger: Desk  # what the facts fold to

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return as soon as *holds*, looking after every fact."""
        async with asyncio.timeout(HANG_S), self.changed:
            await self.changed.wait_for(holds)

    async def until_fed(self, name: str) -> RunId:
        """Return the run of *name*, once its standard input can be written."""
        async with asyncio.timeout(HANG_S), self.feeds.attached:
            await self.feeds.attached.wait_for(lambda: any(run.startswith(f"{name}.") for run in self.feeds.stdins))
        return next(run for run in self.feeds.stdins if run.startswith(f"{name}."))

    async def until_ended(self, name: str) -> RunEnd:
        """Return how the (next) run of *name* ended."""
        await self.until(lambda: bool(self.ends(name)))
        return self.ends(name)[-1]

    async def run(self, name: str) -> RunEnd:
        """Start *name* and return how its run ended."""
        await self.start(name)
        return await self.until_ended(name)

    async def start(self, name: str) -> None:
        await self.supervisor.start(StrategyId(name))

    async def stop(self, name: str) -> None:
        await self.supervisor.stop(StrategyId(name))

    def live(self, name: str) -> Liveness | None:
        return self.supervisor.liveness(StrategyId(name))

    def feed(self, run_id: RunId, lines: bytes) -> None:
        """Write *lines* to the run's standard input."""
        self.feeds.sent[run_id] += os.write(self.feeds.stdins[run_id], lines)
        self.feeds.lines[run_id] += lines.count(b"\n")

    def ends(self, name: str) -> list[RunEnd]:
        return [fact.end for fact in self.facts if isinstance(fact, RunEnded) and fact.strategy_id == name]

    def starts(self, name: str) -> int:
        return sum(isinstance(fact, RunStarted) and fact.strategy_id == name for fact in self.facts)

    def status(self, name: str) -> RunStatus:
        return self.supervisor.status(StrategyId(name))

    def log(self, name: str) -> str:
        path = self.supervisor.log_path(StrategyId(name))
        return path.read_text(errors="replace") if path.exists() else ""

    def printed(self, name: str) -> list[str]:
        """Return what the strategy printed on its standard output, without times."""
        return [line.split(" ", 2)[2] for line in self.log(name).splitlines() if line.split(" ")[1] == "out"]

    async def until_broken(self, name: str) -> None:
        """Return once the supervisor found that *name* is no strategy."""
        async with asyncio.timeout(HANG_S):
            while not any(  # noqa: ASYNC110  no fact tells of it
                isinstance(one, BrokenStrategy) and one.strategy_id == name for one in self.supervisor.strategies()
            ):
                await asyncio.sleep(0.01)

    async def until_printed(self, name: str, text: str) -> None:
        """Return once *text* is in the strategy's log."""
        async with asyncio.timeout(HANG_S):
            while text not in self.log(name):  # noqa: ASYNC110  a file tells nobody when it grows
                await asyncio.sleep(0.01)


async def until_up(said: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield what a desk of its own process says until it says that it is up: its log comes the same way."""
    async for line in said:
        yield line
        if line == b"up\n":
            return


def write_strategy(strategies_dir: Path, name: str, source: str, config: str | None = None) -> Path:
    """Put a strategy where the desk looks for it."""
    folder = strategies_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "strategy.py").write_text(dedent(source))
    if config is not None:
        (folder / "config.json").write_text(config)
    return folder


def a_config(
    tmp_path: Path, jail_root: Path, *, jailed: bool, sandbox: dict[str, Any], restart: dict[str, Any]
) -> Config:
    """Return settings for a desk below *tmp_path*."""
    return Config.model_validate(
        {
            "desk": {"state_dir": tmp_path, "runtime_dir": tmp_path / "run", "strategies_dir": tmp_path / "strategies"},
            "sandbox": {
                "jail_dir": jail_root,
                "unsafe_without_jail": not jailed,
                "memory_mb": 128,
                "stop_grace_s": 5.0,
            }
            | sandbox,
            "restart": {"backoff_initial_s": 0.01, "backoff_max_s": 0.02, "give_up_after": 1} | restart,
        }
    )


@asynccontextmanager
async def a_world(
    tmp_path: Path,
    jail_root: Path,
    strategies: dict[str, str],
    *,
    jailed: bool = True,
    sandbox: dict[str, Any] | None = None,
    restart: dict[str, Any] | None = None,
    past: Mapping[StrategyId, Streak] | None = None,
) -> AsyncIterator[World]:
    """Open a supervisor over *strategies* (name: source), and close it again.

    *past* is what the ledger remembers of an earlier desk's runs.
    """
    config = a_config(tmp_path, jail_root, jailed=jailed, sandbox=sandbox or {}, restart=restart or {})
    config.desk.strategies_dir.mkdir(exist_ok=True)
    for name, source in strategies.items():
        write_strategy(config.desk.strategies_dir, name, source)
    facts: list[PlainFact] = []
    changed = asyncio.Condition()
    specs: list[StrategySpec] = []
    ledger = Desk()
    known: dict[StrategyId, StrategyRegistered] = {}

    async def post(fact: PlainFact) -> None:
        async with changed:
            facts.append(fact)
            ledger.apply(fact)
            if isinstance(fact, StrategyRegistered):
                known[fact.strategy_id] = fact
            changed.notify_all()

    feeds, doors = Feeds(), Doors()
    supervisor = Supervisor(
        config=config,
        clock=SystemClock(),
        jitter=lambda: 0.5,
        feeds=feeds,
        doors=doors,
        counts=feeds.counts,
        post=post,
        registered=known.get,
        on_spec=specs.append,
        past=(past or ledger.streaks).get,
    )
    await supervisor.open()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(supervisor.run(), name="supervisor")
        await asyncio.sleep(0)
        try:
            yield World(supervisor, feeds, doors, facts, config.desk.strategies_dir, changed, specs, ledger)
        finally:
            await supervisor.close()
            await running
