"""What a run weighs among those that want a core: who starts, or uses up its whole share, waits behind the others.

Nobody loses by it while a core is free. Where none is, the lines and orders of those that are modest come first.
"""

from typing import Final

STARTING: Final = 1.0  # an interpreter starts with all that it can get
GREEDY_SHARE = 0.5  # of the periods in which it worked, it used up its share
_BEHIND = 20  # so many times less


def weight_of(weight: int, throttled_share: float | None) -> int:
    """Return the weight of a run whose own is *weight*, and which waited for its share in that share of its periods.

    None: it hardly worked.
    """
    if throttled_share is not None and throttled_share >= GREEDY_SHARE:
        return max(1, weight // _BEHIND)
    return weight
