"""A jail of the desk's own: a script of ours in a folder of ours, made as a strategy's is."""

import os
import shutil
from pathlib import Path

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId, UserId
from deskd.supervision.jail import JailPlan
from deskd.supervision.process import Pipes
from deskd.supervision.scratch import prepare_scratch
from deskd.supervision.staging import Environment, give
from deskd.supervision.uids import Identity, can_map_uids

_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


def plan_of(
    name: str,
    script: bytes,
    place: Path,
    *,
    section: SandboxSection,
    environment: Environment,
    pipes: Pipes,
    path: str = _PATH,
) -> JailPlan:
    """Put *script* into the empty folder *place*, and return the jail it runs in; raise SandboxUnavailable or OSError.

    Nothing but the mount keeps the script from changing its own code. *path*: where the wrapper's programs are.
    """
    if not shutil.which("setpriv", path=path):
        raise SandboxUnavailable("setpriv is missing, and runs need it to die with the desk: install util-linux")
    prepare_scratch()
    who = (
        Identity(section.uid_first, section.uid_first, False)
        if can_map_uids()
        else Identity(os.geteuid(), os.getegid(), True)
    )
    code, knock = (place / folder for folder in ("code", "socket"))
    for folder in (code, knock):
        folder.mkdir()
    (code / "strategy.py").write_bytes(script)
    for one in (code, knock, code / "strategy.py"):  # the group's: what is another user's, we could not remove again
        give(one, -1, who.gid)
        one.chmod(0o770 if one.is_dir() else 0o660)
    return JailPlan(
        strategy_id=StrategyId(name),
        user_id=UserId(name),
        env={},
        who=who,
        environment=environment,
        code=code,
        socket_folder=knock,
        section=section,
        log_fd=pipes.log_fd,
        progress_fd=pipes.progress_fd,
        state_fd=pipes.state_fd,
    )
