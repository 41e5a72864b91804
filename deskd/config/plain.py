"""What is refused before anybody looks at its meaning: control characters, half characters, values without bounds."""

import json
from collections.abc import Iterator


def is_plain(value: object) -> bool:
    """Tell whether the value can be passed on: as JSON to the checks, as a path to the system."""
    try:
        return all(ord(c) >= 0x20 and not 0xD800 <= ord(c) < 0xE000 for text in _texts(value) for c in text) and bool(
            json.dumps(value, default=str)
        )
    except (ValueError, RecursionError):
        return False


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
