"""Compare the books with the broker's account. The broker is right; members' books are never touched.

Rule 1: what the broker knows of our orders, and what its history explains, is booked first, so that it explains a
        difference.
Rule 2: a difference that remains is suspected, and believed when looks over LAG_MAX, with nothing booked in that symbol
        between them, agree on it: the broker's positions may lag its orders. In a symbol that never rests, looks over
        BUSY_MAX must agree; in one of which an answer is awaited (a bracket's exit that the broker has not named yet),
        over ANSWER_MAX.
Rule 3: what is believed goes to the house book as a named fact, and the symbol is frozen until somebody has looked into
        it. What goes away by itself the house gives back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from deskd.core.house import OPENING
from deskd.core.portfolio import Portfolio
from deskd.core.standing import CASH, OpenDifference, Standing
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.effects import Effect, Record
from deskd.domain.ids import ActivityId, Symbol
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty, plain

LAG_MAX = timedelta(seconds=15)  # Alpaca's positions were seen to lag its orders by ten (ALPACA.md 1.5)
BUSY_MAX = timedelta(seconds=60)  # a lag of a symbol that is traded all the time is not the same figure for so long
ANSWER_MAX = timedelta(minutes=10)  # what the broker has not told of an order by then, it will not tell
# Alpaca's cash is in whole cents; the books are exact. Less than this is rounding, and waits until it adds up.
CASH_TOLERANCE = Decimal("0.01")
THE_DESK = "the desk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """What the broker has more than the books, by symbol, and in cash."""

    cash: Cash
    qty: Mapping[Symbol, Qty]

    def named(self) -> tuple[tuple[str, str], ...]:
        """Return the differences as (subject, figure), in a fixed order."""
        cash = ((CASH, plain(self.cash)),) if self.cash else ()
        return cash + tuple((symbol, plain(self.qty[symbol])) for symbol in sorted(self.qty))

    def only(self, subjects: frozenset[str]) -> "Differences":
        """Return those of *subjects*."""
        return Differences(
            cash=self.cash if CASH in subjects else NO_CASH, qty={s: q for s, q in self.qty.items() if s in subjects}
        )


@dataclass(frozen=True, slots=True)
class Movement:
    """Shares and cash that the snapshot brought to light: they are booked before the books are compared."""

    symbol: Symbol | None
    qty: Qty
    cash: Cash


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The sum over all books, as it stands once what the snapshot brought is booked."""

    cash: Cash
    holdings: Mapping[Symbol, Qty]
    moved: frozenset[str]  # in which symbols that was
    in_question: frozenset[str] = frozenset()  # an answer that is asked for now may move them yet
    count: int  # of executions in the books then
    count_before: int

    @classmethod
    def of(cls, portfolio: Portfolio, found: Sequence[Movement], *, count: int, more: int) -> "Books":
        """Return the sum over *portfolio* with what was *found* added; of that, *more* are executions."""
        cash, holdings = portfolio.cash(), portfolio.holdings()
        for one in found:
            cash = Cash(cash + one.cash)
            if one.symbol is not None:
                holdings[one.symbol] = Qty(holdings.get(one.symbol, NO_QTY) + one.qty)
        return cls(
            cash=cash,
            holdings={s: q for s, q in holdings.items() if q},
            moved=frozenset(str(one.symbol) for one in found) | (frozenset({CASH}) if found else frozenset()),
            count=count + more,
            count_before=count,
        )


def judged(
    snapshot: ev.BrokerSnapshot,
    books: Books,
    last: ev.AccountReconciled | None,
    standing: Standing,
    seen: Sequence[tuple[ActivityId, datetime]] = (),
) -> list[Effect]:
    """Return what follows from comparing the books with the broker's account; *last* is the look before this one."""
    differences = compare(snapshot, books.cash, books.holdings)
    suspected: list[tuple[str, str, datetime]] = []
    if last is None:
        facts = opened(differences, snapshot)
    else:
        suspected, believed = _weighed(differences.named(), snapshot, books, last, standing)
        facts = house_takes(differences.only(believed), snapshot, standing)
    looked = ev.AccountReconciled(
        cash=snapshot.cash,
        differences=tuple((subject, figure) for subject, figure, _ in suspected),
        fill_count=books.count,
        why=snapshot.why,
        at=snapshot.at,
        suspected=tuple(suspected),
        activities_until=snapshot.market_at,
        seen=tuple(seen),
    )
    effects: list[Effect] = [*map(Record, facts), Record(looked)]
    if any(since == snapshot.at for _, _, since in suspected):
        effects.append(ef.Reconcile("a difference is to be confirmed", after=LAG_MAX))
    return effects


def compare(snapshot: ev.BrokerSnapshot, cash: Cash, holdings: Mapping[Symbol, Qty]) -> Differences:
    """Return what the broker's account has more than the books."""
    theirs = {p.symbol: p.qty for p in snapshot.positions}
    symbols = theirs.keys() | holdings.keys()
    qty = {s: Qty(theirs.get(s, NO_QTY) - holdings.get(s, NO_QTY)) for s in symbols}
    more = Cash(snapshot.cash - cash)
    return Differences(
        cash=more if abs(more) >= CASH_TOLERANCE else NO_CASH, qty={s: q for s, q in qty.items() if q != ZERO}
    )


