"""The processes of a chaos run: exchange and desk, each started again whenever it ends, by the same command."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from deskd.wire.alpaca.market import NEW_YORK
from tests.chaos import club
from tests.chaos.schedule import Weather
from tests.whole.desk_process import ROOT
from tests.whole.exchange_process import KEYS

READY_S = 120.0  # generous: twenty jails start on a machine that others use, too
RESTART_S = 0.2
SPEED = 4.0  # market seconds a second
CASH = 1_000_000


class Journal:
    """What the run did, a JSON line each, with the seconds since its start."""

    def __init__(self, path: Path, *, echoes: bool) -> None:
        self._path = path
        self._began = asyncio.get_running_loop().time()
        self._echoes = echoes

    def write(self, event: str, **more: object) -> None:
        at_s = round(asyncio.get_running_loop().time() - self._began, 3)
        with self._path.open("a") as file:
            file.write(json.dumps({"at_s": at_s, "event": event} | more) + "\n")
        if self._echoes:
            print(f"  {at_s:8.1f} s  {event}  {json.dumps(more) if more else ''}"[:200], flush=True)


@dataclass(slots=True, kw_only=True)
class Child:
    """One process that is always there again."""

    name: str
    command: Sequence[str]
    log: Path  # its standard error, of all its lives
    ready_event: str
    journal: Journal
    process: asyncio.subprocess.Process | None = None
    is_wanted: bool = False
    log_from: int = 0  # where the log of this life begins
    lives: int = 0
    ends: Counter[int] = field(default_factory=Counter)
    unasked: list[int] = field(default_factory=list)  # exit codes of lives that nobody ended
    _is_asked: bool = False
    _ready_in: int = 0  # the life that said so
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def keep(self) -> None:
        """Start it, and start it again whenever it ends while it is wanted."""
        self.is_wanted = True
        while self.is_wanted:
            self._over.clear()
            self._is_asked = False
            self.log_from = self.log.stat().st_size if self.log.exists() else 0
            self.lives += 1
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *self.command, cwd=ROOT, env=os.environ | KEYS, stdout=asyncio.subprocess.DEVNULL, stderr=log
                )
            self.journal.write(f"{self.name} started", pid=self.process.pid)
            code = await self.process.wait()
            self.ends[code] += 1
            if not self._is_asked:
                self.unasked.append(code)
            self.journal.write(f"{self.name} ended", code=code, asked=self._is_asked)
            self._over.set()
            await asyncio.sleep(RESTART_S)

    def signal(self, number: signal.Signals) -> bool:
        """Send the signal; return False where there is no process."""
        if self.process is None or self.process.returncode is not None:
            return False
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self._is_asked = True
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
            return True
        return False

    async def freeze(self, seconds: float) -> None:
        """Stop it for a while, without its knowledge."""
        process = self.process
        if self.signal(signal.SIGSTOP):
            await asyncio.sleep(seconds)
            if process is self.process:
                self.signal(signal.SIGCONT)

    async def ended(self, bound_s: float) -> None:
        """Return when its present life is over."""
        async with asyncio.timeout(bound_s):
            await self._over.wait()

    def is_ready(self) -> bool:
        """Tell whether its present life has said that it is ready."""
        if self._ready_in != self.lives and self.log.exists():
            with self.log.open("rb") as file:
                file.seek(self.log_from)
                if re.search(rb'"event": ?"%b"' % self.ready_event.encode(), file.read()):
                    self._ready_in = self.lives
        return self._ready_in == self.lives

    async def ready(self) -> None:
        """Return when its present life has said that it is ready."""
        async with asyncio.timeout(READY_S):
            while not self.is_ready():  # noqa: ASYNC110  a file tells nobody when it grows
                await asyncio.sleep(0.2)

    def rss_mb(self) -> int:
        """Return its resident memory."""
        assert self.process is not None
        with suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) // 1024
        return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def exchange_command(config: Path, weather: Weather) -> list[str]:
    command = [sys.executable, "-m", "deskd", "exchange", "--config", str(config), "--faults"]
    return [*command, "--rate-limit", str(weather.requests_per_min)]


def desk_command(config: Path) -> list[str]:
    return [sys.executable, "-m", "deskd", "run", "--config", str(config)]


def write_config(folder: Path, port: int, seed: int, seconds: float, weather: Weather) -> Path:
    """Write etc/desk.toml, whose broker is the exchange at *port*, as if it were Alpaca."""
    file = folder / "etc" / "desk.toml"
    file.parent.mkdir()
    file.write_text(f"""
