"""The desk's guarantees, as transcripts and as a storm."""

import dataclasses
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from deskd.core.deciding import handle
from deskd.core.desk import DENIED_KEPT, TRADES, Desk
from deskd.core.reconcile import LAG_MAX
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import Activity
from deskd.domain.effects import Record
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import HOUSE, ActivityId, BrokerOrderId, ClientOrderId, StrategyId
from deskd.domain.money import Cash
from deskd.domain.order import (
    Order,
    OrderClass,
    OrderRequest,
    OrderStatus,
    OrderType,
    Replacement,
    Side,
    StopLoss,
    TakeProfit,
    TimeInForce,
)
from deskd.domain.reasons import DenialReason, RefusalReason, RejectReason
from deskd.domain.run import StrategyStatus
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    SPY,
    a_broker_order,
    a_desk,
    a_fill,
    a_limit_request,
    a_quote,
    a_request,
    a_snapshot,
    accepted,
    cash,
    filled,
    price,
    qty,
    requested,
    some_limits,
    updated,
)
from tests.playbook import Playbook

OID = a_request().client_order_id


def a_desk_with(request: OrderRequest) -> Desk:
    """Return a desk on which *request* was approved and accepted."""
    desk = a_desk()
    handle(desk, requested(request))
    handle(desk, accepted(request))
    return desk


def test_an_approved_order_is_recorded_before_it_is_sent() -> None:
    """The ledger knows the order before the broker does."""
    request = a_request()
    assert Playbook(a_desk()) >> requested(request) << ev.OrderApproved << ef.Submit(request)


def test_a_fill_that_overtakes_the_acknowledgement_is_booked() -> None:
    """The stream may be faster than the answer to the POST; nothing is lost or counted twice."""
    request = a_request()
    desk = a_desk()
    assert (
        Playbook(desk)
        >> requested(request)
        << ev.OrderApproved
        << ef.Submit(request)
        >> filled(request, 10)
        << ev.OrderAccepted
        << ev.OrderFilled
        << ef.Reply(OID)
        >> accepted(request)  # late: no news
    )
    assert desk.orders[OID].status is OrderStatus.FILLED
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10
    assert desk.portfolio.book(ALICE).cash == 9000


def test_the_same_fill_twice_counts_once() -> None:
    """A fill has an identity: whichever way it comes again, it is no news."""
    request = a_request()
    desk = a_desk_with(request)
    assert (
        Playbook(desk)
        >> filled(request, 4)
        << ev.OrderFilled
        >> filled(request, 4)
        >> filled(request, 6, cumulative=10)
        << ev.OrderFilled
        >> filled(request, 4)
    )
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10


def test_fills_that_come_in_the_wrong_order_add_up() -> None:
    """The later execution first: the missing one is asked for, and both are booked once."""
    request = a_request()
    desk = a_desk_with(request)
    assert (
        Playbook(desk)
        >> filled(request, 6, cumulative=10)
        << ev.OrderFilled
        << ef.LookUp(OID)
        >> filled(request, 4)
        << ev.OrderFilled
    )
    assert desk.orders[OID].status is OrderStatus.FILLED


def test_an_end_waits_for_the_fills_that_it_counts() -> None:
    """A cancel that says `4 were filled` is not recorded before these four are booked."""
    request = a_request()
    desk = a_desk_with(request)
    canceled = a_broker_order(request, status=BrokerStatus.CANCELED, filled_qty=qty(4), filled_avg_price=price(100))
    looked_up = ev.OrderLookedUp(
        client_order_id=OID, order=canceled, fills=(a_fill(canceled, 4, cumulative=4),), at=NOON
    )
    assert Playbook(desk) >> updated(canceled) << ef.LookUp(OID) >> looked_up << ev.OrderFilled << ev.OrderCanceled
    assert desk.reservations.by_order == {}


def test_an_order_in_doubt_is_asked_for_and_never_sent_again() -> None:
    """A timeout is no answer: the broker decides, by client_order_id."""
    request = a_request()
    later = NOON + timedelta(seconds=11)
    in_doubt = ev.SubmitInDoubt(client_order_id=OID, why="timeout", at=NOON)
    found = ev.OrderLookedUp(client_order_id=OID, order=a_broker_order(request), fills=(), at=later)
    assert (
        Playbook(a_desk())
        >> requested(request)
        << ev.OrderApproved
        << ef.Submit(request)
        >> in_doubt
        << ev.BrokerSaid
        << ef.LookUp(OID)
        >> in_doubt  # the same word again is no news
        << ef.LookUp(OID)
        >> found
        << ev.OrderAccepted
        << ef.Reply(OID)
    )


def test_an_order_that_never_arrived_is_closed_only_after_it_had_time_to() -> None:
    """`Not found` at once may only mean `not yet`; after the settling time it is the broker's own answer."""
    request = a_request()
    desk = a_desk()
    early = ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=NOON + timedelta(seconds=1))
    late = ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=NOON + timedelta(seconds=11))
    assert (
        Playbook(desk)
        >> requested(request)
        << ev.OrderApproved
        << ef.Submit(request)
        >> early
        << ev.BrokerSaid
        >> early
        >> late
        << ev.OrderRejected
        << ef.Reply(OID)
    )
    assert desk.orders[OID].reason == RejectReason.NEVER_ARRIVED
    assert desk.buying_power(ALICE) == 10_000


def test_an_order_that_arrives_after_all_is_canceled_and_recorded() -> None:
    """The strategy was told that it is gone: so it must go."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=NOON + timedelta(seconds=11)))
    assert (
        Playbook(desk)
        >> updated(a_broker_order(request))
        << ev.DiscrepancyFound
        << ev.BrokerSaid
        << ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
        >> updated(a_broker_order(request))  # recorded once, canceled until it is gone
        << ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
    )


def test_the_second_order_sees_what_the_first_reserved() -> None:
    """Buying power is held at approval, not at the fill."""
    desk = a_desk(allocation="1500")
    second = a_limit_request(client_order_id=ClientOrderId("alice-2"))
    handle(desk, requested(a_limit_request()))
    effects = handle(desk, requested(second))
    denied = effects[0]
    assert isinstance(denied, ef.Record)
    assert isinstance(denied.fact, ev.OrderDenied)
    assert denied.fact.reason == DenialReason.BUYING_POWER
    assert "needed=1000.00 buying_power=500.00" in denied.fact.message


def test_the_same_id_with_the_same_content_gets_the_same_answer() -> None:
    """A retry is safe: no second order."""
    request = a_request()
    assert Playbook(a_desk_with(request)) >> requested(request) << ef.Reply(OID)


def test_a_retry_of_an_order_in_doubt_waits_for_the_same_answer() -> None:
    """What is in doubt is answered once the broker has answered, for everybody who waits."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    assert Playbook(desk) >> requested(request) >> accepted(request) << ev.OrderAccepted << ef.Reply(OID)


def test_the_same_id_with_other_content_is_a_conflict() -> None:
    """An id names one order for ever."""
    effects = handle(a_desk_with(a_request()), requested(a_request(qty=qty(11))))
    assert [type(e) for e in effects] == [ef.Refuse]
    assert isinstance(effects[0], ef.Refuse)
    assert effects[0].reason == RefusalReason.CONFLICT


