"""The rest of a split order goes when it may, waits for no longer than it may, and never goes against somebody's will."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from deskd.core import sequencing
from deskd.core.deciding import handle
from deskd.core.desk import TRADES, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus as B
from deskd.domain.exits import ExitKind, ExitRules
from deskd.domain.ids import ClientOrderId
from deskd.domain.kill import KillDepth
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import OrderStatus, Replacement, Side, TimeInForce
from deskd.domain.priority import Priority
from deskd.domain.reasons import DenialReason as R
from deskd.domain.reasons import RefusalReason, RejectReason
from deskd.domain.run import StrategyStatus
from deskd.domain.stage import Stage
from deskd.ledger import fold
from tests.core.some_splits import (
    a_long_desk,
    a_sale,
    canceled,
    ended,
    facts,
    hold,
    limit,
    order,
    ours,
    part,
    rejected,
    sent,
    theirs,
    told,
)
from tests.core.test_exits import seen
from tests.factories import (
    AAPL,
    ALICE,
    DAY,
    MONDAY,
    NOON,
    a_kill,
    a_quote,
    a_snapshot,
    accepted,
    cash,
    filled,
    of_strategy,
    price,
    qty,
    requested,
    some_limits,
)

HOLD_MAX = LaneRules().hold_max
SECOND = timedelta(seconds=1)


def look(desk: Desk, after: timedelta) -> list[ef.Effect]:
    return handle(desk, ev.DoubtTimedOut(client_order_id=a_sale().client_order_id, at=NOON + after))


def half_done(*, is_filled: bool = True) -> Desk:
    """Return a desk on which bob's buy is in the way of the rest of alice's sale, whose first part is filled."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("100"))))
    handle(desk, requested(theirs("low", **limit("90"))))
    handle(desk, accepted(theirs("low", **limit("90"))))
    if is_filled:
        effects = handle(desk, filled(part(desk), 5))
        assert sent(effects) == []
        looks = [e for e in effects if isinstance(e, ef.LookAgain)]
        assert looks == [ef.LookAgain(a_sale().client_order_id, HOLD_MAX)], "somebody looks when its time is up"
    return desk


def denial(desk: Desk, event: ev.OrderRequested) -> str:
    (fact,) = [fact for fact in facts(handle(desk, event)) if isinstance(fact, ev.OrderDenied)]
    return fact.reason


def test_the_facts_stand_before_the_parts_leave() -> None:
    """Approved, split off, sent: a desk that is killed between any two finds the order as it is."""
    desk = a_long_desk()
    effects = handle(desk, requested(a_sale()))
    assert [type(fact) for fact in facts(effects)] == [ev.OrderApproved, ev.OrderSplit]
    assert isinstance(effects[-1], ef.Submit)
    approved = facts(effects)[0]
    assert isinstance(approved, ev.OrderApproved)
    assert approved.checks[-1].figure == "rule=zero_crossing position_qty=5 first_qty=5 rest_qty=7"


def test_a_rest_waits_for_what_came_in_its_way_and_goes_then() -> None:
    """The account is flat now, and bob waits to buy: a short beside it is refused by the broker."""
    desk = half_done()
    effects = handle(desk, ended(theirs("low", **limit("90")), B.CANCELED))
    assert [one.qty for one in sent(effects)] == [7]


def test_a_rest_waits_no_longer_than_hold_max() -> None:
    """Then the order is over, with what was in the way; the author is told what was done of it."""
    desk = half_done()
    assert look(desk, HOLD_MAX - SECOND) == []
    effects = look(desk, HOLD_MAX)
    assert told(effects) == [("rejected", "alice-sale", "5")]
    whole = order(desk)
    assert whole.reason == RejectReason.HELD_TOO_LONG
    assert (whole.message or "").startswith("filled_qty=5 rest_qty=7 waited_s=30.0 hold_max_s=30: rule=long_and_short")
    assert "bob" not in (whole.message or "")
    assert not desk.reservations.of(whole).cash
    assert sent(handle(desk, ended(theirs("low", **limit("90")), B.CANCELED))) == []


