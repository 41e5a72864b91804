"""The exchange's state as rows: what a store keeps, and what `restore` makes an exchange of again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from deskd.domain.money import NO_CASH, Cash, Price, Qty
from deskd.exchange.account import Activity, Configurations, EquityPoint
from deskd.exchange.generator import Generator
from deskd.exchange.order import ExchangeOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One open position. Everything else that is told of a position is derived."""

    symbol: str
    qty: Qty  # signed, never zero
    avg_entry_price: Price  # changes only when the position grows
    lastday_price: Price  # the close before today
    intraday_basis: Cash  # signed: the overnight part at lastday_price, today's part at what was paid
    mark_price: Price  # the last price known when this was stored


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """The account itself. One row."""

    id: str
    account_number: str
    created_at: datetime
    cash: Cash
    last_equity: Cash
    last_maintenance_margin: Cash
    balance_asof: date
    configurations: Configurations
    random_state: int  # 64 bits, unsigned: of partial fills
    id_state: int  # 64 bits, unsigned: of ids
    sequence: int
    day: date | None = None  # the session we are in, or the last one
    last_close: EquityPoint | None = None  # what the account was worth when a session last ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What must be on disk before any answer or event leaves. Rows are whole: insert, or replace by key."""

    orders: Sequence[ExchangeOrder] = ()  # key: id; snapshots
    holdings: Mapping[str, Holding | None] = field(default_factory=dict)  # key: symbol; None: flat, delete the row
    activities: Sequence[Activity] = ()  # key: id; only ever added
    equity_points: Sequence[EquityPoint] = ()  # key: day
    account: AccountState | None = None


def new_account(cash: Cash, *, seed: int, id_seed: int, now: datetime) -> AccountState:
    """Return the row of an account that has done nothing yet."""
    ids = Generator(id_seed)
    return AccountState(
        id=ids.uuid(),
        account_number=f"PA3{ids.uuid()[:8].upper()}",
        created_at=now,
        cash=cash,
        last_equity=cash,
        last_maintenance_margin=NO_CASH,
        balance_asof=now.date(),
        configurations=Configurations(),
        random_state=Generator(seed).state,
        id_state=ids.state,
        sequence=0,
    )
