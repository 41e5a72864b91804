"""/why over a real socket."""

import asyncio
from pathlib import Path

import pytest

from deskd.cli.client import Desk, NotDone
from deskd.control.people import Caller
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Side
from tests.control.a_running_desk import MEMBER, OFFICER, a_running_desk
from tests.factories import a_limit_request, requested


async def test_the_page_of_an_order_is_answered(tmp_path: Path) -> None:
    """Also of one that the gate denied."""
    async with a_running_desk(tmp_path) as desk:
        page = await asyncio.to_thread(Desk(desk.socket).look, "/why/alice-1")
        denied = await asyncio.to_thread(Desk(desk.socket).look, "/why/alice-3")
    assert page["outcome"].startswith("filled: bought 10 AAPL at 100")
    assert all(check["verdict"] == "passed" for check in page["checks"])
    assert denied["outcome"].startswith("denied: SYMBOL_NOT_ALLOWED symbol=ZZZ")
    assert denied["checks"][-1]["verdict"] == "denied"


async def test_members_are_told_of_their_own_orders_only(tmp_path: Path) -> None:
    """Bob's order is no order to Alice; an officer sees it."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        assert (await asyncio.to_thread(Desk(desk.socket).look, "/why/alice-2"))["status"] == "accepted"
        with pytest.raises(NotDone, match="there is no order 'bob-1' of yours"):
            await asyncio.to_thread(Desk(desk.socket).look, "/why/bob-1")


@pytest.mark.parametrize(("caller", "names"), [(MEMBER, []), (OFFICER, ["bob-1"])])
async def test_officers_alone_see_whose_order_was_in_the_way(tmp_path: Path, caller: Caller, names: list[str]) -> None:
    """A member reads what kind of order it was, and never whose."""
    sale = a_limit_request("91", client_order_id=ClientOrderId("alice-9"), side=Side.SELL)
    async with a_running_desk(tmp_path, caller=caller) as desk:
        await desk.happens(requested(sale))
        page = await asyncio.to_thread(Desk(desk.socket).look, "/why/alice-9")
    assert page["outcome"].startswith("denied: CONFLICT_WASH")
    assert page["in_the_way"] == names
    assert ("bob" in str(page)) is bool(names)


async def test_an_order_whose_facts_are_lacking_is_told(tmp_path: Path) -> None:
    """A page is never made of guesses: a table without its facts is a broken ledger."""
    async with a_running_desk(tmp_path) as desk:
        await desk.store.append(
            [], [("UPDATE orders SET client_order_id = 'ghost-1' WHERE client_order_id = ?", ("bob-1",))]
        )
        with pytest.raises(NotDone, match="the ledger does not hold the request of order ghost-1"):
            await asyncio.to_thread(Desk(desk.socket).look, "/why/ghost-1")
