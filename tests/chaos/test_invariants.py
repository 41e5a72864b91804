"""A check that nothing can break is none: each invariant names what is wrong as soon as it is."""

import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.reservation import Reservation
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId
from deskd.ledger import codec
from deskd.supervision.state import Bounds, take_over
from deskd.supervision.uids import Identity
from tests.chaos.evidence import Came, Entry, TheirFill, TheirOrder, Theirs, folded, read_said
from tests.chaos.invariants import (
    INVARIANTS,
    NOTHING_SEEN,
    Evidence,
    Row,
    check,
    looked_at,
    refusals_change_nothing,
    told_is_complete,
)
from tests.factories import (
    ALICE,
    NOON,
    a_broker_order,
    a_desk,
    a_limit_request,
    a_request,
    a_snapshot,
    accepted,
    cash,
    filled,
    qty,
    registered,
    requested,
    updated,
)

MARKET = a_request()
LIMIT = a_limit_request("99", client_order_id=ClientOrderId("alice-2"))
DENIED = a_request(qty=qty(999), client_order_id=ClientOrderId("alice-3"))
AFTER_NOON = "2026-01-05T23:00:00Z"


def facts() -> list[ev.Fact]:
    """Return those of a market order in two fills, a canceled limit order, and a denied one."""
    known = a_desk()
    desk = Desk(limits=known.limits, instruments=known.instruments, calendar=known.calendar)
    kept: list[ev.Fact] = []
    for event in (
        ev.TradeStreamChanged(is_up=True, why="listening", at=NOON),
        a_snapshot(),
        registered(ALICE),
        ev.StrategyStatusChanged(strategy_id=ALICE, status=known.statuses[ALICE], why="start", at=NOON),
        ev.AllocationChanged(strategy_id=ALICE, allocation=cash(10_000), by="config", at=NOON),
        requested(MARKET),
        accepted(MARKET),
        filled(MARKET, 4),
        filled(MARKET, 6, cumulative=10, at_price="100.5"),
        requested(LIMIT),
        accepted(LIMIT),
        ev.CancelRequested(client_order_id=LIMIT.client_order_id, by="alice", at=NOON),
        updated(a_broker_order(LIMIT, status=BrokerStatus.CANCELED)),
        requested(DENIED),
    ):
        kept += [effect.fact for effect in handle(desk, event) if isinstance(effect, ef.Record)]
    return kept


def entries(kept: list[ev.Fact]) -> list[Entry]:
    made: list[Entry] = []
    prev = codec.GENESIS
    for seq, fact in enumerate(kept, start=1):
        (kind, body), at = codec.encode(fact), codec.stamp(fact.at)
        made.append((seq, at, kind, body, prev, prev := codec.chain(prev, seq, at, kind, body)))
    return made


def replayed(kept: list[ev.Fact]) -> Desk:
    desk = Desk()
    for fact in kept:
        desk.apply(fact)
    return desk


@pytest.fixture
def good(tmp_path: Path) -> Evidence:
    """Return the evidence of a run in which all is well."""
    kept = facts()
    desk = replayed(kept)
    ledger = folded(entries(kept))
    theirs = [
        TheirOrder(str(o.broker_order_id), str(oid), str(o.request.symbol), word, o.filled_qty, None)
        for oid, o, word in (
            (oid, desk.orders[oid], word)
            for oid, word in ((MARKET.client_order_id, "filled"), (LIMIT.client_order_id, "canceled"))
        )
    ]
    fills = tuple(
        TheirFill(fill_id.split(":")[0], fill.qty, fill.price, "buy", str(MARKET.symbol))
        for fill_id, fill in ledger.fills.items()
    )
    opening = a_snapshot().cash
    account = Theirs(
        orders={order.id: order for order in theirs},
        fills=fills,
        doubled=(),
        cash=desk.portfolio.cash(),
        holdings={str(s): q for s, q in desk.portfolio.holdings().items()},
    )
    heard = [
        a_line("asked", id="alice-1"),
        an_answer("alice-1", "success", order_status="filled"),
        a_told_fill("4", "4", "100", "4"),
        a_told_fill("10", "6", "100.5", "10"),
        a_line("asked", id="alice-4"),
        an_answer("alice-4", "error", reason="INVALID"),
    ]
    log = tmp_path / "good.log"
    log.write_text('{"event":"desk_ready"}\n')
    return Evidence(
        ledger=ledger,
        theirs=account,
        came={str(one.client_order_id): Came(AFTER_NOON, 1) for one in (MARKET, LIMIT)},
        said={str(ALICE): heard},
        rows={str(oid): Row(o.status, o.filled_qty, o.reason, o.broker_order_id) for oid, o in desk.orders.items()},
        positions=dict(ledger.positions),
        cash=dict(ledger.cash),
        desk=desk,
        without_denials=replayed([fact for fact in kept if not isinstance(fact, ev.OrderDenied)]),
        logs=(log,),
        opening_cash=opening,
        audit="",
    )


