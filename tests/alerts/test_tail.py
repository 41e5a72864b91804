"""The ledger is read on from where it was: each fact is told once, over restarts; history is not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from deskd.alerts import tail
from deskd.alerts.outbox import Outbox, opened
from deskd.alerts.plan import Plan
from deskd.alerts.tail import KINDS, LedgerTail
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import Record
from deskd.domain.ids import UserId
from deskd.domain.notifications import Topic
from deskd.ledger.fact_reader import FactReader
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from tests.factories import (
    ALICE,
    MONDAY,
    NOON,
    a_desk,
    a_kill,
    a_request,
    accepted,
    cash,
    filled,
    registered,
    requested,
)

PLAN = Plan(topics={topic: ["club"] for topic in Topic})


@dataclass
class Books:
    """A real ledger, and the outbox that reads it on."""

    store: LedgerStore
    desk: Desk
    path: Path
    outbox: Outbox

    async def happens(self, *events: ev.Event) -> None:
        for event in events:
            facts = [effect.fact for effect in handle(self.desk, event) if isinstance(effect, Record)]
            await self.store.append(facts, project(facts, self.desk))

    def catch_up(self, first_seq: int = 0, *, hours: int = 0, plan: Plan = PLAN) -> int:
        with FactReader(self.path) as reader:
            return LedgerTail(reader, self.outbox, first_seq).catch_up(plan, NOON + timedelta(hours=hours))


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    path = tmp_path / "desk.db"
    desk = a_desk()
    async with await LedgerStore.open(path) as store:
        with opened(tmp_path / "o.db") as outbox:
            fresh = [registered(ALICE)]
            await store.append(fresh, project(fresh, desk))
            yield Books(store, desk, path, outbox)


async def test_a_fill_is_told_with_its_strategy_and_member(books: Books) -> None:
    """Whose order it is stands in the ledger."""
    request = a_request()
    await books.happens(requested(request), accepted(request), filled(request, 10), a_kill())
    assert books.catch_up() == 2
    fill, kill = books.outbox.rows()
    assert (fill["title"], fill["member"]) == ("alice bought 10 AAPL at 100 ($1,000.00)", "alice")
    assert kill["title"] == "KILL desk: stop_new"


async def test_nothing_is_told_twice_however_often_it_is_read(books: Books) -> None:
    """A worker that starts anew goes on where the outbox is; one that lost its place finds keys that it knows."""
    await books.happens(a_kill())
    assert books.catch_up() == 1
    assert books.catch_up() == 0
    await books.happens(ev.KillReleased(target=a_kill().target, by="ada", reason="mended", at=NOON))
    assert books.catch_up() == 1
    books.outbox.add([], PLAN, NOON, seq=0)
    assert books.catch_up() == 0
    assert len(books.outbox.rows()) == 2


async def test_the_day_is_told_to_officers_and_to_each_member_once(books: Books) -> None:
    """Two messages of one fact, by two keys; reading it again makes none."""
    await books.happens(
        ev.DaySummarized(
            market_day=MONDAY,
            equity=cash(100_000),
            day_pnl=cash("12.5"),
            fees=cash(0),
            orders=1,
            fills=1,
            denied=0,
            deaths=0,
            strategies=((ALICE, cash("12.5")),),
            at=NOON,
        )
    )
    plan = replace(PLAN, members={UserId("alice"): ["alice-phone"]})
    assert books.catch_up(plan=plan) == 2
    assert [row["title"] for row in books.outbox.rows()] == [
        "2026-01-05: day's P&L $12.50",
        "2026-01-05: your day's P&L $12.50",
    ]
    books.outbox.add([], plan, NOON, seq=0)
    assert books.catch_up(plan=plan) == 0


async def test_history_is_not_told(books: Books) -> None:
    """Nor what was before the first start with routes, nor what is older than a day."""
    await books.happens(a_kill())
    assert books.catch_up(books.store.last_seq) == 0
    await books.happens(ev.KillReleased(target=a_kill().target, by="ada", reason="mended", at=NOON))
    assert books.catch_up(hours=25) == 0
    assert books.outbox.seq() == books.store.last_seq


async def test_a_long_absence_is_read_in_pieces(books: Books) -> None:
    """Each with how far it came."""
    beat = ev.Heartbeat(orders_open=0, strategies_running=1, market_is_open=None, ledger_seq=1, at=NOON)
    facts = [beat] * (tail.CHUNK + 5)
    await books.store.append(facts, project(facts, books.desk))
    assert books.catch_up() == tail.CHUNK + 5


def test_every_kind_that_is_read_is_a_fact() -> None:
    """A fact that was given another name would silently be told no more."""
    assert all(hasattr(ev, kind) for kind in KINDS)
