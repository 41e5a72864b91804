"""The synthetic market as a tape: ten symbols, every trading day, from a seed. It needs no files and never ends.

1. Nothing in it is real: listings say so in their names. Prices come from `synthetic_prices.py`, ticks from
   `synthetic_ticks.py`.
2. Every slice of every symbol has a random source of its own, so that play can begin anywhere, and history is what was
   or would have been played.
3. It begins shortly before the open of START_DAY, or of the day it is told; looped, it goes on with the next trading day.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
import polars as pl

from deskd.domain.errors import ConfigError
from deskd.venue.bars import day_bar, minute_bars
from deskd.venue.calendar import LAST_DAY, Calendar, midnight
from deskd.venue.synthetic_prices import INVENTED, SLICE, Prices
from deskd.venue.synthetic_ticks import VENUES, Ticks, conditions_of, controls, ticks
from deskd.venue.tape import ENDLESS, Batch, Listing, Outline
from deskd.wire.alpaca.market import NEW_YORK, SECOND, Message

START_DAY: Final = date(2026, 1, 5)  # a Monday
BEFORE_THE_OPEN: Final = 10 * SECOND
HISTORY_DAYS: Final = 30
BATCH_ROWS: Final = 512
TRADE_ID_STEP: Final = 100_000  # more trades than one slice has


class SyntheticTape:
    """An invented market."""

    is_synthetic = True
    notices: Sequence[str] = ("the market is synthetic: invented prices of no real company",)

    def __init__(self, *, calendar: Calendar, seed: int, start: datetime | None = None) -> None:
        wanted = START_DAY if start is None else start.astimezone(NEW_YORK).date()
        if wanted >= LAST_DAY - timedelta(days=31):
            raise ConfigError(f"exchange.start: the synthetic market ends before {wanted}. Choose an earlier day.")
        self._calendar = calendar
        self._seed = seed & 0xFFFF_FFFF_FFFF_FFFF  # a random source takes no negative one
        self._prices = Prices(calendar, self._seed)
        self._first = calendar.shift(wanted, 0)
        self._index = {one.symbol: index for index, one in enumerate(INVENTED)}
        self._conditions = [conditions_of(one.tape) for one in INVENTED]
        self._make = lru_cache(maxsize=4)(self._make_slices)  # a symbol's day: some 20 MB

    def listings(self) -> Sequence[Listing]:
        """Return every symbol, sorted; each name says that it is synthetic."""
        return [
            Listing(symbol=one.symbol, name=f"SYNTHETIC {one.name} (invented prices)", exchange=one.exchange)
            for one in INVENTED
        ]

    def days(self) -> Sequence[date]:
        """Return the day it begins with."""
        return [self._first]

    def history_days(self, start: date, end: date) -> Sequence[date]:
        """Return the last trading days of the span, at most HISTORY_DAYS: making more would keep the reader waiting."""
        return [session.day for session in self._calendar.days(start, end)][-HISTORY_DAYS:]

    def day_after(self, day: date, *, loop: bool) -> date | None:
        """Return the next trading day where it loops; once, it plays a single day."""
        return self._calendar.shift(day, 1) if loop else None

    def plays(self, day: date) -> bool:
        """Tell whether it is a trading day."""
        return self._calendar.day(day) is not None

    def first_at(self, day: date) -> int:
        """Return when the day starts to play: its first day shortly before the open, others at 04:00."""
        plan = self._prices.plan(day)
        return plan.first + (plan.opening * SLICE - BEFORE_THE_OPEN if day == self._first else 0)

    def outline(self, day: date) -> Outline:
        """Return that every symbol has quotes, and none has recorded bars."""
        assert self.plays(day), "only trading days have an outline"
        return Outline(quoted=frozenset(self._index), barred=frozenset())

    def play(self, day: date, since: int) -> Iterator[Batch]:
        """Yield the day's messages in order, at most BATCH_ROWS at a time."""
        plan = self._prices.plan(day)
        for piece in range(max((since - plan.first) // SLICE, 0), plan.slices):
            yield from self._slice(day, piece, since)

    def trades(self, symbol: str, day: date, until: int = ENDLESS) -> pl.DataFrame:
        """Return the day's trades of a symbol that are stamped before *until*, by their own stamps."""
        made = self._made(symbol, day, until)
        joined = np.array(
            ["|".join(combination) for combination in self._conditions[self._index[symbol]]] if made else []
        )
        parts = [_trade_columns(one, piece) for piece, one in made]
        if not parts:
            return pl.DataFrame(schema=_TRADES)
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return (
            pl.DataFrame(
                {
                    "t": columns["t"],
                    "i": columns["i"],
                    "x": np.array(VENUES)[columns["x"]],
                    "p": columns["p"],
                    "s": columns["s"],
                    "c": joined[columns["c"]],
                    "z": INVENTED[self._index[symbol]].tape,
                },
                schema=_TRADES,
            )
            .sort("t", maintain_order=True)
            .filter(pl.col("t") < until)
        )

    def quotes(self, symbol: str, day: date, until: int = ENDLESS) -> pl.DataFrame:
        """Return the day's quotes of a symbol that are stamped before *until*."""
        parts = [(one, ~one.is_trade) for _, one in self._made(symbol, day, until)]
        if not parts:
            return pl.DataFrame(schema=_QUOTES)
        letters = np.array(VENUES)
        return pl.DataFrame(
            {
                "t": np.concatenate([one.stamp[mask] for one, mask in parts]),
                "bx": letters[np.concatenate([one.venue[mask] for one, mask in parts])],
                "bp": np.concatenate([one.bid[mask] for one, mask in parts]),
                "bs": np.concatenate([one.bid_size[mask] for one, mask in parts]),
                "ax": letters[np.concatenate([one.other_venue[mask] for one, mask in parts])],
                "ap": np.concatenate([one.ask[mask] for one, mask in parts]),
                "as": np.concatenate([one.ask_size[mask] for one, mask in parts]),
                "c": "R",
                "z": INVENTED[self._index[symbol]].tape,
            },
            schema=_QUOTES,
        ).filter(pl.col("t") < until)

    def minute_bars(self, symbol: str, day: date) -> pl.DataFrame:
        """Return the day's minute bars of a symbol."""
        return minute_bars(self.trades(symbol, day))

    def day_bar(self, symbol: str, day: date) -> pl.DataFrame:
        """Return the day's bar of a symbol."""
        return day_bar(self.trades(symbol, day), midnight(day))

    def _ticks(self, day: date, index: int, piece: int) -> Ticks:
        draws = np.random.Generator(np.random.PCG64([self._seed, day.toordinal(), index, piece]))
        return ticks(self._prices.plan(day), index, INVENTED[index], piece, draws)

    def _make_slices(self, symbol: str, day: date, slices: int) -> list[tuple[int, Ticks]]:
        return [(piece, self._ticks(day, self._index[symbol], piece)) for piece in range(slices)]

    def _made(self, symbol: str, day: date, until: int) -> list[tuple[int, Ticks]]:
        """Return the symbol's slices that hold stamps before *until*; a late trade comes in the slice after its own."""
        if symbol not in self._index or not self.plays(day):
            return []
        plan = self._prices.plan(day)
        return self._make(symbol, day, max(0, min(plan.slices, (until - plan.first) // SLICE + 2)))

    def _slice(self, day: date, piece: int, since: int) -> Iterator[Batch]:
        plan = self._prices.plan(day)
        said = [message for i, one in enumerate(INVENTED) for message in controls(plan, i, one, piece)]
        said = [message for message in said if message["t"] >= since]
        if said:
            yield Batch([message["t"] for message in said], said)
        made = [self._ticks(day, index, piece) for index in range(len(INVENTED))]
        came = np.concatenate([one.came for one in made])
        order = np.argsort(came, kind="stable")
        order = order[int(np.searchsorted(came[order], since)) :]
        whose = np.repeat(np.arange(len(made)), [len(one.came) for one in made])
        columns = {name: np.concatenate([getattr(one, name) for one in made]) for name in _PLAYED}
        for at in range(0, len(order), BATCH_ROWS):
            part = order[at : at + BATCH_ROWS]
            rows = {name: column[part].tolist() for name, column in columns.items()}
            yield Batch(came[part].tolist(), self._messages(piece, part.tolist(), whose[part].tolist(), rows))

    def _messages(self, piece: int, numbers: list[int], whose: list[int], rows: dict[str, list[Any]]) -> list[Message]:
        messages: list[Message] = []
        for number, index, row in zip(numbers, whose, zip(*rows.values(), strict=True), strict=True):
            stamp, is_trade, bid, ask, bid_size, ask_size, price, size, conditions, venue, other_venue = row
            one = INVENTED[index]
            if is_trade:
                message: Message = {
                    "T": "t",
                    "S": one.symbol,
                    "i": piece * TRADE_ID_STEP + number,
                    "x": VENUES[venue],
                }
                message |= {"p": price, "s": size, "c": self._conditions[index][conditions], "z": one.tape, "t": stamp}
            else:
                message = {"T": "q", "S": one.symbol, "bx": VENUES[venue], "bp": bid, "bs": bid_size}
                message |= {"ax": VENUES[other_venue], "ap": ask, "as": ask_size, "c": ["R"], "z": one.tape, "t": stamp}
            messages.append(message)
        return messages


_PLAYED: Final = (  # the columns of a message, in the order in which _messages takes them apart
    "stamp", "is_trade", "bid", "ask", "bid_size", "ask_size", "price", "size", "conditions", "venue", "other_venue",
)  # fmt: skip
_TRADES: Final = {"t": pl.Int64, "i": pl.Int64, "x": pl.String, "p": pl.Float64} | {
    "s": pl.Int64, "c": pl.String, "z": pl.String,
}  # fmt: skip
_QUOTES: Final = {"t": pl.Int64, "bx": pl.String, "bp": pl.Float64, "bs": pl.Int64} | {
    "ax": pl.String, "ap": pl.Float64, "as": pl.Int64, "c": pl.String, "z": pl.String,
}  # fmt: skip


def _trade_columns(one: Ticks, piece: int) -> dict[str, np.ndarray]:
    mask = one.is_trade
    return {
        "t": one.stamp[mask],
        "i": piece * TRADE_ID_STEP + np.flatnonzero(mask),
        "x": one.venue[mask],
        "p": one.price[mask],
        "s": one.size[mask],
        "c": one.conditions[mask],
    }
