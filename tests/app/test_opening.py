"""The first half of a start: the ledger's lock first, then the exchange, and the fold from the snapshot that fits."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deskd.app.opening import begun, check_places, db_path, folded
from deskd.config import BrokerSection, Config, DeskSection
from deskd.config.keys import BrokerKeys
from deskd.domain.errors import ConfigError, LedgerError
from deskd.ledger import snapshot, snapshotter
from deskd.ledger.store import LedgerStore
from tests.ledger.story import a_story


async def test_a_start_goes_on_from_the_snapshot(tmp_path: Path) -> None:
    """Snapshot and tail are the desk of all facts, and the log tells how far the snapshot went."""
    facts, desk = a_story()
    path = tmp_path / "desk.db"
    async with await LedgerStore.open(path) as ledger:
        await ledger.append(facts[:12], [])
        snapshotter.renew(path)
        await ledger.append(facts[12:], [])
        with capture_logs() as logs:
            assert await folded(ledger, path) == (desk, 12)
    assert [(line["event"], line.get("from_snapshot")) for line in logs] == [("ledger_replayed", 12)]


async def test_a_snapshot_that_does_not_fit_is_said_and_everything_is_replayed(tmp_path: Path) -> None:
    """One of another ledger, one that is cut, one that is none: a warning with the reason, and the same desk."""
    facts, desk = a_story()
    path, other = tmp_path / "desk.db", tmp_path / "other.db"
    place = snapshot.path_of(path)
    async with await LedgerStore.open(other) as ledger:
        await ledger.append(facts[3:6], [])
    snapshotter.renew(other)
    snapshot.path_of(other).rename(place)
    async with await LedgerStore.open(path) as ledger:
        await ledger.append(facts, [])
        for damage, why in (
            (place.read_bytes(), "the ledger's entry 3 is another one"),
            (b"nonsense\n", "its first line is not a snapshot's"),
        ):
            place.write_bytes(damage)
            with capture_logs() as logs:
                assert await folded(ledger, path) == (desk, 0)
            assert (logs[0]["event"], logs[0]["why"]) == ("snapshot_not_used", why)
            assert logs[0]["log_level"] == "warning"


async def test_a_tail_that_was_changed_ends_the_start(tmp_path: Path) -> None:
    """What the desk is about to act on is checked before it acts."""
    facts, _ = a_story()
    path = tmp_path / "desk.db"
    async with await LedgerStore.open(path) as ledger:
        await ledger.append(facts[:12], [])
        snapshotter.renew(path)
        await ledger.append(facts[12:], [])
        await ledger._db.execute("DROP TRIGGER facts_are_never_changed")
        await ledger._db.execute("UPDATE facts SET body = '{}' WHERE seq = 14")
        with pytest.raises(LedgerError, match="entry 14 is not what the desk wrote"):
            await folded(ledger, path)


async def test_a_second_desk_ends_before_its_exchange_is_launched(tmp_path: Path) -> None:
    """The sentence is about the ledger, whoever holds what else."""
    config = Config(desk=DeskSection(state_dir=tmp_path))
    async with await LedgerStore.open(db_path(config)):
        with pytest.raises(LedgerError, match="another desk is using this ledger"):
            async with begun(config, None):
                pass
    assert not (tmp_path / "exchange.db").exists()


async def test_a_real_broker_needs_keys_and_no_exchange(tmp_path: Path) -> None:
    """Alpaca is not launched."""
    config = Config(desk=DeskSection(state_dir=tmp_path), broker=BrokerSection(mode="alpaca"))
    with pytest.raises(ConfigError, match="needs keys"):
        async with begun(config, None):
            pass
    async with begun(config, BrokerKeys("PK", "secret")) as parts:
        assert parts.exchange is None
        assert parts.snapshot_seq == 0
        assert parts.keys == BrokerKeys("PK", "secret")


async def test_the_embedded_exchange_is_on_its_way_before_anything_else(tmp_path: Path) -> None:
    """It is launched here, and answers later, with keys that nobody else has."""
    config = Config(desk=DeskSection(state_dir=tmp_path))
    async with begun(config, None) as parts:
        assert parts.exchange is not None
        assert (await parts.exchange.answers()).startswith("http://127.0.0.1:")
        assert len(parts.keys.secret_key) == 40
    assert parts.exchange._process is not None
    assert parts.exchange._process.returncode == 0


async def test_where_its_disk_is_not_mounted_no_desk_begins_an_empty_ledger(tmp_path: Path) -> None:
    """The path is named, and nothing is made of it; a first start still makes the state folder itself."""
    away = tmp_path / "not-mounted" / "var"
    for section in (DeskSection(state_dir=away), DeskSection(state_dir=tmp_path, db_path=away / "desk.db")):
        with pytest.raises(ConfigError, match="not-mounted is not there: mount its disk"):
            async with begun(Config(desk=section), None):
                pytest.fail("it began")
    assert not away.parent.exists()
    check_places(Config(desk=DeskSection(state_dir=tmp_path / "var")))


async def test_a_new_ledger_is_told_as_new(tmp_path: Path) -> None:
    """Whoever expected last year's sees at once that this is another."""
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        with capture_logs() as logs:
            await folded(ledger, tmp_path / "desk.db")
    assert [line["event"] for line in logs] == ["ledger_is_new", "ledger_replayed"]
