"""The desk's books against the exchange's own file: the proof that nothing was lost or counted twice."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from deskd.core.desk import Desk
from deskd.domain.ids import HOUSE
from deskd.ledger.codec import decode
from tests.hang import HANG_S


@dataclass(frozen=True)
class Books:
    """What one side says of the shared account."""

    cash: Decimal
    holdings: Mapping[str, Decimal]
    fills: dict[str, tuple[Decimal, Decimal]]  # by order and cumulative quantity: quantity and price


def the_exchanges(path: Path) -> Books:
    """Return what the exchange has on disk."""
    with closing(sqlite3.connect(path)) as db:
        cash = Decimal(db.execute("SELECT cash FROM account").fetchone()[0])
        holdings = {symbol: Decimal(qty) for symbol, qty in db.execute("SELECT symbol, qty FROM holdings")}
        bodies = [json.loads(body) for (body,) in db.execute("SELECT body FROM activities")]
    fills = {
        f"{b['order_id']}:{Decimal(b['cum_qty']).normalize():f}": (Decimal(b["qty"]), Decimal(b["price"]))
        for b in bodies
        if b["activity_type"] == "FILL"
    }
    assert len(fills) == sum(b["activity_type"] == "FILL" for b in bodies)
    return Books(cash, {s: q for s, q in holdings.items() if q}, fills)


def replayed(path: Path, until: int = 2**62) -> Desk:
    """Return the desk that the ledger's facts lead to, all of them or those up to an entry."""
    desk = Desk()
    with closing(sqlite3.connect(path)) as db:
        for kind, body in db.execute("SELECT kind, body FROM facts WHERE seq <= ? ORDER BY seq", (until,)):
            desk.apply(decode(kind, body))
    return desk


def the_desks(path: Path) -> Books:
    """Return what the desk's facts say, after a look that its projections say the same."""
    desk = replayed(path)
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT fill_id, qty, price FROM fills WHERE NOT is_internal").fetchall()
        internal = {fill_id for (fill_id,) in db.execute("SELECT fill_id FROM fills WHERE is_internal")}
        positions = db.execute("SELECT strategy_id, symbol, qty FROM positions").fetchall()
        cash = dict(db.execute("SELECT strategy_id, cash FROM strategies").fetchall())
    fills = {fill_id: (Decimal(qty), Decimal(price)) for fill_id, qty, price in rows}
    assert len(fills) == len(rows)
    assert set(fills) | internal == desk.fill_ids
    for strategy_id, symbol, qty in positions:
        assert desk.portfolio.books[strategy_id].qty(symbol) == Decimal(qty)
    for strategy_id, money in cash.items():
        assert desk.portfolio.books[strategy_id].cash == Decimal(money)
    return Books(desk.portfolio.cash(), {str(s): q for s, q in desk.portfolio.holdings().items()}, fills)


def agree(state_dir: Path) -> Books:
    """Assert that ledger and exchange agree to the cent, the share and the fill; return the books."""
    theirs, ours = the_exchanges(state_dir / "exchange.db"), the_desks(state_dir / "desk.db")
    assert ours.fills == theirs.fills
    assert ours.holdings == theirs.holdings
    assert abs(ours.cash - theirs.cash) < Decimal("0.01")
    desk = replayed(state_dir / "desk.db")
    assert desk.portfolio.books[HOUSE].positions == {}, "nothing was left to the house"
    return ours


async def played_until(state_dir: Path, time: str) -> None:
    """Return when the exchange's market has come to *time*."""
    async with asyncio.timeout(HANG_S):
        while True:
            with closing(sqlite3.connect(state_dir / "exchange.db")) as db:
                row = db.execute("SELECT time FROM market").fetchone()
            if row and row[0] >= time:
                return
            await asyncio.sleep(0.2)


async def soon_agree(state_dir: Path) -> Books:
    """Wait until the two agree: the last fills may be on their way."""
    async with asyncio.timeout(HANG_S):
        while True:
            try:
                return agree(state_dir)
            except AssertionError:
                await asyncio.sleep(0.2)


def strategies_that_asked(state_dir: Path) -> set[str]:
    """Return the strategies that have asked for an order, approved or denied."""
    with closing(sqlite3.connect(state_dir / "desk.db")) as db:
        return {row[0] for row in db.execute("SELECT DISTINCT strategy_id FROM orders")}