def test_all_is_well_where_all_is_well(good: Evidence) -> None:
    """A desk and an exchange that agree break nothing."""
    assert check(good) == {}


def lose_a_fill(e: Evidence) -> Evidence:
    e.ledger.fills.popitem()
    return e


def book_twice(e: Evidence) -> Evidence:
    e.ledger.doubled_fills.append(next(iter(e.ledger.fills)))
    return e


def another_price(e: Evidence) -> Evidence:
    first, *rest = e.theirs.fills
    return replace(e, theirs=replace(e.theirs, fills=(replace(first, price=first.price + 1), *rest)))


def a_share_less(e: Evidence) -> Evidence:
    return replace(e, theirs=replace(e.theirs, holdings={}))


def a_cent_less(e: Evidence) -> Evidence:
    return replace(e, theirs=replace(e.theirs, cash=e.theirs.cash - Decimal("0.01")))


def a_wrong_row(e: Evidence) -> Evidence:
    return replace(e, rows=e.rows | {"alice-2": replace(e.rows["alice-2"], status="accepted")})


def a_wrong_projection(e: Evidence) -> Evidence:
    return replace(e, positions=dict.fromkeys(e.positions, Decimal(1)))


def an_unknown_order(e: Evidence) -> Evidence:
    orders = dict(e.theirs.orders) | {"b-9": TheirOrder("b-9", "alice-9", "AAPL", "filled", Decimal(1), None)}
    return replace(e, theirs=replace(e.theirs, orders=orders))


def a_lost_order(e: Evidence) -> Evidence:
    return replace(e, theirs=replace(e.theirs, orders={}, fills=()))


def sent_twice(e: Evidence) -> Evidence:
    return replace(e, came=e.came | {"alice-2": Came(AFTER_NOON, 2)})


def sent_once_more_than_turned_away(e: Evidence) -> Evidence:
    return replace(e, came=e.came | {"alice-2": Came(AFTER_NOON, 3, turned_away=1)})


def sent_for_ever(e: Evidence) -> Evidence:
    return replace(e, came=e.came | {"alice-2": Came(AFTER_NOON, 4, turned_away=4)})


def sent_before_it_was_asked_for(e: Evidence) -> Evidence:
    return replace(e, came=e.came | {"alice-2": Came("2020-01-01T00:00:00Z", 1)})


def sent_without_a_fact(e: Evidence) -> Evidence:
    return replace(e, came=e.came | {"alice-9": Came(AFTER_NOON, 1)})


def sent_and_told_as_not_sent(e: Evidence) -> Evidence:
    return replace(e, ledger=replace(e.ledger, rejected={"alice-2": "NOT_SENT"}))


def held_for_nothing(e: Evidence) -> Evidence:
    order = e.desk.orders[LIMIT.client_order_id]
    assert order.request.limit_price is not None
    nothing = Reservation(cash=cash(5), qty=qty(0), opening=qty(0), price=order.request.limit_price)
    e.desk.reservations.hold(order, nothing)
    return e


def a_denial_that_moved_money(e: Evidence) -> Evidence:
    e.without_denials.portfolio.books[ALICE].cash = cash(1)
    return e


def refused_and_kept(e: Evidence) -> Evidence:
    return replace(e, said={"alice": [an_answer("alice-2", "error", reason="TRADE_STREAM_DOWN")]})


