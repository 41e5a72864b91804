"""A strategy's log, its last lines and what comes after."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deskd.control.logs import follow, tail
from tests.hang import HANG_S


@pytest.mark.parametrize(
    ("lines", "text"),
    [(0, ""), (1, "f\n"), (3, "d\ne\nf\n"), (5, "b\nc\nd\ne\nf\n"), (100, "a\nb\nc\nd\ne\nf\n")],
)
def test_the_last_lines_reach_back_into_older_files(tmp_path: Path, lines: int, text: str) -> None:
    """A rotation hides nothing that is kept."""
    log = tmp_path / "alice.log"
    log.write_text("e\nf\n")
    log.with_name("alice.log.1").write_text("c\nd\n")
    log.with_name("alice.log.2").write_text("a\nb\n")
    assert tail(log, lines) == (text, 4)


def test_what_is_no_text_is_shown_escaped(tmp_path: Path) -> None:
    """A carriage return hides no line, bytes that are no text are seen, and an unfinished line is there."""
    log = tmp_path / "alice.log"
    log.write_bytes(b"good\rbad\x1b[2J\n\xff\xfe\nunfinished")
    assert tail(log, 10)[0] == "good\\rbad\\x1b[2J\n\\xff\\xfe\nunfinished"


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """A strategy that never printed has an empty log."""
    assert tail(tmp_path / "none.log", 10) == ("", 0)


async def until(lines: AsyncIterator[str], end: str) -> str:
    text = ""
    async with asyncio.timeout(HANG_S):
        async for chunk in lines:
            text += chunk
            if text.endswith(end):
                return text
    raise AssertionError(text)


async def test_following_begins_where_the_last_lines_ended(tmp_path: Path) -> None:
    """Nothing is shown twice and nothing is left out, through two rotations and before the first line."""
    log = tmp_path / "alice.log"
    lines = follow(log, 0)
    waiting = asyncio.create_task(until(lines, "one\n"))  # noqa: TID251  one reader, awaited below
    await asyncio.sleep(0)
    log.write_text("one\n")
    assert await waiting == "one\n"
    for number, age in ((2, 1), (3, 2)):
        with log.open("a") as file:
            file.write(f"{number}a\n")
        log.rename(log.with_name(f"alice.log.{age}"))
        log.write_text(f"{number}b\n")
        assert await until(lines, f"{number}b\n") == f"{number}a\n{number}b\n"


async def test_a_character_cut_in_two_is_put_together(tmp_path: Path) -> None:
    """What a strategy prints in two writes is still its text."""
    log = tmp_path / "alice.log"
    log.write_bytes("€".encode()[:1])
    lines = follow(log, 0)
    assert await anext(lines) == ""
    with log.open("ab") as file:
        file.write("€".encode()[1:] + b"\n")
    assert await until(lines, "\n") == "€\n"
