"""What one market day came to, from the ledger's facts alone: exact, since it is the desk's own fold.

Rule 1: a day is what stands in the ledger between the MarketDayBegan of that day and the next one. Of a day that a tape
        began anew, the last time counts. A report says up to which entry it goes, so that it can be made again.
Rule 2: every figure is the desk's: equity, day's P&L and realized P&L are what `deskctl account` showed at that entry.
Rule 3: fees are the account's, and the house bears them; a member's figures hold no share of them.
"""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

from deskd.core.desk import Desk
from deskd.core.house import cause_of
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.errors import LedgerError
from deskd.domain.ids import HOUSE, ClientOrderId, RunId, StrategyId, UserId
from deskd.domain.money import NO_CASH, Cash, Price, Qty, notional
from deskd.domain.run import ExitReason
from deskd.jobs import fold_start
from deskd.ledger.chain import SELECT_AFTER, UNREADABLE, Entry
from deskd.ledger.queries import read_only

_WELL = frozenset({ExitReason.CLEAN, ExitReason.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyDay:
    """One strategy's day."""

    strategy_id: StrategyId
    user_id: UserId
    name: str
    allocation: Cash
    equity: Cash
    cash: Cash
    day_pnl: Cash
    realized_pnl: Cash  # of the day
    unrealized_pnl: Cash  # of what is held at its end
    orders: int
    fills: int
    denied: int
    runs: int
    deaths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """One order that the gate let pass, as it stood at the day's end."""

    client_order_id: str
    strategy_id: StrategyId
    user_id: UserId
    symbol: str
    side: str
    order_type: str
    qty: Qty | None
    notional: Cash | None
    limit_price: Price | None
    stop_price: Price | None
    status: str
    filled_qty: Qty
    avg_fill_price: Price | None
    requested_at: datetime
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRow:
    """One execution."""

    fill_id: str
    client_order_id: str
    strategy_id: StrategyId
    user_id: UserId
    symbol: str
    side: str
    qty: Qty
    price: Price
    notional: Cash
    filled_at: datetime
    is_internal: bool = False  # exchanged with another strategy at the desk


@dataclass(frozen=True, slots=True, kw_only=True)
class DenialRow:
    """How often the gate said no to a strategy for one reason."""

    strategy_id: StrategyId
    user_id: UserId
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One life of a strategy's process, as far as it lies in the day."""

    run_id: RunId
    strategy_id: StrategyId
    user_id: UserId
    started_at: datetime | None  # None: before the day
    ended_at: datetime | None  # None: it goes on
    exit_reason: str
    detail: str
    is_death: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskDay:
    """What is the whole desk's, and no member's."""

    house_equity: Cash
    fees: Cash  # negative: paid
    outages: int
    bars_missing: int  # minutes of which nobody could tell whether they had a bar
    discrepancies: int
    commands: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """A market day, of the desk or of one member."""

    market_day: date
    member: UserId | None  # None: everybody
    first_seq: int  # of the ledger; 0: the desk did not see that day
    last_seq: int
    last_hash: str
    desk: DeskDay | None  # None in a member's
    strategies: tuple[StrategyDay, ...]
    orders: tuple[OrderRow, ...]
    fills: tuple[FillRow, ...]
    denials: tuple[DenialRow, ...]
    runs: tuple[RunRow, ...]

    @property
    def day_pnl(self) -> Cash:
        """Return what all its strategies made."""
        return Cash(sum((one.day_pnl for one in self.strategies), NO_CASH))

    @property
    def equity(self) -> Cash:
        """Return what all its strategies are worth."""
        return Cash(sum((one.equity for one in self.strategies), NO_CASH))

    @property
    def denied(self) -> int:
        """Return how many orders the gate denied."""
        return sum(row.count for row in self.denials)

    @property
    def deaths(self) -> int:
        """Return how many runs did not end well."""
        return sum(row.is_death for row in self.runs)

    def members(self) -> list[UserId]:
        """Return everybody who has a strategy."""
        return sorted({one.user_id for one in self.strategies})

    def of_member(self, member: UserId) -> "DayReport":
        """Return what of it is the member's own."""
        return replace(
            self,
            member=member,
            desk=None,
            strategies=tuple(one for one in self.strategies if one.user_id == member),
            orders=tuple(one for one in self.orders if one.user_id == member),
            fills=tuple(one for one in self.fills if one.user_id == member),
            denials=tuple(one for one in self.denials if one.user_id == member),
            runs=tuple(one for one in self.runs if one.user_id == member),
        )


@dataclass(slots=True)
class _Day:
    """What is gathered while the facts of a day go by."""

    first_seq: int
    realized: dict[StrategyId, Cash]  # when it began
    orders: dict[ClientOrderId, None] = field(default_factory=dict)
    fills: list[FillRow] = field(default_factory=list)
    denials: Counter[tuple[StrategyId, str]] = field(default_factory=Counter)
    runs: dict[RunId, RunRow] = field(default_factory=dict)
    fees: Cash = NO_CASH
    outages: int = 0
    bars_missing: int = 0
    discrepancies: int = 0
    commands: int = 0

    def take(self, fact: ev.Fact, desk: Desk) -> None:
        """Take a fact of the day, which *desk* has applied."""
        match fact:
            case ev.OrderApproved() | ev.OrderAdopted() | ev.OrderReturned():
                self.orders[fact.request.client_order_id] = None
            case ev.OrderDenied():
                self.denials[fact.request.strategy_id, str(fact.reason)] += 1
            case ev.OrderFilled():
                self.fills.append(_fill(fact, desk))
            case ev.RunStarted():
                self.runs[fact.run_id] = RunRow(
                    run_id=fact.run_id,
                    strategy_id=fact.strategy_id,
                    user_id=_owner(desk, fact.strategy_id),
                    started_at=fact.at,
                    ended_at=None,
                    exit_reason="",
                    detail="",
                    is_death=False,
                )
            case ev.RunEnded():
                known = self.runs.get(fact.run_id)
                self.runs[fact.run_id] = RunRow(
                    run_id=fact.run_id,
                    strategy_id=fact.strategy_id,
                    user_id=_owner(desk, fact.strategy_id),
                    started_at=known.started_at if known else None,
                    ended_at=fact.at,
                    exit_reason=fact.end.reason,
                    detail=fact.end.detail,
                    is_death=fact.end.reason not in _WELL,
                )
            case ev.HouseAdjusted() if cause_of(fact) is HouseCause.FEE:
                self.fees = Cash(self.fees + fact.cash)
            case ev.OutageEnded():
                self.outages += 1
                self.bars_missing += fact.bars_missing
            case ev.DiscrepancyFound():
                self.discrepancies += 1
            case ev.CommandGiven():
                self.commands += 1
            case _:
                pass  # no figure of a report


def report(ledger: Path, market_day: date, kept: Path | None = None) -> DayReport:
    """Return what that day came to; blocks, and folds the ledger from what is *kept* on: call it in a process of its own."""
    found, head = None, (0, "")
    try:
        with closing(read_only(ledger)) as db:
            db.execute("BEGIN")
            first = _first_seq(db, market_day)
            if first is None:
                return _made(market_day, None, Desk(), head)
            desk, chain = fold_start.fold_before(db, first, kept)
            head = chain.seq, chain.hash
            for row in db.execute(SELECT_AFTER, (chain.seq,)):
                fact = chain.fact(Entry(*row), ledger)
                if isinstance(fact, ev.MarketDayBegan):
                    if found is not None:
                        break  # another day: as the desk stands, and not one fact further
                    if chain.seq == first:
                        if kept is not None:
                            fold_start.keep(db, kept, desk, *head)
                        found = _Day(first, _realized(desk))
                desk.apply(fact)
                head = chain.seq, chain.hash
                if found is not None:
                    found.take(fact, desk)
    except UNREADABLE as error:
        raise LedgerError(f"{ledger}: the ledger cannot be read ({error})") from error
    return _made(market_day, found, desk, head)


def _first_seq(db: sqlite3.Connection, market_day: date) -> int | None:
    """Return with which entry that day begins; the last of them, where its tape was played again."""
    sql = "SELECT max(seq) FROM facts WHERE kind = 'MarketDayBegan' AND json_extract(body, '$.market_day') = ?"
    (found,) = db.execute(sql, (market_day.isoformat(),)).fetchone()
    return None if found is None else int(found)


def _made(market_day: date, day: _Day | None, desk: Desk, head: tuple[int, str]) -> DayReport:
    if day is None:
        return DayReport(
            market_day=market_day,
            member=None,
            first_seq=0,
            last_seq=0,
            last_hash="",
            desk=None,
            strategies=(),
            orders=(),
            fills=(),
            denials=(),
            runs=(),
        )
    house = desk.account(HOUSE)
    denials = [
        DenialRow(strategy_id=who, user_id=_owner(desk, who), reason=reason, count=count)
        for (who, reason), count in sorted(day.denials.items())
    ]
    return DayReport(
        market_day=market_day,
        member=None,
        first_seq=day.first_seq,
        last_seq=head[0],
        last_hash=head[1],
        desk=DeskDay(
            house_equity=NO_CASH if house is None else house.equity,
            fees=day.fees,
            outages=day.outages,
            bars_missing=day.bars_missing,
            discrepancies=day.discrepancies,
            commands=day.commands,
        ),
        strategies=tuple(_strategy(who, day, desk, denials) for who in sorted(desk.strategies)),
        orders=tuple(_order(desk, oid) for oid in day.orders),
        fills=tuple(day.fills),
        denials=tuple(denials),
        runs=tuple(day.runs.values()),
    )


def _strategy(who: StrategyId, day: _Day, desk: Desk, denials: list[DenialRow]) -> StrategyDay:
    known, account = desk.strategies[who], desk.account(who)
    runs = [run for run in day.runs.values() if run.strategy_id == who]
    realized = NO_CASH if account is None else Cash(account.realized_pnl - day.realized.get(who, NO_CASH))
    return StrategyDay(
        strategy_id=who,
        user_id=known.user_id,
        name=known.name,
        allocation=NO_CASH if account is None else account.allocation,
        equity=NO_CASH if account is None else account.equity,
        cash=NO_CASH if account is None else account.cash,
        day_pnl=NO_CASH if account is None else account.day_pnl,
        realized_pnl=realized,
        unrealized_pnl=NO_CASH if account is None else account.unrealized_pnl,
        orders=sum(desk.orders[oid].request.strategy_id == who for oid in day.orders),
        fills=sum(fill.strategy_id == who for fill in day.fills),
        denied=sum(row.count for row in denials if row.strategy_id == who),
        runs=len(runs),
        deaths=sum(run.is_death for run in runs),
    )


def _order(desk: Desk, oid: ClientOrderId) -> OrderRow:
    order = desk.orders[oid]
    asked = order.request
    return OrderRow(
        client_order_id=oid,
        strategy_id=asked.strategy_id,
        user_id=asked.user_id,
        symbol=asked.symbol,
        side=asked.side,
        order_type=asked.order_type,
        qty=order.qty,
        notional=asked.notional,
        limit_price=asked.limit_price,
        stop_price=asked.stop_price,
        status=order.status,
        filled_qty=order.filled_qty,
        avg_fill_price=order.avg_fill_price,
        requested_at=order.requested_at,
        message=order.message or "",
    )


def _fill(fact: ev.OrderFilled, desk: Desk) -> FillRow:
    order = desk.whole_of(desk.orders[fact.client_order_id])
    asked = order.request
    return FillRow(
        fill_id=fact.fill_id,
        client_order_id=asked.client_order_id,
        strategy_id=asked.strategy_id,
        user_id=asked.user_id,
        symbol=asked.symbol,
        side=asked.side,
        qty=fact.qty,
        price=fact.price,
        notional=notional(fact.qty, fact.price),
        filled_at=fact.filled_at,
        is_internal=fact.internal_with is not None,
    )


def _owner(desk: Desk, who: StrategyId) -> UserId:
    known = desk.strategies.get(who)
    return UserId("") if known is None else known.user_id


def _realized(desk: Desk) -> dict[StrategyId, Cash]:
    accounts = ((who, desk.account(who)) for who in desk.strategies)
    return {who: account.realized_pnl for who, account in accounts if account is not None}
