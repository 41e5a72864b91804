"""Readers of facts: by place, time, kind and order, from a ledger that is written meanwhile."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.domain.ids import ClientOrderId, RunId
from deskd.ledger.fact_reader import _ORDER, ID_PREFIX_MIN, ORDERS_FOUND_MAX, FactReader
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from tests.core.some_splits import a_split_story
from tests.factories import ALICE, NOON
from tests.ledger.story import a_story


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Path]:
    """Give the ledger of a morning."""
    facts, desk = a_story()
    store = await LedgerStore.open(tmp_path / "desk.db")
    await store.append(facts, project(facts, desk))
    yield tmp_path / "desk.db"
    await store.close()


def test_facts_are_read_on_from_a_place(ledger: Path) -> None:
    """Each once, in order, with the hash that chains it."""
    facts, _ = a_story()
    with FactReader(ledger) as history:
        assert history.last_seq() == len(facts)
        first = history.after(0, until=len(facts), limit=5)
        rest = history.after(5, until=len(facts), limit=1_000)
        assert [entry.fact for entry in (*first, *rest)] == facts
        assert [entry.seq for entry in (*first, *rest)] == list(range(1, len(facts) + 1))
        assert [entry.fact for entry in history.after(2, until=4, limit=9)] == facts[2:4]
        assert len({entry.hash for entry in (*first, *rest)}) == len(facts)


def test_facts_are_read_back_from_a_place_and_by_kind(ledger: Path) -> None:
    """The last of a kind are found without reading the rest."""
    facts, _ = a_story()
    fills = [fact for fact in facts if isinstance(fact, ev.OrderFilled)]
    with FactReader(ledger) as history:
        assert [e.fact for e in history.before(4, limit=2)] == facts[1:3]
        assert [e.fact for e in history.before(1_000, limit=9, kinds=("OrderFilled",))] == fills
        assert [e.fact for e in history.after(0, until=1_000, limit=1, kinds=("OrderFilled",))] == fills[:1]


def test_an_orders_facts_are_found_by_its_id(ledger: Path) -> None:
    """Its request, which holds the id within, and all that came after."""
    with FactReader(ledger) as history:
        kinds = [type(e.fact).__name__ for e in history.of_order(ClientOrderId("alice-1"))]
        assert kinds == ["OrderApproved", "OrderAccepted", "OrderFilled", "OrderFilled"]
        denied = history.of_order(ClientOrderId("alice-3"))
        assert [type(e.fact).__name__ for e in denied] == ["OrderDenied"]
        both = history.of_order(ClientOrderId("alice-2"))
        assert len(history.of_order(ClientOrderId("alice-2"), before=both[-1].seq)) == len(both) - 1
        assert history.of_order(ClientOrderId("nobody")) == []


def test_the_index_answers_for_an_order(ledger: Path) -> None:
    """Among millions of facts, an order's are some look-ups; the query spells the index's expression."""
    with closing(sqlite3.connect(ledger)) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN SELECT seq FROM facts WHERE {_ORDER} IN ('a') AND seq < 9")
        assert "facts_by_order" in plan.fetchone()[3]
        plan = db.execute("EXPLAIN QUERY PLAN SELECT seq FROM facts WHERE seq < 9 AND kind IN ('A') ORDER BY seq DESC")
        assert "facts_by_kind" in plan.fetchone()[3]


def test_a_leg_is_read_with_the_order_that_carries_it(tmp_path: Path, ledger: Path) -> None:
    """What was asked for a leg was asked for its parent."""
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("UPDATE orders SET parent_id = 'alice-1' WHERE client_order_id = 'alice-2'")
    with FactReader(ledger) as history:
        ids = {getattr(e.fact, "client_order_id", None) for e in history.of_order(ClientOrderId("alice-2"))}
        assert ids == {None, ClientOrderId("alice-1"), ClientOrderId("alice-2")}


def test_orders_are_named_by_either_id_or_a_beginning(ledger: Path) -> None:
    """A whole id is that order, even where others begin so; too short a beginning is none."""
    with FactReader(ledger) as history:
        assert history.orders_named("alice-1") == [(ClientOrderId("alice-1"), "alice")]
        assert history.orders_named("b-alice-2") == [(ClientOrderId("alice-2"), "alice")]
        assert len(history.orders_named("alice-")) == 3
        assert history.orders_named("alice-"[: ID_PREFIX_MIN - 1]) == []
        assert history.orders_named("zebra") == []
        assert len(history.orders_named("alice")) <= ORDERS_FOUND_MAX


def test_an_order_that_may_still_fill_is_told_from_one_that_may_not(ledger: Path) -> None:
    """By the status that the ledger gives it; one that is not there is not open."""
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("UPDATE orders SET status = 'accepted' WHERE client_order_id = 'alice-2'")
    with FactReader(ledger) as history:
        assert history.is_open(ClientOrderId("alice-2"))
        assert not history.is_open(ClientOrderId("alice-1"))
        assert not history.is_open(ClientOrderId("nobody"))


def test_a_time_is_a_place(ledger: Path) -> None:
    """From noon on is from the first fact of noon on; from after the last is after the last."""
    with FactReader(ledger) as history:
        assert history.first_seq_at(NOON) == 1
        after_all = max(entry.fact.at for entry in history.after(0, until=1_000, limit=1_000)) + timedelta(seconds=1)
        assert history.first_seq_at(after_all) == history.last_seq() + 1


def test_the_run_that_was_up_is_found_with_its_end(ledger: Path) -> None:
    """The newest that began before; none where none began."""
    with FactReader(ledger) as history:
        started, ended = history.runs_of(ALICE, before=1_000)
        assert isinstance(started.fact, ev.RunStarted)
        assert isinstance(ended.fact, ev.RunEnded)
        assert started.fact.run_id == RunId("r1")
        assert history.runs_of(ALICE, before=2) == []


def test_whose_an_order_and_a_strategy_are_stands_in_the_ledger(ledger: Path) -> None:
    """Unknown ones are nobody's."""
    with FactReader(ledger) as history:
        [(order, member)] = history.orders_named("alice-1")[:1]
        owner = history.owner_of(order)
        assert owner is not None
        assert owner[:2] == (ALICE, member)
        assert history.member_of(ALICE) == member
        assert history.owner_of(ClientOrderId("nobody-1")) is None


