"""What people look at: whole for whom it is, and bounded."""

import asyncio
from pathlib import Path

import pytest

from deskd.cli.client import Desk
from deskd.control.looking import ROWS_MAX
from tests.control.a_running_desk import MEMBER, a_running_desk
from tests.control.questions import look, refused
from tests.factories import ALICE


async def test_status_tells_of_the_desk_and_of_every_strategy(tmp_path: Path) -> None:
    """One look shows what runs, how it is, what it holds, and what is wrong with what does not run."""
    async with a_running_desk(tmp_path) as desk:
        answer = await look(desk, "/status")
    assert answer["desk"] == {"name": "testdesk", "mode": "embedded", "trade_stream_up": True, "equity": "100.5"}
    alice, bob, wreck = answer["strategies"]
    assert alice["status"] == "running"
    assert alice["uptime_s"] == 125
    assert alice["open_orders"] == 1
    assert alice["state"] == {"bytes": 4_096, "bytes_max": 64 << 20, "files": 1, "files_max": 4_096}
    assert (bob["status"], bob["exit_reason"], bob["exit_detail"]) == ("stopped", "oom", "used more than 512 MB")
    assert (wreck["status"], wreck["problem"]) == ("broken", "strategy.py: line 1: bad syntax")


async def test_of_anothers_strategy_a_member_sees_that_it_is_there(tmp_path: Path) -> None:
    """Its money, its traffic and how it ended are its member's; the club's money is the officers'."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        answer = await look(desk, "/status")
    assert answer["desk"] == {"name": "testdesk", "mode": "embedded", "trade_stream_up": True, "equity": "100.5"}
    alice, bob, wreck = answer["strategies"]
    assert alice["equity"]
    assert bob == {
        "strategy_id": "bob",
        "user_id": "bob",
        "name": "bob",
        "version": "1",
        "enabled": True,
        "status": "stopped",
    }
    assert wreck["problem"] == "strategy.py: line 1: bad syntax"  # nobody knows yet whose it is


async def test_an_outage_names_to_members_only_what_is_theirs(tmp_path: Path) -> None:
    """Everybody may know when the stream was down; of others, a member hears how many they were."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        (outage,) = (await look(desk, "/outages"))["outages"]
    assert (outage["affected"], outage["affected_others"], outage["bars_fetched"]) == (["alice"], 1, 4)
    (tmp_path / "other").mkdir()
    async with a_running_desk(tmp_path / "other") as desk:
        (outage,) = (await look(desk, "/outages", limit="1"))["outages"]
    assert (outage["affected"], outage["affected_others"]) == (["alice", "bob"], 0)


async def test_orders_fills_positions_and_accounts_are_shown_under_the_ledgers_names(tmp_path: Path) -> None:
    """Who knows the ledger's columns knows the answers, and the other way round."""
    async with a_running_desk(tmp_path) as desk:
        orders = (await look(desk, "/orders"))["orders"]
        open_orders = (await look(desk, "/orders", open="1"))["orders"]
        fills = (await look(desk, "/fills", strategy="alice"))["fills"]
        positions = (await look(desk, "/positions"))["positions"]
        accounts = (await look(desk, "/account"))["accounts"]
    assert [o["client_order_id"] for o in orders] == ["alice-1", "alice-2", "bob-1", "alice-3"]
    assert {o["client_order_id"] for o in open_orders} == {"alice-2", "bob-1"}
    assert open_orders[0].keys() <= orders[0].keys()
    denied = orders[-1]
    assert (denied["status"], denied["reason"]) == ("denied", "SYMBOL_NOT_ALLOWED")
    assert [(f["qty"], f["price"], f["symbol"]) for f in fills] == [("10", "100", "AAPL")]
    assert [(p["strategy_id"], p["qty"], p["avg_entry_price"]) for p in positions] == [("alice", "10", "100")]
    assert {a["strategy_id"]: a["cash"] for a in accounts}["alice"] == "9000"
    assert "house" in {a["strategy_id"] for a in accounts}


@pytest.mark.parametrize("limit", ["x", "-1", str(ROWS_MAX + 1), "²", "9999999"])
async def test_a_wrong_limit_is_refused(tmp_path: Path, limit: str) -> None:
    """An answer is bounded: nobody makes the desk gather its whole history."""
    async with a_running_desk(tmp_path) as desk:
        said = await refused(lambda: Desk(desk.socket).look("/orders", {"limit": limit}))
        assert "allowed: a whole number from 0 to 1000" in said


async def test_logs_end_with_the_last_lines_and_follow_what_comes(tmp_path: Path) -> None:
    """A reader sees new lines as they are printed, through a rotation, with control characters made visible."""
    async with a_running_desk(tmp_path) as desk:
        log = desk.runs.log_path(ALICE)
        log.write_bytes(b"one\ntwo\nthree\n")
        reader, writer = await asyncio.open_unix_connection(desk.socket)
        writer.write(b"GET /logs/ali?tail=2&follow=1 HTTP/1.0\r\nHost: desk\r\n\r\n")
        assert (await reader.readuntil(b"three\n")).endswith(b"\r\n\r\ntwo\nthree\n")
        with log.open("ab") as file:
            file.write(b"four \x1b[2J\n")
        assert await reader.readuntil(b"\n") == b"four \\x1b[2J\n"
        log.rename(log.with_name("alice.log.1"))
        log.write_bytes(b"five\n")
        assert await reader.readuntil(b"\n") == b"five\n"
        writer.close()
        await writer.wait_closed()


async def test_the_door_closes_at_once_although_somebody_follows_a_log(tmp_path: Path) -> None:
    """A reader never delays the desk's stop."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.log_path(ALICE).write_bytes(b"one\n")
        reader, writer = await asyncio.open_unix_connection(desk.socket)
        writer.write(b"GET /logs/alice?follow=1 HTTP/1.0\r\nHost: desk\r\n\r\n")
        await reader.readuntil(b"one\n")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert not desk.socket.exists()


async def test_a_strategy_that_never_ran_has_no_log(tmp_path: Path) -> None:
    """The refusal says what to do."""
    async with a_running_desk(tmp_path) as desk:
        for folder in (desk.runs.logs, tmp_path / "none"):
            desk.runs.logs = folder
            said = await refused(lambda: list(Desk(desk.socket).stream("/logs/bob", {}, is_endless=False)))
            assert said == "bob has no log yet: it never ran; start it with: deskctl start bob"
            said = await refused(lambda: list(Desk(desk.socket).stream("/logs/wreck", {}, is_endless=False)))
            assert said == "wreck has no log: it cannot run. strategy.py: line 1: bad syntax"


async def test_a_ledger_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """The rest of the door works on."""
    async with a_running_desk(tmp_path) as desk:
        for part in ("-wal", "-shm"):
            (tmp_path / f"desk.db{part}").unlink()
        (tmp_path / "other").write_bytes(b"not a database, certainly not one of ours")
        (tmp_path / "other").rename(tmp_path / "desk.db")
        said = await refused(lambda: Desk(desk.socket).look("/fills"))
        assert "the ledger cannot be read" in said
        assert (await look(desk, "/status"))["desk"]["name"] == "testdesk"
