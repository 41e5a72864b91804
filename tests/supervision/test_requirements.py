"""What a requirements.txt asks for is known before anything is fetched; what is not built does not run."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pytest

from deskd.supervision.folder import FolderError
from deskd.supervision.requirements import UNUSED_S, OwnPackages, prune_unused


def own(
    root: Path,
    policy: Literal["deny", "wheels"] = "wheels",
    shared: Mapping[str, str] = MappingProxyType({"numpy": "2.5.5"}),
    python: str = "python3.13",
) -> OwnPackages:
    return OwnPackages(root=root, policy=policy, shared=shared, python=python)


def test_what_is_shared_needs_no_building(tmp_path: Path) -> None:
    """A file that names the shared version is a statement; another version is refused with both remedies."""
    assert own(tmp_path).read(b"NumPy==2.5.5\n") == ()
    own(tmp_path, policy="deny").check("alice", b"numpy==2.5.5")
    own(tmp_path).check("alice", None)
    with pytest.raises(FolderError, match=r"share numpy 2.5.5: take the line out or write ==2.5.5"):
        own(tmp_path).read(b"numpy==2.4.0")


def test_nothing_runs_before_it_is_built(tmp_path: Path) -> None:
    """The text names the command; where officers build none, it says that."""
    with pytest.raises(FolderError, match="an officer runs `deskctl build alice`"):
        own(tmp_path).check("alice", b"ta==0.11.0")
    with pytest.raises(FolderError, match="asks for ta, and this desk builds no packages for single strategies"):
        own(tmp_path, policy="deny").check("alice", b"ta==0.11.0")


def test_a_set_is_of_the_requirements_and_of_what_they_stand_on(tmp_path: Path) -> None:
    """Another shared package, another Python or another version is another set."""
    wanted = own(tmp_path).read(b"ta==0.11.0")
    keys = {
        own(tmp_path).key(wanted),
        own(tmp_path, shared={"numpy": "2.6.0"}).key(wanted),
        own(tmp_path, python="python3.14").key(wanted),
        own(tmp_path).key(own(tmp_path).read(b"ta==0.11.1")),
    }
    assert len(keys) == 4
    assert own(tmp_path).key(own(tmp_path).read(b"# same\nTA == 0.11.0")) in keys


def test_a_run_gets_the_set_that_its_own_code_asks_for(tmp_path: Path) -> None:
    """What counts is the copy that runs, not the folder that may have been edited since."""
    sets, code = own(tmp_path / "own"), tmp_path / "code" / "alice" / "hash"
    code.mkdir(parents=True)
    assert sets.of_code(code) is None
    (code / "requirements.txt").write_text("ta==0.11.0")
    with pytest.raises(FolderError, match="deskctl build alice"):
        sets.of_code(code)
    site = sets.root / sets.key(sets.read(b"ta==0.11.0")) / "site"
    site.mkdir(parents=True)
    assert sets.of_code(code) == site


def test_sets_that_nobody_asks_for_go_after_a_while(tmp_path: Path) -> None:
    """Not at once: a run may still import from one. One broken strategy does not keep the others'."""
    sets, strategies = own(tmp_path / "own"), tmp_path / "strategies"
    for name, asks in (("alice", "ta==0.11.0"), ("bob", "-e .")):
        (strategies / name).mkdir(parents=True)
        (strategies / name / "requirements.txt").write_text(asks)
    used, unused = sets.key(sets.read(b"ta==0.11.0")), "0" * 16
    for key in (used, unused):
        (sets.root / key / "site").mkdir(parents=True)
    now = (sets.root / unused).stat().st_mtime
    assert prune_unused(sets, strategies, now + UNUSED_S - 1) == []
    assert prune_unused(sets, strategies, now + UNUSED_S + 60) == [unused]
    assert [path.name for path in sets.root.iterdir()] == [used]