def test_a_refused_submit_frees_what_was_reserved() -> None:
    """The broker's no ends the order, with the broker's words."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    no = ev.SubmitRejected(client_order_id=OID, message="insufficient buying power", at=NOON)
    assert Playbook(desk) >> no << ev.OrderRejected << ef.Reply(OID)
    assert desk.orders[OID].message == "insufficient buying power"
    assert desk.buying_power(ALICE) == 10_000


def test_a_cancel_while_in_doubt_is_sent_once_the_broker_has_the_order() -> None:
    """Without the broker's id there is nothing to cancel yet; the wish is kept."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    assert (
        Playbook(desk)
        >> ev.CancelRequested(client_order_id=OID, by="alice", at=NOON)
        << ev.OrderCancelRequested
        << ef.Reply(OID)
        >> accepted(request)
        << ev.OrderAccepted
        << ef.Reply(OID)
        << ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
        >> updated(a_broker_order(request, status=BrokerStatus.CANCELED))
        << ev.OrderCanceled
    )


def test_a_cancel_that_crosses_a_fill_brings_the_fill() -> None:
    """The broker refuses to cancel what is filled; the look-up tells the fill."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, ev.CancelRequested(client_order_id=OID, by="alice", at=NOON))
    whole = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(10), filled_avg_price=price(100))
    no = ev.CancelAnswered(client_order_id=OID, refusal='order is already in "filled" state', at=NOON)
    found = ev.OrderLookedUp(client_order_id=OID, order=whole, fills=(a_fill(whole, 10, cumulative=10),), at=NOON)
    assert Playbook(desk) >> no << ev.OrderCancelRefused << ef.LookUp(OID) >> found << ev.OrderFilled
    assert desk.orders[OID].status is OrderStatus.FILLED


def test_a_stuck_cancel_is_asked_for_again() -> None:
    """A look-up that finds the order alive repeats the cancel."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, ev.CancelRequested(client_order_id=OID, by="alice", at=NOON))
    found = ev.OrderLookedUp(client_order_id=OID, order=a_broker_order(request), fills=(), at=NOON)
    assert (
        Playbook(desk)
        >> ev.DoubtTimedOut(client_order_id=OID, at=NOON)
        << ef.LookUp(OID)
        >> found
        << ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
    )


