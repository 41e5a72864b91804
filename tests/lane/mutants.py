"""Desks that see less than they should: what proves that a clean run means something.

Each forgets one thing that the order lane rests on. The same sequences that are clean on the real desk must show it.
`python -m tests.lane.mutants` prints the first that does.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

from deskd.core.desk import Desk
from deskd.core.portfolio import Portfolio
from deskd.domain.ids import Symbol
from deskd.domain.lane import ConflictPolicy
from deskd.domain.money import NO_QTY, Qty
from deskd.domain.order import Order, OrderStatus
from tests.lane.driver import Counts, MakeDesk, Story
from tests.lane.plan import a_plan


class FlatPortfolio(Portfolio):
    """Books in which nobody can read what the account holds of a symbol."""

    __slots__ = ()

    def total_qty(self, symbol: Symbol) -> Qty:
        """Return nothing, whatever the account holds."""
        return NO_QTY


def forgetting(forgets: Callable[[Order], bool], *, is_flat: bool = False) -> MakeDesk:
    """Return a desk whose lane does not see the orders that *forgets* names, nor, where *is_flat*, the position."""

    class Forgetful(Desk):
        __slots__ = ()

        def open_in(self, symbol: Symbol) -> list[Order]:
            return [order for order in Desk.open_in(self, symbol) if not forgets(order)]

    def make(**inputs: Any) -> Desk:
        return Forgetful(portfolio=FlatPortfolio(), **inputs) if is_flat else Forgetful(**inputs)

    return make


# Without the lane: whatever the gate approves is sent.
LANE_OFF = forgetting(lambda _: True, is_flat=True)
MUTANTS: dict[str, MakeDesk] = {
    "sees no other order": forgetting(lambda _: True),
    "takes the account for flat": forgetting(lambda _: False, is_flat=True),
    "forgets what is in doubt": forgetting(lambda order: order.status is OrderStatus.SUBMITTED),
    "takes a cancel that is asked for as done": forgetting(lambda order: order.status is OrderStatus.PENDING_CANCEL),
    "takes a replace that is asked for as done": forgetting(lambda order: order.status is OrderStatus.PENDING_REPLACE),
    "forgets exits": forgetting(lambda order: order.parent_id is not None),
}


def is_caught(mutant: MakeDesk, seed: int) -> bool:
    """Tell whether the exchange refuses the mutant an order for a conflict in the sequence of *seed*."""
    counts = Counts()
    Story(a_plan(seed, ConflictPolicy.DENY), counts, mutant, is_strict=False).play()
    return bool(counts.conflicts)


def main() -> None:
    """Print for each mutant the first sequence that catches it."""
    for name, mutant in MUTANTS.items():
        print(f'    "{name}": {next(seed for seed in count() if is_caught(mutant, seed))},', flush=True)


if __name__ == "__main__":
    main()
