"""Every figure that the desk shows to Prometheus: its name, its labels, and what it says.

1. A label takes its values from a closed list (reasons, streams), or from the strategies that the desk knows: nothing
   that a member or the broker writes into a field makes a new series.
2. A counter counts since the desk started, or of a run since that started; Prometheus's `rate` expects new starts.
3. Money is shown as a float, for display only: what it rests on stays a Decimal.

`docs/reference/metrics.md` is made of this table, and etc/grafana/deskd.json may name nothing else.
"""

from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from deskd.latency import Latency

type Kind = Literal["gauge", "counter", "histogram"]
type Samples = list[tuple[tuple[str, ...], float]]  # the labels' values, and the figure


@dataclass(frozen=True, slots=True)
class Family:
    """One figure. *name* is what a query asks for; a histogram has `_bucket`, `_sum` and `_count` behind it."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()

    def of(self, *samples: tuple[tuple[str, ...], float]) -> Metric:
        """Return the family with these samples; the library adds `_total` to a counter's name by itself."""
        made = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = made(self.name.removesuffix("_total"), self.meaning, labels=self.labels)
        for labels, value in samples:
            family.add_metric(labels, value)
        return family

    def durations(self, latency: Latency) -> Metric:
        """Return the family as a histogram."""
        family = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        family.add_metric((), latency.cumulated(), latency.sum_s)
        return family


# --- the desk

INFO = Family("deskd_info", "gauge", "always 1; the labels tell version and broker", ("version", "broker"))
UPTIME = Family("deskd_uptime_seconds", "gauge", "since the desk started")
READY = Family("deskd_ready", "gauge", "1: orders are taken; 0: they are refused, /ready says why")
KILLS = Family("deskd_kills", "gauge", "kills in force")
MARKET_OPEN = Family("deskd_market_open", "gauge", "1 in the regular session, by the broker's clock; absent: unknown")
LOOP_LAG = Family(
    "deskd_loop_lag_seconds", "histogram", "how much later than asked the loop woke up, ten times a second"
)
INBOX = Family("deskd_inbox_events", "gauge", "events that wait for the desk's decision; 10000 are the most")
COMMITS = Family("deskd_ledger_commit_seconds", "histogram", "until a batch of facts was on disk")
ENTRIES = Family("deskd_ledger_entries", "gauge", "facts in the ledger")
CASH = Family("deskd_cash_dollars", "gauge", "cash of all books together; needs [metrics] money")
EQUITY = Family("deskd_equity_dollars", "gauge", "cash and positions of all books together; needs [metrics] money")

JOURNAL_LOST = Family("deskd_journal_lost_total", "counter", "entries that the journal did not take in time")
PRINTS_LEFT_OUT = Family(
    "deskd_prints_left_out_total", "counter", "lines of prints that are not in the journal: more than it gets of a run"
)

# --- the day

_OF_A_JOB = ("job_name",)  # `job` is Prometheus's own
JOB_RUNS = Family("deskd_job_runs_total", "counter", "runs of jobs, by how they ended", (*_OF_A_JOB, "outcome"))
JOB_FAILED = Family("deskd_job_failed", "gauge", "1: its last run failed; absent: it never ran", _OF_A_JOB)
JOB_DONE = Family("deskd_job_last_success_seconds", "gauge", "since it last was done; absent: never", _OF_A_JOB)
NOTES_WAITING = Family("deskd_notifications_waiting", "gauge", "on their way to a route; absent: there are no routes")
NOTES_DEAD = Family("deskd_notifications_dead", "gauge", "given up: deskctl notify retry; absent: there are no routes")

# --- orders

ORDERS = Family("deskd_orders_total", "counter", "what became of orders, by what happened", ("event",))
ORDERS_OPEN = Family("deskd_orders_open", "gauge", "orders that are open")
DENIALS = Family("deskd_denials_total", "counter", "orders that the gate denied, by reason code", ("reason",))
REJECTIONS = Family(
    "deskd_rejections_total", "counter", "approved orders that ended without a trade, by reason code", ("reason",)
)
REFUSALS = Family(
    "deskd_refusals_total", "counter", "requests of which no order came to be, by reason code", ("reason",)
)
TO_SEND = Family("deskd_order_send_seconds", "histogram", "from an order's request until it leaves for the broker")
TO_ANSWER = Family("deskd_order_answer_seconds", "histogram", "from then until the broker has it")
TO_FILL = Family("deskd_market_fill_seconds", "histogram", "from a market order's request until its first fill is told")

# --- the broker

ORDERS_WAITING = Family("deskd_orders_waiting", "gauge", "orders that wait for their turn under the request limit")
REQUESTS_MAX = Family("deskd_broker_requests_max", "gauge", "the broker's limit, a minute; absent: there is none")
REQUESTS_USED = Family("deskd_broker_requests_used", "gauge", "of the last minute")
REQUESTS_LEFT = Family("deskd_broker_requests_left", "gauge", "of this minute; absent: there is no limit")
TURNED_AWAY = Family("deskd_broker_turned_away_total", "counter", "answers HTTP 429")
PAUSE = Family("deskd_broker_pause_seconds", "gauge", "for so long the broker is left alone after a 429")
RECONCILED = Family("deskd_reconcile_age_seconds", "gauge", "since ledger and broker were last compared; absent: never")
DIFFERENCES = Family("deskd_differences_open", "gauge", "differences between ledger and broker that are not explained")
DIFFERENCES_FOUND = Family("deskd_differences_found_total", "counter", "differences found")
FROZEN = Family("deskd_symbols_frozen", "gauge", "symbols in which nobody trades until an officer has looked")

