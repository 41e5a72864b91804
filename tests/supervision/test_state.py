"""What a strategy keeps is written whole or not at all, and nothing it does to its tree leads out of it."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.supervision.state import Bounds, Saved, Signature, StateError, Use, kept, save, take_over
from deskd.supervision.uids import Identity
from tests.kept import given_back
from tests.small_disk import small_disk

__all__ = ["small_disk"]

ROOMY = Bounds(bytes_max=64 << 20, files_max=4_096)
SELF = Identity(os.geteuid(), os.getegid(), True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder that stands for /state."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """Return a folder on a tmpfs: there holes are holes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def saved(tree: Path, file: Path, bounds: Bounds = ROOMY, last: Signature | None = None) -> Saved:
    folder = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return save(folder, file, SELF, bounds, last)
    finally:
        os.close(folder)


def test_what_was_kept_comes_back_as_it_was(tree: Path, tmp_path: Path) -> None:
    """Contents, names that are no text, modes, times, links of both kinds, folders that are shut and empty ones."""
    strange = os.fsencode(tree) + b"/\xff \n\x1b[31m"
    Path(os.fsdecode(strange)).write_bytes(b"strange")
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "data").write_bytes(os.urandom(300_000))
    (tree / "deep" / "er" / "data").chmod(0o640)
    os.utime(tree / "deep" / "er" / "data", ns=(1, 1_700_000_000_123_456_789))
    os.link(tree / "deep" / "er" / "data", tree / "also")
    (tree / "to_nowhere").symlink_to("/etc/shadow")
    (tree / "long").symlink_to("x" * 200)
    (tree / "empty").mkdir(mode=0o700)
    (tree / "nothing").touch()
    (tree / "deep" / "er").chmod(0o500)
    done = saved(tree, tmp_path / "a.kept")
    assert (done.is_new, done.is_one_moment, done.left_out) == (True, True, ())
    back = given_back(tmp_path / "a.kept", tmp_path / "back")
    assert Path(os.fsdecode(os.fsencode(back) + b"/\xff \n\x1b[31m")).read_bytes() == b"strange"
    data = back / "deep" / "er" / "data"
    assert data.read_bytes() == (tree / "also").read_bytes()
    assert (data.stat().st_mode & 0o777, data.stat().st_mtime_ns) == (0o640, 1_700_000_000_123_456_789)
    assert (back / "also").stat().st_ino == data.stat().st_ino
    assert (back / "to_nowhere").readlink() == Path("/etc/shadow")
    assert (back / "long").readlink() == Path("x" * 200)
    assert (back / "deep" / "er").stat().st_mode & 0o777 == 0o500
    assert (back / "empty").is_dir()
    assert not (back / "nothing").read_bytes()
    assert kept(tmp_path / "a.kept") == done.use
    assert done.use.files == len([*tree.rglob("*")])


def test_a_link_never_leads_the_desk_out(tree: Path, tmp_path: Path) -> None:
    """What a link points to is not read: it is kept as a link, and its target does not get into the file."""
    (tmp_path / "secret").write_bytes(b"the broker's keys")
    (tree / "file").symlink_to(tmp_path / "secret")
    (tree / "folder").symlink_to(tmp_path)
    saved(tree, tmp_path / "a.kept")
    assert b"the broker's keys" not in (tmp_path / "a.kept").read_bytes()


def test_a_file_swapped_for_a_link_while_it_is_read_leads_nowhere(tree: Path, tmp_path: Path) -> None:
    """A strategy that swaps files and folders for links all the time gets no other file's content kept."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "data").write_bytes(b"the broker's keys")
    (tree / "stays").touch()
    over = threading.Event()

    def swap() -> None:
        for number in range(100_000):
            if over.is_set():
                return
            new = tree / f".{number}"
            if number % 2:
                new.symlink_to(outside if number % 4 == 1 else outside / "data")
            elif number % 4:
                new.write_bytes(b"mine")
            else:
                new.mkdir()
                (new / "data").write_bytes(b"mine")
            aside = tree / f"old{number}"
            if (tree / "it").exists(follow_symlinks=False):
                (tree / "it").rename(aside)
            new.rename(tree / "it")
            remove_it(aside)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(60):
            saved(tree, tmp_path / "a.kept")
            assert b"the broker's keys" not in (tmp_path / "a.kept").read_bytes()
    finally:
        over.set()
        swapper.join()
    assert (outside / "data").read_bytes() == b"the broker's keys"
    given_back(tmp_path / "a.kept", tmp_path / "back")  # whatever moment it was, the form holds


def remove_it(path: Path) -> None:
    """Remove a file, a link, or a folder with one file in it."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        (path / "data").unlink()
        path.rmdir()


