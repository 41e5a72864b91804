"""The latest prices. Raw as they came, a Decimal only when somebody asks: most symbols have no order."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from deskd.domain.money import Price
from deskd.domain.order import Side

type Raw = float | Decimal

_INFINITE = float("inf")
_HALF = Decimal("0.5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nbbo:
    """A two-sided, uncrossed national best bid and offer: the only kind that fills anything."""

    bid: Price
    ask: Price

    @property
    def midpoint(self) -> Price:
        """Return the middle of bid and ask."""
        return Price((self.bid + self.ask) * _HALF)

    def far(self, side: Side) -> Price:
        """Return the price at which an order of *side* trades at once."""
        return self.ask if side is Side.BUY else self.bid

    def near(self, side: Side) -> Price:
        """Return the price of *side*'s own queue."""
        return self.bid if side is Side.BUY else self.ask


class Prices:
    """Last trade and quote of every symbol, and the closes of the day before."""

    __slots__ = ("closes", "quotes", "trades")

    def __init__(self) -> None:
        self.quotes: dict[str, tuple[Raw, Raw, datetime]] = {}
        self.trades: dict[str, Raw] = {}
        self.closes: dict[str, Raw] = {}

    def nbbo(self, symbol: str, since: datetime) -> Nbbo | None:
        """Return the quote, if it came at or after *since*, has both sides and does not cross."""
        raw = self.quotes.get(symbol)
        if raw is None:
            return None
        bid, ask, at = raw
        if not 0 < bid <= ask < _INFINITE or at < since:
            return None
        return Nbbo(bid=to_price(bid), ask=to_price(ask))

    def last(self, symbol: str) -> Price | None:
        """Return the last trade's price; without one, the middle of the last good quote."""
        raw = self.trades.get(symbol)
        if raw is not None:
            return to_price(raw)
        quote = self.quotes.get(symbol)
        if quote is None:
            return None
        nbbo = self.nbbo(symbol, quote[2])
        return None if nbbo is None else nbbo.midpoint

    def close(self, symbol: str) -> Price | None:
        """Return the last price of the latest session that ended while we watched."""
        raw = self.closes.get(symbol)
        return None if raw is None else to_price(raw)


def is_price(raw: Raw) -> bool:
    """Tell whether market data's number is a price at all."""
    return 0 < raw < _INFINITE


def to_price(raw: Raw) -> Price:
    """Return market data's number as the Decimal that its text means."""
    return Price(Decimal(str(raw)))
