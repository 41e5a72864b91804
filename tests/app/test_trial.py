"""What a trial works out by itself; the whole of it is proved in tests/whole/test_trial.py."""

import asyncio

import pytest

from deskd.app.trial import Tried, first_of
from deskd.domain.ids import StrategyId
from deskd.domain.money import NO_CASH


async def test_the_first_to_come_is_told_and_the_others_are_let_go() -> None:
    """What ended the trial is one thing."""
    let_go = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            let_go.set()

    assert await first_of(tape=asyncio.sleep(0), user=never()) == "tape"
    assert let_go.is_set()


async def test_a_failure_is_no_end() -> None:
    """An exchange that died is an error, not the tape's end."""

    async def dies() -> None:
        raise ChildProcessError("the embedded exchange died")

    with pytest.raises(ExceptionGroup) as caught:
        await first_of(tape=dies(), user=asyncio.Event().wait())
    assert isinstance(caught.value.exceptions[0], ChildProcessError)


@pytest.mark.parametrize(("reason", "is_good"), [("clean", True), ("stopped", True), ("error", False), ("oom", False)])
def test_a_strategy_ends_well_by_itself_or_when_it_is_told_to(reason: str, *, is_good: bool) -> None:
    """All else is a failure, and the command ends with 1."""
    tried = Tried(
        strategy_id=StrategyId("ann"),
        tape=("synthetic",),
        ended_by="tape",
        exit_reason=reason,
        exit_detail="",
        lines_delivered=0,
        lines_handled=0,
        orders=0,
        fills=0,
        denied={},
        rejected={},
        refused={},
        allocation=NO_CASH,
        equity=NO_CASH,
        realized_pnl=NO_CASH,
        unrealized_pnl=NO_CASH,
        positions=(),
    )
    assert tried.ended_well is is_good