def test_what_is_final_cannot_be_canceled() -> None:
    """The refusal is no fact."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 10))
    effects = handle(desk, ev.CancelRequested(client_order_id=OID, by="alice", at=NOON))
    assert isinstance(effects[0], ef.Refuse)
    assert effects[0].reason == RefusalReason.ORDER_FINAL


def test_an_overfill_is_a_discrepancy_and_is_not_booked() -> None:
    """What the table forbids is recorded and reconciled, never applied."""
    request = a_request()
    desk = a_desk_with(request)
    effects = handle(desk, filled(request, 11))
    kept: list[type] = [ev.DiscrepancyFound, ev.BrokerSaid]
    assert facts_of(effects) == kept
    assert any(isinstance(e, ef.Reconcile) for e in effects)
    again = handle(desk, filled(request, 11))
    assert facts_of(again) == [], "or every look at the account would call for another"
    assert not any(isinstance(e, ef.Reconcile) for e in again)
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0


def test_a_notional_order_ends_when_the_broker_calls_it_filled() -> None:
    """Only the broker knows how many shares a notional order is."""
    request = a_request(qty=None, notional=cash(100))
    desk = a_desk_with(request)
    order = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty("1.5"), filled_avg_price=price(60))
    effects = handle(desk, updated(order, "fill", a_fill(order, "1.5", cumulative="1.5", at_price="60")))
    assert [type(e.fact) for e in effects if isinstance(e, ef.Record)] == [ev.OrderFilled, ev.OrderCompleted]
    assert desk.orders[OID].status is OrderStatus.FILLED
    assert desk.reservations.by_order == {}


def test_a_brackets_legs_are_orders_of_the_same_strategy() -> None:
    """The broker makes the legs; their fills are the strategy's, and the shares are promised once."""
    request = a_request(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    profit = a_broker_order(
        client_order_id=ClientOrderId("leg-1"),
        broker_order_id=BrokerOrderId("b-leg-1"),
        side=Side.SELL,
        order_type=OrderType.LIMIT,
        limit_price=price(110),
        status=BrokerStatus.HELD,
    )
    loss = a_broker_order(
        client_order_id=ClientOrderId("leg-2"),
        broker_order_id=BrokerOrderId("b-leg-2"),
        side=Side.SELL,
        order_type=OrderType.STOP,
        stop_price=price(90),
        status=BrokerStatus.HELD,
    )
    desk = a_desk()
    handle(desk, requested(request))
    entry = a_broker_order(request, legs=(profit, loss))
    handle(desk, ev.SubmitAccepted(client_order_id=OID, order=entry, at=NOON))
    assert desk.reservations.qty(ALICE, AAPL) == 0
    handle(desk, filled(request, 10))
    assert desk.reservations.qty(ALICE, AAPL) == 10
    leg_request = desk.orders[ClientOrderId("leg-1")].request
    handle(desk, filled(leg_request, 10, at_price="110"))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0
    assert desk.portfolio.book(ALICE).cash == 10_100
    assert desk.reservations.qty(ALICE, AAPL) == 0
    gone = a_broker_order(
        client_order_id=ClientOrderId("leg-2"),
        broker_order_id=BrokerOrderId("b-leg-2"),
        status=BrokerStatus.CANCELED,
    )
    handle(desk, updated(gone))
    assert desk.open_orders() == []


def test_a_strategy_hears_of_its_orders_and_of_nobody_elses() -> None:
    """Each fact of an order is told to its own strategy, with the position after it."""
    request = a_request()
    desk = a_desk_with(request)
    tells = [e for e in handle(desk, filled(request, 10)) if isinstance(e, ef.Tell)]
    assert [(t.strategy_id, t.update.event, t.update.fill_qty, t.update.position_qty) for t in tells] == [
        (ALICE, "fill", "10", "10")
    ]


def test_an_unknown_strategy_is_denied() -> None:
    """Unknown means no."""
    request = a_request(strategy_id=StrategyId("mallory"))
    effects = handle(a_desk(), requested(request))
    assert isinstance(effects[0], ef.Record)
    assert isinstance(effects[0].fact, ev.OrderDenied)
    assert effects[0].fact.reason == DenialReason.STRATEGY_UNKNOWN


def test_the_same_order_again_within_the_window_is_a_duplicate() -> None:
    """A loop that forgot to remember is stopped; after the window the order is new again."""
    desk = a_desk(limits=some_limits(duplicate_window=timedelta(seconds=1)))
    handle(desk, requested())
    again = a_request(client_order_id=ClientOrderId("alice-2"))
    denied = handle(desk, requested(again, at=NOON + timedelta(milliseconds=999)))[0]
    assert isinstance(denied, ef.Record)
    assert isinstance(denied.fact, ev.OrderDenied)
    assert denied.fact.reason == DenialReason.DUPLICATE
    later = a_request(client_order_id=ClientOrderId("alice-3"))
    assert any(isinstance(e, ef.Submit) for e in handle(desk, requested(later, at=NOON + timedelta(seconds=1))))


def test_orders_wait_for_a_look_after_the_stream_came_back() -> None:
    """Up is not enough: the fills of the gap must be known first."""
    desk = a_desk()
    assert desk.is_synced
    handle(desk, ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
    assert (
        Playbook(desk)
        >> ev.TradeStreamChanged(is_up=True, why="listening", at=NOON)
        << ev.StreamChanged
        << ef.Reconcile("the trade stream came up")
    )
    assert [desk.is_synced, handle(desk, a_snapshot()) and desk.is_synced] == [False, True]


def test_fills_of_an_outage_are_found_by_the_snapshot() -> None:
    """What the stream did not tell, the broker's orders and executions do."""
    request = a_request()
    desk = a_desk_with(request)
    whole = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(10), filled_avg_price=price(100))
    position = ev.BrokerPosition(symbol=AAPL, qty=qty(10), avg_entry_price=price(100))
    handle(
        desk,
        a_snapshot(
            cash=cash(99_000),
            positions=(position,),
            orders=(whole,),
            fills=((OID, (a_fill(whole, 10, cumulative=10),)),),
        ),
    )
    assert desk.orders[OID].status is OrderStatus.FILLED
    assert desk.portfolio.holdings() == {AAPL: qty(10)}
    assert desk.last_reconciled is not None
    assert desk.last_reconciled.differences == ()


def test_a_difference_that_outlasts_the_brokers_lag_goes_to_the_house() -> None:
    """An officer bought by hand: no member's book moves."""
    desk = a_desk()
    before = deepcopy(desk.portfolio.book(ALICE))
    by_hand = a_snapshot(
        cash=cash(99_500),
        positions=(ev.BrokerPosition(symbol=AAPL, qty=qty(5), avg_entry_price=price(100)),),
    )
    assert (
        Playbook(desk)
        >> by_hand
        << ev.AccountReconciled
        << ef.Reconcile("a difference is to be confirmed", after=LAG_MAX)
        >> replace(by_hand, at=NOON + LAG_MAX / 2)  # the broker's positions may still lag
        << ev.AccountReconciled
        >> replace(by_hand, at=NOON + LAG_MAX)
        << ev.DiscrepancyFound
        << ev.HouseAdjusted
        << ev.SymbolFrozen
        << ev.DiscrepancyFound
        << ev.HouseAdjusted
        << ev.AccountReconciled
    )
    assert desk.portfolio.book(ALICE) == before
    assert desk.portfolio.book(HOUSE).qty(AAPL) == 5
    assert desk.portfolio.cash() == 99_500


def test_a_difference_with_a_fill_in_between_is_not_believed() -> None:
    """The broker's positions lag its orders: a look that is older than a fill proves nothing."""
    request = a_request()
    desk = a_desk_with(request)
    lagging = a_snapshot()  # cash as before the fill
    handle(desk, filled(request, 10))
    effects = handle(desk, lagging)
    assert not any(isinstance(e, ef.Record) and isinstance(e.fact, ev.HouseAdjusted) for e in effects)
    assert desk.portfolio.book(HOUSE).cash == 80_000


def test_a_reconcile_that_finds_nothing_changes_nothing() -> None:
    """Reconcile is idempotent."""
    desk = a_desk()
    before = deepcopy(desk)
    handle(desk, a_snapshot())
    before.last_reconciled = desk.last_reconciled
    assert desk == before


def test_marks_are_kept_only_for_what_is_held_and_moved() -> None:
    """The ledger is not a tape."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 10))
    marks = ev.MarksTaken(marks=((AAPL, price(101)), ("SPY", price(1))), at=NOON)  # type: ignore[arg-type]
    assert Playbook(desk) >> marks << ef.Record(ev.PositionsMarked(marks=((AAPL, price(101)),), at=NOON)) >> marks
    account = desk.account(ALICE)
    assert account is not None
    assert (account.equity, account.unrealized_pnl) == (cash(10_010), cash(10))


@pytest.mark.parametrize("status", [StrategyStatus.PAUSED, StrategyStatus.STOPPED, StrategyStatus.FAILED])
def test_only_active_strategies_trade(status: StrategyStatus) -> None:
    """What is not active is denied, whoever asks."""
    desk = a_desk()
    desk.apply(ev.StrategyStatusChanged(strategy_id=ALICE, status=status, why="test", at=NOON))
    denied = handle(desk, requested())[0]
    assert isinstance(denied, ef.Record)
    assert isinstance(denied.fact, ev.OrderDenied)
    assert denied.fact.reason == DenialReason.STRATEGY_NOT_ACTIVE


class DeskMachine(RuleBasedStateMachine):
    """Any storm of requests, broker answers, lies and outages leaves the desk solvent and its ledger true."""

    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.desk = a_desk(limits=some_limits(is_short_allowed=False))
        self.at_start = deepcopy(self.desk)
        self.ledger: list[ev.Fact] = []
        self.executed: dict[ClientOrderId, Decimal] = {}  # what the broker has filled, told or not
        self.sizes: dict[ClientOrderId, Decimal] = {}  # what each order is for, at the broker
        self.replaces: dict[ClientOrderId, ClientOrderId] = {}  # new: old, where a replace was asked for
        self.under_way: set[ClientOrderId] = set()  # replaces that have not come to the broker yet
        self.refused: set[ClientOrderId] = set()  # replaces that the broker refused, told or not
        self.ended: dict[ClientOrderId, BrokerStatus] = {}
        self.told: list[ev.TradeUpdated] = []
        self.fills: dict[ClientOrderId, list[ev.TradeUpdated]] = {}
        self.count = 0

    def send(self, event: ev.Event) -> list[ef.Effect]:
        effects = handle(self.desk, event)
        self.ledger += [e.fact for e in effects if isinstance(e, ef.Record)]
        return effects

    @initialize(target=orders)
    def open(self) -> object:
        """Begin with some that rest, so that a short story has something to happen to."""
        self.send(a_snapshot())
        resting = [self.request(ALICE, Side.BUY, shares, OrderType.LIMIT) for shares in (5, 10, 15)]
        for oid in resting:
            assert isinstance(oid, str)
            self.answer(ClientOrderId(oid))
        return multiple(*resting)

    @rule(
        target=orders,
        who=st.sampled_from([ALICE, BOB]),
        side=st.sampled_from(Side),
        shares=st.integers(1, 30),
        kind=st.sampled_from([OrderType.MARKET, OrderType.LIMIT]),
    )
    def request(self, who: StrategyId, side: Side, shares: int, kind: OrderType) -> object:
        self.count += 1
        oid = ClientOrderId(f"o-{self.count}")
        request = a_request(
            strategy_id=who,
            client_order_id=oid,
            side=side,
            qty=qty(shares),
            order_type=kind,
            limit_price=price(100) if kind is OrderType.LIMIT else None,
            time_in_force=TimeInForce.DAY,
        )
        effects = self.send(requested(request))
        if not any(isinstance(e, ef.Submit) for e in effects):
            return multiple()
        self.executed[oid] = Decimal(0)
        self.sizes[oid] = Decimal(shares)
        self.fills[oid] = []
        return oid

    @rule(
        target=orders,
        old=orders,
        shares=st.one_of(st.none(), st.integers(1, 40)),
        limit=st.one_of(st.none(), st.sampled_from([90, 99, 101, 120])),
    )
    def replace(self, old: ClientOrderId, shares: int | None, limit: int | None) -> object:
        """Ask for another order in the place of *old*; what it costs is the gate's to judge."""
        if self.desk.orders[old].request.order_type is OrderType.MARKET:
            limit = None
        self.count += 1
        oid = ClientOrderId(f"o-{self.count}")
        wanted = Replacement(
            replaces=old,
            qty=None if shares is None else qty(shares),
            limit_price=None if limit is None else price(limit),
        )
        asked = ev.ReplaceRequested(
            client_order_id=oid, replacement=wanted, quote=a_quote(), market_day=MONDAY, by="x", at=NOON
        )
        if not any(isinstance(e, ef.Replace) for e in self.send(asked)):
            return multiple()
        self.executed[oid] = Decimal(0)
        self.fills[oid] = []
        self.replaces[oid] = old
        self.under_way.add(oid)
        return oid

    @rule(is_told=st.booleans(), crossing=st.integers(0, 12), is_fill_told=st.booleans(), data=st.data())
    def arrive(self, is_told: bool, crossing: int, is_fill_told: bool, data: st.DataObject) -> None:
        """Let a replace come to the broker, which takes or refuses it; its answer may be lost, a fill may cross it."""
        if not self.under_way:
            return
        oid = data.draw(st.sampled_from(sorted(self.under_way)))
        self.under_way.discard(oid)
        old = self.replaces[oid]
        if crossing:
            self.execute(old, crossing, is_fill_told)
        request = self.desk.orders[oid].request
        assert request.replacement is not None
        total = request.replacement.qty or self.sizes[old]
        if not self.is_alive(old) or total <= self.executed[old]:
            self.refused.add(oid)
            if is_told:
                self.send(ev.SubmitRejected(client_order_id=oid, message="not open", at=NOON))
            return
        self.sizes[oid] = total - self.executed[old]
        self.ended[old] = BrokerStatus.REPLACED
        if is_told:
            self.send(updated(self.at_broker(old), "replaced"))
            self.answer(oid)

    def is_alive(self, oid: ClientOrderId) -> bool:
        is_there = oid not in self.under_way and oid not in self.refused
        return is_there and oid not in self.ended and self.executed[oid] < self.sizes[oid]

    @rule(
        oid=orders,
        status=st.sampled_from(
            [
                BrokerStatus.SUSPENDED,
                BrokerStatus.STOPPED,
                BrokerStatus.DONE_FOR_DAY,
                BrokerStatus.CALCULATED,
                BrokerStatus.PENDING_CANCEL,
                BrokerStatus.PENDING_REPLACE,
                BrokerStatus.ACCEPTED,
                BrokerStatus.PENDING_NEW,
            ]
        ),
    )
    def say(self, oid: ClientOrderId, status: BrokerStatus) -> None:
        """Tell a word that ends nothing."""
        if self.is_alive(oid):
            self.send(updated(dataclasses.replace(self.at_broker(oid), status=status, raw_status=status.value)))

    @rule(oid=orders, is_refused=st.booleans())
    def answer_cancel(self, oid: ClientOrderId, is_refused: bool) -> None:
        refusal = "no" if is_refused else None
        self.send(ev.CancelAnswered(client_order_id=oid, refusal=refusal, at=NOON))

    @rule(oid=orders)
    def answer(self, oid: ClientOrderId) -> None:
        if oid not in self.under_way and oid not in self.refused:
            first = BrokerStatus.NEW
            at_first = dataclasses.replace(
                self.at_broker(oid), status=first, raw_status=first.value, filled_qty=qty(0), filled_avg_price=None
            )
            self.send(ev.SubmitAccepted(client_order_id=oid, order=at_first, at=NOON))

    @rule(oid=orders)
    def doubt(self, oid: ClientOrderId) -> None:
        self.send(ev.SubmitInDoubt(client_order_id=oid, why="timeout", at=NOON))

    @rule(oid=orders)
    def cancel(self, oid: ClientOrderId) -> None:
        self.send(ev.CancelRequested(client_order_id=oid, by="x", at=NOON))

    @rule(oid=orders, shares=st.integers(1, 30), is_told=st.booleans())
    def execute(self, oid: ClientOrderId, shares: int, is_told: bool) -> None:
        """Fill at the broker; the stream may lose the message."""
        if not self.is_alive(oid):
            return
        done = min(Decimal(shares), self.sizes[oid] - self.executed[oid])
        self.executed[oid] += done
        broker = self.at_broker(oid)
        fill = a_fill(broker, str(done), cumulative=str(self.executed[oid]), at_price=str(self.price_of(oid)))
        message = updated(broker, "fill" if self.executed[oid] == self.sizes[oid] else "partial_fill", fill)
        self.fills[oid].append(message)
        if is_told:
            self.told.append(message)
            self.send(message)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Tell an old message again."""
        if self.told:
            self.send(data.draw(st.sampled_from(self.told)))

    @rule(oid=orders, status=st.sampled_from([BrokerStatus.CANCELED, BrokerStatus.EXPIRED]))
    def end(self, oid: ClientOrderId, status: BrokerStatus) -> None:
        if self.is_alive(oid):
            self.ended[oid] = status
            self.send(updated(self.at_broker(oid)))

    def price_of(self, oid: ClientOrderId) -> Decimal:
        """Return the price of all of its fills: the worst that it takes."""
        return self.desk.orders[oid].request.limit_price or Decimal(100)

    def at_broker(self, oid: ClientOrderId) -> ev.BrokerOrder:
        request = self.desk.orders[oid].request
        done = self.executed[oid]
        status = (
            BrokerStatus.FILLED
            if done == self.sizes[oid]
            else self.ended.get(oid, BrokerStatus.PARTIALLY_FILLED if done else BrokerStatus.NEW)
        )
        new = next((n for n, old in self.replaces.items() if old == oid and n in self.sizes), None)
        old = self.replaces.get(oid)
        return a_broker_order(
            request,
            status=status,
            qty=qty(str(self.sizes[oid])),
            filled_qty=qty(str(done)),
            filled_avg_price=price(str(self.price_of(oid))) if done else None,
            replaced_by=None if new is None else BrokerOrderId(f"b-{new}"),
            replaces=None if old is None else BrokerOrderId(f"b-{old}"),
        )

    @rule(oid=orders)
    def look_up(self, oid: ClientOrderId) -> None:
        at = NOON
        if oid in self.under_way:
            self.send(ev.OrderLookedUp(client_order_id=oid, order=None, fills=(), at=at))
            return
        if oid in self.refused:
            at = NOON + timedelta(seconds=11)
            self.send(ev.OrderLookedUp(client_order_id=oid, order=None, fills=(), at=at))
            return
        fills = tuple(m.fill for m in self.fills[oid] if m.fill)
        order = self.at_broker(oid)
        chain: list[ev.BrokerOrder] = []
        last = order
        while last.replaced_by is not None:
            last = self.at_broker(ClientOrderId(last.replaced_by.removeprefix("b-")))
            chain.append(last)
        found = ev.OrderLookedUp(client_order_id=oid, order=order, fills=fills, at=at, successors=tuple(chain))
        self.send(found)

    @rule()
    def reconnect(self) -> None:
        """After an outage, one snapshot brings the desk to where the broker is."""
        self.send(ev.TradeStreamChanged(is_up=False, why="x", at=NOON))
        self.send(ev.TradeStreamChanged(is_up=True, why="listening", at=NOON))
        position: dict[str, Decimal] = {}
        money = Decimal(100_000)
        for oid, done in self.executed.items():
            request = self.desk.orders[oid].request
            position[request.symbol] = position.get(request.symbol, Decimal(0)) + request.side.sign * done
            money -= request.side.sign * done * self.price_of(oid)
        self.send(
            a_snapshot(
                cash=cash(str(money)),
                positions=tuple(
                    ev.BrokerPosition(symbol=AAPL, qty=qty(str(q)), avg_entry_price=price(100))
                    for q in position.values()
                    if q
                ),
                orders=tuple(self.at_broker(oid) for oid in self.sizes),
                missing=tuple(self.refused),
                asked_at=NOON + timedelta(seconds=11),
                at=NOON + timedelta(seconds=11),
                fills=tuple((oid, tuple(m.fill for m in ms if m.fill)) for oid, ms in self.fills.items()),
                fill_count=self.desk.fill_count,
            )
        )
        assert self.desk.is_synced
        for oid, done in self.executed.items():
            assert self.desk.orders[oid].filled_qty == done
            assert self.desk.orders[oid].status.is_open is (self.is_alive(oid) or oid in self.under_way)
        for new, old in self.replaces.items():
            assert (self.desk.orders[old].status is OrderStatus.REPLACED) is (self.ended.get(old) == "replaced"), new

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        for oid, done in self.executed.items():
            assert self.desk.orders[oid].filled_qty <= done

    @invariant()
    def no_book_is_overdrawn_or_short(self) -> None:
        for who in (ALICE, BOB):
            assert self.desk.buying_power(who) >= 0
            assert self.desk.portfolio.book(who).qty(AAPL) >= 0

    def booked(self) -> list[Order]:
        return [self.desk.orders[oid] for oid in self.executed]

    @invariant()
    def nothing_is_held_below_zero(self) -> None:
        for held in self.desk.reservations.by_order.values():
            assert min(held.cash, held.qty, held.opening) >= 0

    @invariant()
    def a_pair_holds_what_either_could_still_trade(self) -> None:
        """At the broker, each order may still trade what is left of it there, and the desk's unknown fills count."""
        for new, old in self.replaces.items():
            if self.desk.orders[new].request.side is Side.SELL or not self.desk.orders[new].status.is_open:
                continue
            pair = [oid for oid in (new, old) if self.desk.orders[oid].status.is_open]
            held = sum((self.desk.reservations.of(self.desk.orders[oid]).cash for oid in pair), Decimal(0))
            shares = sum((self.desk.reservations.of(self.desk.orders[oid]).opening for oid in pair), Decimal(0))
            untold = [self.executed[o] - self.desk.orders[o].filled_qty for o in pair]
            alive = [self.sizes[o] - self.executed[o] if self.is_alive(o) else Decimal(0) for o in pair]
            needed = [(u + a) for u, a in zip(untold, alive, strict=True)]
            cost = sum((n * self.price_of(o) for n, o in zip(needed, pair, strict=True)), Decimal(0))
            assert shares >= sum(needed), (new, old)
            assert held >= cost, (new, old)

    @invariant()
    def the_books_add_up(self) -> None:
        booked = sum(
            (self.desk.orders[o].request.side.sign * self.desk.orders[o].filled_qty for o in self.executed), Decimal(0)
        )
        spent = sum(
            (o.request.side.sign * o.filled_qty * self.price_of(o.request.client_order_id) for o in self.booked()),
            Decimal(0),
        )
        assert self.desk.portfolio.cash() == 100_000 - spent
        assert self.desk.portfolio.holdings().get(AAPL, Decimal(0)) == booked
        assert self.desk.portfolio.book(HOUSE).cash == 80_000

    @invariant()
    def only_open_orders_hold_anything(self) -> None:
        open_ids = {o for o, order in self.desk.orders.items() if order.status.is_open}
        assert open_ids == set(self.desk.open_ids) == set(self.desk.reservations.by_order)
        if not open_ids:
            for who in (ALICE, BOB):
                assert self.desk.reservations.cash(who) == 0
                assert self.desk.reservations.qty(who, AAPL) == 0
                assert self.desk.reservations.count(who) == 0

    @invariant()
    def the_ledger_tells_the_whole_story(self) -> None:
        again = deepcopy(self.at_start)
        for fact in self.ledger:
            again.apply(fact)
        assert again == self.desk


TestDesk = DeskMachine.TestCase
TestDesk.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_killed_desk_does_not_believe_that_its_stream_is_up() -> None:
    """A start begins in doubt, whatever the last fact said."""
    desk = a_desk()
    desk.apply(ev.DeskStarted(version="0", broker="embedded", at=NOON))
    assert not desk.is_synced
    assert not desk.is_trade_stream_up
    assert TRADES == "trades"


def test_a_quote_without_a_bid_is_no_price() -> None:
    """One-sided markets value nothing."""
    denied = handle(a_desk(), requested(quote=a_quote(bid_price=price(0))))[0]
    assert isinstance(denied, ef.Record)
    assert isinstance(denied.fact, ev.OrderDenied)
    assert denied.fact.reason == DenialReason.QUOTE_MISSING


# --- what the broker tells late, twice, or no more --------------------------------------------------------------------


def a_bracket() -> OrderRequest:
    return a_request(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )


def a_leg(name: str, **overrides: Any) -> ev.BrokerOrder:
    fields: dict[str, Any] = {
        "client_order_id": ClientOrderId(name),
        "broker_order_id": BrokerOrderId(f"b-{name}"),
        "side": Side.SELL,
        "order_type": OrderType.LIMIT,
        "limit_price": price(110),
        "status": BrokerStatus.HELD,
    }
    return a_broker_order(**fields | overrides)


def facts_of(effects: list[ef.Effect]) -> list[type]:
    return [type(e.fact) for e in effects if isinstance(e, ef.Record)]


def test_legs_are_found_when_the_stream_overtakes_the_answer() -> None:
    """The stream never names legs; the answer to the POST does, and what was bought by then is promised to them."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    legs = (a_leg("profit"), a_leg("loss", order_type=OrderType.STOP, limit_price=None, stop_price=price(90)))
    answer = ev.SubmitAccepted(client_order_id=OID, order=a_broker_order(request, legs=legs), at=NOON)
    assert (
        Playbook(desk)
        >> filled(request, 10)
        << ev.OrderAccepted
        << ev.OrderFilled
        << ef.Reply(OID)
        << ef.LookUp(OID)  # a bracket without legs: they are asked for, if the answer never comes
        >> answer
        << ev.LegsFound
        >> answer
    )
    assert [o.request.client_order_id for o in desk.open_orders()] == ["profit", "loss"]
    assert desk.reservations.qty(ALICE, AAPL) == 10
    handle(desk, filled(desk.orders[ClientOrderId("loss")].request, 10, at_price="90"))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0


def test_a_leg_that_moved_on_before_it_was_known_is_asked_for() -> None:
    """Its fill came when nobody knew whose it was."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    done = a_leg("profit", status=BrokerStatus.FILLED, filled_qty=qty(10))
    gone = a_leg("loss", status=BrokerStatus.CANCELED)
    unreadable = a_leg("strange", qty=None)
    answer = a_broker_order(request, legs=(done, gone, unreadable))
    assert (
        Playbook(desk)
        >> ev.SubmitAccepted(client_order_id=OID, order=answer, at=NOON)
        << ev.OrderAccepted
        << ef.Reply(OID)
        << ef.LookUp(ClientOrderId("profit"))
        << ef.LookUp(ClientOrderId("loss"))
    )
    assert ClientOrderId("strange") not in desk.orders


def test_the_legs_of_an_order_that_was_refused_at_once_are_nobodys() -> None:
    """No question is asked of what never lived: an answer about an unknown order would end the desk."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    legs = tuple(a_leg(name, status=BrokerStatus.CANCELED) for name in ("profit", "loss"))
    refused = a_broker_order(request, status=BrokerStatus.REJECTED, legs=legs)
    looked_up = ev.OrderLookedUp(client_order_id=OID, order=refused, fills=(), at=NOON)
    assert Playbook(desk) >> looked_up << ev.OrderRejected << ef.Reply(OID)


def test_the_legs_of_an_order_that_arrived_after_all_are_its_strategys() -> None:
    """The desk had given it up, and it filled: its exits sell what that strategy now has."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=NOON + timedelta(seconds=11)))
    handle(desk, filled(request, 10))
    done = a_leg("profit", status=BrokerStatus.FILLED, filled_qty=qty(10))
    gone = a_leg("loss", status=BrokerStatus.CANCELED)
    whole = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(10), legs=(done, gone))
    looked_up = ev.OrderLookedUp(client_order_id=OID, order=whole, fills=(), at=NOON)
    effects = handle(desk, looked_up)
    assert facts_of(effects) == [ev.LegsFound]
    fill = a_fill(done, 10, cumulative=10, at_price="110")
    handle(desk, ev.OrderLookedUp(client_order_id=done.client_order_id, order=done, fills=(fill,), at=NOON))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0
    assert desk.portfolio.book(ALICE).cash == 10_100


