"""The exchange as a real process: ready line, signals, SIGKILL, bad starts, its end with its parent."""

import asyncio
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deskd.journal import SOCKET
from deskd.venue.settings import VenueSettings, encode
from tests.venue.serving import HEADERS, ROOT, Process, settings, write_tape

ORDERS = 60  # of each life, on four connections
LIVES = 3


@contextmanager
def running(told: VenueSettings) -> Iterator[tuple[Process, str]]:
    process = Process(told)
    try:
        yield process, process.url()
    finally:
        process.end()


async def get(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def trade_until_killed(process: Process, url: str, life: int) -> list[str]:
    """Post orders on four connections; SIGKILL after a random number of answers; return what was answered."""
    answered: list[str] = []
    kill_after = random.Random(life).randrange(ORDERS // 2, ORDERS)

    async def trader(session: aiohttp.ClientSession, worker: int) -> None:
        for number in range(ORDERS):
            client_order_id = f"{life}-{worker}-{number}"
            fields = {"symbol": ["AAPL", "SPY", "IBM"][number % 3], "qty": 1 + number % 4, "time_in_force": "day"}
            side = (
                {"side": "buy", "type": "market"} if number % 3 else {"side": "buy", "type": "limit", "limit_price": 1}
            )
            order = {**fields, **side, "client_order_id": client_order_id}
            try:
                async with session.post("/v2/orders", json=order) as answer:
                    assert answer.status == 200, await answer.text()
                    await answer.read()
            except aiohttp.ClientError:
                return
            answered.append(client_order_id)
            if len(answered) == kill_after:
                process.popen.kill()

    async with aiohttp.ClientSession(url, headers=HEADERS) as session, asyncio.TaskGroup() as tasks:
        for worker in range(4):
            tasks.create_task(trader(session, worker))
    assert process.popen.wait(10) == -signal.SIGKILL
    return answered


async def check_books(session: aiohttp.ClientSession, answered: list[str]) -> None:
    """Every answered order is there; cash and positions are the fold of the fills."""
    for client_order_id in answered:
        order = await get(session, f"/v2/orders:by_client_order_id?client_order_id={client_order_id}")
        assert order["client_order_id"] == client_order_id
    fills: list[dict[str, Any]] = []
    while page := await get(
        session,
        "/v2/account/activities/FILL?direction=asc" + (f"&page_token={fills[-1]['id']}" if fills else ""),
    ):
        fills += page
    cash, held = Decimal(100000), defaultdict[str, Decimal](Decimal)
    for fill in fills:
        signed = Decimal(fill["qty"]) * (1 if fill["side"] == "buy" else -1)
        cash -= signed * Decimal(fill["price"])
        held[fill["symbol"]] += signed
    assert Decimal((await get(session, "/v2/account"))["cash"]) == cash
    positions = {row["symbol"]: Decimal(row["qty"]) for row in await get(session, "/v2/positions")}
    assert positions == held
    orders = await get(session, "/v2/orders?status=all&limit=500")
    filled = sum(Decimal(order["filled_qty"]) for order in orders)
    assert filled == sum(held.values())


async def test_every_answered_order_survives_sigkill(tmp_path: Path) -> None:
    """Killed in the middle of trading, again and again, the exchange forgets nothing that it answered."""
    told = settings(write_tape(tmp_path / "tape"), state=tmp_path / "exchange.db")
    answered: list[str] = []
    account = None
    market_time = ""
    for life in range(LIVES):
        with running(told) as (process, url):
            async with aiohttp.ClientSession(url, headers=HEADERS) as session:
                await check_books(session, answered)
                clock = await get(session, "/v2/clock")
                assert clock["timestamp"] >= market_time, "the market does not go back"
                market_time = clock["timestamp"]
                number = (await get(session, "/v2/account"))["account_number"]
                assert account in {None, number}
                account = number
            answered += await trade_until_killed(process, url, life)
    with running(told) as (process, url):
        async with aiohttp.ClientSession(url, headers=HEADERS) as session:
            await check_books(session, answered)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end the process with 0, and its last words are that it stopped."""
    with running(settings(write_tape(tmp_path / "tape"), state=tmp_path / "x.db")) as (process, _):
        process.popen.send_signal(number)
        assert process.popen.wait(10) == 0
        assert "exchange_stopped" in process.errors()


def test_a_client_that_does_not_answer_delays_no_end(tmp_path: Path) -> None:
    """With a stream open whose client neither reads nor closes, the process ends within seconds all the same."""
    with running(settings(write_tape(tmp_path / "tape"))) as (process, url):
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as deaf:
            deaf.sendall(
                b"GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert b"101" in deaf.recv(100)
            process.popen.terminate()
            assert process.popen.wait(5) == 0


def test_it_says_which_keys_hold_and_never_the_secret(tmp_path: Path) -> None:
    """The ready line on standard error tells of the keys; a secret is never written."""
    with running(settings(write_tape(tmp_path / "tape"))) as (process, _):
        process.popen.terminate()
        errors = process.errors()
    assert "from the environment" in errors
    assert "test-secret" not in errors


def start_fails(told: VenueSettings, *, code: int = 78) -> str:
    """Return what a start that cannot work says; it must be one sentence, and end with the code."""
    process = Process(told)
    try:
        assert process.popen.wait(30) == code
        lines = [line for line in process.errors().splitlines() if not line.startswith("{")]
        assert len(lines) == 1, lines
        return lines[0]
    finally:
        process.end()


def test_a_bad_start_is_one_clear_sentence(tmp_path: Path) -> None:
    """A tape or state that cannot be used is named, with the remedy, and the exit code is 78 (more: test_assembly)."""
    tape = write_tape(tmp_path / "tape")
    assert "no such file" in start_fails(settings(tmp_path / "tapes"))
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database, but long enough to be looked at" * 100)
    assert f"exchange.state {broken}" in start_fails(settings(tape, state=broken))


def test_a_port_or_state_in_use_is_told(tmp_path: Path) -> None:
    """A second exchange on the same port, or on the same state, is refused and says what to do."""
    tape = write_tape(tmp_path / "tape")
    with running(settings(tape, state=tmp_path / "x.db")) as (_, url):
        assert "cannot listen on" in start_fails(settings(tape, listen=url.removeprefix("http://")))
        assert "in use by another exchange" in start_fails(settings(tape, state=tmp_path / "x.db"), code=1)


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """Where the desk is killed, its exchange is gone at once; the state is whole."""
    told = settings(write_tape(tmp_path / "tape"), state=tmp_path / "x.db", die_with_parent=True)
    told_file = tmp_path / "told.json"
    told_file.write_bytes(encode(told))
    parent_code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'deskd.venue'], stdin=open({str(told_file)!r}),"
        " stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=environment,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(") ")[1][:1]:
        assert time.monotonic() < deadline, "the exchange outlived its parent"
        time.sleep(0.01)
    with closing(sqlite3.connect(tmp_path / "x.db")) as state:
        assert state.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_parent_that_is_already_gone_is_noticed(tmp_path: Path) -> None:
    """Whose desk died before it could ask to die with it does not start."""
    told = settings(write_tape(tmp_path / "tape"), die_with_parent=True, parent_pid=1 << 22)
    assert "already gone" in start_fails(told)


@pytest.mark.skipif(Path(SOCKET).exists(), reason="the entries would go into this machine's own journal")
@pytest.mark.parametrize(("tape", "code"), [(True, 0), (False, 78)], ids=["ends", "cannot_start"])
def test_under_systemd_its_log_is_entries_of_the_journal(tmp_path: Path, *, tape: bool, code: int) -> None:
    """As the desk's own: no JSON in a message, and why it could not start is an error.

    Where the journal is not there to take entries, they are lines of stderr with their priority before them.
    """
    heard, stderr = os.pipe()
    at = os.fstat(stderr)
    folder = write_tape(tmp_path / "tape") if tape else tmp_path / "none"
    process = subprocess.Popen(
        [sys.executable, "-m", "deskd.venue"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}"},
    )
    os.close(stderr)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(encode(settings(folder)))
    process.stdin.close()
    process.stdout.readline()
    process.terminate()
    with os.fdopen(heard) as told:
        lines = told.read().splitlines()
    process.stdout.close()
    assert process.wait(10) == code
    events = [line.split()[0] for line in lines if not line.startswith("<4>")]
    assert events == (["<6>exchange_ready", "<6>exchange_stopped"] if tape else ["<3>exchange_ended"])
