"""What a script printed on its way down, as a member reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.supervision.crash import LINE_MAX, TRACEBACK_MAX, Crash, read_crash

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
                "Fatal Python error: Aborted",
                '  File "/strategy/strategy.py", line 2 in <module>',
                "Fatal Python error: Segmentation fault",
                '  File "/strategy/strategy.py", line 2 in <module>',
            ],
            "",
            "strategy.py:2",
            "Fatal Python error: Aborted",
        ),
        (
            [
                "  + Exception Group Traceback (most recent call last):",
                '  |   File "/strategy/strategy.py", line 4, in <module>',
                "  |     asyncio.run(main())",
                "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
                "  +------------------------------------",
            ],
            "ExceptionGroup",
            "strategy.py:4: asyncio.run(main())",
            "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
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


GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "/strategy/strategy.py", line 10, in <module>
  |     asyncio.run(main())
  |     ~~~~~~~~~~~^^^^^^^^
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Exception Group Traceback (most recent call last):
    |   File "/strategy/strategy.py", line 7, in inner
    |     async with asyncio.TaskGroup() as tg:
    | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)
    +-+---------------- 1 ----------------
      | Traceback (most recent call last):
      |   File "/strategy/helper.py", line 4, in boom
      |     1 / 0
      |     ~~^~~
      | ZeroDivisionError: division by zero
      |
      | The above exception was the direct cause of the following exception:
      |
      | Traceback (most recent call last):
      |   File "/strategy/helper.py", line 5, in boom
      |     raise ValueError("bad") from error
      | ValueError: bad
      +---------------- 2 ----------------
      | Traceback (most recent call last):
      |   File "/strategy/helper.py", line 9, in other
      | KeyError: 'x'
      +------------------------------------""".splitlines()


def test_of_a_group_the_innermost_first_error_counts() -> None:
    """What asyncio's TaskGroup raises says nothing by itself: the error in it does, with its own line and cause."""
    crash = read_crash(["before", *GROUP])
    assert (crash.kind, crash.last_words) == ("ValueError", "ValueError: bad")
    assert crash.source_line == 'helper.py:5 in boom: raise ValueError("bad") from error'
    assert crash.group == "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)"
    assert crash.cause is not None
    assert crash.cause.last_words == "ZeroDivisionError: division by zero"
    assert crash.cause.source_line == "helper.py:4 in boom: 1 / 0"
    assert crash.traceback == "\n".join(GROUP)


def test_an_error_that_was_never_raised_has_its_groups_line() -> None:
    """A group that was made by hand: no traceback of its own in it."""
    lines = [*GROUP[:5], GROUP[5], "    | ValueError: never raised", "    +------------------------------------"]
    crash = read_crash(lines)
    assert (crash.kind, crash.last_words) == ("ValueError", "ValueError: never raised")
    assert crash.source_line == "strategy.py:10: asyncio.run(main())"


LINK = ["", "The above exception was the direct cause of the following exception:", ""]
WHILE = ["", "During handling of the above exception, another exception occurred:", ""]
LATER = ["Traceback (most recent call last):", '  File "/strategy/strategy.py", line 9, in f', "    g()", "OSError: no"]


def test_of_errors_that_came_one_of_the_other_the_first_is_told_too() -> None:
    """The member sees the last; what is to be mended is often the first."""
    lines = [*PLAIN[1:], *LINK, *LATER, *WHILE, *GROUP]
    crash = read_crash(["Traceback (most recent call last):", "KeyError: 'told before'", "", *lines])
    assert crash.kind == "ValueError"
    assert crash.cause is not None
    assert crash.cause.last_words == "ZeroDivisionError: division by zero"
    assert crash.cause.source_line == "helper.py:3 in on_trade: return prices[symbol] / 0"
    assert crash.traceback == "\n".join(lines)


def test_of_a_long_chain_each_end_is_kept() -> None:
    """Where it is too long for the ledger, the last error has the most room, and the first keeps its words."""
    frames = [f"  frame {n}" + "x" * 900 for n in range(90)]
    crash = read_crash([*LATER[:3], *frames, "KeyError: 'first'", *LINK, *LATER[:3], *frames, "OSError: last"])
    assert len(crash.traceback) <= TRACEBACK_MAX
    assert "KeyError: 'first'" in crash.traceback
    assert crash.traceback.endswith("OSError: last")
    assert crash.traceback.count("Traceback (most recent call last):") == 2


def test_a_long_traceback_keeps_its_beginning_and_its_end() -> None:
    """The frame that began it and the error that ended it are what a member looks for."""
    crash = read_crash([PLAIN[1], *(f"  frame {n}" + "x" * 900 for n in range(90)), "OSError: the end"])
    assert len(crash.traceback) <= TRACEBACK_MAX
    assert crash.traceback.startswith("Traceback")
    assert crash.traceback.endswith("OSError: the end")


_LINE = st.sampled_from(
    [*PLAIN, *GROUP, *LINK, *WHILE, "Fatal Python error: x", "SyntaxError: y", "\0\x1b[2J"]
) | st.text(max_size=400)


@given(st.lists(_LINE, max_size=30))
def test_any_text_gives_bounded_words(lines: list[str]) -> None:
    """A hostile error stream makes no reader fall over."""
    crash: Crash | None = read_crash(lines)
    assert crash is not None
    assert len(crash.traceback) <= TRACEBACK_MAX
    while crash is not None:
        assert max(len(crash.source_line), len(crash.last_words), len(crash.group)) <= LINE_MAX + 1
        crash = crash.cause
