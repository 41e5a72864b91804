"""The fold of exits: waits grow, and are bounded."""

from datetime import timedelta
from decimal import Decimal

import pytest

from deskd.core.exit_book import RETRY_MAX, ExitBook, Running
from deskd.domain import events as ev
from deskd.domain.exits import ExitKind
from deskd.domain.ids import ClientOrderId
from tests.factories import AAPL, ALICE, NOON, SPY, a_request, an_exit, price, qty

WHY = an_exit()
EXIT = a_request(client_order_id=ClientOrderId("exit-1"), exit=ExitKind.STOP_LOSS)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 5), (1, 5), (2, 10), (3, 20), (7, 300), (1_000_000, 300)])
def test_waits_double_up_to_their_bound(attempts: int, seconds: int) -> None:
    """A refusal that lasts all day is a few orders an hour."""
    assert Running(WHY, attempts=attempts).wait == timedelta(seconds=seconds) <= RETRY_MAX


def test_only_the_desks_own_orders_are_attempts() -> None:
    """What a strategy asks for meanwhile is its own affair."""
    book = ExitBook()
    book.trigger(WHY)
    book.ask(a_request(), NOON)
    assert book.running[ALICE, AAPL] == Running(WHY)
    book.ask(EXIT, NOON)
    assert book.running[ALICE, AAPL] == Running(WHY, order=EXIT.client_order_id, tried_at=NOON, attempts=1)
    book.fill(EXIT, qty(10), qty(4))
    assert book.running[ALICE, AAPL].attempts == 0
    book.fill(EXIT, qty(4), qty(0))
    assert book == ExitBook()


def test_a_split_of_another_symbol_changes_nothing() -> None:
    """Each trail is its symbol's."""
    book = ExitBook()
    book.move(ev.TrailMoved(strategy_id=ALICE, symbol=AAPL, price=price(90), at=NOON))
    book.split(SPY, Decimal(2))
    assert book.trails == {(ALICE, AAPL): price(90)}
