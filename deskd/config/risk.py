"""[risk.*]: what bounds strategies, members and the desk, and what stops them."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from deskd.config.section import HHMM, USER_ID, Money, Percent, Seconds, Section, Share, Texts, Wait


class _Limits(Section):
    """What can be bounded at every scope. The tightest bound holds, whichever scope it stands at."""

    order_notional_max: Money | None = Field(None, description="value of one order")
    order_qty_max: Money | None = Field(None, description="shares of one order")
    position_qty_max: Money | None = Field(None, description="shares of one symbol, long or short")
    position_notional_max: Money | None = Field(None, description="value of one position")
    position_share_max: Share | None = Field(None, description="value of one position as a share of the equity")
    open_orders_max: int | None = Field(None, ge=1, description="open orders at a time")
    orders_per_day_max: int | None = Field(None, ge=1, description="orders per market day, denied ones not counted")
    orders_per_minute_max: int | None = Field(
        None, ge=1, le=1_000_000, description="orders within a minute, denied ones not counted"
    )
    gross_exposure_max: Share | None = Field(
        None, description="longs plus shorts, open orders counted, as a share of the allocation"
    )
    net_exposure_max: Share | None = Field(
        None, description="longs less shorts, open orders counted, as a share of the allocation"
    )
    daily_loss_max: Money | None = Field(
        None, description="lost since the market day began, realized or not; then only what closes passes"
    )
    drawdown_max: Share | None = Field(
        None, description="lost since the equity's peak, as a share of it; then only what closes passes"
    )
    price_collar: Share | None = Field(
        None, description="how far a limit price may lie through the market's far side, as a share of it"
    )
    allow_short: bool | None = Field(None, description="may they sell what they do not hold; every scope must allow it")
    symbols_allowed: Texts | None = Field(None, description="what may be traded; none: all that strategies name")
    symbols_denied: Texts | None = Field(None, description="what may not")


class RiskStrategySection(_Limits):
    """[risk.strategy]: limits of each strategy; a table risk.strategies.NAME and its config.json can only tighten them."""

    allocation: Money = Field(Decimal(10000), description="capital given to a new strategy, in dollars")
    order_notional_max: Money = Field(Decimal(5000), description="value of one order")
    order_qty_max: Money = Field(Decimal(1000), description="shares of one order")
    position_qty_max: Money = Field(Decimal(1000), description="shares of one symbol, long or short")
    position_notional_max: Money = Field(Decimal(5000), description="value of one position")
    position_share_max: Share = Field(Decimal("0.20"), description="value of one position as a share of the equity")
    open_orders_max: int = Field(20, ge=1, description="open orders at a time")
    orders_per_day_max: int = Field(500, ge=1, description="orders per market day, denied ones not counted")
    orders_per_minute_max: int = Field(
        100, ge=1, le=1_000_000, description="orders within a minute, denied ones not counted"
    )
    gross_exposure_max: Share = Field(
        Decimal("0.95"), description="longs plus shorts, open orders counted, as a share of the allocation"
    )
    net_exposure_max: Share = Field(
        Decimal("0.95"), description="longs less shorts, open orders counted, as a share of the allocation"
    )
    daily_loss_max: Money = Field(
        Decimal(500), description="lost since the market day began, realized or not; then only what closes passes"
    )
    drawdown_max: Share = Field(
        Decimal("0.10"), description="lost since the equity's peak, as a share of it; then only what closes passes"
    )
    duplicate_window_s: float = Field(
        0.5, ge=0, le=60, description="the same order again within this time is denied; 0 = off"
    )
    stop_cooldown_s: float = Field(
        0.0,
        ge=0,
        le=86_400,
        description="after a stop closed a position nothing opens in the symbol for so long; 0 = off",
    )
    requests_per_s: int = Field(20, ge=1, description="requests per second to the order socket; over it: HTTP 429")


class RiskNamedStrategySection(_Limits):
    """[risk.strategies.NAME]: one strategy's, tighter than [risk.strategy], and its own allocation."""

    allocation: Money | None = Field(None, description="capital given to it, in dollars; in place of [risk.strategy]'s")
    member: str | None = Field(
        None,
        pattern=USER_ID,
        description="whose it is, whatever its config.json says; default: as its user_id was first",
    )
    order_weight: float | None = Field(
        None,
        ge=0.1,
        le=100,
        description="its turns at the broker for each one of another strategy's, where orders wait; default: 1",
    )


class RiskMemberSection(_Limits):
    """[risk.member]: of each member, summed over all strategies; a table risk.members.NAME tightens them for one."""

    allocation: Money | None = Field(
        None, description="capital of all their strategies together, in dollars; who came first has theirs first"
    )


class RiskDeskSection(_Limits):
    """[risk.desk]: limits of the whole desk: what is summed is summed over all strategies."""

    allow_short: bool = Field(False, description="may strategies sell what they do not hold")
    symbols_allowed: Texts = Field((), description="what the desk trades; empty: all that strategies name")
    symbols_denied: Texts = Field((), description="what nobody trades here")
    price_collar: Share = Field(
        Decimal("0.05"), description="how far a limit price may lie through the market's far side, as a share of it"
    )
    concentration_max: Share = Field(
        Decimal("0.50"), description="one symbol in all books together, as a share of the account's equity"
    )
    orders_wait_for_open: bool = Field(
        False, description="take orders while the market is closed, to wait for its open; else they are denied"
    )
    pattern_day_trader: Literal["off", "warn", "enforce"] = Field(
        "off", description="the classic rule, from our own fills: four day trades in five days under $25,000"
    )


