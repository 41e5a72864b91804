"""The whole desk as a process: its configuration, its strategies, its log, its end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.hang import HANG_S
from tests.whole.made_before import furnish

ROOT = Path(__file__).parents[2]


@dataclass
class DeskProcess:
    """`deskd run` in a folder of its own."""

    folder: Path
    process: asyncio.subprocess.Process | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)
    reading: asyncio.Task[None] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    program: str = "deskd"  # the module that is run

    @property
    def state(self) -> Path:
        return self.folder / "var"

    def configure(self, toml: str) -> None:
        """Write etc/desk.toml."""
        (self.folder / "etc").mkdir(exist_ok=True)
        (self.folder / "etc" / "desk.toml").write_text(dedent(toml))

    def strategy(self, name: str, source: str, config: Mapping[str, object] | None = None) -> None:
        """Write strategies/NAME."""
        folder = self.folder / "strategies" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "strategy.py").write_text(dedent(source))
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))

    async def start(self, *options: str, ready: bool = True, terminal: int | None = None) -> None:
        """Start it, in that terminal where one is given; return when it says that it is ready."""
        self.log.clear()
        self.process = await asyncio.create_subprocess_exec(
            *(() if terminal is None else ("setsid", "--ctty")),
            sys.executable,
            "-m",
            self.program,
            "run",
            "--config",
            str(self.folder / "etc" / "desk.toml"),
            *options,
            cwd=ROOT,
            env=os.environ | self.environment,
            stdin=terminal,
            stderr=asyncio.subprocess.PIPE,
        )
        self.reading = asyncio.get_running_loop().create_task(self._read())
        if ready:
            await self.hears("desk_ready")

    async def ctl(self, *arguments: str) -> int:
        """Run deskctl on this desk, what it says beside the test's; return its exit code."""
        config = str(self.folder / "etc" / "desk.toml")
        command = [sys.executable, "-m", "deskd.cli.deskctl", "--config", config, *arguments]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        print(" ".join(arguments), said.decode(), sep="\n")
        return await process.wait()

    async def hears(self, event: str, count: int = 1, *, holds: Callable[[dict[str, Any]], bool] | None = None) -> None:
        """Return when the log has the event so many times; fail with the log when it ends before."""

        def is_there() -> bool:
            found = [line for line in self.log if line.get("event") == event and (holds is None or holds(line))]
            return len(found) >= count

        with suppress(TimeoutError):
            async with asyncio.timeout(HANG_S), self.heard:
                await self.heard.wait_for(lambda: is_there() or self.is_over)
        assert is_there(), f"no {event} x {count}\n" + "\n".join(map(str, self.log[-90:]))

    @property
    def is_over(self) -> bool:
        return self.reading is None or self.reading.done() or bool(self.log and self.log[-1] == {"event": "<end>"})

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self.heard:
                text = line.decode(errors="replace")
                self.log.append(json.loads(text) if text.startswith("{") else {"event": "<text>", "text": text})
                self.heard.notify_all()
        async with self.heard:
            self.log.append({"event": "<end>"})
            self.heard.notify_all()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code; the log is whole then."""
        assert self.process is not None
        assert self.reading is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(HANG_S):
            code = await self.process.wait()
            await self.reading
        return code

    async def dies(self) -> int:
        """Return the exit code when it has ended by itself; the log is whole then."""
        assert self.process is not None
        assert self.reading is not None
        async with asyncio.timeout(HANG_S):
            code = await self.process.wait()
            await self.reading
        return code

    def processes(self) -> list[str]:
        """Return the command lines of all processes that have to do with this desk."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (entry / "environ").read_bytes()
            except (OSError, ValueError):
                continue
            if str(self.folder) in command or str(self.folder).encode() in environment:
                found.append(command)
        return found

    def children(self) -> list[int]:
        """Return the process ids below the desk: exchange and jails."""
        assert self.process is not None
        parents: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry.name))
        found, todo = [], [self.process.pid]
        while todo:
            below = parents.get(todo.pop(), [])
            found += below
            todo += below
        return found

    def exchange(self) -> int:
        """Return the process id of the embedded exchange."""
        (pid,) = [pid for pid in self.children() if "deskd.venue" in Path(f"/proc/{pid}/cmdline").read_text()]
        return pid


def alive(pids: list[int]) -> list[int]:
    """Return those of *pids* that still run."""
    found = []
    for pid in pids:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(pid)
    return found


async def all_gone(pids: list[int]) -> None:
    """Return when none of *pids* runs any more."""
    async with asyncio.timeout(HANG_S):
        while alive(pids):  # noqa: ASYNC110  the kernel has no event for strangers' children
            await asyncio.sleep(0.01)


@asynccontextmanager
async def a_desk_process(folder: Path, *, is_new: bool = False) -> AsyncIterator[DeskProcess]:
    """Hand out a desk that is not yet started, and see to it that nothing of it is left.

    *is_new*: its first start finds nothing; else it finds what an earlier one would have made.
    """
    desk = DeskProcess(folder)
    if not is_new:
        furnish(desk.state)
    (folder / "strategies").mkdir(exist_ok=True)
    try:
        yield desk
    finally:
        if desk.process is not None:
            await desk.end(signal.SIGKILL)
