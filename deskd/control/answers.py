"""What the control socket answers, field by field: the views are checked against it, and docs/reference/json.md is made of it.

What stands here is public (CONTRACTS 1): fields are added, none changes its meaning. The words behind a field are its
documentation. Money, prices and quantities are decimals as text; instants are RFC 3339 in UTC.
"""

from collections.abc import Iterable
from typing import Annotated, NotRequired, TypedDict

from msgspec import Meta

from deskd.config.changes import Applies
from deskd.domain.job import JobName, JobOutcome
from deskd.domain.kill import KillCause, KillDepth, KillScope
from deskd.domain.order import OrderStatus, OrderType, Side, TimeInForce
from deskd.domain.run import ExitReason, RunStatus
from deskd.domain.stage import Stage
from deskd.supervision.walls import Verdict


def _one_of(*words: Iterable[str]) -> Meta:
    """Return what says that a text is one of these."""
    return Meta(extra_json_schema={"enum": [str(word) for group in words for word in group]})


type DecimalText = Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]{1,9})?$")]  # money.shown_decimal
type ExactText = Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]  # of a fill: what the books are made of
type Instant = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|\+00:00)$",
        extra_json_schema={"format": "date-time"},
    ),
]
type Day = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", extra_json_schema={"format": "date"})]
type RunWord = Annotated[str, _one_of(RunStatus, ("broken",))]
type StageWord = Annotated[str, _one_of(Stage)]
type OrderWord = Annotated[str, _one_of(OrderStatus)]
type SideWord = Annotated[str, _one_of(Side)]
type OrderTypeWord = Annotated[str, _one_of(OrderType)]
type TimeInForceWord = Annotated[str, _one_of(TimeInForce)]
type ExitWord = Annotated[str, _one_of(ExitReason)]


# --- strategies and runs ----------------------------------------------------------------------------------------------


class StateAnswer(TypedDict):
    """How much of its /state a run uses."""

    bytes: int  # written
    bytes_max: int  # what the kernel lets it write
    files: int  # folders and links are some
    files_max: int  # what the kernel lets it make


class StrategyAnswer(TypedDict):
    """One strategy at a glance. Of another member's only the first nine are shown."""

    strategy_id: str  # the folder's name
    status: RunWord  # where its process is; `broken`: its folder is no strategy
    user_id: NotRequired[str]  # the member it trades for
    name: NotRequired[str]  # as config.json calls it
    version: NotRequired[str]  # as config.json calls it
    enabled: NotRequired[bool]  # it starts with the desk
    uptime_s: NotRequired[float]  # of the run that is up
    problem: NotRequired[str]  # why it is broken, and what to do
    stage: NotRequired[StageWord]  # how far its orders go
    symbols: NotRequired[list[str]]  # what it receives
    pid: NotRequired[int | None]  # of the run that is up
    lines_delivered: NotRequired[int]  # that its standard input took
    lines_handled: NotRequired[int | None]  # as the run itself says
    lines_dropped: NotRequired[int]  # conflated away: it was too slow
    lines_waiting: NotRequired[int]  # its lag
    stalled_for_s: NotRequired[float | None]  # no line handled for so long while lines wait; null: it moves
    memory_bytes: NotRequired[int | None]  # now
    cpu_seconds: NotRequired[float | None]  # used since it started
    throttled_share: NotRequired[float | None]  # of the last periods in which it wanted to work
    outdated: NotRequired[bool]  # its folder, when last read, held other code than runs; lacks where it does not
    state: NotRequired[StateAnswer]  # what it uses of its /state
    exit_reason: NotRequired[ExitWord | None]  # how its last run ended
    exit_detail: NotRequired[str | None]  # the same in a sentence
    open_orders: NotRequired[int]  # that may still fill
    equity: NotRequired[DecimalText]  # cash and positions at mark
    realized_pnl: NotRequired[DecimalText]  # of all that was closed
    unrealized_pnl: NotRequired[DecimalText]  # of what is held


