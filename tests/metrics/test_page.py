"""The page answers fast, holds nobody up, and listens where it was told to."""

import asyncio
import gc
import socket
from time import thread_time

import aiohttp
from structlog.testing import capture_logs

from deskd.domain.ids import StrategyId
from deskd.metrics.page import FRESH_S
from deskd.ports import SystemClock
from tests.control.a_running_desk import a_spec
from tests.factories import NOON, a_desk, cash, price, qty
from tests.metrics.given import Watched

MANY = 200


def a_full_desk() -> Watched:
    """Return a desk with 200 strategies that run, each with five positions."""
    watched = Watched(clock=SystemClock())
    specs = [a_spec(StrategyId(f"strategy-{n:03}")) for n in range(MANY)]
    watched.runs.found = list(specs)
    watched.runs.running = {one.strategy_id for one in specs}
    for one in specs:
        watched.desk.portfolio.allocate(one.strategy_id, cash(10_000))
        for symbol in ("AAPL", "SPY", "MSFT", "TSLA", "NVDA"):
            watched.desk.portfolio.book(one.strategy_id).trade(symbol, qty(3), price(100), NOON)  # type: ignore[arg-type]
    return watched


async def held_s(watched: Watched) -> float:
    """Return how much of a core one turn of the loop took at most while a page was made: what others take is not ours."""
    longest, is_made = 0.0, False

    async def looking() -> None:
        nonlocal longest
        last = thread_time()
        while not is_made:
            await asyncio.sleep(0)
            now = thread_time()
            longest, last = max(longest, now - last), now

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(looking())
        await asyncio.sleep(0)
        await watched.page._made()
        is_made = True
    return longest


async def test_two_hundred_strategies_do_not_hold_the_loop() -> None:
    """No turn of the loop takes 5 ms of a core; of ten pages the best counts: caches are others' as well."""
    watched = a_full_desk()
    gc.disable()
    try:
        best = min([await held_s(watched) for _ in range(10)])
    finally:
        gc.enable()
    assert best < 0.005, f"{best * 1000:.1f} ms"


async def test_a_page_that_is_fresh_is_given_again() -> None:
    """Whoever asks in a loop costs the desk one page a second."""
    watched = Watched()
    first = await watched.page.text()
    watched.runtime.refusals["RATE"] = 1
    assert await watched.page.text() is first
    watched.clock.seconds += FRESH_S  # type: ignore[attr-defined]
    assert b'deskd_refusals_total{reason="RATE"} 1.0' in await watched.page.text()


async def test_prometheus_reads_it_over_http() -> None:
    """The format's own content type, and every figure."""
    watched = Watched()
    async with (
        watched.page.serve() as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "deskd_info" in await answer.text()


async def test_alive_and_ready_are_two_questions() -> None:
    """A desk that is starting, or killed, lives; whether it takes orders is told with the reason."""
    watched = Watched(desk=a_desk())
    watched.runtime.closing = "the desk is starting"
    async with watched.page.serve() as port, aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.1:{port}/health") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "alive"})
        async with http.get(f"http://127.0.0.1:{port}/ready") as answer:
            assert answer.status == 503
            assert (await answer.json())["reason"] == "DESK_NOT_READY"
        watched.runtime.closing = None
        assert watched.runtime.refusal() is None
        async with http.get(f"http://127.0.0.1:{port}/ready") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ready"})


async def test_nothing_can_be_changed_here() -> None:
    """The page only tells."""
    async with (
        Watched().page.serve() as port,
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert answer.status == 405


async def test_an_empty_address_turns_it_off() -> None:
    """Nobody listens, and nothing is said about it."""
    with capture_logs() as logs:
        async with Watched(listen="").page.serve() as port:
            assert port is None
    assert logs == []


def test_an_address_is_had_only_once_it_is_listened_at() -> None:
    """Two desks that start at once can both bind it: so it is listened at where a taken one is told, not later."""
    listener = Watched().page._listener()
    assert listener is not None
    with listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


async def test_an_address_that_is_taken_costs_the_desk_nothing() -> None:
    """It trades without being watched, and says so with the remedy."""
    with capture_logs() as logs:
        async with Watched().page.serve() as port, Watched(listen=f"127.0.0.1:{port}").page.serve() as other:
            assert other is None
    told = [line for line in logs if line["event"] == "metrics_not_served"]
    assert told[0]["log_level"] == "warning"
    assert "[metrics] listen" in told[0]["remedy"]
