r"""What a strategy keeps between runs: how /state gets onto the disk, and what lies there.

/state is a tmpfs of the run's own jail, so its bounds on bytes and files are the kernel's, in every set-up. The desk holds
a descriptor of it, and writes what is in it into one file of its own: nothing a member made ever has a name on the
desk's disk. Nothing in the tree is trusted: it is walked by descriptor, no link is followed, and the thread that walks
reads with the strategy's rights and no others.

The file: MAGIC, bytes and files (what it will take up again), entries, an end, and a digest of all after the head. An
entry is its kind, name, mode, time and size; a link has its target behind it, a file its extents (offset, length, data).
Entries come in an order in which they can be made. `sandbox/runner.py` reads it, inside of the jail.
"""

import ctypes
import errno
import hashlib
import itertools
import os
import stat
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from deskd.supervision.uids import Identity

MAGIC = b"deskd state 1\n\0\0"
HEAD = struct.Struct("<16sQQ")  # magic, bytes, files
ENTRY = struct.Struct("<cHHqQI")  # kind, bytes of the name, mode, mtime in ns, size, number of extents
EXTENT = struct.Struct("<QQ")  # offset, length
FOLDER, FILE, SYMLINK, HARDLINK, END = b"d", b"f", b"l", b"h", b"e"
DIGEST_BYTES = 16
DEPTH_MAX = 32
PATH_BYTES_MAX = 1_024
TIME_MAX_S = 30.0  # for one look or one copy; 64 MB take 0.1 s
_PAGE = 4_096
_SHORT_LINK = 127  # bytes of a link's target that the kernel keeps beside the link
_CHUNK = 1_048_576
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LOOSE = frozenset({errno.ENOENT, errno.ESTALE, errno.ELOOP, errno.ENOTDIR, errno.EINVAL})  # it was there a moment ago
_SHUT = frozenset({errno.EACCES, errno.EPERM})

_libc = ctypes.CDLL(None, use_errno=True)
_DUMPABLE = _libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)  # as it was before any thread acted as somebody else

type Signature = frozenset[tuple[bytes, int, int, int, int]]  # path, inode, change time, size, mode


class StateError(ValueError):
    """What is there cannot be kept, or cannot be given back. The text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much one strategy may keep."""

    bytes_max: int
    files_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How much it keeps."""

    bytes: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One look at /state, and what came of it."""

    signature: Signature | None  # None: it changed meanwhile
    use: Use
    is_new: bool  # it was written; else the file on disk has the same
    is_one_moment: bool  # nothing changed while it was copied
    left_out: tuple[str, ...]  # what cannot be kept, and why


@dataclass(slots=True)
class _Walk:
    """Bounds one walk through a tree that may be changed, or built, to hold us up."""

    files_max: int
    left_out: Counter[str] = field(default_factory=Counter)
    _count: int = 0
    _until: float = field(default_factory=lambda: time.monotonic() + TIME_MAX_S)

    def through(self, folder: int, prefix: bytes = b"", depth: int = 1) -> Iterator["_Found"]:
        """Yield what is below *folder*, each folder before what is in it."""
        with os.scandir(folder) as listed:
            room = self.files_max + 1 - self._count
            names = sorted(os.fsencode(entry.name) for entry in itertools.islice(listed, room))
        for name in names:
            self._count += 1
            if self._count > self.files_max:
                raise StateError(f"has more than {self.files_max} files and folders")
            if time.monotonic() > self._until:
                raise StateError(f"cannot be read within {TIME_MAX_S:g} s")
            path = prefix + name
            with suppress(FileNotFoundError):
                facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if len(path) > PATH_BYTES_MAX:
                    self.left_out[f"paths over {PATH_BYTES_MAX} bytes"] += 1
                    continue
                yield _Found(folder, name, path, facts)
                if stat.S_ISDIR(facts.st_mode):
                    yield from self._inside(folder, name, path, depth)

    def _inside(self, folder: int, name: bytes, path: bytes, depth: int) -> Iterator["_Found"]:
        if depth >= DEPTH_MAX:
            self.left_out[f"what is in folders more than {DEPTH_MAX} deep"] += 1
            return
        try:
            inner = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=folder)
        except OSError as error:
            self.pass_over(error)
            return
        try:
            yield from self.through(inner, path + b"/", depth + 1)
        finally:
            os.close(inner)

    def pass_over(self, error: OSError) -> None:
        """Go on without what is gone meanwhile, or shut even to its owner; raise any other error."""
        if error.errno in _SHUT:
            self.left_out["files that their own owner may not read"] += 1
        elif error.errno not in _LOOSE:
            raise error


