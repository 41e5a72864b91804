"""The whole desk as a process of the fairness bench, with real runs in jails.

usage: python -m tests.bench.fairness_desk FOLDER READERS CALLERS CRASHERS RATE

Says `ready` when readers and callers run and RATE trades a second flow, then obeys `start NAME` (answers `started`),
`stop NAME` (`stopped`), `storm` (starts all crashers; `looping` when each has died once), `calm` (waits until all are
given up; `calm`) and `lag` (`lag NS...`: by how much the loop was late since the last one). At the end of its input it
stops the desk: each run then writes /state/took.bin: a mark, its size, and pairs of when and how long, in nanoseconds.
"""

import asyncio
import json
import sys
import time
from decimal import Decimal
from pathlib import Path

import uvloop

from deskd import log as logs
from deskd.app.daemon import Daemon, opened
from deskd.config import Config
from deskd.domain.ids import StrategyId
from deskd.domain.run import RunStatus
from tests.bench.orders_desk import commands

SYMBOL = "AAPL"
LAG_EVERY_S = 0.005
DEAD = (RunStatus.BACKOFF, RunStatus.FATAL)
FRAME_S = 0.01
READER = """
import array, json, sys, time
took, clock = array.array("q"), time.monotonic_ns
for line in sys.stdin:
    sent = json.loads(line).get("size", 0)
    if sent > 10**9:
        took.append(sent)
        took.append(clock() - sent)
open("/state/took.bin", "wb").write(b"took in pairs...%16d" % (len(took) * 8) + took.tobytes())
"""
CALLER = """
import array, sys, threading, time
from desk_client import place_order
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
took = array.array("q")
while not over.wait(0.06):
    began = time.monotonic_ns()
    place_order("AAPL", "900000", "buy")
    took.append(began)
    took.append(time.monotonic_ns() - began)
open("/state/took.bin", "wb").write(b"took in pairs...%16d" % (len(took) * 8) + took.tobytes())
"""
GREEDY = """
import os, socket, threading
from desk_client.pb import order_pb2
body = order_pb2.OrderRequest(symbol="AAPL", qty="900000", side="buy").SerializeToString()
head = "POST /order HTTP/1.1\\r\\nHost: desk\\r\\nContent-Type: application/x-protobuf\\r\\nContent-Length: "
requests = (head + str(len(body)) + "\\r\\n\\r\\n").encode() + body

def flood():
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as desk:
                desk.connect("/run/desk/order.sock")
                while True:
                    desk.sendall(requests * 20)
                    desk.recv(65536)
        except OSError:
            continue

for _ in range(3):
    if not os.fork():
        for _ in range(4):
            threading.Thread(target=flood).start()
        flood()
if not os.fork():
    while True:
        os.write(1, b"greed " * 10_000 + b"\\n")
if not os.fork():
    while True:
        pass
while True:
    pass
"""


def write(folder: Path, name: str, source: str, settings: dict[str, object]) -> None:
    place = folder / "strategies" / name
    place.mkdir(parents=True)
    (place / "strategy.py").write_text(source)
    (place / "config.json").write_text(json.dumps({"symbols": [SYMBOL]} | settings))


def a_config(folder: Path) -> Config:
    return Config.model_validate(
        {
            "desk": {
                "state_dir": folder / "state",
                "runtime_dir": folder / "run",
                "strategies_dir": folder / "strategies",
            },
            "broker": {"reconcile_every_s": 3600},
            "exchange": {"cash": Decimal(1_000_000_000)},
            "market": {"stale_after_s": 3600},
            "sandbox": {"stop_grace_s": 2.0},
            "restart": {"give_up_after": 3},
            "risk": {"automatic": {"deaths_max": 0}},  # else fifty that die stop all orders, and none is measured
        }
    )


async def trade(daemon: Daemon, rate: int) -> None:
    """Hand the hub frames of trades, stamped with when they were due: a loop that is late is counted."""
    began, size = time.monotonic(), max(1, round(rate * FRAME_S))
    number = 0
    while True:
        number += 1
        due = began + number * FRAME_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        stamp = int(due * 1e9)
        one = {"T": "t", "S": SYMBOL, "i": 1, "x": "V", "p": 100.25, "s": stamp, "c": ["@"], "z": "C"}
        daemon.hub.on_messages([one | {"t": "2026-11-20T15:04:05.123456789Z"} for _ in range(size)])


async def measure(late: list[int]) -> None:
    while True:
        due = time.monotonic_ns() + int(LAG_EVERY_S * 1e9)
        await asyncio.sleep(LAG_EVERY_S)
        late.append(max(0, time.monotonic_ns() - due))


async def obey(daemon: Daemon, crashers: list[StrategyId], late: list[int]) -> None:
    said, runs = await commands(), daemon.supervisor
    print("ready", flush=True)
    while words := (await said.readline()).decode().split():
        match words:
            case ["start", name]:
                await runs.start(StrategyId(name))
                print("started", flush=True)
            case ["stop", name]:
                end = runs.last_end(StrategyId(name))
                await runs.stop(StrategyId(name))
                print("stopped", end.reason if end else "alive", flush=True)
            case ["storm"]:
                for name in crashers:
                    await runs.start(name)
                alive = set(crashers)
                while alive:
                    await asyncio.sleep(0.01)
                    alive -= {name for name in alive if runs.status(name) in DEAD}
                print("looping", flush=True)
            case ["calm"]:
                while any(runs.status(name) is not RunStatus.FATAL for name in crashers):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                print("calm", flush=True)
            case _:
                print("lag", *late, flush=True)
                late.clear()


async def main(folder: Path, readers: int, callers: int, crashers: int, rate: int) -> None:
    for n in range(readers):
        write(folder, f"reader{n:02}", READER, {"channels": ["trades"]})
    for n in range(callers):
        write(folder, f"caller{n:02}", CALLER, {"channels": ["status"]})
    for n in range(crashers):
        write(folder, f"crash{n:02}", f"raise ValueError({n})\n", {"enabled": False})
    write(folder, "greedy", GREEDY, {"channels": ["trades", "quotes", "bars"], "enabled": False})
    names = [StrategyId(f"crash{n:02}") for n in range(crashers)]
    async with opened(a_config(folder), None, goes_first=True) as daemon:
        await daemon.start()
        await daemon.trade()
        late: list[int] = []
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(trade(daemon, rate), name="trades"),
                tasks.create_task(measure(late), name="loop lag"),
            ]
            await obey(daemon, names, late)
            for task in beside:
                task.cancel()
        await daemon.stop()


if __name__ == "__main__":
    place, *figures = sys.argv[1:]
    logs.configure(level="warning", format="json")
    uvloop.run(main(Path(place), *map(int, figures)))
