"""Who is at the door: the socket says it, the kernel proves it, and nobody speaks for another."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from deskd.api.tokens import Tokens
from deskd.domain.errors import ConfigError
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.strategy import DeskWait, StrategySpec
from tests.api.client import Client, a_call, a_client, an_order
from tests.api.fakes import RUN, FakeOrders, OpenApi, SteppedClock, a_spec, an_api
from tests.factories import ALICE, BOB
from tests.hang import HANG_S

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes another uid, which needs root")

TOKENS = Tokens(b"k" * 32)
SPECS: Mapping[StrategyId, StrategySpec] = {ALICE: a_spec(ALICE), BOB: a_spec(BOB)}


async def test_a_name_that_disagrees_is_refused_and_reported(tmp_path: Path) -> None:
    """A header can only agree with the socket; who claims another name is in the security log, cut short."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        assert (await client.order(headers={"X-User-ID": "alice_user"})).status == 200
        with capture_logs() as logs:
            refused = await client.order(headers={"X-User-ID": "bob" + "x" * 500})
        assert (refused.status, refused.order.status, refused.order.reason) == (403, "error", "IDENTITY")
        assert "set user_id in config.json" in refused.order.message
        (entry,) = logs
        assert (entry["event"], entry["strategy_id"]) == ("identity_refused", "alice")
        assert entry["user_id"] == SPECS[ALICE].user_id  # who follows a member in the journal sees it
        assert len(entry["claimed"]) == 60
        assert len(desk.orders.known) == 1


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    """Return a folder that other uids may pass through, as the supervisor makes it."""
    tmp_path.chmod(0o711)
    return tmp_path


@needs_root
async def test_only_the_runs_own_uid_gets_through(run_directory: Path) -> None:
    """The kernel says who connects: a peer of another uid is refused before it has said a word."""
    async with an_api(run_directory, uid=200_001) as desk:
        assert (desk.socket_path.stat().st_gid, desk.socket_path.stat().st_mode & 0o777) == (200_001, 0o660)
        with capture_logs() as logs:
            assert await _connect_as(200_001, desk) == 200
            assert await _connect_as(0, desk) == 403
        (entry,) = logs
        assert (entry["event"], entry["peer_uid"], entry["uid"]) == ("peer_refused", 0, 200_001)
        assert await _connect_as(200_002, desk) == "PermissionError"


async def _connect_as(uid: int, desk: OpenApi) -> int | str:
    """Ask for the account from a process of that uid; return the status, or the error that ended it."""
    script = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "try: s.connect('order.sock')\n"
        "except OSError as e: print(type(e).__name__); sys.exit()\n"
        "try: s.sendall(b'GET /account HTTP/1.1\\r\\nHost: desk\\r\\n\\r\\n')\n"
        "except BrokenPipeError: pass\n"
        "print(s.recv(100).split()[1].decode())\n"
    )
    # the folders above a test's are closed to others: the script is in the folder before it changes its uid
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", script, str(desk.socket_path), str(uid)),
        cwd=desk.socket_path.parent,
        stdout=subprocess.PIPE,
    )
    out, _ = await process.communicate()
    text = out.decode().strip()
    return int(text) if text.isdigit() else text


async def test_over_its_rate_a_strategy_is_told_to_wait(tmp_path: Path) -> None:
    """429 with Retry-After; after the wait it goes on; it is in the log once, not once a request."""
    clock = SteppedClock()
    async with an_api(tmp_path, clock=clock, requests_per_s=3) as desk, a_client(desk.socket_path) as client:
        with capture_logs() as logs:
            statuses = [(await client.order()).status for _ in range(6)]
            assert statuses == [200, 200, 200, 429, 429, 429]
            refused = await client.order(client_order_id="late")
            assert (refused.headers["retry-after"], refused.order.reason) == ("1", "RATE")
            assert (refused.order.client_order_id, "requests_per_s=3" in refused.order.message) == ("late", True)
            clock.seconds += 0.4
            assert (await client.order()).status == 200
        assert [(entry["event"], entry["user_id"]) for entry in logs] == [
            ("request_rate_exceeded", SPECS[ALICE].user_id)
        ]


