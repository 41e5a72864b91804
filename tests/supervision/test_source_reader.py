"""What is read from a source: its imports, and mistakes that students make; never what is right."""

import json
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest

from deskd.supervision import source_reader
from deskd.supervision.source_reader import TOLD_MAX, read


def told(source: str) -> Any:
    return read(dedent(source).encode())


def mistakes(source: str) -> list[str]:
    return [what for _, _, what in told(source)["findings"]]


def test_imports_are_told_with_their_place_and_whether_they_may_be_absent() -> None:
    """Everywhere in the file; what is caught, and what only type checkers see, may be absent."""
    found = told("""
        import os, numpy as np
        from a.b import c
        from . import sibling
        def f():
            import late
        try:
            import ujson
        except (ImportError, ValueError):
            import json
        if TYPE_CHECKING:
            import typed
        try:
            import needed
        finally:
            pass
    """)["imports"]
    assert [(name, line, may) for name, line, _, may in found] == [
        ("os", 2, False),
        ("numpy", 2, False),
        ("a.b", 3, False),
        ("late", 6, False),
        ("ujson", 8, True),
        ("json", 10, False),
        ("typed", 12, True),
        ("needed", 14, False),
    ]


@pytest.mark.parametrize(
    ("mistake", "source"),
    [
        ("answer_unread", "place_order('SPY', 1, 'buy')"),
        ("answer_unread", "import desk_client as d\nd.place_order('SPY', 1, 'buy')"),
        ("waits_for_the_end", "import sys\nfor line in sys.stdin.readlines(): pass"),
        ("waits_for_the_end", "import sys\ntext = sys.stdin.read()"),
        ("waits_for_the_end", "from sys import stdin\nlines = list(stdin)"),
        ("waits_for_the_end", "import json, sys\nm = json.load(sys.stdin)"),
        ("writes_in_its_folder", "open('out.csv', 'w')"),
        ("writes_in_its_folder", "open('data/out.csv', mode='a')"),
        ("never_ends", "import sys\nwhile True:\n    line = sys.stdin.readline()\n    use(line)"),
        ("sleeps", "import sys, time\nfor line in sys.stdin:\n    if x:\n        time.sleep(5)"),
        ("sleeps", "class S(Strategy):\n    def on_bar(self, bar):\n        time.sleep(60)"),
        ("prints_each_line loop", "import sys\nfor line in sys.stdin:\n    print(line)"),
        ("prints_each_line on_quote", "class S(Strategy):\n    def on_quote(self, quote):\n        print(quote)"),
        ("price_may_lack", "import json, sys\nfor line in sys.stdin:\n    p = json.loads(line)['price']"),
    ],
)
def test_a_mistake_is_found(mistake: str, source: str) -> None:
    """Each of them alone."""
    assert mistakes(source) == [mistake]


@pytest.mark.parametrize(
    "source",
    [
        "answer = place_order('SPY', 1, 'buy')\nprint(place_order('SPY', 1, 'buy').status)",
        "import sys\nwhile True:\n    line = sys.stdin.readline()\n    if not line:\n        break",
        "import sys\nwhile line := sys.stdin.readline():\n    pass",
        "import sys\nfor line in sys.stdin:\n    if line:\n        print(line)",
        "import sys\nfor line in sys.stdin:\n    if line == before:\n        continue\n    print(line)",
        "def on_quote(quote):\n    if quote:\n        return\n    print(quote)",
        "import sys, time\nfor line in sys.stdin:\n    time.sleep(0.01)",
        "import time\ntime.sleep(5)",
        "open('/state/out.csv', 'w')\nopen('data.csv')\nopen(name, 'w')",
        "import sys\nfor line in sys.stdin:\n    if 'price' in m:\n        p = m['price']",
        "import sys\nfor line in sys.stdin:\n    if m.get('type') == 'trade':\n        p = m['price']",
        "class S(Strategy):\n    def on_bar(self, bar):\n        self.x = bar['price']",
    ],
)
def test_what_is_right_is_no_mistake(source: str) -> None:
    """A remark that is wrong is worse than none."""
    assert mistakes(source) == []


@pytest.mark.parametrize(
    ("reads", "source"),
    [
        (False, "print(1)"),
        (True, "from sys import stdin"),
        (True, "import sys\nsys.stdin"),
        (True, "input()"),
        (True, "Mine().run()"),
        (True, "import fileinput\nfor line in fileinput.input(): pass"),
    ],
)
def test_whether_it_reads_the_market_is_told(reads: bool, source: str) -> None:
    """By whatever way there is."""
    assert told(source)["reads"] is reads


def test_what_does_not_compile_says_where() -> None:
    """Line and column."""
    assert told("x = 1\ndef f(:\n    pass") == {"syntax": [2, 7]}


def test_what_is_told_is_bounded() -> None:
    """However much there is."""
    found = told("import a\nplace_order()\n" * (TOLD_MAX + 1))
    assert (len(found["imports"]), len(found["findings"])) == (TOLD_MAX, TOLD_MAX)


def test_it_runs_without_any_package_and_executes_nothing() -> None:
    """The strategies' interpreter has none of ours."""
    command = [sys.executable, "-I", "-S", source_reader.__file__]
    ran = subprocess.run(command, input=b"raise SystemExit('executed')", capture_output=True, check=True)
    assert json.loads(ran.stdout)["reads"] is False
