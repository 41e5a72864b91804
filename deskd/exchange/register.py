"""Every order, found by its ids, by time, and by what is open in a symbol."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection
from datetime import datetime

from deskd.domain.events import BrokerStatus
from deskd.domain.order import Side
from deskd.exchange.order import ExchangeOrder

type _Key = tuple[datetime, int]


class Register:
    """All orders, finished ones too; `open_in` holds the open ones by symbol, `groups` complex orders' members."""

    __slots__ = ("_by_client_id", "_by_time", "by_id", "groups", "open_in", "working_in")

    def __init__(self) -> None:
        self.by_id: dict[str, ExchangeOrder] = {}
        self.open_in: dict[str, dict[str, ExchangeOrder]] = {}  # symbol -> id -> order
        self.working_in: dict[str, dict[str, ExchangeOrder]] = {}  # those of them that the market can see
        self.groups: dict[str, list[ExchangeOrder]] = {}
        self._by_client_id: dict[str, ExchangeOrder] = {}
        self._by_time: list[tuple[_Key, ExchangeOrder]] = []

    def add(self, order: ExchangeOrder) -> None:
        """Take a new order."""
        self.by_id[order.id] = order
        self._by_client_id[order.client_order_id] = order
        if order.group_id is not None:
            self.groups.setdefault(order.group_id, []).append(order)
        if order.is_open:
            self.open_in.setdefault(order.symbol, {})[order.id] = order
            if order.status is not BrokerStatus.HELD:
                self.work(order)
        self._place(order)

    def work(self, order: ExchangeOrder) -> None:
        """Let the market see the order."""
        self.working_in.setdefault(order.symbol, {})[order.id] = order

    def end(self, order: ExchangeOrder) -> None:
        """Take the order from the open ones."""
        for by_symbol in (self.open_in, self.working_in):
            in_symbol = by_symbol.get(order.symbol)
            if in_symbol is not None and in_symbol.pop(order.id, None) is not None and not in_symbol:
                del by_symbol[order.symbol]  # an empty entry would cost every later quote a look

    def submitted(self, order: ExchangeOrder, at: datetime) -> None:
        """Set submitted_at, and keep the order of time."""
        if at != order.submitted_at:
            del self._by_time[bisect_left(self._by_time, _key(order), key=_first)]
            order.submitted_at = at
            self._place(order)

    def _place(self, order: ExchangeOrder) -> None:
        key = _key(order)
        if not self._by_time or self._by_time[-1][0] < key:
            self._by_time.append((key, order))
        else:
            insort(self._by_time, (key, order), key=_first)

    def by_client_id(self, client_order_id: str) -> ExchangeOrder | None:
        """Return the order that a client named so, finished or not."""
        return self._by_client_id.get(client_order_id)

    def open_orders(self) -> list[ExchangeOrder]:
        """Return every open order, oldest first."""
        return sorted(
            (order for orders in self.open_in.values() for order in orders.values()), key=lambda o: o.sequence
        )

    def listed(
        self,
        *,
        status: str = "open",  # open, closed, all
        limit: int = 50,
        after: datetime | None = None,
        until: datetime | None = None,
        is_descending: bool = True,
        is_nested: bool = False,
        symbols: Collection[str] | None = None,
        side: Side | None = None,
        after_order_id: str | None = None,
        before_order_id: str | None = None,
    ) -> list[ExchangeOrder]:
        """Return up to *limit* orders by submitted_at, bounds excluded; nested: without legs (look them up by `legs`)."""
        entries = self._by_time
        if status == "open":  # few, among perhaps a hundred thousand
            entries = sorted((_key(o), o) for orders in self.open_in.values() for o in orders.values())
        low, high = 0, len(entries)
        if after is not None:
            low = bisect_left(entries, (after, _LAST), key=_first)
        if until is not None:
            high = bisect_left(entries, (until, 0), key=_first)
        if after_order_id in self.by_id:
            low = max(low, bisect_right(entries, _key(self.by_id[after_order_id]), key=_first))
        if before_order_id in self.by_id:
            high = min(high, bisect_left(entries, _key(self.by_id[before_order_id]), key=_first))
        found: list[ExchangeOrder] = []
        for place in range(high - 1, low - 1, -1) if is_descending else range(low, high):
            order = entries[place][1]
            if status == "closed" and order.is_open:
                continue
            if (symbols is not None and order.symbol not in symbols) or (side is not None and order.side is not side):
                continue
            if is_nested and order.parent_id is not None:
                continue
            found.append(order)
            if len(found) == limit:
                break
        return found


_LAST = 1 << 62  # after every sequence number


def _key(order: ExchangeOrder) -> _Key:
    return order.submitted_at, order.sequence


def _first(entry: tuple[_Key, ExchangeOrder]) -> _Key:
    return entry[0]
