"""Kills at any moment, over a broker that says no, fills late and stays silent: latched, monotone, and in the end flat.

DESKD_EXAMPLES and DESKD_STEPS have it run for longer.
"""

import os
from copy import deepcopy

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deskd.core.deciding import decide
from deskd.core.kills import Kills
from deskd.core.reducing import openings
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.ids import HOUSE, ClientOrderId, StrategyId
from deskd.domain.kill import THE_DESK, KillDepth, KillScope, KillTarget
from deskd.domain.order import OrderType, Side
from deskd.ledger import fold
from tests.core.kill_machine import KilledDesk
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    NOON,
    SPY,
    a_desk,
    a_kill,
    a_release,
    a_request,
    of_strategy,
    price,
    qty,
    requested,
    some_limits,
)

EXAMPLES = int(os.environ.get("DESKD_EXAMPLES", "40"))
STEPS = int(os.environ.get("DESKD_STEPS", "40"))
WHO = (ALICE, BOB)
TARGETS = (
    THE_DESK,
    of_strategy(ALICE),
    of_strategy(BOB),
    KillTarget(KillScope.MEMBER, "alice"),
    KillTarget(KillScope.SYMBOL, AAPL),
    KillTarget(KillScope.SYMBOL, SPY),
)
LIMITS = some_limits(is_short_allowed=True)


class DeskUnderKills(RuleBasedStateMachine):
    """Whatever happens, no kill is lifted but by a release, none admits an order, and flattening ends flat."""

    def __init__(self) -> None:
        super().__init__()
        self.world = KilledDesk(a_desk(limits=LIMITS))
        self.model: dict[KillTarget, KillDepth] = {}
        self.count = 0

    @rule(
        who=st.sampled_from(WHO),
        side=st.sampled_from(Side),
        shares=st.integers(1, 9),
        is_limit=st.booleans(),
    )
    def order(self, who: StrategyId, side: Side, shares: int, *, is_limit: bool) -> None:
        """Ask for one. A kill never admits it: what is denied without kills is denied with them, and under one nothing opens."""
        self.count += 1
        kind = {"order_type": OrderType.LIMIT, "limit_price": price("99")} if is_limit else {}
        request = a_request(
            strategy_id=who, client_order_id=ClientOrderId(f"o{self.count}"), side=side, qty=qty(shares), **kind
        )
        free = deepcopy(self.world.desk)
        free.kills = Kills()
        passes_freely = any(isinstance(e, ef.Submit) for e in decide(free, requested(request)))
        passes = any(isinstance(e, ef.Submit) for e in self.world.tell(requested(request)))
        assert passes <= passes_freely
        over = [
            self.model[t] for t in (THE_DESK, of_strategy(who), KillTarget(KillScope.MEMBER, who)) if t in self.model
        ]
        over += [self.model[t] for t in (KillTarget(KillScope.SYMBOL, AAPL),) if t in self.model]
        if any(depth.reaches(KillDepth.STOP_NEW) for depth in over):
            assert not passes
        elif over and passes:
            held = free.portfolio.qty(who, AAPL)
            assert shares <= (held if side is Side.SELL else -held), "REDUCE_ONLY let a position grow"
        elif not over:
            assert passes == passes_freely

    @rule(what=st.sampled_from(TARGETS), depth=st.sampled_from(KillDepth))
    def kill(self, what: KillTarget, depth: KillDepth) -> None:
        """Pull it: it holds from now on, or goes deeper."""
        self.world.tell(a_kill(what, depth))
        known = self.model.get(what)
        self.model[what] = depth if known is None or depth.reaches(known) else known

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Release one: only this lifts it."""
        target = data.draw(st.sampled_from(sorted(self.model)))
        self.world.tell(a_release(target))
        del self.model[target]

    @rule()
    def carry_out(self) -> None:
        """Ask for what is due, as the keeper does."""
        self.world.carry_out()

    @precondition(lambda self: self.world.to_send)
    @rule(data=st.data(), says_no=st.booleans())
    def deliver(self, data: st.DataObject, *, says_no: bool) -> None:
        """Let something reach the broker, in any order; it may say no."""
        self.world.deliver(data.draw(st.integers(0, len(self.world.to_send) - 1)), says_no=says_no)

    @precondition(lambda self: self.world.open_at_broker())
    @rule(data=st.data(), shares=st.integers(1, 9))
    def fill(self, data: st.DataObject, shares: int) -> None:
        """Execute an open order in part."""
        held = data.draw(st.sampled_from(self.world.open_at_broker()))
        self.world.fill(held.request.client_order_id, shares)

    @rule(from_snapshot=st.booleans())
    def restart(self, *, from_snapshot: bool) -> None:
        """Kill the desk; it starts from its facts, or from a snapshot of them."""
        twin = a_desk(limits=LIMITS)
        for fact in self.world.facts:
            twin.apply(fact)
        if from_snapshot:
            limits, instruments = twin.limits, twin.instruments
            twin = fold.decode(fold.encode(twin))
            twin.limits, twin.instruments = limits, instruments
        assert twin.kills == self.world.desk.kills
        self.world.desk = twin
        self.world.tell(ev.DeskStarted(version="1", broker="embedded", at=NOON))
        self.world.tell(ev.TradeStreamChanged(is_up=True, why="listening", at=NOON))
        twin.is_synced = True  # what a look at the account says; this machine's broker has none

    @invariant()
    def kills_are_latched(self) -> None:
        """Find in force the deepest of what was pulled since the last release."""
        assert {target: kill.depth for target, kill in self.world.desk.kills.in_force.items()} == self.model

    @invariant()
    def the_books_are_the_account(self) -> None:
        """Whatever a block is handed over to, the sum is what the broker holds; the house has a part only meanwhile."""
        portfolio = self.world.desk.portfolio
        assert portfolio.total_qty(AAPL) == self.world.net(AAPL)
        closing = [h for h in self.world.open_at_broker() if h.request.strategy_id == HOUSE]
        assert closing or not portfolio.qty(HOUSE, AAPL)
        assert portfolio.cash() == self.world.cash()

    def teardown(self) -> None:
        """When the broker does as it is asked, nothing is left under any kill, and nothing that opens even under a shallow one."""
        self.world.settle()
        desk = self.world.desk
        assert not openings(desk)
        for target, depth in self.model.items():
            if depth.reaches(KillDepth.CANCEL):
                assert not [o for o in desk.open_orders() if _is_in(target, o.request.strategy_id, o.request.symbol)]
            if depth is KillDepth.FLATTEN:
                held = [(w, s) for w, b in desk.portfolio.books.items() for s in b.held() if _is_in(target, w, s)]
                others = {o.request.symbol for o in self.world.desk.open_orders()}  # of strategies outside the kill
                assert not [s for _, s in held if s not in others]


def _is_in(target: KillTarget, who: StrategyId, symbol: str) -> bool:
    return target == THE_DESK or target.name in {who, symbol}


TestDeskUnderKills = DeskUnderKills.TestCase
TestDeskUnderKills.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