class RunAnswer(TypedDict):
    """One life of a strategy's process."""

    run_id: str  # unique
    strategy_id: str  # whose it was
    started_at: Instant | None  # null: an earlier desk's, cut off by a kill
    ended_at: Instant | None  # null: it runs
    exit_reason: ExitWord | None  # why it ended
    exit_detail: str | None  # the same in a sentence
    exit_code: int | None  # of the process
    peak_memory_bytes: int | None  # the most it had
    memory_max_bytes: int | None  # what it might have
    memory_growth_bytes: int | None  # in its last seconds
    cpu_seconds: float | None  # what it used
    throttled_seconds: float | None  # what it waited because its share was used up
    throttled_periods: int | None  # in so many periods
    periods: int | None  # of so many in which it wanted to work
    lines_delivered: int | None  # that its standard input took
    lines_handled: int | None  # as the run itself said
    last_line: str | None  # that it was given, as the run itself said
    traceback: str | None  # of what ended it
    source_line: str | None  # the member's line that the traceback points to
    output: list[str]  # its last prints


class StrategyStatusAnswer(StrategyAnswer):
    """One strategy, and how its last run ended."""

    last_run: RunAnswer | None  # null: none has ended


class KillAnswer(TypedDict):
    """A kill that is in force."""

    scope: Annotated[str, _one_of(KillScope)]  # what it stops
    name: str | None  # the strategy, member or symbol; null: the desk
    depth: Annotated[str, _one_of(KillDepth)]  # how far it goes
    since: Instant  # when it was pulled first
    cause: Annotated[str, _one_of(KillCause)]  # what pulled it
    by: str  # who or what pulled it last
    reason: str  # why
    until: Instant | None  # when it ends by itself; null: when an officer releases it
    flat_at: Instant | None  # since when nothing is open and nothing is held
    left: list[str]  # what hinders it from getting flat


class RequestsAnswer(TypedDict):
    """How the broker's request limit stands."""

    used: int  # in the last minute
    of: NotRequired[int]  # the broker's limit
    left: NotRequired[int]  # until it
    reserve: NotRequired[int]  # of what is left, for cancels alone
    turned_away: int  # answers 429 since the start
    pause_s: float  # until the next request may leave


class DeskAnswer(TypedDict):
    """The desk's own state. Members are not shown the club's money, and of kills only those of the desk and of symbols."""

    name: str  # [desk] name
    version: str  # of deskd
    pid: NotRequired[int]  # of this process: kill -USR1 PID cancels everything open
    started_at: Instant  # of this process
    configuration: NotRequired[str | None]  # what is wrong with desk.toml since the last reload; null: nothing
    broker: str  # [broker] mode
    tape: list[str] | None  # what the embedded exchange plays
    trading_state: str  # ACTIVE, REDUCE_ONLY or KILLED
    kills: list[KillAnswer]  # what is in force
    takes_orders: bool  # requests of strategies are judged
    why_not: str | None  # why no order is taken
    market_time: Instant | None  # the broker's clock; null: it was not heard yet
    market_is_open: bool | None  # the regular session
    market_opens_at: Instant | None  # the next time, on the broker's clock
    market_closes_at: Instant | None  # the next time, on the broker's clock
    trade_stream_is_up: bool  # news of orders arrive
    market_stream: str  # how market data arrive, in words
    jails: str | None  # how strategies are kept apart
    packages: str | None  # what strategies can import
    outages_now: list[str]  # streams that are down
    last_outage: str | None  # the last that is over
    local_port: int | None  # of the order door for laptops
    orders_open: int  # that may still fill
    orders: int  # that the desk has in memory
    fills: int  # of all time
    cash: NotRequired[DecimalText]  # of all books
    house_cash: NotRequired[DecimalText | None]  # of the house's book
    books: NotRequired[str]  # books and broker side by side, in words
    account_equity: NotRequired[DecimalText]  # cash and positions of all books at mark
    books_differ: NotRequired[
        str
    ]  # where books and broker do not agree, cash and shares, in words; `none, ...`: nowhere
    members: NotRequired[dict[str, str]]  # each member's equity and day, in words
    market_day: Day | None  # whose profit and loss is counted
    reconciled_at: Instant | None  # when books and broker were compared last
    differences_suspected: NotRequired[dict[str, str]]  # found at the last look, not yet confirmed
    differences_open: NotRequired[dict[str, DecimalText]]  # confirmed, and not settled
    symbols_frozen: list[str]  # no new orders in them
    strategies_not_startable: NotRequired[dict[str, str]]  # what the desk itself fails to start, and why
    jobs_failed: NotRequired[dict[str, str]]  # of the day: whose last run failed or was given up, why, what to do
    broker_requests: RequestsAnswer | None  # null: no broker is connected
    orders_waiting: NotRequired[dict[str, int]]  # for their turn at the broker, by strategy


