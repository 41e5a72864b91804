"""Books against the broker's account: what differs, how it is named, and who takes it."""

from deskd.core.reconcile import CASH, OPENING, Differences, compare, house_takes
from deskd.domain import events as ev
from deskd.domain.money import NO_CASH
from tests.factories import AAPL, NOON, SPY, a_snapshot, cash, price, qty


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
    assert compare(a_snapshot(cash=cash(0)), cash(0), {AAPL: qty("0.5")}).named() == (("AAPL", "-0.5"),)


def test_the_house_takes_shares_at_the_brokers_price_and_cash_apart() -> None:
    """Each part is a discrepancy by name, and a fact of its own; a position that is gone has no price there."""
    there = a_snapshot(cash=cash(90), positions=(holding("5"),), why="on schedule")
    found = compare(there, cash(100), {SPY: qty(1)})
    facts = house_takes(found, there, is_opening=False)
    assert [type(f) for f in facts] == [ev.DiscrepancyFound, ev.HouseAdjusted] * 3
    taken = [f for f in facts if isinstance(f, ev.HouseAdjusted)]
    assert [(f.symbol, f.qty, f.price, f.cash) for f in taken] == [
        (AAPL, qty(5), price(90), NO_CASH),
        (SPY, qty(-1), None, NO_CASH),
        (None, qty(0), None, cash(-10)),
    ]
    assert {f.why for f in taken} == {"no fill explains it (on schedule)"}


def test_what_was_there_before_the_first_look_is_no_discrepancy() -> None:
    """A new desk over an old account: the house opens with it."""
    there = a_snapshot(cash=cash(100), positions=(holding("5"),))
    facts = house_takes(compare(there, cash(0), {}), there, is_opening=True)
    assert [type(f) for f in facts] == [ev.HouseAdjusted] * 2
    assert {f.why for f in facts if isinstance(f, ev.HouseAdjusted)} == {OPENING}
    assert all(f.at == NOON for f in facts)
    shares_alone = a_snapshot(cash=cash(0), positions=(holding("5"),))
    assert len(house_takes(compare(shares_alone, cash(0), {}), shares_alone, is_opening=True)) == 1
