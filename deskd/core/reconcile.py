"""Compare the books with the broker's account. The broker is right; members' books are never touched.

Rule 1: orders first: what the broker knows of our orders is caught up, so that a missed fill explains a difference.
Rule 2: a difference that remains is believed when looks over LAG_MAX, with no fill between them, agree on it: the
        broker's positions may lag its orders, and a fill may be on its way.
Rule 3: what is believed goes to the house book as a named fact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from deskd.core.portfolio import Portfolio
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record
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


@dataclass(frozen=True, slots=True)
class Trade:
    """A signed execution that the snapshot brought to light: it is booked before the books are compared."""

    symbol: Symbol
    qty: Qty
    price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The sum over all books, as it stands once the fills that the snapshot brought are booked."""

    cash: Cash
    holdings: Mapping[Symbol, Qty]
    fill_count: int
    fill_count_before: int  # without the fills that the snapshot brought

    @classmethod
    def of(cls, portfolio: Portfolio, found: Sequence[Trade], *, fill_count: int) -> "Books":
        """Return the sum over *portfolio* with the trades *found* added; *fill_count* is without them."""
        cash, holdings = portfolio.cash(), portfolio.holdings()
        for trade in found:
            cash = Cash(cash - trade.qty * trade.price)
            holdings[trade.symbol] = Qty(holdings.get(trade.symbol, NO_QTY) + trade.qty)
        return cls(
            cash=cash,
            holdings={s: q for s, q in holdings.items() if q},
            fill_count=fill_count + len(found),
            fill_count_before=fill_count,
        )


def judged(snapshot: ev.BrokerSnapshot, books: Books, last: ev.AccountReconciled | None) -> list[Effect]:
    """Return what follows from comparing the books with the broker's account; *last* is the look before this one."""
    is_too_old = snapshot.fill_count != books.fill_count_before
    differences = compare(snapshot, books.cash, books.holdings)
    looked = ev.AccountReconciled(
        cash=snapshot.cash,
        differences=() if is_too_old else differences.named(),
        fill_count=books.fill_count,
        why=snapshot.why,
        at=snapshot.at,
    )
    if not looked.differences:
        return [Record(looked)]
    since = _seen_since(looked, last)
    is_opening = last is None
    if is_opening or snapshot.at - since >= LAG_MAX:
        taken = house_takes(differences, snapshot, is_opening=is_opening)
        return [*map(Record, taken), Record(replace(looked, differences=()))]
    effects: list[Effect] = [Record(replace(looked, since=since))]
    if since == snapshot.at:
        effects.append(ef.Reconcile("a difference is to be confirmed", after=LAG_MAX))
    return effects


def _seen_since(looked: ev.AccountReconciled, last: ev.AccountReconciled | None) -> datetime:
    """Return since when each look has found these very differences, with no fill in between."""
    if last is None or (last.differences, last.fill_count) != (looked.differences, looked.fill_count):
        return looked.at
    return last.since or last.at


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