async def test_a_strategy_may_bound_itself_tighter(tmp_path: Path) -> None:
    """`limits` in config.json can only tighten the rate."""
    spec = a_spec(limits={"requests_per_s": Decimal(1)})
    api = an_api(tmp_path, spec=spec, clock=SteppedClock(), requests_per_s=3)
    async with api as desk, a_client(desk.socket_path) as client:
        assert [(await client.order()).status for _ in range(2)] == [200, 429]


async def test_ten_thousand_orders_in_a_burst_disturb_nobody(tmp_path: Path) -> None:
    """The flooder gets his rate and clear refusals; his neighbour's orders pass meanwhile; nothing is lost."""
    (tmp_path / "bob").mkdir()
    async with an_api(tmp_path, requests_per_s=100) as desk, a_client(desk.socket_path) as flooder:
        await desk.api.open(SPECS[BOB], RunId("bob-run"), tmp_path / "bob", None)
        flooder.writer.write(a_call("POST", "/order", an_order()) * 10_000)
        async with a_client(tmp_path / "bob" / "order.sock") as neighbour:
            assert [(await neighbour.order()).status for _ in range(20)] == [200] * 20
        statuses = [(await flooder.answer()).status for _ in range(500)]
        flooder.writer.transport.abort()
        assert set(statuses) == {200, 429}
        assert sum(order.request.strategy_id == BOB for order in desk.orders.known.values()) == 20


async def test_garbage_at_the_door_is_answered_in_the_orders_own_form(tmp_path: Path) -> None:
    """Bytes that are no HTTP still get a message that desk_client can read."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        await client.send(os.urandom(64) + b"\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.order.status, answer.order.reason) == (400, "error", "INVALID")
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        await client.send(b"POST /order HTTP/1.1\r\nHost: desk\r\nContent-Length: 16385\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.order.reason) == (413, "TOO_LARGE")


async def test_what_is_refused_at_the_door_is_in_the_log_once_in_a_while(tmp_path: Path) -> None:
    """Whose bytes, which rule, and how many more: a flood of them does not fill the desk's log."""
    clock = SteppedClock()
    async with an_api(tmp_path, clock=clock) as desk:
        with capture_logs() as logs:
            for _ in range(5):
                async with a_client(desk.socket_path) as client:
                    await client.send(b"POST /order HTTP/1.1\r\nHost: desk\r\nTransfer-Encoding: chunked\r\n\r\n")
                    assert (await client.answer()).status == 400
            clock.seconds += 10.0
            async with a_client(desk.socket_path) as client:
                await client.send(b"POST /order HTTP/1.1\r\nHost: desk\r\nContent-Length: 16385\r\n\r\n")
                assert (await client.answer()).status == 413
        first, second = logs
        assert (first["event"], first["strategy_id"], first["status"]) == ("request_refused", ALICE, 400)
        assert "send Content-Length" in first["why"]
        assert (second["status"], second["untold_before"]) == (413, 4)


async def test_what_a_run_waits_for_is_known_while_it_waits(tmp_path: Path) -> None:
    """An order in the broker's hands, and a question that nobody answers; what it is told at once is no wait."""
    clock, orders = SteppedClock(), FakeOrders(answers=asyncio.Event())
    async with an_api(tmp_path, orders, clock=clock, requests_per_s=2) as desk, a_client(desk.socket_path) as client:
        async with a_client(desk.socket_path) as other, asyncio.TaskGroup() as tasks:
            tasks.create_task(client.order())
            tasks.create_task(other.ask("GET", "/bars?symbol=AAPL"))
            await _until(lambda: desk.api._waiting[RUN]._in_hand == 2)
            clock.seconds += 30
            wait = desk.api.waited(RUN)
            assert wait == DeskWait(total=timedelta(seconds=30), unanswered_ago=timedelta(seconds=20.5))
            assert orders.answers is not None
            orders.answers.set()
        clock.seconds += 1
        for _ in range(4):  # the last two are told to wait, which is for themselves
            await client.ask("GET", "/account")
        assert desk.api.waited(RUN) == replace(wait, unanswered_ago=timedelta(seconds=21.5))
        await desk.api.close(RUN)
        assert desk.api.waited(RUN) == DeskWait()


