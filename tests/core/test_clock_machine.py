"""A desk whose clock is set, back and forward, decides as its twin does whose clock never was.

Everything happens to both at the same moment; only what their clocks say of it differs. DESKD_EXAMPLES and DESKD_STEPS
have it run for longer.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deskd.core import automatic, breakers
from deskd.core.deciding import handle
from deskd.core.desk import MARKET, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.automatic import OFF, AutomaticRules, Seen
from deskd.domain.breaker import BreakerRules, BreakerState
from deskd.domain.ids import ClientOrderId, RunId, StrategyId
from deskd.domain.kill import THE_DESK, KillDepth
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import OrderType, Side
from deskd.domain.run import ExitReason, RunEnd
from deskd.ledger import codec, fold
from tests.factories import (
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_desk,
    a_quote,
    a_release,
    a_request,
    of_strategy,
    price,
    qty,
    requested,
    some_limits,
)

EXAMPLES = int(os.environ.get("DESKD_EXAMPLES", "30"))
STEPS = int(os.environ.get("DESKD_STEPS", "40"))
LIMITS = some_limits(
    orders_per_minute_max=4,
    duplicate_window=timedelta(seconds=20),
    quote_age_max=timedelta(seconds=10),
    orders_per_day_max=10_000,
    open_orders_max=10_000,
    order_notional_max=Decimal(10**9),
    position_notional_max=Decimal(10**9),
)
BREAKERS = BreakerRules(
    window=timedelta(seconds=60),
    rejects_max=3,
    denials_max=6,
    deaths_max=3,
    cooldown=timedelta(seconds=60),
    cooldown_max=timedelta(seconds=600),
    trips_max=4,
)
AUTOMATIC = AutomaticRules(
    depth=KillDepth.STOP_NEW,
    losses={},
    drift=timedelta(seconds=120),
    stale=timedelta(seconds=90),
    window=timedelta(seconds=120),
    deaths_max=8,
    rejects_max=8,
    loop_lag=OFF,
)
SEEN = Seen(is_market_open=True, lag=OFF)
LANE = LaneRules(conflict=ConflictPolicy.HOLD, hold_max=timedelta(seconds=30))


class ClocksThatAreSet(RuleBasedStateMachine):
    """One moment, two clocks."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = self.a_desk()
        self.set = self.a_desk()
        self.facts: list[ev.Fact] = []  # of the desk whose clock is set
        self.now = NOON  # as the plain one has it
        self.ahead = timedelta()  # the other clock
        self.quoted_at: datetime = NOON  # when the last quote came; on the plain clock
        self.count = 0

    def a_desk(self) -> Desk:
        desk = a_desk(limits=LIMITS)
        desk.lane = LANE
        return desk

    @initialize()
    def begins(self) -> None:
        self.both(lambda at: ev.DeskStarted(version="1", broker="embedded", at=at))
        self.both(lambda at: ev.TradeStreamChanged(is_up=True, why="listening", at=at))
        for desk in (self.plain, self.set):
            desk.is_synced = True

    def both(self, event_at: Callable[[datetime], ev.Event]) -> None:
        """Have it happen to both, at the time that each one's clock tells."""
        self.tell(event_at(self.now), event_at(self.now + self.ahead))

    def tell(self, plain: ev.Event, other: ev.Event) -> None:
        mine = [e.fact for e in handle(self.plain, plain) if isinstance(e, ef.Record)]
        theirs = [e.fact for e in handle(self.set, other) if isinstance(e, ef.Record)]
        self.facts += theirs
        assert [_said(fact) for fact in mine] == [_said(fact) for fact in theirs]

    @rule(back=st.booleans(), by=st.sampled_from([2, 61, 3_600, 90_000]))
    def set_the_clock(self, back: bool, by: int) -> None:
        """Have the runtime notice, and the market's next quote come: an old one is of no age that is known."""
        seconds = -by if back else by
        self.ahead += timedelta(seconds=seconds)
        stepped = ev.ClockStepped(by_ms=seconds * 1_000, at=self.now + self.ahead)
        self.facts += [e.fact for e in handle(self.set, stepped) if isinstance(e, ef.Record)]
        self.quoted_at = self.now

    @rule(seconds=st.sampled_from([1, 5, 15, 31, 61, 130]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def a_quote_comes(self) -> None:
        self.quoted_at = self.now

    @rule(
        who=st.sampled_from([ALICE, BOB]),
        side=st.sampled_from(Side),
        shares=st.integers(1, 3),
        limit=st.sampled_from([None, 99, 101]),
    )
    def order(self, who: StrategyId, side: Side, shares: int, limit: int | None) -> None:
        """Ask for one: a duplicate, one too many, on an old quote, one that waits for another."""
        self.count += 1
        kind: dict[str, object] = {}
        if limit is not None:
            kind = {"order_type": OrderType.LIMIT, "limit_price": price(limit)}
        request = a_request(
            strategy_id=who, client_order_id=ClientOrderId(f"o{self.count}"), side=side, qty=qty(shares), **kind
        )

        def asked(at: datetime) -> ev.OrderRequested:
            ahead = at - self.now
            quote = a_quote(received_at=self.quoted_at + ahead, quoted_at=self.quoted_at)
            return requested(request, quote=quote, at=at, market_day=MONDAY)

        self.both(asked)

    @precondition(lambda self: any(o.broker_order_id is None and not o.is_held for o in self.plain.open_orders()))
    @rule(data=st.data())
    def the_broker_rejects(self, data: st.DataObject) -> None:
        sent = sorted(
            o.request.client_order_id
            for o in self.plain.open_orders()
            if o.broker_order_id is None and not o.is_held and o.part_of is None
        )
        if sent:
            oid = data.draw(st.sampled_from(sent))
            self.both(lambda at: ev.SubmitRejected(client_order_id=oid, message="no", at=at))

    @precondition(lambda self: self.plain.open_ids)
    @rule(data=st.data())
    def an_order_is_looked_for_in_vain(self, data: st.DataObject) -> None:
        """Believe it after `doubt_settle` alone; and have what waits at the desk find its end."""
        oid = data.draw(st.sampled_from(sorted(self.plain.open_ids)))
        if data.draw(st.booleans()):
            self.both(lambda at: ev.DoubtTimedOut(client_order_id=oid, at=at))
        else:
            self.both(lambda at: ev.OrderLookedUp(client_order_id=oid, order=None, fills=(), at=at))

    @rule(who=st.sampled_from([ALICE, BOB]))
    def a_run_dies(self, who: StrategyId) -> None:
        end = RunEnd(reason=ExitReason.ERROR, detail="exit 1")
        self.both(lambda at: ev.RunEnded(strategy_id=who, run_id=RunId(f"{who}-1"), end=end, deaths=1, at=at))

    @rule(is_up=st.booleans())
    def the_market_stream_changes(self, is_up: bool) -> None:
        self.both(lambda at: ev.StreamChanged(stream=MARKET, is_up=is_up, why="test", at=at))

    @rule()
    def look_at_breakers_and_kills(self) -> None:
        """Find both about to do the same by themselves; then it happens."""
        moves, pulled = self.due(self.plain, self.now)
        others, theirs = self.due(self.set, self.now + self.ahead)
        assert [(m.strategy_id, m.state, m.why) for m in moves] == [(m.strategy_id, m.state, m.why) for m in others]
        assert [(k.target, k.cause, k.figure) for k in pulled] == [(k.target, k.cause, k.figure) for k in theirs]
        for move, other in zip(moves, others, strict=True):
            self.tell(move, other)
        for kill, other_kill in zip(pulled, theirs, strict=True):
            self.tell(kill, other_kill)

    def due(self, desk: Desk, now: datetime) -> tuple[list[ev.BreakerMoved], list[ev.KillEngaged]]:
        """Return what the desk would do by itself."""
        return breakers.due(desk, BREAKERS, now), automatic.due(desk, AUTOMATIC, SEEN, now)

    @precondition(lambda self: self.plain.kills.breakers)
    @rule(who=st.sampled_from([ALICE, BOB]))
    def an_early_end_of_a_cool_down_is_none(self, who: StrategyId) -> None:
        """Whoever looked at a clock that was just set forward finds the cool-down over; the desk does not."""
        known = self.set.kills.breakers.get(who)
        if known is not None and known.state is BreakerState.OPEN:
            assert known.until is not None
            left = known.until - self.now - self.ahead
            early = ev.BreakerMoved(strategy_id=who, state=BreakerState.HALF_OPEN, why="", trips=1, at=self.now)
            if left > timedelta():
                assert handle(self.plain, early) == []

    @precondition(lambda self: self.plain.kills.in_force or self.plain.kills.breakers)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        targets = [THE_DESK, of_strategy(ALICE), of_strategy(BOB)]
        target = data.draw(st.sampled_from(targets))
        self.both(lambda at: replace(a_release(target), at=at))

    @rule(by=st.sampled_from([0, 5, 3_600]), from_snapshot=st.booleans())
    def restart(self, by: int, from_snapshot: bool) -> None:
        """Start again, the clock set back meanwhile: it tells no more than that the start is before the last fact."""
        again = self.a_desk()
        for fact in self.facts:
            again.apply(codec.decode(*codec.encode(fact)))
        again.is_synced = self.set.is_synced  # which no fact told
        assert again == self.set
        if from_snapshot:
            again = fold.decode(fold.encode(self.set))
            again.limits, again.instruments, again.lane = self.set.limits, self.set.instruments, LANE
        self.set = again
        self.both(lambda at: ev.DeskStopped(at=at))
        self.ahead -= timedelta(seconds=by)
        self.quoted_at = self.now
        self.both(lambda at: ev.DeskStarted(version="1", broker="embedded", at=at))
        self.both(lambda at: ev.TradeStreamChanged(is_up=True, why="listening", at=at))
        for desk in (self.plain, self.set):
            desk.is_synced = True

    @invariant()
    def they_hold_the_same(self) -> None:
        assert {o: self.plain.orders[o].status for o in self.plain.orders} == {
            o: self.set.orders[o].status for o in self.set.orders
        }
        for who in (ALICE, BOB):
            counts = [
                desk.records.orders_this_minute(who, at)
                for desk, at in ((self.plain, self.now), (self.set, self.now + self.ahead))
            ]
            assert counts[0] == counts[1]


def _said(fact: ev.Fact) -> tuple[object, ...]:
    """Return what a fact comes to beside its time, and the words that tell times."""
    reason = getattr(fact, "reason", None)
    its_own = reason if isinstance(fact, ev.OrderDenied | ev.OrderRejected) else None
    return type(fact), its_own, getattr(fact, "client_order_id", None), getattr(fact, "state", None)


TestClocksThatAreSet = ClocksThatAreSet.TestCase
TestClocksThatAreSet.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
