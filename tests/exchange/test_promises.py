"""What of a position is promised."""

from typing import Any

from deskd.domain.events import BrokerStatus
from deskd.exchange.order import ExchangeOrder, PositionIntent
from deskd.exchange.promises import promised
from tests.exchange.given import cash, qty, told
from tests.exchange.test_matching import an_order


def an_exit(order_id: str, size: int, **overrides: Any) -> ExchangeOrder:
    return an_order(id=order_id, qty=qty(size), position_intent=PositionIntent.SELL_TO_CLOSE, **overrides)


def test_exits_hold_what_they_leave() -> None:
    """Filled shares are gone, not promised; openings promise nothing."""
    orders = [an_exit("a", 10, filled_qty=qty(4)), an_order(id="b")]
    assert told(*promised(orders)) == (6, ("a",))
    assert told(*promised([])) == (0, ())


def test_two_exits_hold_the_same_shares() -> None:
    """Take-profit and stop-loss count once; a stop-loss alone counts itself."""
    take = an_exit("t", 10, group_id="g", group_role="take_profit")
    stop = an_exit("s", 10, group_id="g", group_role="stop_loss")
    assert told(*promised([take, stop])) == (10, ("t",))
    assert told(*promised([stop])) == (10, ("s",))


def test_entry_promises_what_it_has_bought() -> None:
    """While legs are held, the entry's fills wait for them."""
    entry = an_order(id="e", qty=qty(10), filled_qty=qty(3), group_id="g", group_role="entry")
    legs = [
        an_exit(role, 10, group_id="g", group_role=role, status=BrokerStatus.HELD)
        for role in ("take_profit", "stop_loss")
    ]
    assert told(*promised([entry, *legs])) == (3, ("e",))
    assert told(*promised([entry])) == (0, ())


def test_money_promises_shares() -> None:
    """A notional sale holds the shares that it was measured at."""
    assert told(*promised([an_exit("a", 1, notional=cash(100), promised_qty=qty(2))])) == (2, ("a",))
