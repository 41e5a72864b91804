"""Reads a strategy's folder: every file once, within bounds, never through a link that leaves it."""

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath

FILES_MAX = 2_000
BYTES_MAX = 64 * 1024 * 1024  # models and tables fit; a data lake does not
_SKIPPED = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


class FolderError(ValueError):
    """The folder cannot be taken as a strategy. The text names the file, the rule and the remedy."""


def read_folder(folder: Path) -> tuple[dict[PurePosixPath, bytes], str]:
    """Return every file by its name in the folder, and one sha256 over all names and contents."""
    files: dict[PurePosixPath, bytes] = {}
    total = 0
    for name in sorted(_names(folder)):
        content = _read(folder, name, BYTES_MAX - total)
        total += len(content)
        files[name] = content
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(os.fsencode(name) + b"\0%d\0" % len(content))
        digest.update(content)
    return files, digest.hexdigest()


def _names(folder: Path) -> list[PurePosixPath]:
    names: list[PurePosixPath] = []
    for place, subfolders, files in os.walk(folder):  # does not follow links to folders
        subfolders[:] = [name for name in subfolders if name not in _SKIPPED]
        here = Path(place)
        for name in [*files, *(name for name in subfolders if (here / name).is_symlink())]:
            names.append(PurePosixPath((here / name).relative_to(folder)))
            if len(names) > FILES_MAX:
                raise FolderError(f"has more than {FILES_MAX} files: keep data and environments elsewhere")
    return names


def _read(folder: Path, name: PurePosixPath, room: int) -> bytes:
    path = folder / name
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            raise FolderError(f"{name}: is a link that leaves the folder: copy the file into it")
        # O_NONBLOCK: opening a fifo must not wait for its writer
        with open(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise FolderError(f"{name}: is no plain file: remove it")
            content = file.read(room + 1)
    except (OSError, RuntimeError) as error:
        raise FolderError(f"{name}: cannot be read ({error}): mend or remove it") from error
    if len(content) > room:
        raise FolderError(f"{name}: with it the folder is over {BYTES_MAX >> 20} MB: keep data elsewhere")
    return content
