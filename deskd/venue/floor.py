"""The trading floor: where the market meets the exchange, and time passes for orders.

1. Each step of the tape reaches the exchange before anybody hears of it: who sees a price can no longer trade before it.
2. A step waits for what it changed to be written, so a fast tape never runs away from the disk.
3. Between two steps the exchange's own timers (acknowledgements, fills) are met in market time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from deskd.exchange.exchange import Exchange
from deskd.exchange.session import SessionDay
from deskd.venue.market import Market, halt_of, makes_price
from deskd.venue.outbox import Outbox
from deskd.venue.player import Player
from deskd.venue.tape import Tape
from deskd.wire.alpaca.market import Message

TIMER_S_MIN = 0.001  # market time stands still while a message is on its way: ask again then, do not spin

type PublishMarket = Callable[[Sequence[Message]], Awaitable[None]]


class Floor:
    """Carries the market to the exchange, and the exchange's changes to the outbox."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        market: Market,
        tape: Tape,
        player: Player,
        outbox: Outbox,
        speed: float,
        publish: PublishMarket,
    ) -> None:
        self.exchange = exchange
        self.market = market
        self._tape = tape
        self._player = player
        self._outbox = outbox
        self._speed = speed
        self._publish = publish
        self._stamped = player.now()
        self._is_prepared = False  # the first day was, before it began to play
        self._armed: datetime | None = None
        self._rearm = asyncio.Event()

    def now(self) -> datetime:
        """Return the market's time, as far as the exchange has gone."""
        return max(self._player.now(), self._stamped)

    def stamp(self) -> datetime:
        """Return the market's time for a request that changes something: no two get the same.

        Between two steps at speed 0 the market's time stands still, but clients page through orders by their time.
        """
        self._stamped = max(self._player.now(), self._stamped + timedelta(microseconds=1))
        return self._stamped

    async def settled(self) -> None:
        """Return when all that the exchange has done until now is on disk; call it before every answer."""
        self._arm()
        await self._outbox.settled(self.now())

    async def keep_watchlist(self, watchlist_id: str, body: bytes | None) -> None:
        """Write the watchlist, or forget it (None); return when that is on disk."""
        self._outbox.keep_watchlist(watchlist_id, body)
        await self._outbox.settled(self.now())

    async def prepare(self, day: SessionDay, now: datetime) -> None:
        """Catch up with the first day as if it had played until *now*, so that prices are there from the start."""
        await self._begin(day, now)
        await asyncio.to_thread(self.market.prime, self._tape, now)
        known = [(self.market.trade(symbol), self.market.quote(symbol)) for symbol in self.market.symbols()]
        tell_exchange(self.exchange, [message for pair in known for message in pair if message is not None], now)
        self._is_prepared = True

    async def on_day(self, day: SessionDay, now: datetime) -> None:
        """Take the sessions of the day that begins to play."""
        if not self._is_prepared:
            await self._begin(day, now)
        self._is_prepared = False
        self._rearm.set()  # time passes from here on
        await self.settled()

    async def _begin(self, day: SessionDay, now: datetime) -> None:
        outline = await asyncio.to_thread(self._tape.outline, day.day)
        self.market.start_day(day.day, outline)
        self._stamped = now  # a looped tape goes back in time
        self.exchange.on_session(day, now)

    async def on_step(self, now: datetime, messages: list[Message]) -> None:
        """Take what the tape brought until *now*."""
        published = self.market.feed(now, messages)
        now = max(now, self._stamped)
        tell_exchange(self.exchange, published, now)
        self.exchange.advance(now)
        await self._publish(published)
        await self.settled()

    async def run_timers(self) -> None:
        """Let the exchange's time pass between steps, until cancelled."""
        while True:
            self._rearm.clear()
            try:
                async with asyncio.timeout(self._wait_s()):
                    await self._rearm.wait()
            except TimeoutError:
                self.exchange.advance(self.now())
                await self.settled()

    def _arm(self) -> None:
        due = self.exchange.next_timer()
        if due != self._armed:
            self._armed = due
            self._rearm.set()

    def _wait_s(self) -> float | None:
        """Return how long until the next timer; None where only a step or a request can bring one."""
        if self._armed is None or not self._speed or not self._player.is_playing:
            return None
        return max(TIMER_S_MIN, (self._armed - self.now()).total_seconds() / self._speed)


def tell_exchange(exchange: Exchange, messages: Sequence[Message], now: datetime) -> None:
    """Hand the exchange what it goes by: quotes, trades that make a price, halts."""
    for message in messages:
        kind = message["T"]
        if kind == "q":
            exchange.on_quote(message["S"], message["bp"], message["bs"], message["ap"], message["as"], now)
        elif kind == "t":
            if makes_price(message):
                exchange.on_trade(message["S"], message["p"], message["s"], now)
        elif kind == "s" and (is_halted := halt_of(message)) is not None:
            exchange.on_halt(message["S"], is_halted, now)
