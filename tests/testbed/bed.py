"""A real systemd on a real cgroup v2, booted as an ordinary process, with the desk's packages already in it.

The bed itself (an image builder and a boot command) is no part of the desk: `DESKD_TESTBED` names its folder, by default
`../shared/testbed` beside the checkout. What is built from it stays in the user's cache folder, outside of the checkout.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGE_MB = 4_000  # sparse; with less than 2 GiB free the job `checks` fails, as it should, and the doctor says so
MEMORY_MB = 1_536
BUILD_S, BOOT_S = 1_200, 600  # they end a hang: a story takes three minutes where the machine has time for it
GUEST_PYTHON = "3.13"
_PACKAGES = Path("opt/deskd/venv/lib") / f"python{GUEST_PYTHON}" / "site-packages"
_NOT_SHARED = (".git", ".venv", "var", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis")
# of the checks: nothing that runs or tests a desk needs them. pip it needs: it builds strategies' own packages
_NOT_PACKED = ("mypy*", "ruff*", "grpc*", "*__mypyc*", "grimp*", "importlinter*", "deskd.pth", "setuptools*")


class NoBed(Exception):
    """There is no bed here. The text says why."""


@dataclass(frozen=True, slots=True)
class Bed:
    """An image with the desk's packages, and the command that boots it."""

    boot_command: Path
    image: Path

    def boot(self, command: str, out: Path, *, limit_s: int = BOOT_S) -> subprocess.CompletedProcess[str]:
        """Boot, run *command* as root in a copy of the checkout, and return what it said and how it ended."""
        excluded = [argument for name in _NOT_SHARED for argument in ("--exclude", f"./{name}")]
        bounds = ["--timeout", str(limit_s), "--mem", str(MEMORY_MB), "--bed", "u"]
        places = ["--cache", str(self.image), "--share", str(ROOT), "--out", str(out)]
        return subprocess.run(
            [str(self.boot_command), *places, *excluded, *bounds, "--", command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s + 30,
            check=False,
        )


def find() -> Path:
    """Return the folder of the bed's commands; raise NoBed where there is none that can be used."""
    named = os.environ.get("DESKD_TESTBED")
    beside = [above / "shared" / "testbed" for above in ROOT.parents[:2]]  # a worktree lies one deeper
    folder = Path(named) if named else next(filter(Path.is_dir, beside), beside[0])
    if not (folder / "boot-run.sh").is_file():
        raise NoBed(f"there is no test bed at {named or '../shared/testbed'}: DESKD_TESTBED names its folder")
    if os.geteuid() != 0:
        raise NoBed("only root can build the test bed's image")
    if not all(shutil.which(tool) for tool in ("apt-get", "mkfs.ext4", "unshare")):
        raise NoBed("the test bed's image is built from Debian's packages: apt-get, mkfs.ext4 or unshare is missing")
    return folder


def prepare() -> Bed:
    """Build what is not in the cache yet (a minute, once), and return the bed; raise NoBed with the reason."""
    folder, cache = find(), _cache()
    with _turn(cache / "lock"):
        base = _base(folder, cache / "base")
        pins = (ROOT / "requirements" / "dev.txt").read_bytes() + Path(__file__).read_bytes()
        return Bed(folder / "boot-run.sh", _image(base, cache, "desk", pins, lambda tree: _pack(tree, cache, pins)))


def prepare_bare() -> Bed:
    """Return a bed on which no desk ever was: Debian's Python as it is, and beside it the pinned wheels as files."""
    folder, cache = find(), _cache()
    with _turn(cache / "lock"):
        base = _base(folder, cache / "bare-base", f"python{GUEST_PYTHON}-venv passwd apparmor")
        pins = (ROOT / "requirements" / "run.txt").read_bytes() + Path(__file__).read_bytes()
        wheels = _wheels(cache, pins)
        return Bed(folder / "boot-run.sh", _image(base, cache, "bare", pins, lambda tree: _lay(wheels, tree)))


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deskd" / "testbed"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _base(folder: Path, base: Path, packages: str = "") -> Path:
    """Return the bed's own image, with further packages of Debian's."""
    build = [
        str(folder / "build-image.sh"),
        "--cache",
        str(base),
        "--beds",
        "u",
        "--uml-suite",
        "sid",
        "--time-limit",
        str(BUILD_S),
    ]
    build += ["--packages", packages] if packages else []
    built = subprocess.run(build, capture_output=True, text=True, timeout=BUILD_S, check=False)
    if built.returncode != 0:
        raise NoBed(f"the test bed's image could not be built: {(built.stderr or built.stdout).strip()[-400:]}")
    return base


def _image(base: Path, cache: Path, name: str, pins: bytes, fill: Callable[[Path], None]) -> Path:
    """Return an image that has more in it: to copy that at each boot would take longer than the boot."""
    place = cache / f"{name}-{hashlib.sha256((base / 'key').read_bytes() + pins).hexdigest()[:16]}"
    if place.is_dir():
        return place
    for old in cache.glob(f"{name}-{'?' * 16}"):
        shutil.rmtree(old)
    fresh = cache / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    tree = fresh / "tree"
    fresh.mkdir()
    subprocess.run(["cp", "-al", str(base / "rootfs"), str(tree)], check=True)
    fill(tree)
    image = fresh / "root.img"
    with image.open("wb") as file:
        file.truncate(IMAGE_MB << 20)
    options = ["-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", "-d", str(tree)]
    subprocess.run(["mkfs.ext4", *options, str(image)], check=True, capture_output=True)
    shutil.rmtree(tree)
    for part in ("linux.uml", "umllib", "uml-args", "key"):
        (fresh / part).symlink_to(base / part)
    fresh.rename(place)
    return place


def _pack(tree: Path, cache: Path, pins: bytes) -> None:
    """Put the desk's packages where its Python finds them."""
    packages, is_not_packed = _packages(cache, pins), shutil.ignore_patterns(*_NOT_PACKED)

    def left_out(folder: str, names: list[str]) -> set[str]:
        return is_not_packed(folder, names) if Path(folder) == packages else set()

    shutil.copytree(packages, tree / _PACKAGES, symlinks=True, ignore=left_out)


def _lay(wheels: Path, tree: Path) -> None:
    shutil.copytree(wheels, tree / "opt" / "wheels")


def _wheels(cache: Path, pins: bytes) -> Path:
    """Return a folder with the wheels that an installation pins, as they are fetched where there is a network."""
    place = cache / f"wheels-{hashlib.sha256(pins).hexdigest()[:16]}"
    if not place.is_dir():
        fresh = cache / "wheels"
        shutil.rmtree(fresh, ignore_errors=True)
        wanted = ["--require-hashes", "--no-deps", "-r", str(ROOT / "requirements" / "run.txt")]
        target = ["--dest", str(fresh), "--python-version", GUEST_PYTHON, "--only-binary=:all:"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *target, *wanted], capture_output=True, text=True, timeout=BUILD_S, check=False)
        if done.returncode != 0:
            raise NoBed(f"the wheels that an installation pins cannot be fetched: {done.stderr.strip()[-400:]}")
        fresh.rename(place)
    return place


