"""`deskctl reconcile`: look at the broker's account now, say what stands between it and the books, settle it.

Rule 1: the look that answers began after the question.
Rule 2: only what is open can be resolved; who and why are facts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import get_args

from deskd.control.answers import BookingAnswer, DifferenceAnswer, FrozenAnswer, ReconciledAnswer, SuspectedAnswer
from deskd.control.views import instant
from deskd.core.desk import Desk
from deskd.core.house import cause_of
from deskd.core.standing import CASH
from deskd.domain import events as ev
from deskd.domain.ids import Symbol
from deskd.domain.look import Look
from deskd.domain.money import plain, shown_decimal
from deskd.ports import Clock

LOOK_S = 60.0  # a broker that is slow, and a look that was under way already
RATIO_MAX = 1000  # no split is larger
_ORDER_FACTS = get_args(ev.OrderFact.__value__)


class CannotResolve(Exception):
    """What was asked to be settled is not open, or not in that way. The text says what is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciling:
    """Answers for the running desk."""

    desk: Desk
    wall: Clock
    look: Callable[[str], Awaitable[Look]]
    post: Callable[[ev.ResolutionRequested], Awaitable[None]]
    until_idle: Callable[[], Awaitable[None]]

    def asked(self, body: Mapping[str, object], by: str) -> ev.ResolutionRequested | None:
        """Return what *body* asks to be settled; raise CannotResolve where that cannot be."""
        subject = body.get("resolve")
        if subject is None:
            return None
        standing, reason = self.desk.standing, body.get("reason")
        known = sorted({*standing.open, *standing.frozen})
        if subject not in known and isinstance(subject, str) and subject.upper() in known:
            subject = subject.upper()
        if subject not in known:
            text = f"what is open: {', '.join(known)}" if known else "nothing is open"
            raise CannotResolve(f"{subject} is neither an open difference nor frozen; {text}")
        if not isinstance(reason, str) or not reason.strip():
            raise CannotResolve("why is it settled? Give --reason TEXT: it goes into the ledger")
        ratio = body.get("distribute")
        return ev.ResolutionRequested(
            subject=str(subject),
            by=by,
            reason=reason.strip(),
            at=self.wall.now(),
            ratio=None if ratio is None else _ratio(str(ratio), str(subject)),
        )

    async def answer(self, resolution: ev.ResolutionRequested | None, by: str) -> Mapping[str, object]:
        """Settle what was asked, look at the broker's account, and return what stands."""
        if resolution is not None:
            await self.post(resolution)
            await self.until_idle()
        try:
            async with asyncio.timeout(LOOK_S):
                look = await self.look(f"deskctl reconcile by {by}")
        except TimeoutError:
            look = Look(problem=f"no look at the broker's account came to an end within {LOOK_S:g} s")
        return report(self.desk, look, None if resolution is None else resolution.subject)


def report(desk: Desk, look: Look, resolved: str | None = None) -> ReconciledAnswer:
    """Return what the look brought, and what stands between the books and the broker."""
    standing, last = desk.standing, desk.last_reconciled
    orders = {fact.client_order_id for fact in look.facts if isinstance(fact, _ORDER_FACTS)}
    suspected: list[SuspectedAnswer] = (
        [] if last is None else [{"subject": s, "more": m, "since": instant(at)} for s, m, at in last.suspected]
    )
    open_: list[DifferenceAnswer] = [
        {"subject": subject, "more": plain(one.more), "found_at": instant(one.found_at), "officer": one.needs_officer}
        for subject, one in sorted(standing.open.items())
    ]
    frozen: list[FrozenAnswer] = [
        {"symbol": fact.symbol, "why": fact.why, "since": instant(fact.at)}
        for _, fact in sorted(standing.frozen.items())
    ]
    return {
        "agree": look.problem is None and not (suspected or open_ or frozen),
        "problem": look.problem,
        "orders_caught_up": len(orders),
        "fills_found": sum(isinstance(fact, ev.OrderFilled) for fact in look.facts),
        "house_bookings": [_booking(fact) for fact in look.facts if isinstance(fact, ev.HouseAdjusted)],
        "suspected": suspected,
        "open": open_,
        "frozen": frozen,
        "resolved": resolved,
    }


def _booking(fact: ev.HouseAdjusted) -> BookingAnswer:
    return {
        "cause": str(cause_of(fact)),
        "activity_id": fact.activity_id,
        "symbol": fact.symbol,
        "qty": plain(fact.qty),
        "price": None if fact.price is None else plain(fact.price),
        "cash": shown_decimal(fact.cash),
        "why": fact.why,
        "at": instant(fact.at),
    }


def _ratio(text: str, subject: str) -> Decimal:
    """Return a split's ratio: `2`, `0.1` or `1/10`."""
    if Symbol(subject) == CASH:
        raise CannotResolve("cash is not distributed by a ratio: it is the house's")
    over, _, under = text.partition("/")
    try:
        ratio = Decimal(over) / Decimal(under or "1")
    except (InvalidOperation, ZeroDivisionError):
        ratio = Decimal(0)
    if not (ratio.is_finite() and 0 < ratio <= RATIO_MAX):
        raise CannotResolve(f"distribute={text}: so many shares for one, over 0 and up to {RATIO_MAX}: 2, 0.1 or 1/10")
    return ratio