def test_a_leg_promises_what_its_entry_has_bought_and_no_more() -> None:
    """The shares are free again as they are sold, and when the leg ends."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    answer = a_broker_order(request, legs=(a_leg("profit"),))
    handle(desk, ev.SubmitAccepted(client_order_id=OID, order=answer, at=NOON))
    handle(desk, filled(request, 4))
    assert desk.reservations.qty(ALICE, AAPL) == 4
    handle(desk, filled(request, 6, cumulative=10))
    assert desk.reservations.qty(ALICE, AAPL) == 10
    leg = desk.orders[ClientOrderId("profit")].request
    handle(desk, filled(leg, 3, at_price="110"))
    assert desk.reservations.qty(ALICE, AAPL) == 7
    handle(desk, updated(a_leg("profit", status=BrokerStatus.CANCELED, filled_qty=qty(3))))
    assert desk.reservations.qty(ALICE, AAPL) == 0


def test_a_fill_that_an_answer_names_twice_counts_once() -> None:
    """A list of executions may overlap with itself, page by page."""
    request = a_request()
    desk = a_desk_with(request)
    order = a_broker_order(request, status=BrokerStatus.PARTIALLY_FILLED, filled_qty=qty(4))
    twice = (a_fill(order, 4, cumulative=4),) * 2
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=order, fills=twice, at=NOON))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 4


def test_another_order_under_our_id_is_not_ours() -> None:
    """An officer's replacement may carry our client_order_id: it is told by the broker's own."""
    request = a_request()
    desk = a_desk_with(request)
    theirs = a_broker_order(
        request, broker_order_id=BrokerOrderId("other"), status=BrokerStatus.FILLED, filled_qty=qty(10)
    )
    fill = a_fill(theirs, 10, cumulative=10)
    assert facts_of(handle(desk, updated(theirs, "fill", fill))) == []
    assert handle(desk, ev.OrderLookedUp(client_order_id=OID, order=theirs, fills=(fill,), at=NOON)) == []
    assert desk.orders[OID].status is OrderStatus.ACCEPTED
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0


def test_a_strangers_order_matters_only_when_it_fills() -> None:
    """An officer trades by hand in the broker's own page: the account is looked at, no book moves."""
    theirs = a_broker_order(client_order_id=ClientOrderId("by-hand"), broker_order_id=BrokerOrderId("x"))
    assert Playbook(a_desk()) >> updated(theirs)
    done = replace(theirs, filled_qty=qty(1))
    moved = ef.Reconcile("order x is not the desk's")
    assert Playbook(a_desk()) >> updated(done, "fill", a_fill(done, 1, cumulative=1)) << moved


