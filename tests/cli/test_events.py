"""`deskctl events`: one readable line an event, or one object."""

import asyncio
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from deskd.cli.client import Desk, DeskNotReachable
from deskd.cli.events import Since, text
from deskd.domain import events as ev
from deskd.ports import SystemClock
from deskd.wire.event_line import DeskEvent, encode
from tests.control.a_running_desk import a_running_desk
from tests.factories import NOON
from tests.wire.test_drop_copy import a_fill, derived, one_of_each

ROOT = Path(__file__).parents[2]
LINES = derived(*one_of_each(), a_fill(1, position=0))
WORDS = {
    DeskEvent.ORDER_CREATED: "alice: buy 999 AAPL market day [alice-1]",
    DeskEvent.ORDER_DENIED: "alice: ORDER_NOTIONAL_MAX: notional=101898.00 order_notional_max=5000.00: ask for at most 49 "
    "shares [alice-1]",
    DeskEvent.ORDER_PARTIALLY_FILLED: "alice: buy 4 AAPL at 100, 4 of 10 [alice-1]",
    DeskEvent.ORDER_CANCEL_REQUESTED: "alice: buy AAPL by alice [alice-1]",
    DeskEvent.POSITION_OPENED: "alice: 4 AAPL at 100",
    DeskEvent.RUN_STALLED: "alice: it handled no line for 30 s",
    DeskEvent.RUN_ENDED: "alice: oom: used it all",
    DeskEvent.STREAM_UP: "desk: the stream of trades is up: listening",
    DeskEvent.OUTAGE_STARTED: "desk: the stream of trades is down: no pong; affected: alice",
    DeskEvent.OUTAGE_ENDED: "desk: the stream of trades was down from 17:00:00.000 to 17:00:00.000 UTC; affected: "
    "alice, 4 orders not taken",
    DeskEvent.ORDER_REPLACE_REQUESTED: "alice: buy AAPL by alice, alice-new in its place [alice-1]",
    DeskEvent.ORDER_IN_DOUBT: "alice: buy AAPL, no answer for 5 s [alice-1]",
    DeskEvent.BROKER_SAID: "alice: done_for_day (stream) [alice-1]",
    DeskEvent.HEARTBEAT: "desk: 2 strategies run, 1 open orders, the market is open",
    DeskEvent.COMMAND_GIVEN: "ada (uid 0): stop alice",
    DeskEvent.RECONCILED: "desk: why=start cash=5 differences=cash:1",
    DeskEvent.DESK_STOPPED: "desk",
}


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("12", "12"),
        ("2026-11-20T14:30:00Z", "2026-11-20T14:30:00+00:00"),
        ("2026-11-20 14:30", "2026-11-20T14:30:00"),
    ],
)
def test_events_are_asked_for_from_an_entry_or_a_time_on(text: str, asked: str) -> None:
    """As people write it; the desk reads one without a zone as UTC."""
    assert Since().convert(text, None, None) == asked


def test_a_time_without_a_date_is_todays() -> None:
    """What an officer types in the evening of an outage."""
    asked = datetime.fromisoformat(Since().convert("14:30", None, None))
    today = SystemClock().now()
    assert (asked.hour, asked.minute, asked.utcoffset()) == (14, 30, timedelta(0))
    assert abs(asked - today) < timedelta(days=1, minutes=1)


async def test_a_since_that_is_neither_is_wrong_usage(tmp_path: Path) -> None:
    """Exit code 2, what is allowed, and no desk is asked."""
    asking = await deskctl("--config", str(tmp_path / "none.toml"), "events", "--since", "yesterday")
    _, err = await asking.communicate()
    assert asking.returncode == 2
    assert b"'yesterday' is none: give an entry's seq" in err


@pytest.mark.parametrize("line", LINES, ids=[f"{line.event}-{line.seq}" for line in LINES])
def test_every_event_is_a_readable_line(line: object) -> None:
    """Place, time with its zone, what, whose; no None, no braces."""
    event = msgspec.json.decode(encode(line))
    said = text(event)
    assert said.startswith(f"{event['seq']:>8}  01-05 17:00:00.000Z  {event['event']}")
    assert "None" not in said
    assert "{" not in said