def given_to_the_house(e: Evidence) -> Evidence:
    e.ledger.house.append({"symbol": "AAPL", "qty": "1", "cash": "0", "why": "no fill explains it"})
    return e


def a_line(what: str, *, run: str = "1.a", at: str = AFTER_NOON, **more: str) -> dict[str, Any]:
    return {"what": what, "run": run, "at": at} | more


def an_answer(
    oid: str, status: str, *, reason: str = "", order_status: str = "", at: str = AFTER_NOON
) -> dict[str, Any]:
    told = {"id": oid, "status": status, "reason": reason, "order_status": order_status, "order_id": ""}
    return a_line("answer", at=at, **told)


def a_told_fill(filled_qty: str, fill_qty: str, fill_price: str, position_qty: str, run: str = "1.a") -> dict[str, Any]:
    return a_line(
        "line",
        run=run,
        client_order_id="alice-1",
        status="partially_filled",
        filled_qty=filled_qty,
        fill_qty=fill_qty,
        fill_price=fill_price,
        position_qty=position_qty,
    )


def told_of_nothing(e: Evidence) -> Evidence:
    return replace(e, said={"alice": [a_told_fill("3", "3", "100", "3")]})


def told_of_a_denial_that_was_none(e: Evidence) -> Evidence:
    return replace(e, said={"alice": [an_answer("alice-1", "denied", reason="DUPLICATE")]})


def told_with_a_gap(e: Evidence) -> Evidence:
    fills = [a_told_fill("4", "4", "100", "4"), a_told_fill("10", "6", "100.5", "10")]
    return replace(e, said={"alice": fills[::-1]})


def told_of_another_end(e: Evidence) -> Evidence:
    return replace(e, said={"alice": [a_line("order_seen", id="alice-2", status="filled", filled_qty="0")]})


def an_audit_that_fails(e: Evidence) -> Evidence:
    return replace(e, audit="entry 7 was changed")


WRONGS: dict[Callable[[Evidence], Evidence], str] = {
    lose_a_fill: "fills_are_booked_once",
    book_twice: "fills_are_booked_once",
    another_price: "fills_are_booked_once",
    a_share_less: "books_are_the_account",
    a_cent_less: "books_are_the_account",
    a_wrong_projection: "books_are_the_fold_of_fills",
    a_wrong_row: "replay_is_the_projection",
    an_unknown_order: "no_order_is_unknown",
    a_lost_order: "orders_agree",
    sent_twice: "no_order_is_sent_twice",
    sent_once_more_than_turned_away: "no_order_is_sent_twice",
    sent_for_ever: "no_order_is_sent_twice",
    sent_before_it_was_asked_for: "orders_are_durable_before_they_are_sent",
    sent_and_told_as_not_sent: "orders_are_durable_before_they_are_sent",
    sent_without_a_fact: "orders_are_durable_before_they_are_sent",
    held_for_nothing: "reservations_are_for_open_orders",
    a_denial_that_moved_money: "refusals_change_nothing",
    refused_and_kept: "refusals_change_nothing",
    given_to_the_house: "house_has_what_the_run_gave_it",
    told_of_nothing: "told_is_in_the_ledger",
    told_of_a_denial_that_was_none: "told_is_in_the_ledger",
    an_audit_that_fails: "audit_passes",
    told_with_a_gap: "told_is_complete",
    told_of_another_end: "told_ends_are_ends",
}


@pytest.mark.parametrize(("wrong", "name"), WRONGS.items(), ids=[wrong.__name__ for wrong in WRONGS])
def test_what_is_wrong_is_named(good: Evidence, wrong: Callable[[Evidence], Evidence], name: str) -> None:
    """One thing that is not as it should be breaks the invariant that speaks of it."""
    assert name in check(wrong(good))


def test_an_order_that_was_turned_away_unread_may_come_again(good: Evidence) -> None:
    """The exchange itself says that it did not look at it: the same order, under the same id, is no second one."""
    assert check(replace(good, came=good.came | {"alice-2": Came(AFTER_NOON, 3, turned_away=2)})) == {}


