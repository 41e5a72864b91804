"""Builds a strategy's own packages, in three jails: resolve, fetch, unpack.

The first two have the network and run pip alone, on a file that we wrote: wheels only, so that nothing of a package is
ever executed where a network is. The third has none, and unpacks and compiles. What each hands on is a claim: the desk
reads it without following links, within bounds, and checks every wheel's hash against what was resolved.

Rule: all three run as the strategy's own build uid, which owns nothing else.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import structlog

from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.folder import read_folder
from deskd.supervision.requirement_lines import NAME, Requirement, canonical
from deskd.supervision.requirements import FILE, OwnPackages
from deskd.supervision.staging import SANDBOX, compile_all, describe, make_once, open_to_all
from deskd.supervision.tool_jail import Tool, Workshop, prepare_work, remove_work, run_tool
from deskd.supervision.uids import Identity

PACKAGES_MAX = 100  # with all that they need; the six shared ones are nine
FILES_MAX = 20_000  # sandbox/unpack.py stops at as many
TIMEOUT_S = 300  # of each step
REPORT_BYTES_MAX = 8_388_608
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+!-]{0,80}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIP = ("/pip/pip", "--isolated", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--quiet")
_ENV = {"TMPDIR": "/out", "HOME": "/out"}

_DOING = {"resolve": "resolving", "fetch": "fetching"}

log = structlog.get_logger()

type Say = Callable[[str], None]


class CannotBuild(ValueError):
    """The packages cannot be built. The text says at which step, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel that was resolved."""

    name: str
    version: str
    sha256: str

    def line(self) -> str:
        """Return it as pip takes it: this version with this content, or none."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n"


