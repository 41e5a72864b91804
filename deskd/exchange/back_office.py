"""What a broker does to an account outside of trading: fees, dividends, splits, busts and corrections of fills.

Rule 1: account, positions, order, history and events always tell the same. Only `conjure` breaks this, on purpose.
Rule 2: a fill is corrected once. The order's totals move with it; its status does not.
"""

from decimal import ROUND_HALF_UP, Decimal

from deskd.domain.money import NO_CASH, Cash, Price, Qty
from deskd.exchange.account import Activity
from deskd.exchange.books import Books
from deskd.exchange.journal import activity_id
from deskd.exchange.order import ExchangeOrder, OrderWord
from deskd.exchange.timetable import Timetable

_STEP = Decimal("0.000000001")


class NothingToCorrect(Exception):
    """No fill, or no position, is there as it was asked for."""


class BackOffice:
    """Books what is no trade. Let time pass (`Exchange.advance`) before each call."""

    __slots__ = ("_books", "_timetable")

    def __init__(self, books: Books, timetable: Timetable) -> None:
        self._books = books
        self._timetable = timetable

    def book(self, kind: str, amount: Cash, *, symbol: str | None, description: str) -> Activity:
        """Move cash, and say why: a FEE, a DIV, a deposit (CSD), ..."""
        portfolio = self._books.portfolio
        portfolio.cash = Cash(portfolio.cash + amount)
        return self._note(kind, amount, symbol=symbol, description=description)

    def split(self, symbol: str, ratio: Decimal) -> Activity:
        """Multiply the position's shares by *ratio*; its cost stays."""
        if ratio <= 0:
            raise NothingToCorrect(f"ratio={ratio}: a split multiplies shares by more than 0")
        holding = self._books.portfolio.holdings.get(symbol)
        if holding is None:
            raise NothingToCorrect(f"no position in {symbol}: there is nothing to split")
        more = Qty((holding.qty * ratio).quantize(_STEP, ROUND_HALF_UP) - holding.qty)
        self._books.portfolio.split(symbol, ratio, more)
        self._books.journal.dirty_holdings.add(symbol)
        return self._note("SPLIT", NO_CASH, symbol=symbol, qty=more, description=f"split {ratio} for 1")

    def conjure(self, symbol: str, qty: Qty, price: Price) -> None:
        """Have *qty* shares appear or vanish without a word anywhere: a broker's mistake."""
        portfolio = self._books.portfolio
        cash = portfolio.cash
        portfolio.book_across(symbol, qty, price)
        portfolio.cash = cash
        self._books.journal.dirty_holdings.add(symbol)

    def bust(self, order_id: str | None) -> ExchangeOrder:
        """Undo the latest fill, of the order where one is named, as if it had never been."""
        fill, order, qty, price = self._latest(order_id)
        self._books.portfolio.book_across(order.symbol, Qty(-order.side.sign * qty), price)
        self._books.journal.dirty_holdings.add(order.symbol)
        self._books.restate(order, Qty(order.filled_qty - qty), Cash(order.filled_notional - qty * price))
        self._tell(OrderWord.TRADE_BUST, order, fill, qty, price)
        return order

    def correct(self, order_id: str | None, price: Price) -> ExchangeOrder:
        """Give the latest fill another *price*."""
        if price <= 0:
            raise NothingToCorrect(f"price={price}: a fill costs more than 0")
        fill, order, qty, old = self._latest(order_id)
        more = Cash(qty * (price - old))
        portfolio = self._books.portfolio
        portfolio.cash = Cash(portfolio.cash - order.side.sign * more)
        self._books.restate(order, order.filled_qty, Cash(order.filled_notional + more))
        self._tell(OrderWord.TRADE_CORRECT, order, fill, qty, price)
        return order

    def overfill(self, order_id: str | None, qty: Qty) -> ExchangeOrder:
        """Execute *qty* more of the order that was filled last than it was for: a broker's mistake, told as a fill."""
        if qty <= 0:
            raise NothingToCorrect(f"qty={qty}: an execution has more than 0 shares")
        _, order, _, price = self._latest(order_id)
        self._books.portfolio.book_across(order.symbol, Qty(order.side.sign * qty), price)
        self._books.journal.dirty_holdings.add(order.symbol)
        self._books.restate(order, Qty(order.filled_qty + qty), Cash(order.filled_notional + qty * price))
        event = self._books.tell(order, OrderWord.FILL, price=price, qty=qty)
        self._books.note_execution(order, event)
        return order

    def _latest(self, order_id: str | None) -> tuple[Activity, ExchangeOrder, Qty, Price]:
        """Return the latest fill that was not corrected, with its order, quantity and price."""
        history = [activity for _, activity in self._books.journal.activities if activity.activity_type == "FILL"]
        corrected = {activity.corrects for activity in history}
        for one in sorted(history, key=lambda a: a.sequence, reverse=True):
            if one.corrects is not None or one.id in corrected or order_id not in {None, one.order_id}:
                continue
            assert one.order_id is not None, "a fill is some order's"
            assert one.qty is not None, "a fill has a quantity"
            assert one.price is not None, "a fill has a price"
            return one, self._books.register.by_id[one.order_id], one.qty, one.price
        raise NothingToCorrect("no fill that was not corrected already" + (f" of order {order_id}" if order_id else ""))

    def _tell(self, word: OrderWord, order: ExchangeOrder, fill: Activity, qty: Qty, price: Price) -> None:
        event = self._books.tell(order, word, price=price, qty=qty, previous_execution_id=fill.execution_id)
        self._books.note_execution(order, event, corrects=fill.id)

    def _note(
        self, kind: str, amount: Cash, *, symbol: str | None, description: str, qty: Qty | None = None
    ) -> Activity:
        now = self._timetable.now
        activity = Activity(
            id=activity_id(now, self._books.ids.uuid()),
            activity_type=kind,
            sequence=self._books.next_sequence(),
            at=now,
            symbol=symbol,
            qty=qty,
            net_amount=amount,
            description=description,
        )
        self._books.journal.add_activity(activity)
        return activity
