"""The trading floor: the market reaches orders, in its own time."""

import asyncio
import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from tests.venue.serving import OPEN, hear, listening, served, settings, write_tape

BUY = {"symbol": "AAPL", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"}


def at(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


async def place(session: aiohttp.ClientSession, order: object) -> Any:
    async with session.post("/v2/orders", json=order) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


def write_falling_tape(folder: Path) -> Path:
    """Write a minute in which the price falls by a dollar a second."""
    folder.mkdir()
    with (folder / "quotes.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(["t", "S", "bx", "bp", "bs", "ax", "ap", "as", "c", "z"])
        for second in range(60):
            stamp = f"{OPEN + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}Z"
            rows.writerow([stamp, "AAPL", "Q", 100 - second, 100, "Q", 100.01 - second, 100, "R", "C"])
    return folder


async def test_paper_latencies_pass_in_market_time(tmp_path: Path) -> None:
    """Between two steps of a quiet tape an order becomes new after 5 ms and fills after 150."""
    async with (
        served(settings(write_tape(tmp_path / "tape"), fills="paper", seed=3)) as (_, session),
        listening(session) as socket,
    ):
        taken = await place(session, BUY)
        events = await hear(socket, until="fill")
        assert [event["event"] for event in events][:2] == ["pending_new", "new"]
        created = datetime.fromisoformat(taken["created_at"])
        assert timedelta(milliseconds=5) <= at(events[1]) - created < timedelta(seconds=1)
        assert timedelta(milliseconds=150) <= at(events[-1]) - created < timedelta(seconds=2)


async def test_a_resting_order_fills_when_the_market_comes(tmp_path: Path) -> None:
    """A limit below the market fills at its price or better once the tape has fallen to it."""
    told = settings(write_falling_tape(tmp_path / "tape"), start="09:30:01", speed=20.0)
    async with served(told) as (_, session), listening(session) as socket:
        await place(session, BUY | {"type": "limit", "limit_price": 90})
        fill = (await hear(socket, until="fill"))[-1]
        assert (fill["price"], fill["position_qty"]) == ("89.01", "10")


async def test_the_close_expires_day_orders_at_any_speed(tmp_path: Path) -> None:
    """As fast as it goes, the tape passes the close, and what was not filled has expired."""
    told = settings(write_tape(tmp_path / "tape"), speed=5_000.0, start="15:59")
    async with served(told) as (_, session), listening(session) as socket:
        taken = await place(session, BUY | {"type": "limit", "limit_price": 90})
        expired = (await hear(socket, until="expired"))[-1]
        assert expired["order"]["id"] == taken["id"]
        assert expired["order"]["expired_at"] >= taken["expires_at"]


async def test_no_two_orders_have_the_same_time(tmp_path: Path) -> None:
    """At speed 0 the market's time stands still between steps; orders are told apart by theirs all the same."""
    told = settings(write_tape(tmp_path / "tape", minutes=31), speed=0.0, start=None)
    async with served(told) as (_, session):
        orders = await asyncio.wait_for(
            _many(session, BUY | {"type": "limit", "limit_price": 50, "qty": 1, "time_in_force": "gtc"}), 20
        )
        stamps = [order["submitted_at"] for order in orders]
        assert len(set(stamps)) == len(stamps)


async def _many(session: aiohttp.ClientSession, order: object) -> list[Any]:
    orders: list[Any] = []

    async def one() -> None:
        orders.append(await place(session, order))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(one())
    return orders


async def test_the_market_can_reject_after_taking(tmp_path: Path) -> None:
    """A test's switch: the order is answered as taken, then a `rejected` event tells of its end."""
    async with served(settings(write_tape(tmp_path / "tape"))) as (_, session), listening(session) as socket:
        async with session.post(
            "/faults", json={"reject_next": {"symbol": "AAPL", "reason": "no liquidity"}}
        ) as answer:
            assert answer.status == 200
        assert (await place(session, BUY))["status"] == "pending_new"
        rejected = (await hear(socket, until="rejected"))[-1]
        assert rejected["order"]["status"] == "rejected"
        assert rejected["order"]["failed_at"] is not None
