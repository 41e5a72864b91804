"""What a scrape says of one strategy."""

from deskd.domain.run import RunStatus
from deskd.metrics.strategies import look
from tests.control.a_running_desk import a_spec
from tests.factories import AAPL, ALICE, BOB, NOON, price, qty
from tests.metrics.given import Watched


def test_a_strategy_that_runs_shows_what_it_uses_and_owns() -> None:
    """Run and book are read where they stand."""
    watched = Watched()
    found = look(a_spec(ALICE), watched.runs, watched.desk, orders_open=3, shows_money=True)
    assert (found.status, found.orders_open, found.positions) == (RunStatus.RUNNING, 3, 0)
    assert found.live is not None
    assert found.account is not None
    assert found.account.equity == 10_000


def test_money_is_left_out_where_it_is_not_to_be_shown() -> None:
    """Whoever may read the page may not read what others earn."""
    watched = Watched()
    found = look(a_spec(BOB), watched.runs, watched.desk, orders_open=0, shows_money=False)
    assert (found.account, found.positions, found.long, found.short) == (None, 0, 0.0, 0.0)
    assert found.live is None


def test_what_is_held_is_valued() -> None:
    """Longs and shorts are told apart."""
    watched = Watched()
    watched.desk.portfolio.book(ALICE).trade(AAPL, qty(10), price(100), NOON)
    found = look(a_spec(ALICE), watched.runs, watched.desk, orders_open=1, shows_money=True)
    assert (found.positions, found.long, found.short) == (1, 1_000.0, 0.0)