def test_an_order_that_came_and_was_turned_away_unread_may_end_as_not_sent(good: Evidence) -> None:
    """It was not sent again: the exchange itself says that it did not look at it."""
    came = good.came | {"alice-2": Came(AFTER_NOON, 1, turned_away=1)}
    told = replace(sent_and_told_as_not_sent(good), came=came)
    assert "orders_are_durable_before_they_are_sent" not in check(told)


def test_a_changed_entry_breaks_the_chain(good: Evidence) -> None:
    """A byte that somebody changed in a fact is found."""
    changed = entries(facts())
    seq, at, kind, body, prev, entry_hash = changed[0]
    changed[0] = (seq, at, kind, body.replace("listening", "Listening"), prev, entry_hash)
    assert "chain_is_whole" in check(replace(good, ledger=folded(changed)))


def test_a_traceback_in_a_log_is_found(good: Evidence, tmp_path: Path) -> None:
    """An exception that nobody caught is no end in peace, whoever went on after it."""
    log = tmp_path / "desk.log"
    log.write_text('{"event":"desk_ready"}\nTraceback (most recent call last):\n  File "x"\nKeyError: 1\n')
    assert "logs_have_no_crash" in check(replace(good, logs=(log,)))


@pytest.mark.parametrize("kept", range(7))
def test_what_a_killed_desk_lost_of_a_diary_breaks_nothing(good: Evidence, kept: int) -> None:
    """Of each run only the beginning need be there: no invariant takes what is not there for untold."""
    (whole,) = good.said.values()
    runs = [line | {"run": run} for run in ("1.a", "1.b") for line in whole[:kept]]
    beginnings = {str(ALICE): [line for line in runs if line["run"] == "1.a" or line["what"] != "line"]}
    broken = check(replace(good, said=beginnings))
    assert {text for found in broken.values() for text in found} <= {NOTHING_SEEN}


def test_a_run_whose_count_went_back_is_another_run(good: Evidence) -> None:
    """Each run hears of fills without a gap; what one did not hear may be another's, or lost."""
    said = {
        str(ALICE): [a_told_fill("10", "6", "100.5", "10", run="1.b"), a_told_fill("4", "4", "100", "4", run="1.c")]
    }
    assert not list(told_is_complete(replace(good, said=said)))


def test_an_order_asked_again_in_words_that_were_lost_was_not_refused(good: Evidence) -> None:
    """What the diary knows ends before the order came to be: it says nothing of what came later."""
    refused = an_answer("alice-2", "error", reason="TRADE_STREAM_DOWN", at="2020-01-01T00:00:00.000000Z")
    assert not list(refusals_change_nothing(replace(good, said={"alice": [refused]})))


TOLD = ("refusals_change_nothing", "told_is_in_the_ledger", "told_is_complete", "told_ends_are_ends")


def test_an_invariant_that_looked_at_nothing_does_not_hold(good: Evidence) -> None:
    """Evidence that is missing is a finding, as what contradicts it is."""
    assert check(replace(good, said={})) == {name: [NOTHING_SEEN] for name in TOLD}
    assert check(replace(good, logs=())) == {"logs_have_no_crash": [NOTHING_SEEN]}
    assert looked_at(good).keys() == {invariant.__name__ for invariant in INVARIANTS}


def test_diaries_are_read_out_of_what_the_desk_kept(tmp_path: Path) -> None:
    """A line that a kill cut short is left out, and who wrote nothing has said nothing."""
    (tmp_path / "state").mkdir()
    for name, text in (("ann", '\n{"what":"asked"}\n{"what":"ans\n{"what":"answer"}\n{"wh'), ("ben", None)):
        tree = tmp_path / name
        tree.mkdir()
        (tree / "runs").write_text("1")
        if text is not None:
            (tree / "said.jsonl").write_text(text)
        who = Identity(os.geteuid(), os.getegid(), True)
        take_over(tree, tmp_path / "state" / f"{name}.kept", who, Bounds(bytes_max=1 << 20, files_max=10))
    assert read_said(tmp_path) == {"ann": [{"what": "asked"}, {"what": "answer"}], "ben": []}


def test_every_invariant_can_be_broken() -> None:
    """No invariant is without a test that breaks it."""
    broken = {*WRONGS.values(), "chain_is_whole", "logs_have_no_crash"}
    assert {invariant.__name__ for invariant in INVARIANTS} == broken
