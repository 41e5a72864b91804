"""Facts of the shared account: what it was compared with, what differed, what the house took."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from deskd.domain.activity import HouseCause
from deskd.domain.ids import ActivityId, BrokerOrderId, ClientOrderId, FillId, Symbol
from deskd.domain.money import Cash, Price, Qty


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseAdjusted:
    """The house book took what nobody's fills explain: cash, or shares of *symbol*. Never a member's."""

    cash: Cash
    symbol: Symbol | None
    qty: Qty
    price: Price | None
    why: str
    at: datetime
    cause: HouseCause | None = None  # None: an entry from before causes had names
    activity_id: ActivityId | None = None
    broker_order_id: BrokerOrderId | None = None
    client_order_id: ClientOrderId | None = None  # of a bust, a correction or a surplus: whose fill it was
    stamp: datetime | None = None  # the broker's, of the line of its history
    fill_id: FillId | None = None  # of a surplus: the execution that it is part of, or all of


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscrepancyFound:
    """The desk and the broker disagree, or the broker said what the order table forbids."""

    subject: str  # an order's id, a symbol, or `cash`
    expected: str
    actual: str
    action: str  # house: it took what differs; distribute: an officer is to say what becomes of members' shares
    at: datetime
    more: Decimal | None = None  # what the house took; such a discrepancy is open until it is resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscrepancyResolved:
    """What differed is settled: an officer says so, or the broker's account came back by itself."""

    subject: str
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolFrozen:
    """New orders in the symbol are denied until somebody has looked; cancels pass."""

    symbol: Symbol
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolThawed:
    """New orders in the symbol pass again."""

    symbol: Symbol
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesDistributed:
    """An officer had every book's shares multiplied by *ratio*; the house gives, or takes back, what that makes."""

    symbol: Symbol
    ratio: Decimal
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FillCorrected:
    """The broker busted or corrected a fill: its count of the order changed. The member's fill stays booked."""

    client_order_id: ClientOrderId
    word: str  # trade_bust, trade_correct
    qty: Qty  # zero or negative
    notional: Cash
    corrected_at: datetime  # the broker's stamp
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReconciled:
    """The ledger was compared with the broker. *differences* wait for a second look before the house takes them."""

    cash: Cash
    differences: tuple[tuple[str, str], ...]  # (`cash` or a symbol, what the broker has more than the books)
    fill_count: int  # how many fills the ledger had then: a difference counts only if none came in between
    why: str
    at: datetime
    since: datetime | None = None  # since when these very differences are seen; entries of today have `suspected`
    suspected: tuple[tuple[str, str, datetime], ...] = ()  # subject, figure, since when it is seen so
    activities_until: datetime | None = None  # the broker's time up to which its history was read; None: it was not
    seen: tuple[tuple[ActivityId, datetime], ...] = ()  # of these lines nothing had to be booked


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsMarked:
    """The prices at which positions were valued."""

    marks: tuple[tuple[Symbol, Price], ...]
    at: datetime
