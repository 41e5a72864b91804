"""Which of the three ways of jailing this desk has, and what the weaker one means.

| set-up | the desk is | strategies are |
|---|---|---|
| `root` | root (cgroup v1 or v2) | each a uid of its own |
| `own_uids` | a user with CAP_SETUID, SETGID and CHOWN, as `deskd.service` runs it | each a uid of its own |
| `one_uid` | a user without any capability | all the desk's own uid: weaker |
"""

from enum import StrEnum

WEAKER = (
    "all strategies share the desk's own uid: a run that escapes its jail is the desk, may read every strategy and the "
    "ledger, and keeps the desk's groups; only the path of its order socket tells who calls"
)
REMEDY = (
    "run the desk by deskd.service, which gives it CAP_SETUID, CAP_SETGID and CAP_CHOWN "
    "(AmbientCapabilities=) and each strategy a uid of its own"
)


class SetUp(StrEnum):
    """How strategies are kept apart from the desk and from each other."""

    ROOT = "root"
    OWN_UIDS = "own_uids"
    ONE_UID = "one_uid"
    NO_JAIL = "no_jail"

    @property
    def text(self) -> str:
        """Return it in words."""
        return {
            SetUp.ROOT: "jails made by root, one uid per strategy",
            SetUp.OWN_UIDS: "jails made without root, one uid per strategy",
            SetUp.ONE_UID: "jails made without root, ONE uid for all strategies",
            SetUp.NO_JAIL: "NO jails",
        }[self]


def set_up_of(*, is_jailed: bool, maps_uids: bool, euid: int) -> SetUp:
    """Return the set-up of a desk that is that user and has those rights."""
    if not is_jailed:
        return SetUp.NO_JAIL
    if not maps_uids:
        return SetUp.ONE_UID
    return SetUp.ROOT if euid == 0 else SetUp.OWN_UIDS
