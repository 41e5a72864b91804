"""What limits rest on: it survives restarts, clocks that are set, and folders of other names. No reset and retry."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.records import MINUTE, Records
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.ids import HOUSE, ClientOrderId, StrategyId, UserId
from deskd.domain.kill import KillCause, KillDepth, KillScope, KillTarget
from deskd.domain.order import OrderType, Side
from deskd.domain.reasons import DenialReason
from deskd.domain.run import StrategyStatus
from deskd.ledger import codec, fold
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_desk,
    a_fact_of_a_fill,
    a_quote,
    a_request,
    cash,
    price,
    qty,
    registered,
    requested,
    some_limits,
)

TUESDAY = MONDAY + timedelta(days=1)


def a_day(day: date, *, at: datetime = NOON, is_rewound: bool = False) -> ev.MarketDayBegan:
    return ev.MarketDayBegan(market_day=day, at=at, is_rewound=is_rewound)


def traded(desk: Desk, name: str, side: Side, shares: int, at_price: str = "100", **overrides: object) -> None:
    """Let alice's order be approved and filled at once."""
    request = a_request(client_order_id=ClientOrderId(name), side=side, qty=qty(shares), **overrides)
    handle(desk, requested(request))
    desk.apply(a_fact_of_a_fill(request, shares, at_price))


def test_a_days_loss_is_what_the_equity_did_since_the_day_began() -> None:
    """Yesterday's loss is over; today's is realized and unrealized together."""
    desk = a_desk()
    handle(desk, a_day(MONDAY))
    traded(desk, "a", Side.BUY, 10)
    desk.apply(ev.PositionsMarked(marks=((AAPL, price(90)),), at=NOON))
    assert desk.records.day_pnl(ALICE, desk.portfolio) == -100
    handle(desk, a_day(TUESDAY))
    assert desk.records.day_pnl(ALICE, desk.portfolio) == 0
    traded(desk, "b", Side.SELL, 10, "89")
    assert desk.records.day_pnl(ALICE, desk.portfolio) == -10


def test_the_same_day_does_not_begin_twice_and_none_comes_back() -> None:
    """Neither a restart nor a clock that is set gives a strategy a fresh day; only a tape that began anew does."""
    desk = a_desk()
    assert handle(desk, a_day(TUESDAY))
    for day in (TUESDAY, MONDAY):
        assert not handle(desk, a_day(day))
    assert handle(desk, a_day(MONDAY, is_rewound=True))
    assert desk.records.day == MONDAY


def test_an_allocation_is_neither_gain_nor_loss() -> None:
    """More capital does not make up for a loss, nor less be one."""
    desk = a_desk()
    handle(desk, a_day(MONDAY))
    traded(desk, "a", Side.BUY, 10)
    desk.apply(ev.PositionsMarked(marks=((AAPL, price(90)),), at=NOON))
    for allocation in ("20000", "5000"):
        desk.apply(ev.AllocationChanged(strategy_id=ALICE, allocation=cash(allocation), by="officer", at=NOON))
        record = desk.records.of(ALICE)
        assert desk.records.day_pnl(ALICE, desk.portfolio) == -100
        assert record.peak - desk.portfolio.book(ALICE).worth().equity == 100


def test_a_peak_is_kept_when_the_equity_falls() -> None:
    """Of the strategy, of its member and of the desk."""
    desk = a_desk()
    traded(desk, "a", Side.BUY, 10)
    for mark in (120, 80):
        desk.apply(ev.PositionsMarked(marks=((AAPL, price(mark)),), at=NOON))
    assert desk.records.of(ALICE).peak == 10_200
    assert desk.records.peaks[UserId("alice")] == 10_200
    assert desk.records.peak == 20_200


def test_a_folder_of_another_name_with_the_same_code_goes_on_where_it_was() -> None:
    """Its loss and orders of the day come along; the member's sums count them once."""
    desk = a_desk(limits=some_limits())
    handle(desk, a_day(MONDAY))
    traded(desk, "a", Side.BUY, 10)
    desk.apply(ev.PositionsMarked(marks=((AAPL, price(90)),), at=NOON))
    renamed = StrategyId("alice_2")
    desk.apply(replace(registered(renamed), user_id=UserId("alice")))
    desk.apply(ev.AllocationChanged(strategy_id=renamed, allocation=cash(10_000), by="desk.toml", at=NOON))
    assert desk.records.day_pnl(renamed, desk.portfolio) == -100
    assert desk.orders_today(renamed, MONDAY, a_quote()) == 1
    assert desk.records.orders_this_minute(renamed, NOON) == 1
    assert set(desk.fellows(renamed)) == {ALICE, renamed}
    other = replace(registered(StrategyId("alice_3")), user_id=UserId("alice"), code_hash="1")
    desk.apply(other)
    assert desk.records.day_pnl(other.strategy_id, desk.portfolio) == 0
    assert desk.orders_today(other.strategy_id, MONDAY, a_quote()) == 0


