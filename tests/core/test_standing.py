"""What stands between books and broker: open differences, and how much of the history counts."""

from datetime import timedelta

from deskd.core import standing as module
from deskd.core.standing import CASH, DISTRIBUTE, KNOWN_MAX, Standing
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.ids import ActivityId
from deskd.domain.money import NO_CASH, NO_QTY
from tests.factories import AAPL, NOON, cash, qty

SECOND = timedelta(seconds=1)


def found(more: str | None, *, subject: str = AAPL, action: str = "house") -> ev.DiscrepancyFound:
    amount = None if more is None else qty(more)
    return ev.DiscrepancyFound(subject=subject, expected="", actual="", action=action, at=NOON, more=amount)


def test_what_is_found_on_top_adds_up() -> None:
    """One subject is one open difference, from when it was first found."""
    standing = Standing()
    standing.find(found("5"))
    standing.find(found("-2", action=DISTRIBUTE))
    standing.find(found(None, subject="alice-1"))  # about an order: nothing that the house took
    assert list(standing.open) == [AAPL]
    one = standing.open[AAPL]
    assert (one.more, one.found_at, one.needs_officer) == (qty(3), NOON, True)


def test_what_came_back_is_taken_off() -> None:
    """Shares of their symbol, cash of the cash."""
    standing = Standing()
    standing.find(found("5"))
    standing.find(found("100", subject=CASH))
    for symbol, shares, money in ((AAPL, qty(-5), NO_CASH), (None, NO_QTY, cash(-40))):
        standing.adjust(
            ev.HouseAdjusted(
                cash=money, symbol=symbol, qty=shares, price=None, why="", at=NOON, cause=HouseCause.RETURNED
            )
        )
    assert [one.more for one in standing.open.values()] == [qty(0), qty(60)]


def test_a_line_of_history_counts_by_its_id() -> None:
    """With the broker's stamp, where the fact has one; entries from before have the desk's."""
    standing = Standing()
    for number, stamp in ((1, NOON - SECOND), (2, None)):
        standing.adjust(
            ev.HouseAdjusted(
                cash=cash(-1),
                symbol=None,
                qty=NO_QTY,
                price=None,
                why="",
                at=NOON,
                activity_id=ActivityId(f"a{number}"),
                stamp=stamp,
            )
        )
    standing.read(None, [(ActivityId("a3"), NOON)])
    assert standing.known == {"a1": NOON - SECOND, "a2": NOON, "a3": NOON}
    assert standing.read_until is None
    standing.read(NOON, ())
    assert standing.read_until == NOON


def test_memory_is_bounded_and_what_is_forgotten_is_behind_a_line() -> None:
    """The oldest ids go; the latest stamp among them is kept, so that none of them is booked again."""
    standing = Standing()
    for number in range(KNOWN_MAX):
        standing.know(ActivityId(str(number)), NOON + number * SECOND)
    assert standing.forgotten_until is None
    standing.know(ActivityId("one more"), NOON)
    standing.know(ActivityId("and one"), NOON)
    assert len(standing.known) == module.KNOWN_MAX
    assert standing.forgotten_until == NOON + SECOND
