"""The two folders that nsjail mounts a new jail's root and its working files on, in the desk's own hands.

nsjail gives them names that anybody can guess, below the first of /run/user and /tmp that it can use, and makes what is
missing as the strategy's uid. Left to itself:

- where the desk has umask 0027, as in its unit, the first strategy's uid shuts all others out, and each of their runs
  makes two folders under random names that nobody removes;
- whoever has a shell on the machine may make them first, and choose what a jail's root is mounted on.

So they are there before nsjail looks, the desk's own, open to all and empty. Mounts on them are the jail's alone.
"""

import contextlib
import os
import stat
from pathlib import Path

from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.uids import can_map_uids

PURPOSES = ("root", "tmp")
_MODE = 0o755
_TRIES = 3  # somebody may put theirs there between our looks


def prepare_scratch(temporary: Path = Path("/tmp"), sessions: Path = Path("/run/user")) -> None:  # noqa: S108
    """Have both folders; a second call only looks. Raise SandboxUnavailable where somebody else's is in the way."""
    uid = os.geteuid()
    if not can_map_uids() and _is_ours(sessions / str(uid), uid):
        return  # nsjail makes them in the session's own folder, which nobody else can enter
    for purpose in PURPOSES:
        name = f"nsjail.{uid}.{purpose}"
        if os.path.lexists(sessions / name):  # nsjail would take it before ours
            _have(sessions / name, uid)
        _have(temporary / name, uid)


def _have(path: Path, uid: int) -> None:
    """Make the folder ours: take it over where we may, for a run may be starting on it."""
    problem: OSError | None = None
    for _ in range(_TRIES):
        if _is_ours(path, uid) and path.lstat().st_mode & 0o777 == _MODE:
            return
        try:
            _take(path, uid)
        except OSError as error:
            problem = error
    if _is_ours(path, uid) and path.lstat().st_mode & 0o777 == _MODE:
        return
    why = f" ({problem.strerror})" if problem is not None else ""
    raise SandboxUnavailable(
        f"{path}: jails are mounted on this folder, and it is not the desk's own{why}: remove it as root, or give the "
        "desk a /tmp of its own (PrivateTmp=yes, as deskd.service does)"
    )


def _take(path: Path, uid: int) -> None:
    if path.is_dir() and not path.is_symlink():
        os.chown(path, uid, -1, follow_symlinks=False)
        if _is_ours(path, uid):  # then nobody can put another into its place: /tmp and /run/user are closed to that
            path.chmod(_MODE)
        return
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    path.mkdir()
    path.chmod(_MODE)  # whatever the umask


def _is_ours(path: Path, uid: int) -> bool:
    try:
        facts = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == uid
