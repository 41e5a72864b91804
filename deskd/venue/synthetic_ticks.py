"""The synthetic market's ticks: the quotes and trades of one symbol in one slice of a planned day.

1. Quotes come around a mid price that wanders from the slice's first planned price to its last; trades happen at the
   bid, at the ask, and now and then between them, off exchange.
2. The open and the close are auctions: one big print on the listing exchange, and its official repeat (Q, M), which
   counts for nothing.
3. Now and then a trade is reported late: stamped in the slice before, it comes in this one.
4. In a halted slice nothing trades; status messages say when it starts and ends.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deskd.venue.synthetic_prices import SLICE, DayPlan, Floats, Invented
from deskd.wire.alpaca.market import SECOND, Message

TICK: Final = 0.01
VENUES: Final = ("P", "Q", "Z", "K", "V", "N", "D")  # D: off exchange
OFF_EXCHANGE: Final = len(VENUES) - 1
_TRADE_SHARE: Final = 0.3  # of all messages
_LATE_CHANCE: Final = 0.1  # of one late trade in a slice
_LAST_MS: Final = SECOND // 1_000  # of a slice: kept free for the stamps of late trades
_ODD, _BETWEEN = 0.25, 0.06  # shares of trades: odd lots; at the midpoint
BAND: Final = 0.05  # limit up, limit down

type Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """Events of a slice by column. Trades fill price and size, quotes fill bid and ask."""

    came: Ints
    stamp: Ints
    is_trade: NDArray[np.bool_]
    bid: Floats
    ask: Floats
    bid_size: Ints
    ask_size: Ints
    price: Floats
    size: Ints
    conditions: Ints  # index into CONDITIONS
    venue: Ints  # of the trade, or of the bid
    other_venue: Ints  # of the ask


CONDITIONS: Final = (("@",), ("@", "I"), ("@", "T"), ("@", "T", "I"), ("O",), ("Q",), ("6",), ("M",), ("5",))
_REGULAR, _ODD_LOT, _EXTENDED, _EXTENDED_ODD, _OPEN, _OFFICIAL_OPEN, _CLOSE, _OFFICIAL_CLOSE, _REOPEN = range(9)


def conditions_of(tape: str) -> list[list[str]]:
    """Return the lists of conditions as that tape writes them: Nasdaq's regular sale is @, the others' a blank."""
    return [[" " if one == "@" and tape != "C" else one for one in combination] for combination in CONDITIONS]


def ticks(plan: DayPlan, index: int, one: Invented, number: int, draws: np.random.Generator) -> Ticks:
    """Return the symbol's slice. *draws* must be seeded by day, symbol and slice."""
    halted = plan.halted == (one.symbol, number)
    busy = one.messages_per_s * (SLICE / SECOND) * plan.activity[number] * (0.6 + 0.8 * draws.random())
    count = 0 if halted else max(2, int(draws.poisson(busy)))
    start = plan.first + number * SLICE
    came = start + np.sort(draws.integers(0, SLICE - _LAST_MS, count)).astype(np.int64)
    is_trade = draws.random(count) < _TRADE_SHARE
    is_trade[:1] = False  # the slice's first message is a quote
    mid = _mid(plan, index, number, (came - start) / SLICE, draws)
    regular = plan.opening <= number < plan.closing
    bid, ask = _quotes(mid, one.spread_ticks * (1 if regular else 6), draws)
    last_quote = np.maximum.accumulate(np.where(is_trade, 0, np.arange(count)))
    bid, ask = bid[last_quote], ask[last_quote]
    choice = draws.random(count)
    between = choice < _BETWEEN
    price = np.where(between, (bid + ask) / 2, np.where(choice < (1 + _BETWEEN) / 2, bid, ask)).round(4)
    odd = draws.random(count) < _ODD
    lots = draws.geometric(0.55, (3, count)).astype(np.int64)
    size = np.where(odd, draws.integers(1, 100, count), lots[0] * 100)
    venue = draws.integers(0, OFF_EXCHANGE, (2, count))
    made = Ticks(
        came=came,
        stamp=came.copy(),
        is_trade=is_trade,
        bid=bid,
        ask=ask,
        bid_size=lots[1] * one.round_lot,
        ask_size=lots[2] * one.round_lot,
        price=price,
        size=size,
        conditions=odd + (0 if regular else _EXTENDED),
        venue=np.where(is_trade & between, OFF_EXCHANGE, venue[0]),
        other_venue=venue[1],
    )
    if count and draws.random() < _LATE_CHANCE:
        _report_late(made, start)
    if number in {plan.opening, plan.closing} or plan.halted == (one.symbol, number - 1):
        return _with_auction(made, plan, one, number, draws)
    return made


