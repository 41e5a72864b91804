"""Blocks: one order of the house that closes for many books, handed over to them at its mean price.

Under a kill of the desk or of a symbol every book's position in it goes. Fifty orders would cost fifty of the broker's
requests; one for each symbol and side is what is left of a minute's number even when strategies have used it up.

Rule 1: what each book is to get stands in the block's approval. The block is the house's order like any other, at the
        broker and in the books, until it has ended.
Rule 2: then, in the same commit, each book gets its part as an order of its own that is filled at the desk, and the
        house gives as much. The sum over all books moves by the block's executions alone.
Rule 3: all get one price, the mean, rounded to what money is rounded to at the broker; the house bears the rounding.
        Of a block that ended early, parts are filled in their order; the rest is due as before.
Rule 4: the house's own position is no part of a block.
Rule 5: an order that somebody puts in the place of a block at the broker is a block for the same books: nobody's shares
        are closed twice, and none are left to the house.
Rule 6: while a block is open, what it closes of a book is not free there: a kill may be released before it has ended.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from deskd.core.kills import Kill, Kills
from deskd.core.portfolio import Portfolio
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.effects import Effect, Record
from deskd.domain.events import Source
from deskd.domain.ids import HOUSE, ClientOrderId, FillId, StrategyId, Symbol, UserId
from deskd.domain.kill import THE_DESK, KillDepth, KillScope, KillTarget
from deskd.domain.market import Quote
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty, plain
from deskd.domain.order import Order, OrderType, Side
from deskd.domain.reasons import RejectReason

PRICE_STEP = Decimal("0.000001")  # Alpaca's own average prices have six decimals
CHECK = "house_closed_for_it"
_ENDS = (
    ev.OrderFilled,
    ev.OrderCompleted,
    ev.OrderCanceled,
    ev.OrderExpired,
    ev.OrderRejected,
    ev.OrderReplaced,  # by hand, at the broker: what it had executed is the books'
)
_GIVEN_UP = frozenset({RejectReason.NEVER_ARRIVED, RejectReason.BROKER_LOST})  # the broker may still tell of them

type Parts = tuple[tuple[StrategyId, Qty], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """An order that is to be sent now."""

    strategy_id: StrategyId
    symbol: Symbol
    side: Side
    qty: Qty
    parts: Parts = ()  # of a block: whose shares it closes
    limit_price: Price | None = None  # that keeps it clear of others' orders (core/passing.py)


@dataclass(slots=True, kw_only=True)
class Block:
    """One that is on its way, or may still be executed late."""

    parts: dict[StrategyId, Qty]  # not handed over yet
    quote: Quote
    market_day: date
    handed_qty: Qty = NO_QTY
    handed_notional: Cash = NO_CASH
    filled_at: datetime | None = None  # the market's stamp of its latest execution
    heir: ClientOrderId | None = None  # the order that somebody put in its place at the broker: a block as well


@dataclass(slots=True)
class Blocks:
    """All of them."""

    known: dict[ClientOrderId, Block] = field(default_factory=dict)

    # --- apply ---------------------------------------------------------------------------------------------------

    def approve(self, fact: ev.OrderApproved) -> None:
        """Know a block, or that a book got its part of one."""
        if fact.parts:
            oid = fact.request.client_order_id
            self.known[oid] = Block(parts=dict(fact.parts), quote=fact.quote, market_day=fact.market_day)
        block = None if fact.block is None else self.known.get(fact.block)
        while block is not None and fact.request.qty is not None:
            who = fact.request.strategy_id
            left = Qty(block.parts.pop(who, NO_QTY) - fact.request.qty)
            if left > 0:
                block.parts[who] = left
            block = None if block.heir is None else self.known.get(block.heir)

    def adopt(self, fact: ev.OrderAdopted) -> None:
        """Know the order that somebody put in the place of a block: it closes for the same books what is left of them."""
        if old := self.known.get(fact.replaces):
            old.heir = fact.request.client_order_id
            self.known[old.heir] = Block(parts=dict(old.parts), quote=old.quote, market_day=old.market_day)

    def fill(self, fact: ev.OrderFilled) -> None:
        """Know when the market executed it."""
        if block := self.known.get(fact.client_order_id):
            block.filled_at = fact.filled_at

    def hand_over(self, fact: ev.HouseAdjusted) -> None:
        """Count what the house gave; forget a block that has nothing to give any more."""
        assert fact.client_order_id is not None, "a block is an order"
        block = self.known.get(fact.client_order_id)
        if block is None:
            return
        block.handed_qty = Qty(block.handed_qty + abs(fact.qty))
        block.handed_notional = Cash(block.handed_notional + abs(fact.cash))
        if not block.parts:
            del self.known[fact.client_order_id]

    def end(self, order: Order) -> None:
        """Forget a block that ended without an execution. One that the desk gave up may have been executed unheard."""
        if not order.filled_qty and order.reason not in _GIVEN_UP:
            self.known.pop(order.request.client_order_id, None)

    # --- look ----------------------------------------------------------------------------------------------------

    def whose(self, oid: ClientOrderId) -> tuple[StrategyId, ...]:
        """Return the books for which that order closes; none where it is no block."""
        block = self.known.get(oid)
        return () if block is None else tuple(block.parts)


class Books(Protocol):
    """What of the desk is looked at here."""

    orders: dict[ClientOrderId, Order]
    portfolio: Portfolio
    kills: Kills
    blocks: Blocks

    def member_of(self, who: StrategyId) -> UserId:
        """Return whose strategy it is."""


def promised(desk: Books, who: StrategyId, symbol: Symbol, side: Side) -> Qty:
    """Return how many shares of the book the blocks of *side* that are open may still close: they are not free."""
    if not desk.blocks.known:
        return NO_QTY
    blocks = ((desk.orders[oid], block) for oid, block in desk.blocks.known.items() if who in block.parts)
    return Qty(
        sum(
            (
                block.parts[who]
                for order, block in blocks
                if order.status.is_open and order.request.symbol == symbol and order.request.side is side
            ),
            ZERO,
        )
    )


def bundled(desk: Books, closings: Iterable[Closing]) -> list[Closing]:
    """Return *closings* with those of one symbol and side as one, where all books are under the kill there."""
    flattening = desk.kills.at_least(KillDepth.FLATTEN)
    groups: dict[tuple[Symbol, Side], list[Closing]] = {}
    bundles: list[Closing] = []
    for closing in closings:
        if closing.strategy_id == HOUSE or not _takes_all(flattening, closing.symbol):
            bundles.append(closing)
        else:
            groups.setdefault((closing.symbol, closing.side), []).append(closing)
    for (symbol, side), group in groups.items():
        if len(group) == 1:
            bundles += group
            continue
        total = Qty(sum((one.qty for one in group), ZERO))
        parts = tuple((one.strategy_id, one.qty) for one in group)
        bundles.append(Closing(strategy_id=HOUSE, symbol=symbol, side=side, qty=total, parts=parts))
    return bundles


def _takes_all(flattening: Sequence[Kill], symbol: Symbol) -> bool:
    wide = {THE_DESK, KillTarget(KillScope.SYMBOL, symbol)}
    return any(kill.target in wide for kill in flattening)


def may_hand_over(desk: Books, effects: Iterable[Effect]) -> list[ClientOrderId]:
    """Return the blocks that an effect is about, in their order."""
    found: dict[ClientOrderId, None] = {}
    for effect in effects:
        if (
            isinstance(effect, Record)
            and isinstance(effect.fact, _ENDS)
            and effect.fact.client_order_id in desk.blocks.known
        ):
            found[effect.fact.client_order_id] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A block that has ended, and what its executions since the last hand-over came to."""

    order: Order
    block: Block
    qty: Qty
    price: Price
    at: datetime