[desk]
cancel_orders_on_stop = {_toml(weather.cancels_on_stop)}
[broker]
mode = "alpaca"
trading_url = "http://127.0.0.1:{port}"
data_url = "http://127.0.0.1:{port}"
data_stream_url = "ws://127.0.0.1:{port}/v2/iex"
trade_stream_url = "ws://127.0.0.1:{port}/stream"
request_timeout_s = 2.0
doubt_check_s = 0.5
doubt_settle_s = 4.0
reconcile_every_s = 3.0
[exchange]
listen = "127.0.0.1:{port}"
state = "var/exchange.db"
fills = "{weather.fills}"
speed = {SPEED}
seed = {seed % 1_000_000}
cash = "{CASH}"
start = "{_start(seconds, weather)}"
[market]
stale_after_s = 10.0
order_lines_max = 100
[sandbox]
memory_mb = 128
cpu = 0.3
stop_grace_s = 2.0
state_save_s = 0.5
[restart]
backoff_initial_s = 0.2
backoff_max_s = 2.0
healthy_after_s = 1.0
give_up_after = 1000000
[risk.desk]
allow_short = {_toml(weather.is_short_allowed)}
orders_wait_for_open = true
[risk.strategy]
allocation = "20000"
orders_per_day_max = 10000000
orders_per_minute_max = 1000
position_share_max = 1
daily_loss_max = 10000
duplicate_window_s = 0.05
requests_per_s = 15
# What the run does is what these are for: they would end it. Breakers open, and soon close again.
[risk.automatic]
drift_s = 0
stale_stream_s = 0
deaths_max = 0
rejects_max = 0
broker_errors_max = 0
loop_lag_s = 0
[risk.breaker]
cooldown_s = 3.0
cooldown_max_s = 6.0
trips_max = 0
""")
    return file


def _start(seconds: float, weather: Weather) -> str:
    """Return when the market's day begins to play: at its open, or so that it closes when most of the run is over."""
    opens_at = datetime(2026, 1, 5, 9, 29, 50, tzinfo=NEW_YORK)
    before_the_close = timedelta(seconds=seconds * SPEED * 0.7)
    starts_at = datetime(2026, 1, 5, 16, tzinfo=NEW_YORK) - before_the_close if weather.market_closes else opens_at
    return max(opens_at, starts_at).isoformat()


def _toml(value: bool) -> str:
    return "true" if value else "false"


def below(pid: int) -> list[int]:
    """Return the processes that descend from *pid*."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text()
                parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def jailed(desk: int, names: Sequence[str]) -> list[int]:
    """Return the processes in the jails of these strategies."""
    wanted = {f"STRATEGY_ID={name}".encode() for name in names}
    found = []
    for pid in below(desk):
        with suppress(OSError):
            if wanted.intersection(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                found.append(pid)
    return found


def speaks_of(folder: Path) -> list[str]:
    """Return the command lines of all processes that have to do with *folder*, but for our own."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command or str(folder).encode() in (entry / "environ").read_bytes():
                found.append(command)
    return found


def set_up(folder: Path, seed: int, seconds: float, weather: Weather, pace: float) -> tuple[Path, int]:
    """Write configuration and strategies; return the configuration and the exchange's port."""
    (folder / "var").mkdir()
    club.write(folder / "strategies", seed, pace)
    port = free_port()
    return write_config(folder, port, seed, seconds, weather), port
