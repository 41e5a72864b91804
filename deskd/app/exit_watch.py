"""Looks at the prices of what is held under exits, again and again, and has the core judge two looks in a row.

Rule 1: what is held is subscribed, whether the strategy that holds it runs or not, and whether it still names the
        symbol: nobody is held in a position by the lack of a price.
Rule 2: a session that is not known is none: nothing is sent where the broker would keep it for the open.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import NoReturn, Protocol
from zoneinfo import ZoneInfo

from deskd.config import RiskExitsSection
from deskd.core import exits
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.exits import NO_EXITS, ExitRules, SeenQuote
from deskd.domain.ids import Symbol
from deskd.domain.market import MarketClock, Quote
from deskd.domain.schedule import closes_at
from deskd.domain.strategy import StrategySpec
from deskd.ports import Clock

_NEW_YORK = ZoneInfo("America/New_York")


class Watched(Protocol):
    """What the market hub does for exits."""

    def quote(self, symbol: Symbol) -> Quote | None:
        """Return the latest quote, however old."""

    def watch(self, symbols: Collection[Symbol]) -> None:
        """Have the quotes of *symbols* come, whoever else wants them."""


class Judging(Protocol):
    """Whoever owns the desk."""

    desk: Desk
    closing: str | None  # why no new orders are taken

    async def post(self, event: ev.Event) -> None:
        """Have the event handled."""


def rules_of(spec: StrategySpec | None, desk: RiskExitsSection) -> ExitRules:
    """Return the strategy's exits: the desk's, tightened by its own. 0 is none. None: what it says is not known."""
    own = NO_EXITS if spec is None else spec.exits
    by_symbol = {symbol: _within(rules, desk) for symbol, rules in own.by_symbol.items()}
    return replace(_within(own, desk), by_symbol=by_symbol)


def _within(own: ExitRules, desk: RiskExitsSection) -> ExitRules:
    def tighter(bound: Decimal, its: Decimal | None) -> Decimal | None:
        given = [percent for percent in (bound, its) if percent]
        return min(given, default=None)

    return ExitRules(
        stop_loss_pct=tighter(desk.stop_loss_pct, own.stop_loss_pct),
        take_profit_pct=tighter(desk.take_profit_pct, own.take_profit_pct),
        trailing_pct=tighter(desk.trailing_pct, own.trailing_pct),
        spread_max_pct=desk.spread_max_pct,
    )


@dataclass(slots=True, kw_only=True)
class ExitWatch:
    """Posts what it saw, while there is anything that an exit rests on."""

    runtime: Judging
    market: Watched
    wall: Clock
    clock: Callable[[], MarketClock | None]  # the broker's, as last heard
    every_s: float
    _before: Mapping[Symbol, Quote] = field(default_factory=dict)

    async def run(self) -> NoReturn:
        """Look until canceled."""
        while True:
            await asyncio.sleep(self.every_s)
            event = self.look()
            if event is not None:
                await self.runtime.post(event)

    def look(self) -> ev.PricesSeen | None:
        """Return what this look and the one before saw; None where nothing is to be judged."""
        symbols = exits.watched(self.runtime.desk)
        self.market.watch(symbols | exits.held(self.runtime.desk))
        found = {symbol: quote for symbol in sorted(symbols) if (quote := self.market.quote(symbol)) is not None}
        before, self._before = self._before, found
        seen = tuple(SeenQuote(symbol=s, quote=q, before=before[s]) for s, q in found.items() if s in before)
        clock = self.clock()
        if not seen or clock is None or self.runtime.closing is not None:
            return None
        now = _latest(clock, seen)
        ends = closes_at(replace(clock, timestamp=now))
        return ev.PricesSeen(
            seen=seen,
            is_open=ends is not None,
            market_day=now.astimezone(_NEW_YORK).date(),
            at=self.wall.now(),
            left=None if ends is None else ends - now,
        )


def _latest(clock: MarketClock, seen: Collection[SeenQuote]) -> datetime:
    """Return the market's time, as far as it has told: a quote may be newer than the clock."""
    return max(clock.timestamp, *(one.quote.quoted_at for one in seen))
