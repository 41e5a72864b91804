"""Builds the packages that all strategies share: `make strategy-env`, and whatever installs the desk.

The list is `[sandbox] packages`. The list as shipped is installed from requirements/strategy.txt, pinned with hashes;
of another list the shipped pins hold for what both name, and what was taken is written down beside it (lock.txt).

Rule 1: wheels only. No build code of any package runs, and none of its modules before the proof in a jail.
Rule 2: a set is made aside, compiled, and moved into place whole; then one link is switched. What a running desk has
        bound stays as it is: the desk takes the new set when it starts again.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision import environment
from deskd.supervision.environment import SHARED, Home
from deskd.supervision.requirement_lines import canonical
from deskd.supervision.staging import JailFolder, compile_all, describe, make_once, open_to_all

LOCK = Path(__file__).resolve().parents[2] / "requirements" / "strategy.txt"
_LAYOUT = 1  # of what is built: another one is another key
_INSTALL_TIMEOUT_S = 1_800
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)

type Say = Callable[[str], None]
type Prove = Callable[
    [Path, Sequence[str]], str | None
]  # import these of that folder, in a jail: None, or what is wrong


@dataclass(frozen=True, slots=True)
class Built:
    """The set in use."""

    site: Path
    installed: dict[str, str]
    is_new: bool


def build(
    section: SandboxSection, folder: JailFolder, *, say: Say, prove: Prove, pip_options: Sequence[str] = ()
) -> Built:
    """Build the packages that *section* lists, if they are not there, and switch to them.

    Raise SandboxUnavailable with the one thing to do; then the packages that were in use still are. *pip_options*: where
    packages come from, beside pip's own configuration.
    """
    if section.python is not None:
        raise SandboxUnavailable(
            f"[sandbox] python={section.python}: strategies have the packages of that environment: install them there "
            "with its pip, or take the key out"
        )
    described = describe(None)
    home, python = environment.home_of(folder.root), str(described["name"])
    lock = _lock_for(section.packages)
    key = _key(section.packages, lock, str(described["version"]))
    with _only_builder(home):
        place = home.root / key
        is_new = not (place / "site").is_dir()
        if is_new:
            _make(place, section.packages, lock, described, say=say, prove=prove, pip_options=pip_options)
        _switch(home.link(python), place)
        installed = environment.versions_in(place / "site")
    return Built(place / "site", installed, is_new)


def prune(folder: JailFolder) -> None:
    """Remove the sets that no link names. Only the desk may call it, before its first run: runs import from them."""
    home = environment.home_of(folder.root)
    in_use = {link.resolve() for link in home.root.glob("current-*")}
    for place in home.root.iterdir():
        if place.is_dir() and not place.is_symlink() and place.resolve() not in in_use and place.name[0] != ".":
            shutil.rmtree(place, ignore_errors=True)


def _lock_for(packages: Sequence[str]) -> str | None:
    """Return the shipped pins, with hashes, where they were made for this very list."""
    shipped = SandboxSection.model_fields["packages"].default
    return LOCK.read_text() if sorted(map(str.lower, packages)) == sorted(map(str.lower, shipped)) else None


def _constraints(packages: Sequence[str]) -> str:
    """Return the shipped pins of what the list does not pin itself."""
    own = {canonical(entry.partition("==")[0]) for entry in packages if "==" in entry}
    pins = dict(_PIN.findall(LOCK.read_text()))
    return "".join(f"{name}=={version}\n" for name, version in pins.items() if canonical(name) not in own)


def _key(packages: Sequence[str], lock: str | None, python: str) -> str:
    made_from = [_LAYOUT, sorted(packages), lock or _constraints(packages), python]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]


def _make(
    place: Path,
    packages: Sequence[str],
    lock: str | None,
    described: dict[str, object],
    *,
    say: Say,
    prove: Prove,
    pip_options: Sequence[str],
) -> None:
    def fill(fresh: Path) -> None:
        site = fresh / "site"
        site.mkdir()
        _install(fresh, site, packages, lock, say=say, pip_options=pip_options)
        say("compiling")
        compile_all(described, site, SHARED, "-j", "0", ".")
        installed = environment.versions_in(site)
        (fresh / "lock.txt").write_text("".join(f"{name}=={version}\n" for name, version in sorted(installed.items())))
        (fresh / "about.json").write_text(json.dumps({"packages": list(packages), "python": described["version"]}))
        open_to_all(fresh)
        names = [name for entry in packages for name in environment.modules_of(site, entry.partition("==")[0])]
        say(f"importing {', '.join(names)} in a jail")
        if problem := prove(site, names):
            raise SandboxUnavailable(f"the packages were installed, and cannot be imported in a jail: {problem}")

    for left in place.parent.glob(f".{place.name}.*"):
        shutil.rmtree(left, ignore_errors=True)  # of a builder that was killed
    try:
        make_once(place, fill)
    except OSError as error:
        raise SandboxUnavailable(
            f"{place.parent}: packages cannot be put there ({error.strerror or error}): make room (some 600 MB) or mend "
            "its rights"
        ) from error


def _install(
    fresh: Path, site: Path, packages: Sequence[str], lock: str | None, *, say: Say, pip_options: Sequence[str]
) -> None:
    asked = fresh / "asked.txt"
    if lock is not None:
        asked.write_text(lock)
        say(f"installing {len(_PIN.findall(lock))} pinned packages")
        chosen = ["--require-hashes", "--no-deps"]
    else:
        asked.write_text("".join(f"{entry}\n" for entry in packages))
        (fresh / "constraints.txt").write_text(_constraints(packages))
        say(f"installing {', '.join(packages)}")
        chosen = ["--constraint", str(fresh / "constraints.txt")]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        "--no-input",
        "--no-compile",
    ]
    command += ["--only-binary=:all:", "--target", str(site), *chosen, *pip_options, "--requirement", str(asked)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_INSTALL_TIMEOUT_S, cwd=fresh
        )
    except subprocess.TimeoutExpired:
        raise SandboxUnavailable(
            f"pip took longer than {_INSTALL_TIMEOUT_S} s: look at the network, and run `{environment.BUILD_COMMAND}` again"
        ) from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
        why = lines[-1].removeprefix("ERROR: ") if lines else f"exit status {done.returncode}"
        raise SandboxUnavailable(
            f"pip could not install the packages ({why}): is there a network, a proxy, a wheel of that version for this "
            f"Python? Mend it or [sandbox] packages, and run `{environment.BUILD_COMMAND}` again"
        )


def _switch(link: Path, place: Path) -> None:
    """Have the link name *place*, in one step."""
    if link.is_symlink() and link.resolve() == place.resolve():
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(place.name)
    fresh.replace(link)


@contextmanager
def _only_builder(home: Home) -> Iterator[None]:
    """Hold the folder of packages against another builder."""
    home.root.mkdir(parents=True, exist_ok=True)
    home.root.chmod(0o711)
    lock = os.open(home.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise SandboxUnavailable("packages are being built already: wait for the other builder") from None
    finally:
        os.close(lock)
