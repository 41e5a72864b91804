"""Watchlists are kept, bounded and refused by name."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.venue.serving import served, settings, write_tape


async def call(session: aiohttp.ClientSession, method: str, path: str, status: int = 200, **given: Any) -> Any:
    async with session.request(method, path, **given) as answer:
        assert answer.status == status, await answer.text()
        return None if status == 204 else await answer.json()


async def test_a_watchlist_lives_through_a_restart(tmp_path: Path) -> None:
    """Created, added to, renamed: the next life of the exchange has it; deleted, it is gone for good."""
    told = settings(write_tape(tmp_path / "tape"), state=tmp_path / "x.db")
    async with served(told) as (_, session):
        made = await call(session, "POST", "/v2/watchlists", json={"name": "a", "symbols": ["AAPL", "AAPL"]})
        assert [asset["symbol"] for asset in made["assets"]] == ["AAPL"]
        path = f"/v2/watchlists/{made['id']}"
        await call(session, "POST", path, json={"symbol": "IBM"})
        await call(session, "PUT", path, json={"name": "b"})
    async with served(told) as (_, session):
        found = await call(session, "GET", path)
        assert (found["name"], [asset["symbol"] for asset in found["assets"]]) == ("b", ["AAPL", "IBM"])
        assert found["account_id"] == made["account_id"]
        assert (await call(session, "GET", "/v2/watchlists:by_name?name=b"))["id"] == made["id"]
        assert (await call(session, "DELETE", path + "/AAPL"))["assets"][0]["symbol"] == "IBM"
        await call(session, "DELETE", path, 204)
    async with served(told) as (_, session):
        assert await call(session, "GET", "/v2/watchlists") == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "", {}, 422, "name is required"),
        ("POST", "", {"name": "x" * 65}, 422, "64 characters"),
        ("POST", "", {"name": "taken"}, 422, "must be unique"),
        ("POST", "", {"name": "n", "symbols": ["ZZZZ"]}, 404, "ZZZZ"),
        ("POST", "", [1], 400, "format is invalid"),
        ("POST", "/no", {"symbol": "AAPL"}, 404, "watchlist not found"),
        ("PUT", "/no", {"name": "n"}, 404, "watchlist not found"),
        ("GET", "/no", None, 404, "watchlist not found"),
        ("DELETE", "/no", None, 404, "watchlist not found"),
        ("DELETE", "/no/AAPL", None, 404, "watchlist not found"),
        ("GET", ":by_name?name=no", None, 404, "watchlist not found"),
        ("POST", "/{id}", {}, 422, "symbol is required"),
        ("POST", "/{id}", {"symbol": "ZZZZ"}, 404, "ZZZZ"),
        ("PUT", "/{id}", [1], 400, "format is invalid"),
    ],
)
async def test_a_wrong_watchlist_is_refused(  # noqa: PLR0917  a row of the table
    tmp_path: Path, method: str, path: str, body: object, status: int, says: str
) -> None:
    """Names, symbols and ids that do not fit are told."""
    async with served(settings(write_tape(tmp_path / "tape"))) as (_, session):
        taken = await call(session, "POST", "/v2/watchlists", json={"name": "taken"})
        path = "/v2/watchlists" + path.replace("{id}", taken["id"])
        assert says in (await call(session, method, path, status, json=body))["message"]