def test_a_day_orders_rest_does_not_leave_after_the_close() -> None:
    """A desk that was away over the close learns of the fill the next morning: the rest is not sent then."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    known = order(desk).split
    assert known is not None
    assert known.until == DAY.close_at
    late = filled(part(desk), 5)
    effects = handle(desk, ev.TradeUpdated(event="fill", order=late.order, fill=late.fill, at=DAY.close_at))
    assert sent(effects) == []
    assert order(desk).reason == RejectReason.NOT_SENT
    assert "the time of the order is over" in (order(desk).message or "")


@pytest.mark.parametrize(
    ("fields", "until"),
    [
        ({}, DAY.close_at),
        ({"extended_hours": True, **limit("100")}, DAY.extended_close_at),
        ({"time_in_force": TimeInForce.GTC}, NOON + sequencing.GTC_LIFE),
    ],
)
def test_the_rest_lives_as_long_as_the_order(fields: dict[str, Any], until: Any) -> None:
    """By the market's time where it differs from ours, and for a bounded time where nobody knows it."""
    desk = a_long_desk()
    assert sequencing.lives_until(desk, a_sale(**fields), a_quote(), NOON) == until
    on_a_tape = a_quote(quoted_at=DAY.close_at - SECOND, received_at=NOON)
    if not fields:
        assert sequencing.lives_until(desk, a_sale(), on_a_tape, NOON) == NOON + SECOND
        assert sequencing.lives_until(desk, a_sale(), None, NOON) == NOON + HOLD_MAX
        desk.calendar = {}
        assert sequencing.lives_until(desk, a_sale(), a_quote(), NOON) == NOON + HOLD_MAX


@pytest.mark.parametrize("moment", ["in doubt", "accepted", "partly filled"])
def test_a_cancel_ends_both_at_any_moment(moment: str) -> None:
    """The part is canceled at the broker, as soon as that can be; the rest is never sent."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("100"))))
    first = part(desk)
    if moment != "in doubt":
        handle(desk, accepted(first))
    if moment == "partly filled":
        handle(desk, filled(first, 2))
    effects = handle(desk, canceled())
    if moment == "in doubt":
        effects = handle(desk, accepted(first))
    assert [e.client_order_id for e in effects if isinstance(e, ef.Cancel)] == [first.client_order_id]
    done = 2 if moment == "partly filled" else 0
    effects = handle(desk, ended(first, B.CANCELED, done=done))
    assert sent(effects) == []
    assert told(effects) == [("canceled", "alice-sale", str(done))]
    assert not desk.split_ids
    assert not desk.reservations.by_order


def test_a_cancel_while_the_rest_waits_ends_the_order_at_once() -> None:
    """Nothing of it is at the broker."""
    desk = half_done()
    effects = handle(desk, canceled())
    assert told(effects) == [("pending_cancel", "alice-sale", "5"), ("canceled", "alice-sale", "5")]
    assert not [e for e in effects if isinstance(e, ef.Cancel)]
    (again,) = [e for e in handle(desk, canceled()) if isinstance(e, ef.Refuse)]
    assert again.reason == RefusalReason.ORDER_FINAL


def test_whoever_cancels_a_part_cancels_the_order() -> None:
    """A kill or an exit finds the part among the open orders: the rest must not go on without it."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("100"))))
    handle(desk, accepted(part(desk)))
    handle(desk, canceled("alice-sale~1"))
    assert order(desk).status is OrderStatus.PENDING_CANCEL
    assert sent(handle(desk, filled(part(desk), 5))) == []
    assert order(desk).status is OrderStatus.CANCELED


def test_an_order_in_parts_is_not_replaced() -> None:
    """Which of its parts was meant nobody could say: cancel, and ask anew."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("100"))))
    handle(desk, accepted(part(desk)))
    wanted = Replacement(replaces=ClientOrderId("alice-sale"), limit_price=price(101))
    asked = ev.ReplaceRequested(
        client_order_id=ClientOrderId("new"), replacement=wanted, quote=a_quote(), market_day=MONDAY, by="x", at=NOON
    )
    (answer,) = handle(desk, asked)
    assert isinstance(answer, ef.Refuse)
    assert answer.reason == RefusalReason.NOT_REPLACEABLE
    assert "cancel it and place another" in answer.message


@pytest.mark.parametrize("depth", [KillDepth.REDUCE_ONLY, KillDepth.STOP_NEW, KillDepth.CANCEL, KillDepth.FLATTEN])
def test_a_rest_that_opens_is_stopped_by_a_kill(depth: KillDepth) -> None:
    """What closes went its way; the rest would open a short."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    handle(desk, a_kill(of_strategy(ALICE), depth=depth))
    effects = handle(desk, filled(part(desk), 5))
    assert sent(effects) == []
    assert (order(desk).status, order(desk).reason) == (OrderStatus.REJECTED, RejectReason.NOT_SENT)
    assert "kill=" in (order(desk).message or "")


