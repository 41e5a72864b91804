"""The order endpoint: a door per run, whose socket is the run's identity, and one on loopback for laptops."""

import asyncio
import math
import socket
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from deskd.api.connection import Bounds
from deskd.api.door import Door, listen_unix
from deskd.api.rate import Budget, TokenBucket
from deskd.api.request import Answer, BadRequest, Request
from deskd.api.routes import Reply, Routes, refusal
from deskd.api.tokens import Tokens
from deskd.api.waiting import Waiting
from deskd.config import ApiSection
from deskd.domain.errors import ConfigError
from deskd.domain.ids import STRATEGY_ID, RunId, StrategyId
from deskd.domain.reasons import RefusalReason
from deskd.domain.strategy import DeskWait, StrategySpec
from deskd.ports import Clock, Orders
from deskd.wire import strategy as wire

SOCKET_NAME = "order.sock"

_ACCEPTS_PER_S = 100  # new connections of one door; a strategy that keeps its connection makes one
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost"})
_LOG_EVERY_S = 10.0  # a run over its rate is in the log once in so long
_PEER_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
_REASONS = {408: RefusalReason.INVALID, 413: RefusalReason.TOO_LARGE, 503: RefusalReason.OVERLOADED}

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Caller:
    """A strategy at a door, and what it has left of its rate."""

    spec: StrategySpec
    budget: Budget
    posing: "_Complaints"  # as somebody else
    over_logged_at: float = -math.inf


@dataclass(slots=True)
class _Complaints:
    """Tells the log why requests were refused and connections cut: a flood of them is one line in ten seconds."""

    clock: Clock
    whose: dict[str, str]  # keys of the log line
    _told_at: float = -math.inf
    _untold: int = 0

    def refuse(self, bad: BadRequest) -> Answer:
        """Answer bytes that are no request of ours."""
        self.tell("request_refused", status=bad.status, why=bad.message)
        return _refuse_bytes(bad)

    def cut(self, why: str) -> None:
        """Note that a connection was ended without a word."""
        self.tell("connection_cut", why=why)

    def tell(self, event: str, **what: object) -> None:
        """Log it, unless something was logged a moment ago."""
        now = self.clock.monotonic()
        if now - self._told_at < _LOG_EVERY_S:
            self._untold += 1
            return
        more = {"untold_before": self._untold} if self._untold else {}
        self._told_at, self._untold = now, 0
        log.warning(event, **self.whose, **what, **more)


class Api:
    """Satisfies ports.Doors. Its tasks live in *tasks*; cancelling a request never cancels its order."""

    def __init__(
        self,
        orders: Orders,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        *,
        config: ApiSection,
        requests_per_s: int,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        bounds: Bounds | None = None,
    ) -> None:
        self._clock = clock
        self._tasks = tasks
        self.requests_per_s = requests_per_s  # of the doors that are opened from now on
        self._bounds = bounds or Bounds(connections_max=config.connections_max, body_max=wire.BODY_MAX)
        self._routes = Routes(orders, new_id=new_id, answer_timeout_s=config.answer_timeout_s)
        self._doors: dict[RunId, tuple[Door, Path]] = {}
        self._waiting: dict[RunId, Waiting] = {}
        self._local: Door | None = None

    async def open(self, spec: StrategySpec, run_id: RunId, directory: Path, uid: int | None) -> None:
        """Listen on DIRECTORY/order.sock for that run alone; *uid* is the only peer allowed (None: not told apart)."""
        assert run_id not in self._doors, f"{run_id} has a door"
        path = directory / SOCKET_NAME
        whose = {**_named(spec), "run_id": str(run_id)}
        complaints, strangers = _Complaints(self._clock, whose), _Complaints(self._clock, whose)
        caller = _Caller(spec, self._budget(spec), _Complaints(self._clock, whose))

        def admit(connection: socket.socket) -> Answer | None:
            peer = _peer_uid(connection)
            if uid is None or peer == uid:
                return None
            strangers.tell("peer_refused", peer_uid=peer, uid=uid)
            return _bare(403, RefusalReason.IDENTITY, f"this socket belongs to {spec.strategy_id}")

        waiting = Waiting(self._clock)

        async def answer(request: Request) -> Answer:
            with waiting.one(is_question=request.method == "GET"):
                return await self._answer(caller, request)

        door = Door(
            listen_unix(path, uid),
            self._bounds,
            TokenBucket(max(_ACCEPTS_PER_S, self.requests_per_s), self._clock),
            admit=admit,
            answer=answer,
            refuse=complaints.refuse,
            cut=complaints.cut,
        )
        self._doors[run_id] = (door, path)
        self._waiting[run_id] = waiting
        door.start(self._tasks, run_id)

    async def close(self, run_id: RunId) -> None:
        """Close the door and its connections. Safe to call twice."""
        if (found := self._doors.pop(run_id, None)) is not None:
            door, path = found
            await door.close()
            path.unlink(missing_ok=True)
            del self._waiting[run_id]

    def waited(self, run_id: RunId) -> DeskWait:
        """Return what the run waited for the desk so far; nothing where it has no door."""
        waiting = self._waiting.get(run_id)
        return DeskWait() if waiting is None else waiting.so_far()

    async def open_local(
        self, port: int, *, spec_of: Callable[[StrategyId], StrategySpec | None], tokens: Tokens | None
    ) -> int:
        """Listen on loopback (0: any free port) and return the port. Without *tokens* a name is believed: embedded only.

        Raise ConfigError where the port is not free.
        """
        assert self._local is None, "one local endpoint"
        callers: dict[StrategyId, _Caller] = {}
        strangers = TokenBucket(self.requests_per_s, self._clock)
        posing = _Complaints(self._clock, {"door": "local"})

        async def answer(request: Request) -> Answer:
            spec = _identify(request, spec_of, tokens)
            if not isinstance(spec, StrategySpec):
                posing.tell("identity_refused", problem=spec)
                text = refusal(request, 403, RefusalReason.IDENTITY, spec)
                return _encode(request, text, pause_s=strangers.take())
            caller = callers.get(spec.strategy_id)
            if caller is None or caller.spec != spec:
                caller = callers[spec.strategy_id] = _Caller(
                    spec, self._budget(spec), _Complaints(self._clock, _named(spec))
                )
            return await self._answer(caller, request)

        listener = _listen_local(port)
        accepts = TokenBucket(max(_ACCEPTS_PER_S, self.requests_per_s), self._clock)
        complaints = _Complaints(self._clock, {"door": "local"})
        self._local = Door(
            listener,
            self._bounds,
            accepts,
            admit=_anybody,
            answer=answer,
            refuse=complaints.refuse,
            cut=complaints.cut,
        )
        self._local.start(self._tasks, "local")
        return int(listener.getsockname()[1])

    async def close_all(self) -> None:
        """Close every door. Safe to call twice."""
        for run_id in tuple(self._doors):
            await self.close(run_id)
        if self._local is not None:
            await self._local.close()
            self._local = None

    def _budget(self, spec: StrategySpec) -> Budget:
        own = spec.limits.get("requests_per_s")
        return Budget(self.requests_per_s if own is None else min(float(own), self.requests_per_s), self._clock)

    async def _answer(self, caller: _Caller, request: Request) -> Answer:
        spec, budget = caller.spec, caller.budget
        wait, rule = budget.take(request)
        if wait:
            self._log_over(caller, rule)
            text = f"{rule}: asked more often; wait {wait:.3f} s"
            reply = refusal(request, 429, RefusalReason.RATE, text)
            return _encode(request, reply, retry_after_s=math.ceil(wait), pause_s=budget.refuse())
        claimed = request.headers.get("x-user-id")
        if claimed is not None and claimed != spec.user_id:
            caller.posing.tell("identity_refused", claimed=ascii(claimed)[:60])
            text = (
                f"X-User-ID: {ascii(claimed)[:60]} is not {spec.user_id}, whom this strategy trades for;"
                " leave out set_user_id, or set user_id in config.json"
            )
            return _encode(request, refusal(request, 403, RefusalReason.IDENTITY, text))
        return _encode(request, await self._routes.reply(spec, request))

    def _log_over(self, caller: _Caller, rule: str) -> None:
        now = self._clock.monotonic()
        if now - caller.over_logged_at >= _LOG_EVERY_S:
            caller.over_logged_at = now
            log.warning("request_rate_exceeded", **_named(caller.spec), rule=rule)


