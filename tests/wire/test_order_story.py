"""One order's story in words: every kind of request, every end, every fact."""

from datetime import timedelta
from typing import Any

import pytest

from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.entry import Entry
from deskd.domain.ids import ClientOrderId, RunId
from deskd.domain.kill import KillDepth
from deskd.domain.order import Side
from deskd.domain.run import StrategyStatus
from deskd.domain.stage import Stage
from deskd.wire.order_story import AROUND, AROUND_MAX, Material, View, tell
from tests.core.some_splits import a_split_story
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    NOON,
    SPY,
    a_fact_of_a_fill,
    a_kill,
    a_limit_request,
    a_release,
    a_request,
    cash,
    of_strategy,
    qty,
)
from tests.wire.test_drop_copy import (
    ACCEPTED,
    ADOPTED,
    BACK,
    BUST,
    EXCHANGED,
    HOUSE_BEARS,
    LEG,
    NEW,
    OUTAGE,
    REPLACING,
    RETURNED,
    approved,
    denied,
)

OID = a_request().client_order_id


def entries(*facts: ev.Fact) -> list[Entry]:
    return [Entry(seq, f"hash-{seq}", fact) for seq, fact in enumerate(facts, 1)]


def story(
    *facts: ev.Fact, order: ClientOrderId = OID, around: tuple[ev.Fact, ...] = (), run: tuple[ev.Fact, ...] = ()
) -> View:
    return tell(Material(order_id=order, entries=entries(*facts), around=entries(*around), run=entries(*run)))


PLAIN_ACCEPTED = ev.OrderAccepted(
    client_order_id=OID, broker_order_id=ACCEPTED.broker_order_id, submitted_at=None, legs=(), at=NOON
)
REPLACE_ASKED = ev.OrderReplaceRequested(client_order_id=OID, replaced_by=NEW, by="alice", at=NOON)
REPLACED = ev.OrderReplaced(client_order_id=OID, replaced_by=NEW, at=NOON)
HELD = ev.OrderHeld(
    client_order_id=OID,
    until=NOON + timedelta(seconds=30),
    reason="CONFLICT_WASH",
    message="held: rule=wash_trade",
    in_the_way=(NEW,),
    at=NOON,
)
CANCEL_ASKED = ev.OrderCancelRequested(client_order_id=OID, by="alice", at=NOON)


def fill(shares: int) -> ev.OrderFilled:
    return a_fact_of_a_fill(a_request(), shares)