def a_covered_desk() -> Desk:
    """Return a desk whose account is long by five: alice holds twelve, bob owes seven."""
    desk = a_long_desk(12)
    hold(desk, theirs("owes", side=Side.SELL, qty=qty(7)))
    return desk


def test_what_only_closes_a_position_passes_reduce_only_in_both_parts() -> None:
    """Alice sells what she holds; that the account goes short by it is because of others."""
    desk = a_covered_desk()
    handle(desk, a_kill(of_strategy(ALICE), depth=KillDepth.REDUCE_ONLY))
    (first,) = sent(handle(desk, requested(a_sale())))
    (rest,) = sent(handle(desk, filled(first, 5)))
    assert (first.qty, rest.qty) == (qty(5), qty(7))
    handle(desk, filled(rest, 7))
    assert desk.portfolio.qty(ALICE, AAPL) == 0


def test_what_opens_is_denied_as_a_whole_under_reduce_only() -> None:
    """The gate judges the order, not its parts: it says what would pass."""
    desk = a_long_desk()
    handle(desk, a_kill(of_strategy(ALICE), depth=KillDepth.REDUCE_ONLY))
    assert denial(desk, requested(a_sale())) == R.REDUCE_ONLY


def test_the_gate_judges_the_whole() -> None:
    """Shorts that are not allowed, and sizes that are not, are no smaller for being split."""
    desk = a_long_desk()
    desk.limits[ALICE] = some_limits(is_short_allowed=False)
    assert denial(desk, requested(a_sale())) == R.SHORT_NOT_ALLOWED
    desk.limits[ALICE] = some_limits(is_short_allowed=True, order_notional_max=cash(1000))
    assert denial(desk, requested(ours("again", side=Side.SELL, qty=qty(12)))) == R.ORDER_NOTIONAL_MAX


@pytest.mark.parametrize("how", ["stopped", "paused"])
def test_a_rest_that_opens_does_not_leave_for_a_strategy_that_trades_no_more(how: str) -> None:
    """It stopped, or was paused, before the first part was filled."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    if how == "stopped":
        handle(desk, ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.STOPPED, why="x", at=NOON))
    else:
        handle(desk, ev.StageChanged(strategy_id=ALICE, stage=Stage.PAUSED, by="ada", why="x", at=NOON))
    assert sent(handle(desk, filled(part(desk), 5))) == []
    assert order(desk).reason == RejectReason.NOT_SENT


def test_a_rest_that_closes_leaves_for_a_strategy_that_has_stopped() -> None:
    """An order at the broker would go on, too."""
    desk = a_covered_desk()
    handle(desk, requested(a_sale()))
    handle(desk, ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.STOPPED, why="x", at=NOON))
    assert len(sent(handle(desk, filled(part(desk), 5)))) == 1


def test_an_exit_of_the_desk_goes_in_parts_too() -> None:
    """A stop-loss must not fail because other strategies are short: both parts leave before other orders do."""
    desk = a_covered_desk()
    desk.exit_rules[ALICE] = ExitRules(stop_loss_pct=Decimal(2))
    effects = handle(desk, seen("90"))
    (first,) = sent(effects)
    assert (first.qty, first.exit) == (qty(5), ExitKind.STOP_LOSS)
    effects = handle(desk, filled(first, 5))
    (rest,) = [e for e in effects if isinstance(e, ef.Submit)]
    assert (rest.request.qty, rest.priority) == (qty(7), Priority.EXIT)
    assert not sent(handle(desk, seen("90", after=60))), "it is on its way, and not asked for twice"
    handle(desk, filled(rest.request, 7))
    assert not desk.exits.running


def test_a_rest_that_is_larger_than_what_is_left_to_close_is_split_again() -> None:
    """Bob bought meanwhile: the account is long by three when the first part is filled."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("110"))))
    hold(desk, theirs("buys", qty=qty(3), **limit("100")))
    quantities = []
    for number in (1, 2, 3):
        quantities.append(part(desk, number).qty)
        handle(desk, filled(part(desk, number), str(part(desk, number).qty)))
    assert quantities == [5, 3, 4]
    assert (order(desk).status, order(desk).filled_qty) == (OrderStatus.FILLED, qty(12))