class StatusAnswer(TypedDict):
    """The desk and its strategies."""

    desk: DeskAnswer  # its own state
    strategies: list[StrategyAnswer]  # by name


class LifecycleRow(TypedDict):
    """What became of one strategy."""

    strategy_id: str  # which
    status: RunWord  # where its process is now
    problem: str | None  # why it was not done


class LifecycleAnswer(TypedDict):
    """What became of each; where one has a problem the exit code is 1."""

    strategies: list[LifecycleRow]  # as they were named


class StageRow(TypedDict):
    """One strategy's stage."""

    strategy_id: str  # which
    stage: StageWord  # from now on
    before: StageWord  # until now


class StagesAnswer(TypedDict):
    """Each strategy's stage."""

    strategies: list[StageRow]  # as they were named


class DeployedAnswer(TypedDict):
    """What a deployment came to."""

    strategy_id: str  # which
    code_hash: str  # of the version in use
    previous: str | None  # the version in use before; null: there was none
    stage: StageWord  # how far its orders go
    started: bool  # it runs with this version
    status: RunWord  # where its process is


class VersionAnswer(TypedDict):
    """A version of a strategy that is kept."""

    code_hash: str  # of all its files
    present: bool  # it lies in the folder now
    kept_at: Instant | None  # null: it is not kept, only there
    chosen_at: Instant | None  # when it came into use last
    how: str | None  # by what command
    by: str | None  # who gave it


class BuiltAnswer(TypedDict):
    """A strategy's own packages."""

    strategy_id: str  # whose
    done: str  # what was done


class TokenAnswer(TypedDict):
    """A token for laptops."""

    strategy_id: str  # as which it trades
    token: str  # what the member sets as DESK_TOKEN


# --- orders and money -------------------------------------------------------------------------------------------------


class OrderAnswer(TypedDict):
    """An order, under the ledger's column names."""

    client_order_id: str  # ours: the key for retries
    broker_order_id: str | None  # the broker's
    parent_id: NotRequired[str | None]  # of a leg: the order that carries it
    strategy_id: str  # who asked for it
    user_id: str  # the member
    symbol: str  # what is traded
    side: SideWord  # which way
    qty: DecimalText | None  # asked; null: a notional was
    notional: DecimalText | None  # asked, in dollars
    order_type: OrderTypeWord  # market, limit, …
    time_in_force: TimeInForceWord  # how long it is good for
    limit_price: DecimalText | None  # of a limit
    stop_price: DecimalText | None  # of a stop
    status: OrderWord  # order-states.md draws them
    filled_qty: DecimalText  # executed
    avg_fill_price: DecimalText | None  # of what was executed
    reason: str | None  # a code of reason-codes.md, where it ended without a trade
    message: str | None  # the same in a sentence
    requested_at: Instant  # when the desk got the request
    submitted_at: Instant | None  # when it left for the broker
    updated_at: Instant  # when it changed last
    broker_status: str  # the broker's own word
    source: str  # what told the desk of its last change
    replaces: str | None  # the order in whose place it stands
    replaced_by: str | None  # the order that stands in its place


class FillAnswer(TypedDict):
    """One execution."""

    fill_id: str  # counted once
    client_order_id: str  # of which order
    strategy_id: str  # whose
    user_id: str  # the member
    symbol: str  # what was traded
    side: SideWord  # which way
    qty: DecimalText  # executed
    price: ExactText  # at
    at: Instant  # when, as the broker stamped it
    part_id: str | None  # where its order went to the broker in parts: of which part
    is_internal: int  # 1: exchanged with another strategy at the desk, and unknown to the broker


