"""Prices of what is held under exits are looked at, two looks in a row, whether its strategy runs or not."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

import pytest

from deskd.app.exit_watch import ExitWatch, rules_of
from deskd.config import RiskExitsSection
from deskd.domain.exits import ExitRules
from deskd.domain.ids import Symbol
from deskd.domain.market import MarketClock, Quote
from tests.app.test_bounds import a_spec
from tests.factories import AAPL, ALICE, MONDAY, NOON, SPY, a_quote, price, qty
from tests.runtime.a_live_desk import World, a_world

CLOCK = MarketClock(
    timestamp=NOON, is_open=True, next_open=NOON + timedelta(hours=21, minutes=30), next_close=NOON + timedelta(hours=4)
)
BEFORE = replace(CLOCK, is_open=False, next_open=NOON + timedelta(seconds=10))


@dataclass
class Market:
    """Quotes of what is watched."""

    quotes: dict[Symbol, Quote] = field(default_factory=dict)
    watched: frozenset[Symbol] = frozenset()

    def quote(self, symbol: Symbol) -> Quote | None:
        return self.quotes.get(symbol)

    def watch(self, symbols: Collection[Symbol]) -> None:
        self.watched = frozenset(symbols)


def a_watch(world: World, market: Market, clock: MarketClock | None = CLOCK) -> ExitWatch:
    """Return a watch over a desk on which alice holds AAPL under a stop."""
    world.desk.portfolio.book(ALICE).trade(AAPL, qty(10), price(100), NOON)
    world.desk.exit_rules[ALICE] = ExitRules(stop_loss_pct=Decimal(2))
    world.runtime.closing = None
    return ExitWatch(runtime=world.runtime, market=market, wall=world.wall, clock=lambda: clock, every_s=0.001)


async def test_what_is_held_under_exits_is_watched_and_two_looks_are_one_event() -> None:
    """The first look has nothing before it."""
    async with a_world() as world:
        market = Market({AAPL: a_quote()})
        watch = a_watch(world, market)
        assert watch.look() is None
        assert market.watched == {AAPL}
        market.quotes[AAPL] = later = a_quote(bid_price=price(99))
        event = watch.look()
        assert event is not None
        assert [(s.symbol, s.quote, s.before) for s in event.seen] == [(AAPL, later, a_quote())]
        assert (event.is_open, event.market_day) == (True, MONDAY)


async def test_where_nothing_is_held_under_exits_nothing_is_looked_at() -> None:
    """A desk without exits costs a glance."""
    async with a_world() as world:
        market = Market({AAPL: a_quote()})
        watch = a_watch(world, market)
        world.desk.exit_rules.clear()
        assert (watch.look(), watch.look()) == (None, None)


async def test_the_prices_of_what_is_held_come_whoever_names_the_symbol() -> None:
    """A strategy whose author took the symbol off its list can still sell it: an order takes a fresh quote."""
    async with a_world() as world:
        market = Market({AAPL: a_quote()})
        watch = a_watch(world, market)
        world.desk.exit_rules.clear()
        watch.look()
        assert market.watched == {AAPL}
        world.desk.portfolio.book(ALICE).trade(AAPL, qty(-10), price(100), NOON)
        watch.look()
        assert market.watched == frozenset()


@pytest.mark.parametrize(
    ("clock", "quoted", "is_open"),
    [
        (CLOCK, 0, True),
        (CLOCK, 4 * 3600, False),  # the close has come since the clock was heard
        (BEFORE, 0, False),
        (BEFORE, 10, True),  # the open has come
        (BEFORE, 4 * 3600, False),
    ],
)
async def test_the_session_is_the_brokers_clock_moved_on_by_the_markets_stamps(
    clock: MarketClock, quoted: int, is_open: bool
) -> None:
    """The clock is asked for every quarter of a minute; on a fast tape that is long."""
    async with a_world() as world:
        market = Market({AAPL: a_quote(quoted_at=NOON + timedelta(seconds=quoted))})
        watch = a_watch(world, market, clock)
        watch.look()
        event = watch.look()
        assert event is not None
        assert event.is_open is is_open
        left = NOON + timedelta(hours=4) - NOON - timedelta(seconds=quoted)
        assert event.left == (left if is_open else None)


async def test_an_unknown_session_and_a_closing_desk_judge_nothing() -> None:
    """Unknown means no."""
    async with a_world() as world:
        watch = a_watch(world, Market({AAPL: a_quote()}), None)
        assert (watch.look(), watch.look()) == (None, None)
        watch = a_watch(world, Market({AAPL: a_quote()}))
        world.runtime.closing = "the desk is stopping"
        assert (watch.look(), watch.look()) == (None, None)


def test_of_two_exits_the_tighter_holds() -> None:
    """0 is none, and one that only one of them has holds alone."""
    desk = RiskExitsSection(stop_loss_pct=Decimal(5), trailing_pct=Decimal(4))
    own = replace(a_spec(), exits=ExitRules(stop_loss_pct=Decimal(2), take_profit_pct=Decimal(9)))
    assert rules_of(own, desk) == ExitRules(
        stop_loss_pct=Decimal(2), take_profit_pct=Decimal(9), trailing_pct=Decimal(4)
    )
    assert rules_of(a_spec(), RiskExitsSection()) == ExitRules()


def test_a_symbols_own_exits_are_bounded_by_the_desks() -> None:
    """Officers' bounds may have become tighter since the files were read."""
    desk = RiskExitsSection(stop_loss_pct=Decimal(3))
    own = ExitRules(stop_loss_pct=Decimal(2), by_symbol={AAPL: ExitRules(stop_loss_pct=Decimal(5))})
    rules = rules_of(replace(a_spec(), exits=own), desk)
    assert (rules.stop_loss_pct, rules.of(AAPL).stop_loss_pct) == (Decimal(2), Decimal(3))
    assert rules.of(SPY) is rules
