"""Deployments over the control socket: the files come with the command, read by whoever gives it.

Rule 1: the desk reads no folder that a caller names: it may read what the caller may not.
Rule 2: members deploy versions of what is theirs, and cannot give it to another or take another's; a strategy that is
        new on this desk, with capital of its own, is an officer's to add.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec
import structlog
from aiohttp import web

from deskd.control.asking import CALLER, Refused, body_of, not_yours
from deskd.control.names import the_one
from deskd.control.people import Caller
from deskd.domain.events import CommandGiven, StrategyRegistered
from deskd.domain.ids import STRATEGY_ID, StrategyId
from deskd.domain.stage import Stage
from deskd.domain.strategy import StrategySpec
from deskd.ports import Clock, Runs
from deskd.supervision.deploying import Deployed, Deployer
from deskd.supervision.folder import BYTES_MAX, FolderError
from deskd.supervision.versions import CannotDeploy, Files

HEAD_DIGITS = 10  # the length of the head, in front of it
HEAD_MAX = 2_000_000  # 2,000 names

log = structlog.get_logger()


class Head(msgspec.Struct, frozen=True):
    """What is to be done with the bytes that follow: the files, one behind the other."""

    name: str
    files: list[tuple[str, int]]
    stage: Stage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployRoutes:
    """Answers /deploy, /rollback and /versions."""

    deployer: Deployer
    runs: Runs
    registered: Mapping[StrategyId, StrategyRegistered]
    wall: Clock
    post: Callable[[CommandGiven], Awaitable[None]]

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        app.router.add_post("/deploy", self._deploy)
        app.router.add_post("/rollback", self._rollback)
        app.router.add_get("/versions/{name}", self._versions)

    async def _deploy(self, request: web.Request) -> web.StreamResponse:
        head, files = await _received(request)
        name = StrategyId(head.name)
        self._must_manage(request[CALLER], name)
        as_stage = f" --as {head.stage}" if head.stage else ""
        by = await self._record(request, "deploy", f"{name}{as_stage}")
        return await self._done(
            self.deployer.deploy(
                name,
                files,
                by=by,
                allow=_allow(request[CALLER]),
                stage=head.stage,
                builds=request[CALLER].is_officer,
            )
        )

    async def _rollback(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request)
        typed, to = body.get("name"), body.get("to")
        if not isinstance(typed, str) or not (to is None or isinstance(to, str)):
            raise Refused(400, "which strategy? Give its name, and --to with the beginning of a version if you like")
        name = self._named(typed)
        self._must_manage(request[CALLER], name)
        by = await self._record(request, "rollback", f"{name} --to {to}" if to else name)
        caller = request[CALLER]
        return await self._done(self.deployer.rollback(name, to, by=by, allow=_allow(caller), builds=caller.is_officer))

    async def _versions(self, request: web.Request) -> web.StreamResponse:
        name = self._named(request.match_info["name"])
        self._must_manage(request[CALLER], name)
        return web.json_response({"strategy_id": name, "versions": await self.deployer.listed(name)})

    async def _done(self, work: Awaitable[Deployed]) -> web.StreamResponse:
        try:
            done = await work
        except (CannotDeploy, FolderError) as problem:
            raise Refused(422, str(problem)) from None
        return web.json_response(
            {
                "strategy_id": done.strategy_id,
                "code_hash": done.code_hash,
                "previous": done.previous or None,
                "stage": done.stage.value,
                "started": done.is_started,
                "status": str(self.runs.status(done.strategy_id)),
            }
        )

    def _named(self, typed: str) -> StrategyId:
        return StrategyId(the_one("strategy", typed, [found.strategy_id for found in self.runs.strategies()]))

    def _must_manage(self, caller: Caller, name: StrategyId) -> None:
        if caller.is_officer:
            return
        owner = next(
            (
                one.user_id
                for one in self.runs.strategies()
                if isinstance(one, StrategySpec) and one.strategy_id == name
            ),
            None,
        )
        known = self.registered.get(name)
        if owner is None and known is not None:
            owner = known.user_id  # what lies there is broken: it is still whose it was
        if owner is None:
            raise Refused(403, f"{name} is new on this desk: an officer adds it, and {caller.name} is none; ask one")
        if not caller.may_manage(owner):
            raise Refused(403, not_yours(caller, name))

    async def _record(self, request: web.Request, command: str, arguments: str) -> str:
        caller = request[CALLER]
        by = f"{caller.name} (uid {caller.uid})"
        await self.post(CommandGiven(by=by, command=command, arguments=arguments, at=self.wall.now()))
        log.info("command_given", by=by, command=command, arguments=arguments)
        return by


def _allow(caller: Caller) -> Callable[[StrategySpec], None]:
    def allow(spec: StrategySpec) -> None:
        if not caller.may_manage(spec.user_id):
            text = f"config.json: user_id: the strategy would be {spec.user_id}'s, and {caller.name} is no officer"
            raise Refused(403, f"{text}: write your own")

    return allow


async def _received(request: web.Request) -> tuple[Head, Files]:
    """Return what the body says, bounded before it is read."""
    wrong = Refused(400, "the body is not a head and the files it names: use deskctl deploy")
    try:
        length = await request.content.readexactly(HEAD_DIGITS)
        if not length.isdigit() or int(length) > HEAD_MAX:
            raise wrong
        head = msgspec.json.decode(await request.content.readexactly(int(length)), type=Head)
        sizes = [size for _, size in head.files]
        if any(size < 0 for size in sizes) or not STRATEGY_ID.fullmatch(head.name):
            raise wrong
        if sum(sizes) > BYTES_MAX:
            raise Refused(413, f"the folder is over {BYTES_MAX >> 20} MB: keep data elsewhere")
        files = {PurePosixPath(name): await request.content.readexactly(size) for name, size in head.files}
    except (ValueError, EOFError, msgspec.MsgspecError):
        raise wrong from None
    return head, files
