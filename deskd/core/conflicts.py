"""The broker's rules between the orders of one account, which all strategies share (ALPACA.md 2.3, ARCHITECTURE 4).

Rule 1: held shares. An order that closes takes no more of the account's position than other closing orders leave.
Rule 2: no order crosses zero. What closes and what opens are two orders, one after the other.
Rule 3: an order that would open a long does not wait beside one that would open a short, nor the other way round.
Rule 4: wash trades. An order does not stand against one of the other side that it could trade with: always where one
        of both is a market or stop order, else where their limits cross. Brackets, OCOs, OTOs and trailing stops may.
Rule 5: what an order is for has to fit the account. A bracket or OTO opens and an OCO closes; no fraction is sold short.
Rule 6: opening auctions take orders from 19:00 to 09:28, closing ones until ten minutes before the close, which on some
        days is at 13:00.

What the broker has filled and not told yet is provided for: while the books say that the account is long, its open
sells close, and so they do when some of them have filled; while it is flat, every open order is one that opens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.market import TradingDay
from deskd.domain.money import NO_QTY, Price, Qty
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Side, TimeInForce

OPG_ENDS, AUCTIONS_BEGIN = time(9, 28), time(19, 0)
CLS_LEAD = timedelta(minutes=10)  # before the close
CLOSE = time(16)  # of a day that is not in the calendar
_NEW_YORK = ZoneInfo("America/New_York")


class Rule(StrEnum):
    """Which rule an order would break."""

    HELD = "held_shares"
    ZERO = "zero_crossing"
    OPENING = "long_and_short"
    WASH = "wash_trade"
    POSITION = "account_position"


class Rival(NamedTuple):
    """An open order of the account, as these rules see it. A tuple: it is made for every open order at every order."""

    client_order_id: ClientOrderId
    strategy_id: StrategyId
    side: Side
    order_type: OrderType
    limit_price: Price | None
    promised_qty: Qty  # shares that it may still trade: where it closes, they are taken from the position
    opens: bool = True  # False: an exit leg, which opens nothing whatever the position
    is_exempt: bool = False  # from the rule of wash trades


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """The order that is to be sent."""

    strategy_id: StrategyId
    side: Side
    qty: Qty
    limit_price: Price | None
    is_exempt: bool
    must_open: bool = False  # it is refused where it would close: a bracket, an OTO
    must_close: bool = False  # it is refused where it would open: an OCO, a fraction for sale


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """The order would break *rule*, because of *rivals*, or of the account's position where there are none."""

    rule: Rule
    rivals: tuple[Rival, ...]
    free_qty: Qty = NO_QTY  # what could be closed now

    @property
    def strategies(self) -> frozenset[StrategyId]:
        """Return whose orders are in the way."""
        return frozenset(rival.strategy_id for rival in self.rivals)

    def is_own(self, who: StrategyId) -> bool:
        """Tell whether an order of *who* itself is in the way: then it is not for others to give way."""
        return who in self.strategies


def is_exempt(request: OrderRequest) -> bool:
    """Tell whether the rule of wash trades leaves the order alone."""
    return request.order_class is not OrderClass.SIMPLE or request.order_type is OrderType.TRAILING_STOP


def newcomer(request: OrderRequest, qty: Qty, *, is_exit: bool = False) -> Newcomer:
    """Return the order for *qty* shares as these rules see it; an exit leg in the place of another is a simple order."""
    is_fraction = request.qty is None or request.qty != request.qty.to_integral_value()
    is_oco = request.order_class is OrderClass.OCO and not is_exit
    return Newcomer(
        strategy_id=request.strategy_id,
        side=request.side,
        qty=qty,
        limit_price=request.limit_price,
        is_exempt=is_exempt(request),
        must_open=request.order_class in {OrderClass.BRACKET, OrderClass.OTO} and not is_exit,
        must_close=is_oco or (is_fraction and request.side is Side.SELL),
    )


def find(new: Newcomer, position_qty: Qty, rivals: Sequence[Rival]) -> Conflict | None:
    """Return the first rule that *new* would break beside *rivals*, the account holding *position_qty*, signed."""
    closes = position_qty * new.side.sign < 0
    if new.must_open if closes else new.must_close:
        return Conflict(rule=Rule.POSITION, rivals=())
    against = [rival for rival in rivals if rival.side is not new.side]
    if closes:
        found = _closing(new, Qty(abs(position_qty)), [rival for rival in rivals if rival.side is new.side])
    elif position_qty == 0 and (openers := tuple(rival for rival in against if rival.opens)):
        found = Conflict(rule=Rule.OPENING, rivals=openers)
    else:
        found = None
    return found or _wash(new, against)


def _closing(new: Newcomer, size: Qty, beside: Iterable[Rival]) -> Conflict | None:
    holders = tuple(rival for rival in beside if rival.promised_qty)
    free = Qty(max(size - sum((rival.promised_qty for rival in holders), NO_QTY), NO_QTY))
    if new.qty <= free:
        return None
    if new.qty > size:
        return Conflict(rule=Rule.ZERO, rivals=(), free_qty=free)
    return Conflict(rule=Rule.HELD, rivals=holders, free_qty=free)


def _wash(new: Newcomer, against: Iterable[Rival]) -> Conflict | None:
    if new.is_exempt:
        return None
    rivals = tuple(rival for rival in against if could_trade(new, rival))
    return Conflict(rule=Rule.WASH, rivals=rivals) if rivals else None


def could_trade(new: Newcomer, rival: Rival) -> bool:
    """Tell whether both could trade with each other, so that the broker takes the second for a wash trade."""
    return not rival.is_exempt and _meet(new, rival.limit_price)


def could_trade_with(new: Newcomer, request: OrderRequest) -> bool:
    """Tell the same of an open order that no rival was made of: most are far away, and making one costs some µs."""
    return _meet(new, request.limit_price) and not is_exempt(request)


def _meet(new: Newcomer, limit_price: Price | None) -> bool:
    """Tell whether *new* and an order of the other side with *limit_price* leave each other a price to trade at."""
    if new.limit_price is None or limit_price is None:
        return True
    return new.limit_price >= limit_price if new.side is Side.BUY else limit_price >= new.limit_price


def day_of(market_time: datetime) -> date:
    """Return the exchange's date."""
    return market_time.astimezone(_NEW_YORK).date()


def auction_window(time_in_force: TimeInForce, market_time: datetime, day: TradingDay | None) -> str | None:
    """Return when an auction order of that kind is taken, where *market_time*, on that *day*, is not then; else None."""
    local = market_time.astimezone(_NEW_YORK)
    clock = local.time()
    if clock >= AUCTIONS_BEGIN:
        return None
    if time_in_force is TimeInForce.OPG and clock >= OPG_ENDS:
        return "opg orders are taken from 19:00 to 09:28 (New York)"
    closes_at = datetime.combine(local.date(), CLOSE, _NEW_YORK) if day is None else day.close_at
    ends = (closes_at - CLS_LEAD).astimezone(_NEW_YORK)
    if time_in_force is TimeInForce.CLS and local >= ends:
        return f"cls orders are taken from 19:00 to {ends:%H:%M} (New York)"
    return None