def handed_over(desk: Books, oid: ClientOrderId, at: datetime) -> list[Effect]:
    """Return what the books get of a block that has ended, and what the house gives for it."""
    order, block = desk.orders[oid], desk.blocks.known[oid]
    executed = Qty(order.filled_qty - block.handed_qty)
    if order.status.is_open or executed <= 0:
        return []
    worth = order.filled_notional - block.handed_notional
    ended = _Ended(order, block, executed, Price((worth / executed).quantize(PRICE_STEP)), at)
    gets = _gets(desk, ended)
    effects = [effect for who, qty in gets.items() for effect in _part(desk, ended, who, qty)]
    given = Qty(sum(gets.values(), ZERO))
    if not given:
        return []
    sign = order.request.side.sign
    house = ev.HouseAdjusted(
        cash=Cash(sign * given * ended.price),
        symbol=order.request.symbol,
        qty=Qty(-sign * given),
        price=ended.price,
        why=f"order {oid} closed for {len(gets)} strategies",
        at=at,
        cause=HouseCause.BLOCK,
        client_order_id=oid,
    )
    return [*effects, Record(house)]


def _gets(desk: Books, ended: _Ended) -> dict[StrategyId, Qty]:
    """Return how many shares each book gets: no more than its part, nor than it holds by now."""
    request, left = ended.order.request, ended.qty
    found: dict[StrategyId, Qty] = {}
    for who, part in ended.block.parts.items():
        held = -request.side.sign * desk.portfolio.qty(who, request.symbol)
        qty = Qty(min(part, left, held))
        if qty > 0:
            found[who] = qty
            left = Qty(left - qty)
    return found


def _part(desk: Books, ended: _Ended, who: StrategyId, qty: Qty) -> list[Effect]:
    whole, oid = ended.order.request, ended.order.request.client_order_id
    request = replace(
        whole,
        strategy_id=who,
        user_id=desk.member_of(who),
        client_order_id=ClientOrderId(f"{oid}-{who}-{plain(ended.order.filled_qty)}"),
        order_type=OrderType.MARKET,
        qty=qty,
        limit_price=None,
        extended_hours=False,
    )
    approved = ev.OrderApproved(
        request=request,
        quote=ended.block.quote,
        reserved_cash=NO_CASH,
        reserved_qty=NO_QTY,
        market_day=ended.block.market_day,
        at=ended.at,
        checks=(ev.Checked(CHECK, f"order={oid} price={plain(ended.price)}"),),
        block=oid,
    )
    filled = ev.OrderFilled(
        client_order_id=request.client_order_id,
        fill_id=FillId(request.client_order_id),
        qty=qty,
        price=ended.price,
        filled_at=ended.block.filled_at or ended.at,
        at=ended.at,
        source=Source.INTERNAL,
        position_qty=Qty(desk.portfolio.qty(who, whole.symbol) + whole.side.sign * qty),
        internal_with=oid,
    )
    return [Record(approved), Record(filled)]
