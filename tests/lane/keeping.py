"""What the desk does by itself in a story: carrying out kills, and looking at the prices of what is held for its exits.

As the keeper of kills and the watch of exits do it, without their back-off: what is due is asked for at every step,
unless it is on its way.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from deskd.core import closing, reducing
from deskd.core.blocks import bundled
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.exits import ExitRules, SeenQuote
from deskd.domain.ids import Symbol
from deskd.domain.kill import KillCause, KillDepth, KillTarget
from deskd.domain.market import MarketClock, Quote
from deskd.domain.order import OrderStatus
from deskd.domain.schedule import closes_at
from tests.factories import MONDAY

EXITS = ExitRules(stop_loss_pct=Decimal(1), take_profit_pct=Decimal(2), trailing_pct=Decimal("1.5"))
IN_VAIN_MAX = 8  # steps without progress after which what is left is told


class Told(Protocol):
    """A story, as far as the desk's own watches need it."""

    desk: Desk
    now: datetime

    def tell(self, event: ev.Event) -> None:
        """Let the desk handle *event*."""

    def quote(self, symbol: Symbol) -> Quote:
        """Return the market as it is now."""

    def clock(self) -> MarketClock:
        """Return the market's clock."""


def pulled(target: KillTarget, depth: KillDepth, at: datetime) -> ev.KillEngaged:
    """Return the kill."""
    return ev.KillEngaged(target=target, depth=depth, cause=KillCause.COMMAND, by="x", reason="test", at=at)


def release(story: Told, pick: float) -> None:
    """Release one of those in force."""
    targets = list(story.desk.kills.in_force)
    if targets:
        target = targets[int(pick * len(targets))]
        story.tell(ev.KillReleased(target=target, by="x", reason="test", at=story.now))


def look(story: Told) -> None:
    """Show the desk what it holds at the prices of now: two looks in a row see the same."""
    held = sorted({symbol for book in story.desk.portfolio.books.values() for symbol in book.held()})
    ends = closes_at(story.clock())
    seen = tuple(SeenQuote(symbol=s, quote=(quote := story.quote(s)), before=quote) for s in held)
    left = None if ends is None else ends - story.now
    event = ev.PricesSeen(seen=seen, is_open=ends is not None, market_day=MONDAY, at=story.now, left=left)
    story.tell(event)


@dataclass
class Keeper:
    """Asks for what the kills in force want, and tells when nothing is left, or when it gets no further."""

    _left: object = None
    _in_vain: int = 0
    _count: int = field(default=0)

    def step(self, story: Told) -> None:
        """Ask for what is due now."""
        if not closing.has_work(story.desk):
            return
        found = closing.due(story.desk)
        for oid in found.cancels:
            if story.desk.orders[oid].status is not OrderStatus.PENDING_CANCEL or story.desk.orders[oid].is_recalled:
                story.tell(ev.CancelRequested(client_order_id=oid, by="kill", at=story.now))
        is_extended = closing.is_extended_session(story.clock())
        for one in bundled(story.desk, found.closings):
            quote = story.quote(one.symbol)
            self._count += 1
            at = story.now.replace(microsecond=self._count % 1_000_000)  # no two at one moment: ids are made of it
            request = closing.request_for(story.desk, one, at, quote=quote, is_extended=is_extended)
            story.tell(
                ev.ClosingRequested(request=request, quote=quote, market_day=MONDAY, at=story.now, parts=one.parts)
            )
        self._tell(story, found)

    def _tell(self, story: Told, found: closing.Due) -> None:
        desk = story.desk
        for target, kill in list(desk.kills.in_force.items()):
            if target not in found.unfinished and kill.depth is KillDepth.FLATTEN and kill.flat_at is None:
                story.tell(ev.FlattenCompleted(target=target, at=story.now))
        left = closing.left_in(desk, found, lambda _: None)
        self._in_vain = self._in_vain + 1 if left == self._left else 0
        self._left = left
        if self._in_vain >= IN_VAIN_MAX:
            for target, lines in left.items():
                if desk.kills.in_force[target].left != lines:
                    story.tell(ev.FlattenHindered(target=target, left=lines, at=story.now))


def nothing_opens_under_a_kill(story: Told) -> None:
    """Have nothing rest at the end that would open a position under a kill."""
    assert not reducing.openings(story.desk), "an order that opens rests under a kill"
