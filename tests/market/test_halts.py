"""Which symbols are halted, and of which nobody knows: by the market's word, across gaps and starts."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from deskd.domain.events import HaltChanged
from deskd.market.halts import TRADES_AGAIN, Halts
from deskd.wire.alpaca.market import rfc3339
from tests.factories import AAPL, NOON


@dataclass
class World:
    """Halts, and what they told."""

    told: list[HaltChanged] = field(default_factory=list)
    halts: Halts = field(init=False)

    def __post_init__(self) -> None:
        self.halts = Halts(on_change=self.told.append)

    def status(self, code: str, at: datetime = NOON) -> None:
        self.halts.see_status({"T": "s", "S": AAPL, "sc": code, "rc": "", "t": stamp(at)}, NOON)

    def quote(self, bid: float = 99.0, ask: float = 100.0, conditions: str = "R") -> None:
        self.halts.see("q", {"T": "q", "S": AAPL, "bp": bid, "ap": ask, "c": list(conditions)}, NOON)

    def trade(self, at: datetime = NOON, conditions: str = "@") -> None:
        self.halts.see("t", {"T": "t", "S": AAPL, "p": 100.0, "c": list(conditions), "t": stamp(at)}, NOON)

    def is_halted(self) -> bool | None:
        return self.halts.is_halted(AAPL)


def stamp(at: datetime) -> str:
    return rfc3339(int(at.timestamp()) * 1_000_000_000)


def test_nobody_knows_before_anything_was_heard_and_a_quote_or_trade_tells() -> None:
    """A start is the end of a gap; in what trades it is over with the first message, which the price comes with."""
    world = World()
    assert world.is_halted() is None
    world.quote()
    assert world.is_halted() is False
    traded = World()
    traded.trade()
    assert traded.is_halted() is False
    assert world.told == traded.told == []


@pytest.mark.parametrize(
    ("bid", "ask", "conditions"), [(99.0, 0.0, "R"), (0.0, 100.0, "R"), (99.0, 100.0, "N"), (99.0, 100.0, "P")]
)
def test_a_quote_of_what_stands_still_tells_nothing(bid: float, ask: float, conditions: str) -> None:
    """One-sided, not firm, or for news that is pending: that is how a halt looks."""
    world = World()
    world.quote(bid, ask, conditions)
    assert world.is_halted() is None


@pytest.mark.parametrize("conditions", ["Z", "U", "@M"])
def test_a_trade_that_is_told_late_tells_nothing(conditions: str) -> None:
    """It may be from before the halt."""
    world = World()
    world.trade(conditions=conditions)
    assert world.is_halted() is None


def test_the_markets_word_is_told_once() -> None:
    """Halt and resume, by whatever tape; news in between changes nothing."""
    world = World()
    for code in ("H", "Q", "H", "T", "T"):
        world.status(code)
    assert [(fact.is_halted, fact.why, fact.market_at) for fact in world.told] == [
        (True, "H", NOON),
        (False, "T", NOON),
    ]
    assert world.is_halted() is False


def test_in_a_gap_a_halt_may_begin_unheard() -> None:
    """What traded before is unknown after it, until it is quoted or traded again."""
    world = World()
    world.quote()
    world.halts.on_gap()
    assert world.is_halted() is None
    world.quote()
    assert world.is_halted() is False
    assert world.told == []


def test_what_was_halted_stays_halted_over_gaps_and_starts_until_it_trades() -> None:
    """Quotes go on through a pause; a trade that is stamped after the halt began shows that it is over."""
    before = World()
    before.status("H")
    [halted] = before.told
    world = World()
    world.halts.remember([halted])
    assert world.is_halted() is True
    world.quote()
    world.trade(NOON)
    assert world.is_halted() is True
    world.trade(NOON + timedelta(seconds=1))
    assert world.is_halted() is False
    assert [(fact.is_halted, fact.why) for fact in world.told] == [(False, TRADES_AGAIN)]


def test_while_the_stream_is_there_only_a_resume_ends_a_halt() -> None:
    """Prints of before the halt come late."""
    world = World()
    world.status("H")
    assert world.halts.is_heard(AAPL)  # the hub shows it no trade then
    world.halts.on_gap()
    assert world.is_halted() is True
    world.status("T")
    assert world.is_halted() is False


def test_of_what_nobody_wants_nothing_is_told() -> None:
    """A symbol that was not subscribed for an hour is unknown when it is wanted again."""
    world = World()
    world.quote()
    world.halts.keep(["SPY"])
    assert world.is_halted() is None
