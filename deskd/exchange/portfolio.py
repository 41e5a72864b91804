"""The account's money and positions.

Rule 1: cash moves by fills and by what the back office books; it is exact, never rounded.
Rule 2: equity = cash + long market value + short market value.
Rule 3: buying power = multiplier x equity - gross market value - what open orders reserve.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty
from deskd.exchange.account import AccountView, Asset, Configurations, PositionView
from deskd.exchange.prices import Prices
from deskd.exchange.state import AccountState, Holding

REG_T_MINIMUM = Cash(Decimal(2000))  # below it the account gets no margin and may not short
_INITIAL, _MAINTENANCE = Decimal("0.5"), Decimal("0.3")
_SIX, _NINE = Decimal("0.000001"), Decimal("0.000000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What the account is worth at the latest prices."""

    cash: Cash
    long_market_value: Cash
    short_market_value: Cash  # zero or negative
    reserved: Cash
    multiplier: int

    @property
    def gross(self) -> Cash:
        """Return the absolute value of all positions."""
        return Cash(self.long_market_value - self.short_market_value)

    @property
    def equity(self) -> Cash:
        """Return money plus positions."""
        return Cash(self.cash + self.long_market_value + self.short_market_value)

    def buying_power(self, multiplier: int) -> Cash:
        """Return what may still be spent at *multiplier* times equity, never less than nothing."""
        return max(NO_CASH, Cash(multiplier * self.equity - self.gross - self.reserved))

    @property
    def initial_margin(self) -> Cash:
        """Return what Regulation T asks for when the positions are opened."""
        return Cash(self.gross * _INITIAL)

    @property
    def maintenance_margin(self) -> Cash:
        """Return what has to stay in the account while the positions are held."""
        return Cash(self.gross * _MAINTENANCE)


