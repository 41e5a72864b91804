"""The exchange's file: what is written is read again, and a file that cannot be used is told with the remedy."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from deskd.domain.errors import ConfigError, LedgerError
from deskd.domain.events import BrokerStatus
from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import OrderType, Side, TimeInForce
from deskd.exchange.account import Activity, Configurations, EquityPoint
from deskd.exchange.order import ExchangeOrder, PositionIntent
from deskd.exchange.state import AccountState, Changes, Holding
from deskd.venue.store import VERSION, Store, open_store

AT = datetime(2013, 10, 8, 14, 0, 0, 123456, tzinfo=UTC)
ACCOUNT = AccountState(
    id="account",
    account_number="PA3",
    created_at=AT,
    cash=Cash(Decimal("99999.123456789")),
    last_equity=Cash(Decimal(100000)),
    last_maintenance_margin=Cash(Decimal(0)),
    balance_asof=date(2013, 10, 7),
    configurations=Configurations(no_shorting=True),
    random_state=(1 << 64) - 1,
    id_state=7,
    sequence=3,
)
ORDER = ExchangeOrder(
    id="order",
    client_order_id="mine",
    status=BrokerStatus.PARTIALLY_FILLED,
    created_at=AT,
    updated_at=AT,
    submitted_at=AT,
    asset_id="asset",
    symbol="KO",
    side=Side.SELL,
    order_type=OrderType.TRAILING_STOP,
    time_in_force=TimeInForce.GTC,
    position_intent=PositionIntent.SELL_TO_CLOSE,
    qty=Qty(Decimal("0.123456789")),
    trail_percent=Price(Decimal("1.5")),
    legs=("a", "b"),
    session_day=date(2013, 10, 8),
    sequence=1,
)
HOLDING = Holding(
    symbol="KO",
    qty=Qty(Decimal(-3)),
    avg_entry_price=Price(Decimal(1) / Decimal(3)),
    lastday_price=Price(Decimal(2)),
    intraday_basis=Cash(Decimal(6)),
    mark_price=Price(Decimal(2)),
)
FILL = Activity(id="20131008::x", activity_type="FILL", sequence=2, at=AT, order_id="order", qty=Qty(Decimal(1)))
POINT = EquityPoint(day=date(2013, 10, 7), at=AT, equity=Cash(Decimal("100000.5")))
ALL = Changes(orders=[ORDER], holdings={"KO": HOLDING}, activities=[FILL], equity_points=[POINT], account=ACCOUNT)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Every row comes back equal, to the last digit, in a new process's eyes."""
    with closing(open_store(tmp_path / "x.db", tape="a")) as store:
        assert store.load() is None
        store.write(ALL, {"w1": b"one", "w2": b"two"}, AT)
    with closing(open_store(tmp_path / "x.db", tape="b")) as store:
        saved = store.load()
        assert saved is not None
        assert (saved.account, saved.orders, saved.holdings) == (ACCOUNT, [ORDER], [HOLDING])
        assert (saved.activities, saved.equity_points) == ([FILL], [POINT])
        assert (saved.market_time, saved.tape) == (AT, "a")
        assert store.watchlists() == {"w1": b"one", "w2": b"two"}


def test_later_rows_take_the_place_of_earlier_ones() -> None:
    """An order is replaced by its key, a flat position and a deleted watchlist are gone, orders keep their order."""
    with closing(open_store(None, tape="a")) as store:
        store.write(ALL, {"w": b"one"}, AT)
        filled = replace(ORDER, status=BrokerStatus.FILLED)
        second = replace(ORDER, id="second", sequence=2)
        store.write(Changes(orders=[second, filled], holdings={"KO": None}), {"w": None}, AT)
        saved = store.load()
        assert saved is not None
        assert saved.orders == [filled, second]
        assert (saved.holdings, store.watchlists()) == ([], {})


def test_the_markets_time_is_kept_alone(tmp_path: Path) -> None:
    """An idle exchange remembers how far its market went."""
    later = datetime(2013, 10, 8, 15, tzinfo=UTC)
    with closing(open_store(tmp_path / "x.db", tape="a")) as store:
        store.write(ALL, {}, AT)
        store.write_time(later)
        store.checkpoint()
        saved = store.load()
        assert saved is not None
        assert saved.market_time == later


