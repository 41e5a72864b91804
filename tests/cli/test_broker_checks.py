"""The doctor asks the broker what an officer would otherwise find out at the open."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deskd.cli.broker_checks import BASIC_SYMBOLS_MAX, examine_broker
from deskd.cli.check import Check
from deskd.config.load import load

KEYS = {"APCA_API_KEY_ID": "PK1", "APCA_API_SECRET_KEY": "s3cret-of-alpaca"}
FREE = (403, {"code": 42210000, "message": "subscription does not permit querying recent SIP data"})

type Answers = dict[str, tuple[int, Mapping[str, Any]]]


def clock(*, off: timedelta = timedelta(0), is_open: bool = True) -> Mapping[str, Any]:
    now = datetime.now(UTC) + off  # noqa: TID251  the machine's clock is what is judged
    nearer, later = (now + timedelta(hours=h, minutes=1) for h in (3, 20))
    opens, closes = (later, nearer) if is_open else (nearer, later)
    return {
        "timestamp": now.isoformat(),
        "is_open": is_open,
        "next_open": opens.isoformat(),
        "next_close": closes.isoformat(),
    }


@asynccontextmanager
async def a_broker(answers: Callable[[], Answers]) -> AsyncIterator[tuple[str, list[str | None]]]:
    """Yield the address of an Alpaca that says *answers*, by path, and the keys that it was asked with."""
    asked: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers.get("APCA-API-KEY-ID"))
        status, body = answers().get(request.path, (404, {}))
        return web.Response(status=status, text=json.dumps(body))

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


def checks(folder: Path, text: str, environment: dict[str, str] | None = None) -> dict[str, Check]:
    file = folder / "desk.toml"
    file.write_text(text)
    config = load(file, root=folder, environment={}).config
    return {one.check: one for one in examine_broker(config, file, environment or {}, folder.stat().st_uid)}


async def asked(
    folder: Path,
    *,
    account: tuple[int, Mapping[str, Any]] = (200, {}),
    at: Callable[[], Mapping[str, Any]] = clock,
    plan: tuple[int, Mapping[str, Any]] = (200, {"quotes": {}}),
    more: str = "",
) -> dict[str, Check]:
    """Return what is found where the broker answers so."""

    def answers() -> Answers:
        return {"/v2/account": account, "/v2/clock": (200, at()), "/v2/stocks/quotes/latest": plan}

    async with a_broker(answers) as (url, keys):
        text = f'[broker]\nmode = "alpaca"\ntrading_url = "{url}"\ndata_url = "{url}"\n{more}'
        found = await asyncio.to_thread(checks, folder, text, KEYS)
        assert set(keys) == {"PK1"}
    assert "s3cret" not in f"{found}"
    assert all(check.remedy for check in found.values() if check.verdict != "good")
    return found


def test_the_embedded_exchange_needs_nothing(tmp_path: Path) -> None:
    """No keys, no network: nothing is asked."""
    assert checks(tmp_path, "")["broker"].verdict == "good"


def test_missing_keys_are_found(tmp_path: Path) -> None:
    """A desk on Alpaca without keys is told where they come from."""
    text = '[broker]\nmode = "alpaca"\n'
    found = checks(tmp_path, text)["broker"]
    assert (found.verdict, found.found) == ("bad", "no keys in this environment")
    assert "APCA_API_KEY_ID" in str(found.remedy)
    assert checks(tmp_path, text, {"APCA_API_KEY_ID": "PK1"})["broker"].verdict == "bad"


async def test_a_good_broker_is_good_in_every_respect(tmp_path: Path) -> None:
    """Keys, whose money it is, the clock, the session and the data plan are all told."""
    found = await asked(tmp_path)
    assert {name: check.verdict for name, check in found.items()} == dict.fromkeys(
        ("broker", "clock", "session", "data plan"), "good"
    )
    assert found["broker"].found.endswith("knows the keys: a paper account, paper money")
    assert found["data plan"].found.startswith("the whole market (sip)")


@pytest.mark.parametrize(("status", "verdict"), [(401, "bad"), (403, "bad"), (503, "warning")])
async def test_keys_that_the_broker_refuses_are_found(tmp_path: Path, status: int, verdict: str) -> None:
    """Before the first order; and nothing more is asked with them."""
    found = await asked(tmp_path, account=(status, {}))
    assert found["broker"].verdict == verdict
    assert ("clock" in found) == (verdict != "bad")


async def test_a_barred_account_is_found(tmp_path: Path) -> None:
    """Good keys to an account that may not trade are no good morning."""
    found = (await asked(tmp_path, account=(200, {"trading_blocked": True, "account_blocked": False})))["broker"]
    assert found.verdict == "warning"
    assert found.found.endswith("the account is barred: trading_blocked")


async def test_a_broker_that_is_away_is_found(tmp_path: Path) -> None:
    """Nobody listens there."""
    async with a_broker(dict) as (url, _):
        pass
    found = await asyncio.to_thread(checks, tmp_path, f'[broker]\nmode = "alpaca"\ntrading_url = "{url}"\n', KEYS)
    assert "is not reachable" in found["broker"].found
    assert found["broker"].verdict == "bad"


@pytest.mark.parametrize(
    ("off", "verdict", "way"), [(-4000, "bad", " after"), (4000, "bad", " behind"), (0, "good", " s ")]
)
async def test_a_wrong_clock_is_found(tmp_path: Path, off: int, verdict: str, way: str) -> None:
    """Sessions and the age of quotes rest on it: the skew is told, and which way."""
    found = (await asked(tmp_path, at=lambda: clock(off=timedelta(seconds=off))))["clock"]
    assert (found.verdict, way in found.found) == (verdict, True), found
    assert off == 0 or "4000." in found.found or "3999." in found.found


async def test_a_clock_that_cannot_be_read_is_no_good_clock(tmp_path: Path) -> None:
    """Unknown is not good, and nothing falls over it."""
    found = await asked(tmp_path, at=lambda: {"is_open": "perhaps"})
    assert found["clock"].verdict == "warning"
    assert "session" not in found


async def test_the_time_to_the_next_session_is_told(tmp_path: Path) -> None:
    """How long it is open yet, or when it opens."""
    assert (await asked(tmp_path))["session"].found.endswith(": 3h 1m left")
    found = await asked(tmp_path, at=lambda: clock(is_open=False))
    assert found["session"].found.startswith("closed; the next one begins ")
    assert found["session"].found.endswith(" UTC: in 3h 1m")


async def test_what_the_data_plan_lacks_is_found(tmp_path: Path) -> None:
    """The free plan has no sip, and few symbols: too many would end the whole subscription."""
    assert (await asked(tmp_path, plan=FREE))["data plan"].verdict == "good"
    sip = await asked(tmp_path, plan=FREE, more='[market]\nfeed = "sip"\n')
    assert sip["data plan"].verdict == "bad"
    assert 'market.feed = "iex"' in str(sip["data plan"].remedy)
    folder = tmp_path / "strategies" / "greedy"
    folder.mkdir(parents=True)
    (folder / "strategy.py").touch()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    names = [f"{one}{other}" for one in "AB" for other in letters][: BASIC_SYMBOLS_MAX + 1]
    (folder / "config.json").write_text(json.dumps({"symbols": names}))
    many = (await asked(tmp_path, plan=FREE))["data plan"]
    assert (many.verdict, "strategies name 31" in many.found) == ("bad", True)
    (folder / "config.json").write_text(json.dumps({"symbols": names, "enabled": False}))
    assert (await asked(tmp_path, plan=FREE))["data plan"].verdict == "good"
    assert (await asked(tmp_path, plan=(429, {"message": "slow\x1bdown"})))["data plan"].verdict == "warning"
