"""Puts everything that a jail binds where a strategy's uid can read it.

Bind sources are opened as the strategy's uid, so every folder above them must let others through; a checkout or an
interpreter under a 0700 home does not. So copies lie in the jail folder:

    python/KEY/   the interpreter: standard library, binary, libpython; bound at its original paths
    env/KEY/      the strategies' environment: protobuf, desk_client, the runner, all precompiled; bound at /venv
    packages/KEY/ what officers added for everybody (environment.py); bound at /packages/shared
    code/NAME/HASH/  what a strategy's folder held when it had that hash; bound at /strategy
    state/NAME.kept  what a strategy keeps between runs; see state.py
    run/UID/      the folder of its order socket; bound at /run/desk

Copies are keyed by what they are made of, made beside their place and moved into it: a key that exists is complete.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path, PurePath

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId
from deskd.supervision.environment import FIRST, PTH, home_of, versions_in
from deskd.supervision.folder import read_folder
from deskd.supervision.uids import Identity, can_map_uids

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"  # runner, desk_client, seccomp policy
SOCKET_PATH_MAX = 107  # sun_path without its end
_NOT_STAGED = frozenset(
    {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "dist-packages", "pydoc_data"}
)
_COMPILE_TIMEOUT_S = 1_800  # as long as pip may take: minutes on a machine that is overloaded, once
_DESCRIBE = """
import json, os, sys, sysconfig
v = sysconfig.get_config_vars()
lib = os.path.join(v.get("LIBDIR") or "", v.get("INSTSONAME") or "")
base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix, "installed_base": sys.base_prefix,
        "installed_platbase": sys.base_exec_prefix}
print(json.dumps({
    "executable": os.path.realpath(sys.executable), "version": sys.version, "home": sys.base_prefix,
    "name": "python%d.%d" % sys.version_info[:2],
    "libraries": sorted({sysconfig.get_path("stdlib", vars=base), sysconfig.get_path("platstdlib", vars=base)}),
    "libpython": lib if v.get("Py_ENABLE_SHARED") and os.path.isfile(lib) else None,
    "packages": sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})}))
"""


@dataclass(frozen=True, slots=True)
class Bind:
    """A read-only bind mount of the jail."""

    source: Path
    target: PurePath


@dataclass(frozen=True, slots=True)
class Environment:
    """What is the same in every jail: the interpreter, and the strategies' environment."""

    binds: tuple[Bind, ...]
    folder: Path  # the environment on the host; /venv in jails
    interpreter: Path  # the original, for what the desk itself runs
    python: str  # its version as folders name it: python3.13
    packages: Path | None  # what all strategies share beside it, on the host; None: nothing was built

    @property
    def site(self) -> Path:
        """Return the environment's own packages, on the host."""
        return self.folder / "lib" / self.python / "site-packages"

    def installed(self) -> dict[str, str]:
        """Return every package that any strategy can import, with its version. It reads files."""
        return versions_in(self.site) | (versions_in(self.packages) if self.packages is not None else {})


@dataclass(frozen=True, slots=True)
class JailFolder:
    """The folder that holds all that jails bind."""

    root: Path

    @property
    def uids(self) -> Path:
        """Return the file that keeps each strategy's uid."""
        return self.root / "uids.json"

    def write_config(self, strategy_id: StrategyId, text: str) -> Path:
        """Keep the jail's configuration where nsjail and officers can read it, and return the file."""
        file = self.root / "jails" / f"{strategy_id}.cfg"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as open_file:
            os.fchmod(descriptor, 0o600)  # it holds the member's env
            open_file.write(text.encode())
            open_file.truncate()  # not to nothing before: ext4 would have each start wait for the disk
        return file

    def prepare(self) -> None:
        """Make the folders, traversable by strategies, listable by nobody but us."""
        if not self.root.is_dir():
            _make_folder(self.root, 0o711)
        for part in ("python", "env", "packages", "own", "build", "code", "state", "run"):
            _make_folder(self.root / part, 0o711)
        _make_folder(self.root / "jails", 0o700)

    def stage_code(self, strategy_id: StrategyId, folder: Path, who: Identity) -> tuple[Path, str]:
        """Copy the strategy's folder, readable by its uid alone; return the copy and its hash. Older copies go."""
        files, code_hash = read_folder(folder)
        home = self.root / "code" / strategy_id
        place = home / code_hash[:16]
        if place.is_dir() and place.stat().st_gid != who.gid:
            shutil.rmtree(place)  # of the uid that it had once
        if not place.is_dir():
            _make_folder(home, 0o711)

            def fill(fresh: Path) -> None:
                for name, content in files.items():
                    target = fresh / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
                for path in (fresh, *fresh.rglob("*")):
                    give(path, -1, who.gid)
                    path.chmod(0o750 if path.is_dir() else 0o640)

            make_once(place, fill)
        for other in home.iterdir():
            if other != place:
                shutil.rmtree(other, ignore_errors=True)
        return place, code_hash

    def state(self, strategy_id: StrategyId) -> Path:
        """Return the file that keeps what the strategy has in /state; it need not be there."""
        return self.root / "state" / f"{strategy_id}.kept"

    def old_state(self, strategy_id: StrategyId) -> Path:
        """Return where earlier desks bound /state to: a folder that members wrote to directly."""
        return self.root / "state" / strategy_id

    def socket_folder(self, number: int, who: Identity) -> Path:
        """Return the empty folder of the order socket: the strategy may pass through it, and nothing else."""
        path = self.root / "run" / str(number)
        if len(os.fsencode(path / "order.sock")) > SOCKET_PATH_MAX:
            raise SandboxUnavailable(
                f"{path}/order.sock: a socket's path has at most {SOCKET_PATH_MAX} bytes: "
                "set [sandbox] jail_dir to a shorter one"
            )
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o710)
        path.chmod(0o710)
        give(path, -1, who.gid)
        return path

    def sweep_socket_folders(self) -> None:
        """Remove those of runs that a killed desk had: of a strategy that does not start again, nobody else would."""
        for path in (self.root / "run").iterdir():
            if path.name.isdecimal():
                shutil.rmtree(path, ignore_errors=True)


