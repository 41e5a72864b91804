"""What a backtest came to: orders, fills, round trips, the equity curve, and figures that are made of them.

Rule 1: every figure is exact: Decimals from fills and marks, rounded once, at the end.
Rule 2: nothing in it tells one run of the same backtest from another: no clock of the machine, no id that is drawn.
        An order's name is its number.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.money import NO_CASH, ZERO, Cash, Price, Qty, notional
from deskd.domain.order import Order, OrderStatus

SESSIONS_A_YEAR = 252  # by which daily figures are brought to a year
DAYS_MIN = 3  # of returns, under which a Sharpe ratio says nothing
_NEW_YORK = ZoneInfo("America/New_York")
_PLACES = Decimal("0.000001")  # of ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One order that the gate let pass, as it stood at the end."""

    order: int  # its number
    at: datetime  # when it was asked for, in the market's time
    symbol: str  # what
    side: str  # buy or sell
    order_type: str  # market, limit, ...
    time_in_force: str  # how long it lives
    qty: Qty | None  # shares; none where dollars are given
    notional: Cash | None  # dollars, where they are given
    limit_price: Price | None  # its limit
    stop_price: Price | None  # its trigger
    status: str  # as it stood at the end
    filled_qty: Qty  # shares of it that were executed
    avg_fill_price: Price | None  # at this price
    reason: str  # the strategy's own words
    message: str  # of whoever ended it badly


@dataclass(frozen=True, slots=True, kw_only=True)
class FillLine:
    """One execution."""

    order: int  # the order's number
    at: datetime  # when, in the market's time
    symbol: str  # what
    side: str  # buy or sell
    qty: Qty  # shares
    price: Price  # each
    notional: Cash  # in dollars
    position_qty: Qty  # held after it, signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """From flat to flat in one symbol, or to the other side of flat."""

    symbol: str  # what
    side: str  # long, or short
    qty: Qty  # at its largest
    opened_at: datetime  # when it began
    closed_at: datetime | None  # none: it is still open
    entry_price: Price  # the average of what was opened
    exit_price: Price | None  # the average of what was closed
    pnl: Cash  # realized


@dataclass(frozen=True, slots=True, kw_only=True)
class DenialLine:
    """How often the gate said no for one reason, and what it said the last time."""

    reason: str  # a stable word
    count: int  # how often
    last_at: datetime  # the last time
    last_message: str  # what the gate said then


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What the strategy was worth at one minute of the market."""

    at: datetime  # a minute of the market's time
    equity: Cash  # cash and what is held at mark
    cash: Cash  # in dollars
    exposure: Cash  # value of what is held, long and short


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The figures. Ratios are shares (0.1 is ten percent); None where there is too little to tell."""

    total_return: Decimal  # P&L over the allocation
    pnl: Cash  # realized or not
    max_drawdown: Decimal  # the deepest fall from a peak, as a share of it
    sharpe: Decimal | None  # of daily returns, a year; none: too few days
    trips: int  # closed round trips
    hit_rate: Decimal | None  # the share of them that won
    turnover: Decimal  # value of all executions over the mean equity
    exposure: Decimal  # the share of minutes in which anything was held
    orders: int  # that the gate let pass
    fills: int  # executions
    denied: int  # orders that the gate did not let pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """All of it."""

    strategy_id: StrategyId  # the folder's name
    name: str  # as config.json says
    version: str  # as config.json says
    code_hash: str  # of every file of the folder
    tape: tuple[str, ...]  # as it was named
    is_synthetic: bool  # an invented market
    seed: int  # of partial fills, and of an invented market
    fills_model: str  # paper or immediate
    days: tuple[str, ...]  # that were played
    began_at: datetime  # the market's time, as all times here
    ended_at: datetime  # how far it went
    allocation: Cash  # what there was to trade with
    is_whole: bool  # the tape was played to its end
    exit_reason: str  # how the run ended, in a word
    exit_detail: str  # and in a sentence
    lines: int  # that it read
    refused: dict[str, int]  # requests of which no order came to be, by reason
    rejected: dict[str, int]  # orders that the exchange refused, by reason
    metrics: Metrics  # the figures
    orders: tuple[OrderLine, ...]  # every one that the gate let pass
    fills: tuple[FillLine, ...]  # every one
    trips: tuple[Trip, ...]  # every round trip
    denials: tuple[DenialLine, ...]  # by reason
    curve: tuple[Point, ...]  # the equity, minute by minute


