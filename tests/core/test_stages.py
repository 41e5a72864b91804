"""Which stage a strategy is in follows from the facts."""

import pytest

from deskd.core.stages import Stages
from deskd.domain.events import StageChanged
from deskd.domain.stage import Stage
from tests.factories import ALICE, BOB, NOON


def changed(stage: Stage) -> StageChanged:
    return StageChanged(strategy_id=ALICE, stage=stage, by="ada", why="a test", at=NOON)


def test_whoever_nobody_staged_is_active() -> None:
    """A ledger of before there were stages goes on as it was."""
    stages = Stages()
    stages.change(changed(Stage.PAUSED))
    assert stages.of(BOB) is Stage.ACTIVE
    assert stages.resumed(BOB) is Stage.ACTIVE


@pytest.mark.parametrize("before", [Stage.SHADOW, Stage.ACTIVE])
def test_resume_leads_back_to_where_the_pause_began(before: Stage) -> None:
    """A pause of a shadow strategy does not make it send orders; a second pause changes nothing of that."""
    stages = Stages()
    for stage in (before, Stage.PAUSED, Stage.PAUSED):
        stages.change(changed(stage))
    assert stages.resumed(ALICE) is before
    stages.change(changed(Stage.SHADOW))
    assert stages.resumed(ALICE) is Stage.SHADOW
