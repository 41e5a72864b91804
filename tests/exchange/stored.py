"""A store in memory: it keeps an exchange's changes by their keys, as the venue's does on disk."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from deskd.exchange.account import Activity, EquityPoint
from deskd.exchange.exchange import Exchange
from deskd.exchange.order import ExchangeOrder
from deskd.exchange.state import AccountState, Holding


@dataclass(slots=True)
class Store:
    orders: dict[str, ExchangeOrder] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    activities: dict[str, Activity] = field(default_factory=dict)
    equity_points: dict[date, EquityPoint] = field(default_factory=dict)
    account: AccountState | None = None

    def take(self, exchange: Exchange) -> None:
        changes = exchange.take_changes()
        self.orders |= {o.id: o for o in changes.orders}
        for symbol, holding in changes.holdings.items():
            if holding is None:
                self.holdings.pop(symbol, None)
            else:
                self.holdings[symbol] = holding
        assert not self.activities.keys() & {a.id for a in changes.activities}, "activities are only ever added"
        self.activities |= {a.id: a for a in changes.activities}
        self.equity_points |= {p.day: p for p in changes.equity_points}
        self.account = changes.account or self.account

    def rows(self) -> dict[str, Any]:
        assert self.account is not None
        return {
            "account": self.account,
            "orders": [o.snapshot() for o in self.orders.values()],
            "holdings": list(self.holdings.values()),
            "activities": list(self.activities.values()),
            "equity_points": list(self.equity_points.values()),
        }

    @staticmethod
    def picture(exchange: Exchange) -> dict[str, object]:
        """Return all that an exchange would store, and what it reserves."""
        everything = {"status": "all", "limit": 10**9, "is_descending": False}
        return {
            "orders": exchange.orders(**everything),  # type: ignore[arg-type]
            "open": exchange.orders(limit=10**9),
            "activities": exchange.activities(page_size=10**9),
            "points": exchange.equity_points(),
            "cash": exchange.account().cash,
            "reserved": exchange._portfolio.reserved,
            "shares": {s: (h.qty, h.avg_entry_price) for s, h in exchange._portfolio.holdings.items()},
            "configurations": exchange.configurations,
            "draws": (exchange._random.state, exchange._books.ids.state, exchange._books.sequence),
        }