@pytest.mark.parametrize(("event", "words"), WORDS.items(), ids=list(WORDS))
def test_an_event_is_told_in_words(event: DeskEvent, words: str) -> None:
    """As an officer reads them in passing."""
    line = next(line for line in LINES if line.event == event)
    assert text(msgspec.json.decode(encode(line)))[56:].strip() == words


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"order_type": "limit", "limit_price": "231.5"}, "buy 1 AAPL limit 231.5 day"),
        ({"order_type": "stop", "stop_price": "219"}, "buy 1 AAPL stop 219 day"),
        (
            {"order_type": "stop_limit", "stop_price": "219", "limit_price": "218"},
            "buy 1 AAPL stop_limit limit 218 stop 219 day",
        ),
    ],
)
def test_a_price_stands_behind_its_word(order: dict[str, str], words: str) -> None:
    """As people say it: limit 231.5, not limit day limit 231.5."""
    event = {"seq": 1, "at": "2026-01-05T17:00:00.000000Z", "event": "order_created", "client_order_id": "a-1"}
    event |= {"side": "buy", "qty": "1", "symbol": "AAPL", "time_in_force": "day"} | order
    assert text(event).endswith(f"desk: {words} [a-1]")


async def test_no_events_are_told_in_words(tmp_path: Path) -> None:
    """Nothing at all would leave open whether the command worked; a script gets no line."""
    async with a_running_desk(tmp_path) as desk:
        said = await (await deskctl("--config", str(desk.config), "events", "--since", "99999")).communicate()
        objects = await (await deskctl("--config", str(desk.config), "events", "--tail", "0", "--json")).communicate()
    assert said[0].decode() == "no events: none is of that kind\n"
    assert objects[0] == b""


async def deskctl(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "deskd.cli.deskctl", *arguments)
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)


async def test_events_are_shown_as_lines_or_as_objects(tmp_path: Path) -> None:
    """The same events in both forms."""
    async with a_running_desk(tmp_path) as desk:
        plain = await (await deskctl("--config", str(desk.config), "events", "--tail", "4")).communicate()
        objects = await (await deskctl("--config", str(desk.config), "events", "--tail", "4", "--json")).communicate()
    events = [json.loads(line) for line in objects[0].splitlines()]
    assert len(events) == 4
    assert [text(event) for event in events] == plain[0].decode().splitlines()


async def test_who_follows_is_told_where_to_go_on_when_the_desk_ends(tmp_path: Path) -> None:
    """A script that was cut off can read on without a gap."""
    async with a_running_desk(tmp_path) as desk:
        follower = await deskctl("--config", str(desk.config), "events", "-f", "--tail", "1")
        assert follower.stdout is not None
        first = await follower.stdout.readline()
        await desk.happens(ev.DeskStopped(at=NOON))
        last = await follower.stdout.readline()
        seq = desk.live.last_seq
    _, said = await follower.communicate()
    assert first.split()[0].isdigit()
    assert last.decode().split()[3:4] == ["desk_stopped"]
    assert follower.returncode == 3
    assert f"to go on where this ended: --since {seq}" in said.decode()


async def test_a_desk_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As by every verb."""
    (tmp_path / "desk.toml").write_text('[desk]\nruntime_dir = "run"\n')
    follower = await deskctl("--config", str(tmp_path / "desk.toml"), "events")
    _, said = await follower.communicate()
    assert follower.returncode == 3
    assert b"no desk is reachable" in said
    with pytest.raises(DeskNotReachable):
        Desk(tmp_path / "none.sock").look("/events")


def test_what_members_wrote_does_not_steer_the_terminal() -> None:
    """An escape sequence in a strategy's name or in its last words is shown, not obeyed."""
    event = msgspec.json.decode(encode(LINES[0])) | {"event": "run_ended", "reason": "error", "message": "\x1b[2Jboo\n"}
    assert text(event).endswith("error: \\x1b[2Jboo\\n")
