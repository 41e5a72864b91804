"""Bounds and their scopes."""

from deskd.domain.limits import UNBOUNDED, Bounds
from tests.factories import some_limits


def test_a_bound_says_its_scope_only_where_a_wider_one_made_it() -> None:
    """What is the strategy's own needs no word."""
    limits = some_limits(origins={"position_qty_max": " scope=desk"})
    assert limits.origin("position_qty_max") == " scope=desk"
    assert limits.origin("order_qty_max") == ""


def test_a_scope_that_nothing_bounds_is_known_as_such() -> None:
    """The gate does not sum what nobody asks for."""
    assert Bounds() == UNBOUNDED
    assert some_limits().member is UNBOUNDED
