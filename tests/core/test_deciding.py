"""Each event is kept or passed over as it should be, and who is concerned hears of it."""

from deskd.core.deciding import handle
from deskd.domain import effects as ef
from deskd.domain import events as ev
from tests.core.some_orders import a_desk_with
from tests.factories import AAPL, ALICE, NOON, a_desk, a_request, cash, filled, price
from tests.playbook import Playbook


def test_a_strategy_hears_of_its_orders_and_of_nobody_elses() -> None:
    """Each fact of an order is told to its own strategy, with the position after it."""
    request = a_request()
    desk = a_desk_with(request)
    tells = [e for e in handle(desk, filled(request, 10)) if isinstance(e, ef.Tell)]
    assert [(t.strategy_id, t.update.event, t.update.fill_qty, t.update.position_qty) for t in tells] == [
        (ALICE, "fill", "10", "10")
    ]


def test_marks_are_kept_only_for_what_is_held_and_moved() -> None:
    """The ledger is not a tape."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 10))
    marks = ev.MarksTaken(marks=((AAPL, price(101)), ("SPY", price(1))), at=NOON)  # type: ignore[arg-type]
    assert Playbook(desk) >> marks << ef.Record(ev.PositionsMarked(marks=((AAPL, price(101)),), at=NOON)) >> marks
    account = desk.account(ALICE)
    assert account is not None
    assert (account.equity, account.unrealized_pnl) == (cash(10_010), cash(10))


def test_down_twice_is_one_fact() -> None:
    """A night of refused connections does not fill the ledger."""
    down = ev.TradeStreamChanged(is_up=False, why="refused", at=NOON)
    assert Playbook(a_desk()) >> down << ev.StreamChanged >> down


def test_lists_of_instruments_are_not_kept() -> None:
    """They are an input of decisions, and no fact."""
    assert Playbook(a_desk()) >> ev.InstrumentsListed(instruments=(), at=NOON)


def test_the_market_data_stream_does_not_close_the_doors() -> None:
    """Stale quotes deny what needs them; fills are seen all the same."""
    desk = a_desk()
    handle(desk, ev.StreamChanged(stream="market", is_up=False, why="dropped", at=NOON))
    assert desk.is_synced
