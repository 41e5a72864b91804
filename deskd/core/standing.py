"""What stands between the books and the broker: open differences, frozen symbols, how far the history is read.

Rule 1: a difference that the house took is open until an officer resolves it, or it goes away by itself.
Rule 2: a line of the account's history counts once, by its own id. Which line comes when does not matter: a tape that is
        played again writes its lines into the past.
Rule 3: memory is bounded. Of what was forgotten nothing is booked again: it would be an unexplained difference.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.ids import ActivityId, BrokerOrderId, Symbol
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Qty

CASH = "cash"
DISTRIBUTE = "distribute"  # the action of a discrepancy that only an officer can settle
BY_HAND_MAX = 10_000  # strange orders whose trades are remembered, for what the broker corrects: years of them
KNOWN_MAX = 100_000  # lines of history that are no fills of ours: centuries of a club's


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDifference:
    """What the house took, and nobody has settled yet."""

    more: Decimal  # what the broker has more than the books of all members explain
    found_at: datetime
    needs_officer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """What the house has booked of an order that is not the desk's."""

    qty: Qty  # signed
    cash: Cash


@dataclass(slots=True)
class Standing:
    """The fold of all that was found by comparing; `Desk` applies facts to it."""

    open: dict[str, OpenDifference] = field(default_factory=dict)  # by symbol or `cash`
    frozen: dict[Symbol, ev.SymbolFrozen] = field(default_factory=dict)
    known: dict[ActivityId, datetime] = field(default_factory=dict)  # the broker's stamps, as they came
    read_until: datetime | None = None  # in the broker's time
    forgotten_until: datetime | None = None  # lines up to here may be forgotten ones
    executed_at: dict[str, datetime] = field(default_factory=dict)  # by symbol, and `cash`: the last booking
    by_hand: dict[BrokerOrderId, ByHand] = field(default_factory=dict)  # the oldest first
    corrected: int = 0  # how many busts and corrections were booked
    found: int = 0  # how many discrepancies were, of orders too

    def executed(self, symbol: str | None, at: datetime) -> None:
        """Note that something in the symbol was booked."""
        self.executed_at[CASH] = at
        if symbol is not None:
            self.executed_at[symbol] = at

    def step(self, by: timedelta) -> None:
        """Take along what is counted from where the desk's clock was set; the broker's stamps are not its."""
        for subject, difference in self.open.items():
            self.open[subject] = replace(difference, found_at=difference.found_at + by)
        for subject, at in self.executed_at.items():
            self.executed_at[subject] = at + by

    def adjust(self, fact: ev.HouseAdjusted) -> None:
        """Note what the house took, and of which line of the broker's history."""
        self.executed(fact.symbol, fact.at)
        if fact.activity_id is not None:
            self.know(fact.activity_id, fact.stamp or fact.at)
        if fact.broker_order_id is not None and fact.client_order_id is None:
            before = self.by_hand.pop(fact.broker_order_id, ByHand(qty=NO_QTY, cash=NO_CASH))
            now = ByHand(qty=Qty(before.qty + fact.qty), cash=Cash(before.cash + fact.cash))
            self.by_hand[fact.broker_order_id] = now
            if len(self.by_hand) > BY_HAND_MAX:
                del self.by_hand[next(iter(self.by_hand))]
        if fact.cause is HouseCause.RETURNED:
            subject, more = (CASH, fact.cash) if fact.symbol is None else (fact.symbol, fact.qty)
            self.open[subject] = replace(self.open[subject], more=self.open[subject].more + more)

    def find(self, fact: ev.DiscrepancyFound) -> None:
        """Open a difference, or add to the one that is open."""
        self.found += 1
        if fact.more is None:
            return  # about an order: recorded, and reconciled by other means
        before = self.open.get(fact.subject)
        self.open[fact.subject] = OpenDifference(
            more=(before.more if before else ZERO) + fact.more,
            found_at=before.found_at if before else fact.at,
            needs_officer=fact.action == DISTRIBUTE or (before is not None and before.needs_officer),
        )

    def settled(self, event: ev.ResolutionRequested) -> list[ev.Fact]:
        """Return the facts by which an officer settles what is open or frozen; none where nothing is."""
        symbol = Symbol(event.subject)
        if event.subject not in self.open and symbol not in self.frozen:
            return []
        facts: list[ev.Fact] = []
        by, reason, at = event.by, event.reason, event.at
        if event.ratio is not None:
            facts.append(ev.SharesDistributed(symbol=symbol, ratio=event.ratio, by=by, reason=reason, at=at))
        facts.append(ev.DiscrepancyResolved(subject=event.subject, by=by, reason=reason, at=at))
        if symbol in self.frozen:
            facts.append(ev.SymbolThawed(symbol=symbol, why=f"{by}: {reason}", at=at))
        return facts

    def read(self, until: datetime | None, seen: Iterable[tuple[ActivityId, datetime]]) -> None:
        """Note how far the history is read, and lines of it that need no booking."""
        if until is not None:
            self.read_until = until
        for activity_id, stamp in seen:
            self.know(activity_id, stamp)

    def know(self, activity_id: ActivityId, stamp: datetime) -> None:
        """Count the line: it is not booked again."""
        self.known[activity_id] = stamp
        if len(self.known) > KNOWN_MAX:
            oldest = next(iter(self.known))
            forgotten = self.known.pop(oldest)
            self.forgotten_until = max(forgotten, self.forgotten_until or forgotten)
