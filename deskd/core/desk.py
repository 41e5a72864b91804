"""The desk: all that decisions rest on, how facts take hold of it, and the looks at it.

`apply` touches and does not decide; `decide` (core/deciding.py) looks and does not touch. The state is a fold of
`apply` over the ledger, so that a restart, a backtest and a test all stand where the live desk stood. What is not in
the ledger (limits from the configuration, the broker's list of instruments) only ever enters decisions, never the fold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import assert_never

from deskd.core import activities, corrections, gate, holding, house, lifecycle, splitting
from deskd.core.blocks import Blocks
from deskd.core.exit_book import ExitBook
from deskd.core.jobs import Jobs
from deskd.core.kills import Kills
from deskd.core.losses import losses_of
from deskd.core.outages import Outages
from deskd.core.portfolio import Portfolio
from deskd.core.reconcile import ANSWER_MAX
from deskd.core.records import Records
from deskd.core.reservation import Reservation, Reservations
from deskd.core.stages import Stages
from deskd.core.standing import Standing
from deskd.core.tallies import Tallies
from deskd.domain import events as ev
from deskd.domain.activity import Activity, HouseCause
from deskd.domain.book import Account
from deskd.domain.exits import STOP_EXITS, ExitRules
from deskd.domain.ids import BrokerOrderId, ClientOrderId, FillId, StrategyId, Symbol, UserId
from deskd.domain.kill import KillScope
from deskd.domain.lane import LaneRules
from deskd.domain.limits import Limits
from deskd.domain.market import CLOCK_SLACK, Instrument, Quote, TradingDay
from deskd.domain.money import NO_CASH, NO_QTY, Cash, Price, Qty, notional
from deskd.domain.order import Order, OrderClass, OrderRequest, OrderStatus, OrderType
from deskd.domain.run import StrategyStatus
from deskd.domain.schedule import Schedule
from deskd.domain.streak import Streak, after_end, given_up

DUPLICATE_MEMORY = timedelta(seconds=60)  # the longest duplicate window that can be configured
DENIED_KEPT = 1_000  # of each strategy in memory: a loop that is denied for a day must not fill it; the ledger has all
VERSIONS_KEPT = 50  # choices of each strategy in memory; the ledger has all
TAPE_BACK = timedelta(hours=1)  # no real market's time goes back so far: a tape began anew, and with it the day
STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})
ENTRIES = frozenset({OrderClass.BRACKET, OrderClass.OTO})  # what they buy is promised to exits at once
TRADES, MARKET = "trades", "market"  # the streams' names in StreamChanged and OutageEnded


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many orders a strategy had approved on its latest market day."""

    day: date
    count: int
    latest: datetime  # the market's time of the last of them