@pytest.mark.parametrize(
    ("facts", "status", "outcome", "remedy"),
    [
        (
            (denied(),),
            "denied",
            "denied: ORDER_NOTIONAL_MAX notional=101898.00 order_notional_max=5000.00; the broker never saw it",
            "ask for at most 49 shares",
        ),
        (
            (approved(),),
            "submitted",
            "in doubt: it was sent, and the broker's answer is not in the ledger yet",
            "wait: the desk asks the broker by the order's id, and never sends it twice",
        ),
        (
            (approved(), HELD),
            "submitted",
            "held at the desk until 17:00:30.000 at the latest: another order is in its way",
            f"wait: it is sent when nothing is in its way; if it is to go: deskctl cancel {OID}",
        ),
        (
            (approved(), HELD, ev.OrderReleased(client_order_id=OID, at=NOON)),
            "submitted",
            "in doubt: it was sent, and the broker's answer is not in the ledger yet",
            "wait: the desk asks the broker by the order's id, and never sends it twice",
        ),
        (
            (approved(), PLAIN_ACCEPTED),
            "accepted",
            "open at the broker: nothing is filled so far",
            f"if it is to go: deskctl cancel {OID}",
        ),
        (
            (approved(), PLAIN_ACCEPTED, fill(4)),
            "partially_filled",
            "open at the broker: bought 4 of 10 AAPL at 100 on average",
            f"if it is to go: deskctl cancel {OID}",
        ),
        (
            (approved(), PLAIN_ACCEPTED, CANCEL_ASKED),
            "pending_cancel",
            "open: a cancel is on its way; nothing is filled so far",
            None,
        ),
        (
            (approved(), PLAIN_ACCEPTED, fill(4), fill(6)),
            "filled",
            "filled: bought 10 AAPL at 100 on average, 0 ms after it was asked for",
            None,
        ),
        (
            (approved(), PLAIN_ACCEPTED, fill(4), ev.OrderCanceled(client_order_id=OID, at=NOON)),
            "canceled",
            "canceled: bought 4 of 10 AAPL at 100 on average",
            None,
        ),
        (
            (approved(), PLAIN_ACCEPTED, ev.OrderCanceled(client_order_id=OID, at=NOON)),
            "canceled",
            "canceled: nothing of it was filled",
            None,
        ),
        (
            (approved(request=a_limit_request()), PLAIN_ACCEPTED, ev.OrderExpired(client_order_id=OID, at=NOON)),
            "expired",
            "expired: its time in force (day) ran out; nothing of it was filled",
            "ask nearer to the market, or with time_in_force gtc",
        ),
        (
            (
                approved(),
                PLAIN_ACCEPTED,
                fill(4),
                ev.OrderRejected(client_order_id=OID, reason="BROKER_LOST", message="gone; ask", at=NOON),
            ),
            "rejected",
            "rejected: BROKER_LOST: gone (bought 4 of 10 AAPL at 100 on average before)",
            "what was filled before is booked; an officer should look at the broker's account",
        ),
        (
            (approved(), PLAIN_ACCEPTED, REPLACE_ASKED),
            "pending_replace",
            f"open: order {NEW} is to take its place; nothing is filled so far",
            None,
        ),
        (
            (approved(), PLAIN_ACCEPTED, fill(4), REPLACE_ASKED, REPLACED),
            "replaced",
            f"replaced by order {NEW}: bought 4 of 10 AAPL at 100 on average",
            None,
        ),
        (
            (approved(), PLAIN_ACCEPTED, ev.OrderReplaced(client_order_id=OID, replaced_by=None, at=NOON)),
            "replaced",
            "replaced by another order: nothing of it was filled",
            None,
        ),
        (
            (approved(), PLAIN_ACCEPTED, fill(4), ev.OrderRestated(client_order_id=OID, qty=qty(4), at=NOON)),
            "filled",
            "filled: bought 4 AAPL at 100 on average, 0 ms after it was asked for",
            None,
        ),
    ],
)
def test_how_an_order_stands_is_one_sentence_with_a_remedy(
    facts: tuple[ev.Fact, ...], status: str, outcome: str, remedy: str | None
) -> None:
    """Where there is something to do, it is said."""
    page = story(*facts)
    assert (page["status"], page["outcome"], page["remedy"]) == (status, outcome, remedy)


def test_the_timeline_tells_every_fact_with_its_times() -> None:
    """Since the request, and since the fact before."""
    facts: list[Any] = [
        approved(),
        ev.OrderAccepted(
            client_order_id=OID, broker_order_id=ACCEPTED.broker_order_id, submitted_at=NOON, legs=(), at=NOON + timedelta(milliseconds=20)
        ),
        ev.OrderCancelRequested(client_order_id=OID, by="alice", at=NOON + timedelta(milliseconds=20)),
        ev.OrderCancelRefused(client_order_id=OID, message="it is filled", at=NOON + timedelta(milliseconds=45.5)),
        ev.OrderCompleted(client_order_id=OID, at=NOON + timedelta(seconds=2)),
    ]  # fmt: skip
    rows = story(*facts)["timeline"]
    assert [(row["seq"], row["hash"]) for row in rows] == [(n, f"hash-{n}") for n in range(1, 6)]
    assert [row["since_request_ms"] for row in rows] == [0, 20, 20, 45.5, 2000]
    assert [row["since_last_ms"] for row in rows] == [0, 20, 0, 25.5, 1954.5]
    assert [row["words"] for row in rows] == [
        "approved, $1,020.00 held for it; on disk, then sent to the broker",
        "the broker has it, by its clock 17:00:00.000",
        "a cancel was asked for by alice",
        "the broker would not cancel: it is filled",
        "the broker calls it filled, and all of its fills are booked",
    ]