def _weighed(
    named: Sequence[tuple[str, str]],
    snapshot: ev.BrokerSnapshot,
    books: Books,
    last: ev.AccountReconciled,
    standing: Standing,
) -> tuple[list[tuple[str, str, datetime]], frozenset[str]]:
    """Return what is suspected after this look, with its figure and since when; and what is believed from now on."""
    before = {subject: (figure, since) for subject, figure, since in last.suspected}
    suspected: list[tuple[str, str, datetime]] = []
    believed: set[str] = set()
    for subject, figure in named:
        if _is_stale(subject, snapshot, books, standing):
            continue
        known_figure, known_since = before.get(subject, (figure, snapshot.at))
        since = known_since if known_figure == figure else snapshot.at
        rests_since = _moved_at(subject, since, snapshot, books, standing)
        rests, busy_max = (LAG_MAX, BUSY_MAX) if subject not in books.in_question else (ANSWER_MAX, ANSWER_MAX)
        if snapshot.at - rests_since >= rests or snapshot.at - since >= busy_max:
            believed.add(subject)
        else:
            suspected.append((subject, figure, since))
    # A look that cannot tell of a subject neither confirms a suspicion nor clears it.
    suspected += [
        (subject, figure, since)
        for subject, (figure, since) in before.items()
        if _is_stale(subject, snapshot, books, standing)
    ]
    return sorted(suspected), frozenset(believed)


def _is_stale(subject: str, snapshot: ev.BrokerSnapshot, books: Books, standing: Standing) -> bool:
    """Tell whether something of the subject was booked while the broker was asked."""
    if snapshot.fill_count == books.count_before:
        return False
    moved_at = standing.executed_at.get(subject)
    return snapshot.asked_at is None or (moved_at is not None and moved_at >= snapshot.asked_at)


def _moved_at(subject: str, since: datetime, snapshot: ev.BrokerSnapshot, books: Books, standing: Standing) -> datetime:
    """Return when the subject was last booked in, or *since*, whichever is later."""
    return snapshot.at if subject in books.moved else max(since, standing.executed_at.get(subject, since))


def opened(differences: Differences, snapshot: ev.BrokerSnapshot) -> list[ev.Fact]:
    """Return the facts by which the house takes what was there before the first look: no discrepancy."""
    prices = _prices(snapshot)
    facts: list[ev.Fact] = [
        _adjust(
            snapshot, OPENING, HouseCause.OPENING, symbol=symbol, qty=differences.qty[symbol], price=prices.get(symbol)
        )
        for symbol in sorted(differences.qty)
    ]
    if differences.cash:
        facts.append(_adjust(snapshot, OPENING, HouseCause.OPENING, cash=differences.cash))
    return facts


def house_takes(differences: Differences, snapshot: ev.BrokerSnapshot, standing: Standing) -> list[ev.Fact]:
    """Return the facts by which the house takes what is believed, or gives back what came back by itself."""
    prices = _prices(snapshot)
    facts: list[ev.Fact] = []
    for symbol in sorted(differences.qty):
        qty, open_ = differences.qty[symbol], standing.open.get(symbol)
        if _came_back(open_, qty):
            facts.append(
                _adjust(snapshot, _RETURN, HouseCause.RETURNED, symbol=symbol, qty=qty, price=prices.get(symbol))
            )
            facts += _settled(symbol, snapshot, open_, standing)
            continue
        found = _found(symbol, qty, snapshot)
        why = f"no fill explains it ({snapshot.why})"
        facts += [
            found,
            _adjust(snapshot, why, HouseCause.UNEXPLAINED, symbol=symbol, qty=qty, price=prices.get(symbol)),
        ]
        if symbol not in standing.frozen:
            facts.append(ev.SymbolFrozen(symbol=symbol, why=found.actual, at=snapshot.at))
    if differences.cash:
        open_ = standing.open.get(CASH)
        if _came_back(open_, differences.cash, tolerance=CASH_TOLERANCE):
            facts.append(_adjust(snapshot, _RETURN, HouseCause.RETURNED, cash=differences.cash))
            facts += _settled(CASH, snapshot, open_, standing)
        else:
            facts.append(_found(CASH, differences.cash, snapshot))
            why = f"no fill explains it ({snapshot.why})"
            facts.append(_adjust(snapshot, why, HouseCause.UNEXPLAINED, cash=differences.cash))
    return facts


_RETURN = "an unexplained difference went away by itself"


def _came_back(open_: OpenDifference | None, more: Decimal, *, tolerance: Decimal = ZERO) -> bool:
    """Tell whether what is seen now takes back what the house took before."""
    return open_ is not None and open_.more != ZERO and abs(open_.more + more) <= tolerance


def _settled(
    subject: str, snapshot: ev.BrokerSnapshot, open_: OpenDifference | None, standing: Standing
) -> list[ev.Fact]:
    if open_ is None or open_.needs_officer:  # its shares still wait for an officer, whatever came back
        return []
    facts: list[ev.Fact] = [
        ev.DiscrepancyResolved(subject=subject, by=THE_DESK, reason=_RETURN, at=snapshot.at),
    ]
    symbol = Symbol(subject)
    if symbol in standing.frozen:
        facts.append(ev.SymbolThawed(symbol=symbol, why=_RETURN, at=snapshot.at))
    return facts


def _prices(snapshot: ev.BrokerSnapshot) -> Mapping[Symbol, Price]:
    return {p.symbol: p.avg_entry_price for p in snapshot.positions}


def _found(subject: str, more: Decimal, snapshot: ev.BrokerSnapshot) -> ev.DiscrepancyFound:
    return ev.DiscrepancyFound(
        subject=subject,
        expected="the books",
        actual=f"the broker has {plain(more)} more",
        action="house",
        at=snapshot.at,
        more=more,
    )


def _adjust(
    snapshot: ev.BrokerSnapshot,
    why: str,
    cause: HouseCause,
    *,
    cash: Cash = NO_CASH,
    symbol: Symbol | None = None,
    qty: Qty = NO_QTY,
    price: Price | None = None,
) -> ev.HouseAdjusted:
    return ev.HouseAdjusted(cash=cash, symbol=symbol, qty=qty, price=price, why=why, at=snapshot.at, cause=cause)
