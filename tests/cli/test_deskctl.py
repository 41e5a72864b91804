"""deskctl as a person uses it: a process of its own against a running desk."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from deskd.cli.deskctl import _note as noted
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk
from tests.factories import ALICE

ROOT = Path(__file__).parents[2]


@dataclass
class Said:
    code: int
    out: str
    err: str


async def started(config: Path, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "deskd.cli.deskctl", "--config", str(config), *arguments)
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)


async def deskctl(desk: RunningDesk | Path, *arguments: str) -> Said:
    process = await started(desk if isinstance(desk, Path) else desk.config, *arguments)
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


async def test_status_shows_the_desk_and_a_table(tmp_path: Path) -> None:
    """An officer sees at a glance what runs and what is wrong."""
    async with a_running_desk(tmp_path) as desk:
        said, whole = [await deskctl(desk, "status", *options) for options in ((), ("--wide",))]
    assert said.code == 0
    head, _, table = said.out.partition("\n\n")
    assert head.splitlines() == ["name: testdesk", "mode: embedded", "trade stream up: yes", "equity: 100.50"]
    title, alice, _, bob, bobs_end, wreck, wrecks_problem = table.splitlines()
    assert title.split()[:4] == ["strategy", "member", "status", "up"]
    assert alice.split()[:9] == ["alice", "alice", "running", "2m", "5s", "118/120", "2", "0", "20"]
    assert (bob.split()[0], bobs_end) == ("bob", "    oom: used more than 512 MB")
    assert (wreck.split()[0], wrecks_problem) == ("wreck", "    strategy.py: line 1: bad syntax")
    assert "oom: used more than 512 MB" in next(line for line in whole.out.splitlines() if line.startswith("bob"))


async def test_status_says_that_a_folder_was_changed(tmp_path: Path) -> None:
    """Who mended a strategy and forgot to restart it is told what to type; programs are told, too."""
    async with a_running_desk(tmp_path) as desk:
        told = [json.loads((await deskctl(desk, "status", "alice", "--json")).out)]
        desk.runs.outdated.add(ALICE)
        told.append(json.loads((await deskctl(desk, "status", "alice", "--json")).out))
        said = await deskctl(desk, "status")
    assert [one.get("outdated") for one in told] == [None, True]
    assert "its folder holds another version than runs: deskctl restart alice takes it" in " ".join(said.out.split())


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["orders"], ["alice-1", "filled", "alice-3", "denied", "SYMBOL_NOT_ALLOWED"]),
        (["orders", "--open", "--strategy", "b"], ["bob-1", "accepted", "91"]),
        (["fills"], ["alice", "buy", "10", "AAPL", "100.0000", " by ", " broker "]),
        (["positions"], ["alice", "AAPL", "10", "1,000.00"]),
        (["account", "--strategy", "alice"], ["alice", "10,000.00", "9,000.00"]),
        (["runs"], ["2026-01-05 17:00:00", "alice", "1m 0s", "oom", "9/10", "512.0 MiB", "it used 512 MiB", "runs"]),
        (["runs", "alice", "--last"], ["alice: oom", "\n  it used 512 MiB", "512.0 MiB at most of 512.0 MiB"]),
        (["runs", "bob", "--last"], ["no run of it has ended yet"]),
        (["runs", "wreck", "--last"], ["it is broken: strategy.py: line 1: bad syntax"]),
        (["status", "alice"], ["lines waiting: 2", "last end", "alice: oom", "\\x1b[2Jboo"]),
        (["outages"], ["2026-01-05 17:00:00", "market", "2m 5s", "mute", "alice, bob", "4"]),
    ],
)
async def test_what_was_traded_is_shown_as_tables(tmp_path: Path, arguments: list[str], shown: list[str]) -> None:
    """Orders, fills, positions and money, by strategy where asked."""
    async with a_running_desk(tmp_path) as desk:
        said = await deskctl(desk, *arguments)
    assert said.code == 0, said.err
    for text in shown:
        assert text in said.out


@pytest.mark.parametrize(
    ("verb", "key"),
    [
        ("outages", "started_at"),
        ("orders", "client_order_id"),
        ("fills", "fill_id"),
        ("positions", "symbol"),
        ("account", "buying_power"),
    ],
)
async def test_json_is_for_programs(tmp_path: Path, verb: str, key: str) -> None:
    """Every look can be read by a program, with decimals as text."""
    async with a_running_desk(tmp_path) as desk:
        said = await deskctl(desk, verb, "--json")
    rows = json.loads(said.out)
    assert all(key in row for row in rows)
    assert not any(isinstance(value, float) for row in rows for value in row.values())


async def test_strategies_are_started_stopped_and_restarted_by_prefix(tmp_path: Path) -> None:
    """Each name gets a line with what became of it."""
    async with a_running_desk(tmp_path) as desk:
        assert (await deskctl(desk, "start", "b")).out == "bob: running\n"
        assert (await deskctl(desk, "stop", "al", "bob")).out == "alice: stopped\nbob: stopped\n"
        assert (await deskctl(desk, "stop", "--all")).out == "alice: stopped\nbob: stopped\n"
        assert (await deskctl(desk, "start", "--all")).out == "alice: running\nbob: running\n"
        said = await deskctl(desk, "restart", "alice", "--json")
        assert json.loads(said.out)["strategies"][0]["status"] == "running"
        assert [c.command for c in desk.commands] == ["start", "stop", "stop", "start", "restart"]


async def test_what_is_refused_ends_with_one_and_a_sentence(tmp_path: Path) -> None:
    """Scripts see it by the code, people by the sentence."""
    async with a_running_desk(tmp_path) as desk:
        broken = await deskctl(desk, "start", "wreck")
        assert (broken.code, broken.out) == (1, "wreck: broken: strategy.py: line 1: bad syntax\n")
        unknown = await deskctl(desk, "stop", "alcie")
        assert (unknown.code, unknown.err) == (1, "deskctl: there is no strategy 'alcie'; did you mean alice?\n")
        final = await deskctl(desk, "cancel", "alice-1")
        assert (final.code, final.out) == (1, "alice-1: ORDER_FINAL: it is filled already\n")


async def test_what_is_not_yours_ends_with_one(tmp_path: Path) -> None:
    """A member learns whose it is, and who may."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        theirs = await deskctl(desk, "stop", "bob")
        assert theirs.code == 1
        assert "bob is not yours" in theirs.err


