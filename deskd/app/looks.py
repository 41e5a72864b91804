"""What a look at the broker's account is to bring: from when on, and how much of its history."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from deskd.alpaca.resync import History, snapshot
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.order import Order
from deskd.ports import Broker, Clock

RESYNC_BACK = timedelta(minutes=5)  # orders and fills are listed from so long before the oldest open order
RESYNC_SPAN = timedelta(days=1)  # but not from before this: one old GTC order must not bring the list of a month


def listed_since(open_orders: Sequence[Order]) -> datetime | None:
    """Return from when the broker is to list its orders, in its own time; None where no order is open.

    What is open at the broker is listed whatever its age, and what no list has is asked for by its id.
    """
    stamps = [o.submitted_at for o in open_orders if o.submitted_at is not None]
    return max(min(stamps), max(stamps) - RESYNC_SPAN) - RESYNC_BACK if stamps else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """Asks the broker for what the desk does not know yet."""

    desk: Desk
    broker: Broker
    wall: Clock

    async def take(self, orders: Sequence[Order], fill_count: Callable[[], int], why: str) -> ev.BrokerSnapshot:
        """Return the account as it is, and what has become of *orders*. Raise OSError where it cannot be asked."""
        asked_at = self.wall.now()
        taken = await snapshot(
            self.broker,
            open_orders=orders,
            since=listed_since(orders),
            fill_counter=fill_count,
            history=self._history(),
            now=self.wall.now,
            why=why,
        )
        return replace(taken, asked_at=asked_at)

    def _history(self) -> History:
        """Return how much of the account's history this look is to read."""
        desk = self.desk
        is_wide = desk.last_reconciled is not None and bool(desk.last_reconciled.suspected)
        return History(
            read_until=desk.standing.read_until,
            is_wide=is_wide,
            knows=desk.knows,
            is_ours=desk.by_broker_id.__contains__,
        )
