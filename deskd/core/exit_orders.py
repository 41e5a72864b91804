"""The desk closes a position by itself. One order at the market, through the gate, in the name of its strategy.

Rule 1: it closes what the book has free: shares that an open order may still trade are never promised twice, so that
        whatever fills, the position ends at zero and not beyond.
Rule 2: checks that only exist to stop what opens do not look at it (`gate.CLOSING_CHECKS`), whatever the strategy's
        state; `closes_what_is_free` judges by itself that it closes.
Rule 3: who asks gives the order its id and its reason.
"""

from datetime import date, datetime
from decimal import ROUND_FLOOR

from deskd.core import asking, blocks
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import Effect
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol, UserId
from deskd.domain.market import Quote
from deskd.domain.money import NO_QTY, ZERO, Qty
from deskd.domain.order import OrderRequest, OrderType, Side, TimeInForce


def free_to_close(desk: Desk, who: StrategyId, symbol: Symbol) -> Qty:
    """Return what of the position no open order may still close, signed; a part of a share only where that is sold."""
    held = desk.portfolio.qty(who, symbol)
    if held > 0:
        promised = desk.reservations.qty(who, symbol) + blocks.promised(desk, who, symbol, Side.SELL)
        free = max(held - promised, ZERO)
    else:
        promised = desk.reservations.opening(who, symbol, Side.BUY) + blocks.promised(desk, who, symbol, Side.BUY)
        free = min(held + promised, ZERO)
    instrument = desk.instruments.get(symbol)
    # no fraction is sold short: where the account is not long by so much, the whole shares go
    if instrument is not None and instrument.is_fractionable and 0 < free <= desk.portfolio.total_qty(symbol):
        return Qty(free)
    whole = abs(free).to_integral_value(ROUND_FLOOR)  # shorts are whole shares at the broker
    return Qty(whole if free > 0 else -whole)


def closing_order(
    desk: Desk, who: StrategyId, symbol: Symbol, *, client_order_id: ClientOrderId, reason: str
) -> OrderRequest | None:
    """Return the market order that closes all that is free of the position; None where nothing is."""
    free = free_to_close(desk, who, symbol)
    if free == NO_QTY:
        return None
    known = desk.strategies.get(who)
    return OrderRequest(
        strategy_id=who,
        user_id=known.user_id if known is not None else UserId(who),
        client_order_id=client_order_id,
        symbol=symbol,
        side=Side.SELL if free > 0 else Side.BUY,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        qty=Qty(abs(free)),
        reason=reason,
    )


def closed_by(
    desk: Desk, request: OrderRequest, *, quote: Quote | None, market_day: date, at: datetime
) -> list[Effect]:
    """Return what follows from the desk's own closing order: sent, or denied by the gate with the reason."""
    asked = ev.OrderRequested(request=request, quote=quote, market_day=market_day, at=at, is_closing=True)
    return asking.on_request(desk, asked)
