"""The shared packages are built whole or not at all, once, and a desk that runs keeps what it has."""

import os
import re
from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision import environment, environment_build
from deskd.supervision.environment_build import LOCK, Built, build, prune
from deskd.supervision.requirement_lines import canonical
from deskd.supervision.staging import JailFolder, stage_environment
from tests.wheels import a_wheel


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Have two wheels, one of which needs the other."""
    a_wheel(tmp_path / "index", "signals", needs=["maths"])
    a_wheel(tmp_path / "index", "maths", "2.5")
    return tmp_path / "index"


@pytest.fixture
def folder(tmp_path: Path) -> JailFolder:
    """Have an empty jail folder."""
    made = JailFolder(tmp_path / "jails")
    made.prepare()
    return made


def build_of(folder: JailFolder, index: Path, *packages: str, problem: str | None = None) -> tuple[Built, list[str]]:
    said: list[str] = []
    built = build(
        SandboxSection(packages=packages),
        folder,
        say=said.append,
        prove=lambda site, names: problem or (None if (site / f"{names[0]}").is_dir() else "no such module"),
        pip_options=["--no-index", "--find-links", str(index)],
    )
    return built, said


def test_a_set_is_built_compiled_and_taken(folder: JailFolder, index: Path) -> None:
    """What comes along is listed with its version; each module has its .pyc, valid for it; progress is said."""
    built, said = build_of(folder, index, "signals")
    assert built.is_new
    assert built.installed == {"signals": "1.0", "maths": "2.5"}
    assert said == ["installing signals", "compiling", "importing signals in a jail"]
    [compiled] = (built.site / "signals" / "__pycache__").iterdir()
    assert int.from_bytes(compiled.read_bytes()[8:12], "little") == int(
        (built.site / "signals" / "__init__.py").stat().st_mtime
    )
    staged = stage_environment(folder, None)
    assert staged.packages == built.site
    assert staged.installed().keys() == {"signals", "maths", "protobuf"}
    assert all(path.stat().st_mode & 0o004 for path in built.site.rglob("*"))


def test_the_same_list_is_built_once(folder: JailFolder, index: Path) -> None:
    """A second call finds it by what it was made from, and says so in no time."""
    first, _ = build_of(folder, index, "signals")
    again, said = build_of(folder, index, "signals")
    assert (again.site, again.is_new, said) == (first.site, False, [])


def test_another_list_is_another_set_and_the_old_one_stays_for_who_has_it(folder: JailFolder, index: Path) -> None:
    """The link is switched; the desk's next start takes the new set, and then removes the old."""
    first, _ = build_of(folder, index, "signals")
    running = stage_environment(folder, None)
    second, _ = build_of(folder, index, "maths==2.5")
    assert first.site.is_dir()
    assert running.packages == first.site
    assert stage_environment(folder, None).packages == second.site
    prune(folder)
    assert not first.site.exists()
    assert second.site.is_dir()


@pytest.mark.parametrize(
    ("packages", "problem", "says"),
    [
        (("absent",), None, "pip could not install the packages .*absent.*run `make strategy-env` again"),
        (("signals",), "No module named 'x'", "cannot be imported in a jail: No module named 'x'"),
    ],
)
def test_what_fails_changes_nothing(
    folder: JailFolder, index: Path, packages: tuple[str, ...], problem: str | None, says: str
) -> None:
    """The set in use stays in use, and nothing half-made is left."""
    before, _ = build_of(folder, index, "maths")
    with pytest.raises(SandboxUnavailable, match=says):
        build_of(folder, index, *packages, problem=problem)
    assert stage_environment(folder, None).packages == before.site
    assert [path.name for path in before.site.parents[1].glob(".*") if path.is_dir()] == []


def test_only_wheels_are_taken(folder: JailFolder, index: Path) -> None:
    """A package that has only sources would run code to be built, here as whoever installs the desk."""
    import zipfile

    with zipfile.ZipFile(index / "sourced-1.0.zip", "w") as archive:
        archive.writestr("sourced-1.0/setup.py", f"open({str(index / 'ran')!r}, 'w')")
    with pytest.raises(SandboxUnavailable, match="sourced"):
        build_of(folder, index, "sourced")
    assert not (index / "ran").exists()


def test_one_builder_at_a_time(folder: JailFolder, index: Path) -> None:
    """The second is told to wait for the first."""
    import fcntl

    home = environment.home_of(folder.root)
    holder = os.open(home.root / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(SandboxUnavailable, match="being built already"):
            build_of(folder, index, "maths")
    finally:
        os.close(holder)


def test_an_environment_of_the_officers_own_is_theirs_to_fill(folder: JailFolder, tmp_path: Path) -> None:
    """`[sandbox] python` has its packages itself: nothing is built beside it."""
    with pytest.raises(SandboxUnavailable, match="install them there with its pip, or take the key out"):
        build(SandboxSection(python=tmp_path), folder, say=print, prove=lambda *_: None)


def test_the_shipped_lock_pins_the_shipped_list() -> None:
    """Every package with hashes, no download host; another list keeps the pins of what both name."""
    text, listed = LOCK.read_text(), SandboxSection().packages
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    assert {canonical(name) for name in listed} <= pins.keys()
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text
    assert environment_build._lock_for(tuple(reversed(listed))) == text
    assert environment_build._lock_for(("numpy",)) is None
    constraints = environment_build._constraints(("numpy==2.0.0", "pandas"))
    assert f"pandas=={pins['pandas']}" in constraints
    assert "numpy==" not in constraints