def said(word: str, detail: str = "") -> ev.BrokerSaid:
    return ev.BrokerSaid(client_order_id=OID, source="look_up", word=word, detail=detail, at=NOON)


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (said("in_doubt", "no answer for 5 s"), "no clear answer from the broker: no answer for 5 s"),
        (said("not_found"), "the broker does not know it"),
        (said("acknowledged"), "the broker will try to cancel it"),
        (said("done_for_day"), "the broker says: done for day"),
        (REPLACE_ASKED, f"alice asked for order {NEW} in its place"),
        (REPLACED, f"replaced by order {NEW}"),
        (ev.OrderReplaced(client_order_id=OID, replaced_by=None, at=NOON), "replaced by the broker"),
        (ev.OrderRestated(client_order_id=OID, qty=qty(8), at=NOON), "the broker says that it is for 8"),
        (BUST, "the broker's trade bust changed its count by -4 shares and $-400.00; the fill stays booked"),
        (HOUSE_BEARS, "the house book bears it: $+400.00 and -4 shares"),
    ],
)
def test_every_word_of_the_broker_is_told(fact: ev.Fact, words: str) -> None:
    """With the road by which it came, where the ledger knows it."""
    row = story(approved(), PLAIN_ACCEPTED, fact)["timeline"][-1]
    assert row["words"] == words
    assert row["source"] == ("look_up" if isinstance(fact, ev.BrokerSaid) else None)


def test_a_replace_that_is_refused_leaves_the_order_as_it_was() -> None:
    """It goes on, and the page says why."""
    refused = ev.OrderReplaceRefused(client_order_id=OID, message="order is filled", at=NOON)
    page = story(approved(), PLAIN_ACCEPTED, REPLACE_ASKED, refused)
    assert (page["status"], page["replaced_by"]) == ("accepted", None)
    assert page["timeline"][-1]["words"] == "the broker would not replace it: order is filled"


def test_orders_that_replace_each_other_are_linked() -> None:
    """From the old one to the new one, and back; also of one that was made by hand at the broker."""
    assert story(approved(), PLAIN_ACCEPTED, REPLACE_ASKED)["replaced_by"] == NEW
    assert story(approved(request=REPLACING), order=NEW)["replaces"] == OID
    adopted = story(ADOPTED, order=ADOPTED.request.client_order_id)
    assert (adopted["replaces"], adopted["status"], adopted["market"], adopted["checks"]) == (OID, "accepted", None, [])
    assert adopted["timeline"][0]["words"] == (
        f"somebody put it in the place of {OID} in the broker's own page; the desk took it on"
    )


def test_a_leg_that_was_replaced_is_told_from_its_own_request() -> None:
    """The order that carries it stands beside it in the ledger, and is another."""
    page = story(approved(), ACCEPTED, approved(request=REPLACING), order=NEW)
    assert page["asked"] == "buy 10 AAPL at 99 or better, good for the day"
    assert [row["seq"] for row in page["timeline"]] == [3]


@pytest.mark.parametrize(("shares", "words"), [(1, "1 share"), (10, "10 shares")])
def test_what_is_held_for_an_order_is_told(shares: int, words: str) -> None:
    """Shares for a sale; cash and shares for what needs both."""
    sale = approved(request=a_request(side=Side.SELL), reserved_cash=cash(0), reserved_qty=qty(shares))
    assert story(sale)["timeline"][0]["words"] == f"approved, {words} held for it; on disk, then sent to the broker"


def test_what_was_in_the_way_is_named() -> None:
    """For officers: the door leaves it out for everybody else (control/why.py)."""
    assert story(approved(), HELD)["in_the_way"] == [NEW]
    assert story(approved())["in_the_way"] == []


def test_an_exchange_is_told_without_a_name() -> None:
    """The order that came back, what it exchanged and at which price; with whom is for officers alone."""
    page = story(RETURNED, EXCHANGED, ev.OrderReleased(client_order_id=BACK, at=NOON), order=BACK)
    words = [row["words"] for row in page["timeline"]]
    assert words[0] == f"back at the desk, in the place of {OID}, until 17:00:00.000 at the latest"
    assert words[1].startswith(
        "exchanged 4 with another strategy at the desk, at 99, the midpoint of 98.99/99.01: 4 of 6"
    )
    assert words[2] == "nothing is in its way any more; sent to the broker"
    assert "bob" not in " ".join(words)
    assert (page["replaces"], page["in_the_way"], page["checks"], page["market"]) == (OID, ["bob-1"], [], None)
    assert page["fills"][0]["is_internal"]
    recall = ev.OrderCancelRequested(client_order_id=OID, by="desk", at=NOON, recalled_for=ClientOrderId("bob-1"))
    page = story(approved(), PLAIN_ACCEPTED, recall, ev.OrderReplaced(client_order_id=OID, replaced_by=BACK, at=NOON))
    words = [row["words"] for row in page["timeline"]]
    assert words[2] == "the desk takes it back from the broker: it could meet an order of another strategy at the desk"
    assert (page["replaced_by"], page["in_the_way"]) == (BACK, ["bob-1"])


