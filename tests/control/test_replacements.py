"""The words of a command as a replacement, and back."""

import re
from typing import Any

import pytest

from deskd.control import replacements
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Replacement, TimeInForce
from tests.factories import price, qty

OLD = ClientOrderId("old")


def test_a_command_is_read_whole_and_kept_as_it_was_typed() -> None:
    """Each option is a field; what is left out stays as it is."""
    body = {"order": "old", "qty": "5", "limit_price": "9.50", "time_in_force": "gtc", "stop_price": None}
    wanted = replacements.read(body, OLD)
    assert wanted == Replacement(replaces=OLD, qty=qty(5), limit_price=price("9.5"), time_in_force=TimeInForce.GTC)
    assert replacements.arguments(wanted) == "old --qty 5 --limit-price 9.50 --time-in-force gtc"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "nothing is to change: give at least one of --qty, --limit-price"),
        ({"qty": "ten"}, "--qty: 'ten' is not a decimal number"),
        ({"qty": 5}, "--qty: 5 is not a number greater than zero"),
        ({"trail_price": "-1"}, "--trail-price: '-1' is not a number greater than zero"),
        ({"time_in_force": "gtd"}, "--time-in-force: 'gtd' is not one of day, gtc"),
        ({"time_in_force": ["gtc"]}, "--time-in-force: ['gtc'] is not one of"),
    ],
)
def test_what_is_no_replacement_is_told_by_its_option(body: dict[str, Any], says: str) -> None:
    """The text names the option, what was typed and the rule."""
    with pytest.raises(ValueError, match=re.escape(says)):
        replacements.read(body, OLD)
