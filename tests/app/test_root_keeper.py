"""The ledger is signed when a market day is over, when a killed desk left something, and when somebody asks."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deskd.app.root_keeper import RootKeeper
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.domain.market import MarketClock
from deskd.ledger.codec import GENESIS
from deskd.ledger.projections import project
from deskd.ledger.roots import is_signed, read_roots
from deskd.ledger.store import LedgerStore
from tests.factories import NOON
from tests.fixed_clock import FixedClock
from tests.ledger.life import KEY

MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)


@dataclass
class FakeLedger:
    """Where facts are counted."""

    last_seq: int = 0
    last_hash: str = GENESIS

    def grows(self) -> None:
        self.last_seq += 1
        self.last_hash = f"{self.last_seq:064x}"


@dataclass
class World:
    """A keeper, and what its desk and ledger are."""

    file: Path
    ledger: FakeLedger = field(default_factory=FakeLedger)
    desk: Desk = field(default_factory=Desk)
    signed: list[ev.RootSigned] = field(default_factory=list)

    def keeper(self) -> RootKeeper:
        return RootKeeper(
            key=KEY, ledger=self.ledger, desk=self.desk, wall=FixedClock(), post=self.post, file=self.file
        )

    async def post(self, root: ev.RootSigned) -> None:
        self.signed.append(root)
        self.desk.apply(root)
        self.ledger.grows()

    def days(self) -> Sequence[tuple[date, int]]:
        return [(root.market_day, root.seq) for root in self.signed]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Make a desk with an empty ledger."""
    return World(tmp_path / "roots.jsonl")


def a_clock(at: datetime, *, is_open: bool) -> MarketClock:
    return MarketClock(timestamp=at, is_open=is_open, next_open=at, next_close=at)


async def test_the_close_is_signed_once(world: World) -> None:
    """Whatever the day held is under the root; what comes after the close waits for the next."""
    keeper = world.keeper()
    await keeper.on_clock(a_clock(NOON, is_open=True))
    world.ledger.grows()
    await keeper.on_clock(a_clock(NOON + timedelta(hours=1), is_open=True))
    assert world.days() == []
    for _ in range(3):
        await keeper.on_clock(a_clock(NOON + timedelta(hours=4), is_open=False))
    assert world.days() == [(MONDAY, 1)]
    assert is_signed(world.signed[0])
    assert world.signed[0].root == f"{1:064x}"


async def test_a_day_that_ended_unseen_is_signed_with_the_next(world: World) -> None:
    """The close fell into an outage: the root bears the day that is over."""
    keeper = world.keeper()
    await keeper.on_clock(a_clock(NOON, is_open=True))
    world.ledger.grows()
    await keeper.on_clock(a_clock(NOON + timedelta(days=1), is_open=True))
    assert world.days() == [(MONDAY, 1)]


async def test_a_day_is_new_york_s(world: World) -> None:
    """Two in the morning in UTC is still the evening before."""
    keeper = world.keeper()
    await keeper.on_clock(a_clock(NOON, is_open=False))
    world.ledger.grows()
    await keeper.on_clock(a_clock(datetime(2026, 1, 6, 2, tzinfo=NOON.tzinfo), is_open=False))
    assert world.days() == []


async def test_what_a_killed_desk_left_is_signed_by_the_next(world: World) -> None:
    """As soon as it knows the market's day. What came since its own start waits for the close."""
    world.ledger.grows()
    keeper = world.keeper()
    await keeper.on_clock(a_clock(NOON, is_open=True))
    assert world.days() == [(MONDAY, 1)]
    again = world.keeper()
    world.ledger.grows()
    await again.on_clock(a_clock(NOON, is_open=True))
    assert len(world.signed) == 1


async def test_nothing_is_signed_twice(world: World) -> None:
    """A root alone is no reason for another."""
    keeper = world.keeper()
    assert await keeper.sign() is None
    world.ledger.grows()
    assert await keeper.sign() == world.signed[0]
    assert await keeper.sign() is None
    assert world.signed[0].market_day == MONDAY  # by the desk's own clock, where the market's is not known


async def test_a_fact_that_came_in_between_is_still_unsigned(world: World) -> None:
    """The root was made for entry 1; entry 2 was on its way already."""
    world.ledger.grows()
    keeper = world.keeper()
    root = KEY.sign(TUESDAY, 1, world.ledger.last_hash, NOON)
    world.ledger.grows()
    await world.post(root)
    assert keeper.has_unsigned()


async def test_roots_are_handed_on_and_those_that_a_kill_kept_back_later(tmp_path: Path) -> None:
    """roots.jsonl holds every root of the ledger, once."""
    db, file, desk = tmp_path / "desk.db", tmp_path / "roots.jsonl", Desk()
    roots = [KEY.sign(MONDAY, 0, GENESIS, NOON), KEY.sign(TUESDAY, 1, "ab" * 32, NOON)]
    async with await LedgerStore.open(db) as ledger:
        for root in roots:
            desk.apply(root)
            await ledger.append([root], project([root], desk))
        keeper = World(file, desk=desk).keeper()
        keeper.on_fact(roots[0])
        keeper.on_fact(ev.DeskStopped(at=NOON))
        keeper.catch_up(db)
        keeper.catch_up(db)
    assert read_roots(file) == roots


async def test_a_file_that_cannot_be_written_does_not_end_the_desk(tmp_path: Path) -> None:
    """Root may have made it: the root is in the ledger all the same, and a start that may write hands it on."""
    ledger = tmp_path / "desk.db"
    root = KEY.sign(MONDAY, 0, GENESIS, NOON)
    async with await LedgerStore.open(ledger) as store:
        await store.append([root], project([root], Desk()))
    barred = World(tmp_path / "roots.jsonl")
    barred.file.mkdir()
    with capture_logs() as logged:
        barred.keeper().on_fact(root)
        barred.keeper().catch_up(ledger)
    assert [line["event"] for line in logged] == ["root_not_handed_on"] * 2
    barred.file.rmdir()
    barred.keeper().catch_up(ledger)
    assert read_roots(barred.file) == [root]


async def test_a_table_of_roots_that_is_damaged_is_told_of(tmp_path: Path) -> None:
    """In one sentence, with what tells more."""
    ledger = tmp_path / "desk.db"
    root = KEY.sign(MONDAY, 0, GENESIS, NOON)
    async with await LedgerStore.open(ledger) as store:
        await store.append([root], project([root], Desk()))
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("UPDATE roots SET market_day = 'someday'")
    with pytest.raises(LedgerError, match=r"table of roots is damaged.*audit verify"):
        World(tmp_path / "roots.jsonl").keeper().catch_up(ledger)
