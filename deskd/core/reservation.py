"""Buying power and shares held for open orders, from approval to the order's end, and for nothing else.

Totals per strategy are kept beside the orders' own reservations, so that the gate reads them without a scan.
"""

from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal

from deskd.domain.ids import ClientOrderId, StrategyId, Symbol
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty
from deskd.domain.order import Order, OrderClass, OrderType, Side

# What is held is rounded up to these: sums of endless fractions would not go back to zero.
_CASH_STEP = Decimal("0.0001")
_QTY_STEP = Decimal("0.000000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What one order holds."""

    cash: Cash
    qty: Qty  # shares promised to a sell
    opening: Qty  # shares that the order may still trade, unsigned
    price: Price  # at which a share of it is valued: so much cash is held for each that is left, at most


NOTHING = Reservation(cash=NO_CASH, qty=NO_QTY, opening=NO_QTY, price=Price(ZERO))


@dataclass(slots=True)
class Reservations:
    """All that is held."""

    by_order: dict[ClientOrderId, Reservation] = field(default_factory=dict)
    _cash: dict[StrategyId, Decimal] = field(default_factory=dict)
    _qty: dict[tuple[StrategyId, Symbol], Decimal] = field(default_factory=dict)
    _opening: dict[tuple[StrategyId, Symbol, Side], Decimal] = field(default_factory=dict)
    _count: dict[StrategyId, int] = field(default_factory=dict)
    _pending: dict[tuple[StrategyId, Side], Decimal] = field(default_factory=dict)
    _symbol: dict[tuple[Symbol, Side], Decimal] = field(default_factory=dict)
    cash_of_all: Decimal = ZERO  # held for everybody's open orders

    def cash(self, strategy_id: StrategyId) -> Cash:
        """Return the cash held for the strategy's open orders."""
        return Cash(self._cash.get(strategy_id, ZERO))

    def qty(self, strategy_id: StrategyId, symbol: Symbol) -> Qty:
        """Return the shares promised to the strategy's open sells."""
        return Qty(self._qty.get((strategy_id, symbol), ZERO))

    def opening(self, strategy_id: StrategyId, symbol: Symbol, side: Side) -> Qty:
        """Return the shares that open orders of *side* may still trade, unsigned."""
        return Qty(self._opening.get((strategy_id, symbol, side), ZERO))

    def pending(self, strategy_id: StrategyId, side: Side) -> Cash:
        """Return the cash held for the strategy's open orders of *side*: what they may still open."""
        return Cash(self._pending.get((strategy_id, side), ZERO))

    def opening_of_all(self, symbol: Symbol, side: Side) -> Qty:
        """Return the shares that everybody's open orders of *side* may still trade, unsigned."""
        return Qty(self._symbol.get((symbol, side), ZERO))

    def count(self, strategy_id: StrategyId) -> int:
        """Return how many open orders hold something."""
        return self._count.get(strategy_id, 0)

    def of(self, order: Order) -> Reservation:
        """Return what *order* holds."""
        return self.by_order.get(order.request.client_order_id, NOTHING)

    def holds(self, order: Order) -> bool:
        """Tell whether *order* counts as an open order that holds something."""
        return order.request.client_order_id in self.by_order

    def hold(self, order: Order, need: Reservation) -> None:
        """Hold so much for *order* from now on, whatever it held before."""
        oid = order.request.client_order_id
        self._add(order, self.by_order.get(oid, NOTHING), sign=-1)
        new = Reservation(
            cash=Cash(need.cash.quantize(_CASH_STEP, ROUND_UP)),
            qty=Qty(need.qty.quantize(_QTY_STEP, ROUND_UP)),
            opening=Qty(need.opening.quantize(_QTY_STEP, ROUND_UP)),
            price=need.price,
        )
        if oid not in self.by_order:
            self._count[order.request.strategy_id] = self.count(order.request.strategy_id) + 1
        self.by_order[oid] = new
        self._add(order, new, sign=1)

    def release(self, order: Order) -> None:
        """Hold nothing for *order* any more."""
        held = self.by_order.pop(order.request.client_order_id, None)
        if held is None:
            return
        self._add(order, held, sign=-1)
        self._count[order.request.strategy_id] -= 1

    def shrink(self, order: Order, filled: Qty, value: Cash) -> None:
        """Release what a fill of *filled* shares worth *value* used up.

        What closes is filled before what opens: as long as the shares left could all be opening, nothing is released.
        """
        held = self.by_order.get(order.request.client_order_id)
        if held is None:
            return
        leaves = order.leaves_qty
        if leaves is None:  # a notional order: what is spent is what is no longer held
            cash = max(held.cash - value, ZERO)
            opening = max(held.opening - filled, ZERO)
        else:
            cash = min(held.cash, leaves * held.price)
            opening = leaves
        qty = max(held.qty - filled, ZERO)
        self.hold(order, Reservation(cash=Cash(cash), qty=Qty(qty), opening=Qty(opening), price=held.price))

    def grow(self, order: Order, qty: Qty) -> None:
        """Hold again what *qty* shares of a busted fill may cost, or promise."""
        held = self.by_order.get(order.request.client_order_id)
        if held is None or not qty:
            return
        cash = held.cash + qty * held.price if held.cash or order.request.side is Side.BUY else held.cash
        shares = held.qty + qty if order.request.side is Side.SELL else held.qty
        opening = Qty(held.opening + qty)
        self.hold(order, Reservation(cash=Cash(cash), qty=Qty(shares), opening=opening, price=held.price))

    def _add(self, order: Order, held: Reservation, *, sign: int) -> None:
        request = order.request
        who, symbol, side = request.strategy_id, request.symbol, request.side
        if held.cash:
            self.cash_of_all += sign * held.cash
            self._cash[who] = self._cash.get(who, ZERO) + sign * held.cash
            self._pending[who, side] = self._pending.get((who, side), ZERO) + sign * held.cash
        if held.qty:
            self._qty[who, symbol] = self._qty.get((who, symbol), ZERO) + sign * held.qty
        if held.opening:
            self._opening[who, symbol, side] = self._opening.get((who, symbol, side), ZERO) + sign * held.opening
            self._symbol[symbol, side] = self._symbol.get((symbol, side), ZERO) + sign * held.opening


def leg_holds_shares(leg: Order) -> bool:
    """Tell whether this leg is the one of its group that promises the shares: siblings exclude each other."""
    if leg.request.side is not Side.SELL:
        return False
    if leg.request.order_class is OrderClass.OTO:
        return True
    return leg.request.order_class is OrderClass.BRACKET and leg.request.order_type is OrderType.LIMIT
