"""Who is calling: an officer, a member, or nobody we know. The kernel tells the uid; nothing the caller says counts."""

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass

from deskd.domain.ids import UserId

OFFICERS_GROUP = "deskd-officers"

_UCRED = struct.Struct("iII")  # pid, uid, gid of the peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One person, as the machine knows them."""

    uid: int
    name: str  # the login name, or the uid where there is none
    is_officer: bool

    def may_manage(self, user_id: UserId) -> bool:
        """Tell whether what belongs to that member is theirs to see and to command: the login is the member's name."""
        return self.is_officer or self.name == user_id


def peer_of(descriptor: int) -> int:
    """Return the uid at the other end of a connected Unix socket."""
    with socket.socket(fileno=os.dup(descriptor)) as peer:
        _pid, uid, _gid = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return int(uid)


def look_up(uid: int) -> Caller:
    """Return who *uid* is. It may ask a directory service: call it in a thread."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Caller(uid=uid, name=str(uid), is_officer=uid in {0, os.geteuid()})
    is_officer = uid in {0, os.geteuid()} or officers_gid() in os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Caller(uid=uid, name=entry.pw_name, is_officer=is_officer)


def login_of_member(uid: int) -> str | None:
    """Return the login of *uid*; None where it has none, or is an officer's. It may ask a directory service."""
    caller = look_up(uid)
    return None if caller.is_officer or caller.name == str(uid) else caller.name


def officers_gid() -> int | None:
    """Return the number of the group of officers; None where the machine has none."""
    try:
        return grp.getgrnam(OFFICERS_GROUP).gr_gid
    except KeyError:
        return None  # no such group: only root and the desk's own user are officers
