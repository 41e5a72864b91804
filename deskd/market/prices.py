"""The latest prices of each symbol, kept as the market sent them and made exact when somebody asks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from deskd.domain.errors import WireError
from deskd.domain.ids import Symbol
from deskd.domain.market import Quote
from deskd.domain.money import Price
from deskd.wire.lines import parse_price, parse_quote

type Message = dict[str, Any]


class Prices:
    """Latest quote, trade and bar by symbol. Unknown or nonsense is None, never a guess."""

    def __init__(self) -> None:
        self._quotes: dict[str, tuple[Message, datetime]] = {}
        self._trades: dict[str, Message] = {}
        self._bars: dict[str, Message] = {}

    def see_quote(self, message: Message, received_at: datetime) -> None:
        """Keep the quote as the newest of its symbol."""
        self._quotes[message["S"]] = (message, received_at)

    def see_trade(self, message: Message) -> None:
        """Keep the trade as the newest of its symbol."""
        self._trades[message["S"]] = message

    def see_bar(self, message: Message) -> None:
        """Keep the bar as the newest of its symbol."""
        self._bars[message["S"]] = message

    def quote(self, symbol: Symbol) -> Quote | None:
        """Return the latest quote, however old; its received_at tells the age."""
        seen = self._quotes.get(symbol)
        if seen is None:
            return None
        try:
            return parse_quote(*seen)
        except WireError:
            return None

    def mark(self, symbol: Symbol) -> Price | None:
        """Return what one share is worth: the last trade, held within the quote; else the midpoint; else the last close.

        A trade alone can be minutes old, a midpoint alone lies off where the spread is wide.
        """
        traded = _price(self._trades.get(symbol), "p")
        quote = self.quote(symbol)
        if quote is not None and quote.is_two_sided:
            return quote.midpoint if traded is None else min(max(traded, quote.bid_price), quote.ask_price)
        return traded or _price(self._bars.get(symbol), "c")

    def marks(self) -> Mapping[Symbol, Price]:
        """Return the mark of every symbol that has one."""
        symbols = self._quotes.keys() | self._trades.keys() | self._bars.keys()
        marks = {Symbol(symbol): self.mark(Symbol(symbol)) for symbol in symbols}
        return {symbol: mark for symbol, mark in marks.items() if mark is not None}


def _price(message: Message | None, key: str) -> Price | None:
    """Return the message's price, or None where there is none above zero."""
    if message is None:
        return None
    try:
        return parse_price(message, key) or None
    except (WireError, KeyError):
        return None
