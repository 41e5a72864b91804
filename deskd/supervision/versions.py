"""Keeps a strategy's versions by what is in them, and puts one in the place of another: old or new, never half.

A version is made and checked beside strategies_dir's folders, on the same disk, then the kernel exchanges the two
folders in one step. What lay there is kept before. Power may fail at any moment: all is on disk before the exchange.
"""

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from deskd.domain.ids import StrategyId
from deskd.supervision.folder import BYTES_MAX, DEPTH_MAX, FILES_MAX, PATH_BYTES_MAX, FolderError, read_folder

KEPT_MAX = 20  # of each strategy; the oldest go, never what lies in its folder
AT_WORK = ".deploying"  # in strategies_dir; names with a dot in front are no strategies
_EXCHANGE = 2  # RENAME_EXCHANGE
_HERE = -100  # AT_FDCWD
_MINE = stat.S_IRWXU

type Files = Mapping[PurePosixPath, bytes]


class CannotDeploy(ValueError):
    """The version does not come into use. The text says why, and what to do; what was there is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One that is kept."""

    code_hash: str
    kept_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The versions of all strategies. Nothing here waits for the loop: call it in a thread."""

    root: Path  # state_dir/versions: NAME/HASH/
    strategies_dir: Path

    def sweep(self) -> None:
        """Remove what a deployment that was cut short has left."""
        shutil.rmtree(self.strategies_dir / AT_WORK, ignore_errors=True)

    def lay_out(self, name: StrategyId, files: Files) -> Path:
        """Write the files into a fresh folder of the strategy's name, on the disk of its place; return it."""
        _must_be_bounded(files)
        at_work = self.strategies_dir / AT_WORK
        self.sweep()
        try:
            at_work.mkdir(mode=_MINE)
            folder = at_work / name
            _write(folder, files)
        except OSError as error:
            text = f"{self.strategies_dir}: cannot be written ({error.strerror}): let the desk's user write there"
            raise CannotDeploy(text) from None
        return folder

    def present(self, name: StrategyId) -> tuple[Files, str] | None:
        """Return what lies in the strategy's folder and its hash; None where there is none, or none that can be read."""
        try:
            return read_folder(self.strategies_dir / name)
        except FolderError:
            return None

    def keep(self, name: StrategyId, files: Files, code_hash: str) -> None:
        """Keep the version; a second time does nothing but call it the newest."""
        home = self.root / name
        place = home / code_hash
        home.mkdir(parents=True, exist_ok=True, mode=_MINE)
        if place.is_dir():
            os.utime(place)
            return
        fresh = home / f".{code_hash}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        _write(fresh, files)
        fresh.rename(place)
        _sync(home)

    def prune(self, name: StrategyId, *, present: str) -> None:
        """Remove the oldest beyond KEPT_MAX, never *present*."""
        for version in self.kept(name)[KEPT_MAX:]:
            if version.code_hash != present:
                shutil.rmtree(self.root / name / version.code_hash, ignore_errors=True)

    def kept(self, name: StrategyId) -> list[Version]:
        """Return what is kept, the newest first."""
        home = self.root / name
        found = [place for place in home.iterdir() if place.name[0] != "."] if home.is_dir() else []
        times = {place: place.stat().st_mtime for place in found}
        newest = sorted(found, key=lambda place: (-times[place], place.name))
        return [Version(code_hash=one.name, kept_at=datetime.fromtimestamp(times[one], UTC)) for one in newest]

    def files_of(self, name: StrategyId, code_hash: str) -> Files:
        """Return the files of a version that is kept."""
        files, found = read_folder(self.root / name / code_hash)
        if found != code_hash:
            raise CannotDeploy(f"{self.root / name / code_hash}: was changed since it was kept: deploy from a folder")
        return files

    def switch(self, fresh: Path) -> None:
        """Put the folder into its place, and remove what was there. The kernel does it in one step."""
        place = self.strategies_dir / fresh.name
        if place.is_dir() and not place.is_symlink():
            _take_after(fresh, place)
            _exchange(fresh, place)
        else:
            fresh.rename(place)
        _sync(self.strategies_dir)
        self.sweep()


def _must_be_bounded(files: Files) -> None:
    """Refuse what could not be read back, or would lie outside of its folder."""
    if len(files) > FILES_MAX:
        raise CannotDeploy(f"has more than {FILES_MAX} files: keep data and environments elsewhere")
    if sum(map(len, files.values())) > BYTES_MAX:
        raise CannotDeploy(f"is over {BYTES_MAX >> 20} MB: keep data elsewhere")
    for name in files:
        is_odd = name.is_absolute() or not name.parts or ".." in name.parts or "\0" in str(name)
        if is_odd or len(name.parts) > DEPTH_MAX or len(os.fsencode(name)) > PATH_BYTES_MAX:
            raise CannotDeploy(f"{str(name)[:80]!r}: is no name of a file in the folder: rename it")


def _write(folder: Path, files: Files) -> None:
    """Make the folder, and have all of it on disk."""
    folder.mkdir(mode=0o755)
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        _sync(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take_after(fresh: Path, place: Path) -> None:
    """Give the new folder to whom the old one belongs: who edits there goes on to."""
    facts = place.stat()
    fresh.chmod(stat.S_IMODE(facts.st_mode))
    if os.geteuid() == 0:
        for path in _all_of(fresh):
            os.chown(path, facts.st_uid, facts.st_gid, follow_symlinks=False)


def _all_of(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")


def _exchange(one: Path, other: Path) -> None:
    """Let the two folders change places: at no moment is there none, or a part of one."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return
    code = ctypes.get_errno()
    text = f"{other}: cannot be exchanged ({os.strerror(code)})"
    if code in {errno.EINVAL, errno.ENOSYS, errno.EXDEV}:
        text += ": its disk cannot exchange folders in one step: put strategies_dir on ext4, xfs, btrfs or tmpfs"
    raise CannotDeploy(text)
