"""What a script printed on its way down, as a member reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.supervision.crash import LINE_MAX, TRACEBACK_MAX, read_crash

PLAIN = """\
something before
Traceback (most recent call last):
  File "/strategy/strategy.py", line 7, in <module>
    main()
    ~~~~^^
  File "/strategy/helper.py", line 3, in on_trade
    return prices[symbol] / 0
           ~~~~~~~~~~~~~~~^~~
  File "/venv/lib/python3.13/site-packages/numpy/core.py", line 99, in divide
    raise
ZeroDivisionError: division by zero""".splitlines()


def test_the_members_own_innermost_line_is_found() -> None:
    """Not the package's line that raised, but the member's that called it."""
    crash = read_crash(PLAIN)
    assert crash.source_line == "helper.py:3 in on_trade: return prices[symbol] / 0"
    assert (crash.kind, crash.last_words) == ("ZeroDivisionError", "ZeroDivisionError: division by zero")
    assert crash.traceback == "\n".join(PLAIN[1:])


def test_of_several_tracebacks_the_last_counts() -> None:
    """An error that was caught and printed before is not why the run ended."""
    again = [*PLAIN, "", "During handling of the above exception, another exception occurred:", ""]
    again += [
        "Traceback (most recent call last):",
        '  File "/strategy/strategy.py", line 9, in f',
        "    g()",
        "OSError: no",
    ]
    crash = read_crash(again)
    assert crash.source_line == "strategy.py:9 in f: g()"
    assert crash.kind == "OSError"


@pytest.mark.parametrize(
    ("lines", "kind", "source_line", "words"),
    [
        ([], "", "", ""),
        (["no money left", "  "], "", "", "no money left"),
        (
            ['  File "/strategy/strategy.py", line 3', "    def", "       ^", "SyntaxError: invalid syntax"],
            "SyntaxError",
            "strategy.py:3: def",
            "SyntaxError: invalid syntax",
        ),
        (["SyntaxError: in words alone"], "", "", "SyntaxError: in words alone"),
        (
            [
                "Fatal Python error: Segmentation fault",
                "",
                "Current thread 0x01 (most recent call first):",
                '  File "/strategy/helper.py", line 8 in inner',
                '  File "/strategy/strategy.py", line 2 in <module>',
            ],
            "",
            "helper.py:8 in inner",
            "Fatal Python error: Segmentation fault",
        ),
        (
            [
                "  + Exception Group Traceback (most recent call last):",
                '  |   File "/strategy/strategy.py", line 4, in <module>',
                "  |     asyncio.run(main())",
                "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
                "  +------------------------------------",
            ],
            "",
            "strategy.py:4: asyncio.run(main())",
            "+------------------------------------",
        ),
        (
            ["Traceback (most recent call last):", '  File "<string>", line 1, in <module>', "KeyboardInterrupt"],
            "KeyboardInterrupt",
            "",
            "KeyboardInterrupt",
        ),
        (
            ["Traceback (most recent call last):", "a.b.DeskUnavailable: x", "note"],
            "DeskUnavailable",
            "",
            "a.b.DeskUnavailable: x",
        ),
        (
            ["Traceback (most recent call last):", '  File "/strategy/strategy.py", line 4, in f'],
            "",
            "strategy.py:4 in f",
            'File "/strategy/strategy.py", line 4, in f',
        ),
    ],
)
def test_every_way_to_go_down_is_read(lines: list[str], kind: str, source_line: str, words: str) -> None:
    """Tracebacks, syntax errors, crashes in compiled code, and plain words."""
    crash = read_crash(lines)
    assert (crash.kind, crash.source_line, crash.last_words) == (kind, source_line, words)


def test_a_long_traceback_keeps_its_beginning_and_its_end() -> None:
    """The frame that began it and the error that ended it are what a member looks for."""
    crash = read_crash([PLAIN[1], *(f"  frame {n}" + "x" * 900 for n in range(90)), "OSError: the end"])
    assert len(crash.traceback) <= TRACEBACK_MAX
    assert crash.traceback.startswith("Traceback")
    assert crash.traceback.endswith("OSError: the end")


_LINE = st.sampled_from([*PLAIN, "Fatal Python error: x", "SyntaxError: y", "\0\x1b[2J"]) | st.text(max_size=400)


@given(st.lists(_LINE, max_size=30))
def test_any_text_gives_bounded_words(lines: list[str]) -> None:
    """A hostile error stream makes no reader fall over."""
    crash = read_crash(lines)
    assert len(crash.traceback) <= TRACEBACK_MAX
    assert max(len(crash.source_line), len(crash.last_words)) <= LINE_MAX + 1
