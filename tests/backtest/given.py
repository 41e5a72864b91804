"""A desk in step with an exchange at noon of a market day."""

from dataclasses import dataclass, field
from datetime import timedelta

from deskd.backtest.broker import StepBroker
from deskd.backtest.clock import TapeClock
from deskd.backtest.desk import SteppedDesk
from deskd.domain import events as ev
from deskd.domain.effects import OrderUpdate
from deskd.domain.ids import StrategyId, Symbol
from deskd.domain.market import MarketClock, Quote
from deskd.exchange.fill_model import IMMEDIATE, FillModel
from tests.exchange.given import Trading, trading
from tests.factories import NOON, a_desk, a_quote

CLOCK = MarketClock(
    timestamp=NOON, is_open=True, next_open=NOON + timedelta(hours=21), next_close=NOON + timedelta(hours=4)
)


@dataclass
class OneQuote:
    """Keeps the promise of ports.Quotes: every symbol is quoted 99.99 to 100."""

    halted: set[Symbol] = field(default_factory=set)

    def quote(self, symbol: Symbol) -> Quote | None:
        return a_quote(symbol=symbol)

    def is_halted(self, symbol: Symbol) -> bool:
        return symbol in self.halted


@dataclass
class Ears:
    """Remembers what strategies were told."""

    told: list[tuple[StrategyId, OrderUpdate]] = field(default_factory=list)

    def tell(self, strategy_id: StrategyId, update: OrderUpdate) -> None:
        self.told.append((strategy_id, update))

    def words(self) -> list[str]:
        return [update.event for _, update in self.told]


@dataclass
class InStep:
    """A stepped desk, the exchange behind it, and what was heard and kept."""

    desk: SteppedDesk
    world: Trading
    wall: TapeClock
    ears: Ears
    quotes: OneQuote
    facts: list[ev.Fact]

    def wait(self, seconds: float) -> None:
        """Let market time pass."""
        now = self.wall.move_to(self.wall.now() + timedelta(seconds=seconds))
        self.world.exchange.advance(now)
        self.desk.hear()
        self.desk.pass_time()


def in_step(fills: FillModel = IMMEDIATE) -> InStep:
    world, wall, ears, quotes, facts = trading(fills=fills), TapeClock(NOON), Ears(), OneQuote(), list[ev.Fact]()
    desk = SteppedDesk(
        desk=a_desk(),
        broker=StepBroker(world.exchange),
        wall=wall,
        quotes=quotes,
        market=lambda _: CLOCK,
        bars_of=lambda *_: [],
        hears=ears,
        on_fact=[facts.append],
    )
    desk.hear()
    return InStep(desk=desk, world=world, wall=wall, ears=ears, quotes=quotes, facts=facts)
