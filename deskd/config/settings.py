"""The one settings tree. Frozen, built once at start, handed on by app.py.

The shipped `etc/desk.toml` names every key with its default and one comment; a test holds it against these classes.
Each field's description is that comment, and the source of the generated reference.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from deskd.domain.job import JobName

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Wait = Annotated[float, Field(ge=0, le=86_400)]  # 0 turns off what it is for
# TOML knows no amounts, paths or tuples: these are made from its texts, numbers and lists. All else is taken as it is.
Money = Annotated[Decimal, Field(gt=0, max_digits=15, strict=False)]
HHMM = r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$"
Percent = Annotated[Decimal, Field(ge=0, lt=100, max_digits=6, decimal_places=4, strict=False)]
Share = Annotated[Decimal, Field(gt=0, le=100, max_digits=12, strict=False)]  # 0.2 is a fifth
FilePath = Annotated[Path, Strict(strict=False)]
Texts = Annotated[tuple[str, ...], Strict(strict=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class DeskSection(_Section):
    """[desk]: who the desk is and where it keeps things."""

    name: str = Field("deskd", description="shown in status and logs")
    state_dir: FilePath = Field(
        Path("var"), description="ledger, logs, strategies' state; relative to this file's checkout"
    )
    runtime_dir: FilePath = Field(Path("var/run"), description="sockets of this run of the desk")
    strategies_dir: FilePath = Field(Path("strategies"), description="one folder per strategy")
    cancel_orders_on_stop: bool = Field(True, description="cancel open orders when the desk stops: nobody watches them")
    db_path: FilePath | None = Field(None, description="the ledger; default: state_dir/desk.db")
    disk_free_min_mb: int = Field(
        100,
        ge=0,
        description="with less room for the ledger the desk takes no new orders; cancels pass; 0 = never mind",
    )
    heartbeat_s: Seconds = Field(300.0, description="say in ledger and drop copy this often that the desk lives")


class BrokerSection(_Section):
    """[broker]: where orders go."""

    mode: Literal["embedded", "alpaca"] = Field(
        "embedded", description="embedded: the built-in exchange; alpaca: Alpaca, with keys"
    )
    paper: bool = Field(True, description="Alpaca's paper account")
    allow_live_trading: bool = Field(False, description="must be true as well before paper = false is accepted")
    trading_url: str | None = Field(None, description="override of the trading REST address")
    data_url: str | None = Field(None, description="override of the market-data REST address")
    data_stream_url: str | None = Field(None, description="override of the market-data websocket address")
    trade_stream_url: str | None = Field(None, description="override of the trade_updates websocket address")
    request_timeout_s: Seconds = Field(5.0, description="a broker request without an answer for so long is in doubt")
    requests_per_min: int = Field(
        200, ge=10, le=1_000_000, description="the broker's limit for the account, until its answers tell another"
    )
    requests_reserve: float = Field(
        0.1, ge=0.02, le=0.5, description="share of them that no order can use: for cancels, kills, look-ups, reconcile"
    )
    queue_wait_max_s: Seconds = Field(
        5.0,
        description="an order waits at most so long for its turn under that limit; then it is not sent, and told so",
    )
    doubt_check_s: Seconds = Field(2.0, description="an order in doubt is asked for by its client_order_id this often")
    doubt_settle_s: Seconds = Field(
        10.0, description="before so long, `not found` of an order in doubt is not believed: it may be on its way"
    )
    stream_silence_s: Seconds = Field(
        10.0, description="an event of an order that the broker told of by REST must come so soon, else: reconnect"
    )
    stream_ping_s: Seconds = Field(5.0, description="both streams are pinged this often")
    stream_ping_answer_s: Seconds = Field(10.0, description="a ping without an answer for so long: reconnect")
    stream_reconnect_max_s: Seconds = Field(30.0, description="longest wait between two tries to reconnect a stream")
    stream_refused_s: Seconds = Field(
        60.0, description="wait between tries while keys or plan are refused: an officer must act"
    )
    reconcile_every_s: Seconds = Field(
        60.0, description="compare orders, positions and cash with the broker this often"
    )


class ExchangeSection(_Section):
    """[exchange]: the embedded exchange."""

    listen: str = Field("127.0.0.1:0", description="HOST:PORT; port 0 takes any free one")
    tape: Texts = Field(("synthetic",), description='files or folders of recorded market data, or "synthetic"')
    speed: float = Field(1.0, ge=0, le=100_000, description="market seconds per second; 0 = as fast as it goes")
    loop: bool = Field(True, description="start the tape again at its end")
    seed: int = Field(1, description="of the synthetic market and of partial fills")
    cash: Money = Field(Decimal(100000), description="of a new account, in dollars")
    fills: Literal["paper", "immediate"] = Field(
        "paper", description="paper: Alpaca's documented paper behaviour; immediate: no latency, no partial fills"
    )
    start: str | None = Field(
        None, description="first market time of the tape to play, RFC 3339 or HH:MM (New York); default: its beginning"
    )
    state: FilePath | None = Field(None, description="the exchange's account; default: state_dir/exchange.db")


class MarketSection(_Section):
    """[market]: market data."""

    feed: Literal["iex", "sip", "delayed_sip"] = Field("iex", description="Alpaca's feed")
    symbols: Texts = Field(("SPY", "AAPL"), description="what a strategy without its own list receives")
    stale_after_s: Seconds = Field(
        30.0,
        description="an order is denied when its quote arrived longer ago; no data for so long in a session: reconnect",
    )
    late_bars_max: int = Field(
        390,
        ge=1,
        le=10_000,
        description="minute bars fetched of one symbol after a gap in the stream; 390 = one session",
    )
    feed_buffer_bytes: int = Field(
        262_144, ge=65_536, le=16_777_216, description="unread lines kept per run before prices are conflated"
    )
    feed_lag_max_s: Seconds = Field(
        0.1, description="a price line unread for so long is dropped where a newer one of its symbol waits behind it"
    )
    order_lines_max: int = Field(
        1_000, ge=10, description="unread order lines of a run before it is stopped as slow_consumer"
    )


class SandboxSection(_Section):
    """[sandbox]: what each run may use."""

    memory_mb: int = Field(
        512,
        ge=16,
        le=65_536,
        description="all memory of one run, its /tmp and /state included; over it the run dies: oom",
    )
    cpu: float = Field(0.5, gt=0, le=64, description="cores; over it the run waits")
    cpu_weight: int = Field(
        20, ge=1, le=100, description="a run's share where cores are short, beside the desk's own of at least 100"
    )
    pids: int = Field(64, ge=4, le=4096, description="processes and threads; over it fork fails")
    tmp_mb: int = Field(64, ge=1, le=4096, description="/tmp of one run; over it writes fail")
    state_mb: int = Field(
        64, ge=1, le=65_536, description="/state of one strategy, kept between runs; counts as memory of the run"
    )
    state_files: int = Field(
        4096, ge=1, le=1_000_000, description="files, folders and links in /state; over either bound writes fail"
    )
    state_save_s: Seconds = Field(
        10.0, description="a running strategy's /state is saved this often where it changed, and whenever a run ends"
    )
    open_files: int = Field(256, ge=16, le=65_536, description="file descriptors of one process")
    log_bytes_per_s: int = Field(
        65_536,
        ge=1_024,
        description="what a run may print, 30 for each line's time included; more is dropped and counted",
    )
    log_flood_s: Seconds = Field(
        30.0, description="a run that prints more for so long without a pause is ended as log_flood"
    )
    log_kept_bytes: int = Field(10_485_760, ge=65_536, description="log kept per strategy, over three files")
    stop_grace_s: Seconds = Field(5.0, description="from end of input to kill")
    stalled_after_s: Wait = Field(
        30.0, description="no line handled for so long while lines wait: a warning; 0 = never"
    )
    stalled_end_after_s: Wait = Field(
        60.0, description="and for so long after the warning: the run ends as stalled; 0 = it is only warned"
    )
    busy_after_s: Wait = Field(
        60.0,
        description="no line handled for so long while lines wait, and its share of the CPU used up: the run ends as cpu_limit; 0 = never",
    )
    python: FilePath | None = Field(None, description="Python environment of strategies; default: the one set-up made")
    packages: Texts = Field(
        ("numpy", "pandas", "scipy", "polars", "TA-Lib", "talipp"),
        description="what strategies may import beside the standard library: NAME or NAME==VERSION; `make strategy-env` builds it",
    )
    requirements: Literal["deny", "wheels"] = Field(
        "deny",
        description="a strategy's own requirements.txt; deny: none; wheels: an officer builds it with `deskctl build NAME`",
    )
    requirements_index: str | None = Field(
        None, description="where those wheels come from: an index's address, or a folder of wheels; default: pip's own"
    )
    requirements_mb: int = Field(
        512, ge=1, le=16_384, description="what one strategy's own packages may take, unpacked"
    )
    jail_dir: FilePath | None = Field(
        None,
        description="what jails bind lies here; default: state_dir, or /var/lib/deskd-ID where strategies' uids cannot reach that",
    )
    uid_first: int = Field(200_000, ge=65_536, le=524_287, description="first host uid of strategies")
    prewarmed: int = Field(
        0,
        ge=0,
        le=1_000,
        description="jails that wait, for so many enabled strategies that do not run: a start then takes some ms; each weighs what its imports weigh; 0 = off",
    )
    unsafe_without_jail: bool = Field(
        False, description="run strategies as plain processes, WITHOUT any protection; for laptops only"
    )


class RestartSection(_Section):
    """[restart]: what happens after a run dies."""

    backoff_initial_s: Seconds = Field(1.0, description="wait before the first restart; doubles each time, with jitter")
    backoff_max_s: Seconds = Field(60.0, description="longest wait")
    healthy_after_s: Seconds = Field(30.0, description="a run that lived so long starts the count anew")
    give_up_after: int = Field(
        5, ge=0, description="deaths in a row before the strategy is `failed`; 0 = never restart"
    )
    watch_s: Seconds = Field(
        2.0, description="folders of strategies that failed or wait are looked at this often: a change is tried at once"
    )
    launches_max: int = Field(
        2, ge=1, le=64, description="runs that are started at the same time; the others wait in line"
    )


class _Limits(_Section):
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
    order_weight: float | None = Field(
        None,
        ge=0.1,
        le=100,
        description="its turns at the broker for each one of another strategy's, where orders wait; default: 1",
    )


class RiskMemberSection(_Limits):
    """[risk.member]: of each member, summed over all strategies; a table risk.members.NAME tightens them for one."""


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


class RiskScheduleSection(_Section):
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


class RiskExitsSection(_Section):
    """[risk.exits]: when the desk closes a position by itself; a strategy's config.json can only tighten them."""

    stop_loss_pct: Percent = Field(Decimal(0), description="percent lost against the average entry price; 0 = off")
    take_profit_pct: Percent = Field(Decimal(0), description="percent won against the average entry price; 0 = off")
    trailing_pct: Percent = Field(Decimal(0), description="percent lost against the best price since; 0 = off")
    spread_max_pct: Percent = Field(Decimal(2), description="of the midpoint: no exit rests on a wider quote")
    quote_age_max_s: Seconds = Field(10.0, description="nor on a quote that arrived longer ago")
    look_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        1.0, description="prices of what is held are looked at this often; what two looks in a row see counts"
    )