class PositionAnswer(TypedDict):
    """What one strategy holds of one instrument."""

    strategy_id: str  # whose
    symbol: str  # of what
    qty: DecimalText  # negative: short
    avg_entry_price: DecimalText  # of what is held
    mark_price: DecimalText  # at which it is valued
    market_value: DecimalText  # at mark
    unrealized_pnl: DecimalText  # at mark
    realized_pnl: DecimalText  # of what was closed
    updated_at: Instant  # when it changed last


class AccountAnswer(TypedDict):
    """One strategy's money; `house` is the rest of the shared account."""

    strategy_id: str  # whose
    allocation: DecimalText  # the capital given to it
    cash: DecimalText  # its own
    reserved: DecimalText  # for open orders
    buying_power: DecimalText  # what may still be spent
    equity: DecimalText  # cash and positions at mark
    realized_pnl: DecimalText  # of all that was closed
    unrealized_pnl: DecimalText  # of what is held
    day_pnl: DecimalText  # of this market day
    peak_equity: DecimalText  # the highest there was
    drawdown: DecimalText  # from there
    fees: DecimalText  # of the house: all that the broker booked; negative: paid


class RefusedAnswer(TypedDict):
    """An order with which it was not done."""

    client_order_id: str  # which
    reason: str  # a code of reason-codes.md
    message: str  # the same in a sentence


class OrdersDoneAnswer(TypedDict):
    """What became of each order; where one was refused the exit code is 1."""

    orders: list[OrderAnswer]  # as they are now
    refused: list[RefusedAnswer]  # with which it was not done


# --- one order's story ------------------------------------------------------------------------------------------------


class QuoteAnswer(TypedDict):
    """The market when an order was asked for."""

    symbol: str  # of what
    bid: DecimalText  # price
    bid_size: DecimalText  # shares
    ask: DecimalText  # price
    ask_size: DecimalText  # shares
    quoted_at: Instant  # as the market stamped it
    received_at: Instant  # by the desk's clock
    age_s: float  # when the order was judged


class CheckAnswer(TypedDict):
    """What one check of the gate found."""

    name: str  # of the check
    figure: str  # what it looked at
    limit: str | None  # what bounds it
    verdict: Annotated[str, _one_of(("passed", "denied"))]  # the first no is the last check


class StepAnswer(TypedDict):
    """One fact of an order's life."""

    seq: int  # its place in the ledger
    hash: str  # of the entry
    kind: str  # of the fact; facts.md has them
    at: Instant  # when
    since_request_ms: float  # after the order was asked for
    since_last_ms: float  # after the fact before
    source: str | None  # what told the desk
    words: str  # the same for people


class OrderFillAnswer(TypedDict):
    """One execution of the order, and what it did to the books."""

    seq: int  # its place in the ledger
    fill_id: str  # counted once
    at: Instant  # as the broker stamped it
    qty: DecimalText  # executed
    price: ExactText  # at
    cash: DecimalText  # what came in; negative: what was paid
    filled_qty: DecimalText  # so far
    avg_fill_price: DecimalText  # so far
    position_qty: DecimalText | None  # after it
    is_internal: bool  # exchanged with another strategy at the desk, and unknown to the broker


class PartAnswer(TypedDict):
    """A part in which an order across zero went to the broker."""

    part_id: str  # the client_order_id that the broker knows
    broker_order_id: str | None  # the broker's
    qty: DecimalText | None  # asked
    status: OrderWord  # as it is now
    filled_qty: DecimalText  # executed
    avg_fill_price: DecimalText | None  # of what was executed


class LegAnswer(TypedDict):
    """An order that another carries."""

    client_order_id: str  # ours
    broker_order_id: str  # the broker's
    side: SideWord  # which way
    order_type: OrderTypeWord  # limit or stop
    qty: DecimalText  # asked
    limit_price: DecimalText | None  # of a limit
    stop_price: DecimalText | None  # of a stop


class BesideAnswer(TypedDict):
    """A fact beside the order that concerned it."""

    seq: int  # its place in the ledger
    at: Instant  # when
    since_request_ms: float  # after the order was asked for
    words: str  # for people


