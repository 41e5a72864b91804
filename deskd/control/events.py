"""`GET /events`: the drop copy, what was and what comes, a JSON object a line.

Past and live are joined by the facts' places in the ledger: a follower has a place; what is kept in memory it gets from
there, what is older from the ledger. So there is no gap and no double, however slow it reads.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

from deskd.control.asking import CALLER, Refused, count, not_yours
from deskd.control.live_events import LiveEvents
from deskd.control.names import the_one
from deskd.control.past_events import PastEvents, kinds_of, last_events
from deskd.domain.ids import StrategyId, UserId
from deskd.ledger.fact_reader import FactReader
from deskd.wire.event_line import DeskEvent, EventLine, encode, is_shown

TAIL_DEFAULT, TAIL_MAX = 100, 10_000
FOLLOWERS_MAX = 32  # each may read the ledger in a thread
STALL_S = 60.0  # a follower that takes nothing for so long makes room for another; it can go on from its place
_SEQ_DIGITS = 18

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Filter:
    """What a reader wants, and may see."""

    user_id: UserId | None  # None: an officer
    owned: frozenset[str]  # the member's strategies
    strategy_id: StrategyId | None
    events: frozenset[DeskEvent]  # none: all

    def keeps(self, line: EventLine) -> bool:
        """Tell whether the event is for this reader."""
        return (
            is_shown(line, user_id=self.user_id)
            and self.strategy_id in {None, line.strategy_id}
            and (not self.events or line.event in self.events)
        )

    def line(self, event: EventLine, encoded: bytes | None = None) -> bytes:
        """Return the event's line for this reader: of those affected by an outage a member sees their own."""
        if self.user_id is not None and event.affected:
            own = [name for name in event.affected if name in self.owned]
            return encode(msgspec.structs.replace(event, affected=own)) + b"\n"
        return encoded or encode(event) + b"\n"


@dataclass(slots=True, kw_only=True)
class EventRoutes:
    """Answers /events."""

    ledger: Path
    live: LiveEvents
    stall_s: float = STALL_S
    _followers: set[asyncio.Task[object]] = field(default_factory=set)

    def add_to(self, app: web.Application) -> None:
        """Add the route to the control socket's."""
        app.router.add_get("/events", self.events)
        app.on_shutdown.append(self._stop)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer with the events that are asked for; with ?follow=1 go on until the reader leaves."""
        wanted, follows = self._filter(request), bool(request.query.get("follow"))
        tail = count(request, "tail", TAIL_DEFAULT, TAIL_MAX)
        since = _since(request.query)
        if follows and len(self._followers) >= FOLLOWERS_MAX:
            raise Refused(503, f"{FOLLOWERS_MAX} readers follow events already: end one of them, or look without -f")
        reader = asyncio.current_task()
        assert reader is not None
        if follows:
            self._followers.add(reader)
        try:
            with FactReader(self.ledger) as history:
                response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
                until = self.live.last_seq
                first = await self._first(history, since, wanted, tail, until)
                await response.prepare(request)
                if isinstance(first, int):
                    place = first
                else:
                    place = until
                    await self._write(response, await asyncio.to_thread(_joined, wanted, first))
                await self._go_on(response, history, wanted, place, None if follows else until)
                return response
        except TimeoutError:
            log.info("event_follower_ended", by=request[CALLER].name, why=f"it took nothing for {self.stall_s:g} s")
            raise ConnectionResetError("the reader does not read") from None
        finally:
            self._followers.discard(reader)

    async def _stop(self, _app: web.Application) -> None:
        """Let every follower end after the last event: the desk stops."""
        self.live.close()

    async def _first(
        self, history: FactReader, since: int | datetime | None, wanted: Filter, tail: int, until: int
    ) -> int | list[EventLine]:
        """Return the place to read on from, or the last events and nothing before them."""
        if isinstance(since, int):
            return since - 1  # what is yet to come is waited for
        if since is not None:
            return await asyncio.to_thread(history.first_seq_at, since) - 1
        kinds = kinds_of(wanted.events)
        return await asyncio.to_thread(last_events, history, tail, wanted.keeps, until=until, kinds=kinds)

    async def _go_on(
        self, response: web.StreamResponse, history: FactReader, wanted: Filter, place: int, until: int | None
    ) -> None:
        """Write the events after *place*: up to *until*, or for ever."""
        past: PastEvents | None = None
        while until is None or place < until:
            near = self.live.after(place)
            if near is None:
                if past is None or past.seq != place:
                    past = PastEvents(history, place, kinds_of(wanted.events))
                read = await asyncio.to_thread(past.read, until=self.live.last_seq if until is None else until)
                place = past.seq
                await self._write(response, _joined(wanted, [e for of in read for e in of if wanted.keeps(e)]))
            elif near:
                lines = [wanted.line(e.event, e.line) for fact in near for e in fact if wanted.keeps(e.event)]
                place += len(near)
                await self._write(response, b"".join(lines))
            elif self.live.is_closed:
                return
            else:
                await self.live.news()

    async def _write(self, response: web.StreamResponse, text: bytes) -> None:
        if text:
            async with asyncio.timeout(self.stall_s):
                await response.write(text)

    def _filter(self, request: web.Request) -> Filter:
        caller = request[CALLER]
        typed = request.query.get("strategy")
        owners = self.live.copy.owners
        strategy_id = None if typed is None else StrategyId(the_one("strategy", typed, owners))
        if strategy_id is not None and not caller.may_manage(owners[strategy_id]):
            raise Refused(403, not_yours(caller, strategy_id))
        return Filter(
            owned=frozenset(name for name, user_id in owners.items() if caller.may_manage(user_id)),
            user_id=None if caller.is_officer else UserId(caller.name),
            strategy_id=strategy_id,
            events=frozenset(
                DeskEvent(the_one("event", name, DeskEvent)) for name in request.query.getall("event", [])
            ),
        )


def _joined(wanted: Filter, events: Sequence[EventLine]) -> bytes:
    """Return the lines of *events*: some milliseconds for a thousand."""
    return b"".join(map(wanted.line, events))


def _since(query: Mapping[str, str]) -> int | datetime | None:
    text = query.get("since")
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= _SEQ_DIGITS:
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        rule = "allowed: a seq of the ledger, or a time such as 2026-11-20T14:30:00Z"
        raise Refused(400, f"since={text!r}: {rule}") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