class RiskKillSection(_Section):
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


class RiskAutomaticSection(_Section):
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
    window_s: float = Field(60.0, ge=1, le=600, description="the two below are counted over so long, of all strategies")
    deaths_max: int = Field(50, ge=0, le=1_000_000, description="runs that die kill the desk at this number")
    rejects_max: int = Field(50, ge=0, le=1_000_000, description="the broker's rejects kill the desk at this number")
    loop_lag_s: Wait = Field(
        2.0, description="the desk's own turn is late by so much, five looks in a row: kills the desk"
    )


class RiskBreakerSection(_Section):
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


class RiskSection(_Section):
    """[risk]."""

    desk: RiskDeskSection = RiskDeskSection()
    member: RiskMemberSection = RiskMemberSection()
    members: dict[str, RiskMemberSection] = {}
    strategy: RiskStrategySection = RiskStrategySection()
    exits: RiskExitsSection = RiskExitsSection()
    strategies: dict[str, RiskNamedStrategySection] = {}
    schedule: RiskScheduleSection = RiskScheduleSection()
    kill: RiskKillSection = RiskKillSection()
    automatic: RiskAutomaticSection = RiskAutomaticSection()
    breaker: RiskBreakerSection = RiskBreakerSection()


class OrdersSection(_Section):
    """[orders]: orders that the broker would refuse because of another strategy's order."""

    conflict: Literal["deny", "hold", "cross"] = Field(
        "deny",
        description="deny: the author is told what is in the way; hold: the order waits until that has ended; "
        "cross: as hold, but what two strategies' orders have to meet is exchanged at the desk at the midpoint; "
        "never with real money",
    )
    hold_max_s: Seconds = Field(30.0, le=3600, description="an order waits at most so long, then it ends unsent")


