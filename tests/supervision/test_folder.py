"""A strategy's folder is read whole, within bounds, and nothing beyond it."""

import os
from pathlib import Path, PurePosixPath

import pytest

from deskd.supervision.folder import FolderError, read_folder


def test_the_hash_covers_names_and_contents(tmp_path: Path) -> None:
    """Any change of any file is another version; caches are none."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "strategy.py").write_text("a")
    (tmp_path / "sub" / "x.txt").write_text("b")
    files, first = read_folder(tmp_path)
    assert files == {PurePosixPath("strategy.py"): b"a", PurePosixPath("sub/x.txt"): b"b"}
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "c.pyc").write_text("c")
    assert read_folder(tmp_path)[1] == first
    (tmp_path / "sub" / "x.txt").rename(tmp_path / "sub" / "y.txt")
    assert read_folder(tmp_path)[1] != first


def test_a_link_inside_is_a_copy(tmp_path: Path) -> None:
    """A link to a file of the folder is read as that file."""
    (tmp_path / "a.py").write_text("a")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.py").symlink_to("../a.py")
    assert read_folder(tmp_path)[0][PurePosixPath("sub/b.py")] == b"a"


@pytest.mark.parametrize("target", ["/etc/shadow", "../secret", "..", "gone", "sub"])
def test_a_link_that_leaves_is_refused(tmp_path: Path, target: str) -> None:
    """The desk, who may read everything, does not read it for a member."""
    (tmp_path / "secret").write_text("s")
    folder = tmp_path / "alice"
    (folder / "sub").mkdir(parents=True)
    (folder / "leak").symlink_to(target)
    with pytest.raises(FolderError, match="leak: is a link that does not lead to a file of this folder"):
        read_folder(folder)


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    """The strategy's folder itself must lie where it is found."""
    (tmp_path / "real").mkdir()
    (tmp_path / "alice").symlink_to("real")
    with pytest.raises(FolderError, match="is a link"):
        read_folder(tmp_path / "alice")


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    """Reading a fifo would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FolderError, match="pipe: is no plain file"):
        read_folder(tmp_path)


def test_too_much_is_refused(tmp_path: Path) -> None:
    """Bytes and files are bounded before they fill memory."""
    with (tmp_path / "big").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    with pytest.raises(FolderError, match="big: with it the folder is over 64 MB"):
        read_folder(tmp_path)
    (tmp_path / "big").unlink()
    for number in range(2_001):
        (tmp_path / f"{number}").touch()
    with pytest.raises(FolderError, match="more than 2000 files"):
        read_folder(tmp_path)
