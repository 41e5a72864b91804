"""The moves of a circuit breaker are a table."""

from deskd.domain.breaker import MOVES, BreakerRules, BreakerState


def test_every_state_has_a_way_on_and_none_closes_without_a_probation() -> None:
    """From open only probation follows; a breaker that is closed can only open."""
    assert set(MOVES) == set(BreakerState)
    assert all(MOVES.values())
    assert [state for state, after in MOVES.items() if BreakerState.CLOSED in after] == [BreakerState.HALF_OPEN]


def test_no_bound_is_set_unless_it_is_said() -> None:
    """The desk's defaults are the configuration's."""
    rules = BreakerRules()
    assert (rules.rejects_max, rules.denials_max, rules.deaths_max, rules.trips_max) == (0, 0, 0, 0)
