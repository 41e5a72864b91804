"""Keeps what happens: an order's new status, its event, its line of history, and the money it holds.

Rule 1: `happen` and `fill` are the only ways for a status to change, along order.TRANSITIONS.
Rule 2: an order that has ended reserves nothing and is in no book.
"""

from decimal import ROUND_HALF_UP, Decimal

from deskd.domain.events import BrokerStatus
from deskd.domain.money import NO_CASH, Cash, Price, Qty
from deskd.exchange.account import Activity
from deskd.exchange.generator import Generator, ulid
from deskd.exchange.journal import Journal, activity_id
from deskd.exchange.order import TRANSITIONS, ExchangeOrder, OrderEvent, OrderWord, PositionIntent
from deskd.exchange.portfolio import Portfolio
from deskd.exchange.register import Register
from deskd.exchange.timetable import Timetable

_AVERAGE_STEP = Decimal("0.000000001")


class Books:
    """Register, portfolio and journal, kept in step."""

    __slots__ = ("_timetable", "ids", "journal", "portfolio", "register", "sequence")

    def __init__(
        self, *, portfolio: Portfolio, journal: Journal, timetable: Timetable, ids: Generator, sequence: int
    ) -> None:
        self.register = Register()
        self.portfolio = portfolio
        self.journal = journal
        self.ids = ids
        self.sequence = sequence
        self._timetable = timetable

    def next_sequence(self) -> int:
        """Count one more order, event or activity."""
        self.sequence += 1
        self.journal.is_account_dirty = True
        return self.sequence

    def add(self, order: ExchangeOrder) -> None:
        """Take a new order; one that opens reserves what it costs."""
        self.register.add(order)
        self.touch(order)
        self._reserve_for(order)

    def put_back(self, order: ExchangeOrder) -> None:
        """Take an order from the store."""
        self.register.add(order)
        self.portfolio.reserved = Cash(self.portfolio.reserved + order.reserved)

    def deposit(self, cash: Cash) -> None:
        """Note where the account's first money came from; it is there already."""
        now = self._timetable.now
        self.journal.add_activity(
            Activity(
                id=activity_id(now, self.ids.uuid()),
                activity_type="CSD",
                sequence=self.next_sequence(),
                at=now,
                net_amount=cash,
                description="opening deposit",
            )
        )

    def touch(self, order: ExchangeOrder) -> None:
        """Have the order stored."""
        self.journal.dirty_orders[order.id] = order

    def happen(
        self,
        order: ExchangeOrder,
        word: OrderWord,
        *,
        price: Price | None = None,
        qty: Qty | None = None,
    ) -> None:
        """Move the order along the table, and tell of it."""
        order.status = TRANSITIONS[order.status, word]
        self.tell(order, word, price=price, qty=qty)

    def tell(
        self,
        order: ExchangeOrder,
        word: OrderWord,
        *,
        price: Price | None = None,
        qty: Qty | None = None,
        previous_execution_id: str | None = None,
    ) -> OrderEvent:
        """Have the order stored and its event sent, its status as it is."""
        now = self._timetable.now
        order.updated_at = now
        self.touch(order)
        event = OrderEvent(
            event=word,
            event_id=ulid(now, self.next_sequence()),
            execution_id=self.ids.uuid(),
            at=now,
            order=order.snapshot(),
            price=price,
            qty=qty,
            position_qty=None if qty is None else self.portfolio.qty(order.symbol),
            previous_execution_id=previous_execution_id,
        )
        self.journal.events.append(event)
        return event

    def fill(self, order: ExchangeOrder, qty: Qty, price: Price, *, is_done: bool) -> None:
        """Count one execution: shares, cash, history."""
        now = self._timetable.now
        self.portfolio.book(order.symbol, Qty(order.side.sign * qty), price)
        self.journal.dirty_holdings.add(order.symbol)
        self._count(order, Qty(order.filled_qty + qty), Cash(order.filled_notional + qty * price))
        if is_done:
            order.filled_at = now
            self._end(order)
        else:
            self._reserve_for(order)
        word = OrderWord.FILL if is_done else OrderWord.PARTIAL_FILL
        order.status = TRANSITIONS[order.status, word]
        self.note_execution(order, self.tell(order, word, price=price, qty=qty))

    def restate(self, order: ExchangeOrder, filled_qty: Qty, filled_notional: Cash) -> None:
        """Give the order other totals: one of its fills was busted or corrected."""
        self._count(order, filled_qty, filled_notional)
        if order.is_open:
            self._reserve_for(order)

    def _count(self, order: ExchangeOrder, filled_qty: Qty, filled_notional: Cash) -> None:
        order.filled_qty, order.filled_notional = filled_qty, filled_notional
        average = filled_notional / filled_qty if filled_qty else None
        order.filled_avg_price = None if average is None else Price(average.quantize(_AVERAGE_STEP, ROUND_HALF_UP))

    def note_execution(self, order: ExchangeOrder, event: OrderEvent, *, corrects: str | None = None) -> None:
        """Put the execution, or its correction, into the account's history."""
        self.journal.add_activity(
            Activity(
                id=activity_id(event.at, self.ids.uuid()),
                activity_type="FILL",
                sequence=self.next_sequence(),
                at=event.at,
                order_id=order.id,
                order_status=order.status,
                type=event.event.value,
                side=order.side,
                is_short_sale=order.position_intent is PositionIntent.SELL_TO_OPEN,
                symbol=order.symbol,
                qty=event.qty,
                price=event.price,
                cum_qty=order.filled_qty,
                leaves_qty=order.leaves_qty,
                execution_id=event.execution_id,
                corrects=corrects,
            )
        )

    def shrink(self, order: ExchangeOrder, qty: Qty) -> None:
        """Take shares from an open exit: its sibling sold them."""
        assert order.qty is not None, "exits are never notional"
        order.qty = Qty(order.qty - qty)
        self.happen(order, OrderWord.RESTATED)

    def hand_over(self, old: ExchangeOrder, new: ExchangeOrder) -> None:
        """Give the new order the place of the old one in its group."""
        more = new.leaves_qty - old.leaves_qty
        for leg in (self.register.by_id[leg_id] for leg_id in old.legs):
            leg.parent_id = new.id
            if leg.status is BrokerStatus.HELD and leg.qty is not None:
                leg.qty = Qty(leg.qty + more)
            self.touch(leg)
        old.legs = ()
        if old.parent_id is not None:
            parent = self.register.by_id[old.parent_id]
            parent.legs = tuple(new.id if leg_id == old.id else leg_id for leg_id in parent.legs)
            self.touch(parent)

    def end(self, order: ExchangeOrder, word: OrderWord) -> None:
        """End the order without a fill."""
        now = self._timetable.now
        match word:
            case OrderWord.CANCELED:
                order.canceled_at = now
            case OrderWord.EXPIRED:
                order.expired_at = now
            case OrderWord.REJECTED:
                order.failed_at = now
            case _:
                assert word is OrderWord.REPLACED, word
                order.replaced_at = now
        self._end(order)
        self.happen(order, word)

    def _end(self, order: ExchangeOrder) -> None:
        self._reserve(order, NO_CASH)
        self.register.end(order)

    def _reserve_for(self, order: ExchangeOrder) -> None:
        """Hold what the rest of the order may cost; what closes a position costs nothing."""
        if order.position_intent.opens:
            self._reserve(order, order.notional or Cash(order.leaves_qty * order.unit_cost))

    def _reserve(self, order: ExchangeOrder, amount: Cash) -> None:
        if amount != order.reserved:
            self.portfolio.reserved = Cash(self.portfolio.reserved - order.reserved + amount)
            order.reserved = amount
