"""Compare the books with the broker's account. The broker is right; members' books are never touched.

Rule 1: orders first: what the broker knows of our orders is caught up, so that a missed fill explains a difference.
Rule 2: a difference that remains is believed when looks over LAG_MAX, with no fill between them, agree on it: the
        broker's positions may lag its orders, and a fill may be on its way.
Rule 3: what is believed goes to the house book as a named fact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from deskd.domain import events as ev
from deskd.domain.ids import Symbol
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty, plain

CASH = "cash"
OPENING = "opening balance"
LAG_MAX = timedelta(seconds=15)  # Alpaca's positions were seen to lag its orders by ten (ALPACA.md 1.5)
# Alpaca's cash is in whole cents; the books are exact. Less than this is rounding, and waits until it adds up.
CASH_TOLERANCE = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """What the broker has more than the books, by symbol, and in cash."""

    cash: Cash
    qty: Mapping[Symbol, Qty]

    def named(self) -> tuple[tuple[str, str], ...]:
        """Return the differences as (subject, figure), in a fixed order."""
        cash = ((CASH, plain(self.cash)),) if self.cash else ()
        return cash + tuple((symbol, plain(self.qty[symbol])) for symbol in sorted(self.qty))


def compare(snapshot: ev.BrokerSnapshot, cash: Cash, holdings: Mapping[Symbol, Qty]) -> Differences:
    """Return what the broker's account has more than the books."""
    theirs = {p.symbol: p.qty for p in snapshot.positions}
    symbols = theirs.keys() | holdings.keys()
    qty = {s: Qty(theirs.get(s, NO_QTY) - holdings.get(s, NO_QTY)) for s in symbols}
    more = Cash(snapshot.cash - cash)
    return Differences(
        cash=more if abs(more) >= CASH_TOLERANCE else NO_CASH, qty={s: q for s, q in qty.items() if q != ZERO}
    )


def house_takes(differences: Differences, snapshot: ev.BrokerSnapshot, *, is_opening: bool) -> list[ev.Fact]:
    """Return the facts by which the house book takes the differences."""
    prices = {p.symbol: p.avg_entry_price for p in snapshot.positions}
    why = OPENING if is_opening else f"no fill explains it ({snapshot.why})"
    facts: list[ev.Fact] = []
    for symbol in sorted(differences.qty):
        qty = differences.qty[symbol]
        facts += _found(symbol, plain(qty), snapshot, is_opening=is_opening)
        facts.append(_adjust(snapshot, why, symbol=symbol, qty=qty, price=prices.get(symbol)))
    if differences.cash:
        facts += _found(CASH, plain(differences.cash), snapshot, is_opening=is_opening)
        facts.append(_adjust(snapshot, why, cash=differences.cash))
    return facts


def _found(subject: str, more: str, snapshot: ev.BrokerSnapshot, *, is_opening: bool) -> list[ev.Fact]:
    if is_opening:
        return []
    return [
        ev.DiscrepancyFound(
            subject=subject, expected="the books", actual=f"the broker has {more} more", action="house", at=snapshot.at
        )
    ]


def _adjust(
    snapshot: ev.BrokerSnapshot,
    why: str,
    *,
    cash: Cash = NO_CASH,
    symbol: Symbol | None = None,
    qty: Qty = NO_QTY,
    price: Price | None = None,
) -> ev.HouseAdjusted:
    return ev.HouseAdjusted(cash=cash, symbol=symbol, qty=qty, price=price, why=why, at=snapshot.at)
