"""Whatever is changed in a ledger is found, and named: any cell, any byte, any rule of the file."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.ledger import codec
from deskd.ledger.audit import Verdict, verify
from deskd.ledger.migrating import bring_up, migrations
from deskd.ledger.projections import TABLES
from deskd.ledger.rebuild import refill
from deskd.ledger.roots import SigningKey
from deskd.ledger.store import LedgerStore
from tests.factories import MONDAY, NOON
from tests.ledger.life import KEY, Life, append, at_rest, batches, written, written_and_signed
from tests.ledger.test_migrating import GOLDEN, an_old_ledger, golden

EVERY_TABLE = (*TABLES, "facts", "migrations")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a ledger with two roots, 20 facts after the last of them."""
    life = Life(31)
    life.crosses_zero()
    life.goes_on(150)
    facts = life.facts
    path = tmp_path_factory.mktemp("audit") / "desk.db"
    asyncio.run(written_and_signed(path, facts, [60, len(facts) - 20]))
    return at_rest(path)


@contextmanager
def a_copy(path: Path) -> Iterator[Path]:
    """Hand out a copy to commit crimes on."""
    with TemporaryDirectory() as folder:
        yield Path(shutil.copy(path, Path(folder) / "desk.db"))


@contextmanager
def a_crime(path: Path) -> Iterator[sqlite3.Connection]:
    """Hand out a connection for somebody who knows SQLite: triggers are out of the way, and back afterwards."""
    with closing(sqlite3.connect(path)) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        yield db
        for _, sql in triggers:
            db.execute(sql)
        db.commit()


def first(verdict: Verdict) -> tuple[str, str, str | None]:
    assert not verdict.is_whole
    damage = verdict.damages[0]
    return damage.table, damage.key, damage.column


def test_a_whole_ledger_is_whole_and_proved_up_to_its_last_root(whole: Path) -> None:
    """Every table compared; the facts after the root are only chained."""
    told: list[int] = []
    verdict = verify(whole, keys={KEY.public}, on_progress=told.append)
    assert verdict.damages == ()
    assert verdict.tables == TABLES
    assert verdict.facts == told[-1]
    assert verdict.proved is not None
    assert verdict.facts - verdict.proved.seq == 21  # the root itself, and what came after
    assert verdict.version == migrations()[-1].version


async def test_an_empty_ledger_is_whole(tmp_path: Path) -> None:
    """And nothing of it is proved."""
    await (await LedgerStore.open(tmp_path / "desk.db")).close()
    verdict = verify(tmp_path / "desk.db")
    assert verdict.is_whole
    assert (verdict.facts, verdict.proved) == (0, None)


async def test_a_running_desks_ledger_is_seen_at_one_moment(tmp_path: Path) -> None:
    """What is appended while the audit reads is not half of it, and the writer does not wait for it."""
    life = Life(32)
    life.goes_on(1_500)
    path, desk = tmp_path / "desk.db", Desk()
    async with await LedgerStore.open(path) as ledger:
        await append(ledger, desk, batches(life.facts, range(0, len(life.facts), 50)))
        seen = ledger.last_seq
        writer = sqlite3.connect(path, isolation_level=None, timeout=0)

        def meanwhile(_: int) -> None:
            writer.execute("INSERT INTO runs (run_id, strategy_id) VALUES (hex(randomblob(8)), 'alice')")

        verdict = verify(path, on_progress=meanwhile)
        writer.close()
    assert verdict.is_whole
    assert verdict.facts == seen
    assert first(verify(path))[0] == "runs"


@given(data=st.data())
@settings(max_examples=250, deadline=None)
def test_any_cell_that_is_changed_is_named(whole: Path, data: st.DataObject) -> None:
    """Table, row and column, whichever it is."""
    table = data.draw(st.sampled_from(EVERY_TABLE))
    with a_copy(whole) as path:
        with a_crime(path) as db:
            info = db.execute(f"PRAGMA table_info({table})").fetchall()
            keys = [row[1] for row in info if row[5]]
            rows = db.execute(f"SELECT rowid, {', '.join(keys)} FROM {table} ORDER BY rowid").fetchall()
            rowid, *key = data.draw(st.sampled_from(rows))
            column, kind = data.draw(st.sampled_from([(row[1], row[2]) for row in info]))
            db.execute(f"UPDATE {table} SET {column} = {_another(kind, column)} WHERE rowid = ?", (rowid,))
        found_table, found_key, found_column = first(verify(path))
    name = " ".join(f"{k}={v}" for k, v in zip(keys, key, strict=True))
    if table == "facts" and column == "seq":
        assert (found_table, found_key) == ("facts", name)  # it is missing where it was
    elif column in keys:
        assert found_table == table  # a row that nobody made, or one that is missing
    else:
        assert (found_table, found_key, found_column) == (table, name, column)


