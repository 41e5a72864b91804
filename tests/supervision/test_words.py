"""Figures and lines as a student reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.supervision.words import last_line, line_id, mib, throttling


def test_figures_have_their_units() -> None:
    """Small ones keep a tenth; a busy run's share stands beside its bound."""
    assert (mib(512 << 20), mib(3 << 19)) == ("512 MiB", "1.5 MiB")
    assert throttling(30.0, 60.0, 0.5, 598, 600) == "used 0.50 of 0.5 cores for 60 s, throttled 598 of 600 periods"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"type":"trade","symbol":"AAPL","timestamp":"2026-11-20T15:04:05.123456789Z"}\n',
            "AAPL trade of 15:04:05.123",
        ),
        ('{"type":"bar","symbol":"AAPL","timestamp":"2026-11-20T15:04:00Z"}', "AAPL bar of 15:04:00"),
        ('{"type":"gap","dropped":3}', "gap"),
        ('{"type":"trade","symbol"', '{"type":"trade","symbol"'),
        ("[1]", "[1]"),
        ('{"type":"\\ud800","symbol":"A"}', "A ?"),  # a claim: no text that can be written down
        ("x" * 99 + "\n", "x" * 80 + "…"),
    ],
)
def test_a_line_is_named_for_what_it_was_about(line: str, says: str) -> None:
    """Symbol, kind and time; a line that is none of ours is shown as it is."""
    assert last_line(line) == says


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"type":"trade","symbol":"AAPL","price":1,"timestamp":"2026-11-20T15:04:05.123456789Z"}\n',
            "trade AAPL 2026-11-20T15:04:05.123456789Z",
        ),
        ('{"type":"session","event":"open","timestamp":"2026-11-20T14:30:00Z"}', "session 2026-11-20T14:30:00Z"),
        ('{"type":"gap","dropped":3}', ""),
        ('{"type":"trade","symbol"', ""),
        ('{"type":"tr\u001b[2Jade","symbol":"A","timestamp":"x"}', ""),
        ('{"type":"trade","symbol":"\\ud800","timestamp":"x"}', ""),
        ('{"type":["trade"],"symbol":"A","timestamp":"x"}', ""),
        ('{"type":"trade","symbol":"A","timestamp":"' + "x" * 80 + '"}', ""),
    ],
)
def test_a_line_of_the_market_has_an_id_of_its_own(line: str, says: str) -> None:
    """Kind, symbol and the market's time, as they came; a claim that is no such thing has none."""
    assert line_id(line) == says


@given(st.text(max_size=600))
def test_any_line_has_a_short_name(line: str) -> None:
    """What a run claims to have handled is bounded."""
    assert len(last_line(line)) <= 81
