"""The synthetic market's prices: ten invented symbols, day by day and slice by slice of five minutes, from a seed alone.

1. A day's closing level wanders around the symbol's base price; the levels of all symbols lean on one market factor.
2. Within the day the same factor and the symbol's own noise move it slice by slice, wilder after wild slices
   (as in GARCH), more at the open and the close, little outside regular hours. The close is the day's level.
3. The same seed and date give the same prices, from whichever slice one starts to look.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deskd.venue.calendar import Calendar, MarketDay
from deskd.wire.alpaca.market import SECOND, to_ns

SLICE: Final = 5 * 60 * SECOND  # one random source each; a halt lasts one

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Invented:
    """One symbol of the synthetic market, borrowed from a real one that behaves about like it."""

    symbol: str
    name: str
    exchange: str
    tape: str  # A, B or C: who reports it
    letter: str  # of the exchange it is listed on
    price: float  # around which it wanders
    day_move: float  # of its own, besides the market's: one standard deviation
    beta: float
    messages_per_s: float  # at midday
    spread_ticks: int
    round_lot: int


INVENTED: Final = (
    Invented("AAPL", "Apple", "NASDAQ", "C", "Q", 230.0, 0.010, 1.1, 11.0, 1, 100),
    Invented("BAC", "Bank of America", "NYSE", "A", "N", 45.0, 0.010, 1.1, 6.0, 1, 600),
    Invented("IBM", "IBM", "NYSE", "A", "N", 240.0, 0.009, 0.7, 4.0, 4, 100),
    Invented("IWM", "Russell 2000 fund", "ARCA", "B", "P", 220.0, 0.006, 1.2, 8.0, 1, 300),
    Invented("KO", "Coca-Cola", "NYSE", "A", "N", 65.0, 0.006, 0.5, 4.0, 1, 300),
    Invented("MSFT", "Microsoft", "NASDAQ", "C", "Q", 430.0, 0.009, 1.0, 9.0, 3, 100),
    Invented("NVDA", "Nvidia", "NASDAQ", "C", "Q", 140.0, 0.020, 1.7, 12.0, 1, 200),
    Invented("QQQ", "Nasdaq-100 fund", "NASDAQ", "C", "Q", 520.0, 0.004, 1.2, 11.0, 2, 200),
    Invented("SPY", "S&P 500 fund", "ARCA", "B", "P", 600.0, 0.001, 1.0, 12.0, 1, 300),
    Invented("TSLA", "Tesla", "NASDAQ", "C", "Q", 300.0, 0.028, 1.6, 10.0, 4, 100),
)
_BETAS: Final = np.array([one.beta for one in INVENTED])
_OWN: Final = np.array([one.day_move for one in INVENTED])
_MARKET_MOVE: Final = 0.009  # of one day
_PULL: Final = 0.98  # of the day's level towards its base: prices neither explode nor vanish
_ARCH, _GARCH = 0.15, 0.80  # how much of a slice's wildness comes from the slice before, and from its wildness
_EXTENDED_MOVE: Final = 0.25  # of a regular slice's
_EXTENDED_ACTIVITY: Final = 0.02
_HALT_CHANCE: Final = 0.25  # of one halt somewhere on a day
_HALTED_OFTEN: Final = ("TSLA", "NVDA")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPlan:
    """A day before its ticks: everything by slice since the extended open, one column a symbol."""

    first: int  # nanoseconds: the extended open
    opening: int  # the slice of the open
    closing: int  # the slice of the close
    prices: Floats  # at the start of each slice, and one more at the end
    moves: Floats  # one standard deviation of a slice's return
    activity: Floats  # of each slice, as a multiple of midday's (the same for all)
    halted: tuple[str, int] | None  # a symbol and the slice in which it is halted

    @property
    def slices(self) -> int:
        """Return how many slices the day has."""
        return len(self.activity)


class Prices:
    """Plans days of the synthetic market."""

    def __init__(self, calendar: Calendar, seed: int) -> None:
        self._calendar = calendar
        self._seed = seed
        self._levels = np.zeros((1, len(INVENTED)))
        self._draws = np.random.default_rng([seed, 0])
        self._growing = Lock()  # history plans days in threads, and the draws must stay in order
        self.plan = lru_cache(maxsize=8)(self._plan)

    def _plan(self, day: date) -> DayPlan:
        """Return the plan of a trading day."""
        session = self._calendar.day(day)
        assert session is not None, "only trading days are planned"
        index = self._calendar.ordinal(day)
        before, after = self._level(index), self._level(index + 1)
        draws = np.random.default_rng([self._seed, day.toordinal()])
        opening, closing, slices = _slices(session)
        shape = _shape(slices, opening, closing)
        regular = _MARKET_MOVE / np.sqrt(np.sum(shape[opening:closing] ** 2))
        market, _ = _wild_path(draws, shape * regular, 1)
        own, wild = _wild_path(draws, shape * regular, len(INVENTED))
        moves = np.sqrt((_BETAS * regular) ** 2 + (_OWN / _MARKET_MOVE * regular) ** 2) * shape[:, None] * wild
        path = np.cumsum(market * _BETAS + own * (_OWN / _MARKET_MOVE), axis=0)
        path = np.vstack([np.zeros(len(INVENTED)), path])
        drift = (after - before) - path[closing]  # the close is the day's level: the rest leans towards it
        path += drift * np.clip(np.arange(slices + 1) / closing, 0, 1)[:, None]
        return DayPlan(
            first=to_ns(session.extended_open_at),
            opening=opening,
            closing=closing,
            prices=np.array([one.price for one in INVENTED]) * np.exp(before + path),
            moves=moves,
            activity=_activity(slices, opening, closing),
            halted=_halt(draws, opening, closing),
        )

    def _level(self, index: int) -> Floats:
        """Return the log-distance from the base prices at the end of so many days of the calendar."""
        with self._growing:
            while len(self._levels) <= index:
                draws = self._draws.standard_normal((256, 1 + len(INVENTED)))
                level, grown = self._levels[-1], []
                for draw in draws:
                    level = _PULL * level + draw[0] * _MARKET_MOVE * _BETAS + draw[1:] * _OWN
                    grown.append(level)
                self._levels = np.vstack([self._levels, grown])
        found: Floats = self._levels[index]
        return found


def _slices(session: MarketDay) -> tuple[int, int, int]:
    start = to_ns(session.extended_open_at)
    ends = (session.open_at, session.close_at, session.extended_close_at)
    opening, closing, slices = ((to_ns(at) - start) // SLICE for at in ends)
    return opening, closing, slices


def _shape(slices: int, opening: int, closing: int) -> Floats:
    """Return how much each slice moves, as a multiple of midday's: a U over the regular session."""
    shape = np.full(slices, _EXTENDED_MOVE)
    at = np.linspace(0, 1, closing - opening)
    shape[opening:closing] = 0.8 + 1.8 * np.exp(-at * 14) + 0.6 * np.exp(-(1 - at) * 18)
    return shape


