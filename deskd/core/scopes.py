"""What strategy, member and desk have come to, for the gate: sums over strategies, of what is bounded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from deskd.core.checks import Figures, Scoped
from deskd.core.portfolio import Portfolio
from deskd.core.records import Records
from deskd.core.reservation import NOTHING, Reservation, Reservations
from deskd.domain.ids import StrategyId, Symbol, UserId
from deskd.domain.limits import UNBOUNDED, Bounds, Limits, Scope
from deskd.domain.market import Quote, TradingDay
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Qty
from deskd.domain.order import Side

DAY_TRADE_DAYS = 5
_NO_SYMBOL = Symbol("")
_SAID = {scope: f" scope={scope}" for scope in (Scope.MEMBER, Scope.DESK)}


class Books(Protocol):
    """What of the desk is looked at here."""

    portfolio: Portfolio
    reservations: Reservations
    records: Records

    calendar: Mapping[date, TradingDay]

    def orders_today(self, who: StrategyId, day: date, quote: Quote | None) -> int:
        """Return how many orders the strategy had approved this market day."""

    def fellows(self, who: StrategyId) -> Sequence[StrategyId]:
        """Return the strategies of the same member, this one among them, those of other names among them."""

    def member_of(self, who: StrategyId) -> UserId:
        """Return whose strategy it is."""

    def members_strategies(self) -> Sequence[StrategyId]:
        """Return the strategies of all members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When and for what it is asked."""

    day: date
    quote: Quote | None
    now: datetime
    freed: Reservation = NOTHING  # of the order that is to be replaced: it counts as free, and as gone
    is_replaced: bool = False
    side: Side = Side.BUY
    symbol: Symbol = _NO_SYMBOL
    who: StrategyId | None = None  # whose order it is: of a position the others' part is summed


def scopes_of(desk: Books, who: StrategyId, limits: Limits, moment: Moment) -> tuple[Scoped, ...]:
    """Return the strategy, and its member and the desk where they are bounded, each with what it has come to."""
    own = Scoped("", limits, _own(desk, who, moment))
    if limits.member is UNBOUNDED and limits.desk is UNBOUNDED:
        return (own,)
    wider = [own]
    if (bounds := limits.member) is not UNBOUNDED:
        peak = desk.records.peaks.get(desk.member_of(who), NO_CASH)
        wider.append(Scoped(_SAID[Scope.MEMBER], bounds, _sums(desk, desk.fellows(who), bounds, moment, peak)))
    if (bounds := limits.desk) is not UNBOUNDED:
        owned = desk.members_strategies()
        wider.append(Scoped(_SAID[Scope.DESK], bounds, _sums(desk, owned, bounds, moment, desk.records.peak)))
    return tuple(wider)


def _own(desk: Books, who: StrategyId, moment: Moment) -> Figures:
    held, records, book = desk.reservations, desk.records, desk.portfolio.books.get(who)
    record = records.by_strategy.get(who)
    equity, longs, shorts = (NO_CASH, NO_CASH, NO_CASH) if book is None else book.worth()
    buying, selling = held.pending(who, Side.BUY), held.pending(who, Side.SELL)
    if moment.freed.cash:
        if moment.side is Side.BUY:
            buying = Cash(buying - moment.freed.cash)
        else:
            selling = Cash(selling - moment.freed.cash)
    return Figures(
        open_orders=held.count(who) - moment.is_replaced,
        orders_today=desk.orders_today(who, moment.day, moment.quote),
        orders_this_minute=records.orders_this_minute(who, moment.now),
        allocation=NO_CASH if book is None else book.allocation,
        equity=equity,
        day_pnl=NO_CASH if record is None else Cash(equity - record.day_start + record.carried),
        peak_equity=NO_CASH if record is None else record.peak,
        longs=longs,
        shorts=shorts,
        buying=buying,
        selling=selling,
    )


def _sums(desk: Books, owned: Sequence[StrategyId], bounds: Bounds, moment: Moment, peak: Cash) -> Figures:
    """Return the sums that something bounds; the others stay zero: nobody looks at them."""
    held, records = desk.reservations, desk.records
    books = [book for one in owned if (book := desk.portfolio.books.get(one)) is not None]
    has_exposure = bounds.gross_exposure_max is not None or bounds.net_exposure_max is not None
    has_drawdown, has_loss = bounds.drawdown_max is not None, bounds.daily_loss_max is not None
    has_share = bounds.position_share_max is not None
    has_position = has_share or bounds.position_qty_max is not None or bounds.position_notional_max is not None
    worths = [book.worth() for book in books] if has_exposure or has_drawdown or has_loss or has_share else []
    equity = sum((worth.equity for worth in worths), ZERO)
    begun = ZERO
    if has_loss:
        begun = sum((records.by_strategy[one].day_start for one in owned if one in records.by_strategy), ZERO)
    buying = selling = ZERO
    if has_exposure:
        buying = sum((held.pending(one, Side.BUY) for one in owned), ZERO)
        selling = sum((held.pending(one, Side.SELL) for one in owned), ZERO)
        if moment.side is Side.BUY:
            buying -= moment.freed.cash
        else:
            selling -= moment.freed.cash
    return Figures(
        open_orders=sum(map(held.count, owned)) - moment.is_replaced if bounds.open_orders_max is not None else 0,
        orders_today=sum(desk.orders_today(one, moment.day, moment.quote) for one in owned)
        if bounds.orders_per_day_max is not None
        else 0,
        orders_this_minute=sum(records.orders_this_minute(one, moment.now) for one in owned)
        if bounds.orders_per_minute_max is not None
        else 0,
        allocation=Cash(sum((book.allocation for book in books), ZERO)) if has_exposure else NO_CASH,
        equity=Cash(equity),
        day_pnl=Cash(equity - begun),
        peak_equity=peak,
        longs=Cash(sum((worth.longs for worth in worths), ZERO)) if has_exposure else NO_CASH,
        shorts=Cash(sum((worth.shorts for worth in worths), ZERO)) if has_exposure else NO_CASH,
        buying=Cash(buying),
        selling=Cash(selling),
        others_qty=_held(desk, owned, moment) if has_position else NO_QTY,
    )


def _held(desk: Books, owned: Sequence[StrategyId], moment: Moment) -> Qty:
    """Return what they hold and may get of the symbol on the order's side: long for a buy, short for a sale.

    What one is short does not make up for what another is long: each may close at any time.
    """
    symbol, side = moment.symbol, moment.side
    sums = (
        side.sign * desk.portfolio.qty(one, symbol) + desk.reservations.opening(one, symbol, side)
        for one in owned
        if one != moment.who
    )
    return Qty(sum((qty for qty in sums if qty > 0), ZERO))


def day_trades(desk: Books, day: date) -> int:
    """Return how many day trades the account made in the last five trading days, *day* among them."""
    if not desk.records.day_trades:
        return 0
    trading = sorted(one for one in desk.calendar if one <= day)[-DAY_TRADE_DAYS:]
    return desk.records.day_trades_since(trading[0] if trading else day)