@dataclass(slots=True)
class Recorder:
    """Listens to the desk's facts (a ports.OnFact), and looks at the equity when it is told to."""

    desk: Desk
    strategy_id: StrategyId
    numbers: dict[ClientOrderId, int] = field(default_factory=dict)
    fills: list[FillLine] = field(default_factory=list)
    denials: dict[str, DenialLine] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    curve: list[Point] = field(default_factory=list)

    def __call__(self, fact: ev.Fact) -> None:
        """Take the next fact, which the desk has taken already."""
        match fact:
            case ev.OrderApproved(request=request) | ev.OrderAdopted(request=request):
                self._number(request.client_order_id)
            case ev.OrderAccepted(legs=legs) | ev.LegsFound(legs=legs):
                for leg in legs:
                    self._number(leg.client_order_id)
            case ev.OrderDenied(reason=reason):
                before = self.denials.get(reason)
                count = 1 if before is None else before.count + 1
                self.denials[reason] = DenialLine(
                    reason=reason, count=count, last_at=fact.at, last_message=fact.message
                )
            case ev.OrderRejected(reason=reason):
                self.rejected[reason] += 1
            case ev.OrderFilled():
                self._fill(fact)
            case _:
                pass

    def sample(self, at: datetime) -> None:
        """Note what the strategy is worth now; a point like the one before it is none, but for the last."""
        book = self.desk.portfolio.books.get(self.strategy_id)
        if book is None:
            return
        worth = book.worth()
        self.curve.append(Point(at=at, equity=worth.equity, cash=book.cash, exposure=Cash(worth.longs + worth.shorts)))

    def order_lines(self) -> tuple[OrderLine, ...]:
        """Return every order that was let pass, in order."""
        return tuple(self._line(number, self.desk.orders[oid]) for oid, number in self.numbers.items())

    def metrics(self, allocation: Cash) -> Metrics:
        """Return the figures."""
        closed = [trip for trip in trips_of(self.fills) if trip.closed_at is not None]
        equities = [point.equity for point in self.curve]
        last = equities[-1] if equities else allocation
        won = sum(trip.pnl > 0 for trip in closed)
        return Metrics(
            total_return=_ratio(last - allocation, allocation) or ZERO,
            pnl=Cash(last - allocation),
            max_drawdown=max_drawdown([allocation, *equities]),
            sharpe=sharpe(daily_returns(self.curve, allocation)),
            trips=len(closed),
            hit_rate=_ratio(Decimal(won), Decimal(len(closed))),
            turnover=turnover(self.fills, self.curve),
            exposure=_ratio(Decimal(sum(p.exposure > 0 for p in self.curve)), Decimal(len(self.curve))) or ZERO,
            orders=len(self.numbers),
            fills=len(self.fills),
            denied=sum(line.count for line in self.denials.values()),
        )

    def _number(self, oid: ClientOrderId) -> None:
        self.numbers.setdefault(oid, len(self.numbers) + 1)

    def _fill(self, fact: ev.OrderFilled) -> None:
        request = self.desk.orders[fact.client_order_id].request
        self.fills.append(
            FillLine(
                order=self.numbers[fact.client_order_id],
                at=fact.filled_at,
                symbol=request.symbol,
                side=request.side.value,
                qty=fact.qty,
                price=fact.price,
                notional=notional(fact.qty, fact.price),
                position_qty=Qty(ZERO) if fact.position_qty is None else fact.position_qty,
            )
        )

    @staticmethod
    def _line(number: int, order: Order) -> OrderLine:
        r = order.request
        ended_badly = order.status in {OrderStatus.REJECTED, OrderStatus.DENIED}
        return OrderLine(
            order=number,
            at=order.requested_at,
            symbol=r.symbol,
            side=r.side.value,
            order_type=r.order_type.value,
            time_in_force=r.time_in_force.value,
            qty=order.qty,
            notional=r.notional,
            limit_price=r.limit_price,
            stop_price=r.stop_price,
            status=order.status.value,
            filled_qty=order.filled_qty,
            avg_fill_price=None if order.avg_fill_price is None else Price(_rounded(order.avg_fill_price)),
            reason=r.reason or "",
            message=(order.message or "") if ended_badly else "",
        )