def _another(kind: str, column: str) -> str:
    if kind == "TEXT":
        return f"coalesce({column}, '') || 'x'"
    return f"coalesce({column}, 0) + 1000000"


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_row_that_is_removed_or_doubled_is_named(whole: Path, data: st.DataObject) -> None:
    """Of any table."""
    table = data.draw(st.sampled_from([t for t in EVERY_TABLE if t != "facts"]))
    with a_copy(whole) as path:
        with closing(sqlite3.connect(path)) as db, db:
            rowids = [row[0] for row in db.execute(f"SELECT rowid FROM {table}")]
            db.execute(f"DELETE FROM {table} WHERE rowid = ?", (data.draw(st.sampled_from(rowids)),))
        damage = verify(path).damages[0]
    assert damage.table == table
    assert damage.actual == "none"


def contents(path: Path) -> object:
    """Return all that the file says, or why it cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            schema = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
            rows = {t: db.execute(f"SELECT rowid, * FROM {t} NOT INDEXED").fetchall() for t in EVERY_TABLE}
            return schema, rows
    except sqlite3.Error as error:
        return str(error)


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_any_byte_that_is_flipped_is_found_or_says_nothing(whole: Path, data: st.DataObject) -> None:
    """A byte of the file either shows in the verdict, or is one that holds nothing: every row reads as before."""
    size = whole.stat().st_size
    where = data.draw(st.integers(0, size - 1))
    flip = data.draw(st.integers(1, 255))
    with a_copy(whole) as path:
        with path.open("r+b") as file:
            file.seek(where)
            byte = file.read(1)[0]
            file.seek(where)
            file.write(bytes([byte ^ flip]))
        verdict = verify(path)
        if verdict.is_whole:
            assert contents(path) == contents(whole)
        else:
            assert all(damage.table and damage.expected != damage.actual for damage in verdict.damages)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_byte_of_a_fact_that_is_flipped_is_named_by_its_entry(whole: Path, data: st.DataObject) -> None:
    """Where the bytes of its body lie in the file, the entry's number is in the verdict."""
    with closing(sqlite3.connect(whole)) as db:
        seq, body = data.draw(
            st.sampled_from(db.execute("SELECT seq, body FROM facts WHERE length(body) < 3000").fetchall())
        )
    place = whole.read_bytes().find(body.encode())
    if place < 0:
        return  # it lies on two pages
    offset = data.draw(st.integers(0, len(body.encode()) - 1))
    with a_copy(whole) as path:
        with path.open("r+b") as file:
            file.seek(place + offset)
            byte = file.read(1)[0]
            file.seek(place + offset)
            file.write(bytes([byte ^ data.draw(st.integers(1, 255))]))
        table, key, _ = first(verify(path))
    assert (table, key) == ("facts", f"seq={seq}")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_found(whole: Path, share: float) -> None:
    """Wherever."""
    with a_copy(whole) as path:
        with path.open("r+b") as file:
            file.truncate(int(whole.stat().st_size * share))
        assert not verify(path).is_whole


@pytest.mark.parametrize("body", [None, 5, 1.5, b"{}"])
def test_an_entry_that_is_no_text_is_named(whole: Path, body: object) -> None:
    """Whoever makes the table anew can put anything into it, and a hash that fits."""
    with a_copy(whole) as path:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("CREATE TABLE loose AS SELECT * FROM facts")
            db.execute("DROP TABLE facts")
            db.execute("ALTER TABLE loose RENAME TO facts")
            seq, at, prev = db.execute("SELECT seq + 1, at, hash FROM facts ORDER BY seq DESC LIMIT 1").fetchone()
            entry_hash = codec.chain(prev, seq, at, "DeskStopped", body)  # type: ignore[arg-type]
            db.execute("INSERT INTO facts VALUES (?,?,?,?,?,?)", (seq, at, "DeskStopped", body, prev, entry_hash))
        assert first(verify(path)) == ("facts", f"seq={seq}", "body")


