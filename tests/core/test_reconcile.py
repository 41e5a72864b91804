"""Books against the broker's account: what differs, when that is believed, who takes it, and how it ends."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from deskd.core.house import OPENING
from deskd.core.portfolio import Portfolio
from deskd.core.reconcile import BUSY_MAX, LAG_MAX, Books, Differences, Movement, compare, house_takes, judged, opened
from deskd.core.standing import CASH, OpenDifference, Standing
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.money import NO_CASH
from tests.factories import AAPL, NOON, SPY, a_snapshot, cash, price, qty

SECOND = timedelta(seconds=1)


def holding(shares: str, symbol: str = "AAPL") -> ev.BrokerPosition:
    return ev.BrokerPosition(symbol=AAPL if symbol == "AAPL" else SPY, qty=qty(shares), avg_entry_price=price(90))


def test_what_agrees_is_no_difference() -> None:
    """Shares to the share, cash to the cent: Alpaca rounds, the books do not."""
    there = a_snapshot(cash=cash("100.00"), positions=(holding("5"),))
    assert compare(there, cash("99.9901"), {AAPL: qty(5)}) == Differences(cash=NO_CASH, qty={})


def test_each_side_may_have_more() -> None:
    """Differences are signed, by symbol, and named in a fixed order."""
    there = a_snapshot(cash=cash(90), positions=(holding("5"), holding("-1", "SPY")))
    found = compare(there, cash(100), {AAPL: qty(7)})
    assert found.named() == ((CASH, "-10"), ("AAPL", "-2"), ("SPY", "-1"))
    assert found.only(frozenset({"SPY"})).named() == (("SPY", "-1"),)
    assert compare(a_snapshot(cash=cash(0)), cash(0), {AAPL: qty("0.5")}).named() == (("AAPL", "-0.5"),)


def test_the_house_takes_shares_at_the_brokers_price_and_cash_apart() -> None:
    """Each part is a discrepancy by name, and a fact of its own; each symbol is frozen, cash freezes nothing."""
    there = a_snapshot(cash=cash(90), positions=(holding("5"),), why="on schedule")
    found = compare(there, cash(100), {SPY: qty(1)})
    facts = house_takes(found, there, Standing())
    symbol = [ev.DiscrepancyFound, ev.HouseAdjusted, ev.SymbolFrozen]
    assert [type(f) for f in facts] == [*symbol, *symbol, ev.DiscrepancyFound, ev.HouseAdjusted]
    taken = [f for f in facts if isinstance(f, ev.HouseAdjusted)]
    assert [(f.symbol, f.qty, f.price, f.cash) for f in taken] == [
        (AAPL, qty(5), price(90), NO_CASH),
        (SPY, qty(-1), None, NO_CASH),
        (None, qty(0), None, cash(-10)),
    ]
    assert {(f.why, f.cause) for f in taken} == {("no fill explains it (on schedule)", HouseCause.UNEXPLAINED)}
    assert [f.more for f in facts if isinstance(f, ev.DiscrepancyFound)] == [qty(5), qty(-1), cash(-10)]


def test_what_was_there_before_the_first_look_is_no_discrepancy() -> None:
    """A new desk over an old account: the house opens with it, and nothing is frozen."""
    there = a_snapshot(cash=cash(100), positions=(holding("5"),))
    facts = opened(compare(there, cash(0), {}), there)
    assert [type(f) for f in facts] == [ev.HouseAdjusted] * 2
    assert {(f.why, f.cause) for f in facts if isinstance(f, ev.HouseAdjusted)} == {(OPENING, HouseCause.OPENING)}
    assert all(f.at == NOON for f in facts)
    shares_alone = a_snapshot(cash=cash(0), positions=(holding("5"),))
    assert len(opened(compare(shares_alone, cash(0), {}), shares_alone)) == 1


# --- looks, one after the other ---------------------------------------------------------------------------------------


class Looks:
    """A desk whose books hold nothing, and a broker that has five shares of AAPL more."""

    def __init__(self, standing: Standing | None = None) -> None:
        self.standing = standing or Standing()
        self.last = ev.AccountReconciled(cash=NO_CASH, differences=(), fill_count=0, why="", at=NOON)
        self.effects: list[ef.Effect] = []

    def look(
        self, at: datetime, *, more: str = "5", money: str = "0", count: int = 0, moved: bool = False, **fields: Any
    ) -> list[type]:
        positions = (holding(more),) if more != "0" else ()
        snapshot = a_snapshot(cash=cash(money), positions=positions, at=at, **fields)
        found = [Movement(AAPL, qty(0), NO_CASH)] if moved else []
        books = Books.of(Portfolio(), found, count=count, more=0)
        self.effects = judged(snapshot, books, self.last, self.standing)
        facts = [e.fact for e in self.effects if isinstance(e, ef.Record)]
        (self.last,) = [f for f in facts if isinstance(f, ev.AccountReconciled)]
        return [type(f) for f in facts if not isinstance(f, ev.AccountReconciled)]


TAKEN = [ev.DiscrepancyFound, ev.HouseAdjusted, ev.SymbolFrozen]


def test_a_difference_is_suspected_first_and_believed_when_it_outlasts_the_lag() -> None:
    """A first look freezes nothing; it is looked at again."""
    looks = Looks()
    assert looks.look(NOON) == []
    assert looks.last.differences == (("AAPL", "5"),)
    assert looks.effects[-1] == ef.Reconcile("a difference is to be confirmed", after=LAG_MAX)
    assert looks.look(NOON + LAG_MAX / 2) == []
    assert len(looks.effects) == 1, "one look to confirm is asked for, not one for each look"
    assert looks.look(NOON + LAG_MAX) == TAKEN
    assert not looks.last.differences


def test_another_figure_begins_anew() -> None:
    """What changes is on its way."""
    looks = Looks()
    looks.look(NOON)
    assert looks.look(NOON + LAG_MAX, more="6") == []
    assert looks.look(NOON + 2 * LAG_MAX, more="6") == TAKEN


def test_a_booking_in_the_symbol_begins_the_wait_anew() -> None:
    """The broker's positions lag what was just traded; another symbol's trading does not matter."""
    looks = Looks()
    looks.look(NOON)
    looks.standing.executed(AAPL, NOON + SECOND)
    assert looks.look(NOON + LAG_MAX, count=1, fill_count=1) == []
    assert looks.look(NOON + LAG_MAX + SECOND, count=1, fill_count=1) == TAKEN
    other = Looks()
    other.look(NOON)
    other.standing.executed(SPY, NOON + LAG_MAX)
    assert other.look(NOON + LAG_MAX, count=1, fill_count=1) == TAKEN


def test_in_a_symbol_that_never_rests_a_longer_agreement_is_believed() -> None:
    """A lag would not show the same figure at every look for a minute."""
    looks = Looks()
    second = 0
    while (at := NOON + second * 5 * SECOND) < NOON + BUSY_MAX:
        looks.standing.executed(AAPL, at)
        assert looks.look(at) == []
        second += 1
    assert looks.look(NOON + BUSY_MAX) == TAKEN


def test_a_look_that_cannot_tell_neither_confirms_nor_clears() -> None:
    """Something was booked in the symbol while the broker was asked; other subjects are judged all the same."""
    looks = Looks()
    looks.look(NOON, money="7")
    looks.standing.executed(AAPL, NOON + LAG_MAX)
    looks.standing.executed_at[CASH] = NOON - SECOND
    at = NOON + LAG_MAX + SECOND
    found = looks.look(at, more="6", money="7", count=1, fill_count=0, asked_at=NOON + LAG_MAX)
    assert found == [ev.DiscrepancyFound, ev.HouseAdjusted]  # the cash
    assert looks.last.suspected == (("AAPL", "5", NOON),)
    looks.look(at, more="0", count=2, fill_count=1, asked_at=None)  # asked when, nobody knows
    assert looks.last.suspected == (("AAPL", "5", NOON),)
    looks.look(at, more="0")
    assert not looks.last.suspected


def test_what_comes_to_light_with_the_look_is_as_fresh_as_it() -> None:
    """A fill that was found just now may be ahead of the positions."""
    looks = Looks()
    looks.look(NOON)
    assert looks.look(NOON + LAG_MAX, moved=True) == []


@pytest.mark.parametrize(
    ("standing_open", "more", "money", "facts"),
    [
        ({"AAPL": "-5"}, "5", "0", [ev.HouseAdjusted, ev.DiscrepancyResolved, ev.SymbolThawed]),
        ({"AAPL": "-7"}, "5", "0", [ev.DiscrepancyFound, ev.HouseAdjusted]),  # frozen already
        ({"cash": "-3.004"}, "0", "3", [ev.HouseAdjusted, ev.DiscrepancyResolved]),  # to the cent
    ],
)
def test_what_goes_away_by_itself_is_given_back(
    standing_open: dict[str, str], more: str, money: str, facts: list[type]
) -> None:
    """By an opposite, named fact; the symbol thaws. What only shrinks is one discrepancy more."""
    standing = Standing()
    for subject, amount in standing_open.items():
        standing.open[subject] = OpenDifference(more=qty(amount), found_at=NOON, needs_officer=False)
    if AAPL in standing_open:
        standing.frozen[AAPL] = ev.SymbolFrozen(symbol=AAPL, why="", at=NOON)
    looks = Looks(standing)
    looks.look(NOON, more=more, money=money)
    assert looks.look(NOON + LAG_MAX, more=more, money=money) == facts


def test_what_waits_for_an_officer_is_not_settled_by_what_comes_back() -> None:
    """A split's shares came first without a word: the unexplained ones are given back, the symbol stays frozen."""
    standing = Standing(frozen={AAPL: ev.SymbolFrozen(symbol=AAPL, why="split", at=NOON)})
    standing.open[AAPL] = OpenDifference(more=qty(-5), found_at=NOON, needs_officer=True)
    looks = Looks(standing)
    looks.look(NOON)
    assert looks.look(NOON + LAG_MAX) == [ev.HouseAdjusted]


def test_old_entries_suspect_nothing() -> None:
    """An entry from before suspicions had a time of their own is read; its differences are looked at anew."""
    looks = Looks()
    looks.last = replace(looks.last, differences=(("AAPL", "5"),), since=NOON - LAG_MAX)
    assert looks.look(NOON) == []


def test_the_sum_has_what_the_look_brought() -> None:
    """Shares and cash of fills and bookings that are recorded with it."""
    books = Books.of(
        Portfolio(), [Movement(AAPL, qty(5), cash(-500)), Movement(None, qty(0), cash(-1))], count=3, more=1
    )
    assert (books.cash, books.holdings, books.count, books.count_before) == (cash(-501), {AAPL: qty(5)}, 4, 3)
    assert books.moved >= {"AAPL", CASH}
    assert Books.of(Portfolio(), [Movement(AAPL, qty(0), NO_CASH)], count=0, more=0).holdings == {}
