"""What went wrong of late is counted by strategy and kind, within a window, and bounded."""

from datetime import timedelta

import pytest

from deskd.core.deciding import handle
from deskd.core.tallies import KEPT, WINDOW_MAX, Tallies
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, RunId, Symbol
from deskd.domain.kill import KillCause
from deskd.domain.reasons import DenialReason, RejectReason
from deskd.domain.run import ExitReason, RunEnd
from tests.factories import ALICE, BOB, NOON, a_desk, a_kill, a_request, of_strategy, requested

MINUTE = timedelta(minutes=1)
BEFORE = NOON - MINUTE


@pytest.mark.parametrize(
    ("reason", "count"),
    [
        (RejectReason.BROKER_REJECTED, 1),
        (RejectReason.BROKER_REFUSED_LATER, 1),
        (RejectReason.NOT_SENT, 0),
        (RejectReason.HELD_TOO_LONG, 0),
    ],
)
def test_a_reject_is_what_the_broker_refused(reason: RejectReason, count: int) -> None:
    """An order that never left, because the broker is away or busy, is not its strategy's fault."""
    desk = a_desk()
    request = a_request()
    handle(desk, requested(request))
    desk.apply(ev.OrderRejected(client_order_id=request.client_order_id, reason=reason, message="no", at=NOON))
    assert desk.tallies.of(KillCause.REJECTS, ALICE, BEFORE) == count
    assert sum(n for _, n in desk.tallies.each(KillCause.REJECTS, BEFORE)) == count


def test_a_denial_is_counted_but_for_a_kills() -> None:
    """What a kill denies must not pull the next one."""
    desk = a_desk()
    handle(desk, requested(a_request(client_order_id=ClientOrderId("a"), symbol=Symbol("NOPE"))))
    assert desk.tallies.of(KillCause.DENIALS, ALICE, BEFORE) == 1
    desk.apply(a_kill(of_strategy(ALICE)))
    handle(desk, requested(a_request(client_order_id=ClientOrderId("b"))))
    assert desk.orders[ClientOrderId("b")].reason == DenialReason.KILLED
    assert desk.tallies.of(KillCause.DENIALS, ALICE, BEFORE) == 1


@pytest.mark.parametrize(
    ("reason", "deaths", "count"),
    [
        (ExitReason.ERROR, 1, 1),
        (ExitReason.OOM, 3, 1),
        (ExitReason.ERROR, 0, 0),
        (ExitReason.CLEAN, 0, 0),
        (ExitReason.SANDBOX_FAILURE, 1, 0),
    ],
)
def test_a_death_is_one_that_counts_against_the_strategy(reason: ExitReason, deaths: int, count: int) -> None:
    """What the desk itself broke, and what was stopped, are none."""
    tallies = Tallies()
    end = RunEnd(reason=reason, detail="")
    tallies.end(ev.RunEnded(run_id=RunId("r"), strategy_id=ALICE, end=end, at=NOON, deaths=deaths))
    assert tallies.of(KillCause.ERRORS, ALICE, BEFORE) == count


def test_only_what_is_after_the_instant_counts_and_memory_is_bounded() -> None:
    """Of each strategy alone, and of all together; a clock that is set back forgets nothing."""
    tallies = Tallies()
    for step in range(3):
        tallies.count(KillCause.DENIALS, ALICE, NOON + step * MINUTE)
    tallies.count(KillCause.DENIALS, BOB, NOON)
    assert tallies.of(KillCause.DENIALS, ALICE, NOON) == 2
    assert dict(tallies.each(KillCause.DENIALS, BEFORE)) == {ALICE: 3, BOB: 1}
    assert dict(tallies.each(KillCause.DENIALS, NOON)) == {ALICE: 2}  # who had none is not named
    tallies.count(KillCause.DENIALS, ALICE, NOON - 5 * MINUTE)
    assert tallies.of(KillCause.DENIALS, ALICE, BEFORE) == 3
    tallies.count(KillCause.DENIALS, ALICE, NOON + WINDOW_MAX)
    assert len(tallies.by_cause[KillCause.DENIALS][ALICE]) == 4
    for _ in range(KEPT + 10):
        tallies.count(KillCause.DENIALS, BOB, NOON)
    assert tallies.of(KillCause.DENIALS, BOB, BEFORE) == KEPT
