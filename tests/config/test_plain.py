"""What cannot be passed on is seen before it is."""

import pytest

from deskd.config.plain import is_plain


@pytest.mark.parametrize("value", ["SPY", "Zürich", ["a", ["b"]], 10**300, 1.5, True, {"a": 1}, ""])
def test_ordinary_values_are_plain(value: object) -> None:
    """Text of any language, numbers and lists pass."""
    assert is_plain(value)


@pytest.mark.parametrize("value", ["a\0b", "a\x1b[31m", "caf\udce9", ["ok", ["a\nb"]]])
def test_control_characters_and_half_characters_are_not(value: object) -> None:
    """A terminal, a path and a log line are safe from what is plain."""
    assert not is_plain(value)


def test_numbers_and_nestings_without_end_are_not_plain() -> None:
    """The check does not trip over what it refuses."""
    endless: list[object] = []
    endless.append(endless)
    assert not is_plain(endless)
    assert not is_plain(16**5_000)
