"""What `deskctl runs` prints; the whole command in test_deskctl."""

from typing import Any

import pytest

from deskd.cli.runs import cells, lived, story


def a_row(**overrides: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run_id": "alice.1",
        "strategy_id": "alice",
        "started_at": "2026-01-05T17:00:00.000000Z",
        "ended_at": "2026-01-05T17:02:05.000000Z",
        "exit_reason": "error",
        "exit_detail": "it ended with status 1: boo\x1b[2J",
        "exit_code": 1,
        "peak_memory_bytes": 64 << 20,
        "memory_max_bytes": 512 << 20,
        "memory_growth_bytes": 3 << 20,
        "cpu_seconds": 1.25,
        "throttled_seconds": 0.5,
        "throttled_periods": 3,
        "periods": 12,
        "lines_delivered": 10,
        "lines_handled": 9,
        "last_line": '{"type":"trade"}\n',
        "traceback": "Traceback\nKeyError",
        "source_line": "strategy.py:3: go()",
        "output": ["up", "\x1b[2Jboo"],
    }
    return row | overrides


def test_the_story_has_all_figures_and_steers_no_terminal() -> None:
    """Reason, sentence, line of code, memory, CPU, lines, traceback and last prints."""
    text = "\n".join(story(a_row()))
    for part in (
        "alice: error\n  it ended with status 1: boo\\x1b[2J",
        "lived:      2m 5s, 2026-01-05 17:00:00 UTC to 2026-01-05 17:02:05 UTC",
        "exit code:  1",
        "line:       strategy.py:3: go()",
        "memory:     64.0 MiB at most of 512.0 MiB; 3.0 MiB more in its last seconds",
        "cpu:        1.25 s; waited 0.50 s for its share, in 3 of 12 periods (25 %)",
        "lines:      10 delivered, 9 handled (as the run says)",
        'last line:  {"type":"trade"}',
        "traceback:\n  Traceback\n  KeyError",
        "last prints (earlier lines: deskctl logs alice):\n  up\n  \\x1b[2Jboo",
    ):
        assert part in text
    assert text.replace("\n", "").isprintable()


def test_an_end_of_which_little_is_known_is_told_as_it_is() -> None:
    """Rows from before the story was kept have empty columns."""
    unknown = dict.fromkeys(a_row(), None) | {"output": []}
    known = {key: a_row()[key] for key in ("run_id", "strategy_id", "started_at", "ended_at", "exit_reason")}
    text = "\n".join(story(unknown | known | {"exit_detail": "it ended"}))
    assert "memory" not in text
    assert "cpu" not in text
    assert "at most of" not in "\n".join(story(a_row(memory_max_bytes=None, memory_growth_bytes=None)))
    assert "periods" not in "\n".join(story(a_row(periods=0)))
    assert "waited" not in "\n".join(story(a_row(throttled_seconds=None)))


@pytest.mark.parametrize(
    ("overrides", "text"),
    [({}, "2m 5s"), ({"ended_at": "2026-01-05T17:00:00.250000Z"}, "0.2s"), ({"ended_at": None}, "-")],
)
def test_how_long_it_lived(overrides: dict[str, Any], text: str) -> None:
    """A short life has a tenth of a second."""
    assert lived(a_row(**overrides)) == text


def test_a_run_that_goes_on_says_so() -> None:
    """Its other cells are empty."""
    row = dict.fromkeys(a_row(), None) | {"started_at": "2026-01-05T17:00:00.000000Z"}
    shown = cells(row)
    assert shown["exit_reason"] == "runs"
    assert shown["lines"] is shown["cpu"] is shown["peak"] is shown["why"] is None