@dataclass(frozen=True, slots=True)
class Built:
    """A strategy's own set."""

    wheels: tuple[Wheel, ...]  # empty: it was there already
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Builds for one strategy."""

    shop: Workshop
    own: OwnPackages
    name: str
    who: Identity
    say: Say = field(default=lambda _: None)

    def build(self, wanted: Collection[Requirement]) -> Built:
        """Build what is asked for, if it is not there; raise CannotBuild. It blocks for as long as a download takes."""
        if self.own.place(wanted) is not None:
            return Built((), False)
        if self.shop.section.unsafe_without_jail:
            raise CannotBuild("packages are built in jails, and [sandbox] unsafe_without_jail = true: there are none")
        try:
            wheels = self._resolve(wanted)
            fetched = self._fetch(wheels)
            self._unpack(fetched, wheels, self.own.root / self.own.key(wanted))
        except SandboxUnavailable as error:
            raise CannotBuild(str(error)) from error
        except OSError as error:
            raise CannotBuild(f"{error}: look at the room and the rights below {self.shop.folder.root}") from error
        finally:
            for step in ("resolve", "fetch", "unpack"):
                self._clean(step)
        return Built(wheels, True)

    def _clean(self, step: str) -> None:
        try:
            remove_work(self._work(step), self.who)
        except OSError as error:  # the next build tries again, and cannot go on without
            log.warning("build_work_left", folder=str(self._work(step)), problem=str(error))

    def _work(self, step: str) -> Path:
        return self.shop.folder.root / "build" / f"{self.name}.{step}"

    def _resolve(self, wanted: Collection[Requirement]) -> tuple[Wheel, ...]:
        """Ask the index what is meant, and what that needs beside what is shared."""
        self.say(f"resolving {', '.join(one.line() for one in sorted(wanted))}")
        inputs = {
            "requirements.txt": "".join(f"{one.line()}\n" for one in sorted(wanted)).encode(),
            "constraints.txt": "".join(f"{name}=={v}\n" for name, v in self.own.shared.items()).encode(),
        }
        arguments = ["install", "--dry-run", "--only-binary=:all:", "--report", "/out/report.json"]
        arguments += ["--constraint", "/strategy/constraints.txt", "--requirement", "/strategy/requirements.txt"]
        self._run("resolve", inputs, arguments, "is each name and version right, has it a wheel for this Python?")
        report = _read_plain(self._work("resolve") / "out" / "report.json", REPORT_BYTES_MAX)
        wheels = read_report(report)
        if taken := sorted(wheel.name for wheel in wheels if wheel.name in self.own.shared):
            raise CannotBuild(f"resolving: it would replace the shared {', '.join(taken)}: ask for other versions")
        return wheels

    def _fetch(self, wheels: Collection[Wheel]) -> Path:
        """Fetch exactly those; return the folder that holds them, not to be trusted."""
        self.say(f"fetching {len(wheels)} wheels")
        inputs = {"requirements.txt": "".join(wheel.line() for wheel in wheels).encode()}
        arguments = ["download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--progress-bar=off"]
        arguments += ["--dest", "/out/wheels", "--requirement", "/strategy/requirements.txt"]
        self._run("fetch", inputs, arguments, "is the index reachable? Try again")
        return self._work("fetch") / "out" / "wheels"

    def _unpack(self, fetched: Path, wheels: Collection[Wheel], place: Path) -> None:
        """Unpack and compile them without a network, and keep what came out."""
        self.say("unpacking and compiling")
        work, mb = self._work("unpack"), self.shop.section.requirements_mb
        remove_work(work, self.who)
        prepare_work(work, {"unpack.py": (SANDBOX / "unpack.py").read_bytes()}, self.who)
        _take_wheels(fetched, {wheel.sha256 for wheel in wheels}, work / "in" / "wheels", mb << 20)
        arguments = ["/strategy/unpack.py", "/strategy/wheels", "/out/site", str(mb)]
        tool = self._tool("unpack", arguments, has_network=False, out_mb=2 * mb)  # the compiled ones come to it
        if problem := run_tool(self.shop, tool).problem:
            raise CannotBuild(f"unpacking: {problem}: these wheels are not taken; ask for others")

        def fill(fresh: Path) -> None:
            take_tree(work / "out" / "site", fresh / "site", bytes_max=2 * mb << 20, files_max=2 * FILES_MAX)
            (fresh / "lock.txt").write_text("".join(wheel.line() for wheel in wheels))
            open_to_all(fresh)

        make_once(place, fill)

    def _run(self, step: str, inputs: Mapping[str, bytes], arguments: list[str], hint: str) -> None:
        """Run pip in a jail with the network."""
        remove_work(self._work(step), self.who)
        prepare_work(self._work(step), inputs, self.who)
        index, reads = _index(self.shop.section.requirements_index)
        arguments = [*_PIP[:1], arguments[0], *_PIP[1:], *arguments[1:], *index]
        reads = {**reads, staged_pip(self.shop.folder.root): "/pip"}
        tool = self._tool(step, arguments, has_network=True, out_mb=self.shop.section.requirements_mb, reads=reads)
        if problem := run_tool(self.shop, tool).problem:
            raise CannotBuild(f"{_DOING[step]}: {problem} ({hint})")

    def _tool(
        self,
        step: str,
        arguments: list[str],
        *,
        has_network: bool,
        out_mb: int,
        reads: Mapping[Path, str] | None = None,
    ) -> Tool:
        return Tool(
            name=f"{self.name[:40]}.{step}",
            who=self.who,
            work=self._work(step),
            arguments=arguments,
            reads=tuple((reads or {}).items()),
            env=_ENV,
            out_mb=out_mb,
            timeout_s=TIMEOUT_S,
            has_network=has_network,
        )


def build_for(folder: Path, builder: Builder) -> str:
    """Build what the strategy in *folder* asks for; say what was done. Raise FolderError or CannotBuild."""
    files, _ = read_folder(folder)
    content = files.get(PurePosixPath(FILE))
    if content is None:
        return f"it has no {FILE}: it needs nothing beside what all strategies share"
    wanted = builder.own.read(content)
    if not wanted:
        return f"its {FILE} asks for nothing beside what all strategies share"
    if builder.own.policy == "deny":
        builder.own.check(folder.name, content)
    built = builder.build(wanted)
    if not built.is_new:
        return "its packages were built before"
    return f"built {', '.join(f'{wheel.name} {wheel.version}' for wheel in built.wheels)}"


def _index(index: str | None) -> tuple[list[str], dict[Path, str]]:
    """Return pip's options for where wheels come from, and what a jail must bind for them."""
    if index is None:
        return [], {}
    folder = Path(index).expanduser()
    if folder.is_absolute():
        return ["--no-index", "--find-links", "/index"], {folder.resolve(): "/index"}
    return ["--index-url", index], {}


