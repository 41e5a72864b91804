"""The daemon as a whole, while it does not run; the desk that runs is proved in tests/whole."""

from pathlib import Path

from deskd.app.opening import db_path
from deskd.config import Config, DeskSection
from deskd.domain.effects import Refuse
from deskd.domain.reasons import RefusalReason
from tests.app.a_small_desk import a_built_desk


def test_the_ledger_is_where_the_configuration_says() -> None:
    """Beside the rest of the state, unless it has a place of its own."""
    assert db_path(Config(desk=DeskSection(state_dir=Path("/s")))) == Path("/s/desk.db")
    assert db_path(Config(desk=DeskSection(state_dir=Path("/s"), db_path=Path("/d/x.db")))) == Path("/d/x.db")


async def test_a_desk_that_is_only_built_takes_no_orders_and_says_so(tmp_path: Path) -> None:
    """Everything is there, nothing was sent or written; a reload before the start says what there is to read."""
    async with a_built_desk(tmp_path) as daemon:
        refusal = daemon.runtime.refusal()
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.DESK_NOT_READY
        assert daemon.in_one_line() == (
            "0 of 0 strategies running, 0 orders open, "
            "takes no orders: the desk is starting: try again later; broker: alpaca"
        )
        status = daemon.status()
        assert (status["takes_orders"], status["jails"], status["market_time"]) == (False, None, None)
        assert daemon.rooms.ledger.last_seq == 0
