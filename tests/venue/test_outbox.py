"""Record, then tell: in this order, all of it, and never after a failure."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from deskd.domain.errors import LedgerError
from deskd.domain.money import Cash, Qty
from deskd.domain.order import OrderType, Side, TimeInForce
from deskd.exchange.account import Asset
from deskd.exchange.exchange import Exchange
from deskd.exchange.fill_model import IMMEDIATE
from deskd.exchange.order import ExchangeOrder, NewOrder, OrderEvent
from deskd.venue.outbox import Outbox
from deskd.venue.store import Store, open_store
from tests.venue.serving import calendar

NOON = datetime(2013, 10, 8, 16, tzinfo=UTC)


class Parts:
    """An exchange with its store and outbox, and what was published."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.exchange = Exchange(
            assets=[Asset(id="a", symbol="KO", name="Coca-Cola", exchange="NYSE")],
            cash=Cash(Decimal(100000)),
            fills=IMMEDIATE,
            seed=1,
            id_seed=1,
            now=NOON,
        )
        self.exchange.on_session(calendar().session_day(NOON.date()), NOON)
        self.exchange.on_quote("KO", 10.0, 100, 10.01, 100, NOON)
        self.published: list[tuple[OrderEvent, bool]] = []  # and whether the order was on disk by then
        self.outbox = Outbox(self.exchange, store, publish=self._publish, market_time=NOON)

    def buy(self, number: int) -> ExchangeOrder:
        request = NewOrder(
            symbol="KO",
            side=Side.BUY,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.DAY,
            qty=Qty(Decimal(1)),
            client_order_id=str(number),
        )
        order = self.exchange.submit(request, NOON + timedelta(milliseconds=number))
        assert isinstance(order, ExchangeOrder)
        return order

    def on_disk(self) -> set[str]:
        saved = self.store.load()
        return set() if saved is None else {order.id for order in saved.orders}

    def _publish(self, events: Sequence[OrderEvent]) -> None:
        on_disk = self.on_disk()
        self.published += [(event, event.order.id in on_disk) for event in events]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with closing(open_store(tmp_path / "x.db", tape="t")) as store:
        yield Parts(store)


async def test_an_event_leaves_after_its_commit_and_an_answer_after_both(parts: Parts) -> None:
    """When `settled` is done the order is on disk and its events are out; each was on disk when it went out."""
    order = parts.buy(1)
    assert parts.on_disk() == set()
    await parts.outbox.settled(NOON)
    assert parts.on_disk() == {order.id}
    assert [(event.event, was_on_disk) for event, was_on_disk in parts.published] == [
        ("pending_new", True),
        ("new", True),
        ("fill", True),
    ]


async def test_a_burst_shares_a_commit_and_keeps_its_order(parts: Parts) -> None:
    """Ten orders of one turn of the loop are one transaction; their events keep their order."""
    waiting = []
    for number in range(10):
        parts.buy(number)
        waiting.append(parts.outbox.settled(NOON))
    changes_before = parts.store._db.total_changes
    for done in waiting:
        await done
    assert len(parts.on_disk()) == 10
    assert parts.store._db.total_changes > changes_before
    events = [event.event_id for event, _ in parts.published]
    assert events == sorted(events)
    assert [event.order.client_order_id for event, _ in parts.published[::3]] == [str(n) for n in range(10)]


async def test_who_gives_up_waiting_harms_nobody(parts: Parts) -> None:
    """A cancelled waiter leaves the others and the commit as they are."""
    order = parts.buy(1)
    gone, stays = parts.outbox.settled(NOON), parts.outbox.settled(NOON)
    gone.cancel()
    await stays
    assert parts.on_disk() == {order.id}


async def test_after_a_failed_commit_nothing_is_told_and_nothing_written(parts: Parts) -> None:
    """A full disk is an error for everyone who waits, then and later: there is no gap to write over."""
    await parts.outbox.settled(NOON)
    pages = parts.store._db.execute("PRAGMA page_count").fetchone()[0]
    parts.store._db.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(200):
        parts.buy(number)
    with pytest.raises(LedgerError, match="make room"):
        await parts.outbox.settled(NOON)
    parts.store._db.execute("PRAGMA max_page_count = 100000")
    parts.buy(1_000)
    with pytest.raises(LedgerError, match="make room"):
        await parts.outbox.settled(NOON)
    parts.outbox.close(NOON)
    assert parts.published == []
    assert parts.on_disk() == set()


async def test_closing_writes_what_is_left_and_the_time(parts: Parts) -> None:
    """What nobody waited for is on disk at the end, with the market's time."""
    order = parts.buy(1)
    parts.outbox.keep_watchlist("w", b"{}")
    parts.outbox.close(NOON + timedelta(minutes=1))
    saved = parts.store.load()
    assert saved is not None
    assert [it.id for it in saved.orders] == [order.id]
    assert saved.market_time == NOON + timedelta(minutes=1)
    assert parts.store.watchlists() == {"w": b"{}"}