def staged_pip(root: Path) -> Path:
    """Return the folder that holds the desk's own pip, where a build's uid can read it."""
    described = describe(None)
    place = root / "env" / f"pip-{version('pip')}-{described['name']}"

    def fill(fresh: Path) -> None:
        spec = importlib.util.find_spec("pip")
        assert spec is not None, "set-up made this environment with pip"
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, fresh / "pip", ignore=shutil.ignore_patterns("__pycache__"))
        compile_all(described, fresh, PurePath("/pip"))
        open_to_all(fresh)

    make_once(place, fill)
    return place


def read_report(report: bytes) -> tuple[Wheel, ...]:
    """Return what pip resolved; raise CannotBuild where the report says anything but wheels with hashes."""
    try:
        entries: list[Any] = json.loads(report)["install"]
        wheels = [
            Wheel(
                canonical(entry["metadata"]["name"]),
                entry["metadata"]["version"],
                entry["download_info"]["archive_info"]["hashes"]["sha256"],
            )
            for entry in entries
        ]
        are_good = all(
            NAME.fullmatch(w.name) and _VERSION.fullmatch(w.version) and _SHA256.fullmatch(w.sha256) for w in wheels
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CannotBuild(f"resolving: pip's report cannot be read ({type(error).__name__}): try again") from None
    if not are_good:
        raise CannotBuild("resolving: pip's report names what is no wheel: nothing is fetched")
    if len(wheels) > PACKAGES_MAX:
        raise CannotBuild(f"resolving: {len(wheels)} packages would come, over {PACKAGES_MAX}: ask for less")
    return tuple(sorted(wheels, key=lambda wheel: wheel.name))


# --- taking what a jail made: no links, no surprises -----------------------------------------------------------------


def _read_plain(path: Path, bytes_max: int) -> bytes:
    with os.fdopen(
        _open_plain(path.name, os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)), "rb"
    ) as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise CannotBuild(f"{path.name}: over {bytes_max >> 20} MB: nothing is taken from it")
    return content


def _open_plain(name: str, here: int, *, closes: bool = True) -> int:
    """Open a plain file of the folder *here* and nothing else: no link, no pipe that would make us wait."""
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=here)
    finally:
        if closes:
            os.close(here)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CannotBuild(f"{name!a}: is no plain file: nothing is taken")
    return descriptor


def take_tree(source: Path, target: Path, *, bytes_max: int, files_max: int) -> None:
    """Copy the plain files below *source*, within bounds; raise CannotBuild at the first thing that is another."""
    room, files = bytes_max, files_max
    if source.is_symlink():
        raise CannotBuild("unpacking left a link where a folder is meant: nothing is taken")
    for place, folders, names, here in os.fwalk(source, follow_symlinks=False):
        kept = target / Path(place).relative_to(source)
        kept.mkdir(parents=True)
        for name in (*folders, *names):
            files -= 1
            mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
            if files < 0 or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise CannotBuild(f"{name!a}: one file too many, or no plain file: nothing is taken")
        for name in names:
            descriptor = _open_plain(name, here, closes=False)
            with os.fdopen(descriptor, "rb") as file, (kept / name).open("wb") as copy:
                while chunk := file.read(1 << 20):
                    room -= len(chunk)
                    if room < 0:
                        raise CannotBuild(f"over {bytes_max >> 20} MB came out: nothing is taken")
                    copy.write(chunk)
                facts = os.fstat(file.fileno())
            os.utime(kept / name, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # its .pyc is valid for this time stamp


def _take_wheels(source: Path, hashes: Collection[str], target: Path, bytes_max: int) -> None:
    """Copy the wheels whose hash was resolved; raise CannotBuild where one is missing or another lies there."""
    take_tree(source, target, bytes_max=bytes_max, files_max=PACKAGES_MAX)
    found = set()
    for path in target.iterdir():
        if path.is_dir() or path.suffix != ".whl":
            raise CannotBuild(f"fetching: {path.name!a} came, which is no wheel: nothing is taken")
        with path.open("rb") as file:
            found.add(hashlib.file_digest(file, "sha256").hexdigest())
        path.chmod(0o644)
    target.chmod(0o755)
    if found != set(hashes):
        raise CannotBuild("fetching: what came is not what was resolved: try again")
