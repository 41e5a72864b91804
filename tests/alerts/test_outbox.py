"""Nothing is forgotten until it was sent: over restarts, failures, and several processes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deskd.alerts.outbox import DEAD, SENT, WAITING, WITHDRAWN, Outbox, Pending, opened
from deskd.alerts.plan import Plan
from deskd.domain.notifications import Severity, Topic
from tests.alerts.notes import a_fill_note, a_note
from tests.factories import NOON

PLAN = Plan(topics={Topic.PAPER_TRADING: ["club"], Topic.SYSTEM_ALERTS: ["club", "mail"]})
LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with opened(tmp_path / "o.db") as found:
        yield found


def due(outbox: Outbox, route: str = "club") -> Pending:
    found = outbox.pending(route, LATER)
    assert found is not None
    return found


def test_what_is_found_twice_is_told_once(outbox: Outbox) -> None:
    """The key is the identity: a ledger that is read again adds nothing."""
    assert outbox.add([a_note(), a_note("fact:2")], PLAN, NOON, seq=2) == 2
    assert outbox.add([a_note(), a_note("fact:2")], PLAN, LATER) == 0
    assert [note.key for note in due(outbox).notes] == ["fact:1", "fact:2"]
    assert outbox.seq() == 2


def test_all_that_was_not_sent_is_there_after_a_restart(tmp_path: Path) -> None:
    """With all its words and figures, for whoever opens the file next."""
    fill = a_fill_note("fact:1", 7, "150.25")
    with opened(tmp_path / "o.db") as first:
        first.add([fill, a_note("fact:2")], PLAN, NOON, seq=9)
        first.sent("mail", due(first, "mail").ids, NOON)
    with opened(tmp_path / "o.db") as second:
        assert second.seq() == 9
        assert due(second).notes == (a_note("fact:2"),)
        assert second.due_routes(NOON) == ["club"]
        second.sent("club", due(second).ids, LATER)
        assert due(second).notes == (fill,)
        assert second.pending("mail", LATER) is None


def test_a_digest_is_due_with_its_first(outbox: Outbox) -> None:
    """However many come, it does not move."""
    outbox.add([a_fill_note("a")], PLAN, NOON)
    outbox.add([a_fill_note("b")], PLAN, NOON + timedelta(seconds=50))
    minute = NOON + timedelta(minutes=1)
    assert outbox.due_routes(minute - timedelta(seconds=1)) == []
    assert outbox.next_due(NOON) == minute
    assert len(due(outbox).ids) == 2


def test_what_is_critical_goes_first(outbox: Outbox) -> None:
    """A kill does not wait behind fills."""
    outbox.add([a_fill_note("a")], PLAN, NOON)
    outbox.add([a_note("kill", severity=Severity.CRITICAL)], PLAN, LATER)
    assert [note.key for note in due(outbox).notes] == ["kill"]


def test_what_healed_in_time_is_not_told_nor_that_it_healed(outbox: Outbox) -> None:
    """Once it was told, its end is told, too."""
    down = a_note("down", subject="stream:market", wait=timedelta(minutes=1))
    up = a_note("up", withdraws="stream:market")
    outbox.add([down], PLAN, NOON)
    assert outbox.add([up], PLAN, NOON + timedelta(seconds=30)) == 0
    assert outbox.due_routes(LATER) == []
    assert outbox.count() == {WITHDRAWN: 2}
    outbox.add([a_note("down2", subject="stream:market", wait=timedelta(minutes=1))], PLAN, NOON)
    assert outbox.add([a_note("up2", withdraws="stream:market")], PLAN, LATER) == 1
    assert [note.key for note in due(outbox).notes] == ["down2", "up2"]


def test_a_failure_leaves_the_route_alone_and_death_waits_for_somebody(outbox: Outbox) -> None:
    """The other route goes on; a dead one is seen, and sent again when somebody says so."""
    outbox.add([a_note()], PLAN, NOON)
    ids = due(outbox).ids
    again = NOON + timedelta(seconds=5)
    assert outbox.failed("club", ids, "HTTP 500", next_at=again, tries_max=2, now=NOON) == []
    assert (outbox.due_routes(NOON), outbox.failures("club")) == (["mail"], 1)
    assert outbox.next_due(NOON) == again
    assert outbox.failed("club", ids, "HTTP 500", next_at=LATER, tries_max=2, now=again) == list(ids)
    [dead] = outbox.rows(status=DEAD)
    assert (dead["route"], dead["tries"], dead["problem"], dead["title"]) == ("club", 2, "HTTP 500", "title of fact:1")
    assert outbox.retry(NOON, [99]) == 0
    assert outbox.retry(NOON, ids) == 1
    assert outbox.due_routes(NOON) == ["club", "mail"]
    outbox.sent("club", ids, NOON)
    assert outbox.count() == {SENT: 1, WAITING: 1}
    assert outbox.failures("club") == 0


def test_what_is_old_and_settled_is_forgotten(outbox: Outbox) -> None:
    """What waits or is dead stays, however old."""
    outbox.add([a_note("old", topic=Topic.SCANNER), a_note("waits")], PLAN, NOON)
    outbox.forget(NOON + timedelta(days=90))
    assert {row["title"] for row in outbox.rows()} == {"title of waits"}
    assert outbox.add([a_note("old", topic=Topic.SCANNER)], PLAN, NOON) == 1


def test_a_transaction_that_fails_keeps_nothing(outbox: Outbox) -> None:
    """Neither notifications nor how far the ledger was read."""

    def breaking() -> Iterator[object]:
        yield a_note()
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        outbox.add(breaking(), PLAN, NOON, seq=5)  # type: ignore[arg-type]
    assert (outbox.rows(), outbox.seq()) == ([], None)