def test_an_order_that_the_broker_lost_ends_once() -> None:
    """After a reset of the account nothing holds for ever, and the ledger is not filled with one complaint."""
    request = a_request()
    desk = a_desk_with(request)
    later = NOON + timedelta(minutes=1)
    unknown = ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=later)
    assert Playbook(desk) >> unknown << ev.BrokerSaid << ef.Reconcile(f"the broker does not find order {OID}")
    assert OrderStatus.ACCEPTED is desk.orders[OID].status, "one list may lag"
    too_early = a_snapshot(missing=(OID,), asked_at=NOON + timedelta(seconds=1))
    assert Playbook(desk) >> too_early << ev.AccountReconciled
    lost = a_snapshot(missing=(OID,), asked_at=later)
    assert (
        Playbook(desk)
        >> lost
        << ev.DiscrepancyFound
        << ev.OrderRejected
        << ef.Reply(OID)
        << ev.AccountReconciled
        >> lost
        << ev.AccountReconciled
        >> unknown
    )
    assert desk.orders[OID].reason == RejectReason.BROKER_LOST
    assert desk.reservations.by_order == {}


@pytest.mark.parametrize("reason", [RejectReason.BROKER_REJECTED, RejectReason.BROKER_LOST])
def test_an_order_that_ended_here_and_lives_there_is_canceled(reason: RejectReason) -> None:
    """Its strategy was told that it is over: so it must go, and what it fills is booked."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    desk.apply(ev.OrderRejected(client_order_id=OID, reason=reason, message="x", at=NOON))
    alive = a_broker_order(request)
    cancel = ef.Cancel(OID, alive.broker_order_id)
    assert Playbook(desk) >> updated(alive) << ev.DiscrepancyFound << ev.BrokerSaid << cancel
    handle(desk, filled(request, 4))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 4


def test_an_order_that_the_broker_refuses_after_all_ends() -> None:
    """Accepted first, rejected by the venue later: what was reserved is free."""
    request = a_request()
    desk = a_desk_with(request)
    rejected = updated(a_broker_order(request, status=BrokerStatus.REJECTED))
    assert Playbook(desk) >> rejected << ev.OrderRejected >> rejected
    assert desk.orders[OID].reason == RejectReason.BROKER_REFUSED_LATER
    assert desk.reservations.by_order == {}


def test_a_refusal_of_an_order_that_the_stream_has_seen_is_looked_into() -> None:
    """Two words of the broker: the order itself decides."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    handle(desk, updated(a_broker_order(request)))
    no = ev.SubmitRejected(client_order_id=OID, message="no", at=NOON)
    assert Playbook(desk) >> no << ef.LookUp(OID)


