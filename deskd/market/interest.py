"""Who wants which symbol: the runs of one wish share their lines, and their union is what the desk subscribes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deskd.domain.ids import Symbol
from deskd.domain.strategy import Channel, StrategySpec
from deskd.market.buffer import Line
from deskd.market.feed import Feed

KIND_OF = {Channel.TRADES: "t", Channel.QUOTES: "q", Channel.BARS: "b", Channel.STATUS: "s"}  # to Alpaca's `T`
SUBSCRIPTION_OF = {Channel.TRADES: "trades", Channel.QUOTES: "quotes", Channel.BARS: "bars", Channel.STATUS: "statuses"}

type Wish = frozenset[tuple[str, Symbol]]  # kinds and symbols


@dataclass(slots=True, eq=False)
class Audience:
    """Runs with one and the same wish: their lines are gathered and joined once for all of them."""

    wish: Wish
    feeds: list[Feed] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)  # gathered since the last flush


@dataclass(slots=True, eq=False)
class Route:
    """Who reads one kind of message of one symbol."""

    key: str | None  # under which its lines are conflated
    audiences: list[Audience] = field(default_factory=list)


class Interest:
    """The audiences, and the routes that lead to them."""

    def __init__(self) -> None:
        self.routes: dict[str, dict[str, Route]] = {kind: {} for kind in KIND_OF.values()}
        self._audiences: dict[Wish, Audience] = {}

    @property
    def audiences(self) -> Iterable[Audience]:
        """Return all audiences; each has a feed."""
        return self._audiences.values()

    def add(self, feed: Feed) -> None:
        """Send to the feed what its strategy wants."""
        wish = frozenset(
            (KIND_OF[channel], symbol)
            for channel in feed.spec.channels
            if channel in KIND_OF
            for symbol in feed.spec.symbols
        )
        audience = self._audiences.get(wish)
        if audience is None:
            audience = self._audiences[wish] = Audience(wish)
            for kind, symbol in wish:
                key = f"{kind}:{symbol}" if kind in {"t", "q"} else None
                self.routes[kind].setdefault(symbol, Route(key)).audiences.append(audience)
        audience.feeds.append(feed)

    def remove(self, feed: Feed) -> None:
        """Send nothing more to the feed, and forget a wish that nobody has any more."""
        audience = next((a for a in self._audiences.values() if feed in a.feeds), None)
        if audience is None:
            return
        audience.feeds.remove(feed)
        if audience.feeds:
            return
        del self._audiences[audience.wish]
        for kind, symbol in audience.wish:
            route = self.routes[kind][symbol]
            route.audiences.remove(audience)
            if not route.audiences:
                del self.routes[kind][symbol]


def wanted(specs: Iterable[StrategySpec]) -> Mapping[str, frozenset[Symbol]]:
    """Return what these strategies need, by Alpaca's channels: their own wish, and for the gate every symbol's quotes and halts."""
    union: dict[str, set[Symbol]] = {name: set() for name in SUBSCRIPTION_OF.values()}
    for spec in specs:
        union["quotes"].update(spec.symbols)
        union["statuses"].update(spec.symbols)
        for channel in spec.channels & SUBSCRIPTION_OF.keys():
            union[SUBSCRIPTION_OF[channel]].update(spec.symbols)
    return {channel: frozenset(symbols) for channel, symbols in union.items()}
