"""Facts of the desk itself: its life, its streams, what people commanded, its signature."""

from dataclasses import dataclass
from datetime import date, datetime

from deskd.domain.ids import StrategyId, Symbol
from deskd.domain.money import Cash
from deskd.domain.notifications import Severity, Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskStarted:
    """The desk opened this ledger."""

    version: str
    broker: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskStopped:
    """The desk closed in order. Where this is missing, it was killed."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped:
    """The desk's own clock was set while the desk ran: what it had stamped before counts as so much later from now on.

    One that was set back while the desk was down shows at the next start: its DeskStarted is older than the last fact.
    """

    by_ms: int  # negative: it was set back
    at: datetime  # on the clock as it is now


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamChanged:
    """A stream to the broker came up or went down."""

    stream: str  # `trades` (trade_updates) or `market`
    is_up: bool
    why: str
    at: datetime
    affected: tuple[
        StrategyId, ...
    ] = ()  # down: with open orders (trades), reading (market); up: without all they want
    open_orders: int = 0  # of the desk, when it went down


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltChanged:
    """The market halted trading in a symbol, or let it go on: kept, so that the desk's next start knows."""

    symbol: Symbol
    is_halted: bool
    why: str  # the market's reason or status code; or what else showed that it trades again
    market_at: datetime | None  # the market's stamp; None: it had none
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageEnded:
    """A stream is up again, and what was missed is made up for, as far as it can be. Its start is a StreamChanged.

    *stream* `desk`: the desk itself was killed, and is back. That has no other fact.
    """

    stream: str
    started_at: datetime
    ended_at: datetime  # the stream was up again; cut short: the desk itself was back, if that was first
    why: str  # what began it
    affected: tuple[StrategyId, ...]
    open_orders: int  # of the desk, when it began
    refusals: tuple[tuple[StrategyId, int], ...]  # orders not taken meanwhile, by who asked
    bars_fetched: int  # of minutes that the market stream had missed
    bars_missing: int  # minutes of which nobody could tell whether they had a bar
    at: datetime  # orders are taken again; bars are delivered
    is_cut_short: bool = False  # the desk ended meanwhile: its next start tells what is known


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandGiven:
    """A person commanded the desk over its control socket."""

    by: str
    command: str
    arguments: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeGiven:
    """An officer, or a script of theirs, has something to tell: notifications carry it to whom the topic concerns."""

    topic: Topic
    severity: Severity
    title: str
    text: str
    by: str
    at: datetime
    strategy_id: StrategyId | None = None  # whose member hears it, too


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSigned:
    """The desk put its name to the ledger: *root* is the hash of entry *seq*, and with it of all entries before."""

    market_day: date
    seq: int
    root: str
    public_key: str  # Ed25519, 32 bytes in hex
    signature: str  # over the fields above and *at* (ledger/roots.py), 64 bytes in hex
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The desk lives: posted every [desk] heartbeat_s, so that silence means something."""

    orders_open: int
    strategies_running: int
    market_is_open: bool | None  # None: the broker's clock has not been heard yet
    ledger_seq: int  # the last fact before it
    at: datetime
    equity: Cash | None = None  # of all books, the house's among them; None: a fact from before this was kept
    positions: int | None = None  # held, over all strategies
    streams_down: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketDayBegan:
    """The broker's clock shows another day, in New York: what is counted by the day begins anew."""

    market_day: date
    at: datetime
    is_rewound: bool = False  # a tape began anew: the market's time went back, and with it the day