def test_another_name_is_no_new_peak() -> None:
    """What the strategy is under its peak it is by another name, too: only an officer ends a drawdown."""
    desk = a_desk(limits=some_limits(drawdown_max=Decimal("0.04")))
    traded(desk, "a", Side.BUY, 40)
    desk.apply(ev.PositionsMarked(marks=((AAPL, price("87.5")),), at=NOON))
    handle(desk, a_day(MONDAY))  # it lost nothing today
    renamed = StrategyId("alice_2")
    for name, code in ((renamed, "0"), (StrategyId("alice_3"), "1")):
        handle(desk, replace(registered(name), user_id=UserId("alice"), code_hash=code))
        desk.apply(ev.AllocationChanged(strategy_id=name, allocation=cash(10_000), by="desk.toml", at=NOON))
        desk.apply(ev.StrategyStatusChanged(strategy_id=name, status=StrategyStatus.ACTIVE, why="", at=NOON))
        desk.limits[name] = desk.limits[ALICE]
    account = desk.account(renamed)
    assert account is not None
    assert (account.drawdown, account.day_pnl) == (cash(500), cash(0))
    request = a_request(client_order_id=ClientOrderId("b"), strategy_id=renamed, user_id=UserId("alice"))
    [fact, *_] = [effect.fact for effect in handle(desk, requested(request)) if isinstance(effect, ef.Record)]
    assert isinstance(fact, ev.OrderDenied)
    assert fact.reason is DenialReason.DRAWDOWN_MAX
    other = desk.account(StrategyId("alice_3"))
    assert other is not None
    assert other.drawdown == 0
    assert desk.records.peaks[UserId("alice")] == 30_000
    assert fold.decode(fold.encode(desk)).records == desk.records


def test_a_folder_that_is_gone_is_gone_on_from_whatever_the_new_ones_code() -> None:
    """Loss, orders and stops of the day and what it was under its peak, of several the worst; one still there is apart."""
    desk, old, new = a_desk(limits=some_limits()), StrategyId("alice_old"), StrategyId("alice_new")
    handle(desk, a_day(MONDAY))
    handle(desk, replace(registered(old), user_id=UserId("alice"), code_hash="1", beside=(ALICE, old)))
    desk.apply(ev.AllocationChanged(strategy_id=old, allocation=cash(10_000), by="desk.toml", at=NOON))
    assert desk.records.day_pnl(old, desk.portfolio) == 0
    traded(desk, "a", Side.BUY, 10)
    traded(desk, "b", Side.SELL, 4, order_type=OrderType.STOP, stop_price=price(99))
    desk.apply(ev.PositionsMarked(marks=((AAPL, price(90)),), at=NOON))
    lost = desk.records.day_pnl(ALICE, desk.portfolio)
    beside = replace(registered(new), user_id=UserId("alice"), code_hash="2", beside=(ALICE, old, new))
    apart = fold.decode(fold.encode(desk))
    apart.apply(beside)
    assert (apart.records.day_pnl(new, apart.portfolio), apart.orders_today(new, MONDAY, a_quote())) == (cash(0), 0)
    desk.apply(replace(beside, beside=(new,)))
    desk.apply(ev.AllocationChanged(strategy_id=new, allocation=cash(10_000), by="desk.toml", at=NOON))
    assert desk.records.day_pnl(new, desk.portfolio) == lost < 0
    assert desk.orders_today(new, MONDAY, a_quote()) == 2
    assert desk.records.orders_this_minute(new, NOON) == 2
    assert desk.records.last_stop(new, AAPL) == NOON
    account = desk.account(new)
    assert account is not None
    assert account.drawdown == -lost
    assert desk.records.day_pnl(old, desk.portfolio) == 0


def test_an_officers_release_ends_what_was_inherited() -> None:
    """Loss and drawdown of the forebears are forgotten, the strategy's own are not; a rise over the peak ends it, too."""
    desk, new = a_desk(limits=some_limits()), StrategyId("alice_new")
    handle(desk, a_day(MONDAY))
    traded(desk, "a", Side.BUY, 10)
    desk.apply(ev.PositionsMarked(marks=((AAPL, price(90)),), at=NOON))
    handle(desk, replace(registered(new), user_id=UserId("alice"), code_hash="1", beside=(new,)))
    desk.apply(ev.AllocationChanged(strategy_id=new, allocation=cash(10_000), by="desk.toml", at=NOON))
    target = KillTarget(KillScope.STRATEGY, new)
    handle(
        desk, ev.KillEngaged(target=target, depth=KillDepth.CANCEL, cause=KillCause.COMMAND, by="", reason="", at=NOON)
    )
    assert desk.records.of(new).peak == 10_100
    handle(desk, ev.KillReleased(target=target, by="ada", reason="another idea", at=NOON))
    assert (desk.records.day_pnl(new, desk.portfolio), desk.records.of(new).peak) == (cash(0), cash(10_000))
    assert desk.records.of(ALICE).peak == 10_000
    assert desk.records.day_pnl(ALICE, desk.portfolio) == -100
    desk.records.forgive(StrategyId("nobody"))


