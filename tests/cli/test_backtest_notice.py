"""A backtest's result reaches people who did not wait for it; whether it can is known before it begins."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from deskd.cli.backtest_notice import must_be_heard, tell, words
from deskd.cli.client import Desk, NotDone
from tests.backtest.test_pages import METRICS, a_backtest
from tests.control.a_running_desk import MEMBER, a_running_desk
from tests.control.test_notifications import keep_a_dead_one


def test_the_figures_are_told_and_what_a_strategy_said_stays_one_line() -> None:
    """Return, drawdown, orders; a part of a tape and an invented market are told as such."""
    title, text = words(a_backtest())
    assert title == "Backtest of ann: +1.00%"
    assert "tape=some/tape days=2026-01-05 to 2026-01-06" in text
    assert "Sharpe=needs more days" in text
    assert len(text.splitlines()) == 5
    part = replace(a_backtest(), is_whole=False, is_synthetic=True, metrics=replace(METRICS, sharpe=Decimal("1.234")))
    assert "NOT the whole tape: up to 2026-01-06T17:00:00+00:00" in words(part)[1]
    assert "an invented market" in words(part)[1]
    assert "Sharpe=1.23" in words(part)[1]


async def test_it_goes_to_the_topics_routes_and_to_the_member(tmp_path: Path) -> None:
    """To a member only where the desk has a strategy of that name; without a route it is refused, and says what to set."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        await asyncio.to_thread(must_be_heard, Desk(desk.socket))
        assert await asyncio.to_thread(tell, Desk(desk.socket), "Backtest", "figures", "bob") == ["ben"]
        [notice] = desk.notices
        assert (notice.topic, notice.strategy_id, notice.text) == ("backtest-results", "bob", "figures")
        with pytest.raises(NotDone, match=r"set notifications\.backtest_results"):
            await asyncio.to_thread(tell, Desk(desk.socket), "Backtest", "figures", "nobody")


async def test_a_desk_that_tells_nobody_is_known_before_the_tape_is_played(tmp_path: Path) -> None:
    """Not an hour later."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match="--notify: the desk has no routes"):
            await asyncio.to_thread(must_be_heard, Desk(desk.socket))


async def test_a_member_is_told_at_once_that_it_is_not_theirs(tmp_path: Path) -> None:
    """Before the tape is played, too."""
    keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        with pytest.raises(NotDone, match="--notify is for officers"):
            await asyncio.to_thread(must_be_heard, Desk(desk.socket))
