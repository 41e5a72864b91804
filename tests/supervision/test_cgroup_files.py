"""The kernel's files are read as they are, also when they are gone."""

from pathlib import Path

import pytest

from deskd.supervision.cgroup_files import (
    PERIOD_US,
    is_crowded_above,
    number,
    pids_file,
    quota_and_period_us,
    rmdir,
    table,
    write_if_there,
)


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


def test_an_older_kernel_tells_how_many_there_are_and_not_how_many_there_were(tmp_path: Path) -> None:
    """The most there were, where it is kept."""
    assert pids_file(tmp_path).name == "pids.current"
    (tmp_path / "pids.peak").touch()
    assert pids_file(tmp_path).name == "pids.peak"


def a_machine(folder: Path, *, processes: int, pid_max: int = 32_768) -> Path:
    (folder / "sys" / "kernel").mkdir(parents=True)
    (folder / "sys" / "kernel" / "pid_max").write_text(f"{pid_max}\n")
    (folder / "sys" / "kernel" / "threads-max").write_text("999999\n")
    (folder / "loadavg").write_text(f"0.20 0.18 0.12 1/{processes} 11206\n")
    return folder


def test_processes_can_be_wanting_further_up(tmp_path: Path) -> None:
    """In the unit's own group (TasksMax=), or on the whole machine; a group's own bound is not further up."""
    machine, group = a_machine(tmp_path / "quiet", processes=300), tmp_path / "desk.service" / "runs" / "alice"
    group.mkdir(parents=True)
    assert not is_crowded_above(group, machine)
    for folder, bound, there in ((group, "64", "64"), (group.parent, "max", "90"), (group.parents[1], "500", "100")):
        (folder / "pids.max").write_text(f"{bound}\n")
        (folder / "pids.current").write_text(f"{there}\n")
    assert not is_crowded_above(group, machine)
    (group.parents[1] / "pids.current").write_text("470\n")
    assert is_crowded_above(group, machine)
    assert is_crowded_above(tmp_path / "other", a_machine(tmp_path / "busy", processes=32_700))
    assert not is_crowded_above(tmp_path / "other", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(0.5, (5_000, 10_000)), (2.0, (20_000, 10_000)), (0.05, (1_000, 20_000)), (0.0001, (1_000, 1_000_000))],
)
def test_a_quota_is_never_less_than_the_kernel_takes(cores: float, expected: tuple[int, int]) -> None:
    """A small share of a core has longer periods: a quota is a millisecond at least, a period a second at most."""
    assert quota_and_period_us(cores, PERIOD_US) == expected