async def test_orders_are_canceled(tmp_path: Path) -> None:
    """By id, by strategy, all."""
    async with a_running_desk(tmp_path) as desk:
        assert (await deskctl(desk, "cancel", "alice-2")).out == "alice-2: pending_cancel\n"
        assert (await deskctl(desk, "cancel", "--strategy", "bob")).out == "bob-1: pending_cancel\n"
        assert (await deskctl(desk, "cancel", "--all")).code == 0


async def test_orders_are_replaced(tmp_path: Path) -> None:
    """A command is a fact; the answer names the new order, or says why there is none."""
    async with a_running_desk(tmp_path) as desk:
        done = await deskctl(desk, "replace", "alice-2", "--limit-price", "91", "--qty", "5")
        assert done.code == 0
        assert done.out.endswith(": accepted, in the place of alice-2\n")
        assert [(c.command, c.arguments) for c in desk.commands] == [
            ("replace", "alice-2 --qty 5 --limit-price 91"),
        ]
        refused = await deskctl(desk, "replace", "alice-1", "--qty", "5")
        assert (refused.code, refused.out) == (
            1,
            "alice-1: ORDER_FINAL: status=filled: there is nothing left to replace\n",
        )
        denied = await deskctl(desk, "replace", "bob-1", "--limit-price", "999999")
        assert denied.code == 1
        assert ": denied: " in denied.out
        assert denied.out.endswith("; the old order stays as it was\n")
        assert "None" not in denied.out
        as_json = await deskctl(desk, "replace", "bob-1", "--limit-price", "92", "--json")
        assert json.loads(as_json.out)["orders"][0]["replaces"] == "bob-1"


@pytest.mark.parametrize(
    "arguments",
    [
        ["replace"],
        ["replace", "alice-2"],
        ["replace", "alice-2", "--qty", "ten"],
        ["replace", "alice-2", "--limit-price", "nan"],
        ["replace", "alice-2", "--time-in-force", "ever"],
        ["why", ""],
        ["start"],
        ["start", "alice", "--all"],
        ["cancel"],
        ["cancel", "x", "--all"],
        ["orders", "--limit", "0"],
        ["statsu"],
        ["status", "--nope"],
        ["logs"],
    ],
)
async def test_wrong_usage_ends_with_two(tmp_path: Path, arguments: list[str]) -> None:
    """The desk is not even asked."""
    said = await deskctl(tmp_path / "desk.toml", *arguments)
    assert said.code == 2
    assert "Usage:" in said.err


async def test_a_desk_that_does_not_run_ends_with_three_and_says_how_to_start_it(tmp_path: Path) -> None:
    """The sentence names the socket that was tried."""
    config = tmp_path / "desk.toml"
    config.write_text('[desk]\nruntime_dir = "run"\n')
    said = await deskctl(config, "status")
    assert said.code == 3
    assert said.err == (
        f"deskctl: no desk is reachable at {tmp_path}/run/control.sock: there is no such socket. Start it with "
        "`make run` (or `systemctl start deskd`), or name its configuration with --config\n"
    )


async def test_a_configuration_that_cannot_be_read_ends_with_three(tmp_path: Path) -> None:
    """Where the desk listens is unknown then, and the way to find out more is named."""
    config = tmp_path / "desk.toml"
    config.write_text("[desk\n")
    for said in (await deskctl(config, "status"), await deskctl(tmp_path / "none.toml", "status")):
        assert said.code == 3
        assert said.err.startswith(f"deskctl: {tmp_path}")
        assert "--config" in said.err or "`deskctl config check` says more" in said.err


