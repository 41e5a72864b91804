"""A report starts where an earlier one left off, and is the same as if it had folded everything."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deskd.core.desk import Desk
from deskd.jobs import fold_start
from deskd.jobs.day import report
from deskd.ledger import snapshot
from deskd.ledger.chain import Chain
from tests.factories import MONDAY
from tests.jobs.a_week import TUESDAY, WEDNESDAY, Week, a_week


@pytest.fixture(params=[1, 2])
async def week(tmp_path: Path, request: pytest.FixtureRequest) -> Week:
    """Write a ledger of a random life."""
    return await a_week(tmp_path / "desk.db", request.param)


def seq_of(kept: Path) -> int:
    head = snapshot.head_of(kept)
    assert isinstance(head, snapshot.Head)
    return head.seq


def damaged(ledger: Path, seq: int) -> None:
    with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        db.execute("DROP TRIGGER facts_are_never_changed")
        db.execute("UPDATE facts SET at = at || '0' WHERE seq = ?", (seq,))


def test_reports_are_the_same_as_those_of_the_whole_ledger(week: Week, tmp_path: Path) -> None:
    """Each day in turn, one of them again, and one of before what is kept; what is kept only moves on."""
    kept = tmp_path / fold_start.KEPT
    for day in (MONDAY, TUESDAY, TUESDAY, WEDNESDAY, TUESDAY, MONDAY):
        assert report(week.path, day, kept) == report(week.path, day)
    assert seq_of(kept) == report(week.path, WEDNESDAY).first_seq - 1
    assert kept.stat().st_mode & 0o777 == 0o600


def test_what_lies_before_is_not_read_again(week: Week, tmp_path: Path) -> None:
    """So a year of orders costs no more than two days; the day's backup is what proves the rest."""
    kept = tmp_path / fold_start.KEPT
    tuesday = report(week.path, TUESDAY, kept)
    damaged(week.path, 20)
    assert report(week.path, TUESDAY, kept) == tuesday


@pytest.mark.parametrize("harm", ["gone", "garbage", "cut", "of another ledger"])
async def test_what_is_off_is_passed_over(week: Week, tmp_path: Path, harm: str) -> None:
    """It is a cache: the whole ledger is folded, and a good one kept."""
    kept = tmp_path / fold_start.KEPT
    tuesday = report(week.path, TUESDAY, kept)
    match harm:
        case "gone":
            kept.unlink()
        case "garbage":
            kept.write_bytes(b"{}\n")
        case "cut":
            kept.write_bytes(kept.read_bytes()[:-1])
        case _:
            other = await a_week(tmp_path / "other.db", 3)
            kept.unlink()
            report(other.path, TUESDAY, kept)
    assert report(week.path, TUESDAY, kept) == tuesday
    assert seq_of(kept) == tuesday.first_seq - 1


async def test_a_later_fold_of_other_books_is_replaced(week: Week, tmp_path: Path) -> None:
    """As after a restored backup: it would be passed over until the ledger is as long again."""
    kept, other = tmp_path / fold_start.KEPT, await a_week(tmp_path / "other.db", 3)
    report(other.path, WEDNESDAY, kept)
    tuesday = report(week.path, TUESDAY, kept)
    assert seq_of(kept) == tuesday.first_seq - 1


def test_where_it_cannot_be_kept_the_report_is_made(week: Week, tmp_path: Path) -> None:
    """As on a full disk: the next report takes longer, no more."""
    assert report(week.path, TUESDAY, tmp_path / "none" / "here") == report(week.path, TUESDAY)


def test_a_fold_of_later_is_of_no_use(week: Week, tmp_path: Path) -> None:
    """And at the first entry there is nothing to keep."""
    kept = tmp_path / fold_start.KEPT
    with closing(sqlite3.connect(week.path)) as db:
        fold_start.keep(db, kept, Desk(), 0, "")
        assert not kept.exists()
        report(week.path, WEDNESDAY, kept)
        assert fold_start.fold_before(db, 5, kept) == (Desk(), Chain())
