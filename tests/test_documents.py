"""What people read leads where it says, and what they copy from it works."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from deskd.supervision.source_reader import read

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "members-guide.md"
ROOMS = ("docs", "deskd", "sandbox", "strategies", "tests", "tools")
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s]+)\)")
_TITLE = re.compile(r"^#+ (.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^([ ]*)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def documents() -> list[Path]:
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*.md")]
    return sorted([*ROOT.glob("*.md"), *found])


def anchors(document: Path) -> set[str]:
    """Return what a link can point at: titles as the forges spell them."""
    return {
        re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        for title in _TITLE.findall(document.read_text())
    }


def dead_links(document: Path) -> Iterator[str]:
    for target in _LINK.findall(document.read_text()):
        path, _, anchor = target.partition("#")
        meant = document.parent / path if path else document
        if not meant.exists() or (anchor and anchor not in anchors(meant)):
            yield target


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path) -> None:
    """A file that moved, or a title that was changed, is found here and not by a new member."""
    assert list(dead_links(document)) == []


def test_the_guides_programs_are_python() -> None:
    """Members copy them as they stand."""
    blocks = [dedent(code) for _, code in _BLOCK.findall(GUIDE.read_text())]
    assert len(blocks) >= 5
    for block in blocks:
        ast.parse(block)


def test_the_guides_first_program_is_an_example_to_follow() -> None:
    """It reads standard input, orders once, and prints what came of it: nothing that `deskctl check` remarks upon."""
    indent, code = _BLOCK.findall(GUIDE.read_text())[0]
    assert indent, "it stands under its step"
    found: Any = read(dedent(code).encode())
    assert found["reads"]
    # `price_may_lack` is for channels that the default has not.
    assert [what for _, _, what in found["findings"] if what != "price_may_lack"] == []
