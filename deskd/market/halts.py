"""Which symbols the market has halted, and of which nobody knows.

Rule 1: the market's word counts: halted until it resumes.
Rule 2: while the stream is away a halt can begin or end unheard. What was not halted is unknown from then on until the
        symbol is quoted or traded again, which in what trades is a matter of seconds, and in what does not there was
        no fresh price either. What was halted stays so until a word or a trade says otherwise: quotes go on in a pause.
Rule 3: a start is the end of a gap: what the ledger has as halted is halted.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deskd.domain.events import HaltChanged
from deskd.domain.ids import Symbol
from deskd.wire import lines
from deskd.wire.alpaca.market import to_datetime

type Message = Mapping[str, Any]

# Conditions of quotes that say that the symbol does not trade (CTA, UTP): halts, pauses, news, not firm, closed.
STANDS_STILL = frozenset("DIJKLMNPQSVXZ4")
# Conditions of trades that tell of another time: sold last, prior reference, out of sequence, derived, official prices.
OF_ANOTHER_TIME = frozenset("LPUZ4MQ9")
TRADES_AGAIN = "it trades again: a trade was seen after a gap in the stream"


@dataclass(slots=True, kw_only=True)
class Halts:
    """Kept by the hub."""

    on_change: Callable[[HaltChanged], None]
    _halted: dict[str, datetime | None] = field(default_factory=dict)  # since when, by the market's stamp
    _heard: set[str] = field(default_factory=set)  # trading or halted by what came since the last gap

    def remember(self, halted: Iterable[HaltChanged]) -> None:
        """Take what the ledger has as halted: a resume may have come since."""
        self._halted |= {fact.symbol: fact.market_at for fact in halted}

    def on_gap(self) -> None:
        """Know that something may have been said that nobody heard."""
        self._heard.clear()

    def keep(self, symbols: Collection[str]) -> None:
        """Know that nothing is told of other symbols any more."""
        self._heard.intersection_update(symbols)

    def is_halted(self, symbol: str) -> bool | None:
        """Tell whether the market halted trading in the symbol; None where it may have, unheard."""
        if symbol in self._halted:
            return True
        return False if symbol in self._heard else None

    def is_heard(self, symbol: str) -> bool:
        """Tell whether a quote or trade of the symbol tells nothing new."""
        return symbol in self._heard

    def see_status(self, message: Message, now: datetime) -> None:
        """Take the market's word."""
        symbol = message["S"]
        was_halted = symbol in self._halted
        is_halted = lines.halted_after(message, was_halted=was_halted)
        if is_halted or message["sc"] in lines.RESUMES:  # other codes are news of a symbol, whatever it does
            self._heard.add(symbol)
        if is_halted != was_halted:
            self._changed(symbol, is_halted=is_halted, why=message.get("rc") or message["sc"], of=message, now=now)

    def see(self, kind: str, message: Message, now: datetime) -> None:
        """Take a quote or trade of a symbol that nothing was heard of since the last gap."""
        symbol, conditions = message["S"], frozenset(message.get("c") or ())
        if kind == "q":
            is_quoted = bool(message["bp"] and message["ap"]) and not conditions & STANDS_STILL
            if is_quoted and symbol not in self._halted:
                self._heard.add(symbol)
            return
        if conditions & OF_ANOTHER_TIME:
            return
        if symbol in self._halted:
            since = self._halted[symbol]
            if since is not None and to_datetime(lines.stamp_ns(message["t"])) <= since:
                return
            self._changed(symbol, is_halted=False, why=TRADES_AGAIN, of=message, now=now)
        self._heard.add(symbol)

    def _changed(self, symbol: str, *, is_halted: bool, why: str, of: Message, now: datetime) -> None:
        stamp = to_datetime(lines.stamp_ns(of["t"]))
        if is_halted:
            self._halted[symbol] = stamp
        else:
            del self._halted[symbol]
        self.on_change(HaltChanged(symbol=Symbol(symbol), is_halted=is_halted, why=why, market_at=stamp, at=now))
