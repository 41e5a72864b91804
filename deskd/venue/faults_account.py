"""What tests have the broker do to the account: book a fee or a split, bust or correct a fill, overfill, invent shares, lag.

1. What is booked goes to the exchange's file like any other change, before the answer.
2. A lag is of the list of positions alone, and of no memory: a new start tells the truth at once.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from deskd.domain.money import Cash, Price, Qty
from deskd.exchange.account import PositionView
from deskd.exchange.back_office import NothingToCorrect
from deskd.exchange.exchange import Exchange
from deskd.wire.alpaca.venue_requests import ACTIVITY_TYPES


class CashBooking(msgspec.Struct, forbid_unknown_fields=True):
    """Cash that comes or goes: a FEE, a DIV, a deposit (CSD)."""

    type: str
    amount: Decimal  # signed
    symbol: str | None = None
    description: str = "booked by a test"


class Split(msgspec.Struct, forbid_unknown_fields=True):
    """The position's shares times *ratio*."""

    symbol: str
    ratio: Decimal


class Bust(msgspec.Struct, forbid_unknown_fields=True):
    """The latest fill is undone; *order_id*: of this order."""

    order_id: str | None = None


class Correction(msgspec.Struct, forbid_unknown_fields=True):
    """The latest fill gets another price; *order_id*: of this order."""

    price: Decimal
    order_id: str | None = None


class Overfill(msgspec.Struct, forbid_unknown_fields=True):
    """*qty* more is executed of the order that was filled last; *order_id*: of this order."""

    qty: Decimal
    order_id: str | None = None


class Phantom(msgspec.Struct, forbid_unknown_fields=True):
    """Shares appear, or vanish (negative), without a line in the history."""

    symbol: str
    qty: Decimal


class AccountOrder(msgspec.Struct, forbid_unknown_fields=True):
    """What is done now, each at most once."""

    book: CashBooking | None = None
    split: Split | None = None
    bust: Bust | None = None
    correct: Correction | None = None
    overfill: Overfill | None = None
    phantom: Phantom | None = None
    positions_lag_s: float | None = None  # for so long the positions are told as they are now


class PositionsLag:
    """The list of positions as it was when the lag began, until it ends."""

    def __init__(self) -> None:
        self._told: Sequence[PositionView] = ()
        self._until = 0.0

    def begin(self, positions: Sequence[PositionView], lag_s: float) -> None:
        """Tell *positions* for so long."""
        self._told, self._until = positions, asyncio.get_running_loop().time() + lag_s

    def shown(self, positions: Sequence[PositionView]) -> Sequence[PositionView]:
        """Return what is told in place of *positions*."""
        return self._told if asyncio.get_running_loop().time() < self._until else positions


def carry_out(order: AccountOrder, exchange: Exchange, lag: PositionsLag) -> None:
    """Do to the account what *order* says; raise NothingToCorrect where there is nothing to do it to."""
    office = exchange.back_office
    if order.positions_lag_s is not None:
        lag.begin(exchange.positions(), order.positions_lag_s)
    if (booking := order.book) is not None:
        if booking.type not in ACTIVITY_TYPES - {"FILL"}:
            raise NothingToCorrect(f"type={booking.type!r} is no activity that books cash: FEE, DIV, CSD, ...")
        office.book(booking.type, Cash(booking.amount), symbol=booking.symbol, description=booking.description)
    if order.split is not None:
        office.split(order.split.symbol, order.split.ratio)
    if order.bust is not None:
        office.bust(order.bust.order_id)
    if order.correct is not None:
        office.correct(order.correct.order_id, Price(order.correct.price))
    if order.overfill is not None:
        office.overfill(order.overfill.order_id, Qty(order.overfill.qty))
    if (phantom := order.phantom) is not None:
        price = exchange.last_price(phantom.symbol)
        if price is None:
            raise NothingToCorrect(f"symbol={phantom.symbol} has no price: no position can be invented in it")
        office.conjure(phantom.symbol, Qty(phantom.qty), price)