@dataclass(slots=True)
class Desk:
    """The desk's whole state."""

    # inputs to decisions, not part of the fold
    limits: dict[StrategyId, Limits] = field(default_factory=dict, compare=False)
    instruments: Mapping[Symbol, Instrument] = field(default_factory=dict, compare=False)
    lane: LaneRules = field(default_factory=LaneRules, compare=False)
    exit_rules: dict[StrategyId, ExitRules] = field(default_factory=dict, compare=False)
    schedules: dict[StrategyId, Schedule] = field(default_factory=dict, compare=False)
    exit_quote_age_max: timedelta = field(default=timedelta(seconds=10), compare=False)
    calendar: Mapping[date, TradingDay] = field(default_factory=dict, compare=False)  # empty: not known yet
    doubt_settle: timedelta = field(default=timedelta(seconds=10), compare=False)
    refused: dict[StrategyId, int] = field(default_factory=dict, compare=False)  # orders not taken in this outage

    # the fold of the ledger
    orders: dict[ClientOrderId, Order] = field(default_factory=dict)
    by_strategy: dict[StrategyId, dict[ClientOrderId, None]] = field(default_factory=dict)  # of all orders, in order
    denied_ids: dict[StrategyId, dict[ClientOrderId, None]] = field(default_factory=dict)  # of those still in memory
    by_broker_id: dict[BrokerOrderId, ClientOrderId] = field(default_factory=dict)
    open_ids: dict[ClientOrderId, None] = field(default_factory=dict)  # an ordered set
    held_ids: dict[ClientOrderId, None] = field(default_factory=dict)  # that wait at the desk, in the order they came
    split_ids: dict[ClientOrderId, None] = field(default_factory=dict)  # open ones that go in parts: of these, only
    # the parts are among open_ids
    open_by_symbol: dict[Symbol, dict[ClientOrderId, None]] = field(default_factory=dict)
    strategies: dict[StrategyId, ev.StrategyRegistered] = field(default_factory=dict)
    statuses: dict[StrategyId, StrategyStatus] = field(default_factory=dict)
    stopped_by_hand: set[StrategyId] = field(default_factory=set)  # stay stopped when the desk starts again
    streaks: dict[StrategyId, Streak] = field(default_factory=dict)  # deaths in a row, of those who have any
    portfolio: Portfolio = field(default_factory=Portfolio)
    reservations: Reservations = field(default_factory=Reservations)
    legs: dict[ClientOrderId, tuple[ClientOrderId, ...]] = field(default_factory=dict)
    awaits_legs: dict[ClientOrderId, None] = field(default_factory=dict)  # entries whose exits nobody has told yet
    needs: dict[ClientOrderId, Reservation] = field(default_factory=dict)  # of new orders beside those they replace
    fill_ids: set[FillId] = field(default_factory=set)
    days: dict[StrategyId, DayCount] = field(default_factory=dict)
    last_asked: dict[StrategyId, dict[OrderRequest, datetime]] = field(default_factory=dict)
    records: Records = field(default_factory=Records)
    limits_told: dict[StrategyId, ev.LimitsChanged] = field(default_factory=dict)  # as last recorded
    members: dict[UserId, dict[StrategyId, None]] = field(default_factory=dict)  # with all that they ever had
    last_reconciled: ev.AccountReconciled | None = None
    standing: Standing = field(default_factory=Standing)
    last_root: ev.RootSigned | None = None  # up to where the ledger is signed
    is_trade_stream_up: bool = False
    trade_stream_changed_at: datetime | None = None
    is_synced: bool = False  # reconciled since the trade stream last came up
    outages: Outages = field(default_factory=Outages)
    halts: dict[Symbol, ev.HaltChanged] = field(default_factory=dict)  # of symbols that the market has halted
    exits: ExitBook = field(default_factory=ExitBook)
    kills: Kills = field(default_factory=Kills)
    blocks: Blocks = field(default_factory=Blocks)
    tallies: Tallies = field(default_factory=Tallies)
    jobs: Jobs = field(default_factory=Jobs)
    stages: Stages = field(default_factory=Stages)
    versions: dict[StrategyId, tuple[ev.VersionChosen, ...]] = field(default_factory=dict)  # the newest last, bounded

    # --- apply: touches, and does not decide -------------------------------------------------------------------

    def apply(self, fact: ev.Fact) -> None:
        """Let *fact* take hold. Decides nothing."""
        if not isinstance(fact, ev.RootSigned):  # which a ledger at rest gets, too
            if by := self._stepped(fact):
                self._step(by)
            self.outages.alive_at = fact.at
        match fact:
            case ev.OrderApproved():
                self._approve(fact)
            case ev.OrderDenied():
                self._deny(fact)
            case (
                ev.OrderAccepted()
                | ev.OrderRejected()
                | ev.OrderFilled()
                | ev.OrderCancelRequested()
                | ev.OrderCancelRefused()
                | ev.OrderCompleted()
                | ev.OrderCanceled()
                | ev.OrderExpired()
                | ev.OrderReplaceRequested()
                | ev.OrderReplaceRefused()
                | ev.OrderReplaced()
                | ev.OrderRestated()
            ):
                self._advance(fact)
            case ev.OrderAdopted():
                self._adopt(fact)
            case ev.OrderReturned():
                self._return(fact)
            case ev.OrderHeld() | ev.OrderReleased():
                self._put(lifecycle.wait(self.orders[fact.client_order_id], fact))
            case ev.OrderSplit():
                for order in splitting.split(self.orders[fact.client_order_id], fact):
                    self._put(order)
            case ev.BrokerSaid():
                self.orders[fact.client_order_id] = lifecycle.hear(self.orders[fact.client_order_id], fact)
            case ev.LegsFound():
                self._add_legs(self.orders[fact.client_order_id], fact.legs, fact.at)
            case ev.StrategyRegistered():
                self._register(fact)
            case ev.StrategyStatusChanged():
                self.statuses[fact.strategy_id] = fact.status
                self.stopped_by_hand.discard(fact.strategy_id)
                if fact.by_hand:
                    self.stopped_by_hand.add(fact.strategy_id)
                if fact.counts_anew:
                    self._remember(fact.strategy_id, None)
                elif fact.status is StrategyStatus.FAILED:
                    self._remember(fact.strategy_id, given_up(self.streaks.get(fact.strategy_id)))
            case ev.RunEnded(strategy_id=who):
                self.tallies.end(fact)
                self._remember(who, after_end(self.streaks.get(who), fact.end, deaths=fact.deaths, at=fact.at))
            case ev.AllocationChanged():
                self._allocate(fact)
            case ev.LimitsChanged():
                self.limits_told[fact.strategy_id] = fact
            case ev.MarketDayBegan():
                self.records.begin(fact.market_day, fact.at, self.portfolio)
                self.jobs.begin_day(fact)
            case ev.FillCorrected():
                self._correct(fact)
            case ev.HouseAdjusted():
                house.adjust(self.portfolio, fact)
                self.standing.adjust(fact)
                if fact.cause is HouseCause.OVERFILL:
                    self._overfill(fact)
                elif fact.cause is HouseCause.BLOCK:
                    self.blocks.hand_over(fact)
            case ev.SharesDistributed():
                house.distribute(self.portfolio, fact)
                self.exits.split(fact.symbol, fact.ratio)
                self._rise()
            case ev.DiscrepancyFound():
                self.standing.find(fact)
            case ev.DiscrepancyResolved():
                self.standing.open.pop(fact.subject, None)
            case ev.SymbolFrozen():
                self.standing.frozen[fact.symbol] = fact
            case ev.SymbolThawed():
                self.standing.frozen.pop(fact.symbol, None)
            case ev.AccountReconciled():
                self.last_reconciled = fact
                self.standing.read(fact.activities_until, fact.seen)
                self.is_synced = self.is_trade_stream_up
                self._give_up_on_legs(fact.at)
            case ev.StreamChanged():
                self.outages.change(fact)
                if fact.stream == TRADES:
                    self.is_trade_stream_up, self.is_synced = fact.is_up, False
                    self.trade_stream_changed_at = fact.at
            case ev.OutageEnded():
                self.outages.end(fact)
            case ev.HaltChanged():
                if fact.is_halted:
                    self.halts[fact.symbol] = fact
                else:
                    self.halts.pop(fact.symbol, None)
            case ev.ExitTriggered():
                self.exits.trigger(fact)
            case ev.TrailMoved():
                self.exits.move(fact)
            case ev.StageChanged():
                self.stages.change(fact)
            case ev.VersionChosen(strategy_id=who):
                self.versions[who] = (*self.versions.get(who, ()), fact)[-VERSIONS_KEPT:]
            case ev.KillEngaged():
                self.kills.engage(fact)
            case ev.KillReleased():
                if fact.target.scope is KillScope.STRATEGY:
                    self.records.forgive(StrategyId(fact.target.name))
                self.kills.release(fact, losses_of(self, fact.target))
            case ev.FlattenCompleted():
                self.kills.complete(fact)
            case ev.FlattenHindered():
                self.kills.hinder(fact)
            case ev.TradingSuspended():
                self.kills.suspend(fact)
            case ev.BreakerMoved():
                self.kills.move(fact)
            case ev.CancelAllAnswered():
                self.kills.sweep(fact)
            case ev.RootSigned():
                self.last_root = fact
            case ev.JobStarted():
                self.jobs.start(fact)
            case ev.JobEnded():
                self.jobs.end(fact)
            case ev.ClockStepped():
                pass  # it has taken hold above
            case ev.DeskStarted():
                self.is_trade_stream_up = self.is_synced = False
                self.outages.is_desk_up = True
            case ev.DeskStopped():
                self.outages.is_desk_up = False
            case ev.PositionsMarked():
                for symbol, price in fact.marks:
                    self._mark(symbol, price, fact.at)
                self._rise()
            case (
                ev.RunStarted()
                | ev.RunStalled()
                | ev.CommandGiven()
                | ev.CancelAllRequested()
                | ev.NoticeGiven()
                | ev.DaySummarized()
                | ev.Heartbeat()
            ):
                pass  # kept for people; no decision rests on them
            case _:
                assert_never(fact)

    def _stepped(self, fact: ev.Fact) -> timedelta:
        """Return by how much the desk's own clock was set before *fact*; zero where it goes on.

        A desk that runs says so. While it is down only a start that is older than the last fact tells, and how much more
        it was set back than the desk was down for nobody knows. Other facts may be older than the one before: an answer
        is as old as its question.
        """
        last = self.outages.alive_at
        if isinstance(fact, ev.ClockStepped):
            return timedelta(milliseconds=fact.by_ms)
        is_start = isinstance(fact, ev.DeskStarted) and last is not None and fact.at < last - CLOCK_SLACK
        return fact.at - last if is_start and last is not None else timedelta()

    def _step(self, by: timedelta) -> None:
        """Take all along that is held against the desk's clock, which was set *by* so much: it is as old as it was.

        The one place: whatever else is compared with the time of an event belongs here.
        """
        self.records.step(by)
        self.tallies.step(by)
        self.kills.step(by)
        self.standing.step(by)
        self.outages.step(by)
        self.exits.step(by)
        for asked in self.last_asked.values():
            asked.update({request: at + by for request, at in asked.items()})
        for oid in self.open_ids | self.split_ids | self.awaits_legs:
            self.orders[oid] = lifecycle.stepped(self.orders[oid], by)
        if self.trade_stream_changed_at is not None:
            self.trade_stream_changed_at += by
        if (looked := self.last_reconciled) is not None:
            suspected = tuple((subject, figure, since + by) for subject, figure, since in looked.suspected)
            self.last_reconciled = replace(looked, suspected=suspected, at=looked.at + by)

    def _register(self, fact: ev.StrategyRegistered) -> None:
        known = self.strategies.get(fact.strategy_id)
        if known is not None and known.code_hash != fact.code_hash:
            self._remember(fact.strategy_id, None)  # another version did not die yet
        self._belong(fact, known)
        self.strategies[fact.strategy_id] = fact
        self.statuses.setdefault(fact.strategy_id, StrategyStatus.STOPPED)

    def _belong(self, fact: ev.StrategyRegistered, known: ev.StrategyRegistered | None) -> None:
        """Count the strategy as its member's; one that is new goes on where its forebears were."""
        who, member = fact.strategy_id, fact.user_id
        owned = self.members.setdefault(member, {})
        if known is None:
            if forebears := self.forebears_of(fact):
                self.records.take_over(who, forebears, self.portfolio)
                days = [before for one in forebears if (before := self.days.get(one)) is not None]
                if days:
                    self.days[who] = max(days, key=lambda before: (before.day, before.count))
        elif known.user_id != member:
            self.members[known.user_id].pop(who, None)
            self.records.change_member(who, known.user_id, member, self.portfolio)
        owned[who] = None

    def _allocate(self, fact: ev.AllocationChanged) -> None:
        book = self.portfolio.book(fact.strategy_id)
        moved = Cash(fact.allocation - book.allocation)
        self.portfolio.allocate(fact.strategy_id, fact.allocation)
        self.records.move(fact.strategy_id, self.member_of(fact.strategy_id), moved)

    def _rise(self) -> None:
        self.records.rise(self.portfolio, [(member, tuple(owned)) for member, owned in self.members.items()])

    def _remember(self, who: StrategyId, streak: Streak | None) -> None:
        if streak is None:
            self.streaks.pop(who, None)
        else:
            self.streaks[who] = streak

    def _approve(self, fact: ev.OrderApproved) -> None:
        request = fact.request
        who = request.strategy_id
        old = None if request.replacement is None else self.orders[request.replacement.replaces]
        order = Order(
            request=request,
            status=OrderStatus.SUBMITTED,
            requested_at=fact.at,
            updated_at=fact.at,
            replaces=None if old is None else old.request.client_order_id,
            parent_id=None if old is None else old.parent_id,
            line=fact.line,
            lines_together=fact.lines_together,
        )
        self._put(order)
        self.blocks.approve(fact)
        self.exits.ask(request, fact.at)
        valued = gate.sized(request, fact.quote)
        need = Reservation(cash=fact.reserved_cash, qty=fact.reserved_qty, opening=valued.qty, price=valued.price)
        if old is None:
            self.reservations.hold(order, need)
        else:
            holding.stand_beside(self, order, old, need)
        if request.for_kill or request.exit is not None:
            return  # the desk's own: what closes by itself uses up nobody's orders of the day, nor is it a duplicate
        count = self.orders_today(who, fact.market_day, fact.quote)
        self.days[who] = DayCount(fact.market_day, count + 1, fact.quote.quoted_at)
        self.records.count(who, fact.at)
        asked, signature = self.last_asked.setdefault(who, {}), _signature(request)
        asked.pop(signature, None)  # so that the oldest are always first
        asked[signature] = fact.at
        while fact.at - asked[oldest := next(iter(asked))] > DUPLICATE_MEMORY:
            del asked[oldest]

    def _adopt(self, fact: ev.OrderAdopted) -> None:
        old = self.orders[fact.replaces]
        order = lifecycle.adopt(fact, old)
        self._put(order)
        self.blocks.adopt(fact)
        self.by_broker_id[fact.broker_order_id] = fact.request.client_order_id
        need = Reservation(
            cash=fact.reserved_cash, qty=fact.reserved_qty, opening=fact.request.qty or NO_QTY, price=fact.price
        )
        holding.stand_beside(self, order, old, need)
        if not old.status.is_open:
            holding.inherit(self, old, order)

    def _return(self, fact: ev.OrderReturned) -> None:
        old = self.orders[fact.replaces]
        order = replace(lifecycle.come_back(fact), line=old.line, lines_together=old.lines_together)
        self._put(order)
        oid = fact.request.client_order_id
        self.held_ids = {oid: None, **self.held_ids}  # it was at the broker: before all who wait
        opening = fact.request.qty or NO_QTY
        need = Reservation(cash=fact.reserved_cash, qty=fact.reserved_qty, opening=opening, price=fact.price)
        self.reservations.hold(order, need)

    def _deny(self, fact: ev.OrderDenied) -> None:
        who = fact.request.strategy_id
        self.exits.ask(fact.request, fact.at)
        self.tallies.deny(fact)
        kept = self.denied_ids.setdefault(who, {})
        kept[fact.request.client_order_id] = None
        if len(kept) > DENIED_KEPT:
            oldest = next(iter(kept))
            del kept[oldest], self.orders[oldest], self.by_strategy[who][oldest]
        self._put(
            Order(
                request=fact.request,
                status=OrderStatus.DENIED,
                requested_at=fact.at,
                updated_at=fact.at,
                reason=fact.reason,
                message=fact.message,
                line=fact.line,
                lines_together=fact.lines_together,
            )
        )

    def _advance(self, fact: ev.OrderFact) -> None:
        before = self.orders[fact.client_order_id]
        order = lifecycle.apply(before, fact)
        self._put(order)
        whole = self._sum_up(order)
        match fact:
            case ev.OrderAccepted():
                self.by_broker_id[fact.broker_order_id] = fact.client_order_id
                self._add_legs(order, fact.legs, fact.at)
            case ev.OrderFilled():
                self._settle(order, fact)
            case ev.OrderRestated():
                holding.restate(self, whole)
            case ev.OrderRejected():
                self.tallies.reject(order.request.strategy_id, fact)
            case _:
                pass
        if not order.status.is_open:
            self.blocks.end(order)
            self.reservations.release(order)
            self.needs.pop(fact.client_order_id, None)
            heir = None if order.replaced_by is None else self.orders.get(order.replaced_by)
            if heir is not None:
                holding.inherit(self, order, heir)

    def _put(self, order: Order) -> None:
        oid, is_open = order.request.client_order_id, order.status.is_open
        self.orders[oid] = order
        if order.part_of is None:
            self.by_strategy.setdefault(order.request.strategy_id, {})[oid] = None
        in_symbol = self.open_by_symbol.setdefault(order.request.symbol, {})
        if is_open and order.split is None:
            self.open_ids[oid] = in_symbol[oid] = None
        else:
            self.open_ids.pop(oid, None)
            in_symbol.pop(oid, None)
        if order.request.order_class in ENTRIES and order.parent_id is None:
            lives_on = order.status.is_open or (order.filled_qty and order.status is not OrderStatus.REPLACED)
            if lives_on and oid not in self.legs:
                self.awaits_legs.setdefault(oid)
            else:
                self.awaits_legs.pop(oid, None)
        if is_open and order.split is not None:
            self.split_ids[oid] = None
        else:
            self.split_ids.pop(oid, None)
        if order.is_held:
            self.held_ids.setdefault(oid)
        else:
            self.held_ids.pop(oid, None)

    def _give_up_on_legs(self, at: datetime) -> None:
        """Wait no longer for exits that no look at the account has brought for so long: there are none to hold shares."""
        for oid in list(self.awaits_legs):
            entry = self.orders[oid]
            if not entry.status.is_open and at - entry.updated_at >= ANSWER_MAX:
                del self.awaits_legs[oid]

    def _sum_up(self, order: Order) -> Order:
        """Return the order, or where it is a part that of which it is one, brought to where its parts are."""
        if order.part_of is None:
            return order
        before = self.orders[order.part_of]
        assert before.split is not None, "it has a part"
        whole = splitting.summed(before, [self.orders[oid] for oid in before.split.parts])
        self._put(whole)
        if not whole.status.is_open:
            self.reservations.release(whole)
        return whole

    def _settle(self, order: Order, fill: ev.OrderFilled) -> None:
        request = order.request
        self.fill_ids.add(fill.fill_id)
        signed = Qty(request.side.sign * fill.qty)
        before = self.portfolio.qty(request.strategy_id, request.symbol)
        book = self.portfolio.book(request.strategy_id)
        self.blocks.fill(fill)
        is_internal = fill.internal_with is not None  # the account has as much after it as before
        if not is_internal:
            self.records.trade(request.symbol, self.portfolio.qty_of(request.symbol), signed)
        if (request.order_type in STOPS or request.exit in STOP_EXITS) and before * signed < 0:
            self.records.stopped(request.strategy_id, request.symbol, fill.filled_at)
        book.trade(request.symbol, signed, fill.price, fill.at)
        self.exits.fill(request, before, Qty(before + signed))
        self._rise()
        if not is_internal:
            self.standing.executed(request.symbol, fill.at)
        if request.client_order_id not in self.needs:
            self.reservations.shrink(self.whole_of(order), fill.qty, notional(fill.qty, fill.price))
        holding.hold_pairs_of(self, order)
        parent = order.parent_id or request.client_order_id
        for leg in self.legs.get(parent, ()):
            holding.promise(self, self.orders[leg])

    def _correct(self, fact: ev.FillCorrected) -> None:
        order = corrections.apply(self.orders[fact.client_order_id], fact)
        self._put(order)
        whole = self._sum_up(order)
        if fact.client_order_id not in self.needs:
            self.reservations.grow(whole, Qty(-fact.qty))  # an open order may trade again what was busted
        holding.hold_pairs_of(self, order)
        self.standing.corrected += 1
        self.standing.executed(order.request.symbol, fact.at)

    def _overfill(self, fact: ev.HouseAdjusted) -> None:
        assert fact.client_order_id is not None, "a surplus is some order's"
        assert fact.fill_id is not None, "and part of an execution"
        order = lifecycle.overfilled(self.orders[fact.client_order_id], fact)
        self._put(order)
        self._sum_up(order)
        self.fill_ids.add(fact.fill_id)

    def _add_legs(self, parent: Order, legs: tuple[ev.LegSpec, ...], at: datetime) -> None:
        for spec in legs:
            self.by_broker_id[spec.broker_order_id] = spec.client_order_id
            if known := self.orders.get(spec.client_order_id):  # of the order that this one replaced
                self.orders[spec.client_order_id] = replace(known, parent_id=parent.request.client_order_id)
                continue
            leg = Order(
                request=spec.request(parent.request),
                status=OrderStatus.ACCEPTED,
                requested_at=at,
                updated_at=at,
                submitted_at=parent.submitted_at,
                broker_order_id=spec.broker_order_id,
                parent_id=parent.request.client_order_id,
                line=parent.line,
                lines_together=parent.lines_together,
            )
            self._put(leg)
            holding.promise(self, leg)
        if legs:
            self.legs[parent.request.client_order_id] = tuple(spec.client_order_id for spec in legs)
            self.awaits_legs.pop(parent.request.client_order_id, None)

    def _mark(self, symbol: Symbol, price: Price, at: datetime) -> None:
        for book in self.portfolio.books.values():
            book.mark(symbol, price, at)

    # --- look ----------------------------------------------------------------------------------------------------

    @property
    def fill_count(self) -> int:
        """Return how many fills the ledger holds."""
        return len(self.fill_ids)

    @property
    def execution_count(self) -> int:
        """Return how many fills, busts and corrections the ledger holds."""
        return len(self.fill_ids) + self.standing.corrected

    def knows(self, activity: Activity) -> bool:
        """Tell whether the line of the broker's history needs no look: it is booked, or noted."""
        if activity.fill is not None and activity.broker_order_id in self.by_broker_id:
            order = self.orders[self.by_broker_id[activity.broker_order_id]]
            return order.identity(activity.fill) in self.fill_ids
        return not activities.is_news(activity, self.standing) or (
            activity.fill is not None and activity.fill.fill_id in self.fill_ids
        )

    def find(self, broker: ev.BrokerOrder) -> Order | None:
        """Return our order that the broker speaks of: one that carries our id alone may be another.

        Of an order that goes in parts the broker knows the parts alone.
        """
        oid = self.by_broker_id.get(broker.broker_order_id, broker.client_order_id)
        order = self.orders.get(oid)
        if order is None or order.split is not None or order.broker_order_id not in {None, broker.broker_order_id}:
            return None
        return order

    def has_lost_its_group(self, order: Order) -> bool:
        """Tell whether an open leg should be over: its sibling is filled, or its entry ended without a fill.

        The broker cancels it, and does not always say so (ALPACA.md 1.5): it must be asked.
        """
        if order.parent_id is None or not order.status.is_open:
            return False
        parent = self.orders[order.parent_id]
        is_entry = parent.request.order_class is not OrderClass.OCO
        if not parent.status.is_open and (not is_entry or not holding.bought(self, order.parent_id)):
            return True
        siblings = (self.orders[oid] for oid in self.legs.get(order.parent_id, ()))
        return any(leg.status is OrderStatus.FILLED for leg in siblings)

    def newest_first(self, strategy_id: StrategyId | None) -> Iterator[Order]:
        """Yield the orders of one strategy, or of all, the newest first, as they were asked for: no parts."""
        ids = self.orders if strategy_id is None else self.by_strategy.get(strategy_id, {})
        return (order for oid in reversed(ids) if (order := self.orders[oid]).part_of is None)

    def whole_of(self, order: Order) -> Order:
        """Return the order that was asked for: of a part of one the order that was split, else the order itself."""
        return order if order.part_of is None else self.orders[order.part_of]

    def orders_today(self, who: StrategyId, day: date, quote: Quote | None) -> int:
        """Return how many orders the strategy had approved this market day, and this time round of a looped tape."""
        known = self.days.get(who)
        if known is None or known.day != day:
            return 0
        has_begun_anew = quote is not None and known.latest - quote.quoted_at > TAPE_BACK
        return 0 if has_begun_anew else known.count

    def member_of(self, who: StrategyId) -> UserId:
        """Return whose strategy it is."""
        known = self.strategies.get(who)
        return UserId(who) if known is None else known.user_id

    def forebears_of(self, fact: ev.StrategyRegistered) -> Sequence[StrategyId]:
        """Return the member's strategies that one that is new goes on for: those with its code, and those at rest."""
        if fact.strategy_id in self.strategies:
            return ()
        owned = self.members.get(fact.user_id, {})
        gone = set() if fact.beside is None else owned.keys() - set(fact.beside)
        return tuple(one for one in owned if one in gone or self.strategies[one].code_hash == fact.code_hash)

    def fellows(self, who: StrategyId) -> Sequence[StrategyId]:
        """Return the strategies of the same member, this one and those that are not there any more among them."""
        return tuple(self.members.get(self.member_of(who), (who,)))

    def members_strategies(self) -> Sequence[StrategyId]:
        """Return the strategies of all members."""
        return tuple(self.strategies)

    def same_asked_at(self, request: OrderRequest) -> datetime | None:
        """Return when the strategy last had the very same order approved, of late."""
        return self.last_asked.get(request.strategy_id, {}).get(_signature(request))

    def buying_power(self, strategy_id: StrategyId) -> Cash:
        """Return the cash that no open order and no short position holds."""
        book = self.portfolio.books.get(strategy_id)
        if book is None:
            return NO_CASH
        return Cash(book.cash - self.reservations.cash(strategy_id) - book.short_margin())

    def account(self, strategy_id: StrategyId) -> Account | None:
        """Return the strategy's sub-ledger."""
        book = self.portfolio.books.get(strategy_id)
        if book is None:
            return None
        account = book.account(Cash(self.reservations.cash(strategy_id) + book.short_margin()))
        record = self.records.by_strategy.get(strategy_id)
        if record is None:
            return replace(account, fees=self.portfolio.fees)  # the house: what it gains is nobody's
        day_pnl = self.records.day_pnl(strategy_id, self.portfolio)
        return replace(account, day_pnl=day_pnl, peak_equity=record.peak)

    def open_in(self, symbol: Symbol) -> list[Order]:
        """Return the open orders of all strategies in *symbol*, oldest first."""
        return [self.orders[oid] for oid in self.open_by_symbol.get(symbol, ())]

    def sent_orders(self) -> list[Order]:
        """Return the open orders that the broker may have, oldest first."""
        return [order for order in self.open_orders() if not order.is_held]

    def open_orders(self) -> list[Order]:
        """Return all open orders as the broker has them, oldest first: of one that was split its open part."""
        return [self.orders[oid] for oid in self.open_ids]

    def asked_orders(self) -> list[Order]:
        """Return all open orders as they were asked for: one that was split in the place of its part."""
        open_orders = [order for order in self.open_orders() if order.part_of is None]
        if not self.split_ids:
            return open_orders
        orders = [*open_orders, *(self.orders[oid] for oid in self.split_ids)]
        return sorted(orders, key=lambda order: order.requested_at)


def _signature(request: OrderRequest) -> OrderRequest:
    """Return what makes two requests the very same order: all but the id and the words."""
    return replace(request, client_order_id=ClientOrderId(""), reason=None)
