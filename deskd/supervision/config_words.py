"""What is wrong with a value of config.json, in words of somebody who writes one for the first time."""

from collections.abc import Mapping
from typing import Any

from deskd.config.section import HHMM, USER_ID

_PATTERNS = {
    HHMM: 'must be a time of the day such as "09:30", from "00:00" to "24:00"',
    USER_ID: 'must have letters, digits, ".", "_" and "-" only, begin with a letter or digit, and be at most 64 long',
}
_TYPES = {
    "string_type": 'must be text, in quotes: such as "1"',
    "list_type": 'must be a list: such as ["SPY", "AAPL"]',
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "dict_type": "must be an object: {{…}}",
    "model_type": "must be an object: {{…}}",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must not be shorter than {min_length}",
    "too_long": "must not be longer than {max_length}",
}


def in_words(problem: Mapping[str, Any]) -> str:
    """Return the rule that the value breaks; what no table knows is said in the library's words."""
    more = problem.get("ctx", {})
    text = _PATTERNS.get(more.get("pattern", "")) or _TYPES.get(problem["type"], "").format_map(more)
    if text:
        return text
    text = str(problem["msg"]).removeprefix("Value error, ")
    return f"{text[0].lower()}{text[1:]}"