async def test_logs_are_shown_and_followed(tmp_path: Path) -> None:
    """--tail bounds what is shown first; -f goes on until Ctrl-C, which is no failure."""
    async with a_running_desk(tmp_path) as desk:
        log = desk.runs.log_path(ALICE)
        log.write_bytes(b"one\ntwo\x1b[2J\n")
        assert (await deskctl(desk, "logs", "alice", "--tail", "1")).out == "two\\x1b[2J\n"
        assert json.loads((await deskctl(desk, "logs", "alice", "--tail", "1", "--json")).out) == {
            "line": "two\\x1b[2J"
        }
        process = await started(desk.config, "logs", "alice", "-f", "--tail", "1")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"two\\x1b[2J\n"
        with log.open("a") as file:
            file.write("three\n")
        assert await process.stdout.readline() == b"three\n"
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")


async def test_following_ends_when_the_desk_does(tmp_path: Path) -> None:
    """A desk that stops leaves no reader hanging."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.log_path(ALICE).write_bytes(b"one\n")
        process = await started(desk.config, "logs", "alice", "-f")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"one\n"
    await process.communicate()
    assert process.returncode == 0


async def test_config_check_names_every_problem(tmp_path: Path) -> None:
    """It needs no running desk, and ends with 1 where something is wrong."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("[sandbox]\npids = 99\n")
    bad.write_text("[sandbox]\npids = 1\nmemroy_mb = 1\n")
    said = await deskctl(good, "config", "check")
    assert (said.code, said.out) == (0, f"{good}: good\n")
    said = await deskctl(good, "config", "check", str(bad))
    assert said.code == 1
    assert [line.split(": ")[0] for line in said.out.splitlines()] == [f"{bad}:2:1", f"{bad}:3:1"]
    said = await deskctl(bad, "config", "check", "--json")
    assert len(json.loads(said.out)["problems"]) == 2


async def test_config_show_says_where_each_value_comes_from_and_hides_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret is never printed."""
    config = tmp_path / "desk.toml"
    config.write_text("[sandbox]\npids = 99\n")
    for name, value in (("APCA_API_KEY_ID", "PKABCDEF"), ("APCA_API_SECRET_KEY", "s3cret"), ("DESKD_DESK__NAME", "x")):
        monkeypatch.setenv(name, value)
    said = await deskctl(config, "config", "show", "--json")
    rows = {row["key"]: (row["value"], row["from"]) for row in json.loads(said.out)}
    assert rows["sandbox.pids"] == ("99", f"{config}:2")
    assert rows["desk.name"] == ("x", "DESKD_DESK__NAME")
    assert rows["(the broker's keys)"][0] == "***"
    assert "s3cret" not in said.out
    assert "PKABCDEF" not in said.out


def test_what_ended_before_is_not_told_of_the_run_that_is_up() -> None:
    """A strategy that runs again did not stall: the run before it did."""
    row = {"status": "running", "exit_reason": "stalled", "exit_detail": "it handled no line for 90 s"}
    assert noted(row) == "the run before ended: stalled: it handled no line for 90 s"
    assert noted(row | {"status": "backoff"}) == "stalled: it handled no line for 90 s"
    assert noted(row | {"exit_reason": "stopped"}) is None


def test_it_starts_in_a_blink() -> None:
    """A command's own start-up stays under 150 ms: the heavy libraries are not imported."""
    code = "import sys, deskd.cli.deskctl; print(' '.join(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"pydantic", "aiohttp", "rich", "asyncio", "structlog", "http"} & set(loaded.split())
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "deskd.cli.deskctl", "--version"], cwd=ROOT, check=True, capture_output=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.15  # of computing: the machine that tests is busy


async def test_a_look_at_the_desk_is_done_in_a_blink(tmp_path: Path) -> None:
    """`status` itself, and not only its start: configuration, socket, table; what it computes is bounded."""
    async with a_running_desk(tmp_path) as desk:
        command = [sys.executable, "-m", "deskd.cli.deskctl", "--config", str(desk.config), "status"]
        took = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
            said, _ = await process.communicate()
            assert process.returncode == 0
            assert b"alice" in said
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert 0 < min(took) < 0.2  # of computing: 0.09 s was measured


async def test_a_pipe_that_closes_early_is_no_failure(tmp_path: Path) -> None:
    """`deskctl orders | head -1` prints no traceback."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.log_path(ALICE).write_bytes(b"x" * 1_000_000 + b"\n")
        command = f"{sys.executable} -m deskd.cli.deskctl --config {desk.config} logs alice | head -c 1"
        process = await asyncio.create_subprocess_shell(
            command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(os.environ)
        )
        out, err = await process.communicate()
    assert (out, err) == (b"x", b"")


async def test_a_token_is_printed_alone(tmp_path: Path) -> None:
    """`DESK_TOKEN=$(deskctl token alice)` works."""
    async with a_running_desk(tmp_path) as desk:
        assert await deskctl(desk, "token", "alice") == Said(0, "alice.0123\n", "")
        assert await deskctl(desk, "token", "bob") == Said(1, "", "deskctl: no token is needed here\n")
