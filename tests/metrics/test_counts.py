"""What happened is counted once, by its code."""

from dataclasses import replace
from datetime import timedelta

from deskd.core.deciding import handle
from deskd.core.desk import TRADES
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, RunId
from deskd.domain.reasons import DenialReason
from deskd.domain.run import ExitReason, RunEnd
from deskd.metrics.counts import Counts
from tests.factories import ALICE, NOON, a_desk, a_limit_request, a_request, accepted, filled, requested
from tests.market.given import HandClock


def a_count() -> tuple[Counts, HandClock]:
    clock = HandClock()
    return Counts(orders={}, wall=clock), clock


def happened(*posted: ev.Event) -> tuple[Counts, HandClock]:
    """Return what is counted of all facts that follow from these events."""
    desk, clock = a_desk(), HandClock()
    counts = Counts(orders=desk.orders, wall=clock)
    for event in posted:
        for effect in handle(desk, event):
            if isinstance(effect, ef.Record):
                counts.on_fact(effect.fact)
        clock.seconds += 0.25
    return counts, clock


def test_an_order_counts_by_what_became_of_it() -> None:
    """Approved, accepted, filled: each once."""
    request = a_request()
    counts, _ = happened(requested(request), accepted(request), filled(request, 10))
    assert counts.order_events["approved"] == 1
    assert counts.order_events["accepted"] == 1
    assert counts.order_events["filled"] == 1


def test_a_market_order_is_timed_to_its_first_fill_alone() -> None:
    """The second fill of an order says nothing of how fast the first came."""
    request = a_request()
    counts, _ = happened(requested(request), accepted(request), filled(request, 4), filled(request, 6, cumulative=10))
    assert counts.order_events["filled"] == 2
    assert counts.to_fill.count == 1
    assert counts.to_fill.sum_s == 0.5


def test_a_limit_order_is_not_timed() -> None:
    """It waits for its price, and not for us."""
    request = a_limit_request()
    counts, _ = happened(requested(request), accepted(request), filled(request, 10))
    assert counts.to_fill.count == 0


def test_a_denial_counts_by_its_code() -> None:
    """So an officer sees which limit bites."""
    request = a_request(strategy_id=ALICE, symbol="NOPE", client_order_id=ClientOrderId("o2"))
    counts, _ = happened(requested(request))
    assert counts.denials == {DenialReason.SYMBOL_NOT_ALLOWED: 1}
    assert counts.order_events["denied"] == 1


def test_runs_count_by_why_they_ended() -> None:
    """A night of deaths shows, and what killed."""
    counts, _ = a_count()
    run = RunId("alice.1")
    counts.on_fact(ev.RunStarted(run_id=run, strategy_id=ALICE, at=NOON))
    end = RunEnd(reason=ExitReason.OOM, detail="too much")
    counts.on_fact(ev.RunEnded(run_id=run, strategy_id=ALICE, end=end, at=NOON))
    assert (counts.runs_started, counts.runs_ended) == (1, {"oom": 1})


def test_an_outage_counts_with_its_time_and_its_gap() -> None:
    """How often, how long, and what of the market nobody got."""
    counts, clock = a_count()
    counts.on_fact(ev.StreamChanged(stream=TRADES, is_up=False, why="closed", at=NOON))
    ended = ev.OutageEnded(
        stream=TRADES,
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=90),
        why="closed",
        affected=(),
        open_orders=0,
        refusals=(),
        bars_fetched=3,
        bars_missing=1,
        at=NOON,
    )
    counts.on_fact(ended)
    counts.on_fact(replace(ended, ended_at=NOON - timedelta(seconds=5)))  # the clock was set back
    assert counts.outages == {TRADES: 2}
    assert counts.outage_s == {TRADES: 90.0}
    assert (counts.bars_fetched, counts.bars_missing) == (6, 2)
    assert counts.changed_at == {TRADES: clock.seconds}