class AroundAnswer(TypedDict):
    """What happened around the order."""

    facts: list[BesideAnswer]  # at most twenty
    more: int  # that are not shown
    reconciles_without_difference: int  # in which nothing was found


class AskingRunAnswer(TypedDict):
    """The run that asked for the order."""

    run_id: str  # unique
    started_at: Instant  # when
    ended_at: Instant | None  # null: it runs
    exit_reason: ExitWord | None  # why it ended
    exit_detail: str | None  # the same in a sentence


class WhyAnswer(TypedDict):
    """One order's story, told from the ledger alone."""

    client_order_id: str  # ours
    broker_order_id: str | None  # the broker's
    strategy_id: str  # who asked for it
    user_id: str  # the member
    status: OrderWord  # as it is now
    outcome: str  # how it ended, in words
    remedy: str | None  # what to do
    asked: str  # what was asked, in words
    why: str | None  # the strategy's own reason
    line: str | None  # of the market, that it was at work on when it asked, as its run said: type, symbol, time
    lines_together: int | None  # that its script was given at once, of which *line* is the last; null: that one alone
    market: QuoteAnswer | None  # null: no quote was there
    checks: list[CheckAnswer]  # of the gate, in their order
    timeline: list[StepAnswer]  # each fact
    fills: list[OrderFillAnswer]  # each execution
    parts: list[PartAnswer]  # in which it went to the broker; empty: it went as one
    parent_id: str | None  # of a leg: the order that carries it
    legs: list[LegAnswer]  # what it carries
    replaces: str | None  # the order in whose place it stands
    replaced_by: str | None  # the order that stands in its place
    in_the_way: list[str]  # orders because of which it was denied or held; shown to officers only
    around: AroundAnswer  # what concerned it
    run: AskingRunAnswer | None  # that asked for it


# --- what officers command --------------------------------------------------------------------------------------------


class KilledAnswer(TypedDict):
    """A kill that was pulled."""

    kill: KillAnswer  # as it is in force
    changed: bool  # false: it was in force already, at least so deep


class ReleasedAnswer(TypedDict):
    """A kill that was released."""

    released: KillAnswer  # as it was in force
    in_force: list[KillAnswer]  # what still is


class BookingAnswer(TypedDict):
    """What the house's book took."""

    cause: str  # of which kind
    activity_id: str | None  # the broker's line, where there is one
    symbol: str | None  # of what
    qty: DecimalText  # shares
    price: ExactText | None  # at
    cash: DecimalText  # money
    why: str  # in words
    at: Instant  # when


class SuspectedAnswer(TypedDict):
    """A difference that one look has found, and the next may not."""

    subject: str  # a symbol, or `cash`
    more: DecimalText  # so much the broker has beyond the books
    since: Instant  # found first


class DifferenceAnswer(TypedDict):
    """A difference that is confirmed, and not settled."""

    subject: str  # a symbol, or `cash`
    more: DecimalText  # so much the broker has beyond the books
    found_at: Instant  # when it was confirmed
    officer: bool  # only an officer can settle it


class FrozenAnswer(TypedDict):
    """A symbol in which no new orders are taken."""

    symbol: str  # which
    why: str  # in words
    since: Instant  # when


class ReconciledAnswer(TypedDict):
    """What stands between the books and the broker; where they do not agree the exit code is 1."""

    agree: bool  # nothing is suspected, open or frozen
    problem: str | None  # why the broker could not be asked
    orders_caught_up: int  # whose news had been missed
    fills_found: int  # that had been missed
    house_bookings: list[BookingAnswer]  # what the house's book took at this look
    suspected: list[SuspectedAnswer]  # not yet confirmed
    open: list[DifferenceAnswer]  # not settled
    frozen: list[FrozenAnswer]  # no new orders in them
    resolved: str | None  # what was settled by this command


class ChangeAnswer(TypedDict):
    """A key that the file changes."""

    key: str  # section.name
    old: str  # secrets are masked
    new: str  # secrets are masked
    applies: Annotated[str, _one_of(Applies)]  # when it counts


