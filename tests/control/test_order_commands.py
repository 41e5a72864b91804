"""Cancels by people: one order, a strategy's, all."""

from pathlib import Path

from tests.control.a_running_desk import a_running_desk
from tests.control.questions import command


async def test_orders_are_canceled_by_id_by_strategy_and_all(tmp_path: Path) -> None:
    """An id may be shortened; what is final already is refused with its state."""
    async with a_running_desk(tmp_path) as desk:
        one = await command(desk, "/cancel", order="alice-2")
        assert [(o["client_order_id"], o["status"]) for o in one.body["orders"]] == [("alice-2", "pending_cancel")]
        rest = await command(desk, "/cancel", strategy="bob")
        assert [o["client_order_id"] for o in rest.body["orders"]] == ["bob-1"]
        final = await command(desk, "/cancel", order="alice-1")
        assert not final.is_done
        assert final.body["refused"][0]["message"] == "it is filled already"
        everything = await command(desk, "/cancel", all=True)
        assert len(everything.body["orders"]) == 2
        assert [c.arguments for c in desk.commands] == ["alice-2", "--strategy bob", "alice-1", "--all"]
        short = await command(desk, "/cancel", order="bob-")
        assert [o["client_order_id"] for o in short.body["orders"]] == ["bob-1"]
