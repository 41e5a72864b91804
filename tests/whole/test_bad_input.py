"""Whatever is put into the desk: one clear sentence that names the thing and the remedy, and nobody else is touched."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deskd.ledger.migrating import migrations
from tests.hang import HANG_S
from tests.whole.books import agree
from tests.whole.desk_process import DeskProcess, a_desk_process

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

FAST = """
    [exchange]
    speed = 5.0
    fills = "immediate"
    [risk.strategy]
    duplicate_window_s = 0
    orders_per_day_max = 100000
    orders_per_minute_max = 1000
    position_share_max = 1
    daily_loss_max = 10000
"""
WAITS = "import sys\nfor line in sys.stdin: pass\n"
TRADES = """
    import json, sys
    from desk_client import place_order
    side = "buy"
    for line in sys.stdin:
        if place_order(json.loads(line)["symbol"], "1", side).status == "success":
            side = "sell" if side == "buy" else "buy"
"""
NONSENSE = """
    from desk_client import place_order
    for order in [
        ("SPY", "-1", "buy"), ("SPY", "0", "buy"), ("SPY", "nan", "buy"), ("SPY", "1e400", "buy"), ("SPY", "\\u0661", "buy"),
        ("SPY", "x" * 5000, "buy"), ("SPY", "1", "hold"), ("\\U0001f4a9", "1", "buy"), ("SPY", None, "buy"),
        ("SPY", "1", "buy", "limit"), ("SPY", "1", "buy", "limit", "day", "-3"),
    ]:
        print("form", place_order(*order).status)
    for order in [("SPY", "900", "buy"), ("NOPE", "1", "buy"), ("SPY", "1", "sell")]:
        print("gate", place_order(*order).status)
    print("all said")
"""
RAW = """
    import os, socket, time
    POST = b"POST /order HTTP/1.1\\r\\nHost: desk\\r\\nContent-Type: application/x-protobuf\\r\\nContent-Length: %d\\r\\n\\r\\n"
    def status(body):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect("/run/desk/order.sock")
            s.sendall(POST % len(body) + body)
            return int(s.recv(4096).split()[1])
    print("random", {status(os.urandom(n)) for n in (1, 10, 100, 1000)} <= {400})
    print("oversized", status(bytes(17_000)))
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("/run/desk/order.sock")
        seen = set()
        for _ in range(2_000):
            s.sendall(POST % 3 + b"\\x00\\xff\\x00")
            seen.add(int(s.recv(65_536).split()[1]))
    print("burst", sorted(seen))
    time.sleep(600)
"""


async def refused(desk: DeskProcess, *options: str) -> tuple[int, str]:
    """Start the desk, which cannot go on; return its exit code and its last words."""
    await desk.start(*options, ready=False)
    assert desk.process is not None
    assert desk.reading is not None
    async with asyncio.timeout(HANG_S):
        code = await desk.process.wait()
        await desk.reading
    return code, "".join(line["text"] for line in desk.log if line["event"] == "<text>")


async def until_printed(desk: DeskProcess, name: str, text: str) -> str:
    """Return the strategy's log once *text* is in it."""
    path = desk.state / "logs" / f"{name}.log"
    async with asyncio.timeout(HANG_S):
        while not path.exists() or text not in path.read_text():  # noqa: ASYNC110  a file tells nobody
            await asyncio.sleep(0.05)
    return path.read_text()


async def test_nonsense_in_orders_is_answered_and_the_others_trade(folder: Path) -> None:
    """Wrong forms are errors, wrong wishes are denied, bytes that are no message are 400, a burst meets the rate limit."""
    async with a_desk_process(folder) as desk:
        desk.configure(FAST)
        desk.strategy("good", TRADES)
        desk.strategy("nonsense", NONSENSE)
        desk.strategy("raw", RAW)
        await desk.start()
        said = await until_printed(desk, "nonsense", "all said")
        assert said.count("out form error") == 11
        assert said.count("out gate denied") == 3
        said = await until_printed(desk, "raw", "burst")
        assert "random True" in said
        assert "oversized 413" in said
        assert "burst [400, 429]" in said or "burst [429]" in said
        so_far = sum(line.get("event") == "order_filled" for line in desk.log)
        await desk.hears("order_filled", so_far + 10)
        assert await desk.end() == 0
        assert len(agree(desk.state).fills) >= 10


async def test_a_ledger_in_use_or_from_a_newer_desk_is_left_alone(folder: Path) -> None:
    """The sentence names the file and the remedy; the ledger is not changed."""
    async with a_desk_process(folder) as desk, a_desk_process(folder) as second:
        desk.configure("")
        desk.strategy("waits", WAITS)
        await desk.start()
        code, words = await refused(second)
        assert code == 1
        assert f"{desk.state}/desk.db: another desk is using this ledger: stop it first" in words
        assert await desk.end() == 0
        with closing(sqlite3.connect(desk.state / "desk.db")) as db:
            db.execute("INSERT INTO migrations VALUES (9999, 'of tomorrow', '')")
            db.commit()
            (facts,) = db.execute("SELECT count(*) FROM facts").fetchone()
        code, words = await refused(second)
        assert code == 1
        newest = migrations()[-1].version
        assert f"the ledger is of version 9999, this deskd knows {newest}: install the newer deskd" in words
        with closing(sqlite3.connect(desk.state / "desk.db")) as db:
            assert db.execute("SELECT count(*) FROM facts").fetchone() == (facts,)


async def test_a_tape_that_is_mostly_bad_is_refused_by_name(folder: Path) -> None:
    """Some bad rows are dropped and counted; a file that is mostly wrong plays nothing."""
    tape = folder / "bad.csv"
    tape.write_text("t,S,x,p,s,c,i,z\nyesterday,SPY,Q,1,1,,1,A\n2013-10-08T13:30:00Z,SPY,Q,-1,1,,2,A\n")
    async with a_desk_process(folder) as desk:
        desk.configure("")
        code, words = await refused(desk, "--tape", str(tape))
        assert code == 78
        assert f"{tape}: 2 of 2 rows are bad" in words


async def test_a_broker_that_is_not_there_is_told_and_shows_no_secret(folder: Path) -> None:
    """In mode alpaca with nobody at the address the desk stays up, says whom it cannot reach, and tries again."""
    async with a_desk_process(folder) as desk:
        nobody = "127.0.0.1:9"
        desk.configure(f"""
            [broker]
            mode = "alpaca"
            trading_url = "http://{nobody}"
            data_url = "http://{nobody}"
            data_stream_url = "ws://{nobody}"
            trade_stream_url = "ws://{nobody}"
        """)
        desk.strategy("waits", WAITS)
        desk.environment = {"APCA_API_KEY_ID": "PKNOBODY", "APCA_API_SECRET_KEY": "nobodys-secret"}
        await desk.start(ready=False)
        await desk.hears("broker_unreachable")
        assert await desk.ctl("status") == 0
        assert not desk.is_over
        assert "nobodys-secret" not in str(desk.log)