class RiskScheduleSection(Section):
    """[risk.schedule]: when strategies open anything; a strategy's config.json can only tighten it."""

    opens: str = Field("00:00", pattern=HHMM, description="new orders pass from here, New York time")
    closes: str = Field("24:00", pattern=HHMM, description="up to here; what only closes a position always passes")
    days: Texts = Field(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), description="on these days of New York")
    no_new_before_close_min: int = Field(
        0, ge=0, le=390, description="minutes before the close, early ones too, in which nothing opens; 0 = off"
    )
    flatten_before_close_min: int = Field(
        0, ge=0, le=390, description="minutes before the close in which what is held is closed; 0 = off"
    )


class RiskExitsSection(Section):
    """[risk.exits]: when the desk closes a position by itself; a strategy's config.json can only tighten them."""

    stop_loss_pct: Percent = Field(Decimal(0), description="percent lost against the average entry price; 0 = off")
    take_profit_pct: Percent = Field(Decimal(0), description="percent won against the average entry price; 0 = off")
    trailing_pct: Percent = Field(Decimal(0), description="percent lost against the best price since; 0 = off")
    spread_max_pct: Percent = Field(Decimal(2), description="of the midpoint: no exit rests on a wider quote")
    quote_age_max_s: Seconds = Field(10.0, description="nor on a quote that arrived longer ago")
    look_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        1.0, description="prices of what is held are looked at this often; what two looks in a row see counts"
    )


class RiskKillSection(Section):
    """[risk.kill]: the kill switch."""

    depth: Literal["stop_new", "cancel", "flatten"] = Field(
        "cancel", description="of a kill by a file named KILL in state_dir or runtime_dir, or by SIGUSR1"
    )
    after_hours: Literal["queue", "extended"] = Field(
        "queue",
        description="closing outside the regular session; queue: at the market when it opens; extended: now, by limit orders",
    )
    suspend_trade: bool = Field(
        True, description="a kill of the desk that cancels also suspends the broker's account, until it is released"
    )


class RiskAutomaticSection(Section):
    """[risk.automatic]: when the desk pulls the kill switch by itself; only an officer releases it. 0 turns one off."""

    depth: Literal["reduce_only", "stop_new", "cancel", "flatten"] = Field(
        "stop_new", description="how deep such a kill goes"
    )
    strategy_daily_loss_pct: Percent = Field(
        Decimal(10), description="lost since the market day began, percent of the allocation: kills the strategy"
    )
    strategy_drawdown_pct: Percent = Field(
        Decimal(20), description="lost since the equity's peak, percent of it: kills the strategy"
    )
    member_daily_loss_pct: Percent = Field(
        Decimal(10), description="the same of all strategies of a member: kills the member's"
    )
    member_drawdown_pct: Percent = Field(Decimal(20), description="the same of all strategies of a member")
    desk_daily_loss_pct: Percent = Field(Decimal(10), description="the same of all strategies: kills the desk")
    desk_drawdown_pct: Percent = Field(Decimal(20), description="the same of all strategies")
    drift_s: Wait = Field(
        900.0,
        description="a difference with the broker that nobody settles for so long kills its symbol; one of cash the desk",
    )
    stale_stream_s: Wait = Field(
        300.0, description="a stream of the broker that stays away so long in an open market kills the desk"
    )
    window_s: float = Field(60.0, ge=1, le=600, description="the three below are counted over so long")
    deaths_max: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description="runs that die kill the desk at this number, where most members lost one; else the member who reaches it",
    )
    rejects_max: int = Field(
        50, ge=0, le=1_000_000, description="the broker's rejects: the same; of most members the desk, else the member"
    )
    broker_errors_max: int = Field(
        100,
        ge=0,
        le=1_000,
        description="requests that the broker fails (5xx) or leaves unanswered in that time kill the desk at this number",
    )
    loop_lag_s: Wait = Field(
        2.0, description="the desk's own turn is late by so much, five looks in a row: kills the desk"
    )


class RiskBreakerSection(Section):
    """[risk.breaker]: each strategy's circuit breaker; open, only what reduces a position passes. 0 turns a bound off."""

    window_s: float = Field(60.0, ge=1, le=600, description="is counted over so long; as long is the probation")
    rejects_max: int = Field(20, ge=0, le=1_000, description="the broker's rejects open it at this number")
    denials_max: int = Field(600, ge=0, le=1_000, description="the gate's denials open it at this number")
    deaths_max: int = Field(10, ge=0, le=1_000, description="runs that die open it at this number")
    cooldown_s: Seconds = Field(300.0, description="it is open for so long; twice as long with each time in a row")
    cooldown_max_s: Seconds = Field(3_600.0, description="but no longer")
    trips_max: int = Field(
        5, ge=0, le=1_000, description="opened so often in a row it kills the strategy; only an officer releases that"
    )


class RiskSection(Section):
    """[risk]."""

    desk: RiskDeskSection = RiskDeskSection()
    member: RiskMemberSection = RiskMemberSection()
    members: dict[str, RiskMemberSection] = {}  # noqa: RUF012  the model copies it
    strategy: RiskStrategySection = RiskStrategySection()
    exits: RiskExitsSection = RiskExitsSection()
    strategies: dict[str, RiskNamedStrategySection] = {}  # noqa: RUF012
    schedule: RiskScheduleSection = RiskScheduleSection()
    kill: RiskKillSection = RiskKillSection()
    automatic: RiskAutomaticSection = RiskAutomaticSection()
    breaker: RiskBreakerSection = RiskBreakerSection()
