"""How many orders, how fast, and the pause after a stop."""

from datetime import timedelta

from deskd.core import gate
from deskd.core.checks import Denied, Valued
from tests.core.test_checks import COOLED, a_sale, evidence
from tests.factories import NOON, qty, some_limits


def test_a_days_orders_used_up_still_let_a_position_be_closed() -> None:
    """Closing is bounded by the shares that are there: nobody is held in a position by a count."""
    full = {"orders_today": 500}
    assert isinstance(gate.judge(evidence(**full)).answer, Denied)
    assert isinstance(gate.judge(evidence(request=a_sale(), position_qty=qty(10), **full)).answer, Valued)
    promised = {"position_qty": qty(10), "promised_qty": qty(1)}
    assert isinstance(gate.judge(evidence(request=a_sale(), **promised, **full)).answer, Denied)


def test_a_minutes_orders_hold_for_all() -> None:
    """A loop that closes and opens is a flood as well."""
    limits = some_limits(orders_per_minute_max=5)
    full = {"limits": limits, "orders_this_minute": 5}
    assert isinstance(gate.judge(evidence(request=a_sale(), position_qty=qty(10), **full)).answer, Denied)


def test_the_pause_after_a_stop_ends() -> None:
    """Counted on the market's clock, and over at its last second."""
    stopped = {"limits": COOLED, "last_stop_at": NOON - timedelta(seconds=59)}
    denied = gate.judge(evidence(**stopped)).answer
    assert isinstance(denied, Denied)
    assert denied.message.endswith("wait 1 s")
    over = stopped | {"last_stop_at": NOON - timedelta(seconds=60)}
    assert isinstance(gate.judge(evidence(**over)).answer, Valued)
