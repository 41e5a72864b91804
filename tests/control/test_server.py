"""The control socket: who may do what, what is answered, what is recorded."""

import asyncio
import json
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deskd.cli.client import Answer, Desk, DeskNotReachable, NotDone
from deskd.control.server import ROWS_MAX
from deskd.domain.errors import ConfigError
from deskd.domain.run import RunStatus
from tests.control.a_running_desk import MEMBER, WRECK, RunningDesk, a_running_desk
from tests.factories import ALICE, BOB


async def look(desk: RunningDesk, what: str, **query: str) -> dict[str, Any]:
    return await asyncio.to_thread(Desk(desk.socket).look, what, query)


async def command(desk: RunningDesk, what: str, **arguments: object) -> Answer:
    return await asyncio.to_thread(Desk(desk.socket).command, what, arguments)


async def refused(call: Callable[[], object]) -> str:
    with pytest.raises(NotDone) as caught:
        await asyncio.to_thread(call)
    return str(caught.value)


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


async def test_a_command_is_recorded_before_it_is_carried_out(tmp_path: Path) -> None:
    """Who commanded what, and when, stands in the ledger even when the command never ends."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.may_stop = asyncio.Event()
        stopping = asyncio.create_task(command(desk, "/stop", names=["alice"]))  # noqa: TID251  the test's own client
        await desk.runs.stopping.wait()
        assert [(c.by, c.command, c.arguments) for c in desk.commands] == [("ada (uid 0)", "stop", "alice")]
        assert desk.runs.status(ALICE) is RunStatus.RUNNING
        desk.runs.may_stop.set()
        answer = await stopping
    assert answer.body == {"strategies": [{"strategy_id": "alice", "status": "stopped", "problem": None}]}


async def test_a_command_goes_on_when_who_gave_it_leaves(tmp_path: Path) -> None:
    """Ctrl-C at a `deskctl stop` does not leave a strategy half stopped."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.may_stop = asyncio.Event()
        body = json.dumps({"names": ["alice"]}).encode()
        reader, writer = await asyncio.open_unix_connection(desk.socket)
        writer.write(b"POST /stop HTTP/1.0\r\nHost: desk\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await desk.runs.stopping.wait()
        writer.close()
        await writer.wait_closed()
        assert reader is not None
        desk.runs.may_stop.set()
    assert desk.runs.status(ALICE) is RunStatus.STOPPED


async def test_all_means_what_makes_sense(tmp_path: Path) -> None:
    """Start and stop: every enabled one; restart: every running one. Broken ones stand in nobody's way.

    Stop means those too that rest just now: they would start again with the desk.
    """
    async with a_running_desk(tmp_path) as desk:
        started = await command(desk, "/start", all=True)
        assert [row["strategy_id"] for row in started.body["strategies"]] == ["alice", "bob"]
        assert started.is_done
        desk.runs.running = {BOB}
        stopped = await command(desk, "/stop", all=True)
        assert [(row["strategy_id"], row["status"]) for row in stopped.body["strategies"]] == [
            ("alice", "stopped"),
            ("bob", "stopped"),
        ]
        assert [c.arguments for c in desk.commands] == ["--all", "--all"]


async def test_one_that_cannot_be_done_keeps_no_other_from_being_done(tmp_path: Path) -> None:
    """A broken strategy among the names is told, and the rest is carried out."""
    async with a_running_desk(tmp_path) as desk:
        answer = await command(desk, "/start", names=["wre", "bob"])
        assert not answer.is_done
        assert {row["strategy_id"]: row["problem"] for row in answer.body["strategies"]} == {
            WRECK: "strategy.py: line 1: bad syntax",
            BOB: None,
        }
        assert BOB in desk.runs.running


async def test_the_worlds_failures_are_told_with_their_remedy(tmp_path: Path) -> None:
    """A start that the machine does not allow says so in the supervisor's words."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.has_jails = False
        answer = await command(desk, "/restart", names=["alice"])
        (row,) = answer.body["strategies"]
        assert row == {
            "strategy_id": "alice",
            "status": "stopped",
            "problem": "no namespaces here: run the desk as root",
        }


async def test_orders_are_canceled_by_id_by_strategy_and_all(tmp_path: Path) -> None:
    """An id may be shortened; what is final already is refused with its state."""
    async with a_running_desk(tmp_path) as desk:
        one = await command(desk, "/cancel", order="alice-2")
        assert [(o["client_order_id"], o["status"]) for o in one.body["orders"]] == [("alice-2", "pending_cancel")]
        rest = await command(desk, "/cancel", strategy="bob")
        assert [o["client_order_id"] for o in rest.body["orders"]] == ["bob-1"]
        final = await command(desk, "/cancel", order="alice-1")
        assert not final.is_done
        assert final.body["refused"][0]["message"] == "it is filled already"
        everything = await command(desk, "/cancel", all=True)
        assert len(everything.body["orders"]) == 2
        assert [c.arguments for c in desk.commands] == ["alice-2", "--strategy bob", "alice-1", "--all"]
        short = await command(desk, "/cancel", order="bob-")
        assert [o["client_order_id"] for o in short.body["orders"]] == ["bob-1"]


@pytest.mark.parametrize(
    ("what", "arguments", "problem"),
    [
        ("/start", {"names": ["alcie"]}, "there is no strategy 'alcie'; did you mean alice?"),
        ("/start", {"names": ["zzz"]}, "there is no strategy 'zzz'; there is: alice, bob, wreck"),
        ("/start", {}, "which strategies? Give their names, or --all"),
        ("/start", {"names": [1]}, "which strategies? Give their names, or --all"),
        ("/cancel", {}, "which orders? Give an order's id, --strategy NAME, or --all"),
        ("/cancel", {"order": "xyzxyz"}, "there is no order 'xyzxyz'; `deskctl orders --open` lists"),
        ("/cancel", {"order": "ali"}, "there is no order 'ali'"),
        ("/cancel", {"order": "alice"}, "order 'alice' is ambiguous: 3 begin so; type more of it"),
        ("/nonsense", {}, "the running desk does not know this command"),
    ],
)
async def test_a_wrong_command_is_refused_in_a_sentence(
    tmp_path: Path, what: str, arguments: dict[str, object], problem: str
) -> None:
    """Nothing is done, and nothing is recorded."""
    async with a_running_desk(tmp_path) as desk:
        said = await refused(lambda: Desk(desk.socket).command(what, arguments))
        assert said.startswith(problem)
        assert not desk.commands


@pytest.mark.parametrize("limit", ["x", "-1", str(ROWS_MAX + 1), "²", "9999999"])
async def test_a_wrong_limit_is_refused(tmp_path: Path, limit: str) -> None:
    """An answer is bounded: nobody makes the desk gather its whole history."""
    async with a_running_desk(tmp_path) as desk:
        said = await refused(lambda: Desk(desk.socket).look("/orders", {"limit": limit}))
        assert "allowed: a whole number from 0 to 1000" in said


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00",
        b"[1]",
        b"",
        b"[" * 60_000,
        b'{"names": ',
        b'{"all": "yes", "names": {}}',
        b"x" * 100_000,
        b'{"all": true, "reason": "\\udcff"}',  # half a character, as a shell passes on a byte that is no UTF-8
    ],
)
async def test_a_body_that_is_no_command_is_refused(tmp_path: Path, body: bytes) -> None:
    """Hostile bytes get an answer, and the door stays open."""
    async with a_running_desk(tmp_path) as desk:
        for kind in (b"application/json", b"text/plain; charset=nonsense"):
            reader, writer = await asyncio.open_unix_connection(desk.socket)
            head = b"POST /cancel HTTP/1.0\r\nHost: desk\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % (kind, len(body)) + body)
            answer = await reader.read()
            assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.0 413"))
            assert b'"error"' in answer
            writer.close()
            await writer.wait_closed()
        assert not desk.commands


async def test_callers_that_leave_at_once_harm_nobody(tmp_path: Path) -> None:
    """A connection that is cut anywhere ends alone."""
    async with a_running_desk(tmp_path) as desk:
        whole = b'POST /start HTTP/1.0\r\nHost: desk\r\nContent-Length: 18\r\n\r\n{"names": ["bob"]}'
        for end in (0, 10, 40, len(whole) - 5, len(whole)):
            _reader, writer = await asyncio.open_unix_connection(desk.socket)
            writer.write(whole[:end])
            writer.transport.abort()
        assert (await look(desk, "/status"))["desk"]["name"] == "testdesk"


async def test_a_member_sees_and_manages_what_is_theirs_and_nothing_else(tmp_path: Path) -> None:
    """The uid decides: alice gets her own orders, log and commands; what is bob's is refused by name."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        assert {o["strategy_id"] for o in (await look(desk, "/orders"))["orders"]} == {"alice"}
        assert {a["strategy_id"] for a in (await look(desk, "/account"))["accounts"]} == {"alice"}
        assert (await command(desk, "/stop", names=["alice"])).is_done
        client = Desk(desk.socket)
        for call in (
            lambda: client.command("/stop", {"names": ["bob"]}),
            lambda: client.command("/stop", {"names": ["alice", "bob"]}),
            lambda: client.look("/orders", {"strategy": "bob"}),
            lambda: client.command("/cancel", {"strategy": "bob"}),
            lambda: list(client.stream("/logs/bob", {}, is_endless=False)),
        ):
            said = await refused(call)
            assert said.startswith("bob is not yours: alice is neither its member nor an officer")
        said = await refused(lambda: client.command("/replace", {"order": "bob-1", "qty": "5"}))
        assert said.startswith("order bob-1 is not yours")
        assert "which order?" in await refused(lambda: client.command("/replace", {"qty": "5"}))
        for what, instead in (("/stop", "NAME..."), ("/cancel", "--strategy NAME")):
            said = await refused(partial(client.command, what, {"all": True}))
            assert said == f"--all means every member's: alice is no officer; name what is yours: {instead}"
        assert [c.command for c in desk.commands] == ["stop"]


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


async def test_a_second_desk_is_refused_and_a_dead_ones_socket_is_replaced(tmp_path: Path) -> None:
    """Two desks never share a runtime folder; a desk that was killed leaves nothing in the way."""
    run = tmp_path / "run"
    run.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(run / "control.sock"))
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(ConfigError, match="a desk is running already"):
            async with desk.control.serve(run):
                pass
        assert (await look(desk, "/status"))["desk"]["name"] == "testdesk"


