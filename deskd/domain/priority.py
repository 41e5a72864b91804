"""Which of the desk's requests to the broker go first: everybody shares one limit."""

from enum import IntEnum


class Priority(IntEnum):
    """Classes of requests, the most pressing first."""

    KILL = 0  # whatever gets the account out: flattening orders of a kill switch
    CANCEL = 1
    LOOK_UP = 2  # of an order in doubt
    EXIT = 3  # an order or a replace that closes a position: before the same strategy's other orders
    ORDER = 4
    RECONCILE = 5  # routine: the account, its lists, the market's clock
    HISTORY = 6  # bars and quotes by REST

    @property
    def is_urgent(self) -> bool:
        """Tell whether it may use what is reserved wholly, and need not wait out a broker that turns requests away."""
        return self <= Priority.CANCEL

    @property
    def is_order(self) -> bool:
        """Tell whether it is a strategy's order: those are served fairly, one strategy beside the other."""
        return self in {Priority.EXIT, Priority.ORDER}
