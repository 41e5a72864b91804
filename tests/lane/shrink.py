"""Makes a failing plan smaller: steps are left out as long as it fails with the same words."""

from collections.abc import Sequence
from dataclasses import replace

from tests.lane.driver import Counts, MakeDesk, Story
from tests.lane.plan import Plan, Step

WORDS = 40  # of what a failure says: figures and names behind them may change


def failure_of(plan: Plan, counts: Counts, make_desk: MakeDesk) -> str | None:
    """Play the plan; return what is wrong, or None."""
    try:
        Story(plan, counts, make_desk).play()
    except Exception as error:  # noqa: BLE001  whatever the desk or the exchange breaks at is a find
        return f"{type(error).__name__}: {error}"
    return None


def shrunk(plan: Plan, make_desk: MakeDesk) -> Plan:
    """Return the smallest plan found that fails as *plan* does."""
    said = failure_of(plan, Counts(), make_desk)
    assert said is not None, "it does not fail"

    def still_fails(steps: Sequence[Step]) -> bool:
        found = failure_of(replace(plan, steps=steps), Counts(), make_desk)
        return found is not None and found[:WORDS] == said[:WORDS]

    steps, size = list(plan.steps), max(1, len(plan.steps) // 2)
    while size:
        at, has_shrunk = 0, False
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if still_fails(fewer):
                steps, has_shrunk = fewer, True
            else:
                at += size
        size = size if has_shrunk and size == 1 else size // 2
    return replace(plan, steps=steps)