def test_a_file_of_something_else_is_no_whole_ledger(tmp_path: Path) -> None:
    """Nor is one that is not there."""
    (tmp_path / "list.db").write_text("a shopping list, and a long one" * 100)
    assert first(verify(tmp_path / "list.db"))[0] == "file"
    assert "not a database" in verify(tmp_path / "list.db").damages[0].actual
    assert first(verify(tmp_path / "nowhere.db"))[0] == "file"


@pytest.mark.parametrize(
    ("crime", "thing"),
    [
        ("DROP TRIGGER facts_are_never_changed", "trigger facts_are_never_changed"),
        ("CREATE TRIGGER thief AFTER INSERT ON fills BEGIN DELETE FROM fills; END", "trigger thief"),
        ("CREATE TABLE extra (a TEXT)", "table extra"),
        ("DROP INDEX fills_by_order", "index fills_by_order"),
        ("DROP VIEW trades", "view trades"),
        ("DROP TABLE migrations", "table migrations"),
    ],
)
def test_a_changed_schema_is_named(whole: Path, crime: str, thing: str) -> None:
    """A rule that was taken away, a trigger that was put in."""
    with a_copy(whole) as path:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(crime)
        found = [d for d in verify(path).damages if d.table == "schema"]
    assert [d.key for d in found] == [thing]


@pytest.mark.parametrize(
    "thing", ["index sqlite_autoindex_runs_1", "index fills_by_order", "trigger facts_are_never_changed"]
)
def test_whose_an_index_or_a_rule_is_said_to_be_is_compared(whole: Path, thing: str) -> None:
    """A byte of the schema that stands beside the text of it, which says the same, or is not there."""
    with a_copy(whole) as path:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("PRAGMA writable_schema = ON")
            db.execute("UPDATE sqlite_schema SET tbl_name = 'suns' WHERE type || ' ' || name = ?", (thing,))
        assert not verify(path).is_whole


def test_a_table_that_is_gone_is_named_and_the_others_are_still_compared(whole: Path) -> None:
    """One thing that is wrong does not hide another."""
    with a_copy(whole) as path:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("DROP TABLE fills")
            db.execute("UPDATE positions SET qty = '77' WHERE rowid = 1")
        found = {(d.table, d.column) for d in verify(path).damages}
    assert ("schema", None) in found
    assert ("positions", "qty") in found


def forged(path: Path, seq: int, old: str, new: str) -> None:
    """Change an entry and make every hash after it anew, tables included: what somebody with the file can do."""
    with a_crime(path) as db:
        prev = codec.GENESIS
        for n, at, kind, body in db.execute("SELECT seq, at, kind, body FROM facts ORDER BY seq").fetchall():
            text = body.replace(old, new) if n == seq else body
            assert n != seq or text != body
            entry_hash = codec.chain(prev, n, at, kind, text)
            values = (text, prev, entry_hash, n)
            db.execute("UPDATE facts SET body = ?, prev_hash = ?, hash = ? WHERE seq = ?", values)
            prev = entry_hash
    tables_made_anew(path)