def _named(spec: StrategySpec) -> dict[str, str]:
    """Return by which an officer finds it in the log: the strategy's lines, and the member's."""
    return {"strategy_id": str(spec.strategy_id), "user_id": str(spec.user_id)}


def _identify(
    request: Request, spec_of: Callable[[StrategyId], StrategySpec | None], tokens: Tokens | None
) -> StrategySpec | str:
    """Return whom a request over loopback stands for, or why that is not known."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    if host not in _LOCAL_HOSTS:  # a web page whose name was pointed at this machine sends its own
        return "Host: is not 127.0.0.1 or localhost"
    name = request.headers.get("x-strategy-id")
    if tokens is not None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = tokens.strategy_of(token) if scheme.lower() == "bearer" else None
        if bearer is None:
            return "Authorization: needs a token; ask an officer for `deskctl token NAME`, then set DESK_TOKEN"
        if name is not None and name != bearer:
            return f"X-Strategy-ID: {ascii(name)[:60]} is not {bearer}, whose token this is"
        name = bearer
    if name is None:
        return "X-Strategy-ID: is required; set STRATEGY_ID to your strategy's folder name"
    spec = spec_of(StrategyId(name)) if STRATEGY_ID.fullmatch(name) else None
    if spec is None:
        return f"X-Strategy-ID: the desk has no strategy {ascii(name)[:60]}; see `deskctl status` for those it has"
    return spec


def _listen_local(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        why = f"api.local_port = {port}: {error.strerror}"
        raise ConfigError(f"{why}; choose another port, or end what listens on this one") from None
    return listener


def _anybody(_: socket.socket) -> Answer | None:
    return None


def _peer_uid(connection: socket.socket) -> int:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    return int(_PEER_CREDENTIALS.unpack(raw)[1])


def _refuse_bytes(bad: BadRequest) -> Answer:
    return _bare(bad.status, _REASONS.get(bad.status, RefusalReason.INVALID), bad.message)


def _bare(status: int, reason: str, message: str) -> Answer:
    """Answer where there is no request to say in which form: an Error reads as an OrderResponse, too."""
    body = wire.encode(wire.error(reason, message), as_json=False)
    return Answer(status=status, body=body, content_type="application/x-protobuf")


def _encode(request: Request, reply: Reply, *, retry_after_s: int | None = None, pause_s: float = 0.0) -> Answer:
    return Answer(
        status=reply.status,
        body=wire.encode(reply.message, as_json=request.wants_json),
        content_type="application/json" if request.wants_json else "application/x-protobuf",
        retry_after_s=reply.retry_after_s if retry_after_s is None else retry_after_s,
        pause_s=pause_s,
    )
