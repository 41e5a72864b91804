"""What a member reads after a death in a real jail: the right word, the figures, and their own line."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from deskd.api.endpoint import Api
from deskd.config import ApiSection
from deskd.domain.events import RunStalled
from deskd.domain.run import ExitReason as R
from deskd.ports import SystemClock
from tests.api.fakes import FakeOrders
from tests.hang import HANG_S
from tests.supervised import World, a_world

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

LINE = b'{"type":"trade","symbol":"AAPL","price":150.25,"size":1,"timestamp":"2026-11-20T15:04:05.123456789Z"}\n'
TASK_GROUP = """
import asyncio
async def watch():
    raise ValueError('bad')
async def main():
    async with asyncio.TaskGroup() as tasks: tasks.create_task(watch())
asyncio.run(main())
"""

# name: (source, reason, exit code, what the detail says, the line it points to)
DEATHS = {
    "clean": ("print('done')", R.CLEAN, 0, "came to its end", ""),
    "key-error": (
        "import json, sys\nfor line in sys.stdin:\n    json.loads(line)['prise']\n",
        R.ERROR,
        1,
        "KeyError: 'prise'; at strategy.py:3: json.loads(line)['prise']; it was at work on: AAPL trade of 15:04:05.123",
        "strategy.py:3: json.loads(line)['prise']",
    ),
    "memory": ("x = bytearray(10**9)", R.OOM, None, "it used 128 MiB of 128 MiB of memory", ""),
    "memory-growth": (
        "x = []\nfor line in iter(int, 1): x.append(bytearray(b'x' * 10**6))",
        R.OOM,
        None,
        "largest growth in the last",
        "",
    ),
    "memory-error": ("x = bytearray(1 << 60)", R.ERROR, 1, "could not be had", "strategy.py:1: x = bytearray(1 << 60)"),
    "tmp-full": (
        "for n in 'ab': open(f'/tmp/{n}', 'wb').write(bytes(5 << 20))",
        R.ERROR,
        1,
        "8 MiB in /tmp",
        "strategy.py:1: for",
    ),
    "no-module": ("import numpie", R.ERROR, 1, "is not among this desk's packages", "strategy.py:1: import numpie"),
    "no-network": ("import socket; socket.create_connection(('1.1.1.1', 80))", R.ERROR, 1, "a jail has no network", ""),
    "interrupt": ("raise KeyboardInterrupt", R.ERROR, 130, "KeyboardInterrupt", "strategy.py:1: raise"),
    "exit-text": ("import sys; sys.exit('no money left')", R.ERROR, 1, "status 1: no money left", ""),
    "os-exit": ("import os; os._exit(9)", R.ERROR, 9, "printed no error", ""),
    "recursion": ("def f(): f()\nf()", R.ERROR, 1, "calls itself without an end", "strategy.py:1 in f: def f(): f()"),
    "segfault": ("import ctypes\nctypes.string_at(0)", R.SIGNAL, None, "(SIGSEGV); at strategy.py:2", "strategy.py:2"),
    "threads": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        R.PIDS_LIMIT,
        1,
        "more than 16 processes",
        "strategy.py:2: while True",
    ),
    # what students do
    "own-module": (
        "from indicators import sma",
        R.ERROR,
        1,
        "a file of your own lies beside strategy.py",
        "strategy.py:1",
    ),
    "task-group": (
        TASK_GROUP,
        R.ERROR,
        1,
        "ValueError: bad; at strategy.py:4 in watch: raise ValueError('bad'); the first of ExceptionGroup: unhandled errors",
        "strategy.py:4 in watch",
    ),
    "mutual-recursion": (
        "def f(n): g(n)\ndef g(n):\n    f(n + 1)\nf(0)\n",
        R.ERROR,
        1,
        "RecursionError: maximum recursion depth exceeded; at strategy.py:",
        "strategy.py:",
    ),
    "chained": (
        "try:\n    {}['price']\nexcept KeyError as error:\n    raise RuntimeError('none') from error\n",
        R.ERROR,
        1,
        "RuntimeError: none; at strategy.py:4: raise RuntimeError('none') from error; it came of KeyError: 'price', at strategy.py:2",
        "strategy.py:4",
    ),
    "dead-thread": (
        "import threading\ndef work(): {}['x']\nthread = threading.Thread(target=work)\nthread.start()\nthread.join()\n",
        R.CLEAN,
        0,
        "came to its end; a thread or task of it died before: KeyError: 'x'; at strategy.py:2 in work: def work(): {}['x']",
        "",
    ),
    "exit-one": ("import sys\nsys.exit(1)", R.ERROR, 1, "printed no error: have it print why before", ""),
    "file-outside": ("open('/home/alice/prices.csv')", R.ERROR, 1, "put it beside strategy.py", "strategy.py:1: open"),
    "file-beside": ("open('my.log', 'w')", R.ERROR, 1, "only /tmp and /state can be written", "strategy.py:1: open"),
    "database": (
        "import sqlite3\nsqlite3.connect('my.db').execute('create table x(a)')\n",
        R.ERROR,
        1,
        "only /tmp and /state can be written",
        "strategy.py:2",
    ),
    "shell": (
        "import subprocess\nsubprocess.run(['ls'])",
        R.ERROR,
        1,
        "no program in a jail but Python",
        "strategy.py:2",
    ),
    "processes": (
        "import multiprocessing\nmultiprocessing.Pool(2)",
        R.ERROR,
        1,
        "multiprocessing needs /dev/shm, which jails have not",
        "strategy.py:2",
    ),
    "would-wait": (
        "import os\nr, w = os.pipe()\nos.set_blocking(r, False)\nos.read(r, 1)\n",
        R.ERROR,
        1,
        "wait for it with select",
        "strategy.py:4",
    ),
    "forks": (
        "import os, time\nwhile os.fork(): pass\ntime.sleep(60)",
        R.PIDS_LIMIT,
        1,
        "; at strategy.py:2: while",
        "",
    ),
    "abort": ("import os\nos.abort()", R.SIGNAL, None, "(SIGABRT); at strategy.py:2", "strategy.py:2"),
    "helper-syntax": ("import helper", R.ERROR, 1, "SyntaxError", "helper.py:1: def"),
}


async def test_every_death_has_its_word_its_figures_and_its_line(tmp_path: Path, jail_root: Path) -> None:
    """The story is complete: reason, sentence, code line, peak memory, CPU time, periods, last prints."""
    sources = {name: source for name, (source, *_) in DEATHS.items()}
    async with a_world(tmp_path, jail_root, sources, sandbox={"pids": 16, "tmp_mb": 8, "state_mb": 8}) as world:
        (world.strategies_dir / "helper-syntax" / "helper.py").write_text("def\n")
        await world.supervisor.start_enabled()
        world.feed(await world.until_fed("key-error"), LINE)
        for name, (_, reason, code, says, at) in DEATHS.items():
            end = await world.until_ended(name)
            assert (end.reason, end.exit_code) == (reason, code), (name, end)
            assert says in end.detail, (name, end)
            assert end.source_line.startswith(at), (name, end)
            assert bool(at) <= bool(end.traceback), (name, end)
            assert end.peak_memory_bytes, (name, end)
            assert end.cpu_seconds, (name, end)
            assert end.memory_max_bytes == 128 << 20, (name, end)
            assert end.periods is not None, (name, end)
            assert (end.traceback == "") or end.output, (name, end)


async def test_a_print_flood_is_held_back_and_ended_in_a_jail(tmp_path: Path, jail_root: Path) -> None:
    """Its own word and its figures, also where it prints in words that are no text; the log keeps its bound."""
    source = "import os\nline = bytes(range(255, 0, -1)) * 4 + b'\\n'\nwhile True: os.write(1, line * 60)\n"
    sandbox = {"log_flood_s": 1.0, "log_bytes_per_s": 65_536, "log_kept_bytes": 300_000, "stop_grace_s": 0.1}
    async with a_world(
        tmp_path, jail_root, {"alice": source, "bob": "import sys\nsys.stdin.read()"}, sandbox=sandbox
    ) as world:
        await world.supervisor.start_enabled()
        bob = await world.until_fed("bob")
        end = await world.until_ended("alice")
        assert end.reason is R.LOG_FLOOD, end
        assert "in 1 s without a pause, and was held back by [sandbox] log_bytes_per_s=65536; " in end.detail
        assert end.detail.endswith(" MB were dropped: print less"), end
        assert end.output
        assert end.peak_memory_bytes
        assert len(world.log("alice")) < 300_000
        assert world.ends("bob") == []
        world.feeds.detach(bob)


async def test_a_member_cannot_make_a_death_look_like_the_desks(tmp_path: Path, jail_root: Path) -> None:
    """That the script was reached is sealed by the kernel: wiping the page, or the runner, changes nothing."""
    source = """
        import gc, mmap, os
        for page in [it for it in gc.get_objects() if isinstance(it, mmap.mmap)]: page[:] = bytes(len(page))
        import sys
        frame = sys._getframe()
        while frame:
            for it in list(frame.f_locals.values()):
                if isinstance(it, mmap.mmap): it[:] = bytes(len(it))
            frame = frame.f_back
        os._exit(255)
    """
    async with a_world(tmp_path, jail_root, {"alice": source}) as world:
        end = await world.run("alice")
        assert (end.reason, end.exit_code) == (R.ERROR, 255)


STILL = {
    "asleep": ("import sys, time\nsys.stdin.readline()\ntime.sleep(600)", R.STALLED),
    "spins": ("import sys\nsys.stdin.readline()\nwhile True: pass", R.CPU_LIMIT),
    "never-reads": ("import time\ntime.sleep(600)", R.STALLED),
}
MOVES = {
    "slow": "import sys, time\nfor line in sys.stdin: time.sleep(0.5)",
    "busy": "import sys, time\nfor line in sys.stdin:\n    t = time.time()\n    while time.time() < t + 0.8: pass",
    "by-number": "import os\nwhile os.read(0, 65536): pass",
    "by-file": "for line in open(0): pass",
    "by-select": "import os, select\nwhile select.select([0], [], []) and os.read(0, 100): pass",
    "quiet": "import sys, time\nfor line in sys.stdin:\n    time.sleep(600)",  # at work on the only line it got
}


async def test_who_stands_still_is_ended_and_who_moves_is_not(tmp_path: Path, jail_root: Path) -> None:
    """Stalled and busy runs are told apart and ended; slow, busy and unusual readers are left alone."""
    sources = {name: source for name, (source, _) in STILL.items()} | MOVES
    sandbox = {"stalled_after_s": 2.0, "stalled_end_after_s": 3.0, "busy_after_s": 3.0, "cpu": 0.1, "stop_grace_s": 0.1}
    async with a_world(tmp_path, jail_root, sources, sandbox=sandbox) as world:
        await world.supervisor.start_enabled()
        runs = {name: await world.until_fed(name) for name in sources}
        world.feed(runs["quiet"], LINE)
        for name, run in runs.items():
            if name != "quiet":
                world.feed(run, LINE * 200)
        async with asyncio.TaskGroup() as feeding:
            task = feeding.create_task(go_on(world, {name: runs[name] for name in MOVES if name.startswith("by-")}))
            for name, (_, reason) in STILL.items():
                end = await world.until_ended(name)
                assert end.reason is reason, (name, end)
            await asyncio.sleep(2)
            task.cancel()
        assert {name: world.ends(name) for name in MOVES} == {name: [] for name in MOVES}
        [spins] = world.ends("spins")
        assert "of 0.1 cores for " in spins.detail
        assert "throttled " in spins.detail
        assert "199 lines wait" in spins.detail
        [asleep] = world.ends("asleep")
        assert "handled no line for 5 s; 199 lines wait" in asleep.detail
        [never] = world.ends("never-reads")
        assert "200 lines wait" in never.detail
        assert '"channels": ["orders"]' in never.detail
        warned = {fact.strategy_id for fact in world.facts if isinstance(fact, RunStalled)}
        assert warned == {"asleep", "spins", "never-reads"}


async def go_on(world: World, runs: dict[str, str]) -> None:
    """Feed these some lines at a time, for ever."""
    while True:
        for run in runs.values():
            world.feed(run, LINE * 3)  # type: ignore[arg-type]
        await asyncio.sleep(0.3)


@pytest.mark.parametrize("whom", ["the jail", "the script"])
async def test_who_is_killed_from_outside_is_not_blamed(tmp_path: Path, jail_root: Path, whom: str) -> None:
    """Nothing in a jail can send that to its first process: neither count nor reason is the member's, and it comes back."""
    source = "import os, signal, sys\nos.kill(os.getpid(), signal.SIGKILL)\nprint('alive')\nsys.stdin.read()\n"
    restart = {"backoff_initial_s": 60.0, "backoff_max_s": 60.0}
    async with a_world(tmp_path, jail_root, {"alice": source}, restart=restart) as world:
        await world.start("alice")
        await world.until_printed("alice", "alive")
        live = world.live("alice")
        assert live is not None
        assert live.pid is not None
        os.kill(live.pid if whom == "the jail" else _child_of(live.pid), signal.SIGKILL)
        end = await world.until_ended("alice")
        assert end.reason is R.SANDBOX_FAILURE, end
        assert "outside its jail killed it" in end.detail
        assert not world.ledger.streaks


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


