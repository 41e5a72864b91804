"""A folder holds the old version or the new one, at every moment; what lay there is kept."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest

from deskd.domain.ids import StrategyId
from deskd.supervision.folder import DEPTH_MAX, FILES_MAX, read_folder
from deskd.supervision.versions import AT_WORK, KEPT_MAX, CannotDeploy, Files, Versions

ALICE = StrategyId("alice")
ONE: Files = {PurePosixPath("strategy.py"): b"print(1)\n", PurePosixPath("data/a.csv"): b"1\n"}
TWO: Files = {PurePosixPath("strategy.py"): b"print(2)\n"}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def versions_in(folder: Path) -> Versions:
    (folder / "strategies").mkdir(exist_ok=True)
    return Versions(root=folder / "versions", strategies_dir=folder / "strategies")


def put(versions: Versions, files: Files) -> None:
    versions.switch(versions.lay_out(ALICE, files))


def test_the_first_version_comes_into_an_empty_place_and_the_second_into_its_own(tmp_path: Path) -> None:
    """Whole, and nothing of the work or of the old one stays beside it."""
    versions = versions_in(tmp_path)
    assert versions.present(ALICE) is None
    for files in (ONE, TWO, ONE):
        put(versions, files)
        found = versions.present(ALICE)
        assert found is not None
        assert found[0] == files
        assert names_in(versions.strategies_dir) == ["alice"]


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    """By its hash; one that somebody edited in the store is not used."""
    versions = versions_in(tmp_path)
    for files in (ONE, TWO):
        put(versions, files)
        present = versions.present(ALICE)
        assert present is not None
        versions.keep(ALICE, *present)
    newest, oldest = versions.kept(ALICE)
    assert versions.files_of(ALICE, newest.code_hash) == TWO
    assert versions.files_of(ALICE, oldest.code_hash) == ONE
    (versions.root / "alice" / newest.code_hash / "strategy.py").write_text("print(3)")
    with pytest.raises(CannotDeploy, match="was changed since it was kept"):
        versions.files_of(ALICE, newest.code_hash)


def test_the_oldest_go_and_what_is_in_use_never(tmp_path: Path) -> None:
    """The store is bounded."""
    versions = versions_in(tmp_path)
    for number in range(KEPT_MAX + 3):
        versions.keep(ALICE, ONE, f"{number:064}")
        os.utime(versions.root / "alice" / f"{number:064}", (number, number))
    versions.prune(ALICE, present=f"{0:064}")
    assert {version.code_hash for version in versions.kept(ALICE)} == {
        f"{number:064}" for number in (0, *range(3, KEPT_MAX + 3))
    }


def test_a_place_keeps_its_owner_and_mode(tmp_path: Path) -> None:
    """A member who edits in the folder goes on to, after a deployment."""
    versions = versions_in(tmp_path)
    put(versions, ONE)
    place = versions.strategies_dir / "alice"
    place.chmod(0o750)
    if os.geteuid() == 0:
        os.chown(place, 12345, 12345)
    put(versions, TWO)
    facts = (place / "strategy.py").stat()
    assert place.stat().st_mode & 0o777 == 0o750
    assert (facts.st_uid, facts.st_gid) == (place.stat().st_uid, place.stat().st_gid)
    assert os.geteuid() != 0 or facts.st_uid == 12345


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({PurePosixPath("../bob/strategy.py"): b""}, "is no name of a file in the folder"),
        ({PurePosixPath("/etc/passwd"): b""}, "is no name of a file in the folder"),
        ({PurePosixPath("a/" * DEPTH_MAX + "b"): b""}, "is no name of a file in the folder"),
        ({PurePosixPath("a" * 600): b""}, "is no name of a file in the folder"),
        ({PurePosixPath(): b""}, "is no name of a file in the folder"),
        ({PurePosixPath(str(n)): b"" for n in range(FILES_MAX + 1)}, "has more than"),
    ],
)
def test_names_lead_nowhere_else_and_all_is_bounded(tmp_path: Path, files: Files, why: str) -> None:
    """What came over the socket is hostile; nothing is written of it."""
    versions = versions_in(tmp_path)
    with pytest.raises(CannotDeploy, match=why):
        versions.lay_out(ALICE, files)
    assert names_in(versions.strategies_dir) == []


def test_a_link_in_the_place_is_not_followed(tmp_path: Path) -> None:
    """What a link leads to is not replaced, and not removed."""
    versions = versions_in(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (versions.strategies_dir / "alice").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="Not a directory"):
        put(versions, ONE)
    assert (tmp_path / "elsewhere" / "precious").exists()


_SWITCHES = """
import itertools, sys
from pathlib import Path
from tests.supervision.test_versions import ALICE, ONE, TWO, versions_in
versions = versions_in(Path(sys.argv[1]))
for files in itertools.cycle((ONE, TWO)):
    versions.switch(versions.lay_out(ALICE, files))
    print(flush=True)
"""


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_and_never_a_part(tmp_path: Path) -> None:
    """Twenty times, at twenty moments; a later deployment removes what was left."""
    versions, moments = versions_in(tmp_path), random.Random(6)
    put(versions, TWO)
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", _SWITCHES, str(tmp_path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(moments.uniform(0, 0.01))
            process.send_signal(signal.SIGKILL)
        files, _ = read_folder(versions.strategies_dir / "alice")
        assert files in (ONE, TWO)
        assert set(names_in(versions.strategies_dir)) <= {"alice", AT_WORK}
    versions.sweep()
    assert names_in(versions.strategies_dir) == ["alice"]
