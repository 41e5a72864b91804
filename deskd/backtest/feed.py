"""A run's standard input in lock-step: one line at a time, and the next when the strategy asks for it (ports.Feeds).

Rule 1: a line that was handed over is done with when the run asks for another, or ends.
Rule 2: what a run writes into the pipe of its wishes is a claim: it can only hurry its own backtest.
"""

import asyncio
import os
from collections import deque

from deskd.domain.effects import OrderUpdate
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.strategy import Channel, Delivery, StrategySpec
from deskd.wire import lines

_WISHES = 64  # bytes read at once: one is due


class Stalled(Exception):
    """The strategy did not ask for its next line in time."""


class StepFeed:
    """Feeds one run."""

    def __init__(self, *, patience_s: float) -> None:
        self.patience_s = patience_s  # for one line
        self.delivered = 0
        self.attached = asyncio.Event()
        self.is_over = False  # it asks for nothing more, or gets nothing more
        self.is_stopped = False  # by whoever started the backtest
        self._spec: StrategySpec | None = None
        self._stdin = self._step = -1
        self._wishes = 0
        self._wished: asyncio.Future[None] | None = None
        self._orders: deque[bytes] = deque()  # lines that wait for their turn

    # --- for the run -----------------------------------------------------------------------------------------------------

    def listen(self, step: int) -> None:
        """Hear the wishes of the run that is about to start; *step* is where they come, and whoever made it closes it."""
        self._step = step
        os.set_blocking(step, False)
        asyncio.get_running_loop().add_reader(step, self._on_wish)

    async def attach(self, spec: StrategySpec, run_id: RunId, stdin: int) -> None:  # noqa: ARG002  there is one run
        """Take the run's standard input."""
        os.set_blocking(stdin, True)  # a line finds its pipe empty, or one that is being emptied
        self._spec, self._stdin = spec, stdin
        self.attached.set()

    def detach(self, run_id: RunId) -> None:  # noqa: ARG002
        """Close it: the strategy sees the end of input. Safe to call twice."""
        if self._step >= 0:
            asyncio.get_running_loop().remove_reader(self._step)
            self._step = -1
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1
        self._end()

    def counts(self, run_id: RunId) -> Delivery:  # noqa: ARG002
        """Return what was delivered; nothing ever waits."""
        return Delivery(delivered=self.delivered)

    # --- for the market --------------------------------------------------------------------------------------------------

    def tell(self, strategy_id: StrategyId, update: OrderUpdate) -> None:
        """Queue an order line for the strategy, where it wants orders."""
        if self._spec is not None and strategy_id == self._spec.strategy_id and Channel.ORDERS in self._spec.channels:
            self._orders.append(lines.order_line(update))

    async def hand_over(self, line: bytes) -> None:
        """Give the strategy the line, and return when it is done with it, and with the order lines that came of it."""
        await self._one(line)
        await self.settle()

    async def settle(self) -> None:
        """Give it the order lines that wait, until none is left."""
        while self._orders and not self.is_over:
            await self._one(self._orders.popleft())

    def stop(self) -> None:
        """Give it nothing more."""
        self.is_stopped = True
        self._end()

    async def wants(self) -> None:
        """Return when the strategy asks for a line, or will ask for none any more; raise Stalled where it takes too long."""
        if self._wishes or self.is_over:
            return
        loop = asyncio.get_running_loop()
        self._wished = loop.create_future()
        late = loop.call_later(
            self.patience_s, self._lose_patience
        )  # a third of what asyncio.timeout takes, at each line
        try:
            await self._wished
        finally:
            late.cancel()
            self._wished = None

    async def _one(self, line: bytes) -> None:
        await self.wants()
        if self.is_over:
            return
        self._wishes -= 1
        try:
            os.write(self._stdin, line)
        except BrokenPipeError:
            self._end()
            return
        self.delivered += 1
        await self.wants()

    def _on_wish(self) -> None:
        try:
            wishes = os.read(self._step, _WISHES)
        except BlockingIOError:
            return
        if not wishes:
            asyncio.get_running_loop().remove_reader(self._step)
            self._end()
            return
        self._wishes = 1  # however often it says so: there is one line at a time
        self._answer()

    def _end(self) -> None:
        self.is_over = True
        self._answer()

    def _lose_patience(self) -> None:
        if self._wished is not None and not self._wished.done():
            self._wished.set_exception(Stalled(f"it did not ask for its next line within {self.patience_s:g} s"))

    def _answer(self) -> None:
        if self._wished is not None and not self._wished.done():
            self._wished.set_result(None)
