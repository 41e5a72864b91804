"""What the exchange tells of the account: assets, configuration, positions, activities and all derived figures."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from deskd.domain.events import BrokerStatus
from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """What is traded, as the exchange lists it."""

    id: str
    symbol: str
    name: str
    exchange: str  # NYSE, NASDAQ, ARCA, ...
    tradable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    fractionable: bool = True
    marginable: bool = True


def delisted(asset_id: str, symbol: str) -> Asset:
    """Return what is left of an asset that is traded no more: it can be held, not ordered."""
    return Asset(
        id=asset_id,
        symbol=symbol,
        name=symbol,
        exchange="NYSE",
        tradable=False,
        shortable=False,
        easy_to_borrow=False,
        fractionable=False,
        marginable=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Configurations:
    """The account's own switches (GET and PATCH /v2/account/configurations)."""

    suspend_trade: bool = False
    no_shorting: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: str = "4"  # 1, 2 or 4
    trade_confirm_email: str = "all"
    ptp_no_exception_entry: bool = False
    disable_overnight_trading: bool = False
    max_options_trading_level: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One line of the account's history. FILL rows have the second group, others the third."""

    id: str  # YYYYMMDDHHMMSSmmm::uuid, in New York's time
    activity_type: str  # FILL, CSD
    sequence: int  # counts activities as they came
    at: datetime
    # FILL; symbol and qty also of what moves shares otherwise
    order_id: str | None = None
    order_status: BrokerStatus | None = None
    type: str | None = None  # fill, partial_fill, trade_bust, trade_correct
    side: Side | None = None
    is_short_sale: bool = False  # the wire's side is then sell_short
    symbol: str | None = None
    qty: Qty | None = None
    price: Price | None = None
    cum_qty: Qty | None = None
    leaves_qty: Qty | None = None
    # others
    net_amount: Cash | None = None
    description: str | None = None
    # FILL again: what a stream calls it, and of a bust or a correction (type trade_bust, trade_correct) whose it is
    execution_id: str | None = None
    corrects: str | None = None  # the corrected activity's id


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionView:
    """One open position at the latest price. Short: qty, market_value and cost_basis are negative."""

    asset_id: str
    symbol: str
    exchange: str
    asset_marginable: bool
    qty: Qty
    qty_available: Qty
    avg_entry_price: Price
    cost_basis: Cash
    current_price: Price
    lastday_price: Price
    market_value: Cash
    unrealized_pl: Cash
    unrealized_plpc: Decimal
    unrealized_intraday_pl: Cash
    unrealized_intraday_plpc: Decimal
    change_today: Decimal

    @property
    def side(self) -> str:
        """Return long or short."""
        return "long" if self.qty > 0 else "short"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """Every figure of GET /v2/account that is not constant. equity = cash + long + short, always."""

    id: str
    account_number: str
    created_at: datetime
    balance_asof: date
    cash: Cash
    equity: Cash
    last_equity: Cash
    long_market_value: Cash
    short_market_value: Cash
    position_market_value: Cash
    multiplier: str
    buying_power: Cash
    regt_buying_power: Cash
    non_marginable_buying_power: Cash
    initial_margin: Cash
    maintenance_margin: Cash
    last_maintenance_margin: Cash
    sma: Cash
    shorting_enabled: bool
    trade_suspended_by_user: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityPoint:
    """The account's worth at the end of one session, for the portfolio's history."""

    day: date
    at: datetime
    equity: Cash