async def test_a_slow_desk_is_nobodys_fault_but_its_own(tmp_path: Path, jail_root: Path) -> None:
    """Orders that the broker takes long for are no standstill; a question that nobody answers is no error of the run's."""
    sources = {
        "orders": (
            "import sys\nfrom desk_client import place_order\nsys.stdin.readline()\n"
            "for _ in range(4): print(place_order('AAPL', 1, 'buy').status)\nfor line in sys.stdin: pass\nprint('done')\n"
        ),
        "asks": "import desk_client\ndesk_client.get_bars('AAPL')\n",
        "poses": "import desk_client\ndesk_client.get_account()\nraise desk_client.DeskUnavailable('no answer')\n",
        "sleeps": "import sys, time\nsys.stdin.readline()\ntime.sleep(600)",
    }
    sandbox = {"stalled_after_s": 1.5, "stalled_end_after_s": 1.5}
    restart = {"backoff_initial_s": 60.0, "backoff_max_s": 60.0}
    async with (
        a_world(tmp_path, jail_root, sources, sandbox=sandbox, restart=restart) as world,
        asyncio.TaskGroup() as own,
    ):
        config = ApiSection(answer_timeout_s=2.0)
        api = Api(FakeOrders(answers=asyncio.Event()), SystemClock(), own, config=config, requests_per_s=20)
        world.supervisor.doors = api
        await world.supervisor.start_enabled()
        runs = {name: await world.until_fed(name) for name in ("orders", "sleeps")}
        for run in runs.values():
            world.feed(run, LINE * 20)
        assert (await world.until_ended("sleeps")).reason is R.STALLED
        assert (await world.until_ended("poses")).reason is R.ERROR
        asked = await world.until_ended("asks")
        assert asked.reason is R.SANDBOX_FAILURE, asked
        assert "the desk did not answer its question in time" in asked.detail
        assert "at strategy.py:2: desk_client.get_bars('AAPL')" in asked.detail
        await world.until_printed("orders", "pending\n")
        async with asyncio.timeout(HANG_S):
            while world.printed("orders").count("pending") < 4:  # noqa: ASYNC110  a file tells nobody when it grows
                await asyncio.sleep(0.05)
        world.feeds.detach(runs["orders"])
        assert (await world.until_ended("orders")).reason is R.CLEAN
        assert world.ledger.streaks.keys() == {"poses", "sleeps"}
        await api.close_all()