# --- figures ------------------------------------------------------------------------------------------------------------


def trips_of(fills: list[FillLine]) -> tuple[Trip, ...]:
    """Return the round trips of each symbol, by when they began: what is open is averaged, as the books do it."""
    open_in: dict[str, _Open] = {}
    found: list[Trip] = []
    for fill in fills:
        signed = fill.qty if fill.side == "buy" else -fill.qty
        held = open_in.get(fill.symbol)
        if held is not None and held.qty * signed < 0:
            closing = min(abs(signed), abs(held.qty))
            held.close(closing, fill.price)
            signed += closing if signed < 0 else -closing
            if not held.qty:
                found.append(held.trip(fill.at))
                del open_in[fill.symbol]
                held = None
        if signed:
            if held is None:
                held = open_in[fill.symbol] = _Open(fill.symbol, fill.at, signed > 0)
            held.open(Decimal(signed), fill.price)
    found += [held.trip(None) for held in open_in.values()]
    return tuple(sorted(found, key=lambda trip: (trip.opened_at, trip.symbol)))


@dataclass(slots=True)
class _Open:
    """A round trip that is under way."""

    symbol: str
    opened_at: datetime
    is_long: bool
    qty: Decimal = ZERO  # signed
    largest: Decimal = ZERO
    opened: Decimal = ZERO
    paid: Decimal = ZERO
    closed: Decimal = ZERO
    got: Decimal = ZERO

    def open(self, signed: Decimal, price: Price) -> None:
        self.qty += signed
        self.opened += abs(signed)
        self.paid += abs(signed) * price
        self.largest = max(self.largest, abs(self.qty))

    def close(self, qty: Decimal, price: Price) -> None:
        self.qty += -qty if self.qty > 0 else qty
        self.closed += qty
        self.got += qty * price

    def trip(self, closed_at: datetime | None) -> Trip:
        entry = self.paid / self.opened
        gain = self.got - entry * self.closed
        return Trip(
            symbol=self.symbol,
            side="long" if self.is_long else "short",
            qty=Qty(self.largest),
            opened_at=self.opened_at,
            closed_at=closed_at,
            entry_price=Price(_rounded(entry)),
            exit_price=Price(_rounded(self.got / self.closed)) if self.closed else None,
            pnl=Cash(_rounded(gain if self.is_long else -gain)),
        )


def max_drawdown(equities: list[Cash]) -> Decimal:
    """Return the deepest fall from a peak, as a share of that peak (Magdon-Ismail & Atiya 2004)."""
    peak, deepest = NO_CASH, ZERO
    for equity in equities:
        peak = max(peak, equity)
        if peak > 0:
            deepest = max(deepest, (peak - equity) / peak)
    return _rounded(deepest)


def daily_returns(curve: list[Point], allocation: Cash) -> list[Decimal]:
    """Return each day's change of the equity, as a share of what it was at the end of the day before."""
    closes: dict[object, Cash] = {point.at.astimezone(_NEW_YORK).date(): point.equity for point in curve}
    before, found = allocation, list[Decimal]()
    for equity in closes.values():
        if before > 0:
            found.append((equity - before) / before)
        before = equity
    return found


def sharpe(returns: list[Decimal]) -> Decimal | None:
    """Return mean over standard deviation of daily returns, brought to a year (Sharpe 1994; the risk-free rate is 0)."""
    if len(returns) < DAYS_MIN:
        return None
    mean = sum(returns, ZERO) / len(returns)
    variance = sum(((one - mean) ** 2 for one in returns), ZERO) / (len(returns) - 1)
    return None if not variance else _rounded(mean / variance.sqrt() * Decimal(SESSIONS_A_YEAR).sqrt())


def turnover(fills: list[FillLine], curve: list[Point]) -> Decimal:
    """Return the value of all executions over the mean equity."""
    traded = sum((fill.notional for fill in fills), ZERO)
    mean = sum((point.equity for point in curve), ZERO) / len(curve) if curve else ZERO
    return _ratio(traded, mean) or ZERO


def _ratio(part: Decimal, whole: Decimal) -> Decimal | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(_PLACES, ROUND_HALF_EVEN)