def test_what_was_inherited_ends_where_the_equity_rises_over_it() -> None:
    """From there on the peak is the strategy's own."""
    desk, new = a_desk(limits=some_limits()), StrategyId("alice_new")
    traded(desk, "a", Side.BUY, 10)
    desk.apply(ev.PositionsMarked(marks=((AAPL, price(90)),), at=NOON))
    handle(desk, replace(registered(new), user_id=UserId("alice"), code_hash="1", beside=(new,)))
    desk.apply(ev.AllocationChanged(strategy_id=new, allocation=cash(10_000), by="desk.toml", at=NOON))
    assert desk.records.of(new).inherited == 100
    desk.portfolio.book(new).trade(AAPL, qty(10), price(50), NOON)
    desk.apply(ev.PositionsMarked(marks=((AAPL, price(90)),), at=NOON))
    assert (desk.records.of(new).inherited, desk.records.of(new).peak) == (cash(0), cash(10_400))


def test_a_strategy_that_changes_its_member_takes_its_equity_along() -> None:
    """Neither member gets a drawdown of it."""
    desk = a_desk()
    desk.apply(replace(registered(BOB), user_id=UserId("alice")))
    assert desk.records.peaks == {UserId("alice"): 20_000, UserId("bob"): 0}
    assert desk.fellows(ALICE) == (ALICE, BOB)


def test_a_stop_that_closes_is_remembered_by_the_markets_time() -> None:
    """One that opens is none."""
    desk = a_desk()
    traded(desk, "a", Side.BUY, 10, order_type=OrderType.STOP, stop_price=price(101))
    assert desk.records.last_stop(ALICE, AAPL) is None
    traded(desk, "b", Side.SELL, 4, order_type=OrderType.STOP, stop_price=price(99))
    assert desk.records.last_stop(ALICE, AAPL) == NOON
    assert desk.records.last_stop(BOB, AAPL) is None


@pytest.mark.parametrize("hours", [-1, 1])
def test_orders_of_a_minute_age_with_the_clock_that_is_set(hours: int) -> None:
    """An hour back or forward: they are neither forgotten nor held against the strategy for an hour."""
    records = Records()
    for second in range(3):
        records.count(ALICE, NOON + timedelta(seconds=second))
    by = timedelta(hours=hours)
    records.step(by)
    now = NOON + by + timedelta(seconds=2)
    assert records.orders_this_minute(ALICE, now) == 3
    assert records.orders_this_minute(ALICE, now + MINUTE - timedelta(seconds=1)) == 1
    assert records.orders_this_minute(ALICE, now + MINUTE) == 0


def test_day_trades_are_counted_as_the_rule_counts_them() -> None:
    """A close of what was opened today is one, however many orders it takes; what was held before is none."""

    def count(held: int, *trades: int) -> int:
        records = Records(day=MONDAY)
        for shares in trades:
            records.trade(AAPL, qty(held), qty(shares))
            held += shares
        return records.day_trades.get(MONDAY, 0)

    assert count(0, 10, -10) == 1
    assert count(0, 10, -5, -5) == 1
    assert count(0, 5, 5, -10) == 1
    assert count(0, 5, -5, 5, -5) == 2
    assert count(10, -10) == 0
    assert count(10, 5, -15) == 1
    assert count(10, -10, 10) == 0
    assert count(0, -10, 10) == 1
    assert count(0, 10, -20) == 1
    assert count(0, 10) == 0


def test_limits_are_on_record_when_they_change_and_only_then() -> None:
    """Who was bounded by what, when, can be read years later."""
    desk = a_desk()
    told = ev.LimitsChanged(strategy_id=ALICE, limits=(("open_orders_max", "20"),), by="desk.toml", at=NOON)
    assert handle(desk, told) == [ef.Record(told)]
    assert handle(desk, replace(told, at=NOON + MINUTE)) == []
    assert handle(desk, replace(told, limits=(("open_orders_max", "9"),)))


