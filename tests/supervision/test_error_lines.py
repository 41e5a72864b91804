"""What is kept of a run's standard error: its last lines, and how its last traceback began."""

from hypothesis import given
from hypothesis import strategies as st

from deskd.supervision.crash import read_crash
from deskd.supervision.error_lines import CAUSE_HEAD, CAUSE_TAIL, CAUSES_MAX, CHARS_MAX, HEAD_MAX, LINES_MAX, ErrorLines

HEADER = "Traceback (most recent call last):"
LINK = ["", "The above exception was the direct cause of the following exception:", ""]


def kept(*lines: str, at_once: int = 37) -> list[str]:
    errors = ErrorLines()
    for start in range(0, len(lines), at_once):
        errors.take([line.encode() for line in lines[start : start + at_once]])
    return list(errors)


def frames(count: int, name: str = "f") -> list[str]:
    return [
        line for n in range(count) for line in (f'  File "/strategy/strategy.py", line {n}, in {name}', f"    g({n})")
    ]


def test_the_last_lines_are_kept() -> None:
    """Without a traceback, or with one that is all among them."""
    assert kept(*(str(n) for n in range(150))) == [str(n) for n in range(50, 150)]
    lines = ["before", HEADER, *frames(3), "KeyError: 'x'", "after"]
    assert kept(*lines) == lines


def test_of_a_long_traceback_both_ends_are_kept() -> None:
    """A recursion through two functions: Python prints all thousand frames."""
    whole = [HEADER, *frames(1_000), "RecursionError: maximum recursion depth exceeded", "after"]
    seen = kept("before", *whole)
    left = len(whole) - HEAD_MAX - LINES_MAX
    assert seen == [*whole[:HEAD_MAX], f"  … {left} lines left out", *whole[-LINES_MAX:]]
    assert read_crash(seen).kind == "RecursionError"
    assert read_crash(seen).traceback.startswith(f"{HEADER}\n  File")


def test_one_a_little_too_long_is_whole() -> None:
    """Where nothing lies between its two ends, nothing is said to be left out, and nothing is there twice."""
    whole = [HEADER, *frames(55), "KeyError: 'x'"]
    assert kept("before", *whole) == whole


def test_of_what_an_error_came_of_both_ends_are_kept() -> None:
    """However long they are, and however many: the first, and the last two."""
    one = [HEADER, *frames(200), "KeyError: 'price'", *LINK]
    last = [HEADER, *frames(2), "OSError: no"]
    cause = [*one[:CAUSE_HEAD], f"  … {len(one) - CAUSE_HEAD - CAUSE_TAIL} lines left out", *one[-CAUSE_TAIL:]]
    assert kept(*one, *last) == [*cause, *last]
    many = kept(*one, *one, *one, *one, *one, *last)
    assert many == [*cause * CAUSES_MAX, *last]
    crash = read_crash(kept(*one, *last))
    assert crash.cause is not None
    assert crash.cause.last_words == "KeyError: 'price'"


def test_a_traceback_of_long_ago_is_not_why_it_ended() -> None:
    """One that was caught and printed, with a hundred lines after it."""
    prints = [f"line {n}" for n in range(LINES_MAX)]
    assert kept(HEADER, *frames(90), "KeyError: 'x'", *prints) == prints
    assert kept(HEADER, *frames(90), "KeyError: 'x'", *prints[1:])[0] == HEADER
    group = ["  + Exception Group Traceback (most recent call last):", "  | KeyError", "  +" + "-" * 36]
    assert kept(*group, *prints) == prints


def test_another_traceback_is_another_story() -> None:
    """What was printed before it, and did not cause it, is gone."""
    last = [HEADER, *frames(90), "OSError: no"]
    assert kept(HEADER, "KeyError: 'x'", *last)[: HEAD_MAX - 1] == last[: HEAD_MAX - 1]
    assert "KeyError: 'x'" not in kept(HEADER, "KeyError: 'x'", *last)


_LINE = st.sampled_from(
    [HEADER, *LINK, *frames(1), "KeyError: 'x'", "  + Exception Group Traceback (most recent call last):"]
)


@given(st.lists(st.tuples(_LINE | st.text(max_size=20), st.integers(1, 80)), max_size=40), st.integers(1, 90))
def test_whatever_is_printed_what_is_kept_is_bounded(given_lines: list[tuple[str, int]], at_once: int) -> None:
    """A hostile stream is some hundred lines, and the last line is always among them."""
    lines = [line.replace("\n", " ") for line, count in given_lines for _ in range(count)]
    seen = kept(*lines, at_once=at_once)
    assert len(seen) <= LINES_MAX + HEAD_MAX + 1 + CAUSES_MAX * (CAUSE_HEAD + CAUSE_TAIL + 1)
    assert seen[-1:] == lines[-1:]


def test_a_long_line_is_cut() -> None:
    """A line of 8 KiB is not eight of memory."""
    assert [len(line) for line in kept(HEADER, "é" * 5_000)] == [len(HEADER), CHARS_MAX + 1]
