"""A member's own machine: no jail, no socket of its own, the same desk."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deskd.api.tokens import load
from deskd.domain.ids import StrategyId
from tests.whole.books import agree
from tests.whole.desk_process import ROOT, a_desk_process
from tests.whole.exchange_process import KEYS, an_exchange
from tests.whole.test_bad_input import until_printed

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

READER = """
import sys
for line in sys.stdin:
    print("quoted", flush=True)
"""
BUYER = """
import os, time
os.environ.pop("USER_ID", None)
from desk_client import get_position, place_order

answer = place_order("AAPL", "3", "buy")
print(answer.status, answer.reason)
until = time.monotonic() + 20
while answer.status == "success" and get_position("AAPL").qty != "3" and time.monotonic() < until:
    time.sleep(0.05)
print(get_position("AAPL").qty)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def laptop(port: int, name: str, **environment: str) -> list[str]:
    """Run the buyer as a member would at home; return the lines it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BUYER),
        env={
            "PYTHONPATH": str(ROOT / "sandbox"),
            "DESK_SERVER_URL": f"http://127.0.0.1:{port}",
            "STRATEGY_ID": name,
        }
        | environment,
        stdout=subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode().splitlines()


async def test_a_laptop_trades_as_its_strategy(folder: Path) -> None:
    """Its order is filled; an unknown name trades nothing, and a strategy that was stopped trades from nowhere."""
    port = free_port()
    async with a_desk_process(folder) as desk:
        desk.configure(f"""
            [exchange]
            speed = 5.0
            fills = "immediate"
            [api]
            local_port = {port}
            [risk.desk]
            orders_wait_for_open = true
        """)
        desk.strategy("ann", READER, {"symbols": ["AAPL"], "channels": ["quotes"]})
        await desk.start()
        await until_printed(desk, "ann", "quoted")  # without a quote nothing is bought
        assert await laptop(port, "ann") == ["success ", "3"]
        assert (await laptop(port, "eve"))[0] == "error IDENTITY"
        assert await desk.ctl("token", "ann") == 1  # none is needed with the desk's own exchange
        assert await desk.ctl("stop", "ann") == 0
        assert await laptop(port, "ann") == ["denied STRATEGY_NOT_ACTIVE", "3"]
        assert await desk.end() == 0
        books = agree(desk.state)
        assert books.holdings == {"AAPL": 3}


async def test_with_a_real_broker_a_laptop_needs_a_token(folder: Path) -> None:
    """A name is believed no more: without the token of an officer's giving, or with another's, nothing is traded."""
    port = free_port()
    (folder / "var").mkdir()
    async with an_exchange(folder / "var" / "exchange.db") as exchange, a_desk_process(folder) as desk:
        desk.environment = KEYS
        desk.configure(f"""
            [broker]
            {exchange.broker_keys}
            [api]
            local_port = {port}
            [risk.desk]
            orders_wait_for_open = true
        """)
        for name in ("ann", "ben"):
            desk.strategy(name, READER, {"symbols": ["AAPL"], "channels": ["quotes"]})
        await desk.start()
        await until_printed(desk, "ben", "quoted")
        assert await desk.ctl("token", "ann") == 0
        tokens = load(desk.state / "token.key")
        assert (await laptop(port, "ann"))[0] == "error IDENTITY"
        assert (await laptop(port, "ben", DESK_TOKEN=tokens.issue(StrategyId("ann"))))[0] == "error IDENTITY"
        assert await laptop(port, "ann", DESK_TOKEN=tokens.issue(StrategyId("ann"))) == ["success ", "3"]
        assert await desk.end() == 0
        agree(desk.state)


async def test_a_port_that_is_taken_is_told_with_the_remedy(folder: Path) -> None:
    """The desk does not start without the door it was told to open."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with a_desk_process(folder) as desk:
            desk.configure(f"[api]\nlocal_port = {port}\n")
            await desk.start(ready=False)
            await desk.hears("<end>")
            assert desk.process is not None
            assert await desk.process.wait() != 0
            said = [line["text"] for line in desk.log if line["event"] == "<text>"]
            assert any(f"api.local_port = {port}: Address already in use; choose another" in text for text in said), (
                said
            )
