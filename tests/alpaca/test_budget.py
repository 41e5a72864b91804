"""The count of a minute's requests, and what the broker's answers change of it."""

import math

import pytest

from deskd.alpaca.budget import UNLIMITED, Budget, Minute
from deskd.domain.priority import Priority
from tests.alpaca.rush import a_budget
from tests.factories import NOON

EPOCH = int(NOON.timestamp())


def spend(budget: Budget, priority: Priority, now: float, *, flow: str = "") -> int:
    """Send what may go now, each answered at once; return how many went."""
    sent = 0
    while not budget.wait_s(priority, now, is_light=True) and sent < 1_000:
        budget.begin(priority, flow, now)
        budget.end(now)
        sent += 1
    return sent


# --- the count ---------------------------------------------------------------------------------------------------------


def test_a_request_counts_until_a_minute_after_its_answer() -> None:
    """Whenever the broker counted it in between, ours is not the smaller number."""
    budget = a_budget(10)
    budget.begin(Priority.CANCEL, "", 0.0)
    assert (budget.used(0.0), budget.left(50.0)) == (1, 9)
    budget.end(30.0)
    assert (budget.used(89.9), budget.used(90.0)) == (1, 0)


def test_requests_of_one_instant_are_counted_together_and_never_too_early() -> None:
    """A slice of time is forgotten with its last request; memory does not grow with the rate."""
    minute = Minute()
    for n in range(1_000):
        minute.add(n * 0.0001)
    assert len(minute._slices) <= 3
    minute.forget(60.04)
    assert minute.total == 1_000
    minute.forget(60.11)
    assert minute.total == 0
    assert minute.frees_at(1) == math.inf


def test_what_did_not_leave_does_not_count() -> None:
    """No connection came to be: the broker saw nothing."""
    budget = a_budget(10)
    budget.begin(Priority.CANCEL, "", 0.0)
    budget.give_back()
    assert budget.used(0.0) == 0


# --- classes -----------------------------------------------------------------------------------------------------------


def test_a_burst_of_orders_is_a_quarter_and_then_an_even_rate() -> None:
    """Of 200 a minute 160 are for orders: 40 at once, then two a second."""
    budget = a_budget()
    assert (budget.reserve, budget.orders_per_min(0.0), budget.burst(0.0)) == (20, 160, 40)
    assert spend(budget, Priority.ORDER, 0.0, flow="a") == 40
    assert budget.wait_s(Priority.ORDER, 0.0) == pytest.approx(0.5)
    assert spend(budget, Priority.ORDER, 10.0, flow="a") == 20


def test_who_asked_for_much_leaves_a_quarter_of_the_burst_to_newcomers() -> None:
    """A strategy is light up to an eighth of a minute's orders; then it leaves ten of forty to others."""
    budget = a_budget()
    assert budget.is_light("a", 1, 1, 0.0)
    for _ in range(20):
        budget.begin(Priority.ORDER, "a", 0.0)
        budget.end(0.0)
    assert not budget.is_light("a", 1, 1, 0.0)
    for _ in range(10):
        assert budget.wait_s(Priority.ORDER, 0.0, is_light=False) == 0
        budget.begin(Priority.ORDER, "a", 0.0)
        budget.end(0.0)
    assert budget.wait_s(Priority.ORDER, 0.0, is_light=False) == pytest.approx(0.5)
    assert budget.wait_s(Priority.ORDER, 0.0, is_light=True) == 0
    assert budget.is_light("a", 1, 1, 60.0), "a minute later it is a newcomer itself"


def test_what_else_is_asked_makes_room_by_slowing_orders() -> None:
    """A rush of cancels and look-ups is not paid by a hard stop of orders later."""
    budget = a_budget()
    for _ in range(60):
        budget.begin(Priority.CANCEL, "", 0.0)
        budget.end(0.0)
    assert budget.orders_per_min(0.0) == 120


def test_the_reserve_is_for_who_gets_out() -> None:
    """Cancels and kills use all of it, reconciles half, look-ups three quarters, orders and bars none."""
    left = {
        Priority.KILL: 0,
        Priority.CANCEL: 0,
        Priority.LOOK_UP: 5,
        Priority.RECONCILE: 10,
    }
    for priority, rest in left.items():
        budget = a_budget()
        spend(budget, priority, 0.0)
        assert budget.left(0.0) == rest, priority
        assert not spend(budget, Priority.ORDER, 0.0)
        assert not spend(budget, Priority.HISTORY, 0.0)
    budget = a_budget()
    assert spend(budget, Priority.HISTORY, 0.0) == 40, "bars have a fifth"


# --- what the broker says ----------------------------------------------------------------------------------------------


def test_the_brokers_limit_is_believed() -> None:
    """A plan of a thousand a minute is used; one of a hundred is kept."""
    for limit in (1_000, 100):
        budget = a_budget()
        budget.learn(200, {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(limit)}, 0.0, NOON)
        assert (budget.limit, budget.left(0.0)) == (limit, limit)


