"""What the stepped desk knows of the market, and the lines that its strategy reads of it.

Prices, halts and lines are made by the same code as live. Satisfies ports.Quotes, and what exits and kills look at.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from deskd.domain.errors import WireError
from deskd.domain.ids import StrategyId, Symbol
from deskd.domain.market import Quote
from deskd.domain.money import Price
from deskd.domain.strategy import Channel, StrategySpec
from deskd.market.interest import KIND_OF
from deskd.market.prices import Prices
from deskd.venue.history import History, Span, Unit, parse_timeframe
from deskd.wire import lines
from deskd.wire.alpaca.market import Message, rfc3339, to_datetime, to_ns

_LONG = {
    Unit.MINUTE: timedelta(minutes=1),
    Unit.HOUR: timedelta(hours=1),
    Unit.DAY: timedelta(days=1),
    Unit.WEEK: timedelta(weeks=1),
    Unit.MONTH: timedelta(days=31),
}
BACK_MAX = timedelta(days=3_650)


class StepMarket:
    """One strategy's market."""

    def __init__(self, spec: StrategySpec) -> None:
        self._spec = spec
        self._prices = Prices()
        self._halted: dict[str, bool] = {}
        self._session: str | None = None  # as last told
        symbols = frozenset[str](spec.symbols)
        self._wanted = {kind: symbols for channel, kind in KIND_OF.items() if channel in spec.channels}
        self._encoders: dict[str, Callable[[Message, str], bytes]] = {
            "t": lines.trade_line,
            "q": lines.quote_line,
            "b": lines.bar_line,
            "s": self._status_line,
        }

    # --- what comes in ---------------------------------------------------------------------------------------------------

    def see(self, messages: Sequence[Message], now: datetime) -> None:
        """Keep what the messages say of prices and halts."""
        for message in messages:
            kind = message["T"]
            if kind == "q":
                self._prices.see_quote(message, now)
            elif kind == "t":
                self._prices.see_trade(message)
            elif kind == "b":
                self._prices.see_bar(message)
            elif kind == "s":
                was_halted = self._halted.get(message["S"], False)
                self._halted[message["S"]] = lines.halted_after(message, was_halted=was_halted)

    def seed(self, quote: Message) -> None:
        """Keep the last quote from before the beginning; its true age counts."""
        self._prices.see_quote(quote, to_datetime(quote["t"]))

    def lines(self, messages: Sequence[Message]) -> Iterator[bytes]:
        """Yield the lines that the strategy reads of them."""
        for message in messages:
            kind = message["T"]
            if message["S"] in self._wanted.get(kind, ()):
                try:
                    line = self._encoders[kind](message, rfc3339(message["t"]))
                except WireError:
                    continue  # no price that is one: live it is counted and left out, too
                if line:
                    yield line

    def session_line(self, timestamp: str, closes_at: str, phase: str) -> bytes | None:
        """Return the line that says where the exchange's day is, where the strategy wants that and it is news."""
        if Channel.STATUS not in self._spec.channels or phase == self._session:
            return None
        self._session = phase
        return lines.session_line(phase, timestamp, closes_at)

    def _status_line(self, message: Message, stamp: str) -> bytes:
        return lines.status_line(message, stamp, halted=self.is_halted(Symbol(message["S"])))

    # --- what it knows ---------------------------------------------------------------------------------------------------

    def quote(self, symbol: Symbol) -> Quote | None:
        """Return the latest quote, however old."""
        return self._prices.quote(symbol)

    def is_halted(self, symbol: Symbol) -> bool:
        """Tell whether the market halted trading in the symbol."""
        return self._halted.get(symbol, False)

    def marks(self) -> Mapping[Symbol, Price]:
        """Return the mark of every symbol that has one."""
        return self._prices.marks()

    def watch(self, symbols: Collection[Symbol]) -> None:
        """Have the quotes of *symbols* come: they all do."""


class SessionLines:
    """Takes what the session watch tells (its `Told`), and keeps the line until it is handed over."""

    def __init__(self, market: StepMarket, strategy_id: StrategyId) -> None:
        self._market = market
        self._strategy_id = strategy_id
        self._line: bytes | None = None

    def tell_session(self, timestamp: str, closes_at: str, phase_of: Callable[[StrategyId], str]) -> None:
        """Keep the line, where it is news."""
        self._line = self._market.session_line(timestamp, closes_at, phase_of(self._strategy_id)) or self._line

    def take(self) -> bytes | None:
        """Return the line that waits, once."""
        line, self._line = self._line, None
        return line


def bars_before(history: History, symbol: Symbol, timeframe: str, limit: int, now: datetime) -> list[Message]:
    """Return the latest *limit* bars before *now*, oldest first; raise WireError for a timeframe that is none."""
    frame = parse_timeframe(timeframe)
    # Nights and weekends hold no bars: as far back as the live broker is asked.
    back = frame.count * limit * _LONG[frame.unit] * (6 if frame.unit is not Unit.MONTH else 1) + timedelta(days=10)
    span = Span(start=to_ns(now - min(back, BACK_MAX)), end=to_ns(now), is_descending=True)
    found: list[Message] = []
    for row in history.bars(symbol, frame, span, to_ns(now)):
        found.append({"T": "b", "S": symbol, **row})
        if len(found) == limit:
            break
    return found[::-1]


def warm_up(history: History, spec: StrategySpec, now: datetime) -> list[bytes]:
    """Return the lines of the warm-up that the strategy asks for, all symbols, oldest bar first."""
    if spec.history is None:
        return []
    wanted = spec.history
    stamped = [
        (bar["t"], lines.history_line(bar, symbol, wanted.timeframe))
        for symbol in spec.symbols
        for bar in bars_before(history, symbol, wanted.timeframe, wanted.bars, now)
    ]
    return [line for _, line in sorted(stamped, key=lambda one: one[0])]