def test_a_giant_of_holes_costs_what_it_holds(in_memory: Path, tmp_path: Path) -> None:
    """A sparse terabyte is kept as the pages that are in it, and comes back as sparse as it was."""
    giant = in_memory / "giant"
    with giant.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"here")
    done = saved(in_memory, tmp_path / "a.kept")
    assert done.use == Use(bytes=4_096, files=1)
    assert (tmp_path / "a.kept").stat().st_size < 10_000
    giant.unlink()
    given_back(tmp_path / "a.kept", in_memory)
    assert giant.stat().st_size == 1 << 40
    assert giant.stat().st_blocks * 512 == 4_096


def test_links_to_one_file_are_kept_once(in_memory: Path, tmp_path: Path) -> None:
    """A thousand hard links to a large file are no thousand files: what fits /state once fits it again."""
    (in_memory / "a").write_bytes(bytes(1 << 20))
    for number in range(1_000):
        os.link(in_memory / "a", in_memory / f"l{number}")
    done = saved(in_memory, tmp_path / "a.kept")
    assert done.use == Use(bytes=1 << 20, files=1_001)
    assert (tmp_path / "a.kept").stat().st_size < 2 << 20


def test_what_is_no_file_is_left_out_and_named(tree: Path, tmp_path: Path) -> None:
    """Pipes and sockets are not waited for; too deep and too long is told, and the rest is kept."""
    os.mkfifo(tree / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tree / "s"))
    listener.close()
    deep = tree
    for _ in range(40):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "lost").touch()
    (tree / "kept").write_text("yes")
    done = saved(tree, tmp_path / "a.kept")
    assert done.left_out == ("sockets, pipes and devices: 2", "what is in folders more than 32 deep: 1")
    assert (given_back(tmp_path / "a.kept", tmp_path / "back") / "kept").read_text() == "yes"


def test_a_path_that_is_too_long_is_left_out(tree: Path, tmp_path: Path) -> None:
    """A path longer than the form takes is told of."""
    long = tree / ("a" * 250) / ("b" * 250) / ("c" * 250) / ("d" * 250)
    long.mkdir(parents=True)
    (long / ("e" * 250)).touch()
    assert saved(tree, tmp_path / "a.kept").left_out == ("paths over 1024 bytes: 1",)


def test_too_many_names_are_refused(tree: Path, tmp_path: Path) -> None:
    """The walk ends at the bound; what was kept before stays."""
    (tree / "a").touch()
    saved(tree, tmp_path / "a.kept")
    before = (tmp_path / "a.kept").read_bytes()
    for number in range(20):
        (tree / f"f{number}").touch()
    with pytest.raises(StateError, match="more than 10 files and folders"):
        saved(tree, tmp_path / "a.kept", Bounds(bytes_max=1 << 20, files_max=10))
    assert (tmp_path / "a.kept").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"tree", "a.kept"}


def test_more_than_fits_is_never_written(tree: Path, tmp_path: Path) -> None:
    """A tree that is moved about while it is read cannot fill the desk's disk."""
    for number in range(5):
        (tree / f"f{number}").write_bytes(bytes(1 << 20))
    with pytest.raises(StateError, match="rewritten faster"):
        saved(tree, tmp_path / "a.kept", Bounds(bytes_max=1 << 20, files_max=10))
    assert not (tmp_path / "a.kept").exists()


def test_what_has_not_changed_is_not_written_again(tree: Path, tmp_path: Path) -> None:
    """A look costs a walk; a file changed in place, and its time set back, is noticed all the same."""
    file = tmp_path / "a.kept"
    (tree / "a").write_bytes(b"one")
    first = saved(tree, file)
    number = file.stat().st_ino
    again = saved(tree, file, last=first.signature)
    assert (again.is_new, again.use, file.stat().st_ino) == (False, first.use, number)
    restarted = saved(tree, file)  # another run: its signature is unknown, the content is the same
    assert (restarted.is_new, file.stat().st_ino) == (False, number)
    times = (tree / "a").stat().st_mtime_ns
    (tree / "a").write_bytes(b"two")
    os.utime(tree / "a", ns=(times, times))
    assert saved(tree, file, last=first.signature).is_new


