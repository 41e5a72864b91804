"""The words of the drop copy: every event, its fields, the facts that it comes from, who may see it.

A field never changes its meaning, nor an event its name; both may be added. What changes more is version 2. The
reference (docs/reference/events.md) and the JSON Schema are written from here.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from deskd.domain import events as ev
from deskd.domain.ids import UserId
from deskd.domain.kill import KillScope

VERSION = 1


class DeskEvent(StrEnum):
    """What can happen on a desk."""

    ORDER_CREATED = "order_created"  # a strategy asked for an order, or the broker made a leg of one
    ORDER_DENIED = "order_denied"  # the gate said no; the broker never saw it
    ORDER_SUBMITTED = "order_submitted"  # approved, on disk, on its way: in doubt until the broker answers
    ORDER_HELD = "order_held"  # it waits at the desk: the broker would refuse it because of another strategy's order
    ORDER_RELEASED = "order_released"  # nothing is in its way any more: it goes to the broker
    ORDER_SPLIT = "order_split"  # a part of it goes to the broker: the whole would take the account across zero
    ORDER_ACCEPTED = "order_accepted"  # the broker has it; one that is split: the part that is named
    ORDER_PARTIALLY_FILLED = "order_partially_filled"  # an execution of a part of it
    ORDER_FILLED = "order_filled"  # the execution that completes it; without a fill: the broker calls it complete
    ORDER_CANCEL_REQUESTED = "order_cancel_requested"  # somebody wants it gone
    ORDER_CANCEL_REFUSED = "order_cancel_refused"  # the broker would not cancel; it goes on
    ORDER_CANCELED = "order_canceled"  # the broker canceled what was left
    ORDER_EXPIRED = "order_expired"  # its time in force ran out
    ORDER_REJECTED = "order_rejected"  # it ended at the broker without life: refused, never arrived, or lost
    ORDER_REPLACE_REQUESTED = "order_replace_requested"  # somebody wants another order in its place
    ORDER_REPLACE_REFUSED = "order_replace_refused"  # the broker would not replace it; it goes on
    ORDER_REPLACED = "order_replaced"  # another order took its place
    ORDER_RESTATED = "order_restated"  # the broker says that it is for another quantity than was asked
    FILL_CORRECTED = (
        "fill_corrected"  # the broker busted or corrected a fill: the house bears it, the fill stays booked
    )
    ORDER_IN_DOUBT = "order_in_doubt"  # the broker gave no clear answer: it may have the order, or never get it
    BROKER_SAID = "broker_said"  # a word of the broker about an order that changes nothing of it
    POSITION_OPENED = "position_opened"  # a strategy that was flat in a symbol holds it now, long or short
    POSITION_CHANGED = "position_changed"  # it holds more or less of it
    POSITION_CLOSED = "position_closed"  # it is flat again
    EXIT_TRIGGERED = "exit_triggered"  # a position reached a bound of its exits: the desk closes it
    LIMIT_BREACHED = "limit_breached"  # an order was denied because of a limit: figure and limit are told
    STRATEGY_REGISTERED = "strategy_registered"  # a strategy was found, or its code or description changed
    STRATEGY_STATUS_CHANGED = "strategy_status_changed"  # it became active, paused, stopped or failed
    STAGE_CHANGED = "stage_changed"  # its orders are taken, judged and not sent, or not taken: active, shadow, paused
    VERSION_CHOSEN = "version_chosen"  # another version of it was deployed, or it was rolled back
    ALLOCATION_CHANGED = "allocation_changed"  # it was given its capital
    LIMITS_CHANGED = "limits_changed"  # what bounds it is another than before
    MARKET_DAY_BEGAN = "market_day_began"  # what is counted by the day begins anew
    RUN_STARTED = "run_started"  # its process was started
    RUN_STALLED = "run_stalled"  # it handles no line, though lines wait: a warning
    RUN_ENDED = "run_ended"  # its process ended, and why
    STREAM_UP = "stream_up"  # a stream of the broker's is up
    OUTAGE_STARTED = "outage_started"  # a stream of the broker's went down, or fell silent
    OUTAGE_ENDED = "outage_ended"  # it is up again, and what was missed is made up for, as far as it can be
    DISCREPANCY_FOUND = "discrepancy_found"  # desk and broker disagree
    DISCREPANCY_RESOLVED = "discrepancy_resolved"  # an officer settled it, or the broker's account came back by itself
    SYMBOL_FROZEN = "symbol_frozen"  # new orders in it are denied until somebody has looked; cancels pass
    SYMBOL_THAWED = "symbol_thawed"  # new orders in it pass again
    SHARES_DISTRIBUTED = "shares_distributed"  # every book's shares of it were multiplied: a split
    HOUSE_ADJUSTED = "house_adjusted"  # the house book took what nobody's fills explain
    RECONCILED = "reconciled"  # books and broker were compared
    COMMAND_GIVEN = "command_given"  # a person commanded the desk
    NOTICE_GIVEN = "notice_given"  # an officer, or a script of theirs, told people something
    KILL_ENGAGED = "kill_engaged"  # the kill switch was pulled, or pulled deeper: it holds until an officer releases it
    KILL_RELEASED = "kill_released"  # an officer released it
    FLATTEN_COMPLETED = "flatten_completed"  # under a kill that flattens nothing is open and nothing is held
    FLATTEN_HINDERED = "flatten_hindered"  # something under it cannot be closed at present; the desk goes on trying
    BREAKER_MOVED = "breaker_moved"  # a strategy's circuit breaker opened, lets it try again, or closed
    TRADING_SUSPENDED = "trading_suspended"  # the desk is about to suspend the broker's account: it takes no orders
    TRADING_RESUMED = "trading_resumed"  # the desk has let it trade again, or the broker would not suspend it
    CANCEL_ALL_REQUESTED = (
        "cancel_all_requested"  # the broker is asked to cancel all that is open in the account, strangers' orders too
    )
    CANCEL_ALL_ANSWERED = "cancel_all_answered"  # it answered, with a word for each order
    ROOT_SIGNED = "root_signed"  # the desk put its name to the ledger as it stands
    DESK_STARTED = "desk_started"  # the desk opened its ledger
    DESK_STOPPED = "desk_stopped"  # the desk closed in order; where it is missing, it was killed
    SYMBOL_HALTED = "symbol_halted"  # the market halted trading in the symbol
    SYMBOL_RESUMED = "symbol_resumed"  # it lets trading go on
    CLOCK_STEPPED = "clock_stepped"  # the desk's own clock was set while it ran, by so many milliseconds
    JOB_STARTED = "job_started"  # a job of the day began, by the schedule or a person
    JOB_ENDED = "job_ended"  # it ended, and how
    DAY_SUMMARIZED = "day_summarized"  # what the market day came to
    HEARTBEAT = "heartbeat"  # every [desk] heartbeat_s: the desk lives


E = DeskEvent

_ORDER = "strategy_id user_id client_order_id order_id symbol side"
_PART = f"{_ORDER} part_id"
# The fields of each event beyond v, seq, index, at, event. A field without a value is left out of the line.
FIELDS: Mapping[DeskEvent, str] = {
    E.ORDER_CREATED: f"{_ORDER} qty notional order_type time_in_force order_class limit_price stop_price trail_price "
    "trail_percent parent_id replaces why",
    E.ORDER_DENIED: f"{_ORDER} reason message",
    E.ORDER_SUBMITTED: _ORDER,
    E.ORDER_HELD: f"{_ORDER} reason message held_until",
    E.ORDER_RELEASED: _ORDER,
    E.ORDER_SPLIT: f"{_PART} part_qty until",
    E.ORDER_ACCEPTED: f"{_PART} submitted_at",
    E.ORDER_PARTIALLY_FILLED: f"{_PART} fill_id fill_qty fill_price filled_at is_internal filled_qty qty position_qty",
    E.ORDER_FILLED: f"{_PART} fill_id fill_qty fill_price filled_at is_internal filled_qty qty position_qty",
    E.ORDER_CANCEL_REQUESTED: f"{_PART} by",
    E.ORDER_CANCEL_REFUSED: f"{_PART} message",
    E.ORDER_CANCELED: f"{_PART} filled_qty qty",
    E.ORDER_EXPIRED: f"{_PART} filled_qty qty",
    E.ORDER_REJECTED: f"{_PART} reason message filled_qty qty",
    E.ORDER_REPLACE_REQUESTED: f"{_ORDER} replaced_by by",
    E.ORDER_REPLACE_REFUSED: f"{_PART} message",
    E.ORDER_REPLACED: f"{_PART} replaced_by filled_qty qty",
    E.ORDER_RESTATED: f"{_PART} filled_qty qty",
    E.FILL_CORRECTED: f"{_PART} word corrected_qty corrected_notional corrected_at",
    E.ORDER_IN_DOUBT: f"{_PART} source message",
    E.BROKER_SAID: f"{_PART} source word message",
    E.POSITION_OPENED: f"{_PART} position_qty fill_price",
    E.POSITION_CHANGED: f"{_PART} position_qty fill_price",
    E.POSITION_CLOSED: f"{_PART} position_qty fill_price",
    E.EXIT_TRIGGERED: "strategy_id user_id symbol reason position_qty price why",
    E.LIMIT_BREACHED: f"{_ORDER} reason figure limit",
    E.STRATEGY_REGISTERED: "strategy_id user_id name strategy_version code_hash",
    E.STRATEGY_STATUS_CHANGED: "strategy_id user_id status why",
    E.STAGE_CHANGED: "strategy_id user_id stage why by",
    E.VERSION_CHOSEN: "strategy_id user_id code_hash previous how by",
    E.ALLOCATION_CHANGED: "strategy_id user_id allocation by",
    E.LIMITS_CHANGED: "strategy_id user_id limits by",
    E.MARKET_DAY_BEGAN: "market_day",
    E.RUN_STARTED: "strategy_id user_id run_id",
    E.RUN_STALLED: "strategy_id user_id run_id message",
    E.RUN_ENDED: "strategy_id user_id run_id reason message exit_code peak_memory_bytes cpu_seconds throttled_seconds "
    "lines_delivered lines_handled source_line",
    E.STREAM_UP: "stream why affected",
    E.OUTAGE_STARTED: "stream why affected orders_open",
    E.OUTAGE_ENDED: "stream why started_at ended_at affected orders_open orders_refused bars_fetched bars_missing "
    "is_cut_short",
    E.DISCREPANCY_FOUND: "strategy_id user_id client_order_id order_id symbol side part_id subject expected actual action more",
    E.DISCREPANCY_RESOLVED: "subject by why",
    E.SYMBOL_FROZEN: "symbol why",
    E.SYMBOL_THAWED: "symbol why",
    E.SHARES_DISTRIBUTED: "symbol ratio by why",
    E.HOUSE_ADJUSTED: "symbol cash qty price cause why",
    E.RECONCILED: "why cash differences",
    E.COMMAND_GIVEN: "by command arguments",
    E.NOTICE_GIVEN: "strategy_id user_id topic severity title message by",
    E.KILL_ENGAGED: "scope name strategy_id user_id symbol depth cause by why",
    E.KILL_RELEASED: "scope name strategy_id user_id symbol by why",
    E.FLATTEN_COMPLETED: "scope name strategy_id user_id symbol",
    E.FLATTEN_HINDERED: "scope name strategy_id user_id symbol left",
    E.BREAKER_MOVED: "strategy_id user_id status why until trips",
    E.TRADING_SUSPENDED: "why",
    E.TRADING_RESUMED: "why",
    E.CANCEL_ALL_REQUESTED: "by orders",
    E.CANCEL_ALL_ANSWERED: "canceled refused unnamed strangers",
    E.ROOT_SIGNED: "market_day root root_seq public_key signature",
    E.DESK_STARTED: "desk_version broker",
    E.DESK_STOPPED: "",
    E.SYMBOL_HALTED: "symbol why",
    E.SYMBOL_RESUMED: "symbol why",
    E.CLOCK_STEPPED: "why",
    E.JOB_STARTED: "job market_day by",
    E.JOB_ENDED: "job market_day by outcome message",
    E.DAY_SUMMARIZED: "market_day equity day_pnl fees orders fills denied deaths strategies",
    E.HEARTBEAT: "orders_open strategies_running market_is_open ledger_seq",
}
# The kinds of facts that an event is derived from.
SOURCES: Mapping[DeskEvent, tuple[type, ...]] = {
    E.ORDER_CREATED: (
        ev.OrderApproved,
        ev.OrderDenied,
        ev.OrderAccepted,
        ev.LegsFound,
        ev.OrderAdopted,
        ev.OrderReturned,
    ),
    E.ORDER_DENIED: (ev.OrderDenied,),
    E.ORDER_SUBMITTED: (ev.OrderApproved,),
    E.ORDER_HELD: (ev.OrderHeld, ev.OrderReturned),
    E.ORDER_RELEASED: (ev.OrderReleased,),
    E.ORDER_SPLIT: (ev.OrderSplit,),
    E.ORDER_ACCEPTED: (ev.OrderAccepted, ev.OrderAdopted),
    E.ORDER_PARTIALLY_FILLED: (ev.OrderFilled,),
    E.ORDER_FILLED: (ev.OrderFilled, ev.OrderCompleted, ev.OrderRestated),
    E.ORDER_CANCEL_REQUESTED: (ev.OrderCancelRequested,),
    E.ORDER_CANCEL_REFUSED: (ev.OrderCancelRefused,),
    E.ORDER_CANCELED: (ev.OrderCanceled,),
    E.ORDER_EXPIRED: (ev.OrderExpired,),
    E.ORDER_REJECTED: (ev.OrderRejected,),
    E.ORDER_REPLACE_REQUESTED: (ev.OrderReplaceRequested,),
    E.ORDER_REPLACE_REFUSED: (ev.OrderReplaceRefused,),
    E.ORDER_REPLACED: (ev.OrderReplaced,),
    E.ORDER_RESTATED: (ev.OrderRestated,),
    E.FILL_CORRECTED: (ev.FillCorrected,),
    E.ORDER_IN_DOUBT: (ev.BrokerSaid,),
    E.BROKER_SAID: (ev.BrokerSaid,),
    E.POSITION_OPENED: (ev.OrderFilled,),
    E.POSITION_CHANGED: (ev.OrderFilled,),
    E.POSITION_CLOSED: (ev.OrderFilled,),
    E.EXIT_TRIGGERED: (ev.ExitTriggered,),
    E.LIMIT_BREACHED: (ev.OrderDenied,),
    E.STRATEGY_REGISTERED: (ev.StrategyRegistered,),
    E.STRATEGY_STATUS_CHANGED: (ev.StrategyStatusChanged,),
    E.ALLOCATION_CHANGED: (ev.AllocationChanged,),
    E.STAGE_CHANGED: (ev.StageChanged,),
    E.VERSION_CHOSEN: (ev.VersionChosen,),
    E.LIMITS_CHANGED: (ev.LimitsChanged,),
    E.MARKET_DAY_BEGAN: (ev.MarketDayBegan,),
    E.RUN_STARTED: (ev.RunStarted,),
    E.RUN_STALLED: (ev.RunStalled,),
    E.RUN_ENDED: (ev.RunEnded,),
    E.STREAM_UP: (ev.StreamChanged,),
    E.OUTAGE_STARTED: (ev.StreamChanged,),
    E.OUTAGE_ENDED: (ev.OutageEnded,),
    E.DISCREPANCY_FOUND: (ev.DiscrepancyFound,),
    E.DISCREPANCY_RESOLVED: (ev.DiscrepancyResolved,),
    E.SYMBOL_FROZEN: (ev.SymbolFrozen,),
    E.SYMBOL_THAWED: (ev.SymbolThawed,),
    E.SHARES_DISTRIBUTED: (ev.SharesDistributed,),
    E.HOUSE_ADJUSTED: (ev.HouseAdjusted,),
    E.RECONCILED: (ev.AccountReconciled,),
    E.COMMAND_GIVEN: (ev.CommandGiven,),
    E.NOTICE_GIVEN: (ev.NoticeGiven,),
    E.KILL_ENGAGED: (ev.KillEngaged,),
    E.KILL_RELEASED: (ev.KillReleased,),
    E.FLATTEN_COMPLETED: (ev.FlattenCompleted,),
    E.FLATTEN_HINDERED: (ev.FlattenHindered,),
    E.BREAKER_MOVED: (ev.BreakerMoved,),
    E.TRADING_SUSPENDED: (ev.TradingSuspended,),
    E.TRADING_RESUMED: (ev.TradingSuspended,),
    E.CANCEL_ALL_REQUESTED: (ev.CancelAllRequested,),
    E.CANCEL_ALL_ANSWERED: (ev.CancelAllAnswered,),
    E.ROOT_SIGNED: (ev.RootSigned,),
    E.DESK_STARTED: (ev.DeskStarted,),
    E.DESK_STOPPED: (ev.DeskStopped,),
    E.SYMBOL_HALTED: (ev.HaltChanged,),
    E.SYMBOL_RESUMED: (ev.HaltChanged,),
    E.CLOCK_STEPPED: (ev.ClockStepped,),
    E.JOB_STARTED: (ev.JobStarted,),
    E.JOB_ENDED: (ev.JobEnded,),
    E.DAY_SUMMARIZED: (ev.DaySummarized,),
    E.HEARTBEAT: (ev.Heartbeat,),
}
# Marks, every ten seconds, and steps of trailing exits: the market's own stream has them.
SILENT: frozenset[type] = frozenset({ev.PositionsMarked, ev.TrailMoved})
# Shown to everybody who may speak with the desk: they name nobody's trading. All else that is nobody's is for officers.
FOR_ALL = frozenset(
    {
        E.STREAM_UP,
        E.OUTAGE_STARTED,
        E.OUTAGE_ENDED,
        E.SYMBOL_FROZEN,
        E.SYMBOL_THAWED,
        E.SHARES_DISTRIBUTED,
        E.TRADING_SUSPENDED,
        E.TRADING_RESUMED,
        E.ROOT_SIGNED,
        E.MARKET_DAY_BEGAN,
        E.DESK_STARTED,
        E.DESK_STOPPED,
        E.SYMBOL_HALTED,
        E.SYMBOL_RESUMED,
        E.CLOCK_STEPPED,
        E.HEARTBEAT,
    }
)

KILLS = frozenset({E.KILL_ENGAGED, E.KILL_RELEASED})  # shown to everybody where they stop everybody
SHARED = frozenset({KillScope.DESK, KillScope.SYMBOL})


class EventLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One event as it is sent: a JSON object a line. Decimals are strings, times RFC 3339 in UTC."""

    v: int  # the version of this description
    seq: int  # of the fact in the ledger
    index: int  # of the event among those of its fact
    at: str  # when the desk decided or learned it, by its own clock
    event: str
    strategy_id: str | None = None
    user_id: str | None = None  # the member
    client_order_id: str | None = None
    order_id: str | None = None  # the broker's, once it is known
    symbol: str | None = None
    side: str | None = None
    qty: str | None = None  # of an order: what was asked for; of the house: signed
    notional: str | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    order_class: str | None = None
    limit_price: str | None = None
    stop_price: str | None = None
    trail_price: str | None = None
    trail_percent: str | None = None
    parent_id: str | None = None  # of a leg: the order that carries it
    part_id: str | None = None  # of an order that goes in parts: which of them; order_id is then the part's
    part_qty: str | None = None
    replaces: str | None = None  # the order whose place it is to take
    replaced_by: str | None = None  # the order that is to take its place, or took it
    source: str | None = None  # the road by which the broker's word came: submit, cancel, look_up, stream, ...
    word: str | None = None  # the broker's own, or acknowledged, not_found
    submitted_at: str | None = None  # the broker's stamp
    fill_id: str | None = None
    fill_qty: str | None = None
    fill_price: str | None = None
    filled_at: str | None = None  # the market's stamp
    is_internal: bool | None = None  # exchanged with another strategy at the desk: the broker knows nothing of it
    filled_qty: str | None = None  # of the order, with this fill
    position_qty: str | None = None  # of the strategy in this symbol, signed, with this fill
    reason: str | None = None  # a code of reason-codes.md; of a run: its exit reason; of an exit: its kind
    message: str | None = None
    figure: str | None = None
    limit: str | None = None
    name: str | None = None
    strategy_version: str | None = None
    code_hash: str | None = None
    status: str | None = None
    allocation: str | None = None
    limits: dict[str, str] | None = None  # all that hold, by name; those of wider scopes with their scope before it
    stage: str | None = None  # paused, shadow or active
    previous: str | None = None  # code_hash of the version before
    how: str | None = None  # deploy or rollback
    by: str | None = None
    why: str | None = None  # of an order: the strategy's own words
    run_id: str | None = None
    exit_code: int | None = None
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None
    throttled_seconds: float | None = None  # it waited, because its share of the CPU was used up
    lines_delivered: int | None = None
    lines_handled: int | None = None  # as the run itself says
    source_line: str | None = None  # the member's line that its traceback points to
    stream: str | None = None
    started_at: str | None = None
    held_until: str | None = None
    until: str | None = None  # of a circuit breaker that opened: the end of its cool-down; of parts: the last may leave
    trips: int | None = None  # in a row
    ended_at: str | None = None  # the stream was up again
    affected: list[str] | None = None  # strategies: with open orders (trades), or reading (market)
    orders_refused: int | None = None  # because of the outage
    bars_fetched: int | None = None  # that the stream had missed, delivered late
    bars_missing: int | None = None  # minutes of which nobody could tell whether they had a bar
    is_cut_short: bool | None = None  # the desk ended meanwhile
    subject: str | None = None  # an order's id, a symbol, or `cash`
    expected: str | None = None
    actual: str | None = None
    action: str | None = None
    more: str | None = None  # what the broker has more, and the house took
    ratio: str | None = None
    corrected_qty: str | None = None  # by which the broker's count changed: zero or negative
    corrected_notional: str | None = None
    corrected_at: str | None = None  # the broker's stamp
    cause: str | None = None  # of a booking: the kind of a line of the broker's history; of a kill: what pulled it
    cash: str | None = None
    price: str | None = None
    differences: dict[str, str] | None = None  # what the broker has more than the books, by symbol or `cash`
    command: str | None = None
    arguments: str | None = None
    market_day: str | None = None
    root: str | None = None  # the hash of the entry root_seq, and with it of all before
    root_seq: int | None = None
    public_key: str | None = None  # Ed25519, in hex
    signature: str | None = None  # in hex
    desk_version: str | None = None
    broker: str | None = None
    orders_open: int | None = None  # of the whole desk
    strategies_running: int | None = None
    market_is_open: bool | None = None  # absent: the desk does not know
    ledger_seq: int | None = None
    scope: str | None = None  # of a kill: desk, member, strategy, symbol
    depth: str | None = None  # of a kill: reduce_only, stop_new, cancel, flatten
    job: str | None = None  # checks, drain, report, backup, ...
    outcome: str | None = None  # of a job: done, failed
    equity: str | None = None  # of all strategies
    day_pnl: str | None = None  # of all strategies
    fees: str | None = None  # that the house bore; negative: paid
    orders: int | None = None
    fills: int | None = None
    denied: int | None = None
    deaths: int | None = None  # runs that did not end well
    strategies: dict[str, str] | None = None  # each with its day's P&L
    left: list[str] | None = None  # what cannot be closed, a line each
    canceled: int | None = None  # orders of the desk that the broker will try to cancel, asked with one request for all
    refused: int | None = None
    unnamed: int | None = None  # of which it said nothing
    strangers: list[str] | None = None  # the broker's ids of orders that were not the desk's, and went as well
    topic: str | None = None  # of a notice: by which routes it goes
    severity: str | None = None  # info, warning, critical
    title: str | None = None


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(EventLine).decode


def is_shown(line: EventLine, *, user_id: UserId | None) -> bool:
    """Tell whether a member may see the event: their own, and what is nobody's. None: an officer sees all."""
    is_of_all = line.event in FOR_ALL or (line.event in KILLS and line.scope in SHARED)
    return user_id is None or line.user_id == user_id or is_of_all