async def test_a_door_closes_with_its_run(tmp_path: Path) -> None:
    """Its connections end, its socket is gone, closing twice is safe, and the next run gets a new one."""
    async with an_api(tmp_path) as desk:
        async with a_client(desk.socket_path) as client:
            await client.ask("GET", "/account")
            await desk.api.close(RUN)
            await desk.api.close(RUN)
            assert await client.is_closed()
        assert not desk.socket_path.exists()
        await desk.api.open(a_spec(), RunId("alice-run-2"), tmp_path, None)
        async with a_client(desk.socket_path) as client:
            assert (await client.ask("GET", "/account")).status == 200


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not holds():  # noqa: ASYNC110  what is in hand tells nobody
            await asyncio.sleep(0.001)


@asynccontextmanager
async def a_local_client(
    directory: Path, tokens: Tokens | None = None, **settings: Any
) -> AsyncIterator[tuple[OpenApi, Client]]:
    async with an_api(directory, **settings) as desk:
        port = await desk.api.open_local(0, spec_of=SPECS.get, tokens=tokens)
        async with a_client(port) as client:
            yield desk, client


async def test_a_laptop_names_its_strategy(tmp_path: Path) -> None:
    """In embedded mode the name is believed, if the desk has such a strategy."""
    async with a_local_client(tmp_path) as (desk, client):
        assert (await client.order(headers={"X-Strategy-ID": "bob"})).status == 200
        (order,) = desk.orders.known.values()
        assert order.request.strategy_id == BOB
        assert (await client.order(headers={"X-Strategy-ID": "bob", "X-User-ID": "alice_user"})).status == 403


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "X-Strategy-ID: is required; set STRATEGY_ID"),
        ({"X-Strategy-ID": "carol"}, "the desk has no strategy 'carol'"),
        ({"X-Strategy-ID": "../bob"}, "the desk has no strategy"),
        ({"X-Strategy-ID": "bob", "Host": "evil.example:8080"}, "Host: is not 127.0.0.1 or localhost"),
    ],
)
async def test_an_unknown_name_is_refused(tmp_path: Path, headers: dict[str, str], text: str) -> None:
    """Nobody trades as nobody; nor does a web page that was pointed at this machine."""
    async with a_local_client(tmp_path) as (_, client):
        with capture_logs() as logs:
            refused = await client.order(headers=headers)
        assert (refused.status, refused.order.reason) == (403, "IDENTITY")
        assert text in refused.order.message
        assert logs[0]["event"] == "identity_refused"


async def test_with_a_real_broker_a_name_needs_its_token(tmp_path: Path) -> None:
    """The token says who it is; a name beside it can only agree."""
    bearer = {"Authorization": f"Bearer {TOKENS.issue(BOB)}"}
    async with a_local_client(tmp_path, TOKENS) as (desk, client):
        assert (await client.order(headers=bearer)).status == 200
        assert next(iter(desk.orders.known.values())).request.strategy_id == BOB
        for wrong in (
            {"X-Strategy-ID": "bob"},
            {"X-Strategy-ID": "bob", "Authorization": "Bearer bob.0000"},
            {"X-Strategy-ID": "bob", "Authorization": f"Basic {TOKENS.issue(BOB)}"},
            bearer | {"X-Strategy-ID": "alice"},
        ):
            assert (await client.order(headers=wrong)).status == 403


async def test_a_strategys_rate_holds_over_all_its_connections(tmp_path: Path) -> None:
    """A second connection does not double the rate."""
    async with a_local_client(tmp_path, clock=SteppedClock(), requests_per_s=2) as (desk, client):
        headers = {"X-Strategy-ID": "bob"}
        assert (await client.order(headers=headers)).status == 200
        port = client.writer.get_extra_info("peername")[1]
        async with a_client(port) as second:
            assert [(await second.order(headers=headers)).status for _ in range(2)] == [200, 429]
        assert len(desk.orders.known) == 2


async def test_the_local_door_is_on_loopback_only(tmp_path: Path) -> None:
    """No other machine can reach it."""
    async with a_local_client(tmp_path) as (_, client):
        host, _port = client.writer.get_extra_info("peername")
        assert host == "127.0.0.1"
        assert client.writer.get_extra_info("socket").family == socket.AF_INET


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """The text names the key, and what to do."""
    async with an_api(tmp_path) as desk:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ConfigError, match=f"api.local_port = {port}: Address already in use; choose another"):
                await desk.api.open_local(port, spec_of=SPECS.get, tokens=None)
