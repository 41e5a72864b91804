"""A strategy's rate is its own."""

from deskd.api.rate import BROKER_READS_PER_MIN, REFUSALS_PER_S, Budget, TokenBucket
from deskd.api.request import Request
from tests.api.fakes import SteppedClock


def a_request(method: str = "POST", path: str = "order") -> Request:
    return Request(method=method, path=(path,), query={}, headers={}, body=b"")


def test_a_second_holds_so_many_requests() -> None:
    """After a burst, the next request waits for its share of a second, and no longer."""
    clock = SteppedClock()
    bucket = TokenBucket(4, clock)
    assert [bucket.take() for _ in range(4)] == [0.0] * 4
    assert bucket.take() == 0.25
    clock.seconds += 0.25
    assert bucket.take() == 0.0
    clock.seconds += 1000
    assert [bucket.take() for _ in range(5)] == [0.0] * 4 + [0.25]


def test_less_than_one_a_second_still_lets_one_through() -> None:
    """A slow rate is a rate, not a wall."""
    assert TokenBucket(0.5, SteppedClock()).take() == 0.0


def test_a_flood_of_orders_can_still_be_called_back() -> None:
    """Cancels have a budget of their own."""
    budget = Budget(2, SteppedClock())
    assert [bool(budget.take(a_request())[0]) for _ in range(3)] == [False, False, True]
    assert budget.take(a_request("DELETE", "orders"))[0] == 0.0


def test_reads_that_cost_the_broker_are_fewer() -> None:
    """The broker counts 200 requests a minute for everybody together."""
    budget = Budget(20, SteppedClock())
    asked = [budget.take(a_request("GET", "bars")) for _ in range(BROKER_READS_PER_MIN + 1)]
    assert [bool(wait) for wait, _ in asked] == [False] * BROKER_READS_PER_MIN + [True]
    assert asked[-1] == (6.0, "bars and clock together: 10 a minute")
    assert budget.take(a_request("GET", "orders"))[0] == 0.0


def test_refusals_cost_the_desk_little() -> None:
    """A flooder's connections wait once he has had his refusals of the second."""
    budget = Budget(1, SteppedClock())
    waits = [budget.refuse() for _ in range(REFUSALS_PER_S + 1)]
    assert waits[-2:] == [0.0, 1 / REFUSALS_PER_S]
