"""Record, then tell: what the exchange changed is on disk before an answer or an event of it leaves.

1. All that happens in one turn of the loop shares one commit: a burst pays for few.
2. Events leave in the order in which they happened, after their commit and before its answers.
3. What cannot be written ends the process: the memory is then ahead of the disk, and the next start reads the disk.

The commit runs on the loop itself: without a sync of the disk (`store.py`) it costs less than handing it to a thread.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from deskd.domain.errors import LedgerError
from deskd.exchange.exchange import Exchange
from deskd.exchange.order import OrderEvent
from deskd.exchange.state import Changes
from deskd.venue.store import Store


class Outbox:
    """Takes what the exchange changed, has it written, then publishes its events."""

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        *,
        publish: Callable[[Sequence[OrderEvent]], None],
        market_time: datetime,
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._publish = publish
        self._market_time = market_time
        self._watchlists: dict[str, bytes | None] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._failure: LedgerError | None = None

    def settled(self, market_time: datetime) -> "asyncio.Future[None]":
        """Return what is done when all that the exchange did until now is on disk and published, or LedgerError."""
        self._market_time = market_time
        loop = asyncio.get_running_loop()
        if not self._waiters:
            loop.call_soon(self._commit)
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def keep_watchlist(self, watchlist_id: str, body: bytes | None) -> None:
        """Have the watchlist written with the next commit, or forgotten (None)."""
        self._watchlists[watchlist_id] = body

    def note_time(self, market_time: datetime) -> None:
        """Write the market's time, though nothing else changed."""
        self._store.write_time(market_time)

    def close(self, market_time: datetime) -> None:
        """Write all that is left."""
        self._commit()
        if self._failure is None:
            self.note_time(market_time)

    def _commit(self) -> None:
        waiters, self._waiters = self._waiters, []
        if self._failure is None:
            self._write()
        for waiter in waiters:
            if waiter.done():  # who waited is gone
                continue
            if self._failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(self._failure)

    def _write(self) -> None:
        watchlists, self._watchlists = self._watchlists, {}
        events, changes = self._exchange.take_events(), self._exchange.take_changes()
        try:
            if watchlists or not is_empty(changes):
                self._store.write(changes, watchlists, self._market_time)
        except LedgerError as failure:
            self._failure = failure  # for good: what comes after must not be written over the gap
            return
        self._publish(events)


def is_empty(changes: Changes) -> bool:
    """Tell whether there is nothing to write."""
    return not (changes.orders or changes.holdings or changes.activities or changes.equity_points or changes.account)