def _activity(slices: int, opening: int, closing: int) -> Floats:
    activity = np.full(slices, _EXTENDED_ACTIVITY)
    at = np.linspace(0, 1, closing - opening)
    activity[opening:closing] = 0.7 + 1.2 * np.exp(-at * 10) + 1.0 * np.exp(-(1 - at) * 12)
    return activity


def _wild_path(draws: np.random.Generator, moves: Floats, columns: int) -> tuple[Floats, Floats]:
    """Return slices' returns whose wildness clusters, and that wildness (1 on average)."""
    noise = draws.standard_normal((len(moves), columns))
    variance = np.ones(columns)
    wild = np.empty_like(noise)
    for number, draw in enumerate(noise):
        wild[number] = np.sqrt(variance)
        variance = (1 - _ARCH - _GARCH) + (_ARCH * draw**2 + _GARCH) * variance
    return noise * wild * moves[:, None], wild


def _halt(draws: np.random.Generator, opening: int, closing: int) -> tuple[str, int] | None:
    chance, which, when = draws.random(3)
    if chance > _HALT_CHANCE:
        return None
    first, last = opening + 3, closing - 6  # bands are double around the open and the close: hardly a halt there
    return _HALTED_OFTEN[int(which * len(_HALTED_OFTEN))], first + int(when * (last - first))