def test_a_second_refusal_is_no_news() -> None:
    """What is over stays as it ended."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    no = ev.SubmitRejected(client_order_id=OID, message="no", at=NOON)
    assert Playbook(desk) >> no << ev.OrderRejected << ef.Reply(OID) >> no
    assert Playbook(desk) >> ev.DoubtTimedOut(client_order_id=OID, at=NOON)


def test_a_restated_quantity_ends_when_the_broker_calls_it_filled() -> None:
    """What the broker made smaller is done with less than was asked for, and holds no more than that."""
    request = a_request()
    desk = a_desk_with(request)
    whole = a_broker_order(request, qty=qty(6), status=BrokerStatus.FILLED, filled_qty=qty(6))
    effects = handle(desk, updated(whole, "fill", a_fill(whole, 6, cumulative=6)))
    assert facts_of(effects) == [ev.OrderRestated, ev.OrderFilled]
    assert desk.orders[OID].status is OrderStatus.FILLED
    assert desk.reservations.by_order == {}


def test_an_order_replaced_by_nothing_ends_and_keeps_its_fills() -> None:
    """The broker names no order in its place, asked for it or not: nothing may hold for ever."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 4))
    old = a_broker_order(request, status=BrokerStatus.REPLACED, filled_qty=qty(4))
    nothing = ev.OrderLookedUp(client_order_id=OID, order=old, fills=(a_fill(old, 4, cumulative=4),), at=NOON)
    assert (
        Playbook(desk)
        >> updated(old, "replaced")
        << ef.LookUp(OID)
        >> nothing
        << ev.OrderReplaced
        << ev.DiscrepancyFound
        << ef.Reconcile(f"order {OID} was replaced by nothing")
    )
    assert desk.orders[OID].status is OrderStatus.REPLACED
    assert desk.reservations.by_order == {}
    assert desk.portfolio.book(ALICE).qty(AAPL) == 4


