"""The embedded exchange: one account, every order, and the market that comes in. No I/O and no clock.

The one seam where prices are not Decimal: quotes and trades come in as the market data has them (floats), are stored
as they are, and turned into Decimals through their text only when an order or a valuation needs them.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

from deskd.domain.money import Cash, Qty
from deskd.domain.order import Side
from deskd.exchange.account import AccountView, Activity, Asset, Configurations, EquityPoint, PositionView
from deskd.exchange.errors import ApiError
from deskd.exchange.fill_model import FillModel
from deskd.exchange.order import ExchangeOrder, NewOrder, OrderChanges, OrderEvent
from deskd.exchange.session import SessionDay
from deskd.exchange.state import AccountState, Changes, Holding

_LATER = "the body follows"


class Exchange:
    """One account at one market. Every method that takes `now` first lets time pass up to it."""

    def __init__(
        self, *, assets: Iterable[Asset], cash: Cash, fills: FillModel, seed: int, id_seed: int, now: datetime
    ) -> None:
        """Open a new account with *cash*.

        *seed* decides which fills are partial. *id_seed* makes every id: it has to be fresh for every new account
        (tests may fix it), or a desk that outlived its exchange's account would take new orders for old ones.
        """

    # --- what clients ask for ---

    def submit(self, request: NewOrder, now: datetime) -> ExchangeOrder | ApiError:
        """Take the order, or say why not. The answer is the order as it was taken (pending_new or accepted)."""
        raise NotImplementedError(_LATER)

    def replace(self, order_id: str, changes: OrderChanges, now: datetime) -> ExchangeOrder | ApiError:
        """Put a new order in the place of an open one, and return it."""
        raise NotImplementedError(_LATER)

    def cancel(self, order_id: str, now: datetime) -> ApiError | None:
        """Cancel an open order and what hangs on it."""
        raise NotImplementedError(_LATER)

    def cancel_all(self, now: datetime) -> list[tuple[str, ApiError | None]]:
        """Cancel every open order; return each id with its error."""
        raise NotImplementedError(_LATER)

    def close_position(
        self, symbol: str, now: datetime, *, qty: Qty | None = None, percentage: Decimal | None = None
    ) -> ExchangeOrder | ApiError:
        """Send the market order that closes the position, or part of it. *symbol* may be the asset's id."""
        raise NotImplementedError(_LATER)

    def close_all(self, now: datetime, *, cancel_orders: bool) -> list[tuple[str, ExchangeOrder | ApiError]]:
        """Close every position; return each symbol with its order or error."""
        raise NotImplementedError(_LATER)

    def configure(self, configurations: Configurations, now: datetime) -> None:
        """Set the account's own switches."""
        raise NotImplementedError(_LATER)

    # --- what clients read (no time passes: call advance first) ---

    def asset(self, symbol: str) -> Asset | None:
        """Return the asset with this symbol or id."""
        raise NotImplementedError(_LATER)

    def assets(self) -> Sequence[Asset]:
        """Return every asset, by symbol."""
        raise NotImplementedError(_LATER)

    def order(self, order_id: str) -> ExchangeOrder | None:
        """Return the order, a leg too."""
        raise NotImplementedError(_LATER)

    def by_client_order_id(self, client_order_id: str) -> ExchangeOrder | None:
        """Return the order that a client named so."""
        raise NotImplementedError(_LATER)

    def orders(
        self,
        *,
        status: str = "open",
        limit: int = 50,
        after: datetime | None = None,
        until: datetime | None = None,
        is_descending: bool = True,
        is_nested: bool = False,
        symbols: Collection[str] | None = None,
        side: Side | None = None,
        after_order_id: str | None = None,
        before_order_id: str | None = None,
    ) -> list[ExchangeOrder]:
        """Return orders by submitted_at, bounds excluded; nested: without legs (look them up by `legs`)."""
        raise NotImplementedError(_LATER)

    def position(self, symbol: str) -> PositionView | None:
        """Return the open position in the symbol (or asset id)."""
        raise NotImplementedError(_LATER)

    def positions(self) -> list[PositionView]:
        """Return every open position, by symbol."""
        raise NotImplementedError(_LATER)

    def account(self) -> AccountView:
        """Return the account's figures at the latest prices."""
        raise NotImplementedError(_LATER)

    @property
    def configurations(self) -> Configurations:
        """Return the account's own switches."""
        raise NotImplementedError(_LATER)

    def activities(
        self,
        *,
        types: Collection[str] | None = None,
        order_id: str | None = None,
        on: date | None = None,
        after: datetime | None = None,
        until: datetime | None = None,
        is_descending: bool = True,
        page_size: int = 100,
        page_token: str | None = None,
    ) -> list[Activity]:
        """Return activities by time, bounds excluded; *on* is a day in New York; *page_token* the last id seen."""
        raise NotImplementedError(_LATER)

    def equity_points(self) -> Sequence[EquityPoint]:
        """Return the account's worth at the end of each session, oldest first."""
        raise NotImplementedError(_LATER)

    # --- the market comes in ---

    def list_assets(self, assets: Iterable[Asset]) -> None:
        """Add assets, or replace them by symbol."""
        raise NotImplementedError(_LATER)

    def on_quote(
        self, symbol: str, bid: float | Decimal, bid_size: float, ask: float | Decimal, ask_size: float, now: datetime
    ) -> None:
        """Take the national best bid and offer; a side without a price is zero."""
        raise NotImplementedError(_LATER)

    def on_trade(self, symbol: str, price: float | Decimal, size: float, now: datetime) -> None:
        """Take a print that counts for the last price (the venue leaves out those whose conditions forbid it)."""
        raise NotImplementedError(_LATER)

    def on_halt(self, symbol: str, is_halted: bool, now: datetime) -> None:  # noqa: FBT001
        """Stop or resume fills in the symbol."""
        raise NotImplementedError(_LATER)

    def on_session(self, day: SessionDay | None, now: datetime) -> None:
        """Take today's session times, at its start or at any moment of it; None: the exchange is shut today."""
        raise NotImplementedError(_LATER)

    def advance(self, now: datetime) -> None:
        """Let time pass: acknowledgements, fills, openings, closings, expiries, in their order."""
        raise NotImplementedError(_LATER)

    def next_timer(self) -> datetime | None:
        """Return when `advance` next has something to do."""
        raise NotImplementedError(_LATER)

    # --- what comes out ---

    def take_events(self) -> list[OrderEvent]:
        """Return what happened to orders since the last call, in order."""
        raise NotImplementedError(_LATER)

    def take_changes(self) -> Changes:
        """Return what changed since the last call. It is on disk before an answer or an event leaves."""
        raise NotImplementedError(_LATER)

    # --- tests' switch ---

    def reject_next(self, symbol: str, reason: str) -> None:
        """Have the market reject the next order in *symbol*, after it was taken."""
        raise NotImplementedError(_LATER)


def restore(
    *,
    account: AccountState,
    orders: Iterable[ExchangeOrder],
    holdings: Iterable[Holding],
    activities: Iterable[Activity],
    equity_points: Iterable[EquityPoint],
    assets: Iterable[Asset],
    fills: FillModel,
    now: datetime,
) -> Exchange:
    """Return the exchange as it was when those rows were its changes."""
    raise NotImplementedError(_LATER)
