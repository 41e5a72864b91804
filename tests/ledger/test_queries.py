"""Questions to the ledger: the newest rows, in order, of one strategy or all, and a clear word when it is not there."""

from pathlib import Path

import pytest

from deskd.domain.errors import LedgerError
from deskd.ledger.projections import TABLES, project
from deskd.ledger.queries import LedgerReader
from deskd.ledger.store import LedgerStore
from tests.core.some_splits import a_split_story
from tests.factories import ALICE, BOB
from tests.ledger.story import a_story


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Write the story of a morning."""
    facts, desk = a_story()
    async with await LedgerStore.open(tmp_path / "desk #1?.db") as ledger:
        await ledger.append(facts, project(facts, desk))
    return tmp_path / "desk #1?.db"


async def test_the_newest_rows_come_oldest_first(path: Path) -> None:
    """As one reads a list of orders; a limit cuts off the old ones."""
    reader = LedgerReader(path)
    rows = await reader.latest("orders")
    assert [row["client_order_id"] for row in rows] == ["alice-1", "alice-2", "alice-3"]
    assert [row["client_order_id"] for row in await reader.latest("orders", limit=1)] == ["alice-3"]
    assert [row["qty"] for row in await reader.latest("fills", strategy_id=ALICE)] == ["4", "6"]


async def test_a_strategy_sees_no_other_ones_rows(path: Path) -> None:
    """Nothing of alice's is bob's."""
    assert await LedgerReader(path).latest("orders", strategy_id=BOB) == []


@pytest.mark.parametrize("table", sorted({*TABLES, "trades"} - {"strategies", "order_parts"}))
async def test_each_table_can_be_asked_for(path: Path, table: str) -> None:
    """The view of the first desk's columns, too."""
    assert await LedgerReader(path).latest(table)


async def test_the_parts_of_an_order_can_be_asked_for(tmp_path: Path) -> None:
    """Those that were sent first stand first."""
    facts, desk = a_split_story()
    store = await LedgerStore.open(tmp_path / "desk.db")
    await store.append(facts, project(facts, desk))
    await store.close()
    rows = await LedgerReader(tmp_path / "desk.db").latest("order_parts", strategy_id=ALICE)
    assert [row["part_id"] for row in rows] == ["alice-sale~1", "alice-sale~2"]


async def test_a_ledger_that_is_not_there_is_an_error_with_its_place(tmp_path: Path) -> None:
    """A question never makes a file."""
    with pytest.raises(LedgerError, match=r"nowhere\.db: the ledger cannot be read"):
        await LedgerReader(tmp_path / "nowhere.db").latest("orders")
    assert not (tmp_path / "nowhere.db").exists()
