"""From what is typed to one order's page."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deskd.control.names import NoSuchName
from deskd.control.order_page import order_page
from deskd.domain.ids import UserId
from deskd.ledger.fact_reader import FactReader
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from tests.ledger.story import a_story


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[FactReader]:
    facts, desk = a_story()
    store = await LedgerStore.open(tmp_path / "desk.db")
    await store.append(facts, project(facts, desk))
    await store.close()
    with FactReader(tmp_path / "desk.db") as history:
        yield history


def everybody(_user_id: UserId) -> bool:
    return True


@pytest.mark.parametrize("typed", ["alice-1", "b-alice-1", "b-alice-1"[:9]])
def test_an_order_is_found_by_either_id_or_its_beginning(history: FactReader, typed: str) -> None:
    """As it stands in a log, in the broker's page, or half remembered."""
    page = order_page(history, typed, everybody)
    assert page["client_order_id"] == "alice-1"
    assert [row["kind"] for row in page["timeline"]] == ["OrderApproved", "OrderAccepted", "OrderFilled", "OrderFilled"]
    assert page["run"]["exit_reason"] == "oom"


def test_what_names_no_order_or_many_says_so(history: FactReader) -> None:
    """And what to type instead."""
    with pytest.raises(NoSuchName, match=r"order 'alice' is ambiguous: alice-1, alice-2, alice-3; type more of it"):
        order_page(history, "alice", everybody)
    with pytest.raises(NoSuchName, match="there is no order 'zebra' of yours in the ledger; `deskctl orders` lists"):
        order_page(history, "zebra", everybody)
    with pytest.raises(NoSuchName, match=r"\(a beginning needs 4 characters\)"):
        order_page(history, "al", everybody)


def test_anothers_order_is_no_order(history: FactReader) -> None:
    """A member cannot even learn that it exists."""
    with pytest.raises(NoSuchName, match="there is no order 'alice-1' of yours"):
        order_page(history, "alice-1", lambda user_id: user_id == "bob")