def checkpoint_often(store: Store) -> None:
    for _ in range(20):
        store.checkpoint()


def test_a_checkpoint_runs_beside_the_writer(tmp_path: Path) -> None:
    """From another thread, while rows are written, and nothing is lost."""
    with closing(open_store(tmp_path / "x.db", tape="a")) as store:
        store.write(ALL, {}, AT)
        thread = threading.Thread(target=checkpoint_often, args=(store,))
        thread.start()
        for number in range(200):
            store.write(Changes(orders=[replace(ORDER, id=str(number), sequence=number + 2)]), {}, AT)
        thread.join()
        saved = store.load()
        assert saved is not None
        assert len(saved.orders) == 201


def test_people_can_look_while_it_runs(tmp_path: Path) -> None:
    """Another process reads cash, positions and orders as plain columns."""
    with closing(open_store(tmp_path / "x.db", tape="a")) as store:
        store.write(ALL, {}, AT)
        with closing(sqlite3.connect(tmp_path / "x.db")) as other:
            assert other.execute("SELECT cash FROM account").fetchone() == ("99999.123456789",)
            assert other.execute("SELECT symbol, qty FROM holdings").fetchall() == [("KO", "-3")]
            assert other.execute("SELECT id, status FROM orders").fetchall() == [("order", "partially_filled")]


def test_one_process_holds_the_file(tmp_path: Path) -> None:
    """A second one is told that it is in use; after the first is gone it is free."""
    first = open_store(tmp_path / "x.db", tape="a")
    with pytest.raises(LedgerError, match="in use by another exchange"):
        open_store(tmp_path / "x.db", tape="a")
    first.close()
    open_store(tmp_path / "x.db", tape="a").close()


def _other_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE something (x)")


def _newer(path: Path) -> None:
    open_store(path, tape="a").close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"nonsense " * 1_000)


def _cut(path: Path) -> None:
    with closing(open_store(path, tape="a")) as store:
        for number in range(200):
            store.write(Changes(orders=[replace(ORDER, id=str(number), sequence=number)]), {}, AT)
        store.checkpoint()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 // 4096 * 4096])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_other_application, "SQLite file of something else"),
        (_newer, "newer deskd"),
        (_not_sqlite, "cannot be used"),
        (_cut, r"damaged|cannot be used"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_the_remedy(tmp_path: Path, spoil: object, told: str) -> None:
    """Another program's, a newer version's or a broken file is left alone, and the way out is named."""
    path = tmp_path / "x.db"
    assert callable(spoil)
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=told) as error:
        open_store(path, tape="a").close()
    assert str(path) in str(error.value)
    assert "--state" in str(error.value)
    assert path.read_bytes() == before


def test_a_row_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A body that somebody edited is an error at the start, not a surprise later."""
    with closing(open_store(tmp_path / "x.db", tape="a")) as store:
        store.write(ALL, {}, AT)
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as db:
        db.execute("UPDATE orders SET body = '{}'")
    with closing(open_store(tmp_path / "x.db", tape="a")) as store, pytest.raises(ConfigError, match="cannot be used"):
        store.load()


def test_a_folder_that_is_not_there_is_made_and_a_forbidden_one_told(tmp_path: Path) -> None:
    """State may lie in a new folder; where that cannot be made, the reason is named."""
    open_store(tmp_path / "new" / "x.db", tape="a").close()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be opened"):
        open_store(tmp_path / "file" / "x.db", tape="a")


def test_what_cannot_be_written_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    """A full disk is told as such; nothing of the transaction is kept."""
    with closing(open_store(tmp_path / "x.db", tape="a")) as store:
        store.write(ALL, {}, AT)
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        many = [replace(ORDER, id=str(number), sequence=number + 2) for number in range(100)]
        with pytest.raises(LedgerError, match="make room"):
            store.write(Changes(orders=many), {}, AT)
    with closing(open_store(tmp_path / "x.db", tape="a")) as store:
        saved = store.load()
        assert saved is not None
        assert saved.orders == [ORDER]
