"""The kernel's files are read as they are, also when they are gone."""

from pathlib import Path

import pytest

from deskd.supervision.cgroup_files import PERIOD_US, number, quota_and_period_us, rmdir, table, write_if_there


def test_a_file_that_is_gone_is_no_figure(tmp_path: Path) -> None:
    """A group can vanish between two looks."""
    gone = tmp_path / "gone" / "file"
    assert number(gone) is None
    assert table(gone) == {}
    write_if_there(gone, "1")
    assert rmdir(gone.parent)


def test_figures_are_read(tmp_path: Path) -> None:
    """`max` is no figure; other words in a table are passed over."""
    (tmp_path / "a").write_text("12\n")
    (tmp_path / "b").write_text("max\n")
    (tmp_path / "c").write_text("one 1\ntwo max\nthree 3 4\n")
    assert (number(tmp_path / "a"), number(tmp_path / "b")) == (12, None)
    assert table(tmp_path / "c") == {"one": 1}
    assert not rmdir(tmp_path)


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(0.5, (5_000, 10_000)), (2.0, (20_000, 10_000)), (0.05, (1_000, 20_000)), (0.0001, (1_000, 1_000_000))],
)
def test_a_quota_is_never_less_than_the_kernel_takes(cores: float, expected: tuple[int, int]) -> None:
    """A small share of a core has longer periods: a quota is a millisecond at least, a period a second at most."""
    assert quota_and_period_us(cores, PERIOD_US) == expected