@dataclass(frozen=True, slots=True)
class _Found:
    folder: int  # open while it is the walk's last
    name: bytes
    path: bytes
    facts: os.stat_result


@dataclass(slots=True)
class _Writer:
    """Writes entries into a fresh file."""

    file: BinaryIO
    bytes_max: int
    used: int = 0  # what it will take up in a tmpfs
    entries: int = 0
    _written: int = 0
    _known: dict[int, bytes] = field(default_factory=dict)  # inode: the first of its names
    _digest: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=DIGEST_BYTES))

    def add(self, found: _Found, walk: _Walk) -> None:
        """Add what was found, as it is now."""
        mode = found.facts.st_mode
        try:
            if stat.S_ISDIR(mode):
                self._entry(FOLDER, found.path, found.facts)
            elif stat.S_ISLNK(mode):
                target = os.readlink(found.name, dir_fd=found.folder)
                self._entry(SYMLINK, found.path, found.facts, size=len(target))
                self._put(target)
                self.used += _PAGE if len(target) > _SHORT_LINK else 0
            elif stat.S_ISREG(mode):
                self._add_file(found, walk)
            else:
                walk.left_out["sockets, pipes and devices"] += 1
        except OSError as error:
            walk.pass_over(error)

    def _add_file(self, found: _Found, walk: _Walk) -> None:
        file = os.open(found.name, _OPEN, dir_fd=found.folder)
        try:
            facts = os.fstat(file)
            if not stat.S_ISREG(facts.st_mode):
                walk.left_out["sockets, pipes and devices"] += 1
                return
            if (first := self._known.get(facts.st_ino)) is not None:
                self._entry(HARDLINK, found.path, facts, size=len(first))
                self._put(first)
                return
            if facts.st_nlink > 1:
                self._known[facts.st_ino] = found.path
            extents = list(_extents(file, facts.st_size))
            self._entry(FILE, found.path, facts, size=facts.st_size, extents=len(extents))
            for start, length in extents:
                self.used += (start + length + _PAGE - 1) // _PAGE * _PAGE - start // _PAGE * _PAGE
                self._put(EXTENT.pack(start, length))
                self._copy(file, start, length)
        finally:
            os.close(file)

    def _copy(self, file: int, start: int, length: int) -> None:
        end = start + length
        while start < end:
            data = os.pread(file, min(_CHUNK, end - start), start)
            data = data or bytes(min(_CHUNK, end - start))  # it has shrunk meanwhile: the form must hold
            self._put(data)
            start += len(data)

    def _entry(self, kind: bytes, path: bytes, facts: os.stat_result, *, size: int = 0, extents: int = 0) -> None:
        self.entries += 1
        mode = stat.S_IMODE(facts.st_mode) & 0o777
        self._put(ENTRY.pack(kind, len(path), mode, facts.st_mtime_ns, size, extents) + path)

    def _put(self, data: bytes) -> None:
        self._written += len(data)
        if self._written > self.bytes_max:  # more than the tree can hold: it was moved about while it was read
            raise StateError("was rewritten faster than it could be read")
        self._digest.update(data)
        self.file.write(data)

    def finish(self) -> bytes:
        """Write end, digest and head; return all by which one file is told from another."""
        self._put(ENTRY.pack(END, 0, 0, 0, 0, 0))
        digest = self._digest.digest()
        self.file.write(digest)
        self.file.seek(0)
        head = HEAD.pack(MAGIC, self.used, self.entries)
        self.file.write(head)
        self.file.flush()
        return head + digest


