"""The kernel's files are read as they are, also when they are gone."""

from pathlib import Path

from deskd.supervision.cgroup_files import number, rmdir, table, write_if_there


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