def test_a_cancel_may_be_asked_for_again() -> None:
    """The wish is one fact; the question may be sent twice; an answer is news only while it is awaited."""
    request = a_request()
    desk = a_desk_with(request)
    wish = ev.CancelRequested(client_order_id=OID, by="alice", at=NOON)
    ask = ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
    assert (
        Playbook(desk)
        >> wish
        << ev.OrderCancelRequested
        << ask
        << ef.Reply(OID)
        >> wish
        << ask
        << ef.Reply(OID)
        >> ev.CancelAnswered(client_order_id=OID, refusal=None, at=NOON)
        << ev.BrokerSaid
        >> ev.CancelAnswered(client_order_id=OID, refusal=None, at=NOON)
        >> updated(a_broker_order(request, status=BrokerStatus.CANCELED))
        << ev.OrderCanceled
        >> ev.CancelAnswered(client_order_id=OID, refusal="it is canceled", at=NOON)
    )


# --- looks at the account ---------------------------------------------------------------------------------------------


def test_a_look_that_began_before_the_stream_listened_again_proves_nothing() -> None:
    """Fills between its questions and the stream's return are known to neither: orders wait for another look."""
    desk = a_desk()
    up = NOON + timedelta(seconds=5)
    handle(desk, ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON + timedelta(seconds=1)))
    handle(desk, ev.TradeStreamChanged(is_up=True, why="listening", at=up))
    assert (
        Playbook(desk)
        >> a_snapshot(asked_at=NOON, at=NOON + timedelta(seconds=6))
        << ef.Reconcile("the last look was older than the stream")
    )
    assert not desk.is_synced
    handle(desk, a_snapshot(asked_at=up, at=NOON + timedelta(seconds=7)))
    assert desk.is_synced


def test_a_difference_that_changes_is_waited_for_anew() -> None:
    """Positions that catch up by and by are no discrepancy."""
    desk = a_desk()
    for second in range(0, 60, 10):
        behind = cash(99_000 + second)
        effects = handle(desk, a_snapshot(cash=behind, at=NOON + timedelta(seconds=second)))
        assert facts_of(effects) == [ev.AccountReconciled]
    assert desk.portfolio.book(HOUSE).cash == 80_000


