"""Fairness between strategies, and the order of classes: simulated against the exchange's own limiter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deskd.alpaca.budget import Budget
from deskd.alpaca.line import Claim, Line
from deskd.domain.priority import Priority
from tests.alpaca.rush import Rush, a_budget, a_flood, jain, order

CALM = [f"calm{n:02}" for n in range(19)]


def drained(line: Line, now: float) -> list[Claim]:
    gone = []
    while (claim := line.next(now)) is not None:
        gone.append(claim)
    return gone


# --- between strategies ------------------------------------------------------------------------------------------------


def test_a_flood_leaves_the_others_acknowledgements_as_fast_as_they_were() -> None:
    """One of twenty floods for five minutes; no order of another waits longer than it would without the flood."""
    calm = [(7 + n * 3.1 + round_ * 61, order(name)) for round_ in range(4) for n, name in enumerate(CALM)]
    alone = Rush().run([(at, order(claim.flow)) for at, claim in calm], until=300)
    flooded = Rush().run([*calm, *a_flood("flood", 20, 300)], until=300)
    assert max(max(alone.waits(name)) for name in CALM) == 0
    assert max(max(flooded.waits(name)) for name in CALM) < 0.001
    assert all(flooded.served()[name] == 4 for name in CALM)
    assert flooded.turned_away == 0


def test_those_who_all_want_more_than_there_is_get_the_same() -> None:
    """Jain's index of twenty that are backlogged is at least 0.95, though one asks twenty times as often."""
    greedy = [flood for n, name in enumerate(CALM) for flood in a_flood(name, 1 + n / 10, 300)]
    rush = Rush().run([*greedy, *a_flood("flood", 20, 300)], until=300)
    assert len(rush.served()) == 20
    assert jain(rush.served().values()) >= 0.95
    assert jain(rush.served(since=60).values()) >= 0.95
    assert rush.turned_away == 0


def test_whoever_begins_to_ask_waits_one_round_at_most() -> None:
    """However long the others' lines are, and even when the room for newcomers is used up."""
    rush = Rush()
    flood = [claim for name in CALM for claim in a_flood(name, 5, 120)]
    rush.run([*flood, (100.0, order("newcomer"))], until=120)
    one_round = 20 / rush.line.budget.orders_per_s(100.0)
    assert rush.waits("newcomer")[0] <= one_round


def test_a_weight_is_a_share() -> None:
    """Who weighs three times as much gets three turns for one of another's."""
    rush = Rush().run([*a_flood("heavy", 5, 300, weight=3), *a_flood("plain", 5, 300)], until=300)
    served = rush.served(since=60)
    assert 2.8 <= served["heavy"] / served["plain"] <= 3.2


@pytest.mark.parametrize("weights", [(2, 1), (2, 1, 1, 1), (3, 2, 1, 0.5)])
def test_turns_under_flood_are_fair_by_weight(weights: tuple[float, ...]) -> None:
    """Twice the weight gets twice the turns: what each is served, over its weight, is the same for all (Jain)."""
    names = {f"w{number}": weight for number, weight in enumerate(weights)}
    flood = [claim for name, weight in names.items() for claim in a_flood(name, 5, 300, weight=weight)]
    served = Rush().run(flood, until=300).served(since=60)
    assert jain([served[name] / weight for name, weight in names.items()]) >= 0.99
    if weights[:2] == (2, 1):
        assert 1.9 <= served["w0"] / served["w1"] <= 2.1


ASKS = st.tuples(st.sampled_from([0.02, 0.1, 0.5, 2.0, 10.0]), st.sampled_from([0.5, 1.0, 2.0, 3.0]))


