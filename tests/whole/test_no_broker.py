"""No broker at the start, or half of one: the desk stands and says so, trades nothing, and trades as soon as it can."""

import asyncio
import json
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.whole.books import soon_agree
from tests.whole.desk_process import ROOT, DeskProcess, a_desk_process
from tests.whole.exchange_process import KEYS, Exchange, an_exchange
from tests.whole.test_bad_input import refused, until_printed

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

# Asks whether or not it hears of prices; says what it is answered whenever that changes, and of its first line.
ASKS = """
    import sys, threading, time
    from desk_client import place_order
    def listen():
        for line in sys.stdin:
            print("heard a line", flush=True)
            break
        for line in sys.stdin:
            pass
    threading.Thread(target=listen, daemon=True).start()
    side, last = "buy", None
    while True:
        answer = place_order("SPY", "1", side, timeout=3)
        if answer.status == "success":
            side = "sell" if side == "buy" else "buy"
        if answer.reason != last:
            last = answer.reason
            print("reason", last, flush=True)
        time.sleep(0.1)
"""
QUICK = """
            reconcile_every_s = 1.0
            [risk.strategy]
            duplicate_window_s = 0
            orders_per_day_max = 100000
            orders_per_minute_max = 1000
            position_share_max = 1
            daily_loss_max = 10000
"""


@pytest.fixture
def free_port() -> Iterator[int]:
    """Hold a port that nobody listens at until the test lets go of it."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def a_desk_at(desk: DeskProcess, url: str) -> None:
    desk.environment = KEYS
    desk.configure(f"[broker]\n{Exchange.broker_keys_of(url)}{QUICK}".replace("            ", ""))
    desk.strategy("ann", ASKS, {"symbols": ["SPY"]})


async def status(desk: DeskProcess) -> dict[str, object]:
    """Return what `deskctl status --json` says of the desk."""
    config = str(desk.folder / "etc" / "desk.toml")
    command = [sys.executable, "-m", "deskd.cli.deskctl", "--config", config, "status", "--json"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    found = json.loads(out)
    return dict(found.get("desk", found))


def approved(state: Path) -> int:
    with closing(sqlite3.connect(state / "desk.db")) as db:
        (count,) = db.execute("SELECT count(*) FROM facts WHERE kind IN ('OrderApproved', 'OrderDenied')").fetchone()
        return int(count)


async def trades_nothing(desk: DeskProcess) -> None:
    """Assert that the desk is up, says why it takes no orders, and that its member is told the same."""
    told = await status(desk)
    assert told["takes_orders"] is False
    assert "stream of trade updates is down or not yet re-synced" in str(told["why_not"])
    said = await until_printed(desk, "ann", "reason TRADE_STREAM_DOWN")
    assert "reason None" not in said
    assert approved(desk.state) == 0


async def test_with_nobody_at_the_address_it_stands_and_trades_once_somebody_is(folder: Path, free_port: int) -> None:
    """Within its bound it is up and says whom it cannot reach; its strategies run; the broker comes, and they trade."""
    (folder / "var").mkdir()
    async with a_desk_process(folder) as desk:
        a_desk_at(desk, f"http://127.0.0.1:{free_port}")
        await desk.start()
        told = [line["event"] for line in desk.log]
        assert "broker_unreachable" in told
        assert told.index("broker_not_reached") < told.index("desk_ready")
        await trades_nothing(desk)
        assert "heard a line" not in (desk.state / "logs" / "ann.log").read_text()
        async with an_exchange(folder / "var" / "exchange.db", listen=f"127.0.0.1:{free_port}"):
            await desk.hears("order_filled", 5)
            await until_printed(desk, "ann", "heard a line")
            assert (await status(desk))["takes_orders"] is True
            assert await desk.end() == 0
            await soon_agree(desk.state)


async def test_with_streams_alone_it_trades_nothing_until_the_rest_answers(folder: Path) -> None:
    """Every REST answer is 500: prices come, but no order is taken that could not be looked up."""
    (folder / "var").mkdir()
    async with an_exchange(folder / "var" / "exchange.db") as exchange, a_desk_process(folder) as desk:
        await exchange.misbehave({"rest": [{"path": "/v2", "times": 10**9, "status": 500}]})
        a_desk_at(desk, exchange.url)
        await desk.start()
        assert (await status(desk))["trade_stream_is_up"] is True
        await trades_nothing(desk)
        await until_printed(desk, "ann", "heard a line")
        await exchange.behave()
        await desk.hears("order_filled", 5)
        assert await desk.end() == 0
        await soon_agree(desk.state)


async def test_refused_keys_are_one_sentence_and_an_end(folder: Path) -> None:
    """What only an officer can mend is not tried for ever; the secret is not shown."""
    (folder / "var").mkdir()
    async with an_exchange(folder / "var" / "exchange.db") as exchange, a_desk_process(folder) as desk:
        a_desk_at(desk, exchange.url)
        desk.environment = {"APCA_API_KEY_ID": "PKWRONG", "APCA_API_SECRET_KEY": "a-wrong-secret"}
        code, words = await refused(desk)
        assert code == 1
        assert words.count("check APCA_API_KEY_ID and APCA_API_SECRET_KEY") in {1, 2}  # one a stream
        assert "Traceback" not in words
        assert "a-wrong-secret" not in str(desk.log)
        assert not [line for line in desk.log if line["event"] == "desk_ready"]


async def test_a_name_that_nobody_knows_is_told_and_tried_again(folder: Path) -> None:
    """DNS may come back; the desk stands meanwhile, and its status says why it takes no orders."""
    async with a_desk_process(folder) as desk:
        a_desk_at(desk, "https://broker.invalid")
        await desk.start(ready=False)
        await desk.hears("broker_unreachable")
        assert (await status(desk))["why_not"] == "the desk is starting: try again later"
        assert not desk.is_over
        assert await desk.end() == 0


async def test_a_port_that_is_taken_is_a_wrong_configuration(folder: Path) -> None:
    """The sentence names the key, the address and the way out; another start would end the same."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with a_desk_process(folder) as desk:
            desk.configure(f'[exchange]\nlisten = "127.0.0.1:{port}"')
            code, words = await refused(desk)
            assert code == 78
            assert f"exchange.listen: cannot listen on 127.0.0.1:{port}" in words
            assert "port 0 for any free one" in words
            assert "Traceback" not in words
