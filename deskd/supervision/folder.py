"""Reads a strategy's folder: every file once, within bounds, and nothing outside of it.

A folder may belong to a member of the machine, who can put a link to a secret there or swap a file while it is read.
So no link is ever followed by the kernel: folders are walked by descriptor, each opened below the one before it, and a
link to another file of the folder is resolved among what was read. A hard link to somebody else's file is no file of
this folder either. Names, depth, bytes and time are bounded: reading ends at the bound, not after it.
"""

import errno
import hashlib
import itertools
import os
import posixpath
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from deskd.domain.shown import one_line

FILES_MAX = 2_000  # folders count as well
BYTES_MAX = 64 * 1024 * 1024  # models and tables fit; a data lake does not
DEPTH_MAX = 16  # each level holds a descriptor of the desk's
PATH_BYTES_MAX = 512
TIME_MAX_S = 20.0
_NAME_SHOWN_MAX = 80
_SKIPPED = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
# O_NONBLOCK: opening a fifo must not wait for its writer
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


class FolderError(ValueError):
    """The folder cannot be taken as a strategy. The text names the file, the rule and the remedy."""


def read_folder(folder: Path) -> tuple[dict[PurePosixPath, bytes], str]:
    """Return every file by its name in the folder, and one sha256 over all names and contents."""
    try:
        reading = _read_all(folder)
    except OSError as error:
        if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and folder.is_symlink()):
            raise FolderError("is a link: move the folder itself here") from None
        raise FolderError(f"cannot be read ({_said(error)}): mend its permissions") from error
    files = reading.files
    for name, target in reading.links.items():
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if target.startswith("/") or inside not in files:
            raise FolderError(
                f"{_shown(name)}: is a link that does not lead to a file of this folder: copy the file into it"
            )
        reading.take(name, len(files[inside]))
        files[name] = files[inside]
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(os.fsencode(name) + b"\0%d\0" % len(files[name]))
        digest.update(files[name])
    return {PurePosixPath(name): files[name] for name in sorted(files)}, digest.hexdigest()


def _read_all(folder: Path) -> "_Reading":
    top = os.open(folder, _OPEN | os.O_DIRECTORY)
    try:
        reading = _Reading(os.fstat(top).st_uid)
        reading.walk(top, "", 1)
        return reading
    finally:
        os.close(top)


@dataclass(slots=True)
class _Reading:
    """What was read so far, and how much more may be."""

    owner: int  # of the folder
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    _count: int = 0
    _room: int = BYTES_MAX
    _until: float = field(default_factory=lambda: time.monotonic() + TIME_MAX_S)

    def walk(self, here: int, prefix: str, depth: int) -> None:
        """Read what is in the open folder *here*."""
        with os.scandir(here) as listed:
            names = sorted(entry.name for entry in itertools.islice(listed, FILES_MAX + 1 - self._count))
        for name in names:
            path = prefix + name
            self._count += 1
            if self._count > FILES_MAX:
                raise FolderError(f"has more than {FILES_MAX} files and folders: keep data and environments elsewhere")
            if time.monotonic() > self._until:
                raise FolderError(f"cannot be read within {TIME_MAX_S:g} s: keep data elsewhere")
            if len(os.fsencode(path)) > PATH_BYTES_MAX:
                raise FolderError(f"{_shown(path)}: is a path over {PATH_BYTES_MAX} bytes: use shorter names")
            mode = self._mode(path, name, here)
            if name in _SKIPPED and not stat.S_ISREG(mode):
                continue
            if stat.S_ISLNK(mode):
                self.links[path] = self._target(path, name, here)
            elif not stat.S_ISDIR(mode):
                self.files[path] = self._read(path, name, here, mode)
            else:
                self._enter(path, name, here, depth)

    def _mode(self, path: str, name: str, here: int) -> int:
        try:
            return os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
        except FileNotFoundError:
            raise _changed(path) from None

    def _target(self, path: str, name: str, here: int) -> str:
        try:
            return os.readlink(name, dir_fd=here)
        except OSError:
            raise _changed(path) from None

    def take(self, path: str, count: int) -> None:
        """Count bytes; raise FolderError where they are too many."""
        self._room -= count
        if self._room < 0:
            raise FolderError(f"{_shown(path)}: with it the folder is over {BYTES_MAX >> 20} MB: keep data elsewhere")

    def _enter(self, path: str, name: str, here: int, depth: int) -> None:
        if depth >= DEPTH_MAX:
            raise FolderError(f"{_shown(path)}: is more than {DEPTH_MAX} folders deep: move it up")
        inner = self._opened(path, name, here, os.O_DIRECTORY)
        try:
            self.walk(inner, f"{path}/", depth + 1)
        finally:
            os.close(inner)

    def _read(self, path: str, name: str, here: int, mode: int) -> bytes:
        if not stat.S_ISREG(mode):  # before it is opened: to open a device can be to use it
            raise FolderError(f"{_shown(path)}: is no plain file: remove it")
        with open(self._opened(path, name, here), "rb") as file:  # noqa: PTH123  by descriptor
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise FolderError(f"{_shown(path)}: is no plain file: remove it")
            if facts.st_nlink > 1 and facts.st_uid != self.owner:
                raise FolderError(f"{_shown(path)}: is a hard link to another user's file: copy the file")
            content = file.read(self._room + 1)
        self.take(path, len(content))
        return content

    def _opened(self, path: str, name: str, here: int, flag: int = 0) -> int:
        try:
            return os.open(name, _OPEN | flag, dir_fd=here)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENOENT}:  # it was something else a moment ago
                raise _changed(path) from None
            raise FolderError(f"{_shown(path)}: cannot be read ({_said(error)}): mend its permissions") from error


def _changed(path: str) -> FolderError:
    return FolderError(f"{_shown(path)}: changed while it was read: try again when it rests")


def _shown(path: str) -> str:
    return one_line(path if len(path) <= _NAME_SHOWN_MAX else f"{path[:_NAME_SHOWN_MAX]}…")


def _said(error: OSError) -> str:
    return error.strerror or type(error).__name__