class Portfolio:
    """Cash, holdings, and what open orders reserve."""

    __slots__ = ("_prices", "cash", "holdings", "reserved")

    def __init__(self, cash: Cash, holdings: Iterable[Holding], prices: Prices) -> None:
        self.cash = cash
        self.reserved = NO_CASH
        self.holdings = {h.symbol: h for h in holdings}
        self._prices = prices

    def qty(self, symbol: str) -> Qty:
        """Return the signed position."""
        holding = self.holdings.get(symbol)
        return NO_QTY if holding is None else holding.qty

    def book(self, symbol: str, signed_qty: Qty, price: Price) -> None:
        """Count one execution; a position never crosses zero."""
        self.cash = Cash(self.cash - signed_qty * price)
        old = self.holdings.get(symbol)
        if old is None:
            lastday = self._prices.close(symbol) or price
            basis = Cash(signed_qty * price)
            self.holdings[symbol] = Holding(
                symbol=symbol,
                qty=signed_qty,
                avg_entry_price=price,
                lastday_price=lastday,
                intraday_basis=basis,
                mark_price=price,
            )
            return
        qty = Qty(old.qty + signed_qty)
        if qty == 0:
            del self.holdings[symbol]
        elif (signed_qty > 0) is (old.qty > 0):
            average = Price((old.avg_entry_price * old.qty + price * signed_qty) / qty)
            basis = Cash(old.intraday_basis + signed_qty * price)
            self.holdings[symbol] = replace(
                old, qty=qty, avg_entry_price=average, intraday_basis=basis, mark_price=price
            )
        else:
            assert (qty > 0) is (old.qty > 0), f"{symbol}: a closing order is never larger than its position"
            basis = Cash(old.intraday_basis * qty / old.qty)
            self.holdings[symbol] = replace(old, qty=qty, intraday_basis=basis, mark_price=price)

    def book_across(self, symbol: str, signed_qty: Qty, price: Price) -> None:
        """Count an execution that may cross zero: what is undone may have been sold long since."""
        held = self.qty(symbol)
        closes = held * signed_qty < 0
        closing = Qty(-held if abs(signed_qty) > abs(held) else signed_qty) if closes else NO_QTY
        for part in (closing, Qty(signed_qty - closing)):
            if part:
                self.book(symbol, part, price)

    def split(self, symbol: str, ratio: Decimal, more: Qty) -> None:
        """Give the position *more* shares; what one share cost is divided by *ratio*."""
        old = self.holdings[symbol]
        self.holdings[symbol] = replace(
            old,
            qty=Qty(old.qty + more),
            avg_entry_price=Price(old.avg_entry_price / ratio),
            lastday_price=Price(old.lastday_price / ratio),
            mark_price=Price(old.mark_price / ratio),
        )

    def mark(self, holding: Holding) -> Price:
        """Return the latest price of what is held."""
        return self._prices.last(holding.symbol) or holding.mark_price

    def worth(self, configurations: Configurations) -> Worth:
        """Return the account's worth at the latest prices."""
        long = short = NO_CASH
        for holding in self.holdings.values():
            value = holding.qty * self.mark(holding)
            if value > 0:
                long = Cash(long + value)
            else:
                short = Cash(short + value)
        equity = self.cash + long + short
        asked = int(configurations.max_margin_multiplier)
        multiplier = asked if equity >= REG_T_MINIMUM else 1
        return Worth(
            cash=self.cash,
            long_market_value=long,
            short_market_value=short,
            reserved=self.reserved,
            multiplier=multiplier,
        )

    def start_day(self) -> None:
        """Take the latest closes as yesterday's prices."""
        for symbol, holding in self.holdings.items():
            close = self._prices.close(symbol) or self.mark(holding)
            self.holdings[symbol] = replace(
                holding, lastday_price=close, intraday_basis=Cash(holding.qty * close), mark_price=self.mark(holding)
            )

    def stored(self, symbol: str) -> Holding | None:
        """Return the holding as it goes to the store, with its latest price; None: flat."""
        holding = self.holdings.get(symbol)
        if holding is None:
            return None
        mark = self.mark(holding)
        return holding if mark == holding.mark_price else replace(holding, mark_price=mark)

    def view(self, holding: Holding, asset: Asset, held_qty: Qty) -> PositionView:
        """Return the position with all figures that derive from it."""
        price = self.mark(holding)
        cost = Cash(holding.avg_entry_price * holding.qty)
        value = Cash(holding.qty * price)
        sign = 1 if holding.qty > 0 else -1
        intraday = Cash(value - holding.intraday_basis)
        return PositionView(
            asset_id=asset.id,
            symbol=holding.symbol,
            exchange=asset.exchange,
            asset_marginable=asset.marginable,
            qty=holding.qty,
            qty_available=Qty(holding.qty - sign * held_qty),
            avg_entry_price=Price(_rounded(holding.avg_entry_price, _NINE)),
            cost_basis=Cash(_rounded(cost, _SIX)),
            current_price=price,
            lastday_price=holding.lastday_price,
            market_value=value,
            unrealized_pl=Cash(_rounded(value - cost, _SIX)),
            unrealized_plpc=_ratio(value - cost, abs(cost)),
            unrealized_intraday_pl=Cash(_rounded(intraday, _SIX)),
            unrealized_intraday_plpc=_ratio(intraday, abs(holding.intraday_basis)),
            change_today=_ratio(price - holding.lastday_price, holding.lastday_price),
        )


def account_view(account: AccountState, worth: Worth) -> AccountView:
    """Return the account with all figures that derive from its worth."""
    return AccountView(
        id=account.id,
        account_number=account.account_number,
        created_at=account.created_at,
        balance_asof=account.balance_asof,
        cash=worth.cash,
        equity=worth.equity,
        last_equity=account.last_equity,
        long_market_value=worth.long_market_value,
        short_market_value=worth.short_market_value,
        position_market_value=worth.gross,
        multiplier=str(worth.multiplier),
        buying_power=worth.buying_power(worth.multiplier),
        regt_buying_power=worth.buying_power(min(2, worth.multiplier)),
        non_marginable_buying_power=worth.buying_power(1),
        initial_margin=worth.initial_margin,
        maintenance_margin=worth.maintenance_margin,
        last_maintenance_margin=account.last_maintenance_margin,
        sma=max(NO_CASH, Cash(worth.equity - worth.initial_margin)),
        shorting_enabled=worth.multiplier > 1 and not account.configurations.no_shorting,
        trade_suspended_by_user=account.configurations.suspend_trade,
    )


def _rounded(value: Decimal, step: Decimal) -> Decimal:
    return value.quantize(step, ROUND_HALF_UP)


def _ratio(part: Decimal, whole: Decimal) -> Decimal:
    return _rounded(part / whole, _SIX) if whole else ZERO