def test_what_is_no_ledger_says_so(tmp_path: Path) -> None:
    """A reader names the file and what is wrong."""
    (tmp_path / "desk.db").write_text("no database")
    with (
        pytest.raises(LedgerError, match=r"desk.db: the ledger cannot be read"),
        FactReader(tmp_path / "desk.db") as history,
    ):
        history.last_seq()
    with pytest.raises(LedgerError, match="cannot be read"), FactReader(tmp_path / "none.db") as history:
        history.last_seq()


def test_a_reader_can_only_read(ledger: Path) -> None:
    """Whatever a reader does, the ledger is as it was."""
    with FactReader(ledger) as history, pytest.raises(LedgerError, match="readonly"):
        history._ask("DELETE FROM orders", ())


def test_a_closed_reader_opens_nothing_again(ledger: Path) -> None:
    """A thread that comes late, when its reader has left, leaves no file open."""
    with FactReader(ledger) as history:
        assert history.last_seq() > 0
    with pytest.raises(LedgerError, match="this reader is closed"):
        history.last_seq()


@pytest.mark.parametrize("typed", ["alice-sale", "alice-sale~1", "alice-sale~2", "b-alice-sale~1", "b-alice-sale~2"])
async def test_an_order_in_parts_is_found_by_any_of_their_ids(tmp_path: Path, typed: str) -> None:
    """All of its facts and of its parts', in their order: whoever stands before one of them sees the whole."""
    facts, desk = a_split_story()
    store = await LedgerStore.open(tmp_path / "desk.db")
    await store.append(facts, project(facts, desk))
    await store.close()
    with FactReader(tmp_path / "desk.db") as history:
        assert history.orders_named(typed) == [(ClientOrderId("alice-sale"), "alice")]
        if not typed.startswith("b-"):
            assert [entry.fact for entry in history.of_order(ClientOrderId(typed))] == facts
            assert history.whole_of(ClientOrderId(typed)) == "alice-sale"
