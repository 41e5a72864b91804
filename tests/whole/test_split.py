"""An order across zero on a whole desk: two orders at the broker, one to the strategy, and a SIGKILL between them."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.hang import HANG_S
from tests.whole.desk_process import DeskProcess, a_desk_process
from tests.whole.exchange_process import KEYS, Exchange, an_exchange, keys_headers
from tests.whole.sums import soon_add_up

CROSSER = """
    import json, os, sys
    from desk_client import list_orders, place_order

    has_bought = has_crossed = False
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "order":
            heard = [message[key] for key in ("client_order_id", "event", "filled_qty", "status")]
            print("heard", *heard, flush=True)
            continue
        if message["timestamp"][11:19] < "14:30:02":
            continue  # before the open: an id that was denied once is denied for good
        if not has_bought:
            has_bought = place_order("AAPL", "5", "buy", client_order_id="first", timeout=10).status == "success"
        elif not has_crossed and os.path.exists(os.environ["GO"]):
            answer = place_order("AAPL", "12", "sell", client_order_id="across", timeout=10)
            has_crossed = True
            print("answer", answer.status, answer.client_order_id, answer.order_id != "", flush=True)
            print("listed", *sorted(order.client_order_id for order in list_orders("all")), flush=True)
"""


@asynccontextmanager
async def a_long_desk(folder: Path) -> AsyncIterator[tuple[Exchange, DeskProcess, Path]]:
    """Run exchange and desk until the strategy holds five shares; it crosses zero when the file is there."""
    (folder / "var").mkdir()
    go = folder / "go"
    async with an_exchange(folder / "var" / "exchange.db", speed=1) as exchange, a_desk_process(folder) as desk:
        desk.environment = KEYS
        desk.configure(f"""
            [broker]
            {exchange.broker_keys}
            reconcile_every_s = 60
            [sandbox]
            unsafe_without_jail = true
            [risk.strategy]
            allocation = "50000"
            order_notional_max = "40000"
            position_notional_max = "40000"
            duplicate_window_s = 0
            position_share_max = "1"
            [risk.desk]
            allow_short = true
            concentration_max = "1"
        """)
        channels = {"symbols": ["AAPL"], "channels": ["trades", "orders"], "env": {"GO": str(go)}}
        desk.strategy("ann", CROSSER, channels)
        await desk.start()
        await desk.hears("order_filled", holds=lambda line: line["client_order_id"] == "first")
        yield exchange, desk, go


async def asked(exchange: Exchange, path: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(headers=keys_headers()) as session, session.get(exchange.url + path) as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


async def parts_at_the_broker(exchange: Exchange) -> list[tuple[str, str, str]]:
    orders = await asked(exchange, "/v2/orders?status=all&limit=500")
    return sorted((o["client_order_id"], o["qty"], o["status"]) for o in orders if o["client_order_id"] != "first")


def rows(state: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(state / "desk.db")) as db:
        return db.execute(sql).fetchall()


async def soon(state: Path, sql: str, wanted: list[tuple[Any, ...]]) -> None:
    """Return when the ledger says so."""
    with suppress(TimeoutError):
        async with asyncio.timeout(HANG_S):
            while rows(state, sql) != wanted:  # noqa: ASYNC110  the ledger's file has no event
                await asyncio.sleep(0.1)
    assert rows(state, sql) == wanted, rows(state, "SELECT client_order_id, status, message FROM orders")


async def said(desk: DeskProcess, wanted: str) -> str:
    """Return what the strategy printed, once the words are among it."""
    async with asyncio.timeout(HANG_S):
        while wanted not in (text := (desk.state / "logs" / "ann.log").read_text()):  # noqa: ASYNC110  a file has none
            await asyncio.sleep(0.1)
    return text


THE_ORDER = "SELECT status, qty, filled_qty FROM orders WHERE client_order_id = 'across'"
BOTH = [("across~1", "5", "filled"), ("across~2", "7", "filled")]


async def test_an_order_across_zero_is_one_order_to_its_strategy_and_two_to_the_broker(tmp_path: Path) -> None:
    """It is answered, listed and told as one, fills by and by, and its story names both."""
    async with a_long_desk(tmp_path) as (exchange, desk, go):
        go.touch()
        await soon(desk.state, THE_ORDER, [("filled", "12", "12")])
        assert await parts_at_the_broker(exchange) == BOTH
        sums = "SELECT count(*), sum(quantity), sum(filled_quantity) FROM trades"
        assert rows(desk.state, sums) == [(2, 17, 17)], "nothing is counted twice"
        fills = "SELECT DISTINCT client_order_id, part_id FROM fills ORDER BY part_id"
        assert rows(desk.state, fills) == [("first", None), ("across", "across~1"), ("across", "across~2")]
        assert await desk.ctl("why", "across~2") == 0
        assert await desk.ctl("cancel", "across") == 1, "it is over"
        said_by = await said(desk, "heard across fill 12 filled")
        assert "listed across first" in said_by
        assert "answer success across True" in said_by
        assert "across~" not in said_by, "it knows of no parts"
        await soon_add_up(desk.state)
        assert [p["qty"] for p in await asked(exchange, "/v2/positions")] == ["-7"]


async def test_a_desk_that_dies_between_the_parts_sends_the_second_once(tmp_path: Path) -> None:
    """The first is filled while nobody hears it. The next desk finds that at the broker, and goes on from there."""
    async with a_long_desk(tmp_path) as (exchange, desk, go):
        await exchange.misbehave({"trade_stream": {"mute": True}})
        go.touch()
        async with asyncio.timeout(HANG_S):
            while await asked(exchange, "/v2/positions"):  # noqa: ASYNC110  until it is flat: no event tells
                await asyncio.sleep(0.05)
        await desk.end(signal.SIGKILL)
        assert rows(desk.state, "SELECT part_id, filled_qty FROM order_parts") == [("across~1", "0")]
        await exchange.behave()
        await desk.start(ready=False)
        await soon(desk.state, THE_ORDER, [("filled", "12", "12")])
        assert await parts_at_the_broker(exchange) == BOTH
        sent = "SELECT json_extract(body, '$.part_id') FROM facts WHERE kind = 'OrderSplit' ORDER BY seq"
        assert rows(desk.state, sent) == [("across~1",), ("across~2",)]
        await soon_add_up(desk.state)
        await desk.end(signal.SIGKILL)
        await desk.start(ready=False)
        await desk.hears("desk_ready")
        assert await parts_at_the_broker(exchange) == BOTH
        assert rows(desk.state, THE_ORDER) == [("filled", "12", "12")]
