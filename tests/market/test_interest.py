"""Who wants what: the union is subscribed, no more, and a line goes to those who asked."""

import os

from deskd.domain.ids import RunId, StrategyId
from deskd.domain.strategy import Channel, StrategySpec
from deskd.market.buffer import Buffer
from deskd.market.feed import Feed
from deskd.market.interest import Interest, wanted
from tests.factories import AAPL, SPY
from tests.market.given import HandClock, a_spec


def test_the_gate_gets_quotes_and_halts_of_every_symbol() -> None:
    """A strategy that reads bars only is still priced by fresh quotes, and its halted symbols are known."""
    assert wanted([a_spec(Channel.BARS, symbols=[AAPL])]) == {
        "trades": frozenset(),
        "quotes": {AAPL},
        "bars": {AAPL},
        "statuses": {AAPL},
    }


def test_the_union_over_runs_is_wanted() -> None:
    """Each symbol and channel is subscribed once, for whoever wants it; order lines need no subscription."""
    union = wanted(
        [
            a_spec(Channel.TRADES, Channel.ORDERS, symbols=[AAPL, SPY]),
            a_spec(Channel.TRADES, Channel.STATUS, symbols=[SPY], strategy_id=StrategyId("bob")),
        ]
    )
    assert union == {"trades": {AAPL, SPY}, "quotes": {AAPL, SPY}, "bars": frozenset(), "statuses": {AAPL, SPY}}


def test_without_runs_nothing_is_wanted() -> None:
    """An empty desk subscribes nothing."""
    assert not any(wanted([]).values())


async def test_runs_of_one_wish_share_an_audience_and_leave_no_trace() -> None:
    """Lines are joined once for all that want the same; the last one's leaving clears the routes."""
    interest = Interest()
    same, too, other = (a_feed(spec) for spec in (a_spec(), a_spec(), a_spec(Channel.TRADES, symbols=[AAPL, SPY])))
    for feed in (same, too, other):
        interest.add(feed)
    assert [len(audience.feeds) for audience in interest.routes["t"][AAPL].audiences] == [2, 1]
    assert [audience.feeds for audience in interest.routes["t"][SPY].audiences] == [[other]]
    for feed in (same, too, other, other):
        interest.remove(feed)
        feed.close()
    assert not any(interest.routes.values())


def a_feed(spec: StrategySpec) -> Feed:
    buffer = Buffer(bytes_max=1_000, order_lines_max=10, lag_max_s=1.0)
    stdin = os.open(os.devnull, os.O_WRONLY)
    return Feed(spec, RunId("run"), stdin, buffer=buffer, clock=HandClock(), on_slow=lambda _: None)
