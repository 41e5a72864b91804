"""What jails are mounted on is the desk's own, whoever was there first, and the same two folders for all runs."""

import os
from pathlib import Path

import pytest

from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.scratch import PURPOSES, prepare_scratch

STRANGER = 65_534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be in the desk's way, and take things over")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Make a /tmp: everybody's, and each may remove only what is theirs."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def names() -> list[str]:
    return [f"nsjail.{os.geteuid()}.{purpose}" for purpose in PURPOSES]


def are_the_desks(folder: Path) -> bool:
    found = [(folder / name).lstat() for name in names()]
    return all((one.st_uid, one.st_mode) == (os.geteuid(), 0o040755) for one in found)


def test_both_are_there_before_nsjail_looks(temporary: Path, tmp_path: Path) -> None:
    """Open to every strategy's uid, also where the desk's umask closes what it makes."""
    before = os.umask(0o027)
    try:
        prepare_scratch(temporary, tmp_path / "none")
    finally:
        os.umask(before)
    assert are_the_desks(temporary)


def test_a_second_call_changes_nothing(temporary: Path, tmp_path: Path) -> None:
    """Runs start on them while others start."""
    prepare_scratch(temporary, tmp_path / "none")
    before = [(temporary / name).stat().st_ctime_ns for name in names()]
    prepare_scratch(temporary, tmp_path / "none")
    assert [(temporary / name).stat().st_ctime_ns for name in names()] == before
    assert sorted(path.name for path in temporary.iterdir()) == sorted(names())


def test_a_link_in_their_place_is_removed_and_not_followed(temporary: Path, tmp_path: Path) -> None:
    """Where it led to is as it was."""
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o700)
    (temporary / names()[0]).symlink_to(target)
    (temporary / names()[1]).write_text("a file")
    prepare_scratch(temporary, tmp_path / "none")
    assert are_the_desks(temporary)
    assert target.stat().st_mode & 0o777 == 0o700


@only_root
def test_what_a_stranger_or_an_earlier_desk_left_is_taken_over(temporary: Path, tmp_path: Path) -> None:
    """Who owned it can neither close it nor put another into its place."""
    for name, mode in zip(names(), (0o700, 0o777), strict=True):
        (temporary / name).mkdir()
        os.chown(temporary / name, STRANGER, STRANGER)
        (temporary / name).chmod(mode)
    inode = (temporary / names()[0]).stat().st_ino
    prepare_scratch(temporary, tmp_path / "none")
    assert are_the_desks(temporary)
    assert (temporary / names()[0]).stat().st_ino == inode  # a jail that is being made on it goes on


@only_root
def test_what_nsjail_would_take_first_is_taken_over_as_well(temporary: Path, tmp_path: Path) -> None:
    """/run/user comes before /tmp; what is not there, nobody but root can make there."""
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    (sessions / names()[0]).mkdir()
    os.chown(sessions / names()[0], STRANGER, STRANGER)
    prepare_scratch(temporary, sessions)
    assert (sessions / names()[0]).stat().st_uid == 0
    assert [path.name for path in sessions.iterdir()] == [names()[0]]


def test_where_they_cannot_be_made_the_desk_says_what_to_do(tmp_path: Path) -> None:
    """No jail is started on a folder that is not ours."""
    with pytest.raises(SandboxUnavailable, match=r"nsjail\.\d+\.root: .*not the desk's own.*PrivateTmp=yes"):
        prepare_scratch(tmp_path / "no-such-folder", tmp_path / "none")