def _packages(cache: Path, pins: bytes) -> Path:
    """Return a folder with the pinned packages for the guest's Python: our own, where we are of its version."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == GUEST_PYTHON:
        return Path(sysconfig.get_path("purelib"))
    place = cache / f"packages-{hashlib.sha256(pins).hexdigest()[:16]}"
    if not place.is_dir():
        fresh = cache / "packages"
        shutil.rmtree(fresh, ignore_errors=True)
        wanted = ["--require-hashes", "-r", str(ROOT / "requirements" / "dev.txt")]
        target = ["--target", str(fresh), "--python-version", GUEST_PYTHON, "--only-binary=:all:", "--no-deps"]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *target, *wanted], capture_output=True, text=True, timeout=BUILD_S, check=False)
        if done.returncode != 0:
            raise NoBed(f"no packages for the guest's Python {GUEST_PYTHON}: {done.stderr.strip()[-400:]}")
        fresh.rename(place)
    return place


@contextlib.contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Wait for our turn: two test runs of one user share the cache."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def facts(out: Path) -> dict[str, object]:
    """Return what the guest wrote down."""
    file = out / "facts.json"
    if not file.is_file():
        return {}
    told = json.loads(file.read_text())
    assert isinstance(told, dict)
    return told


def record(name: str, told: dict[str, object], *, is_whole: bool) -> None:
    """Leave what a story says of itself to `make bed`, where it runs it: DESKD_BED_RECORD names a folder."""
    folder = os.environ.get("DESKD_BED_RECORD")
    if folder:
        kept = {key: told.get(key) for key in ("machine", "seconds", "failed")} | {"whole": is_whole}
        (Path(folder) / f"{name}.json").write_text(json.dumps(kept))
