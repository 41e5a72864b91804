"""The life of orders: taken, acknowledged, filled, ended, and what that does to their legs.

Rule 1: an order fills only in its session, on a two-sided quote of today, while its symbol is not halted.
Rule 2: an exit and its sibling are open for the same quantity at any time: together they never sell too much.
"""

from datetime import datetime
from decimal import Decimal

from deskd.domain.events import BrokerStatus as S
from deskd.domain.market import Session
from deskd.domain.money import Price, Qty
from deskd.domain.order import TimeInForce
from deskd.exchange.books import Books
from deskd.exchange.fill_model import FillModel
from deskd.exchange.generator import Generator
from deskd.exchange.matching import STOPS, cap_price, fill_price, is_triggered, shares, trailed
from deskd.exchange.order import ENTRY, TAKE_PROFIT, ExchangeOrder, OrderWord
from deskd.exchange.prices import Nbbo, Prices
from deskd.exchange.session import lifetime
from deskd.exchange.timetable import Timetable

_AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
_WHOLE = frozenset({TimeInForce.FOK, TimeInForce.OPG, TimeInForce.CLS})  # never filled in parts


class Engine:
    """The rules by which orders live. It decides; the books keep what happened."""

    __slots__ = ("_books", "_fills", "_prices", "_random", "_timetable", "halted")

    def __init__(
        self, *, books: Books, prices: Prices, timetable: Timetable, fills: FillModel, random: Generator
    ) -> None:
        self.halted: set[str] = set()
        self._books = books
        self._prices = prices
        self._timetable = timetable
        self._fills = fills
        self._random = random

    # --- birth --------------------------------------------------------------------------------------------------------

    def take(self, order: ExchangeOrder, legs: tuple[ExchangeOrder, ...] = ()) -> None:
        """Let the order live: pending_new in its session, accepted until that opens. Its legs are held."""
        word = OrderWord.ACCEPTED
        if self._is_in_session(order):
            self._start_clock(order, self._timetable.now)
            order.status, word = S.PENDING_NEW, OrderWord.PENDING_NEW
        self._books.add(order)
        for leg in legs:
            self._books.add(leg)
        self.schedule(order)
        self._books.happen(order, word)

    def schedule(self, order: ExchangeOrder) -> None:
        """Have the order woken when something is due for it."""
        if order.status is S.HELD:
            return
        for at in (order.acknowledges_at, order.eligible_at):
            if at is not None:
                self._timetable.wake(at, order.id)
        if order.time_in_force is TimeInForce.GTC and order.expires_at is not None:
            self._timetable.wake(order.expires_at, order.id)

    def _start_clock(self, order: ExchangeOrder, at: datetime) -> None:
        model = self._fills
        is_fractional = order.is_fractional
        order.acknowledges_at = at + (model.fractional_after if is_fractional else model.acknowledged_after)
        order.eligible_at = at + (model.fractional_after if is_fractional else model.filled_after)

    # --- time ---------------------------------------------------------------------------------------------------------

    def wake(self, order: ExchangeOrder) -> None:
        """Do what is due for the order at this moment."""
        now = self._timetable.now
        if not order.is_open or order.status is S.HELD:
            return
        if order.time_in_force is TimeInForce.GTC and order.expires_at is not None and order.expires_at <= now:
            self.end(order, OrderWord.CANCELED)
            return
        if order.status is S.PENDING_NEW and order.acknowledges_at is not None and order.acknowledges_at <= now:
            self._acknowledge(order)
        if order.eligible_at is not None and order.eligible_at <= now:
            self.evaluate(order)
            self._end_at_once(order)

    def start_day(self, *, has_restarted: bool) -> None:
        """Move what still waits to the session of this day, and end what lived in an earlier one."""
        now = self._timetable.now
        for order in self._books.register.open_orders():
            if has_restarted:
                self._catch_up(order)
            if order.time_in_force is TimeInForce.GTC or order.status is S.HELD or not order.is_open:
                continue
            session_day, expires_at = lifetime(
                order.time_in_force, extended_hours=order.extended_hours, day=self._timetable.day, now=now
            )
            if order.status is not S.ACCEPTED and (has_restarted or order.session_day != session_day):
                self.outlive(order)
                continue
            for one in (order, *(self._books.register.by_id[leg_id] for leg_id in order.legs)):
                one.session_day, one.expires_at = session_day, expires_at
                self._books.touch(one)

    def _catch_up(self, order: ExchangeOrder) -> None:
        """Have an order that waits for an instant, which will not come again, wait no longer."""
        now = self._timetable.now
        order.acknowledges_at = order.acknowledges_at and min(order.acknowledges_at, now)
        order.eligible_at = order.eligible_at and min(order.eligible_at, now)
        self._books.touch(order)
        self.schedule(order)

    def _end_at_once(self, order: ExchangeOrder) -> None:
        if order.is_open and order.time_in_force in _AT_ONCE:
            self.end(order, OrderWord.CANCELED)

    def begin_session(self) -> None:
        """Bring to the market what waited for this session, and look again at what rests."""
        for order in self._books.register.open_orders():
            if not order.is_open or not self._is_in_session(order):
                continue
            if order.status is S.ACCEPTED:
                self._start_clock(order, self._timetable.now)
                order.acknowledges_at = None
                self.schedule(order)
                self._enter_market(order)
            elif order.eligible_at is not None:
                self._timetable.wake(max(order.eligible_at, self._timetable.now), order.id)

    def end_session(self) -> None:
        """Hold the closing auction, and end what lives no longer than the session that ends now."""
        now = self._timetable.now
        for order in self._books.register.open_orders():
            if order.expires_at is None or order.expires_at > now or not order.is_open:
                continue
            if order.time_in_force is TimeInForce.CLS and order.symbol not in self.halted:
                nbbo = self.nbbo(order.symbol)
                if nbbo is not None and order.status is S.NEW:
                    self._match(order, nbbo)
            if order.is_open:
                self.outlive(order)

    def outlive(self, order: ExchangeOrder) -> None:
        """End an order whose time in force ran out."""
        is_expiry = order.time_in_force is TimeInForce.DAY and order.status is not S.HELD
        self.end(order, OrderWord.EXPIRED if is_expiry else OrderWord.CANCELED)

    def _acknowledge(self, order: ExchangeOrder) -> None:
        if not order.is_fractional:
            self._books.register.submitted(order, self._timetable.now)
        elif order.reject_reason is None:
            self.evaluate(order)  # a fraction fills without ever being new
            if order.status is not S.PENDING_NEW:
                return
        self._enter_market(order)

    def _enter_market(self, order: ExchangeOrder) -> None:
        if order.reject_reason is not None:
            self.end(order, OrderWord.REJECTED)
            return
        self._books.happen(order, OrderWord.NEW)
        if order.group_role == TAKE_PROFIT:  # an oco: both exits stand from the beginning
            for leg in self._siblings(order):
                self._activate(leg)

    # --- the market moves ---------------------------------------------------------------------------------------------

    def on_quote(self, symbol: str, working: dict[str, ExchangeOrder]) -> None:
        """Look at every working order of the quoted symbol."""
        nbbo = self.nbbo(symbol)
        if nbbo is not None:
            for order in tuple(working.values()):
                self._trade(order, nbbo)

    def on_trade(self, working: dict[str, ExchangeOrder], price: Price) -> None:
        """Let stops see the print; trailing ones follow it."""
        for order in tuple(working.values()):
            if order.order_type not in STOPS or order.triggered_at is not None or not self._is_live(order):
                continue
            moved = trailed(order, price)
            if moved is not None:
                order.hwm, order.stop_price = moved
                self._books.touch(order)
            if is_triggered(order, price):
                self._trigger(order)
                self.evaluate(order)

    def evaluate(self, order: ExchangeOrder) -> None:
        """Fill the order, or a part of it, if the quote allows."""
        nbbo = self.nbbo(order.symbol)
        if nbbo is not None:
            self._trade(order, nbbo)

    def _trade(self, order: ExchangeOrder, nbbo: Nbbo) -> None:
        if not self._is_live(order) or order.time_in_force is TimeInForce.CLS:
            return
        if order.order_type in STOPS and order.triggered_at is None:
            if not is_triggered(order, nbbo.near(order.side)):
                return
            self._trigger(order)
        self._match(order, nbbo)
        if order.is_open and order.time_in_force is TimeInForce.OPG:
            self.end(order, OrderWord.CANCELED)  # the auction is over

    def _is_live(self, order: ExchangeOrder) -> bool:
        return (
            order.eligible_at is not None
            and order.eligible_at <= self._timetable.now
            and order.is_open
            and order.symbol not in self.halted
            and self._is_in_session(order)
        )

    def _is_in_session(self, order: ExchangeOrder) -> bool:
        day, session = self._timetable.day, self._timetable.session
        if day is None or (order.session_day is not None and order.session_day > day.day):
            return False
        return session is Session.REGULAR or (order.extended_hours and session is not Session.CLOSED)

    def nbbo(self, symbol: str) -> Nbbo | None:
        """Return the quote that orders may fill at: of today, two-sided, not crossed."""
        day = self._timetable.day
        return None if day is None else self._prices.nbbo(symbol, day.extended_open_at)

    def _trigger(self, order: ExchangeOrder) -> None:
        order.triggered_at = self._timetable.now
        order.cap_price = cap_price(order)
        self._books.touch(order)

    def _match(self, order: ExchangeOrder, nbbo: Nbbo) -> None:
        price = fill_price(order, nbbo)
        if price is None:
            return
        leaves = shares(order, price)
        if leaves == 0:  # the money does not pay for the smallest part of a share
            self.end(order, OrderWord.CANCELED)
            return
        qty = self._part(order, leaves)
        self._books.fill(order, qty, price, is_done=qty == leaves)
        self._after_fill(order, qty)

    def _part(self, order: ExchangeOrder, leaves: Qty) -> Qty:
        can_split = order.time_in_force not in _WHOLE and not order.is_fractional and leaves > 1
        if can_split and self._random.happens(self._fills.partial_percent):
            return Qty(Decimal(self._random.between(1, int(leaves) - 1)))
        return leaves

    def _after_fill(self, order: ExchangeOrder, qty: Qty) -> None:
        if order.is_open:  # the rest is looked at again
            order.eligible_at = self._timetable.now + self._fills.filled_after
            self._timetable.wake(order.eligible_at, order.id)
        for other in self._siblings(order):
            if order.group_role == ENTRY:
                if not order.is_open:
                    self._activate(other)
            elif order.is_open:
                self._books.shrink(other, qty)
            else:
                self.end(other, OrderWord.CANCELED)

    # --- groups and the end -------------------------------------------------------------------------------------------

    def end(self, order: ExchangeOrder, word: OrderWord) -> None:
        """End the order without a fill, and with it what hangs on it."""
        self._books.end(order, word)
        for other in self._siblings(order):
            is_at_market = other.status is not S.HELD
            if other.is_open:
                self.end(other, OrderWord.EXPIRED if is_at_market and word is OrderWord.EXPIRED else OrderWord.CANCELED)

    def _activate(self, leg: ExchangeOrder) -> None:
        if leg.status is S.HELD:
            self._books.register.work(leg)
            self._books.happen(leg, OrderWord.NEW)
            leg.eligible_at = self._timetable.now
            self.schedule(leg)

    def _siblings(self, order: ExchangeOrder) -> list[ExchangeOrder]:
        """Return the open orders that hang on this one: an entry's legs, an exit's other exit."""
        if order.group_id is None:
            return []
        members = self._books.register.groups[order.group_id]
        return [m for m in members if m is not order and m.is_open and m.group_role != ENTRY]
