"""What a strategy's folder says of it, once read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePath

from deskd.domain.exits import NO_EXITS, ExitRules
from deskd.domain.ids import StrategyId, Symbol, UserId
from deskd.domain.notifications import NO_WISHES, Wishes
from deskd.domain.schedule import ALWAYS, Schedule


class Channel(StrEnum):
    """What lines a strategy receives (CONTRACTS 2)."""

    TRADES = "trades"
    QUOTES = "quotes"
    BARS = "bars"
    ORDERS = "orders"
    STATUS = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The warm-up: so many bars, delivered first and marked `"history": true`."""

    bars: int
    timeframe: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategySpec:
    """One strategy, as found on disk."""

    strategy_id: StrategyId
    user_id: UserId
    name: str
    description: str
    version: str
    path: PurePath  # the folder that was read
    code_hash: str  # sha256 over every file of the folder, names included
    symbols: tuple[Symbol, ...]
    channels: frozenset[Channel]
    env: Mapping[str, str]
    limits: Mapping[str, Decimal]  # bounds by the names of [risk.strategy]; each only tighter than the desk's
    history: History | None
    is_enabled: bool
    schedule: Schedule = ALWAYS  # the desk's, tightened by its own
    exits: ExitRules = NO_EXITS  # its own; those of [risk.exits] hold beside them
    wishes: Wishes = NO_WISHES  # what its member hears of it, and when


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenStrategy:
    """A folder that is no strategy, and why: file, key, rule and remedy."""

    strategy_id: StrategyId
    path: PurePath
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateUse:
    """How much of its /state a run uses. Files are counted as the kernel does: folders and links are some."""

    bytes: int
    bytes_max: int
    files: int
    files_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one run's lines, as far as the desk sees it by itself."""

    delivered: int = 0  # lines that the pipe took
    dropped: int = 0  # conflated away
    buffered: int = 0  # lines that wait for room in the pipe; 0 while the warm-up is still being fetched
    sent_bytes: int = 0  # that the pipe took
    unread_bytes: int = 0  # of them, what the run has not read yet


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskWait:
    """What one run waited for the desk, as the desk sees it by itself."""

    total: timedelta = timedelta(0)  # in which the desk had a request of its own in hand
    unanswered_ago: timedelta | None = None  # since it last stopped waiting for an answer that did not come


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """On which line of the market a strategy is at work, as its run says."""

    line: str = ""  # type, symbol, time; nothing where its run says none
    together: int = 0  # lines that its script was given at once, of which *line* is the last; 0: it was given one alone


NOTHING = AtWork()


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """What is known of a run's progress. What the run itself claims is for display only."""

    pid: int | None
    uptime: timedelta
    lines_delivered: int
    lines_handled: int | None
    lines_dropped: int
    memory_bytes: int | None
    cpu_seconds: float | None
    state: StateUse | None = None  # None: it has none, or its jail is not up yet
    lines_waiting: int = 0  # the lag: delivered or about to be, and not handled yet
    throttled_share: float | None = None  # of the last periods in which it wanted to work
    stalled_for: timedelta | None = None  # no line handled for so long, while lines wait; None: it moves
    prints_dropped_bytes: int = 0  # it printed more than its log takes
    is_outdated: bool = False  # its folder held other code, or another config.json, when it was last read