def _extents(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where the file has data: a hole of a terabyte costs nothing to keep."""
    offset = 0
    with suppress(OSError):  # ENXIO: nothing but a hole is left
        while offset < size:
            start = os.lseek(file, offset, os.SEEK_DATA)
            end = min(os.lseek(file, start, os.SEEK_HOLE), size)
            if end > start:
                yield start, end - start
            offset = max(end, start + _PAGE)


@contextmanager
def acting_as(who: Identity) -> Iterator[None]:
    """Let this thread, and no other, reach files as *who* and nobody more: the kernel keeps file rights by thread.

    Where strategies are the desk's own user there is nobody else to act as. Call it in a worker thread.
    """
    if who.is_own:
        yield
        return
    try:
        _libc.setfsgid(who.gid)
        _libc.setfsuid(who.uid)
        if _libc.setfsuid(-1) != who.uid:  # it returns who it was, and has no errors
            raise PermissionError(errno.EPERM, f"the desk cannot act as uid {who.uid} (CAP_SETUID)")
        yield
    finally:
        _libc.setfsuid(os.geteuid())
        _libc.setfsgid(os.getegid())
        _libc.prctl(_PR_SET_DUMPABLE, _DUMPABLE, 0, 0, 0)  # the change has cleared it, for all threads


def save(state: int, file: Path, who: Identity, bounds: Bounds, last: Signature | None) -> Saved:
    """Keep what is below the folder *state* in *file*, where it differs from *last*; on disk when this returns.

    What is on disk is always whole: the old, or the new. Raise StateError or OSError and leave the old.
    """
    walk = _Walk(bounds.files_max)
    with acting_as(who), _opened(state) as folder:
        before = _signed(walk, folder)
    if before == last or (not before and not file.exists()):
        return _unchanged(before, file, walk)
    fresh = file.with_name(f".{file.name}.new")
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(fresh, flags, 0o600), "w+b") as archive:  # noqa: PTH123  by descriptor
            mark, after, walk, use = _copied(state, archive, who, bounds)
            if after != before:  # once more: a busy strategy rests now and then
                archive.seek(0)
                archive.truncate()
                before = after
                mark, after, walk, use = _copied(state, archive, who, bounds)
            if is_new := mark != _mark(file):
                os.fsync(archive.fileno())
        if is_new:
            fresh.rename(file)
            _sync_folder(file.parent)
    finally:
        fresh.unlink(missing_ok=True)
    is_one_moment = before == after
    return Saved(
        signature=after if is_one_moment else None,
        use=use,
        is_new=is_new,
        is_one_moment=is_one_moment,
        left_out=_told(walk),
    )


def take_over(folder: Path, file: Path, who: Identity, bounds: Bounds) -> None:
    """Keep in *file* what lies in a folder that strategies wrote to directly. The folder stays as it is."""
    with acting_as(who):
        state = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        save(state, file, who, bounds, None)
    except StateError as problem:
        raise StateError(f"{folder}: {problem}: remove what is too much, or move the folder away") from None
    finally:
        os.close(state)


def _copied(state: int, archive: BinaryIO, who: Identity, bounds: Bounds) -> tuple[bytes, Signature, _Walk, Use]:
    walk = _Walk(bounds.files_max)
    writer = _Writer(archive, 2 * bounds.bytes_max + (bounds.files_max + 1) * (ENTRY.size + 2 * PATH_BYTES_MAX))
    archive.write(bytes(HEAD.size))
    with acting_as(who), _opened(state) as folder:
        for found in walk.through(folder):
            writer.add(found, walk)
        after = _signed(_Walk(bounds.files_max), folder)
    return writer.finish(), after, walk, Use(bytes=writer.used, files=writer.entries)


def _unchanged(signature: Signature, file: Path, walk: _Walk) -> Saved:
    use = kept(file) or Use(bytes=0, files=0)
    return Saved(signature=signature, use=use, is_new=False, is_one_moment=True, left_out=_told(walk))


def _told(walk: _Walk) -> tuple[str, ...]:
    return tuple(f"{what}: {count}" for what, count in sorted(walk.left_out.items()))


def _signed(walk: _Walk, folder: int) -> Signature:
    """Return what changes when anything below *folder* does: change times cannot be set back."""
    facts = ((found.path, found.facts) for found in walk.through(folder))
    return frozenset((path, at.st_ino, at.st_ctime_ns, at.st_size, at.st_mode) for path, at in facts)


@contextmanager
def _opened(state: int) -> Iterator[int]:
    """Open the folder anew, with the rights of whoever opens it."""
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=state)
    try:
        yield folder
    finally:
        os.close(folder)


def kept(file: Path) -> Use | None:
    """Return what *file* will take up again in a /state; None where nothing is kept. Raise StateError for no such file."""
    try:
        with file.open("rb") as archive:
            head = archive.read(HEAD.size)
    except FileNotFoundError:
        return None
    if len(head) < HEAD.size or not head.startswith(MAGIC):
        raise StateError(f"{file}: holds no strategy's state: restore it from a backup, or remove it to start empty")
    _, used, files = HEAD.unpack(head)
    return Use(bytes=used, files=files)


def _mark(file: Path) -> bytes | None:
    """Return head and digest of a file: the same for the same content."""
    try:
        with file.open("rb") as archive:
            head = archive.read(HEAD.size)
            archive.seek(-DIGEST_BYTES, os.SEEK_END)
            return head + archive.read()
    except OSError:
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
