"""/instruments over a real socket: what a member asks before deploying."""

import asyncio
from pathlib import Path

import pytest

from deskd.cli.client import Desk, NotDone
from deskd.control.instruments import ASKED_MAX
from deskd.domain.ids import Symbol
from tests.control.a_running_desk import MEMBER, a_running_desk


async def test_everybody_may_ask_what_the_broker_lists(tmp_path: Path) -> None:
    """Unknown and not tradable are told apart; what is good is not told."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        answer = await asyncio.to_thread(Desk(desk.socket).look, "/instruments", {"symbols": "AAPL,TSLAA,OLD"})
    assert answer == {"unknown": ["TSLAA"], "not_tradable": ["OLD"]}


@pytest.mark.parametrize("symbols", ["", ",".join(["A"] * (ASKED_MAX + 1))], ids=["none", "too many"])
async def test_a_question_names_some_and_not_too_many(tmp_path: Path, symbols: str) -> None:
    """The answer is made on the loop."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match="name from 1 to 1000"):
            await asyncio.to_thread(Desk(desk.socket).look, "/instruments", {"symbols": symbols})


async def test_a_desk_without_the_list_says_so(tmp_path: Path) -> None:
    """Nothing is called unknown by a desk that knows nothing yet."""
    async with a_running_desk(tmp_path) as desk:
        desk.instruments.clear()
        with pytest.raises(NotDone, match="not there yet"):
            await asyncio.to_thread(Desk(desk.socket).look, "/instruments", {"symbols": str(Symbol("AAPL"))})
