"""The embedded exchange: one account, every order, and the market that comes in. No I/O and no clock.

Rule 1: every method that takes `now` first lets time pass up to it.
Rule 2: quotes and trades come in as the market data has them (floats), are stored as they are, and become Decimals
through their text only when an order or a valuation needs them. This is the one seam where a price is no Decimal.
Rule 3: what must be on disk (`take_changes`) is stored before an answer or an event (`take_events`) leaves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Self

from deskd.domain.market import Session
from deskd.domain.money import NO_QTY, Cash, Price, Qty
from deskd.domain.order import OrderClass, OrderType, Side, TimeInForce
from deskd.exchange import errors
from deskd.exchange.account import AccountView, Activity, Asset, Configurations, EquityPoint, PositionView, delisted
from deskd.exchange.back_office import BackOffice
from deskd.exchange.books import Books
from deskd.exchange.checks import Evidence, check
from deskd.exchange.engine import Engine
from deskd.exchange.errors import ApiError
from deskd.exchange.fill_model import FillModel
from deskd.exchange.form import check_form, check_replacement
from deskd.exchange.generator import Generator
from deskd.exchange.intake import as_request, make_order, make_replacement
from deskd.exchange.journal import Journal
from deskd.exchange.matching import SHARE
from deskd.exchange.order import ExchangeOrder, NewOrder, OrderChanges, OrderEvent, OrderWord
from deskd.exchange.portfolio import Portfolio, account_view
from deskd.exchange.prices import Prices, Raw, is_price, to_price
from deskd.exchange.promises import promised
from deskd.exchange.session import SessionDay
from deskd.exchange.state import AccountState, Changes, Holding, new_account
from deskd.exchange.timetable import NEVER, Timetable

_HUNDRED = Decimal(100)


class Exchange:
    """One account at one market."""

    def __init__(
        self, *, assets: Iterable[Asset], cash: Cash, fills: FillModel, seed: int, id_seed: int, now: datetime
    ) -> None:
        """Open a new account with *cash*.

        *seed* decides which fills are partial. *id_seed* makes every id: it has to be fresh for every new account
        (tests may fix it), or a desk that outlived its exchange's account would take new orders for old ones.
        """
        self._build(new_account(cash, seed=seed, id_seed=id_seed, now=now), assets=assets, fills=fills, now=now)
        self._books.deposit(cash)

    def _build(
        self,
        account: AccountState,
        *,
        assets: Iterable[Asset],
        fills: FillModel,
        now: datetime,
        holdings: Iterable[Holding] = (),
        activities: Iterable[Activity] = (),
        equity_points: Iterable[EquityPoint] = (),
    ) -> None:
        self._account = account
        self._assets: dict[str, Asset] = {}
        self._symbols: dict[str, str] = {}  # by asset id
        self._prices = Prices()
        self._timetable = Timetable(now)
        self._journal = Journal(activities, equity_points)
        self._portfolio = Portfolio(account.cash, holdings, self._prices)
        self._random = Generator(account.random_state)
        self._books = Books(
            portfolio=self._portfolio,
            journal=self._journal,
            timetable=self._timetable,
            ids=Generator(account.id_state),
            sequence=account.sequence,
        )
        self._engine = Engine(
            books=self._books, prices=self._prices, timetable=self._timetable, fills=fills, random=self._random
        )
        self.back_office = BackOffice(self._books, self._timetable)
        self._rejections: dict[str, str] = {}
        self._quotes = self._prices.quotes  # the fast path's own names
        self._trades = self._prices.trades
        self._working = self._books.register.working_in
        self.orders = self._books.register.listed  # what clients list: see there for the filters
        self.activities = self._journal.listed
        self.list_assets(assets)

    @classmethod
    def restored(
        cls,
        *,
        account: AccountState,
        orders: Iterable[ExchangeOrder],
        holdings: Iterable[Holding],
        activities: Iterable[Activity],
        equity_points: Iterable[EquityPoint],
        assets: Iterable[Asset],
        fills: FillModel,
        now: datetime,
    ) -> Self:
        """Return the exchange as it was when those rows were its changes."""
        self = cls.__new__(cls)
        self._build(
            account,
            assets=assets,
            fills=fills,
            now=now,
            holdings=holdings,
            activities=activities,
            equity_points=equity_points,
        )
        for order in sorted(orders, key=lambda o: o.sequence):
            if order.symbol not in self._assets:  # this market does not have it any more
                self.list_assets([delisted(order.asset_id, order.symbol)])
            self._books.put_back(order)
            if order.is_open:
                self._engine.schedule(order)
        return self

    # --- what clients ask for -----------------------------------------------------------------------------------------

    def submit(self, request: NewOrder, now: datetime) -> ExchangeOrder | ApiError:
        """Take the order, or say why not. The answer is the order as it was taken (pending_new or accepted)."""
        self.advance(now)
        # Before all else: a client that asks twice has to hear that its first order came to be, whatever else changed.
        if request.client_order_id is not None and self._books.register.by_client_id(request.client_order_id):
            return errors.client_order_id_is_taken()
        if error := check_form(request):
            return error
        asset = self.asset(request.symbol)
        if asset is None:
            return errors.asset_is_unknown(request.symbol)
        evidence = self._evidence(request, asset)
        if error := check(evidence):
            return error
        order, legs = make_order(evidence, self._books)
        order.reject_reason = self._rejections.pop(order.symbol, None)
        self._engine.take(order, legs)
        return self._answer(order)

    def replace(self, order_id: str, changes: OrderChanges, now: datetime) -> ExchangeOrder | ApiError:
        """Put a new order in the place of an open one, and return it."""
        self.advance(now)
        register = self._books.register
        old = register.by_id.get(order_id)
        if old is None:
            return errors.order_not_found(order_id)
        if changes.client_order_id is not None and register.by_client_id(changes.client_order_id):
            return errors.client_order_id_is_taken()
        if error := check_replacement(old, changes):
            return error
        legs = tuple(leg for leg in (register.by_id[i] for i in old.legs) if leg.is_open)
        request = as_request(old, changes, legs)
        if error := check_form(request):
            return error
        evidence = self._evidence(request, self._assets[old.symbol], replaced=old)
        if error := check(evidence):
            return error
        new = make_replacement(old, changes, evidence, self._books)
        old.replaced_by = new.id
        self._books.end(old, OrderWord.REPLACED)
        self._books.hand_over(old, new)
        self._engine.take(new)
        return self._answer(new)

    def cancel(self, order_id: str, now: datetime) -> ApiError | None:
        """Cancel an open order and what hangs on it."""
        self.advance(now)
        order = self._books.register.by_id.get(order_id)
        if order is None:
            return errors.order_not_found(order_id)
        if not order.is_open:
            return errors.order_is_final(order.status)
        self._engine.end(order, OrderWord.CANCELED)
        return None

    def cancel_all(self, now: datetime) -> list[tuple[str, ApiError | None]]:
        """Cancel every open order; return each id with its error."""
        self.advance(now)
        orders = self._books.register.open_orders()
        for order in orders:
            if order.is_open:  # not yet gone with its group
                self._engine.end(order, OrderWord.CANCELED)
        return [(order.id, None) for order in orders]

    def close_position(
        self, symbol: str, now: datetime, *, qty: Qty | None = None, percentage: Decimal | None = None
    ) -> ExchangeOrder | ApiError:
        """Send the market order that closes the position, or part of it. *symbol* may be the asset's id."""
        self.advance(now)
        if qty is not None and percentage is not None:
            return errors.close_needs_one_size()
        if percentage is not None and not 0 < percentage <= _HUNDRED:
            return errors.percentage_is_out_of_bounds()
        asset = self.asset(symbol)
        if asset is None:
            return errors.symbol_not_found(symbol)
        holding = self._portfolio.holdings.get(asset.symbol)
        if holding is None:
            return errors.position_not_found()
        size = abs(holding.qty)
        if qty is not None:
            size = qty
        elif percentage is not None:
            size = (size * percentage / _HUNDRED).quantize(SHARE, ROUND_DOWN)
        request = NewOrder(
            symbol=asset.symbol,
            side=Side.SELL if holding.qty > 0 else Side.BUY,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.DAY,
            qty=Qty(size),
        )
        return self.submit(request, now)

    def close_all(self, now: datetime, *, cancel_orders: bool) -> list[tuple[str, ExchangeOrder | ApiError]]:
        """Close every position; return each symbol with its order or error."""
        if cancel_orders:
            self.cancel_all(now)
        self.advance(now)
        return [(symbol, self.close_position(symbol, now)) for symbol in sorted(self._portfolio.holdings)]

    def configure(self, configurations: Configurations, now: datetime) -> None:
        """Set the account's own switches."""
        self.advance(now)
        self._account = replace(self._account, configurations=configurations)
        self._journal.is_account_dirty = True

    def _answer(self, order: ExchangeOrder) -> ExchangeOrder:
        answer = order.snapshot()
        self.advance(self._timetable.now)  # what takes no time happens at once, after the answer
        return answer

    def _evidence(self, request: NewOrder, asset: Asset, *, replaced: ExchangeOrder | None = None) -> Evidence:
        """Gather what the checks look at; an order that is to be replaced holds nothing any more."""
        timetable, symbol = self._timetable, asset.symbol
        orders = list(self._books.register.open_in.get(symbol, {}).values())
        if replaced is not None:
            orders = [o for o in orders if not o.is_together_with(replaced)]
        position_qty = self._portfolio.qty(symbol)
        closes = position_qty * request.side.sign < 0
        held, holders = promised(orders) if closes else (NO_QTY, ())
        against = [o for o in orders if o.side is not request.side]
        worth = self._portfolio.worth(self._account.configurations)
        if replaced is not None:
            worth = replace(worth, reserved=Cash(worth.reserved - replaced.reserved))
            if replaced.order_class is not OrderClass.SIMPLE:
                against = []  # complex orders are exempt from the rules between orders
        return Evidence(
            request=request,
            asset=asset,
            configurations=self._account.configurations,
            now=timetable.now,
            day=timetable.day,
            session=timetable.session,
            nbbo=self._engine.nbbo(symbol),
            last=self._prices.last(symbol),
            position_qty=position_qty,
            held_qty=held,
            holders=holders,
            against=against,
            worth=worth,
        )

    # --- what clients read (no time passes: call advance first) -------------------------------------------------------

    def asset(self, symbol: str) -> Asset | None:
        """Return the asset with this symbol or id."""
        return self._assets.get(symbol) or self._assets.get(self._symbols.get(symbol, ""))

    def assets(self) -> Sequence[Asset]:
        """Return every asset, by symbol."""
        return [self._assets[symbol] for symbol in sorted(self._assets)]

    def order(self, order_id: str) -> ExchangeOrder | None:
        """Return the order, a leg too."""
        return self._books.register.by_id.get(order_id)

    def by_client_order_id(self, client_order_id: str) -> ExchangeOrder | None:
        """Return the order that a client named so."""
        return self._books.register.by_client_id(client_order_id)

    def position(self, symbol: str) -> PositionView | None:
        """Return the open position in the symbol (or asset id)."""
        asset = self.asset(symbol)
        holding = None if asset is None else self._portfolio.holdings.get(asset.symbol)
        return None if holding is None else self._view(holding)

    def positions(self) -> list[PositionView]:
        """Return every open position, by symbol."""
        return [self._view(self._portfolio.holdings[symbol]) for symbol in sorted(self._portfolio.holdings)]

    def _view(self, holding: Holding) -> PositionView:
        held, _ = promised(self._books.register.open_in.get(holding.symbol, {}).values())
        return self._portfolio.view(holding, self._assets[holding.symbol], held)

    def last_price(self, symbol: str) -> Price | None:
        """Return the latest price, if the symbol has one."""
        return self._prices.last(symbol) if symbol in self._assets else None

    def account(self) -> AccountView:
        """Return the account's figures at the latest prices."""
        return account_view(self._account, self._portfolio.worth(self._account.configurations))

    @property
    def configurations(self) -> Configurations:
        """Return the account's own switches."""
        return self._account.configurations

    def equity_points(self) -> Sequence[EquityPoint]:
        """Return the account's worth at the end of each session, by day."""
        return sorted(self._journal.equity_points.values(), key=lambda p: p.day)

    # --- the market comes in ------------------------------------------------------------------------------------------

    def list_assets(self, assets: Iterable[Asset]) -> None:
        """Add assets, or replace them by symbol."""
        for asset in assets:
            self._assets[asset.symbol] = asset
            self._symbols[asset.id] = asset.symbol

    def on_quote(  # noqa: PLR0917  a call per quote: keywords would cost
        self,
        symbol: str,
        bid: Raw,
        bid_size: Raw,  # noqa: ARG002  paper does not check sizes
        ask: Raw,
        ask_size: Raw,  # noqa: ARG002
        now: datetime,
    ) -> None:
        """Take the national best bid and offer; a side without a price is zero."""
        if now >= self._timetable.due:
            self.advance(now)
        self._quotes[symbol] = (bid, ask, now)
        if symbol in self._working:
            self.advance(now)
            self._engine.on_quote(symbol, self._working[symbol])

    def on_trade(self, symbol: str, price: Raw, size: Raw, now: datetime) -> None:  # noqa: ARG002  paper does not check sizes
        """Take a print that counts for the last price (the venue leaves out those whose conditions forbid it)."""
        if now >= self._timetable.due:
            self.advance(now)
        if not is_price(price):
            return
        self._trades[symbol] = price
        if symbol in self._working:
            self.advance(now)
            self._engine.on_trade(self._working[symbol], to_price(price))

    def on_halt(self, symbol: str, is_halted: bool, now: datetime) -> None:  # noqa: FBT001  the venue's call reads well
        """Stop or resume fills in the symbol. What was quoted before counts no more."""
        self.advance(now)
        self._quotes.pop(symbol, None)
        if is_halted:
            self._engine.halted.add(symbol)
        else:
            self._engine.halted.discard(symbol)

    def on_session(self, day: SessionDay | None, now: datetime) -> None:
        """Take today's session times, at its start or at any moment of it; None: the exchange is shut today.

        Time may go back: a tape that plays in a loop starts again.
        """
        has_restarted = now < self._timetable.now
        if has_restarted:
            self._prices.quotes.clear()
            self._timetable.rewind(now)
        else:
            self.advance(now)
        if day is None:
            return
        self._timetable.set_day(day)
        if has_restarted or day.day != self._account.day:
            self._engine.start_day(has_restarted=has_restarted)
            self._start_day(day.day)
        self._engine.begin_session()

    def advance(self, now: datetime) -> None:
        """Let time pass: acknowledgements, fills, openings, closings, expiries, in their order."""
        while (due := self._timetable.pop(now)) is not None:
            match due:
                case Session.POST:
                    self._engine.end_session()
                    self._end_day()
                    self._engine.begin_session()
                case Session.CLOSED:
                    self._engine.end_session()
                case Session.PRE | Session.REGULAR:
                    self._engine.begin_session()
                case order_id:
                    self._engine.wake(self._books.register.by_id[order_id])

    def next_timer(self) -> datetime | None:
        """Return when `advance` next has something to do."""
        due = self._timetable.due
        return None if due is NEVER else due

    def _end_day(self) -> None:
        assert self._timetable.day is not None, "a session ended, so there is a day"
        self._prices.closes = dict(self._trades)
        equity = self._portfolio.worth(self._account.configurations).equity
        point = EquityPoint(day=self._timetable.day.day, at=self._timetable.now, equity=equity)
        self._journal.add_equity_point(point)
        self._account = replace(self._account, last_close=point)
        self._journal.is_account_dirty = True

    def _start_day(self, day: date) -> None:
        self._portfolio.start_day()
        self._journal.dirty_holdings.update(self._portfolio.holdings)
        self._journal.is_account_dirty = True
        last = self._account.last_close
        margin = self._portfolio.worth(self._account.configurations).maintenance_margin
        self._account = replace(
            self._account,
            day=day,
            last_equity=self._account.last_equity if last is None else last.equity,
            balance_asof=self._account.balance_asof if last is None else last.day,
            last_maintenance_margin=margin,
        )

    # --- what comes out -----------------------------------------------------------------------------------------------

    def take_events(self) -> list[OrderEvent]:
        """Return what happened to orders since the last call, in order."""
        return self._journal.take_events()

    def take_changes(self) -> Changes:
        """Return what changed since the last call. It is on disk before an answer or an event leaves."""
        account = None
        if self._journal.is_account_dirty:
            self._account = account = replace(
                self._account,
                cash=self._portfolio.cash,
                random_state=self._random.state,
                id_state=self._books.ids.state,
                sequence=self._books.sequence,
            )
        return self._journal.take_changes(self._portfolio, account)

    # --- tests' switch ------------------------------------------------------------------------------------------------

    def reject_next(self, symbol: str, reason: str) -> None:
        """Have the market reject the next order in *symbol*, after it was taken."""
        self._rejections[symbol] = reason


restore = Exchange.restored