async def test_a_folder_with_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    """A socket's address has 107 bytes; the checkout may lie deeper."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with a_running_desk(deep) as desk:
        assert len(str(desk.socket)) > 200
        assert (await look(desk, "/status"))["desk"]["name"] == "testdesk"
    with pytest.raises(DeskNotReachable):
        await look(desk, "/status")


async def test_an_officer_hands_out_tokens(tmp_path: Path) -> None:
    """Who asked for whose is on record, the token is not; where there are none, it is said why."""
    async with a_running_desk(tmp_path) as desk:
        answer = await command(desk, "/token", name="ali")
        none = await refused(lambda: Desk(desk.socket).command("/token", {"name": "bob"}))
        wrong = await refused(lambda: Desk(desk.socket).command("/token", {"name": 3}))
    assert answer.body == {"strategy_id": "alice", "token": "alice.0123"}
    assert none == "no token is needed here"
    assert wrong == "a token for which strategy? Give its name"
    assert [(c.command, c.arguments) for c in desk.commands] == [("token", "alice")]


async def test_a_member_is_given_no_token(tmp_path: Path) -> None:
    """Not for his own strategy either: a token goes on when he is no longer let near the desk."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        why = await refused(lambda: Desk(desk.socket).command("/token", {"name": "alice"}))
    assert why == "tokens are given out by officers: alice is none"
    assert desk.commands == []