def test_a_holding_that_the_broker_lost_is_taken_at_the_books_own_mark() -> None:
    """The broker names no price for what it does not have."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 10, at_price="101"))
    for at in (NOON, NOON + LAG_MAX):
        handle(desk, a_snapshot(cash=cash(98_990), fill_count=1, at=at))
    house = desk.portfolio.book(HOUSE).positions[AAPL]
    assert house.qty == -10
    assert house.avg_entry_price == 101
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10
    assert desk.portfolio.holdings() == {}


def test_down_twice_is_one_fact() -> None:
    """A night of refused connections does not fill the ledger."""
    down = ev.TradeStreamChanged(is_up=False, why="refused", at=NOON)
    assert Playbook(a_desk()) >> down << ev.StreamChanged >> down


def test_lists_of_instruments_are_not_kept() -> None:
    """They are an input of decisions, and no fact."""
    assert Playbook(a_desk()) >> ev.InstrumentsListed(instruments=(), at=NOON)


# --- what is bounded --------------------------------------------------------------------------------------------------


def test_a_tape_that_begins_anew_is_a_new_market_day() -> None:
    """A looped tape plays the same date again: its orders are counted from nothing."""
    desk = a_desk(limits=some_limits(orders_per_day_max=1, open_orders_max=100))
    close, opening = NOON + timedelta(hours=4), NOON - timedelta(hours=3)

    def asked(name: str, quoted_at: datetime) -> list[type]:
        request = a_request(client_order_id=ClientOrderId(name), qty=qty(1))
        return facts_of(handle(desk, requested(request, quote=a_quote(quoted_at=quoted_at))))

    assert asked("o1", close) == [ev.OrderApproved]
    assert asked("o2", close - timedelta(minutes=30)) == [ev.OrderDenied]  # an illiquid symbol's quote is older
    assert asked("o3", opening) == [ev.OrderApproved]
    assert asked("o4", opening) == [ev.OrderDenied]
    tuesday = requested(a_request(client_order_id=ClientOrderId("o5")), market_day=MONDAY + timedelta(days=1))
    assert facts_of(handle(desk, tuesday)) == [ev.OrderApproved]


def test_denied_orders_do_not_fill_the_memory() -> None:
    """A loop that is denied all day keeps its newest denials; its orders and everybody else's stay."""
    desk = a_desk()
    handle(desk, requested(a_request(client_order_id=ClientOrderId("good"))))
    handle(desk, requested(a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob"), qty=qty(999))))
    for i in range(DENIED_KEPT + 10):
        handle(desk, requested(a_request(client_order_id=ClientOrderId(f"d{i}"), qty=qty(999))))
    assert len(desk.orders) == DENIED_KEPT + 2
    assert [o.request.client_order_id for o in desk.newest_first(ALICE)][:2] == [
        f"d{DENIED_KEPT + 9}",
        f"d{DENIED_KEPT + 8}",
    ]
    assert {"good", "bob"} < set(desk.orders)
    assert list(desk.newest_first(StrategyId("nobody"))) == []


def test_what_was_asked_is_remembered_for_a_minute() -> None:
    """The memory for duplicates is as long as the longest window, and no longer."""
    desk = a_desk()
    for second in range(0, 180, 30):
        request = a_request(client_order_id=ClientOrderId(f"o{second}"), qty=qty(second + 1))
        desk.apply(an_approval(request, NOON + timedelta(seconds=second)))
    assert [r.qty for r in desk.last_asked[ALICE]] == [91, 121, 151]


def an_approval(request: OrderRequest, at: datetime) -> ev.OrderApproved:
    return ev.OrderApproved(
        request=request, quote=a_quote(), reserved_cash=cash(1), reserved_qty=qty(0), market_day=MONDAY, at=at
    )


# --- shorts -----------------------------------------------------------------------------------------------------------


def test_a_losing_short_can_always_be_covered() -> None:
    """Its margin is more than it costs to buy back: what only reduces a risk is not denied for want of money."""
    desk = a_desk(limits=some_limits(is_short_allowed=True, order_notional_max=cash(50_000)))
    short = a_request(side=Side.SELL, qty=qty(50))
    handle(desk, requested(short))
    handle(desk, filled(short, 50))
    handle(desk, ev.MarksTaken(marks=((AAPL, price(200)),), at=NOON))
    assert desk.buying_power(ALICE) == 0
    quote = a_quote(bid_price=price("199.99"), ask_price=price(200))
    cover = a_request(client_order_id=ClientOrderId("cover"), qty=qty(50))
    more = a_request(client_order_id=ClientOrderId("more"), qty=qty(1))
    assert facts_of(handle(desk, requested(cover, quote=quote))) == [ev.OrderApproved]
    assert desk.buying_power(ALICE) == 0, "it holds no more than it costs over the margin"
    assert facts_of(handle(desk, requested(more, quote=quote))) == [ev.OrderDenied]
    handle(desk, filled(cover, 50, at_price="200"))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0
    assert desk.buying_power(ALICE) == 5_000


def test_a_sale_through_zero_holds_its_margin_until_the_short_is_there() -> None:
    """What closes is filled first: that sets nothing of the opening part's margin free."""
    desk = a_desk(limits=some_limits(is_short_allowed=True))
    bought, sold = a_request(), a_request(client_order_id=ClientOrderId("through"), side=Side.SELL, qty=qty(20))
    handle(desk, requested(bought))
    handle(desk, filled(bought, 10))
    handle(desk, requested(sold))
    held = desk.reservations.cash(ALICE)
    assert held == cash("999.9")
    handle(desk, filled(sold, 10))
    assert desk.reservations.cash(ALICE) == held
    handle(desk, filled(sold, 5, cumulative=15))
    assert desk.reservations.cash(ALICE) == held / 2
    handle(desk, filled(sold, 5, cumulative=20))
    assert desk.reservations.by_order == {}


def test_a_notional_sale_promises_the_shares_that_it_may_come_to() -> None:
    """The price may fall before it is filled; endless fractions leave nothing behind."""
    desk = a_desk(limits=some_limits(is_short_allowed=False))
    bought = a_request()
    handle(desk, requested(bought))
    handle(desk, filled(bought, 10))
    sale = a_request(client_order_id=ClientOrderId("sale"), side=Side.SELL, qty=None, notional=cash(700))
    assert facts_of(handle(desk, requested(sale))) == [ev.OrderApproved]
    promised = desk.reservations.qty(ALICE, AAPL)
    assert qty("7.14") < promised < qty("7.15")
    assert desk.reservations.opening(ALICE, AAPL, Side.SELL) == promised
    order = a_broker_order(sale, status=BrokerStatus.PARTIALLY_FILLED, filled_qty=qty("3.1"))
    handle(desk, updated(order, "partial_fill", a_fill(order, "3.1", cumulative="3.1", at_price="99")))
    assert desk.reservations.qty(ALICE, AAPL) == promised - qty("3.1")
    handle(desk, updated(a_broker_order(sale, status=BrokerStatus.CANCELED, filled_qty=qty("3.1"))))
    assert desk.reservations.qty(ALICE, AAPL) == 0
    assert desk.reservations.opening(ALICE, AAPL, Side.SELL) == 0


# --- what is not there ------------------------------------------------------------------------------------------------


def test_who_has_no_book_has_no_money() -> None:
    """Unknown means nothing to spend, and nothing to show."""
    desk = Desk()
    assert desk.buying_power(ALICE) == 0
    assert desk.account(ALICE) is None


def test_who_was_stopped_by_hand_stays_so_until_started() -> None:
    """It does not start again with the desk; started by anyone, it does."""
    desk = a_desk()
    stopped = ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.STOPPED, why="x", at=NOON, by_hand=True)
    handle(desk, stopped)
    assert desk.stopped_by_hand == {ALICE}
    handle(desk, replace(stopped, status=StrategyStatus.ACTIVE, by_hand=False))
    assert desk.stopped_by_hand == set()


def test_the_market_data_stream_does_not_close_the_doors() -> None:
    """Stale quotes deny what needs them; fills are seen all the same."""
    desk = a_desk()
    handle(desk, ev.StreamChanged(stream="market", is_up=False, why="dropped", at=NOON))
    assert desk.is_synced


def test_a_strangers_order_in_a_look_is_passed_over() -> None:
    """What it did to the account shows in the account."""
    theirs = a_broker_order(client_order_id=ClientOrderId("by-hand"), broker_order_id=BrokerOrderId("x"))
    assert Playbook(a_desk()) >> a_snapshot(orders=(theirs,)) << ev.AccountReconciled


def an_execution(order: ev.BrokerOrder, name: str = "1", *, bust: bool = False) -> Activity:
    fill = a_fill(order, 10, cumulative=10)
    signed = qty(order.side.sign * (-10 if bust else 10))
    return Activity(
        activity_id=ActivityId(name),
        kind="FILL",
        at=NOON,
        symbol=order.symbol,
        qty=signed,
        price=fill.price,
        cash=Cash(-signed * fill.price),
        execution="trade_bust" if bust else "fill",
        broker_order_id=order.broker_order_id,
        side=order.side,
        fill=None if bust else fill,
    )


def test_a_fill_of_a_leg_that_is_not_known_yet_is_not_the_houses() -> None:
    """Until the broker has told the legs of a bracket, a stranger's fill in its symbol waits: the legs are asked for."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, a_snapshot(cash=cash(10_000), market_at=NOON))
    handle(desk, requested(request))
    handle(desk, filled(request, 10))  # acknowledged by the stream, which names no legs
    leg = a_leg("loss", status=BrokerStatus.FILLED, filled_qty=qty(10))
    elsewhere = replace(an_execution(leg, "2"), symbol=SPY, broker_order_id=BrokerOrderId("b-manual"))
    found = a_snapshot(cash=cash(10_000), activities=(an_execution(leg), elsewhere), fill_count=1, market_at=NOON)
    effects = handle(desk, found)
    assert [e.fact.symbol for e in effects if isinstance(e, Record) and isinstance(e.fact, ev.HouseAdjusted)] == [SPY]
    assert ef.LookUp(OID) in effects
    told = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(10), legs=(leg,))
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=told, fills=(), at=NOON))
    handle(desk, replace(found, activities=(an_execution(leg),)))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0
    assert desk.portfolio.book(HOUSE).qty(AAPL) == 0


def test_a_bust_of_an_order_that_was_given_up_is_booked_by_its_name() -> None:
    """It never got the broker's id here: the line of the broker's history has it."""
    request = a_request()
    desk = a_desk()
    handle(desk, a_snapshot(cash=cash(10_000), market_at=NOON))
    handle(desk, requested(request))
    late = NOON + timedelta(minutes=1)
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=late))
    assert desk.orders[OID].reason == RejectReason.NEVER_ARRIVED
    theirs = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(0))
    history = (an_execution(theirs), an_execution(theirs, "2", bust=True))
    handle(desk, a_snapshot(cash=cash(10_000), orders=(theirs,), activities=history, market_at=NOON, at=late))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10
    assert desk.portfolio.book(HOUSE).qty(AAPL) == -10
    assert desk.last_reconciled is not None
    assert desk.last_reconciled.differences == ()
