"""The broker's keys get out nowhere, wherever they were put, and whatever quotes them."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.hang import HANG_S
from tests.whole.desk_process import ROOT, a_desk_process
from tests.whole.exchange_process import an_exchange

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

KEY_ID, SECRET = "PKPLANTEDKEYID0001", "planted-secret-0123456789"
PLANTED = {"APCA_API_KEY_ID": KEY_ID, "APCA_API_SECRET_KEY": SECRET}
NEEDLES = (KEY_ID.encode(), SECRET.encode())

# Shows all that a strategy can see of the desk's environment, then trades.
LOOKS = """
    import os, sys, time
    from desk_client import place_order
    print(dict(os.environ), flush=True)
    for line in sys.stdin:
        time.sleep(0.2)
        answer = place_order("SPY", "1", "buy", timeout=5)
        print(answer.status, answer.reason, answer.message, flush=True)
"""


QUOTES = f"print('{KEY_ID}')"
# What members wrote: a key in the folder's name, in settings, in code.
MEMBERS: Mapping[str, Mapping[str, object] | None] = {
    SECRET: None,
    "env": {"env": {"TOKEN": SECRET}},
    "described": {"description": f"trades with {KEY_ID}", "name": SECRET},
    "misspelt": {SECRET: 1},
    "version": {"version": SECRET},
    "code": None,
}


def where(found: bytes) -> list[str]:
    return [needle.decode() for needle in NEEDLES if needle in found]


def files_of(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def said(*arguments: str, config: Path) -> bytes:
    """Return all that a command says, started with the keys in its environment."""
    done = subprocess.run(
        [sys.executable, "-m", "deskd.cli.deskctl", "--config", str(config), *arguments],
        cwd=ROOT,
        env=os.environ | PLANTED,
        capture_output=True,
        check=False,
        timeout=HANG_S,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
async def test_planted_keys_are_found_nowhere(tmp_path: Path) -> None:
    """Not in log, ledger, strategies' logs, status, figures, doctor or settings: all that the desk says and keeps."""
    async with an_exchange(tmp_path / "exchange.db", keys=PLANTED) as exchange, a_desk_process(tmp_path) as desk:
        desk.environment = PLANTED
        desk.configure(
            f"[broker]\n{exchange.broker_keys}[metrics]\nlisten = '127.0.0.1:0'\n[risk.strategy]\nduplicate_window_s = 0\n".replace(
                "            ", ""
            )
        )
        desk.strategy("looks", LOOKS, {"symbols": ["SPY"]})
        for name, settings in MEMBERS.items():
            desk.strategy(name, QUOTES if name == "code" else "print(1)", settings)
        await desk.start()
        await desk.hears("order_approved")
        await exchange.misbehave({"reject_next": {"symbol": "SPY", "reason": f"bad key {SECRET} of {KEY_ID}"}})
        await desk.hears("order_rejected")
        port = next(line["port"] for line in desk.log if line["event"] == "metrics_served")
        page = b"".join(
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}").read()  # noqa: ASYNC210  the desk is another process
            for path in ("metrics", "health")
        )
        config = tmp_path / "etc" / "desk.toml"
        commands = [
            ["status", "--json"],
            ["orders", "--json"],
            ["doctor"],
            ["config", "show"],
            ["logs", "looks", "--tail", "1000"],
            ["start", "env"],
            ["check", str(tmp_path / "strategies" / "looks")],
            ["events", "--json"],
            ["audit", "export"],
            ["why", "env"],
        ]
        told = {" ".join(command): said(*command, config=config) for command in commands}
        await desk.end()
        for name in MEMBERS:
            shown = b"***" if name == SECRET else name.encode()
            assert shown in told["status --json"], name
        assert told["status --json"].count(b"holds a key of the desk's broker (not shown)") == len(MEMBERS)
        assert b"SPY" in told["orders --json"], "the commands reached the desk"
        assert b"DESK_SERVER_URL" in told["logs looks --tail 1000"], "the strategy showed its environment"
    leaks = {name: where(text) for name, text in told.items()}
    leaks |= {"figures": where(page), "the desk's log": where(json.dumps(desk.log).encode())}
    leaks |= {str(path): where(path.read_bytes()) for path in files_of(desk.state, tmp_path / "etc")}
    assert {name: found for name, found in leaks.items() if found} == {}


def test_a_key_in_the_file_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    """Whoever wrote it there learns where it belongs, and no terminal or journal keeps it."""
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "desk.toml"
    for text in (
        f'[broker]\nsecret_key = "{SECRET}"\n',
        f'[broker]\ntrading_url = "https://{KEY_ID}:{SECRET}@broker.example"\n',
        f'[alpaca]\nkey_id = "{KEY_ID}"\nsecret = "{SECRET}"\n',
    ):
        file.write_text(text)
        for command in (["config", "check", str(file)], ["config", "show"], ["doctor"]):
            found = said(*command, config=file)
            assert b"environment" in found or command[0] != "config", found
            assert where(found) == [], text
