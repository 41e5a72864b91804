"""Hostile source is judged by another process, and harms neither the desk nor its neighbours' verdicts."""

import sys
from pathlib import Path

from deskd.supervision.syntax import SyntaxCheck, check_sources

PYTHON = Path(sys.executable)


def test_each_source_gets_its_own_verdict() -> None:
    """What does not compile says where; the rest is fine, and nothing is executed."""
    sources = [
        b"raise SystemExit('executed')",
        b"def f(:\n  pass",
        b"return 1",
        b"x = '\0'",
        b"x" * 2_000_000,
        b"(" * 100_000,
        b"print(1)",
    ]
    first, colon, outside, zero, long, deep, last = check_sources(sources, PYTHON)
    assert first is None
    assert last is None
    assert colon is not None
    assert colon.startswith("line 1: ")
    assert outside == "line 1: 'return' outside function: correct it there"
    assert zero is not None
    assert "null bytes" in zero
    assert long == "is over 1024 KB: keep data in other files"
    assert deep is not None


def test_a_source_that_kills_the_compiler_condemns_only_itself() -> None:
    """The checker that died is started again for the others."""
    bomb = b"x = " + b"-" * 900_000 + b"1"
    verdicts = check_sources([b"a = 1", bomb, b"b = 2"], PYTHON)
    assert (verdicts[0], verdicts[2]) == (None, None)
    assert verdicts[1] is not None


def test_a_source_is_judged_once() -> None:
    """A restart does not wait for a verdict that is known."""
    check = SyntaxCheck(PYTHON)
    assert check([b"a", b"a", b"b"]) == [None, None, None]
    gone = SyntaxCheck(Path("/nonexistent"), check._known)
    assert gone([b"b", b"a"]) == [None, None]


def test_where_nobody_can_look_nobody_is_blamed(tmp_path: Path) -> None:
    """No descriptor, no memory, no interpreter: that is not the strategy's fault, and a later look finds what is wrong."""
    check = SyntaxCheck(tmp_path / "no-python")
    assert check([b"def f(:"]) == [None]
    (tmp_path / "no-python").symlink_to(sys.executable)
    [problem] = check([b"def f(:"])
    assert problem is not None
    assert problem.startswith("line 1: ")
