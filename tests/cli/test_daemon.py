"""deskd's own commands, as processes."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deskd.journal import SOCKET
from tests.hang import HANG_S

ROOT = Path(__file__).parents[2]


async def deskd(*arguments: str, cwd: Path = ROOT) -> tuple[int | None, str, str]:
    pipe = asyncio.subprocess.PIPE
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("APCA_", "ALPACA_"))}
    environment["PYTHONPATH"] = str(ROOT)
    command = (sys.executable, "-m", "deskd", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_version_is_told() -> None:
    """`deskd --version` names program and version."""
    code, out, _ = await deskd("--version")
    assert (code, out) == (0, "deskd 0.1.0\n")


@pytest.mark.parametrize("command", ["run", "exchange"])
async def test_a_wrong_configuration_ends_with_78_and_every_problem(tmp_path: Path, command: str) -> None:
    """Systemd does not restart what cannot start (RestartPreventExitStatus=78)."""
    config = tmp_path / "desk.toml"
    config.write_text("[sandbox]\npids = 1\nmemroy_mb = 1\n")
    code, out, err = await deskd(command, "--config", str(config))
    assert code == 78
    assert out == ""
    assert [line.split(": ")[0] for line in err.splitlines()] == [f"{config}:2:1", f"{config}:3:1"]


@pytest.mark.skipif(Path(SOCKET).exists(), reason="the entries would go into this machine's own journal")
def test_a_start_that_fails_tells_systemd_all_that_is_wrong(tmp_path: Path) -> None:
    """Each problem is an entry of priority `err`, and `systemctl status` has the first; a key that is wrong stays out.

    Where the journal is not there to take entries, they are lines of stderr with their priority before them.
    """
    config = tmp_path / "desk.toml"
    config.write_text("[sandbox]\npids = 1\nmemroy_mb = 1\n")
    heard, stderr = os.pipe()
    at = os.fstat(stderr)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(HANG_S)
        environment = {
            **os.environ,
            "JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}",
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
        }
        command = [sys.executable, "-m", "deskd", "run", "--config", str(config)]
        ended = subprocess.run(command, cwd=ROOT, env=environment, stderr=stderr, check=False)
        os.close(stderr)
        assert ended.returncode == 78
        assert ear.recv(4096).decode().startswith(f"STATUS={config}:2:1: sandbox.pids")
    with os.fdopen(heard) as told:
        lines = told.read().splitlines()
    assert [line.split(" why=")[0] for line in lines] == ["<3>desk_ended"] * 2
    assert "memroy_mb" in lines[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[broker]\nmode = "alpaca"\n', 'deskd: broker.mode = "alpaca" needs keys: the broker\'s keys come from '),
        (
            '[exchange]\ntape = ["empty.csv"]\n',
            "deskd: the embedded exchange did not start: its message above says why",
        ),
    ],
)
async def test_what_shows_only_while_it_starts_is_a_wrong_configuration_too(
    tmp_path: Path, text: str, problem: str
) -> None:
    """Keys that are not there and a tape that is none end the desk with 78, too: systemd does not try for ever."""
    config = tmp_path / "desk.toml"
    config.write_text(text)
    (tmp_path / "empty.csv").touch()
    code, _, err = await deskd("run", "--config", str(config))
    assert code == 78
    assert err.splitlines()[-1].startswith(problem)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--speed", "-1"], "--speed: exchange.speed: is -1.0; allowed: a number from 0 to 100000"),
        (
            ["--fills", "papr"],
            '--fills: exchange.fills: is "papr" (text); allowed: "paper" or "immediate"; did you mean',
        ),
        (["--listen", "here"], '--listen: exchange.listen: is "here"; allowed: HOST:PORT'),
        (["--tape", "a.csv", "b.csv"], "--tape: exchange.tape: there is no "),
        (["--start", "noon"], '--start: exchange.start: is "noon"; allowed: HH:MM'),
    ],
)
async def test_a_wrong_option_of_the_exchange_is_named(tmp_path: Path, arguments: list[str], problem: str) -> None:
    """The message names the option as it was typed, and the rule."""
    config = tmp_path / "desk.toml"
    config.write_text("")
    code, _, err = await deskd("exchange", "--config", str(config), *arguments)
    assert code == 78
    assert err.startswith(problem)


async def test_the_exchange_runs_alone_until_it_is_told_to_end(tmp_path: Path) -> None:
    """One line of JSON says where it listens; SIGINT ends it with 0; its paths start where the person stands."""
    config = tmp_path / "desk.toml"
    config.write_text("")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = (sys.executable, "-m", "deskd", "exchange", "--config", str(config), "--state", "mine.db", "--seed", "7")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(HANG_S):
        ready = json.loads(await process.stdout.readline())
    assert ready["event"] == "exchange_ready"
    assert ready["url"].startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 0, err
    assert (tmp_path / "mine.db").exists()