def choose_jail_folder(section: SandboxSection, state_dir: Path) -> JailFolder:
    """Return the folder for what jails bind: where it is set, else state_dir, else one that strategies can reach.

    Where strategies run as the desk's own user, they reach what the desk reaches.
    """
    are_strangers = can_map_uids() and not section.unsafe_without_jail
    if section.jail_dir is not None:
        root = section.jail_dir.resolve()
        if are_strangers and (blocked := _first_closed(root)):
            raise SandboxUnavailable(
                f"[sandbox] jail_dir={root}: strategies' uids cannot pass {blocked} (mode "
                f"{blocked.stat().st_mode & 0o777:04o}): choose a folder whose parents all have o+x, or chmod o+x it"
            )
        return JailFolder(root)
    state_dir = state_dir.resolve()
    if not are_strangers or _first_closed(state_dir) is None:
        return JailFolder(state_dir)
    return JailFolder(Path("/var/lib") / f"deskd-{hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:12]}")


def stage_environment(jail_folder: JailFolder, python: Path | None) -> Environment:
    """Stage the interpreter and the strategies' environment; a second call with nothing changed copies nothing.

    *python* is an environment (or its interpreter) made by the officers; None: the desk's own interpreter, with
    protobuf and desk_client.
    """
    described = describe(python)
    name = str(described["name"])
    binds = _stage_interpreter(jail_folder, described)
    contents = _environment_files(described, has_packages=python is not None)
    key = hashlib.sha256(json.dumps([described, PTH, str(FIRST)], sort_keys=True).encode())
    for target, source in sorted(contents.items()):
        facts = source.stat()
        key.update(f"{target} {facts.st_mtime_ns} {facts.st_size}\n".encode())
    folder = jail_folder.root / "env" / key.hexdigest()[:16]

    def fill(fresh: Path) -> None:
        for target, source in contents.items():
            _copy(source, fresh / target)
        (fresh / "bin").mkdir(exist_ok=True)
        for alias in ("python", "python3", name):
            (fresh / "bin" / alias).symlink_to(str(described["executable"]))
        home = Path(str(described["executable"])).parent
        site = fresh / "lib" / name / "site-packages"
        (site / "packages.pth").write_text(PTH)
        (site / FIRST).touch()  # the officers' own may have one already
        (fresh / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
        compile_all(described, fresh, PurePath("/venv"))
        compile_all(described, fresh, PurePath("/venv"), "-b", "runner.py")  # a script has no cache of its own
        open_to_all(fresh)

    make_once(folder, fill)
    shared = home_of(jail_folder.root).current(name) if python is None else None  # officers' own has its packages
    return Environment(binds, folder, Path(str(described["executable"])), name, shared)


def _environment_files(described: dict[str, object], *, has_packages: bool) -> dict[PurePath, Path]:
    """Return what the environment is made of: each file's place in it, and where it is copied from."""
    listed = described["packages"]
    assert isinstance(listed, list)
    site = PurePath("lib", str(described["name"]), "site-packages")
    packages = _package_files([Path(path) for path in listed] if has_packages else [])
    contents = {site / name: path for name, path in packages}
    for path in (SANDBOX / "desk_client").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            contents[site / path.relative_to(SANDBOX)] = path
    return contents | {PurePath("runner.py"): SANDBOX / "runner.py"}


def _stage_interpreter(jail_folder: JailFolder, described: dict[str, object]) -> tuple[Bind, ...]:
    """Copy the interpreter; its absolute RPATH and pyvenv.cfg want it at its original paths, so bind it there."""
    executable = Path(str(described["executable"]))
    libraries = described["libraries"]
    assert isinstance(libraries, list)
    originals = [executable, *(Path(path) for path in libraries)]
    if described["libpython"]:
        originals.append(Path(str(described["libpython"])))
    facts = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in originals]
    key = hashlib.sha256(json.dumps([described, facts], sort_keys=True).encode()).hexdigest()[:16]
    place = jail_folder.root / "python" / key

    def fill(fresh: Path) -> None:
        for number, original in enumerate(originals):
            target = fresh / str(number) / original.name
            if original.is_dir():
                for name, path in _library_files(original):
                    _copy(path, target / name)
                compile_all(described, target, original)
            else:
                _copy(original.resolve(), target)
        open_to_all(fresh)

    make_once(place, fill)
    return tuple(Bind(place / str(number) / path.name, path) for number, path in enumerate(originals))