class JobsSection(_Section):
    """[jobs]: what the desk does by itself before the open and after the close; `deskctl jobs` lists it."""

    enabled: bool = Field(True, description="false: jobs run by hand only, with deskctl jobs run NAME")
    off: tuple[JobName, ...] = Field((), strict=False, description="jobs that run by hand only, such as backup")
    before_open_min: int = Field(30, ge=1, le=240, description="minutes before the open at which the checks run")
    after_close_min: int = Field(
        5, ge=1, le=240, description="minutes after the close, an early one too, at which the end of the day begins"
    )
    backup_dir: FilePath | None = Field(
        None, description="backups of the ledger; default: state_dir/backups; another disk is better"
    )
    backups_kept: int = Field(14, ge=1, le=10_000, description="the newest so many backups are kept")
    reports_kept_days: int = Field(400, ge=1, le=36_500, description="reports older than this are removed")
    logs_kept_days: int = Field(30, ge=1, le=36_500, description="logs that no run wrote to for so long are removed")


class ApiSection(_Section):
    """[api]: the order endpoint."""

    local_port: int = Field(
        0, ge=0, le=65_535, description="loopback TCP port with the same routes for laptops; 0 = off"
    )
    answer_timeout_s: Seconds = Field(
        10.0, description="a strategy waits at most so long for the broker's answer, then gets `pending`"
    )
    connections_max: int = Field(16, ge=1, description="open connections of one run")