def test_others_of_the_same_account_are_counted_until_the_reset() -> None:
    """The broker has 50 left where we sent 10: somebody else sent 140."""
    budget = a_budget()
    for _ in range(10):
        budget.begin(Priority.RECONCILE, "", 0.0)
        budget.end(0.0)
    headers = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "50", "X-RateLimit-Reset": str(EPOCH + 30)}
    budget.learn(200, headers, 0.0, NOON)
    assert budget.left(0.0) == 50
    assert budget.left(29.9) == 50
    assert budget.left(30.0) == 190
    assert budget.wait_s(Priority.CANCEL, 0.0) == 0
    for _ in range(50):
        budget.begin(Priority.CANCEL, "", 0.0)
        budget.end(0.0)
    assert budget.wait_s(Priority.CANCEL, 0.0) == 30, "the reset comes before ours are a minute old"


def test_our_own_requests_are_no_strangers() -> None:
    """A broker that counts what we count leaves the budget as it is."""
    budget = a_budget()
    for n in range(30):
        budget.begin(Priority.CANCEL, "", 0.0)
        budget.end(0.0)
        headers = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": str(199 - n)}
        budget.learn(200, headers, 0.0, NOON)
    assert budget.left(0.0) == 170


def test_headers_of_nonsense_change_nothing() -> None:
    """A negative count, a text, a limit of nothing."""
    budget = a_budget()
    budget.learn(200, {"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "-5"}, 0.0, NOON)
    budget.learn(200, {"X-RateLimit-Limit": "many", "X-RateLimit-Remaining": "²"}, 0.0, NOON)
    assert (budget.limit, budget.left(0.0)) == (200, 200)


def test_no_limit_is_no_limit() -> None:
    """Whoever switched it off hears of none, whatever the broker says."""
    budget = a_budget(UNLIMITED, learns=False)
    budget.learn(429, {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0"}, 0.0, NOON)
    assert budget.wait_s(Priority.ORDER, 0.0) == 0
    assert budget.left(0.0) == UNLIMITED


# --- turned away -------------------------------------------------------------------------------------------------------

REFUSED = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH + 20)}


def test_after_a_429_nothing_goes_until_the_reset_but_what_is_urgent() -> None:
    """A cancel tries again after some tenths of a second: being turned away costs nothing, staying in may."""
    budget = a_budget()
    budget.learn(429, REFUSED, 0.0, NOON)
    assert (budget.pause_s(0.0), budget.refused_count) == (20, 1)
    for priority in (Priority.LOOK_UP, Priority.ORDER, Priority.RECONCILE, Priority.HISTORY):
        assert budget.wait_s(priority, 0.0) >= 20
        assert budget.wait_s(priority, 20.0) == 0
    assert budget.wait_s(Priority.CANCEL, 20.0) == 0


def test_what_is_urgent_tries_ever_less_often_and_at_least_every_two_seconds() -> None:
    """0.5 s, 1 s, 2 s, and so on, while the broker turns all away without a word of how long."""
    budget, now, waits = a_budget(UNLIMITED), 0.0, []
    for _ in range(6):
        budget.learn(429, {}, now, NOON)
        waits.append(budget.wait_s(Priority.KILL, now))
        now += waits[-1]
    assert waits == [0.5, 1, 2, 2, 2, 2]
    assert budget.pause_s(now - 2) == 5, "everything else waits longer, up to five seconds"


def test_retry_after_is_honoured() -> None:
    """Longer than the reset, too; a minute at most."""
    budget = a_budget()
    budget.learn(429, REFUSED | {"Retry-After": "45"}, 0.0, NOON)
    assert budget.pause_s(0.0) == 45
    budget.learn(429, {"Retry-After": "86400"}, 0.0, NOON)
    assert budget.pause_s(0.0) == 60


def test_a_429_with_room_left_is_a_short_storm() -> None:
    """Its own headers say that it was not our number: nobody waits for the reset."""
    budget = a_budget()
    budget.learn(429, REFUSED | {"X-RateLimit-Remaining": "150"}, 0.0, NOON)
    assert budget.pause_s(0.0) == 0.5


def test_one_tries_and_the_others_wait_for_what_it_hears() -> None:
    """After a pause not everybody runs into the next 429: the first answer opens the way for all."""
    budget = a_budget(UNLIMITED)
    budget.learn(429, {}, 0.0, NOON)
    budget.begin(Priority.CANCEL, "", 1.0)
    assert budget.wait_s(Priority.CANCEL, 1.0) == math.inf
    budget.end(1.1)
    budget.learn(204, {}, 1.1, NOON)
    assert budget.wait_s(Priority.CANCEL, 1.1) == 0
    assert budget.pause_s(1.1) == 0


def test_waits_of_many_desks_differ() -> None:
    """The jitter is half of the wait."""
    shorter = Budget(limit=200, reserve_share=0.1, jitter=lambda: 0.0)
    shorter.learn(429, {}, 0.0, NOON)
    assert shorter.pause_s(0.0) == 0.25


def test_a_limit_that_is_nowhere_told_is_learned_from_the_429() -> None:
    """A proxy cuts the headers off: what was used when it said no is taken for all that there is, for a while."""
    budget = a_budget()
    for _ in range(100):
        budget.begin(Priority.CANCEL, "", 0.0)
        budget.end(0.0)
    budget.learn(429, {}, 0.0, NOON)
    assert budget.left(0.0) == 0