class ReloadedAnswer(TypedDict):
    """What a reload came to; where the file is wrong the exit code is 1, and nothing was changed."""

    file: str | None  # that was read
    good: bool  # it has no problems
    dry_run: bool  # nothing was to be changed
    changes: list[ChangeAnswer]  # key by key
    problems: list[str]  # all that is wrong with the file
    misfits: dict[str, str]  # strategies that run on and cannot be started again, and why


class OutageAnswer(TypedDict):
    """When a stream to the broker was down, and who was affected."""

    stream: str  # market, trade, or desk
    started_at: Instant  # when it was lost
    ended_at: Instant | None  # null: it goes on
    closed_at: Instant | None  # when what was missed was made up for
    why: str  # in words
    affected: list[str]  # strategies, of those you may see
    affected_others: int  # that you may not see
    open_orders: int  # when it began
    refusals: dict[str, int]  # orders not taken, by strategy
    bars_fetched: int  # late
    bars_missing: int  # of which nobody could tell
    is_cut_short: bool  # the desk ended meanwhile


class JobRunAnswer(TypedDict):
    """One run of a job."""

    name: Annotated[str, _one_of(JobName)]  # of the job
    session: Day  # of which market day
    by: str  # who or what had it run
    started_at: Instant  # when
    ended_at: Instant | None  # null: it runs, or was cut short
    outcome: Annotated[str, _one_of(JobOutcome)] | None  # how it ended
    detail: str  # in words


class JobAnswer(TypedDict):
    """One job of the day."""

    name: Annotated[str, _one_of(JobName)]  # of the job
    does: str  # in one sentence
    is_planned: bool  # it runs by itself
    is_running: bool  # now
    is_given_up: bool  # the desk died of it too often in this session
    next_at: Instant | None  # when it runs next
    last: JobRunAnswer | None  # its last run


class JobDoneAnswer(TypedDict):
    """A job that was run by hand; where it failed the exit code is 1."""

    run: JobRunAnswer  # how it ended


class ReportDayAnswer(TypedDict):
    """A day of which there is a report."""

    market_day: Day  # which
    of: str  # `desk`, or `member-NAME`


class NotificationAnswer(TypedDict):
    """A notification on one route."""

    id: int  # for `notify retry`
    key: str  # unique: what is found twice is told once
    at: Instant  # when it was found
    topic: str  # what it is about
    severity: str  # how much it matters
    title: str  # in words
    text: str  # in words
    member: str | None  # whom it concerns; null: officers
    strategy: str | None  # which it concerns
    route: str  # where it goes
    status: Annotated[str, _one_of(("waiting", "sent", "dead", "withdrawn"))]  # what became of it
    due_at: Instant  # when it is tried next
    tries: int  # so far
    problem: str  # of the last try
    settled_at: Instant | None  # when it was sent, given up or withdrawn


class RetriedAnswer(TypedDict):
    """Dead notifications that are sent again."""

    again: int  # so many


class TestAnswer(TypedDict):
    """A test that is on its way."""

    key: str  # of the notification
    topic: str  # on whose routes it goes


class TestsAnswer(TestAnswer):
    """The first test that is on its way, and all of them."""

    tests: list[TestAnswer]  # one of each topic, and of each member whose routes no topic has


class SentAnswer(TypedDict):
    """What people are told by an officer."""

    topic: str  # on whose routes it goes
    title: str  # in words
    routes: list[str]  # where it goes


class SignatureAnswer(TypedDict):
    """A root that was signed now."""

    market_day: Day  # of which
    seq: int  # the last entry that it covers
    root: str  # the hash of that entry


class SignedAnswer(TypedDict):
    """A signature of the ledger."""

    root: SignatureAnswer | None  # null: all was signed


class BackupAnswer(TypedDict):
    """A copy of the ledger."""

    file: str  # where it lies
    facts: int  # in it
    last_hash: str  # of its last entry


class ProbeAnswer(TypedDict):
    """What one wall of a jail did under one attack; where one is missing the exit code is 1."""

    wall: str  # which
    probe: str  # what was tried
    result: Annotated[str, _one_of(Verdict)]  # what it did
    found: str  # what the attacker got
    protects: NotRequired[str]  # whom, where it does not hold
    remedy: NotRequired[str]  # what to do, where it does not hold
