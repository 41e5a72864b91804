"""Carries out the kills in force: cancels and closes until nothing is left, however often the broker says no.

Rule 1: it keeps no state that matters: what is due is a look at the desk, so that a desk that was killed in the middle
        goes on where it was.
Rule 2: what was asked for is asked for again, ever less often, as long as it is due.
Rule 3: what cannot be closed is told by name, once, and again when that changes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import structlog

from deskd.core import cancel_all
from deskd.core.blocks import Closing, bundled
from deskd.core.closing import Due, Key, due, has_work, is_extended_session, left_in
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId
from deskd.domain.kill import KillDepth, KillTarget
from deskd.domain.market import MarketClock
from deskd.domain.order import OrderStatus
from deskd.ports import Clock

STEP_S = 0.05  # between two looks at what is due, while there is something
AGAIN_S = 0.5  # before the same is asked for again; doubles each time
AGAIN_MAX_S = 5.0
HINDERED_AFTER_S = 20.0  # without progress for so long, what is left is told
MARKET_CLOSED = "its closing order waits at the broker for the market to open"

log = structlog.get_logger()

ALL = "all"  # that is open in the account, as one wish
ALL_ALONE_MAX = 2  # so often the one request is tried alone; if nothing clear comes of it, single ones go, too

BLOCK = "block of "  # a symbol, as a wish

type Wish = ClientOrderId | Key | str


class Closes(Protocol):
    """Whoever owns the desk."""

    desk: Desk

    @property
    def is_canceling_all(self) -> bool:
        """Say whether the broker was asked to cancel all that is open, and has not answered yet."""

    async def post(self, event: ev.Event) -> None:
        """Have the event handled."""

    async def keep(self, event: ev.Event) -> None:
        """Have the event handled; return when it is, and what follows from it on disk."""

    async def until(self, holds: Callable[[Desk], bool]) -> None:
        """Return as soon as *holds* is true of the desk."""

    def to_close(self, closing: Closing, *, is_extended: bool) -> ev.ClosingRequested:
        """Return what is to be closed, at the market as it is now."""


@dataclass(slots=True)
class Tries:
    """How often the same was asked for, and when next."""

    count: int
    next_at: float  # on the monotonic clock


@dataclass(slots=True, kw_only=True)
class KillKeeper:
    """One task of the desk."""

    runtime: Closes
    wall: Clock
    market: Callable[[], MarketClock | None]  # the broker's clock as last heard
    uses_extended_hours: bool = False
    step_s: float = STEP_S
    again_s: float = AGAIN_S
    hindered_after_s: float = HINDERED_AFTER_S
    _tries: dict[Wish, Tries] = field(default_factory=dict)
    _closing: dict[Key, ClientOrderId] = field(default_factory=dict)  # the latest order of each position
    _refused: dict[Key, str] = field(default_factory=dict)  # what the broker said to one that it refused
    _last: Due | None = None
    _moved: tuple[object, float] | None = None  # what was left, and since when it is that

    async def run(self) -> NoReturn:
        """Carry out kills until canceled."""
        wait_s = self.step_s
        while True:
            await self.runtime.until(has_work)
            found = await self.step()
            wait_s = self.step_s if found != self._last else min(wait_s * 2, AGAIN_S)  # a weekend may pass so
            self._last = found
            await asyncio.sleep(wait_s)

    def on_fact(self, fact: ev.Fact) -> None:
        """Remember what the broker says to a closing order that it refuses."""
        if isinstance(fact, ev.OrderRejected):
            request = self.runtime.desk.orders[fact.client_order_id].request
            if request.for_kill:
                for key, oid in self._closing.items():
                    if oid == fact.client_order_id:
                        self._refused[key] = fact.message

    async def step(self) -> Due:
        """Ask for what is due and was not asked for just now; tell what is done. Return what was due."""
        desk = self.runtime.desk
        found = due(desk)
        now = self.wall.monotonic()
        if self.runtime.is_canceling_all:
            return found  # its answer tells what is left; a closing order that is sent now would go with the rest
        if not await self._cancel(found, now):
            await self._close(found, now)
        sent = [_wish_of(closing) for closing in bundled(desk, found.closings)]
        waiting = [wish for key, _ in found.waiting for wish in (key, f"{BLOCK}{key[1]}")]
        wanted = {*found.cancels, *sent, *waiting}
        self._tries = {wish: tries for wish, tries in self._tries.items() if wish in wanted or wish == ALL}
        if not cancel_all.is_wanted(desk, len(found.cancels)):
            self._tries.pop(ALL, None)
        await self._tell(found, now)
        return found

    async def _cancel(self, found: Due, now: float) -> bool:
        """Ask for the cancels that are due; return whether all that is open is being canceled with one request."""
        is_bulk = False
        if cancel_all.is_wanted(self.runtime.desk, len(found.cancels)):
            is_bulk = self._is_time(ALL, now)
            is_alone = self._tries[ALL].count <= ALL_ALONE_MAX
            if is_bulk:
                for oid in found.cancels if is_alone else ():
                    self._is_time(oid, now)
                    await self.runtime.post(self._wish(oid, in_bulk=True))
                await self.runtime.keep(ev.CancelAllRequested(by="kill", at=self.wall.now()))  # then it is on its way
            if is_alone:
                return is_bulk
        for oid in found.cancels:
            if self._is_time(oid, now):
                await self.runtime.post(self._wish(oid))
        return is_bulk

    def _wish(self, oid: ClientOrderId, *, in_bulk: bool = False) -> ev.CancelRequested:
        return ev.CancelRequested(client_order_id=oid, by="kill", at=self.wall.now(), in_bulk=in_bulk)

    async def _close(self, found: Due, now: float) -> None:
        """Send the closing orders that are due."""
        clock = self.market()
        is_extended = self.uses_extended_hours and clock is not None and is_extended_session(clock)
        for closing in bundled(self.runtime.desk, found.closings):
            if self._is_time(_wish_of(closing), now):
                event = self.runtime.to_close(closing, is_extended=is_extended)
                for who, _ in closing.parts or ((closing.strategy_id, closing.qty),):
                    self._closing[who, closing.symbol] = event.request.client_order_id
                await self.runtime.post(event)

    def _is_time(self, wish: Wish, now: float) -> bool:
        """Tell whether *wish* is to be asked for now, and count it."""
        tries = self._tries.setdefault(wish, Tries(0, now))
        if now < tries.next_at:
            return False
        tries.count += 1
        tries.next_at = now + min(self.again_s * 2 ** (tries.count - 1), AGAIN_MAX_S)
        return True

    async def _tell(self, found: Due, now: float) -> None:
        desk = self.runtime.desk
        for target, kill in list(desk.kills.in_force.items()):
            if target not in found.unfinished and kill.depth is KillDepth.FLATTEN and kill.flat_at is None:
                await self.runtime.post(ev.FlattenCompleted(target=target, at=self.wall.now()))
                self._closing.clear()
                self._refused.clear()
        left = left_in(desk, found, self._said)
        figures = {target: tuple(line.split(":")[1] for line in lines) for target, lines in left.items()}
        if self._moved is None or self._moved[0] != figures:
            self._moved = (figures, now)
        waits_for_open = any(line.endswith(MARKET_CLOSED) for lines in left.values() for line in lines)
        if now - self._moved[1] >= self.hindered_after_s or waits_for_open:
            await self._hinder(left)

    def _is_closed_market(self) -> bool:
        clock = self.market()
        return clock is not None and not clock.is_open

    async def _hinder(self, left: dict[KillTarget, tuple[str, ...]]) -> None:
        for target, lines in left.items():
            if self.runtime.desk.kills.in_force[target].left != lines:
                await self.runtime.post(ev.FlattenHindered(target=target, left=lines, at=self.wall.now()))

    def _said(self, key: Key) -> str | None:
        """Return what became of the latest closing order of the position, where that tells why it is still held."""
        oid = self._closing.get(key)
        order = None if oid is None else self.runtime.desk.orders.get(oid)
        if order is not None and order.status is OrderStatus.ACCEPTED and self._is_closed_market():
            return MARKET_CLOSED
        return self._refused.get(key)  # also while the next is on its way: what is told must not flicker


def _wish_of(closing: Closing) -> Wish:
    return f"{BLOCK}{closing.symbol}" if closing.parts else (closing.strategy_id, closing.symbol)
