"""Reads a strategy's folder: every file once, within bounds, and nothing outside of it.

A folder may belong to a member of the machine, who can put a link to a secret there or swap a file while it is read.
So no link is ever followed by the kernel: folders are walked by descriptor, and a link to another file of the folder
is resolved among what was read.
"""

import hashlib
import os
import posixpath
import stat
from pathlib import Path, PurePosixPath

FILES_MAX = 2_000
BYTES_MAX = 64 * 1024 * 1024  # models and tables fit; a data lake does not
_SKIPPED = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


class FolderError(ValueError):
    """The folder cannot be taken as a strategy. The text names the file, the rule and the remedy."""


def read_folder(folder: Path) -> tuple[dict[PurePosixPath, bytes], str]:
    """Return every file by its name in the folder, and one sha256 over all names and contents."""
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    try:
        _walk(folder, files, links)
    except OSError as error:
        raise FolderError(f"cannot be read ({error}): mend its permissions") from error
    for name, target in links.items():
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if target.startswith("/") or inside not in files:
            raise FolderError(f"{name}: is a link that does not lead to a file of this folder: copy the file into it")
        files[name] = files[inside]
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(os.fsencode(name) + b"\0%d\0" % len(files[name]))
        digest.update(files[name])
    return {PurePosixPath(name): files[name] for name in sorted(files)}, digest.hexdigest()


def _walk(folder: Path, files: dict[str, bytes], links: dict[str, str]) -> None:
    if folder.is_symlink():
        raise FolderError("is a link: move the folder itself here")
    room = BYTES_MAX
    for place, subfolders, names, here in os.fwalk(folder, follow_symlinks=False):
        subfolders[:] = sorted(name for name in subfolders if name not in _SKIPPED)
        for name in [*names, *subfolders]:
            path = posixpath.normpath(posixpath.join(os.path.relpath(place, folder), name))
            mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                links[path] = os.readlink(name, dir_fd=here)
            elif not stat.S_ISDIR(mode):
                files[path] = _read(path, name, here, room)
                room -= len(files[path])
            if len(files) + len(links) > FILES_MAX:
                raise FolderError(f"has more than {FILES_MAX} files: keep data and environments elsewhere")


def _read(path: str, name: str, here: int, room: int) -> bytes:
    # O_NONBLOCK: opening a fifo must not wait for its writer
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, dir_fd=here), "rb") as file:  # noqa: PTH123  by descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FolderError(f"{path}: is no plain file: remove it")
        content = file.read(room + 1)
    if len(content) > room:
        raise FolderError(f"{path}: with it the folder is over {BYTES_MAX >> 20} MB: keep data elsewhere")
    return content