def test_fills_add_up_and_move_the_books() -> None:
    """Quantity so far, mean price, and what it did to the cash."""
    sale = a_request(side=Side.SELL)
    fills = story(
        approved(request=sale, reserved_cash=cash(0), reserved_qty=qty(10)),
        PLAIN_ACCEPTED,
        a_fact_of_a_fill(sale, 4, "100"),
        a_fact_of_a_fill(sale, 6, "101"),
    )["fills"]
    assert [(f["filled_qty"], f["avg_fill_price"], f["cash"]) for f in fills] == [
        ("4", "100", "400"),
        ("10", "100.6", "606"),
    ]


def test_a_leg_is_told_from_the_order_that_carries_it() -> None:
    """Its checks are the parent's; its life begins with the broker's word."""
    canceled = ev.OrderCanceled(client_order_id=LEG.client_order_id, at=NOON)
    page = story(approved(), ACCEPTED, canceled, order=LEG.client_order_id)
    assert (page["parent_id"], page["status"], page["asked"]) == (
        OID,
        "canceled",
        "sell 10 AAPL at 110 or better, good for the day",
    )
    assert [row["words"] for row in page["timeline"]] == [
        f"the broker made it as a leg of {OID}",
        "the broker canceled what was left",
    ]
    found = ev.LegsFound(client_order_id=OID, legs=(LEG,), at=NOON)
    parent = story(approved(), PLAIN_ACCEPTED, found)
    assert [leg["client_order_id"] for leg in parent["legs"]] == [LEG.client_order_id]
    assert parent["timeline"][-1]["words"] == "the broker named its legs: leg-1"


def test_what_happened_around_it_is_told_as_far_as_it_concerns_it() -> None:
    """Streams, the desk's own stops, differences; another strategy's are not."""
    around: tuple[ev.Fact, ...] = (
        ev.StreamChanged(stream="trades", is_up=False, why="cut", at=NOON + timedelta(milliseconds=5)),
        OUTAGE,
        ev.DeskStopped(at=NOON),
        ev.DeskStarted(version="1", broker="embedded", at=NOON),
        ev.DiscrepancyFound(subject=OID, expected="a", actual="b", action="closed", at=NOON),
        ev.DiscrepancyFound(subject="SPY", expected="a", actual="b", action="closed", at=NOON),
        ev.DiscrepancyResolved(subject=AAPL, by="ada", reason="a gift", at=NOON),
        ev.DiscrepancyResolved(subject="SPY", by="ada", reason="a gift", at=NOON),
        ev.SymbolFrozen(symbol=AAPL, why="3 more", at=NOON),
        ev.SymbolThawed(symbol=AAPL, why="settled", at=NOON),
        ev.SymbolFrozen(symbol=SPY, why="3 more", at=NOON),
        ev.SymbolThawed(symbol=SPY, why="settled", at=NOON),
        ev.SharesDistributed(symbol=AAPL, ratio=qty(2), by="ada", reason="a split", at=NOON),
        ev.SharesDistributed(symbol=SPY, ratio=qty(2), by="ada", reason="a split", at=NOON),
        ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.FAILED, why="died often", at=NOON),
        ev.StrategyStatusChanged(strategy_id=BOB, status=StrategyStatus.FAILED, why="died often", at=NOON),
        ev.StageChanged(strategy_id=ALICE, stage=Stage.SHADOW, by="ada", why="try it first", at=NOON),
        ev.StageChanged(strategy_id=BOB, stage=Stage.SHADOW, by="ada", why="try it first", at=NOON),
        a_kill(of_strategy(ALICE), KillDepth.CANCEL),
        a_kill(of_strategy(BOB)),
        a_release(of_strategy(ALICE)),
        a_release(of_strategy(BOB)),
        ev.BreakerMoved(strategy_id=ALICE, state=BreakerState.OPEN, why="denials=3", trips=1, at=NOON),
        ev.BreakerMoved(strategy_id=BOB, state=BreakerState.OPEN, why="denials=3", trips=1, at=NOON),
        ev.AccountReconciled(cash=cash(1), differences=(), fill_count=0, why="on schedule", at=NOON),
        ev.AccountReconciled(
            cash=cash(1), differences=(("cash", "5"), ("AAPL", "3")), fill_count=0, why="on schedule", at=NOON
        ),
        ev.AccountReconciled(cash=cash(1), differences=(("cash", "5"),), fill_count=0, why="on schedule", at=NOON),
    )
    assert {type(fact).__name__ for fact in around} == set(AROUND)
    page = story(approved(), around=around, run=(ev.RunStarted(run_id=RunId("r"), strategy_id=ALICE, at=NOON),))
    assert [fact["words"] for fact in page["around"]["facts"]] == [
        "the stream of trades went down: cut",
        "an outage of the stream of trades is over: from 17:00:00.000 to 17:00:00.000; 4 orders were not taken",
        "the desk stopped",
        "the desk started (deskd 1, embedded)",
        f"a difference with the broker: {OID}: a, but b; closed",
        "the difference was settled by ada: a gift",
        "new orders in AAPL were frozen: 3 more",
        "new orders in AAPL passed again: settled",
        "every book's shares of AAPL were multiplied by 2: a split",
        "the strategy became failed: died often",
        "the strategy was brought to the stage shadow by ada: try it first",
        "the kill switch was pulled: strategy alice, cancel, by ada (uid 0): runaway orders",
        "the kill of strategy alice was released by ada (uid 0): mended",
        "the strategy's circuit breaker went open: denials=3",
        "books and broker differed: AAPL 3",
    ]
    assert page["around"]["facts"][0]["since_request_ms"] == 5
    assert page["around"]["reconciles_without_difference"] == 1
    assert page["run"] == {
        "run_id": "r",
        "started_at": "2026-01-05T17:00:00.000000Z",
        "ended_at": None,
        "exit_reason": None,
        "exit_detail": None,
    }
    busy = story(approved(), around=around[:1] * (AROUND_MAX + 7))
    assert (len(busy["around"]["facts"]), busy["around"]["more"], busy["run"]) == (AROUND_MAX, 7, None)