def describe(python: Path | None) -> dict[str, object]:
    """Ask the interpreter where it and its libraries lie."""
    if python is None:
        import sys  # noqa: PLC0415

        command = [sys._base_executable if hasattr(sys, "_base_executable") else sys.executable]  # noqa: SLF001
    else:
        command = [str(python / "bin" / "python3" if python.is_dir() else python)]
    try:
        answer = subprocess.run([*command, "-I", "-c", _DESCRIBE], capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        why = f"exit status {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise SandboxUnavailable(
            f"[sandbox] python={command[0]}: cannot be run ({why}): name a Python environment or leave it out"
        ) from error
    described = json.loads(answer.stdout)
    assert isinstance(described, dict)
    return described


def _package_files(libraries: Iterable[Path]) -> Iterator[tuple[PurePath, Path]]:
    """Yield the files of the strategies' packages: the officers' environment, and our protobuf where it has none."""
    libraries = list(libraries)
    if not any((library / "google" / "protobuf").is_dir() for library in libraries):
        files = distribution("protobuf").files
        assert files is not None, "protobuf was installed without a record of its files"
        for file in files:
            path = Path(str(file.locate()))
            if path.suffix != ".pyc" and ".." not in file.parts and path.is_file():
                yield PurePath(file), path
    for library in libraries:
        for path in library.rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                yield path.relative_to(library), path


def _library_files(library: Path) -> Iterator[tuple[PurePath, Path]]:
    for folder, names, files in os.walk(library):
        names[:] = [name for name in names if name not in _NOT_STAGED and not name.startswith("config-")]
        for name in files:
            path = Path(folder, name)
            if ".opt-" not in name and path.is_file():
                yield path.relative_to(library), path


def compile_all(described: dict[str, object], fresh: Path, shown_as: PurePath, *arguments: str) -> None:
    """Write the .pyc files: a read-only environment cannot, and imports take ten times as long without."""
    command = [str(described["executable"]), "-I", "-m", "compileall", "-q", "-s", str(fresh), "-p", str(shown_as)]
    *flags, part = arguments or (".",)
    command += [*flags, str(fresh / part)]
    try:
        subprocess.run(command, capture_output=True, check=False, timeout=_COMPILE_TIMEOUT_S)  # lib2to3's samples fail
    except subprocess.TimeoutExpired:
        raise SandboxUnavailable(
            f"compiling {fresh / part} took longer than {_COMPILE_TIMEOUT_S} s: look at what else this machine does, and "
            "try again"
        ) from None


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    shutil.copystat(source, target)  # its .pyc beside it is valid for this very time stamp


def open_to_all(folder: Path) -> None:
    """Let everybody read all of *folder*, and nobody but us write it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def make_once(place: Path, fill: Callable[[Path], None]) -> None:
    """Have *place*, as *fill* makes it: aside, and then moved there; nothing is done where it is there already."""
    if place.is_dir():
        return
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        fill(fresh)
        fresh.rename(place)
    except OSError:
        if not place.is_dir():  # else another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _make_folder(path: Path, mode: int) -> None:
    if path.is_symlink():  # a trial's: the folder is the real desk's, and stays as it is
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        if path.stat().st_mode & 0o777 != mode:
            path.chmod(mode)
    except OSError as error:
        raise SandboxUnavailable(
            f"{path}: cannot be made ({error.strerror}): set [sandbox] jail_dir to a folder of the desk's user whose "
            "parents all have o+x"
        ) from error


def give(path: Path, uid: int, gid: int) -> None:
    """Change owner (-1: keep it) and group, where they differ."""
    if (path.stat().st_uid if uid == -1 else uid, gid) != (path.stat().st_uid, path.stat().st_gid):
        os.chown(path, uid, gid)


def _first_closed(path: Path) -> Path | None:
    """Return the topmost folder on the way to *path* that does not let others through; what is not there yet will."""
    for part in reversed([path, *path.parents]):
        if part.is_dir() and not part.stat().st_mode & 0o001:
            return part
    return None
