"""What others wrote is shown so that it steers no terminal and fakes no line; programs read it unchanged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.domain.shown import in_json, one_line, printable

HOSTILE = {
    "ansi": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "c1": "\x9b31m\x85",
    "bidi": "\u202eesrever\u202c \u2066x\u2069 \u061c",
    "unseen": "\u200b\ufeff\u2060\U000e0041",
    "separators": "a\u2028b\u2029c",
    "return": "fine\rfake",
    "delete": "a\x7f\x08b",
    "half": "\ud800\udfff",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_steers_is_left(text: str) -> None:
    """Every hostile character is seen as its number, and can be written to any stream."""
    shown = one_line(text)
    assert shown.isprintable()
    shown.encode()
    assert shown != text


def test_printable_text_keeps_lines_and_tabs() -> None:
    """Escaping is for what a terminal would obey, not for what people write."""
    assert printable("a\tb\nä€\x1b[31m\x00\x9b") == "a\tb\nä€\\x1b[31m\\x00\\x9b"
    assert one_line("a\tb\nc") == "a\\tb\\nc"
    assert one_line("日本 \u00a0 é 👩\u200d💻") == "日本 \u00a0 é 👩\u200d💻"


@given(st.text(st.characters(codec=None)))
def test_programs_read_what_was_written(text: str) -> None:
    """JSON is escaped by its own means: it reads the same, byte for byte, and steers nothing."""
    safe = in_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(safe) == json.loads(json.dumps({"a": text}))
    assert printable(safe) == safe
