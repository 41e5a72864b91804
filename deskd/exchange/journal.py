"""What comes out of the exchange: events for the stream, activities for the account's history, rows for the store."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable
from datetime import date, datetime

from deskd.exchange.account import Activity, EquityPoint
from deskd.exchange.order import ExchangeOrder, OrderEvent
from deskd.exchange.portfolio import Portfolio
from deskd.exchange.session import NEW_YORK
from deskd.exchange.state import AccountState, Changes

type _Key = tuple[datetime, int]


def activity_id(at: datetime, uuid: str) -> str:
    """Return an activity's id, which starts with its time in New York."""
    local = at.astimezone(NEW_YORK)
    day = local.year * 10_000 + local.month * 100 + local.day
    clock = local.hour * 10_000 + local.minute * 100 + local.second
    return f"{day}{clock:06d}{local.microsecond // 1000:03d}::{uuid}"


class Journal:
    """Collects what happens until it is taken. Activities stay, for they can be asked for."""

    __slots__ = (
        "_by_id",
        "activities",
        "dirty_holdings",
        "dirty_orders",
        "equity_points",
        "events",
        "is_account_dirty",
        "new_activities",
        "new_equity_points",
    )

    def __init__(self, activities: Iterable[Activity], equity_points: Iterable[EquityPoint]) -> None:
        self.events: list[OrderEvent] = []
        self.dirty_orders: dict[str, ExchangeOrder] = {}
        self.dirty_holdings: set[str] = set()
        self.is_account_dirty = False
        self.new_activities: list[Activity] = []
        self.new_equity_points: dict[date, EquityPoint] = {}
        self.equity_points = {p.day: p for p in equity_points}
        self.activities: list[tuple[_Key, Activity]] = []  # by time, then as they came
        self._by_id: dict[str, _Key] = {}
        for activity in sorted(activities, key=lambda a: a.sequence):
            self._keep(activity)

    def add_activity(self, activity: Activity) -> None:
        """Add a line to the account's history."""
        self._keep(activity)
        self.new_activities.append(activity)

    def add_equity_point(self, point: EquityPoint) -> None:
        """Keep what the account was worth at a session's end."""
        self.equity_points[point.day] = point
        self.new_equity_points[point.day] = point

    def take_events(self) -> list[OrderEvent]:
        """Return the events since the last call, in order."""
        events, self.events = self.events, []
        return events

    def take_changes(self, portfolio: Portfolio, account: AccountState | None) -> Changes:
        """Return the rows that changed since the last call."""
        changes = Changes(
            orders=tuple(order.snapshot() for order in self.dirty_orders.values()),
            holdings={symbol: portfolio.stored(symbol) for symbol in sorted(self.dirty_holdings)},
            activities=tuple(self.new_activities),
            equity_points=tuple(self.new_equity_points.values()),
            account=account,
        )
        self.dirty_orders.clear()
        self.dirty_holdings.clear()
        self.new_activities.clear()
        self.new_equity_points.clear()
        self.is_account_dirty = False
        return changes

    def _keep(self, activity: Activity) -> None:
        key = (activity.at, activity.sequence)
        self._by_id[activity.id] = key
        if not self.activities or self.activities[-1][0] < key:
            self.activities.append((key, activity))
        else:
            insort(self.activities, (key, activity), key=_first)

    def listed(
        self,
        *,
        types: Collection[str] | None = None,
        order_id: str | None = None,
        on: date | None = None,
        after: datetime | None = None,
        until: datetime | None = None,
        is_descending: bool = True,
        page_size: int = 100,
        page_token: str | None = None,
    ) -> list[Activity]:
        """Return activities by time, bounds excluded; *on* is a day in New York, *page_token* the last id seen."""
        low, high = 0, len(self.activities)
        if after is not None:
            low = bisect_left(self.activities, (after, _LAST), key=_first)
        if until is not None:
            high = bisect_left(self.activities, (until, 0), key=_first)
        if page_token in self._by_id:
            place = bisect_left(self.activities, self._by_id[page_token], key=_first)
            low, high = (low, min(high, place)) if is_descending else (max(low, place + 1), high)
        found: list[Activity] = []
        for place in range(high - 1, low - 1, -1) if is_descending else range(low, high):
            activity = self.activities[place][1]
            if types is not None and activity.activity_type not in types:
                continue
            if order_id is not None and activity.order_id != order_id:
                continue
            if on is not None and activity.at.astimezone(NEW_YORK).date() != on:
                continue
            found.append(activity)
            if len(found) == page_size:
                break
        return found


_LAST = 1 << 62  # after every sequence number


def _first(entry: tuple[_Key, Activity]) -> _Key:
    return entry[0]
