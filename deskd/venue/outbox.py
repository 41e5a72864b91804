"""Record, then tell: what the exchange changed is on disk before an answer or an event of it leaves.

1. Changes of all requests that arrive while a commit runs share the next one: a burst pays for few commits.
2. Events leave in the order in which they happened, each after its commit.
3. What cannot be written ends the process: the memory is then ahead of the disk, and the next start reads the disk.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

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
        now: Callable[[], datetime],
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._publish = publish
        self._now = now
        self._next = _Batch()
        self._running: _Batch | None = None
        self._wake = asyncio.Event()
        self._is_closing = False

    def collect(self) -> None:
        """Take over what the exchange changed since the last call; it is written with the next commit."""
        changes = self._exchange.take_changes()
        events = self._exchange.take_events()
        if events or not _is_empty(changes):
            self._next.changes.append(changes)
            self._next.events += events
            self._wake.set()

    async def settled(self) -> None:
        """Return when everything that the exchange has done until now is on disk and published."""
        self.collect()
        batch = self._next if self._next.changes or self._next.watchlists else self._running
        if batch is not None:
            await asyncio.shield(batch.done())

    def keep_watchlist(self, watchlist_id: str, body: bytes | None) -> None:
        """Have the watchlist written with the next commit, or forgotten (None)."""
        self._next.watchlists[watchlist_id] = body
        self._wake.set()

    def note_time(self) -> None:
        """Have the market's time written, though nothing else changed."""
        self._wake.set()

    async def run(self) -> None:
        """Write and publish until `close`; raise LedgerError where the disk does not take it."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="exchange-store") as thread:
            while not self._is_closing:
                await self._wake.wait()
                self._wake.clear()
                await self._commit(thread)

    def close(self) -> None:
        """Have `run` write what is left, and the market's time, and return."""
        self.collect()
        self._is_closing = True
        self._wake.set()

    async def _commit(self, thread: ThreadPoolExecutor) -> None:
        batch, self._next = self._next, _Batch()
        self._running = batch
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(thread, self._store.write, batch.changes, batch.watchlists, self._now())
        self._running = None
        self._publish(batch.events)
        batch.finish()


class _Batch:
    """What one commit carries, and who waits for it."""

    def __init__(self) -> None:
        self.changes: list[Changes] = []
        self.watchlists: dict[str, bytes | None] = {}
        self.events: list[OrderEvent] = []
        self._done: asyncio.Future[None] | None = None

    def done(self) -> asyncio.Future[None]:
        """Return the future that is set once the batch is written and published."""
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
        return self._done

    def finish(self) -> None:
        """Let go who waits."""
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


def _is_empty(changes: Changes) -> bool:
    return not (changes.orders or changes.holdings or changes.activities or changes.equity_points or changes.account)