def tables_made_anew(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        refill(db)
        db.execute("COMMIT")


def test_a_forged_history_is_found_by_the_root_that_covers_it(whole: Path) -> None:
    """Its chain and tables are perfect: only the signature cannot be made anew."""
    with a_copy(whole) as path:
        forged(path, 4, '"100000"', '"200000"')
        verdict = verify(path)
        assert first(verdict)[0] == "roots"
        assert verdict.damages[0].expected.startswith("the hash")
        assert verdict.proved is None


def test_what_no_root_covers_can_be_forged_and_the_verdict_says_how_much_that_is(whole: Path) -> None:
    """Honest: the facts after the last root are only chained."""
    with a_copy(whole) as path:
        last = verify(whole).facts
        with a_crime(path) as db:
            db.execute("DELETE FROM facts WHERE seq > ?", (last - 5,))
        tables_made_anew(path)
        verdict = verify(path)
    assert verdict.is_whole
    assert verdict.proved == verify(whole).proved
    assert verdict.facts == last - 5


async def test_entries_that_were_removed_are_missed_by_a_root_kept_elsewhere(whole: Path, tmp_path: Path) -> None:
    """The ledger without its last entries is whole in itself; a published root remembers them."""
    life = Life(31)
    life.goes_on(100)
    shorter = await written(tmp_path / "desk.db", life.facts[:50])
    assert verify(shorter).is_whole
    newest = verify(whole).proved
    assert newest is not None
    verdict = verify(shorter, kept=[newest])
    assert first(verdict)[0] == "roots kept elsewhere"
    assert verdict.damages[0].actual.startswith("the ledger ends with entry 50")


async def test_a_backup_may_be_older_than_the_newest_root_and_that_is_told(whole: Path, tmp_path: Path) -> None:
    """All that it has is as whole as ever; of a copy that was changed no word makes a whole one."""
    life = Life(31)
    life.goes_on(100)
    copy = await written(tmp_path / "desk.db", life.facts[:50])
    newest = verify(whole).proved
    assert newest is not None
    verdict = verify(copy, kept=[newest], is_backup=True)
    assert (verdict.is_whole, verdict.roots_after) == (True, 1)
    verdict = verify(whole, kept=[newest], is_backup=True)
    assert (verdict.proved, verdict.roots_after) == (newest, 0)
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute("UPDATE strategies SET name = 'another'")
    assert not verify(copy, kept=[newest], is_backup=True).is_whole


async def test_a_root_kept_elsewhere_proves_a_ledger_that_lost_its_own(whole: Path, tmp_path: Path) -> None:
    """A root is worth the same wherever it is kept."""
    life = Life(31)
    life.goes_on(150)
    path = await written(tmp_path / "desk.db", life.facts[:60])
    async with await LedgerStore.open(path) as ledger:
        root = KEY.sign(MONDAY, ledger.last_seq, ledger.last_hash, NOON)
    assert verify(path).proved is None
    assert verify(path, keys=[KEY.public], kept=[root]).proved == root


def test_a_root_of_another_key_does_not_count(whole: Path) -> None:
    """Whoever signs a forged history with a key of his own is found by the desk's public key."""
    stranger = SigningKey(bytes(32))
    verdict = verify(whole, keys={stranger.public})
    assert first(verdict)[0] == "roots"
    assert verdict.damages[0].actual == f"one of the key {KEY.public}"
    assert verdict.proved is None


async def test_a_signature_that_is_none_is_named(tmp_path: Path) -> None:
    """Its facts may fold: a root without the key behind it is worth nothing."""
    false = ev.RootSigned(
        market_day=MONDAY, seq=0, root=codec.GENESIS, public_key=KEY.public, signature="00" * 64, at=NOON
    )
    path = await written(tmp_path / "desk.db", [false])
    verdict = verify(path)
    assert (verdict.damages[0].table, verdict.damages[0].actual) == ("roots", "none that is valid")


def test_an_older_ledgers_facts_are_judged_and_its_tables_left_to_the_migration(tmp_path: Path) -> None:
    """A backup of an earlier version is proved by its facts; its tables are made anew when a desk opens it."""
    path = an_old_ledger(tmp_path / "desk.db", 1, golden(GOLDEN[0]))
    verdict = verify(path)
    assert verdict.is_whole
    assert (verdict.version, verdict.tables) == (1, ())
    with a_crime(path) as db:
        db.execute("UPDATE facts SET body = replace(body, '100', '101') WHERE kind = 'OrderFilled'")
    assert first(verify(path))[0] == "facts"


def test_a_ledger_of_a_version_that_nobody_knows_is_not_judged_whole(whole: Path) -> None:
    """It may be a newer deskd's, or a flipped bit."""
    with a_copy(whole) as path:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            newer = migrations()[0]._replace(
                version=9000, name="9000_later.sql", sql="CREATE TABLE extra (a TEXT) STRICT"
            )
            bring_up(db, [newer])
        found = {(d.table, d.key) for d in verify(path).damages}
    assert ("migrations", "version=9000") in found