class DaysAndRestarts(RuleBasedStateMachine):
    """A desk that is restarted, by replay and by snapshot, against plain sums."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = some_limits(daily_loss_max=cash(300), orders_per_day_max=6)
        self.desk = a_desk(limits=self.limits)
        self.facts: list[ev.Fact] = []
        self.clock, self.day, self.count = NOON, MONDAY, 0
        self.cash, self.shares, self.mark = Decimal(10_000), Decimal(0), Decimal(100)
        self.begun, self.peak, self.asked = Decimal(10_000), Decimal(10_000), 0
        self.tell(a_day(MONDAY))

    def tell(self, event: ev.Event) -> list[ev.Fact]:
        facts = [effect.fact for effect in handle(self.desk, event) if isinstance(effect, ef.Record)]
        self.facts += facts
        return facts

    @property
    def equity(self) -> Decimal:
        return self.cash + self.shares * self.mark

    @rule(side=st.sampled_from(Side), shares=st.integers(1, 20))
    def order(self, side: Side, shares: int) -> None:
        self.count += 1
        quote = a_quote(bid_price=self.mark, ask_price=self.mark, received_at=self.clock)
        request = a_request(client_order_id=ClientOrderId(f"o{self.count}"), side=side, qty=qty(shares))
        facts = self.tell(requested(request, quote=quote, market_day=self.day, at=self.clock))
        is_closing = side is Side.SELL and shares <= self.shares
        has_lost = self.begun - self.equity >= 300
        if isinstance(facts[0], ev.OrderApproved):
            assert is_closing or (not has_lost and self.asked < 6)
            self.asked += 1
            fill = replace(a_fact_of_a_fill(request, shares, str(self.mark)), at=self.clock)
            self.desk.apply(fill)
            self.facts.append(fill)
            self.cash -= side.sign * shares * self.mark
            self.shares += side.sign * shares

    @rule(mark=st.integers(70, 130))
    def move(self, mark: int) -> None:
        if self.shares:
            self.mark = Decimal(mark)
            self.tell(ev.MarksTaken(marks=((AAPL, price(mark)),), at=self.clock))
            self.peak = max(self.peak, self.equity)

    @rule(hours=st.integers(-30, 30))
    def set_the_clock(self, hours: int) -> None:
        by, before = timedelta(hours=hours, seconds=1), self.minute()
        self.clock += by
        self.tell(ev.ClockStepped(by_ms=by // timedelta(milliseconds=1), at=self.clock))
        assert self.minute() == before, "a clock that is set is no time that has passed"

    def minute(self) -> int:
        return self.desk.records.orders_this_minute(ALICE, self.clock)

    @rule(seconds=st.sampled_from([1, 61]))
    def time_passes(self, seconds: int) -> None:
        self.clock += timedelta(seconds=seconds)

    @rule()
    def next_day(self) -> None:
        self.day += timedelta(days=1)
        self.tell(a_day(self.day, at=self.clock))
        self.begun, self.asked = self.equity, 0

    @rule(back=st.integers(0, 3))
    def an_old_day_again(self, back: int) -> None:
        assert not self.tell(a_day(self.day - timedelta(days=back), at=self.clock))

    @rule(allocation=st.integers(8, 30).map(lambda n: Decimal(n * 500)))
    def allocate(self, allocation: Decimal) -> None:
        moved = allocation - self.desk.portfolio.book(ALICE).allocation
        self.tell(ev.AllocationChanged(strategy_id=ALICE, allocation=cash(str(allocation)), by="o", at=self.clock))
        self.cash, self.begun, self.peak = self.cash + moved, self.begun + moved, self.peak + moved

    @rule()
    def restart(self) -> None:
        desk = a_desk(limits=self.limits)
        for fact in self.facts:
            desk.apply(codec.decode(*codec.encode(fact)))
        snapshot = fold.decode(fold.encode(self.desk))
        assert desk == self.desk == snapshot
        snapshot.limits, snapshot.instruments, snapshot.calendar = desk.limits, desk.instruments, desk.calendar
        self.desk = snapshot

    @invariant()
    def agree(self) -> None:
        record = self.desk.records.of(ALICE)
        assert self.desk.records.day_pnl(ALICE, self.desk.portfolio) == self.equity - self.begun
        assert record.peak == self.peak
        assert self.desk.orders_today(ALICE, self.day, None) == self.asked
        total = sum((book.worth().equity for book in self.desk.portfolio.books.values()), Decimal(0))
        assert total == self.desk.portfolio.equity()


TestDaysAndRestarts = DaysAndRestarts.TestCase
TestDaysAndRestarts.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_an_account_tells_its_day_and_its_drawdown() -> None:
    """A member sees what the limits look at; the house has neither."""
    desk = a_desk()
    handle(desk, a_day(MONDAY))
    traded(desk, "a", Side.BUY, 10)
    desk.apply(ev.PositionsMarked(marks=((AAPL, price(90)),), at=NOON))
    account = desk.account(ALICE)
    assert account is not None
    assert (account.day_pnl, account.drawdown, account.peak_equity) == (cash(-100), cash(100), cash(10_000))
    house = desk.account(HOUSE)
    assert house is not None
    assert (house.day_pnl, house.drawdown) == (cash(0), cash(0))