def test_what_a_rest_is_to_close_is_not_sold_by_others_who_open() -> None:
    """The rest comes first: whoever asks after it for a short finds the shares promised. What only closes passes it."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("110"))))
    hold(desk, theirs("buys", qty=qty(3), **limit("100")))
    assert denial(desk, requested(theirs("sells", side=Side.SELL, qty=qty(4)))) == R.CONFLICT_HELD
    closes = theirs("closes", side=Side.SELL, qty=qty(3))
    assert [one.client_order_id for one in sent(handle(desk, requested(closes)))] == [closes.client_order_id]


@pytest.mark.parametrize(("at", "reason"), [("100", R.CONFLICT_WASH), ("90", R.CONFLICT_OPENING)])
def test_nothing_is_split_while_something_is_in_the_way_of_a_part(at: str, reason: str) -> None:
    """Neither of what closes, which could trade with bob's, nor of the rest, which would stand beside it."""
    desk = a_long_desk()
    handle(desk, requested(theirs("buys", **limit(at))))
    assert denial(desk, requested(a_sale(**limit("100")))) == reason
    handle(desk, ended(theirs("buys", **limit(at)), B.CANCELED))
    assert len(sent(handle(desk, requested(ours("again", side=Side.SELL, qty=qty(12), **limit("100")))))) == 1


def test_an_order_that_was_held_is_split_when_its_way_is_free() -> None:
    """Under `hold` it waits as a whole, and goes in parts then."""
    desk = a_long_desk()
    desk.lane = LaneRules(conflict=ConflictPolicy.HOLD, hold_max=HOLD_MAX)
    handle(desk, requested(theirs("buys", **limit("90"))))
    handle(desk, requested(a_sale(**limit("100"))))
    assert order(desk).is_held
    effects = handle(desk, ended(theirs("buys", **limit("90")), B.CANCELED))
    assert [one.qty for one in sent(effects)] == [5]
    assert told(effects) == [("released", "alice-sale", "0")]
    assert [one.qty for one in sent(handle(desk, filled(part(desk), 5)))] == [7]


@pytest.mark.parametrize("policy", [ConflictPolicy.DENY, ConflictPolicy.HOLD])
def test_an_order_waits_for_others_that_are_about_to_close_a_part(policy: ConflictPolicy) -> None:
    """Under `hold`; under `deny` its author hears what is free, and why it is not split."""
    desk = a_long_desk()
    desk.lane = LaneRules(conflict=policy, hold_max=HOLD_MAX)
    other = theirs("sells", side=Side.SELL, qty=qty(3), **limit("110"))
    handle(desk, requested(other))
    handle(desk, requested(a_sale()))
    if policy is ConflictPolicy.DENY:
        assert order(desk).reason == R.CONFLICT_ZERO
        assert "sell 2 first, and 10 when that is filled (other open orders close" in (order(desk).message or "")
        return
    assert order(desk).is_held
    assert [one.qty for one in sent(handle(desk, ended(other, B.CANCELED)))] == [5]


def test_nobody_waits_for_his_own_closing_order() -> None:
    """He can cancel it."""
    desk = a_long_desk()
    desk.lane = LaneRules(conflict=ConflictPolicy.HOLD, hold_max=HOLD_MAX)
    handle(desk, requested(ours("sells", side=Side.SELL, qty=qty(3), **limit("110"))))
    assert denial(desk, requested(a_sale())) == R.CONFLICT_ZERO