def controls(plan: DayPlan, index: int, one: Invented, number: int) -> list[Message]:
    """Return the slice's price band, and the status messages of a halt that starts or ends with it."""
    if not plan.opening <= number < plan.closing:
        return []
    at = plan.first + number * SLICE
    reference = float(plan.prices[number, index])
    band: Message = {
        "T": "l",
        "S": one.symbol,
        "u": round(reference * (1 + BAND), 2),
        "d": round(reference * (1 - BAND), 2),
        "i": "B",
        "z": one.tape,
        "t": at,
    }
    if plan.halted == (one.symbol, number):
        return [band, _status(one, at, is_halted=True)]
    if plan.halted == (one.symbol, number - 1):
        return [band, _status(one, at, is_halted=False)]
    return [band]


def _status(one: Invented, at: int, *, is_halted: bool) -> Message:
    """Return the status message in the words of the tape that reports the symbol."""
    if one.tape == "C":
        code, text = ("P", "Volatility Trading Pause") if is_halted else ("T", "Trading Resumption")
        reason, reason_text = "LUDP", "Volatility Trading Pause"
    else:
        code, text = ("2", "Trading Halt") if is_halted else ("3", "Resume")
        reason, reason_text = "M", "Limit Up-Limit Down (LULD) Trading Pause"
    status = {"T": "s", "S": one.symbol, "sc": code, "sm": text, "rc": reason, "rm": reason_text}
    return {**status, "z": one.tape, "t": at}


def _mid(plan: DayPlan, index: int, number: int, at: Floats, draws: np.random.Generator) -> Floats:
    """Return mid prices at shares *at* of the slice: a random walk tied to the planned prices at both ends."""
    begin, end = plan.prices[number, index], plan.prices[number + 1, index]
    steps = np.diff(at, prepend=0.0)
    walk = np.cumsum(draws.standard_normal(len(at)) * np.sqrt(np.maximum(steps, 0)))
    end_of_walk = walk[-1] if len(walk) else 0.0
    bridge: Floats = (walk - at * end_of_walk) * plan.moves[number, index] * begin
    tied: Floats = begin + (end - begin) * at + bridge
    return tied


def _quotes(mid: Floats, spread_ticks: int, draws: np.random.Generator) -> tuple[Floats, Floats]:
    width = (spread_ticks + draws.geometric(0.7, len(mid)) - 1).astype(np.float64)
    bid_ticks = np.floor(mid / TICK - width / 2 + 0.5).clip(1)
    bid: Floats = (bid_ticks * TICK).round(2)
    ask: Floats = ((bid_ticks + width) * TICK).round(2)
    return bid, ask


def _report_late(made: Ticks, start: int) -> None:
    """Stamp the slice's first trade, where it came within 20 seconds, as one of the slice before."""
    trades = np.flatnonzero(made.is_trade)
    if len(trades) and made.came[trades[0]] < start + 20 * SECOND:
        made.stamp[trades[0]] = start - _LAST_MS // 2


def _with_auction(made: Ticks, plan: DayPlan, one: Invented, number: int, draws: np.random.Generator) -> Ticks:
    """Put the auction's print, and its official repeat, in front of the slice's other messages."""
    index_of = {plan.opening: (_OPEN, _OFFICIAL_OPEN, 0.02), plan.closing: (_CLOSE, _OFFICIAL_CLOSE, 0.06)}
    first, second, share = index_of.get(number, (_REOPEN, _REOPEN, 0.002))
    prints = 1 if first == second else 2
    start = plan.first + number * SLICE
    came = start + draws.integers(200, 900) * (SECOND // 1_000) + np.arange(prints) * _LAST_MS
    after = made.came > came[-1]  # before its auction nothing of the slice trades
    bid, ask = (made.bid[0], made.ask[0]) if len(made.bid) else (one.price, one.price)
    price = round(float((bid + ask) / 2), 2)
    shares = int(one.messages_per_s * 23_400 * 60 * share * (0.7 + 0.6 * draws.random())) * one.round_lot // 100
    letter = VENUES.index(one.letter)
    auction = {
        "came": came,
        "stamp": came,
        "is_trade": np.ones(prints, np.bool_),
        "price": np.full(prints, price),
        "size": np.full(prints, max(shares, 100)),
        "conditions": np.array([first, second][:prints]),
        "venue": np.full(prints, letter),
    }
    columns = {
        name: np.concatenate([auction.get(name, np.zeros(prints, column.dtype)), column[after]])
        for name, column in ((name, getattr(made, name)) for name in Ticks.__dataclass_fields__)
    }
    return Ticks(**columns)
