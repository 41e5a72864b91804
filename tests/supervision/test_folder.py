"""A strategy's folder is read whole, within bounds, and nothing beyond it."""

import os
import threading
import time
from collections.abc import Callable
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


def test_a_link_costs_what_it_leads_to(tmp_path: Path) -> None:
    """A hundred links to one file are a hundred files where they are copied: their bytes count."""
    (tmp_path / "model").write_bytes(bytes(1 << 20))
    for number in range(100):
        (tmp_path / f"l{number}").symlink_to("model")
    with pytest.raises(FolderError, match="with it the folder is over 64 MB"):
        read_folder(tmp_path)


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    """Neither a deep tree nor a wide one of empty folders holds the desk, or its descriptors, up."""
    deep = tmp_path
    for _ in range(200):
        deep /= "d"
    deep.mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(FolderError, match="is more than 16 folders deep: move it up"):
        read_folder(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    wide = tmp_path / "wide"
    for number in range(2_100):
        (wide / f"{number}").mkdir(parents=True)
    with pytest.raises(FolderError, match="more than 2000 files and folders"):
        read_folder(wide)


def test_a_million_names_are_not_listed(tmp_path: Path) -> None:
    """The list ends at the bound: what is beyond costs nothing."""
    for number in range(50_000):
        (tmp_path / f"{number}").touch()
    began = time.process_time()
    with pytest.raises(FolderError, match="more than 2000 files and folders"):
        read_folder(tmp_path)
    assert time.process_time() - began < 0.5


def test_names_are_shown_so_that_they_steer_nothing(tmp_path: Path) -> None:
    """A name that is no text, or obeyed by a terminal, is told escaped and cut."""
    os.mkfifo(os.fsencode(tmp_path) + b"/\x1b[31m\xff\n" + b"x" * 200)
    with pytest.raises(FolderError) as told:
        read_folder(tmp_path)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 200


def test_a_name_too_long_is_refused(tmp_path: Path) -> None:
    """A path is kept whole in many places: it is bounded."""
    long = tmp_path / ("a" * 250) / ("b" * 250) / ("c" * 250)
    long.mkdir(parents=True)
    with pytest.raises(FolderError, match="is a path over 512 bytes: use shorter names"):
        read_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of another uid")
def test_a_hard_link_to_anothers_file_is_refused(tmp_path: Path) -> None:
    """What a member could not read is not read for them because they gave it a second name."""
    folder = tmp_path / "alice"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    os.link(folder / "mine", folder / "also_mine")
    for path in (folder, folder / "mine"):
        os.chown(path, 65_534, 65_534)
    assert len(read_folder(folder)[0]) == 2
    (tmp_path / "secret").write_text("the broker's keys")
    os.link(tmp_path / "secret", folder / "leak")
    with pytest.raises(FolderError, match="leak: is a hard link to another user's file: copy the file"):
        read_folder(folder)


def test_a_device_is_refused_unopened(tmp_path: Path) -> None:
    """To open a device can be to use it."""
    try:
        os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no devices can be made here")
    with pytest.raises(FolderError, match="null: is no plain file"):
        read_folder(tmp_path)


SWAPS: dict[str, Callable[[Path, Path], None]] = {
    "file_for_link": lambda new, secret: new.symlink_to(secret / "data"),
    "folder_for_link": lambda new, secret: new.symlink_to(secret),
    "file_for_pipe": lambda new, _: os.mkfifo(new),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
def test_what_is_swapped_while_it_is_read_leads_nowhere(tmp_path: Path, swap: Callable[[Path, Path], None]) -> None:
    """File, folder, link and pipe take each other's place all the time: it is read as it was, or refused, at once."""
    secret, folder = tmp_path / "secret", tmp_path / "alice"
    secret.mkdir()
    folder.mkdir()
    (secret / "data").write_text("the broker's keys")
    over = threading.Event()

    def swapping() -> None:
        number = 0
        while not over.is_set():
            number += 1
            new = tmp_path / f"new{number}"
            if number % 2:
                swap(new, secret)
            elif number % 4:
                new.write_text("mine")
            else:
                new.mkdir()
                (new / "data").write_text("mine")
            if (folder / "it").exists(follow_symlinks=False):
                (folder / "it").rename(tmp_path / f"old{number}")
            new.rename(folder / "it")

    swapper = threading.Thread(target=swapping)
    swapper.start()
    outcomes, rounds, until = set[str](), 0, time.monotonic() + 20
    try:
        while rounds < 300 or (len(outcomes) < 2 and time.monotonic() < until):
            rounds += 1
            try:
                files, _ = read_folder(folder)
                assert set(files.values()) <= {b"mine"}
                outcomes.add("read")
            except FolderError as refusal:
                outcomes.add(str(refusal).partition(":")[2])
    finally:
        over.set()
        swapper.join()
    assert len(outcomes) > 1
