"""What opens a door gets out nowhere, wherever it was put, and whatever quotes it.

The broker's keys, addresses of notifications, a laptop's token, the key that signs the ledger.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deskd.api.tokens import Tokens
from deskd.domain.ids import StrategyId
from tests.alerts.notes import http_receiver
from tests.hang import HANG_S
from tests.whole.desk_process import ROOT, a_desk_process
from tests.whole.exchange_process import an_exchange

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

KEY_ID, SECRET = "PKPLANTEDKEYID0001", "planted-secret-0123456789"
PLANTED = {"APCA_API_KEY_ID": KEY_ID, "APCA_API_SECRET_KEY": SECRET}
SIGNING_KEY, TOKEN_KEY = "c0ffee" * 10 + "c0de", b"\x07planted-key-of-laptops-tokens\x07\x07"
TOKEN = Tokens(TOKEN_KEY).issue(StrategyId("looks"))
ROUTE_PASSWORD, ROUTE_TOKEN = "planted-pass-77", "planted-t0ken-of-a-route"
TEXTS = (KEY_ID, SECRET, SIGNING_KEY, TOKEN.partition(".")[2], ROUTE_PASSWORD, ROUTE_TOKEN)
NEEDLES = (*(text.encode() for text in TEXTS), bytes.fromhex(SIGNING_KEY), TOKEN_KEY)
HOMES = {"ledger-key", "token.key", "routes.toml"}  # where they are at home, for the desk's eyes only
CONFIG = """
[broker]
{broker}
[metrics]
listen = "127.0.0.1:0"
[risk.strategy]
duplicate_window_s = 0
[api]
local_port = {port}
[notify]
routes_file = "{routes}"
digest_s = 0.1
system_alerts = ["club", "broken"]
paper_trading = ["club", "broken"]
daily_summary = ["club", "broken"]
"""
ROUTES = f"""
[routes]
club = "json://robot:{ROUTE_PASSWORD}@127.0.0.1:{{port}}/{ROUTE_TOKEN}"
broken = "json://robot:{ROUTE_PASSWORD}@127.0.0.1:{{refusing}}/{ROUTE_TOKEN}"
"""

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
    return [repr(needle) for needle in NEEDLES if needle in found]


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


async def asked(port: int, path: str, headers: Mapping[str, str]) -> bytes:
    """Return what the door for laptops answers; what it echoes of a token is its bearer's own."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{head}\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1."), answer
    return b"" if TOKEN in path or TOKEN in headers.get("X-User-ID", "") else answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.slow
async def test_planted_keys_are_found_nowhere(tmp_path: Path) -> None:
    """Not in log, ledger, strategies' logs, status, figures, doctor or settings: all that the desk says and keeps."""
    async with (
        http_receiver() as receiver,
        http_receiver() as refusing,
        an_exchange(tmp_path / "exchange.db", keys=PLANTED) as exchange,
        a_desk_process(tmp_path) as desk,
    ):
        desk.environment = PLANTED
        refusing.status = 500
        laptops, routes = free_port(), tmp_path / "etc" / "routes.toml"
        broker = exchange.broker_keys.replace("            ", "")
        desk.configure(CONFIG.format(broker=broker, port=laptops, routes=routes))
        routes.write_text(ROUTES.format(port=receiver.port, refusing=refusing.port))
        (desk.state / "ledger-key").write_text(SIGNING_KEY + "\n")
        (desk.state / "token.key").write_bytes(TOKEN_KEY)
        for secret in (routes, desk.state / "ledger-key", desk.state / "token.key"):
            secret.chmod(0o600)
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
            for path in ("metrics", "health", "ready")
        )
        for path, headers in (
            ("/orders", {}),
            (f"/orders/{TOKEN}", {}),
            (f"/{TOKEN}", {}),
            ("/orders", {"X-User-ID": TOKEN}),
            ("/orders", {"Authorization": f"Bearer {TOKEN}0"}),
        ):
            page += await asked(laptops, path, {"Authorization": f"Bearer {TOKEN}"} | headers)
        await desk.hears("notification_route_failed")
        config = tmp_path / "etc" / "desk.toml"
        commands = [
            ["status", "--json"],
            ["orders", "--json"],
            ["doctor"],
            ["config", "show"],
            ["config", "show", "--json"],
            ["config", "check"],
            ["config", "reload"],
            ["runs", "looks", "--json"],
            ["runs", "looks", "--last"],
            ["top", "--once"],
            ["jobs", "run", "report"],
            ["jobs", "run", "summary"],
            ["jobs", "run", "backup"],
            ["report"],
            ["report", "--kind", "html"],
            ["audit", "sign"],
            ["notify", "test", "system-alerts"],
            ["notify", "list", "--json"],
            ["handover", str(tmp_path / "bundle")],
            ["logs", "looks", "--tail", "1000"],
            ["start", "env"],
            ["check", str(tmp_path / "strategies" / "looks")],
            ["events", "--json"],
            ["audit", "export"],
            ["why", "env"],
        ]
        # In a thread: whoever does not read the desk's log, or take its notifications, holds it up.
        told = {" ".join(command): await asyncio.to_thread(said, *command, config=config) for command in commands}
        await desk.end()
        for name in MEMBERS:
            shown = b"***" if name == SECRET else name.encode()
            assert shown in told["status --json"], name
        assert told["status --json"].count(b"holds a key of the desk's broker (not shown)") == len(MEMBERS)
        assert b"SPY" in told["orders --json"], "the commands reached the desk"
        assert b'"route":"broken"' in told["notify list --json"].replace(b" ", b"")
        assert any((tmp_path / "bundle").rglob("desk.db")), told[f"handover {tmp_path / 'bundle'}"]
        assert any((desk.state / "backups").iterdir()), told["jobs run backup"]
        assert receiver.got, "somebody was notified"
        assert b"DESK_SERVER_URL" in told["logs looks --tail 1000"], "the strategy showed its environment"

    assert b"looks.***" in json.dumps(desk.log).encode(), "the log tells of a token without showing it"
    leaks = {name: where(text) for name, text in told.items()}
    leaks |= {"figures": where(page), "the desk's log": where(json.dumps(desk.log).encode())}
    leaks |= {"notifications": where(json.dumps([*receiver.got, *refusing.got]).encode())}
    kept = files_of(desk.state, tmp_path / "etc", tmp_path / "bundle")
    leaks |= {str(path): where(path.read_bytes()) for path in kept if path.name not in HOMES}
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
