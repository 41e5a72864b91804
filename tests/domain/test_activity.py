"""Lines of the account's history, and the names by which the house takes them."""

import pytest

from deskd.domain.activity import Activity, HouseCause
from deskd.domain.ids import ActivityId
from tests.factories import NOON


def line(kind: str, execution: str = "") -> Activity:
    return Activity(activity_id=ActivityId("a"), kind=kind, at=NOON, execution=execution)


@pytest.mark.parametrize(
    ("one", "cause"),
    [
        (line("FILL", "fill"), HouseCause.MANUAL_TRADE),
        (line("FILL", "partial_fill"), HouseCause.MANUAL_TRADE),
        (line("FILL", "trade_bust"), HouseCause.TRADE_BUST),
        (line("FILL", "trade_correct"), HouseCause.TRADE_CORRECT),
        (line("CFEE"), HouseCause.FEE),
        (line("DIVNRA"), HouseCause.DIVIDEND),
        (line("INT"), HouseCause.INTEREST),
        (line("CSW"), HouseCause.TRANSFER),
        (line("SPLIT"), HouseCause.SPLIT),
        (line("SPIN"), HouseCause.CORPORATE_ACTION),
        (line("NEWS"), HouseCause.OTHER),
    ],
)
def test_each_word_of_the_broker_is_a_cause(one: Activity, cause: HouseCause) -> None:
    """A word that is none of those that are known is `other`: booked, and named as it came."""
    assert one.cause is cause


def test_corrections_are_told_from_executions() -> None:
    """A bust is no fill, whatever the path says that it came by."""
    assert line("FILL", "trade_bust").is_correction
    assert not line("FILL", "fill").is_correction
