"""The page that a run shares: read within bounds whatever it writes, and sealed for good once its script begins."""

import fcntl
import os
from collections.abc import Iterator

import pytest

from deskd.supervision.page import LAST_LINE_MAX, PAGE_BYTES, Page, ask_for_steps, make_page, read_page


@pytest.fixture
def page() -> Iterator[int]:
    fd = make_page()
    yield fd
    os.close(fd)


def put(fd: int, at: int, data: bytes) -> None:
    os.pwrite(fd, data, at)


def test_an_untouched_page_says_nothing(page: int) -> None:
    """Before the runner writes, nothing is handled and nothing was reached."""
    assert read_page(page) == Page()


def test_what_the_runner_writes_is_read(page: int) -> None:
    """Lines handled and read, the last line and the one at work."""
    put(page, 0, (5).to_bytes(8, "little"))
    put(page, 16, (9).to_bytes(8, "little"))
    put(page, 24, b"\4\0last")
    put(page, 540, b"\4\0work")
    put(page, 1054, b"\3\0\4\0many")
    assert read_page(page) == Page(
        handled=5, read=9, last_line="last", at_work_on="work", together=3, last_together="many"
    )
    assert read_page(page).waiting == 3


def test_any_bytes_are_read_within_bounds(page: int) -> None:
    """A hostile page costs the desk a bounded text and a bounded number."""
    put(page, 0, b"\xff" * PAGE_BYTES)
    seen = read_page(page)
    assert seen.handled == seen.read == 2**53
    assert len(seen.last_line) == len(seen.at_work_on) == len(seen.last_together) == LAST_LINE_MAX
    assert seen.waiting == 0
    assert not seen.is_reached


def test_that_the_script_was_reached_cannot_be_taken_back(page: int) -> None:
    """The seal is the kernel's: wiping the page does not undo it."""
    fcntl.fcntl(page, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
    put(page, 0, bytes(PAGE_BYTES))
    assert read_page(page).is_reached


def test_the_page_cannot_be_resized(page: int) -> None:
    """Reading beyond a shrunk page would kill the desk."""
    for size in (0, 2 * PAGE_BYTES):
        with pytest.raises(PermissionError):
            os.ftruncate(page, size)


def test_the_wish_for_steps_stands_where_the_runner_looks(page: int) -> None:
    """And nothing else of the page is touched: a run is read as before."""
    ask_for_steps(page, 300)
    assert os.pread(page, 2, 4_092) == (300).to_bytes(2, "little")
    assert read_page(page) == Page()