def test_the_broker_is_never_asked_after_an_order_that_goes_in_parts() -> None:
    """It knows the parts alone: that it has not seen the whole is no end of it, nor is a stranger's of its name."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    oid = a_sale().client_order_id
    late = NOON + timedelta(minutes=1)
    assert handle(desk, ev.DoubtTimedOut(client_order_id=oid, at=late)) == []
    handle(desk, ev.OrderLookedUp(client_order_id=oid, order=None, fills=(), at=late))
    handle(desk, filled(a_sale(), 12))
    assert (order(desk).status, order(desk).filled_qty) == (OrderStatus.SUBMITTED, qty(0))


def test_while_no_fill_could_be_seen_no_rest_leaves() -> None:
    """It goes when the account was looked at, after the stream is up again."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    handle(desk, ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
    assert sent(handle(desk, filled(part(desk), 5))) == []
    handle(desk, ev.TradeStreamChanged(is_up=True, why="listening", at=NOON))
    effects = handle(desk, a_snapshot(cash=desk.portfolio.cash(), asked_at=NOON, fill_count=desk.fill_count))
    assert [one.qty for one in sent(effects)] == [7]


def test_after_a_crash_between_the_parts_the_second_goes_once() -> None:
    """The next desk comes from the facts; the broker tells it of the fill, and the rest leaves then."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    first = part(desk)
    again = fold.decode(fold.encode(desk))
    again.limits, again.instruments, again.calendar = desk.limits, desk.instruments, desk.calendar
    handle(again, ev.DeskStarted(version="0", broker="embedded", at=NOON))
    handle(again, ev.StreamChanged(stream=TRADES, is_up=True, why="listening", at=NOON))
    done = filled(first, 5)
    assert done.fill is not None
    snapshot = a_snapshot(
        cash=cash(100_000),
        orders=(done.order,),
        fills=((first.client_order_id, (done.fill,)),),
        asked_at=NOON,
        fill_count=again.execution_count,
    )
    assert [one.client_order_id for one in sent(handle(again, snapshot))] == ["alice-sale~2"]
    assert sent(handle(again, snapshot)) == []
    assert sent(look(again, SECOND)) == []


@pytest.mark.parametrize("number", [1, 2])
def test_a_part_that_a_crash_kept_from_leaving_ends_the_order_and_says_what_was_done(number: int) -> None:
    """Recorded and not sent, or sent and not heard: nobody knows. At most once beats at least once; nothing is held."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    if number == 2:
        handle(desk, filled(part(desk), 5))
    late = NOON + desk.doubt_settle
    missing = part(desk, number).client_order_id
    effects = handle(desk, ev.OrderLookedUp(client_order_id=missing, order=None, fills=(), at=late))
    whole = order(desk)
    assert sent(effects) == []
    assert (whole.status, whole.reason) == (OrderStatus.REJECTED, RejectReason.NEVER_ARRIVED)
    words = "never saw the order: it was not traded" if number == 1 else "filled_qty=5 leaves_qty=7: the broker says"
    assert words in (whole.message or "")
    assert not desk.reservations.by_order


def test_a_rejected_second_part_leaves_what_the_first_did() -> None:
    """Half of it is done, and said so."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    handle(desk, filled(part(desk), 5))
    handle(desk, rejected(part(desk, 2), "insufficient buying power"))
    whole = order(desk)
    assert (whole.status, whole.filled_qty) == (OrderStatus.REJECTED, qty(5))
    assert whole.reason == RejectReason.BROKER_REJECTED
    assert not desk.reservations.by_order


def test_buying_across_zero_goes_in_parts_as_selling_does() -> None:
    """The account is short: what covers first, then what opens a long."""
    desk = a_long_desk()
    hold(desk, ours("flat", side=Side.SELL, qty=qty(5)))
    hold(desk, ours("short", side=Side.SELL, qty=qty(4)))
    (first,) = sent(handle(desk, requested(ours("sale", qty=qty(10)))))
    assert first.qty == 4
    (rest,) = sent(handle(desk, filled(first, 4)))
    assert rest.qty == 6


def test_a_rest_that_is_overdue_is_looked_at() -> None:
    """Only one that waits, and only then."""
    desk = half_done()
    assert not sequencing.is_overdue(desk, order(desk), NOON + HOLD_MAX - SECOND)
    assert sequencing.is_overdue(desk, order(desk), NOON + HOLD_MAX)
    early = half_done(is_filled=False)
    assert not sequencing.is_overdue(early, order(early), NOON + HOLD_MAX)
