"""Invariant 4, from outside: members' books are the fold of their own fills; with the house they are the account."""

import asyncio
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from deskd.core.desk import Desk
from deskd.domain.ids import HOUSE
from tests.hang import HANG_S
from tests.whole.books import replayed


def members_of(state_dir: Path) -> dict[str, dict[str, str]]:
    """Return what each member holds by its fills alone; assert that its book says the same, splits left out."""
    desk = replayed(state_dir / "desk.db")
    folded: dict[str, dict[str, Decimal]] = {}
    with closing(sqlite3.connect(state_dir / "desk.db")) as db:
        for who, symbol, side, qty in db.execute("SELECT strategy_id, symbol, side, qty FROM fills"):
            held = folded.setdefault(who, {})
            held[symbol] = held.get(symbol, Decimal(0)) + (1 if side == "buy" else -1) * Decimal(qty)
    for who, held in folded.items():
        book = next(b for b in desk.portfolio.books.values() if b.strategy_id == who)
        assert {s: p.qty for s, p in book.positions.items() if p.qty} == {s: q for s, q in held.items() if q}
    return {who: {s: str(q) for s, q in held.items()} for who, held in folded.items()}


def the_exchanges_account(path: Path) -> tuple[Decimal, dict[str, Decimal]]:
    """Return cash and positions as the exchange has them on disk."""
    with closing(sqlite3.connect(path)) as db:
        cash = Decimal(db.execute("SELECT cash FROM account").fetchone()[0])
        held = {symbol: Decimal(qty) for symbol, qty in db.execute("SELECT symbol, qty FROM holdings")}
    return cash, {s: q for s, q in held.items() if q}


def add_up(state_dir: Path) -> Desk:
    """Assert that all books together are the exchange's account, to the share and the cent; return the desk."""
    desk = replayed(state_dir / "desk.db")
    cash, holdings = the_exchanges_account(state_dir / "exchange.db")
    assert {str(s): q for s, q in desk.portfolio.holdings().items()} == holdings
    assert abs(desk.portfolio.cash() - cash) < Decimal("0.01")
    assert HOUSE in desk.portfolio.books
    return desk


async def soon_add_up(state_dir: Path) -> Desk:
    """Wait until they do: what happened last may be on its way."""
    async with asyncio.timeout(HANG_S):
        while True:
            try:
                return add_up(state_dir)
            except AssertionError:
                await asyncio.sleep(0.2)
