"""Kill and release over the control socket. A kill is anybody's who owns what it stops; a release is an officer's.

Rule 1: officers may kill everything; members their own strategies, and all that is theirs.
Rule 2: a kill needs a reason, and so does a release: both are facts.
Rule 3: what is answered stands in the ledger already; how far cancelling and closing is, `status` tells.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import structlog
from aiohttp import web

from deskd.control.answers import KillAnswer
from deskd.control.asking import CALLER, Refused, body_of, not_yours
from deskd.control.names import the_one
from deskd.control.people import Caller
from deskd.control.views import instant
from deskd.core.kills import Kill, Kills
from deskd.domain import events as ev
from deskd.domain.ids import SYMBOL, StrategyId, Symbol, UserId
from deskd.domain.kill import THE_DESK, KillCause, KillDepth, KillScope, KillTarget
from deskd.domain.strategy import StrategySpec
from deskd.ports import Clock, Runs

REASON_MAX = 1_000  # characters

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class KillRoutes:
    """Answers /kill and /release."""

    kills: Kills
    runs: Runs
    registered: Mapping[StrategyId, ev.StrategyRegistered]  # all that ever were: a folder that is gone leaves its book
    wall: Clock
    post: Callable[[ev.Event], Awaitable[None]]  # returns when it is on disk
    symbols: Callable[[], Collection[Symbol]]  # that can be traded; empty: the broker did not tell yet
    held_by: Callable[[], str | None]  # what would pull the desk's kill again at once, such as a file; None: nothing

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        app.router.add_post("/kill", self._kill)
        app.router.add_post("/release", self._release)

    async def _kill(self, request: web.Request) -> web.StreamResponse:
        body, caller = await body_of(request), request[CALLER]
        target, depth, reason = self._target(body), _depth(body), _reason(body)
        if not self._may_kill(caller, target):
            raise Refused(403, self._not_theirs(caller, target))
        by = _by(caller)
        before = self.kills.in_force.get(target)
        await self._record(by, "kill", f"{target} depth={depth} reason={reason!r}")
        await self.post(
            ev.KillEngaged(
                target=target, depth=depth, cause=KillCause.COMMAND, by=by, reason=reason, at=self.wall.now()
            )
        )
        kill = self.kills.in_force.get(target)
        if kill is None:  # an officer released it in the same instant
            raise Refused(409, f"the kill of {target} was released at once by somebody else")
        return web.json_response({"kill": view(kill), "changed": before is None or before.depth is not kill.depth})

    async def _release(self, request: web.Request) -> web.StreamResponse:
        body, caller = await body_of(request), request[CALLER]
        target, reason = self._target(body), _reason(body)
        if not caller.is_officer:
            raise Refused(403, f"only officers release a kill: {caller.name} is none; tell one why it is safe")
        known = self.kills.of(target)
        if known is None:
            others = ", ".join(str(other) for other in sorted({kill.target for kill in self.kills.all()})) or "none"
            raise Refused(404, f"no kill of {target} is in force; in force: {others}")
        if target == THE_DESK and (held := self.held_by()) is not None:
            raise Refused(409, f"{held} would pull it again at once: take it away first, then release")
        by = _by(caller)
        await self._record(by, "release", f"{target} reason={reason!r}")
        await self.post(ev.KillReleased(target=target, by=by, reason=reason, at=self.wall.now()))
        still = [view(kill) for kill in self.kills.all()]
        return web.json_response({"released": view(known), "in_force": still})

    async def _record(self, by: str, command: str, arguments: str) -> None:
        await self.post(ev.CommandGiven(by=by, command=command, arguments=arguments, at=self.wall.now()))
        log.info("command_given", by=by, command=command, arguments=arguments)

    def _target(self, body: Mapping[str, object]) -> KillTarget:
        given = {key: body[key] for key in ("strategy", "user", "symbol") if body.get(key) is not None}
        if not given:
            return THE_DESK
        if len(given) > 1:
            raise Refused(
                400, f"give one of --strategy, --user and --symbol, not {len(given)}: each is a kill of its own"
            )
        [(key, typed)] = given.items()
        if not isinstance(typed, str):
            raise Refused(400, f"{key}: a name is a text")
        members = self._members()
        known = {kill.target.name for kill in self.kills.all()}
        match key:
            case "strategy":
                here = {found.strategy_id for found in self.runs.strategies()}
                names = sorted(here | (({*members} | known) & {typed}))  # of what is gone the whole name
                return KillTarget(KillScope.STRATEGY, the_one("strategy", typed, names))
            case "user":
                names = sorted({str(member) for member in members.values()} | (known & {typed}))
                return KillTarget(KillScope.MEMBER, the_one("member", typed, names))
            case _:
                if not SYMBOL.fullmatch(typed.upper()):
                    raise Refused(400, f"symbol={typed!r}: not a symbol, such as AAPL or BRK.B")
                return KillTarget(KillScope.SYMBOL, self._symbol(typed.upper(), known))

    def _symbol(self, typed: str, killed: Collection[str]) -> str:
        """Return the symbol; refuse one that nobody can trade: whoever mistyped it believes that the other is stopped."""
        symbols = self.symbols()
        if not symbols or typed in symbols or typed in killed:
            return typed
        near = get_close_matches(typed, symbols, n=1, cutoff=0.6)
        meant = f"did you mean {near[0]}?" if near else "positions and orders show what is traded"
        raise Refused(404, f"no instrument {typed!r} is known to the broker; {meant}")

    def _may_kill(self, caller: Caller, target: KillTarget) -> bool:
        if caller.is_officer:
            return True
        if target.scope is KillScope.MEMBER:
            return target.name == caller.name
        member = self._members().get(StrategyId(target.name))
        return target.scope is KillScope.STRATEGY and member is not None and caller.may_manage(member)

    def _members(self) -> Mapping[StrategyId, UserId]:
        """Return whose each strategy is: by its folder, and where that is gone, as it was last registered."""
        last = {name: known.user_id for name, known in self.registered.items()}
        specs = (found for found in self.runs.strategies() if isinstance(found, StrategySpec))
        return last | {spec.strategy_id: spec.user_id for spec in specs}

    @staticmethod
    def _not_theirs(caller: Caller, target: KillTarget) -> str:
        if target.scope in {KillScope.DESK, KillScope.SYMBOL}:
            return f"a kill of the {target} stops every member: {caller.name} is no officer; name what is yours: --strategy NAME"
        return not_yours(caller, str(target))


def _depth(body: Mapping[str, object]) -> KillDepth:
    if body.get("flatten"):
        return KillDepth.FLATTEN
    if body.get("cancel"):
        return KillDepth.CANCEL
    return KillDepth.REDUCE_ONLY if body.get("reduce_only") else KillDepth.STOP_NEW


def _reason(body: Mapping[str, object]) -> str:
    reason = body.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise Refused(422, "why? Give --reason TEXT: it goes into the ledger")
    return reason.strip()[:REASON_MAX]


def _by(caller: Caller) -> str:
    return f"{caller.name} (uid {caller.uid})"


def view(kill: Kill) -> KillAnswer:
    """Return the kill as `status` and the answers show it."""
    return {
        "scope": kill.target.scope.value,
        "name": kill.target.name or None,
        "depth": kill.depth.value,
        "since": instant(kill.since),
        "cause": kill.latest.cause.value,
        "by": kill.latest.by,
        "reason": kill.latest.reason,
        "until": None if kill.until is None else instant(kill.until),
        "flat_at": None if kill.flat_at is None else instant(kill.flat_at),
        "left": list(kill.left),
    }
