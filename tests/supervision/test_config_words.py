"""A wrong value of config.json is answered with a rule that a beginner can follow."""

from typing import Any

import pytest
from pydantic import ValidationError

from deskd.supervision.config_words import in_words
from deskd.supervision.discovery import StrategyConfig


def words(given: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        StrategyConfig.model_validate(given)
    return in_words(caught.value.errors()[0])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"symbols": "AAPL"}, 'must be a list: such as ["SPY", "AAPL"]'),
        ({"version": 1}, 'must be text, in quotes: such as "1"'),
        ({"enabled": "yes"}, "must be true or false, without quotes"),
        ({"history": {"bars": "5"}}, "must be a whole number, without quotes"),
        ({"env": []}, "must be an object: {…}"),
        ({"history": 5}, "must be an object: {…}"),
        ({"channels": ["trade"]}, "must be one of 'trades', 'quotes', 'bars', 'orders' or 'status'"),
        ({"history": {"bars": 0}}, "must be at least 1"),
        ({"history": {"bars": 10_001}}, "must be at most 10000"),
        ({"schedule": {"days": []}}, "must not be shorter than 1"),
        ({"name": ""}, "must not be shorter than 1"),
        ({"name": "x" * 101}, "must not be longer than 100"),
        ({"schedule": {"opens": "9:30"}}, 'must be a time of the day such as "09:30", from "00:00" to "24:00"'),
        ({"user_id": "Bob Smith"}, 'must have letters, digits, ".", "_" and "-" only'),
    ],
)
def test_a_rule_is_said_without_the_words_of_a_library(given: dict[str, Any], said: str) -> None:
    """No pattern and no name of a type: what to write instead."""
    assert words(given).startswith(said)


def test_what_no_table_knows_is_said_in_the_library_s_words() -> None:
    """Nothing goes unsaid."""
    assert in_words({"type": "new_kind", "msg": "Input is odd"}) == "input is odd"
    assert in_words({"type": "value_error", "msg": "Value error, names a symbol twice"}) == "names a symbol twice"