class MetricsSection(_Section):
    """[metrics]: figures for Prometheus, at http://LISTEN/metrics, and the desk's health, at /health and /ready."""

    listen: str = Field("127.0.0.1:9464", description='HOST:PORT; "" = off; port 0 takes any free one')
    allow_public: bool = Field(
        False,
        description="must be true before listen may name an address that other machines reach: nothing asks who reads",
    )
    money: bool = Field(
        False, description="show P&L, equity and positions of each strategy: to every user of this machine"
    )


class NotificationsSection(_Section):
    """[notifications]: who hears of what: names of routes by topic; their addresses stand in a file of their own."""

    routes_file: FilePath | None = Field(
        None,
        description="TOML, 0600: [routes] NAME = apprise address, [members] MEMBER = names; default: the credential notification_routes",
    )
    paper_trading: Texts = Field((), description="routes of fills and rejections, paper money and embedded exchange")
    live_trading: Texts = Field((), description="routes of fills and rejections, real money")
    heartbeat: Texts = Field((), description="routes of the desk's heartbeat, every desk.heartbeat_s")
    system_alerts: Texts = Field(
        (), description="routes of streams, discrepancies, disk, failed strategies, start, stop"
    )
    risk: Texts = Field((), description="routes of kills, exits, limits on losses")
    daily_summary: Texts = Field((), description="routes of the day's summary")
    backtest_results: Texts = Field((), description="routes of backtests' results")
    scanner: Texts = Field((), description="routes of what a scan of the market found")
    calendar: Texts = Field((), description="routes of market days and corporate actions")
    digest_s: Seconds = Field(60.0, description="fills are gathered for so long, then told as one message")
    stream_down_after_s: Seconds = Field(60.0, description="a stream that is down for less is not told")
    per_minute_max: int = Field(10, ge=1, le=600, description="messages on one route; what is more is told together")
    tries_max: int = Field(
        8,
        ge=1,
        le=100,
        description="then a notification waits for `deskctl notify retry`; tries are 5 s to 15 min apart",
    )


class LogSection(_Section):
    """[log]."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is written")
    format: Literal["auto", "text", "json"] = Field(
        "auto", description="auto: text on a terminal, fields in the journal, JSON otherwise"
    )


class Config(BaseSettings):
    """The whole of desk.toml.

    `Config()` is the defaults: it reads no file and no environment. Only the loader hands it sources.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        env_prefix="DESKD_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )

    desk: DeskSection = DeskSection()
    broker: BrokerSection = BrokerSection()
    exchange: ExchangeSection = ExchangeSection()
    market: MarketSection = MarketSection()
    sandbox: SandboxSection = SandboxSection()
    restart: RestartSection = RestartSection()
    risk: RiskSection = RiskSection()
    orders: OrdersSection = OrdersSection()
    jobs: JobsSection = JobsSection()
    api: ApiSection = ApiSection()
    metrics: MetricsSection = MetricsSection()
    notifications: NotificationsSection = NotificationsSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave out the process's environment: a test or a room that builds a Config gets what it wrote."""
        return (init_settings,)