# --- streams and lines

STREAM_UP = Family("deskd_stream_up", "gauge", "1: the stream is up", ("stream",))
STREAM_AGE = Family("deskd_stream_state_seconds", "gauge", "since the stream came up or was lost", ("stream",))
SILENCE = Family("deskd_market_silence_seconds", "gauge", "since the last market data; absent: none came yet")
OUTAGES = Family("deskd_outages_total", "counter", "outages that ended; `desk`: it was killed", ("stream",))
OUTAGE_TIME = Family("deskd_outage_seconds_total", "counter", "how long they lasted", ("stream",))
BARS_FETCHED = Family("deskd_gap_bars_fetched_total", "counter", "bars of gaps in the stream that were made up for")
BARS_MISSING = Family("deskd_gap_bars_missing_total", "counter", "bars of gaps that nobody has")
MESSAGES = Family("deskd_market_messages_total", "counter", "messages of the market stream")
MALFORMED = Family("deskd_market_malformed_total", "counter", "messages that were no such thing as their kind says")
FLUSHES = Family("deskd_flushes_total", "counter", "times at which lines were sent to runs")
GATHERED = Family("deskd_lines_gathered_total", "counter", "lines that left in them, counted once for all runs")
DELIVERED = Family("deskd_lines_delivered_total", "counter", "lines that pipes took, counted for each run")
DROPPED = Family("deskd_lines_dropped_total", "counter", "lines conflated away for runs that were slow")
WAITING = Family("deskd_lines_waiting_bytes", "gauge", "lines that wait for room in pipes")
TO_STDIN = Family(
    "deskd_line_seconds",
    "histogram",
    "from a message's arrival until its line is in the run's pipe, or kept for a slow run",
)

# --- strategies

RUNS_STARTED = Family("deskd_runs_started_total", "counter", "runs that started")
RUNS_ENDED = Family("deskd_runs_ended_total", "counter", "runs that ended, by reason", ("reason",))
STRATEGIES = Family("deskd_strategies", "gauge", "strategies, by where their process is", ("status",))
LEFT_OUT = Family("deskd_strategies_left_out", "gauge", "strategies beyond the first 500, which have no series here")
_OF_ONE = ("strategy",)
STRATEGY = Family("deskd_strategy_info", "gauge", "always 1; whose the strategy is", ("strategy", "member"))
RUNNING = Family("deskd_strategy_running", "gauge", "1: its process runs", _OF_ONE)
CPU = Family("deskd_strategy_cpu_seconds_total", "counter", "CPU time of its present run", _OF_ONE)
MEMORY = Family("deskd_strategy_memory_bytes", "gauge", "memory of its present run, /tmp and /state included", _OF_ONE)
THROTTLED = Family("deskd_strategy_throttled_ratio", "gauge", "of the last periods in which it wanted to work", _OF_ONE)
LINES = Family("deskd_strategy_lines_delivered_total", "counter", "lines of its present run", _OF_ONE)
LINES_DROPPED = Family("deskd_strategy_lines_dropped_total", "counter", "of them, conflated away", _OF_ONE)
PRINTS_DROPPED = Family(
    "deskd_strategy_prints_dropped_bytes_total",
    "counter",
    "of its present run's prints: more than its log takes",
    _OF_ONE,
)
LAG = Family("deskd_strategy_lag_lines", "gauge", "lines that wait for it, as far as the desk knows", _OF_ONE)
STALLED = Family(
    "deskd_strategy_stalled_seconds", "gauge", "0, or since when it has handled no line while lines wait", _OF_ONE
)
OPEN_OF_ONE = Family("deskd_strategy_orders_open", "gauge", "its open orders", _OF_ONE)
POSITIONS = Family("deskd_strategy_positions", "gauge", "symbols that it holds; needs [metrics] money", _OF_ONE)
LONG = Family("deskd_strategy_long_dollars", "gauge", "value of what it holds; needs [metrics] money", _OF_ONE)
SHORT = Family("deskd_strategy_short_dollars", "gauge", "value of what it owes; needs [metrics] money", _OF_ONE)
EQUITY_OF_ONE = Family("deskd_strategy_equity_dollars", "gauge", "its equity; needs [metrics] money", _OF_ONE)
REALIZED = Family("deskd_strategy_realized_pnl_dollars", "gauge", "its realized P&L; needs [metrics] money", _OF_ONE)
UNREALIZED = Family("deskd_strategy_unrealized_pnl_dollars", "gauge", "at the mark; needs [metrics] money", _OF_ONE)
DAY_PNL = Family(
    "deskd_strategy_day_pnl_dollars", "gauge", "since the market day began; needs [metrics] money", _OF_ONE
)

FAMILIES: tuple[Family, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Family))