def test_nothing_kept_is_no_file(tree: Path, tmp_path: Path) -> None:
    """A strategy that never used /state leaves nothing; one that emptied it gets an empty one."""
    file = tmp_path / "a.kept"
    assert not saved(tree, file).is_new
    assert not file.exists()
    assert kept(file) is None
    (tree / "a").write_bytes(b"one")
    saved(tree, file)
    (tree / "a").unlink()
    assert saved(tree, file).is_new
    assert kept(file) == Use(bytes=0, files=0)
    assert [*given_back(file, tmp_path / "back").iterdir()] == []


@pytest.mark.parametrize("cut", [0, 20, 40, -1])
def test_a_damaged_file_is_told(tree: Path, tmp_path: Path, cut: int) -> None:
    """Cut short anywhere, or with a bit turned, it does not come back as if it were whole."""
    file = tmp_path / "a.kept"
    (tree / "a").write_bytes(b"one" * 100)
    saved(tree, file)
    whole = file.read_bytes()
    file.write_bytes(whole[:cut])
    with pytest.raises(StateError, match=r"no strategy's state|cut short|cannot be put back"):
        kept(file) and given_back(file, tmp_path / "back")
    turned = bytearray(whole)
    turned[120] ^= 1
    file.write_bytes(turned)
    with pytest.raises(StateError, match="damaged"):
        given_back(file, tmp_path / "other")


def test_a_full_disk_leaves_the_old(small_disk: Path, in_memory: Path) -> None:
    """What cannot be written whole is not written; the error goes to whoever asked."""
    file = small_disk / "a.kept"
    (in_memory / "a").write_bytes(b"one")
    saved(in_memory, file)
    before = file.read_bytes()
    (in_memory / "a").write_bytes(os.urandom(32 << 20))
    with pytest.raises(OSError, match="No space left"):
        saved(in_memory, file)
    assert file.read_bytes() == before
    assert [path.name for path in small_disk.iterdir() if "kept" in path.name] == ["a.kept"]


def test_an_older_desks_folder_is_taken_over(tree: Path, tmp_path: Path) -> None:
    """What strategies kept in a folder of the disk is not lost; what is too much is refused by name."""
    (tree / "model").write_bytes(b"weights")
    take_over(tree, tmp_path / "a.kept", SELF, ROOMY)
    assert (given_back(tmp_path / "a.kept", tmp_path / "back") / "model").read_bytes() == b"weights"
    with pytest.raises(StateError, match=f"{tree}: has more than 0 files"):
        take_over(tree, tmp_path / "b.kept", SELF, Bounds(bytes_max=1, files_max=0))


ACTING = """
import os, sys
from pathlib import Path
from deskd.supervision.state import Bounds, acting_as, save
from deskd.supervision.uids import Identity, can_map_uids
tree, file = Path(sys.argv[1]), Path(sys.argv[2])
stranger = Identity(200_001, 200_001, False)
assert can_map_uids()
with acting_as(stranger):
    folder = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
try:
    (tree / "a").read_bytes()
except PermissionError:
    print("shut to the desk itself")
done = save(folder, file, stranger, Bounds(bytes_max=1 << 20, files_max=100), None)
print(done.use, done.left_out, file.stat().st_uid == os.geteuid(), oct(file.stat().st_mode & 0o777))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of another uid")
def test_the_three_capabilities_of_the_unit_are_enough(tmp_path: Path) -> None:
    """With SETUID, SETGID and CHOWN, and no right on others' files, the desk reads as the strategy, and only so."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        tree = Path(folder, "state")
        tree.mkdir(mode=0o700)
        (tree / "a").write_bytes(b"one")
        (tree / "a").chmod(0o600)
        (tree / "shut").touch(mode=0o000)
        (tmp_path / "shadow").write_text("the desk's own")
        (tmp_path / "shadow").chmod(0o600)
        os.link(tree / "a", tree / "b")
        for path in (tree, *tree.iterdir()):
            os.chown(path, 200_001, 200_001)
        caps = "-all,+setuid,+setgid,+chown"
        told = subprocess.run(
            [
                *("setpriv", f"--bounding-set={caps}", "--inh-caps=-all", "--no-new-privs", "--clear-groups"),
                *(sys.executable, "-c", ACTING, str(tree), str(tmp_path / "a.kept")),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.stdout.splitlines() == [
            "shut to the desk itself",
            "Use(bytes=4096, files=2) ('files that their own owner may not read: 1',) True 0o600",
        ], told.stderr
