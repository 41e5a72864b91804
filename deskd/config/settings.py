"""The one settings tree. Frozen, built once at start, handed on by app.py.

The shipped `etc/desk.toml` names every key with its default and one comment; a test holds it against these classes.
Each field's description is that comment, and the source of the generated reference.
"""

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from deskd.config.risk import RiskSection
from deskd.config.section import FilePath, Money, Seconds, Section, Texts, Wait
from deskd.domain.job import JobName


class DeskSection(Section):
    """[desk]: who the desk is and where it keeps things."""

    name: str = Field("deskd", description="shown in status and logs")
    state_dir: FilePath = Field(
        Path("var"), description="ledger, logs, strategies' state; relative to this file's checkout"
    )
    runtime_dir: FilePath = Field(Path("var/run"), description="sockets of this run of the desk")
    strategies_dir: FilePath = Field(Path("strategies"), description="one folder per strategy")
    cancel_orders_on_stop: bool = Field(
        True, description="cancel open orders when the desk stops, but for gtc orders, which stay at the broker"
    )
    db_path: FilePath | None = Field(None, description="the ledger; default: state_dir/desk.db")
    disk_free_min_mb: int = Field(
        100,
        ge=0,
        description="with less room for the ledger the desk takes no new orders; cancels pass; 0 = never mind",
    )
    heartbeat_s: Seconds = Field(300.0, description="say in ledger and drop copy this often that the desk lives")


class BrokerSection(Section):
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


class ExchangeSection(Section):
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


class MarketSection(Section):
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


class SandboxSection(Section):
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
    stop_grace_s: float = Field(
        5.0, gt=0, le=600, description="from end of input to kill; a stop takes up to twice as long"
    )
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


class RestartSection(Section):
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


class StrategiesSection(Section):
    """[strategies]: whether folders in strategies_dir come into use by themselves."""

    pick_up_after_s: Wait = Field(
        0.0,
        description="a new or changed folder that is sound comes into use once nothing in it has changed for so long; "
        "0 = only by command",
    )
    pick_up_stage: Literal["active", "shadow", "paused"] = Field(
        "active",
        description="the loosest stage that what was picked up may have; a stricter one that somebody set stays",
    )


class OrdersSection(Section):
    """[orders]: orders that the broker would refuse because of another strategy's order."""

    conflict: Literal["deny", "hold", "cross"] = Field(
        "deny",
        description="deny: the author is told what is in the way; hold: the order waits until that has ended; "
        "cross: as hold, but what two strategies' orders have to meet is exchanged at the desk at the midpoint; "
        "never with real money",
    )
    hold_max_s: Seconds = Field(30.0, le=3600, description="an order waits at most so long, then it ends unsent")


class JobsSection(Section):
    """[jobs]: what the desk does by itself before the open and after the close; `deskctl jobs` lists it."""

    enabled: bool = Field(True, description="false: jobs run by hand only, with deskctl jobs run NAME")
    off: tuple[JobName, ...] = Field((), strict=False, description="jobs that run by hand only, such as backup")
    before_open_min: int = Field(30, ge=1, le=240, description="minutes before the open at which the checks run")
    after_close_min: int = Field(
        5, ge=1, le=240, description="minutes after the close, an early one too, at which the end of the day begins"
    )
    backup_dir: FilePath | None = Field(
        None,
        description="backups of the ledger; default: state_dir/backups; better on another disk, which the unit must let it write (ReadWritePaths=)",
    )
    backups_kept: int = Field(14, ge=1, le=10_000, description="the newest so many backups are kept")
    reports_kept_days: int = Field(400, ge=1, le=36_500, description="reports older than this are removed")
    logs_kept_days: int = Field(30, ge=1, le=36_500, description="logs that no run wrote to for so long are removed")


class ApiSection(Section):
    """[api]: the order endpoint."""

    local_port: int = Field(
        0, ge=0, le=65_535, description="loopback TCP port with the same routes for laptops; 0 = off"
    )
    answer_timeout_s: Seconds = Field(
        10.0, description="a strategy waits at most so long for the broker's answer, then gets `pending`"
    )
    connections_max: int = Field(16, ge=1, description="open connections of one run")


class MetricsSection(Section):
    """[metrics]: figures for Prometheus, at http://LISTEN/metrics, and the desk's health, at /health and /ready."""

    listen: str = Field("127.0.0.1:9464", description='HOST:PORT; "" = off; port 0 takes any free one')
    allow_public: bool = Field(
        False,
        description="must be true before listen may name an address that other machines reach: nothing asks who reads",
    )
    money: bool = Field(
        False, description="show P&L, equity and positions of each strategy: to every user of this machine"
    )


class NotifySection(Section):
    """[notify]: who hears of what: names of routes by topic; their addresses stand in a file of their own."""

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


class LogSection(Section):
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
    strategies: StrategiesSection = StrategiesSection()
    risk: RiskSection = RiskSection()
    orders: OrdersSection = OrdersSection()
    jobs: JobsSection = JobsSection()
    api: ApiSection = ApiSection()
    metrics: MetricsSection = MetricsSection()
    notify: NotifySection = NotifySection()
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
