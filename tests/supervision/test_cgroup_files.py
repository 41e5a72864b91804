"""The kernel's files are read as they are, also when they are gone."""

from pathlib import Path

from deskd.supervision.cgroup_files import number, rmdir, table, weight_of_all, write_if_there


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


def test_the_folder_of_all_runs_weighs_what_is_in_it(tmp_path: Path) -> None:
    """A greedy run uses up its own turn, and not that of the folder in which the polite ones sleep."""
    assert weight_of_all(tmp_path, 20) == 100
    for number in range(13):
        (tmp_path / f"run{number}").mkdir()
    (tmp_path / "cpu.weight").write_text("100")
    assert weight_of_all(tmp_path, 20) == 260
    assert weight_of_all(tmp_path, 1_000) == 10_000