def test_an_order_without_its_beginning_has_no_story() -> None:
    """Nothing is made up."""
    with pytest.raises(LookupError, match="does not hold the request of order alice-1"):
        story(ACCEPTED)
    with pytest.raises(LookupError, match="does not hold the beginning of order leg-1"):
        story(approved(), PLAIN_ACCEPTED, order=LEG.client_order_id)


def test_an_order_in_parts_is_one_order_and_tells_its_parts() -> None:
    """Who asks why sees what was asked for, that it went in two, and each of them with the broker's id."""
    facts, _ = a_split_story()
    page = story(*facts, order=ClientOrderId("alice-sale"))
    assert page["status"] == "filled"
    assert page["outcome"].startswith("filled: sold 12 AAPL at 100 on average")
    assert [
        (p["part_id"], p["broker_order_id"], p["qty"], p["status"], p["avg_fill_price"]) for p in page["parts"]
    ] == [
        ("alice-sale~1", "b-alice-sale~1", "5", "filled", "100"),
        ("alice-sale~2", "b-alice-sale~2", "7", "filled", "100"),
    ]
    assert [fill["filled_qty"] for fill in page["fills"]] == ["5", "12"]
    words = [row["words"] for row in page["timeline"]]
    assert words[1] == "a part of 5 goes to the broker as alice-sale~1: no order takes the account across zero"
    assert words[2].startswith("part alice-sale~1: the broker has it")
    assert words[3].startswith("part alice-sale~1: filled 5 at 100: 5 of 12")
    checks = {check["name"]: check["figure"] for check in page["checks"]}
    assert checks["nothing_is_in_its_way"] == "rule=zero_crossing position_qty=5 first_qty=5 rest_qty=7"


def test_a_rest_that_waits_and_one_that_never_went_say_so() -> None:
    """What is filled is booked; what is not can be asked for anew."""
    facts, _desk = a_split_story(is_whole=False)
    waiting = facts[:-1]
    assert isinstance(facts[-1], ev.OrderSplit)
    page = story(*waiting, order=ClientOrderId("alice-sale"))
    assert page["outcome"].startswith("its rest, 7, waits at the desk: another order is in its way; sold 5 of 12 AAPL")
    end = ev.OrderRejected(
        client_order_id=ClientOrderId("alice-sale"),
        reason="HELD_TOO_LONG",
        message="filled_qty=5 rest_qty=7 waited_s=30.0: the rest was never sent",
        at=NOON,
    )
    page = story(*waiting, end, order=ClientOrderId("alice-sale"))
    assert page["status"] == "rejected"
    assert page["outcome"].endswith("(sold 5 of 12 AAPL at 100 on average before)")
    assert page["remedy"] == "what was filled is booked; ask for the rest anew, if you still want it"
