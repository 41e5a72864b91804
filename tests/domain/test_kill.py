"""The kill switch's words."""

import pytest

from deskd.domain.kill import THE_DESK, KillDepth, KillScope, KillTarget


@pytest.mark.parametrize("depth", KillDepth)
def test_a_depth_does_what_the_shallower_do(depth: KillDepth) -> None:
    """From reducing only, over no new orders and canceled ones, to nothing held."""
    reached = [other for other in KillDepth if depth.reaches(other)]
    assert reached == list(KillDepth)[: len(reached)]
    assert reached[-1] is depth


def test_a_target_reads_as_people_write_it() -> None:
    """It stands in logs, reasons and answers."""
    assert str(THE_DESK) == "desk"
    assert str(KillTarget(KillScope.SYMBOL, "AAPL")) == "symbol AAPL"