@settings(max_examples=25, deadline=None)
@given(st.lists(ASKS, min_size=2, max_size=20))
def test_whoever_waits_all_along_gets_what_he_weighs_whatever_anybody_asks(asks: list[tuple[float, float]]) -> None:
    """Jain's index over the weights is at least 0.95 among those who had something waiting from the first minute on.

    Those who ask for less than their share get all of it, and what they leave is the others'.
    """
    weights = {f"s{n:02}": weight for n, (_, weight) in enumerate(asks)}
    flood = [
        claim
        for name, (per_s, weight) in zip(weights, asks, strict=True)
        for claim in a_flood(name, per_s, 300, weight=weight)
    ]
    rush = Rush().run(flood, until=300)
    served, everybody = rush.served(since=60), rush.served()
    backlogged = [name for name in weights if is_backlogged(rush, name, since=60)]
    if len(backlogged) > 1:
        assert jain([served[name] / weights[name] for name in backlogged]) >= 0.95
    lowest = min((served[name] / weights[name] for name in backlogged), default=None)
    for name, (per_s, weight) in zip(weights, asks, strict=True):
        asked = int(per_s * 300)
        if lowest is not None and asked / weight * 240 / 300 < lowest / 2:
            assert everybody[name] >= asked - 1, f"{name} asked for less than its share, and did not get it"
    assert rush.turned_away == 0


def is_backlogged(rush: Rush, name: str, since: float) -> bool:
    """Tell whether the strategy had an order waiting at every moment from *since* on."""
    left = {claim: at for at, claim in rush.left}
    spans = sorted((at, left.get(claim, 1e9)) for claim, at in rush.arrived.items() if claim.flow == name)
    until = since
    for begin, end in spans:
        if begin > until:
            return False
        until = max(until, end)
    return until >= 1e9


def test_who_was_away_saved_up_nothing() -> None:
    """An hour of silence is no claim to an hour of turns: from its return it gets its share."""
    rush = Rush().run([*a_flood("busy", 5, 600), *((at + 300, c) for at, c in a_flood("back", 5, 300))], until=600)
    served = rush.served(since=360)
    assert jain(served.values()) >= 0.99


def test_closing_goes_before_opening_within_a_strategy_only() -> None:
    """An exit is ahead of the same strategy's orders, and takes no other's turn."""
    line = Line(a_budget(1_000_000))
    first, second = order("alice"), order("bob")
    exit_ = Claim(priority=Priority.EXIT, flow="alice")
    for claim in (first, second, exit_):
        line.join(claim)
    assert drained(line, 0.0) == [exit_, second, first]


# --- between classes ---------------------------------------------------------------------------------------------------


def test_classes_go_in_their_order() -> None:
    """Kill, cancel, look-up, order, reconcile, history, whichever came first."""
    line = Line(a_budget(1_000_000))
    claims = [Claim(priority=one, flow="a" if one.is_order else "") for one in reversed(Priority)]
    for claim in claims:
        line.join(claim)
    assert [claim.priority for claim in drained(line, 0.0)] == list(Priority)


def test_orders_never_touch_the_reserve() -> None:
    """A flood of all strategies leaves a tenth of a minute's requests to cancels, at any moment."""
    rush = Rush().run([claim for name in CALM for claim in a_flood(name, 10, 100)], until=100)
    assert rush.most_in_a_minute() <= 180
    for _ in range(20):
        rush.line.join(Claim(priority=Priority.CANCEL))
    gone = [claim for claim in drained(rush.line, 100.0) if claim.priority is Priority.CANCEL]
    assert len(gone) == 20


def test_bars_have_a_share_and_no_more() -> None:
    """A flood of questions for bars takes a fifth of a minute's requests; orders go on."""
    bars = [(n / 50, Claim(priority=Priority.HISTORY)) for n in range(3_000)]
    rush = Rush().run([*bars, *((at, order("calm")) for at in (5.0, 30.0, 55.0))], until=59)
    assert sum(claim.priority is Priority.HISTORY for _, claim in rush.left) == 40
    assert max(rush.waits("calm")) == 0


def test_who_leaves_the_line_is_not_served() -> None:
    """Canceled or too late: its turn is the next one's."""
    line = Line(a_budget(1_000_000))
    gone, stays, look = order("a"), order("a"), Claim(priority=Priority.LOOK_UP)
    for claim in (gone, stays, look):
        line.join(claim)
    assert (line.waiting(), line.waiting_for("a"), line.waiting_for("b")) == ({"a": 2}, 2, 0)
    line.leave(gone)
    line.leave(look)
    assert drained(line, 0.0) == [stays]
    assert line.is_empty()
    line.join(exit_ := Claim(priority=Priority.EXIT, flow="a"))
    line.leave(exit_)
    assert line.is_empty()


def test_a_line_tells_how_long_one_more_would_wait() -> None:
    """Behind forty of its own, and beside another strategy that waits: forty rounds of two."""
    budget = a_budget()
    line = Line(budget)
    assert line.expected_wait_s(order("a"), 0.0) == 0
    for name in ("a", "b"):
        for _ in range(60):
            line.join(order(name))
    drained(line, 0.0)
    ahead = line.waiting_for("a")
    expected = line.expected_wait_s(order("a"), 0.0)
    assert ahead == 40
    assert expected == 5.5 + 2 * ahead / budget.orders_per_s(0.0), "newcomers' room is filled first"
    assert line.expected_wait_s(order("new"), 0.0) == 0.5
    assert line.expected_wait_s(Claim(priority=Priority.EXIT, flow="a"), 0.0) < expected
    assert line.expected_wait_s(Claim(priority=Priority.CANCEL), 0.0) == 0


def test_strategies_that_went_away_are_forgotten() -> None:
    """A thousand short-lived names leave no growing memory, and whoever comes back starts where all stand."""
    line = Line(a_budget(1_000_000))
    for n in range(5_000):
        line.join(order(f"s{n}"))
        drained(line, 0.0)
    assert len(line._flows) <= 1_001


# --- for all rushes ----------------------------------------------------------------------------------------------------

CLAIMS = st.lists(
    st.tuples(
        st.floats(0, 150),
        st.sampled_from(Priority),
        st.sampled_from("abcd"),
        st.integers(1, 60),
    ),
    max_size=12,
)


@given(CLAIMS, st.sampled_from([20, 60, 200]), st.sampled_from([0.0, 0.02, 1.5]))
@settings(max_examples=60, deadline=None)
def test_in_every_rush_the_promises_hold(
    bursts: list[tuple[float, Priority, str, int]], limit: int, lag: float
) -> None:
    """No minute holds more than the limit, nor more orders than all but the reserve; and nobody starves."""
    arrivals = [
        (at, Claim(priority=one, flow=flow if one.is_order else "")) for at, one, flow, n in bursts for _ in range(n)
    ]
    rush = Rush(limit=limit, latency_s=lag).run(arrivals, until=8_000)
    assert rush.turned_away == 0, "the exchange's own limiter never had to say no"
    assert rush.most_in_a_minute() <= limit
    assert rush.most_in_a_minute(orders=True) <= limit - rush.line.budget.reserve
    assert len(rush.left) == len(arrivals), "everybody's turn came"
    for flow in "abcd":
        mine = [
            rush.arrived[claim] for _, claim in rush.left if claim.flow == flow and claim.priority is Priority.ORDER
        ]
        assert mine == sorted(mine), "first come, first served within a strategy"


@given(CLAIMS)
@settings(max_examples=30, deadline=None)
def test_the_even_rate_is_never_left_unused(bursts: list[tuple[float, Priority, str, int]]) -> None:
    """While orders wait they go at their even rate, or it fills the room kept for newcomers: work is conserved."""
    rush = Rush().run([(at, order(flow)) for at, _, flow, n in bursts for _ in range(n)], until=3_000)
    budget = a_budget()
    for begin, end in rush.busy_spans():
        sent = sum(begin <= at <= end for at, _ in rush.left)
        assert sent >= budget.orders_per_s(0.0) * (end - begin) - budget.burst(0.0) / 4 - 1


def test_a_budget_is_the_lines_own() -> None:
    """Whoever holds the line sees what is left."""
    budget: Budget = a_budget()
    line = Line(budget)
    line.join(order("a"))
    drained(line, 0.0)
    assert (budget.used(0.0), budget.left(0.0)) == (1, 199)
