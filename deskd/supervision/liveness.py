"""Whether a run moves: no line handled for a while, though lines wait for it. Pure: readings in, verdicts out.

1. Progress is a line handled (the run's own claim) or bytes read out of its pipe (which the desk sees by itself): a
   script that reads its input by its own means counts no lines, and is known by the pipe that it empties.
2. Lines wait when bytes lie unread in the pipe, or when the runner holds lines that the script has not asked for. A line
   that was never delivered waits for nobody, and neither does the one that the script is at work on.
3. Only time in which we looked counts: a desk, or a machine, that slept blames nobody for it. And of the time in which
   a run wanted a core all along, only what it got: on a machine that has none to give, nobody stands still for that.
4. Time that it waits for the desk's own answer, and does nothing else, is the desk's: it does not count either.
5. A run that stands still though it has used its whole share of the CPU is a busy loop; any other is stalled. One that
   meanwhile asks again and again for processes that it may not have is ended for that.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from deskd.config import SandboxSection
from deskd.domain.run import ExitReason
from deskd.domain.strategy import Delivery, DeskWait
from deskd.supervision.cgroup_files import NEARLY_ALL, PERIOD_US, quota_and_period_us
from deskd.supervision.meter import KEPT_S, Sample, Samples, Use, use_between
from deskd.supervision.page import Page
from deskd.supervision.words import last_line, throttling

AWAY_S = 9.5  # so long without a look, and nobody answered anything either
UNANSWERED_S = 5.0  # who ends within it, in want of an answer, ended for that
TICK_MAX_S = 3.0  # a longer while between two looks counts as one tick: nobody looked
ASKS_S = 5.0  # who was not refused a process for so long asks for none
AT_WORK_SHARE = 0.9  # of all periods it wanted to work in so many
BUSY_SHARE = 0.5  # of all periods it was throttled in so many: all but a few, on a machine that has time to give
_LINE_BYTES = 120  # of a feed, where none was delivered yet


class Still(StrEnum):
    """What to do about a run that stands still."""

    MOVES = "moves"
    WARN = "warn"  # once
    RECOVERED = "recovered"  # after a warning
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is known of a run at one instant."""

    at: float  # monotonic
    page: Page
    delivery: Delivery
    sample: Sample
    waited_s: float = 0.0  # for the desk, since the run began


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do, and why: a reason and a sentence where the run is to be warned of or ended."""

    still: Still
    reason: ExitReason | None = None
    detail: str = ""


MOVES = Verdict(still=Still.MOVES)


@dataclass(slots=True)
class Watch:
    """One run's progress over time."""

    section: SandboxSection
    samples: Samples = field(default_factory=Samples)
    still_s: float = 0.0  # it has stood still for so long, as far as we looked and it could have moved
    is_warned: bool = False
    _looked_at: float | None = None
    _away_at: float | None = None  # when we last came back from not looking at all
    _waited_s: float = 0.0  # for the desk, until the last look
    _not_counted_s: float = 0.0  # of it, since it stands still
    _handled: int = 0
    _taken: int = 0  # bytes out of the pipe

    def look(self, reading: Reading) -> Verdict:
        """Take the reading; return what to do."""
        use = use_between(self.samples.last, reading.sample)
        self.samples.add(reading.sample)
        before, self._looked_at = self._looked_at, reading.at
        waited_s, self._waited_s = reading.waited_s - self._waited_s, reading.waited_s
        if before is not None and reading.at - before >= AWAY_S:
            self._away_at = reading.at
        handled, taken = reading.page.handled, reading.delivery.sent_bytes - reading.delivery.unread_bytes
        moved = handled != self._handled or taken > self._taken
        self._handled, self._taken = handled, max(taken, self._taken)
        if moved or before is None or not is_waiting(reading):
            return self._moves(reading)
        tick = reading.at - before
        tick = tick if tick <= TICK_MAX_S else 1.0
        if use is not None and self._is_at_work(use):
            self.still_s += tick * self._share_got(use)
        else:
            waited_s = min(waited_s, tick)
            self.still_s += tick - waited_s
            self._not_counted_s += waited_s
        return self._stands(reading)

    def was_unanswered(self, now: float, wait: DeskWait) -> bool:
        """Say whether an answer that the run waited for just failed to come: by the desk's own word, or it was away."""
        looked_at = now if self._looked_at is None else self._looked_at
        if now - looked_at >= AWAY_S:
            return True
        ago = [] if wait.unanswered_ago is None else [wait.unanswered_ago.total_seconds()]
        ago += [] if self._away_at is None else [now - self._away_at]
        return any(one <= UNANSWERED_S for one in ago)

    def _is_at_work(self, use: Use) -> bool:
        """Say whether it wanted a core all along."""
        return use.periods >= self._periods_in(use.seconds) * AT_WORK_SHARE

    def _share_got(self, use: Use) -> float:
        """Return what part of its share of a core it got."""
        share = min(1.0, self.section.cpu)  # one thread has no use for a second core
        return min(1.0, use.cpu_seconds / (use.seconds * share))

    def _periods_in(self, seconds: float) -> float:
        _, period_us = quota_and_period_us(self.section.cpu, PERIOD_US)
        return seconds / (period_us / 1e6)

    def _moves(self, reading: Reading) -> Verdict:
        was_warned, self.is_warned, still_s, self.still_s = self.is_warned, False, self.still_s, 0.0
        self._not_counted_s = 0.0
        if not was_warned:
            return MOVES
        return Verdict(still=Still.RECOVERED, detail=f"it moves again after {still_s:.0f} s; {_waiting(reading)}")

    def _stands(self, reading: Reading) -> Verdict:
        section = self.section
        if section.busy_after_s and self.still_s >= section.busy_after_s and (figures := self._busy(reading)):
            if refused := self._refused(reading):
                return Verdict(still=Still.END, reason=ExitReason.PIDS_LIMIT, detail=f"{refused}; {_waiting(reading)}")
            text = f"it {figures}, and handled no line meanwhile; {_waiting(reading)}{_after(reading)}: look for a loop"
            return Verdict(still=Still.END, reason=ExitReason.CPU_LIMIT, detail=f"{text} that does not end")
        if not section.stalled_after_s or self.still_s < section.stalled_after_s:
            return MOVES
        at_work = self._at_work(reading)
        waited = f" beside {self._not_counted_s:.0f} s that it waited for the desk" if self._not_counted_s >= 1 else ""
        text = f"it handled no line for {self.still_s:.0f} s{waited}; {_waiting(reading)}{_after(reading)}{at_work}"
        if not self.is_warned:
            self.is_warned = True
            return Verdict(still=Still.WARN, reason=ExitReason.STALLED, detail=text)
        if section.stalled_end_after_s and self.still_s >= section.stalled_after_s + section.stalled_end_after_s:
            if not reading.page.read and not self._taken and not at_work:
                text += "; a strategy that wants no market data says so in config.json: " + '"channels": ["orders"]'
            elif not at_work:
                text += ": look for a sleep, a lock or a wait that does not end"
            if refused := self._refused(reading):
                return Verdict(still=Still.END, reason=ExitReason.PIDS_LIMIT, detail=f"{refused}; {_waiting(reading)}")
            return Verdict(still=Still.END, reason=ExitReason.STALLED, detail=text)
        return MOVES

    def _refused(self, reading: Reading) -> str:
        """Return how often it was refused a process since it stands still, where it goes on asking; else nothing."""
        now = reading.sample.forks_refused
        before = self.samples.since(reading.at - min(self.still_s, KEPT_S))
        lately = self.samples.since(reading.at - ASKS_S)
        if now is None or before is None or lately is None or lately.forks_refused is None:
            return ""
        if now <= lately.forks_refused:
            return ""  # it was, once; that is not what keeps it
        if (most := self.samples.most_pids) is not None and most < self.section.pids * NEARLY_ALL:
            return ""  # by a bound of somebody else's
        count = now - (before.forks_refused or 0)
        return (
            f"it asked for more than its {self.section.pids} processes and threads ({count:,} refused in the last "
            f"{min(self.still_s, KEPT_S):.0f} s, and it goes on asking: start fewer), and handled no line meanwhile"
        )

    def _at_work(self, reading: Reading) -> str:
        """Return what a run got that wanted to work in every period, and was not throttled; else nothing.

        It may loop, or be slow because the machine is: nobody is blamed for a machine that has no more to give.
        """
        use = use_between(self.samples.since(reading.at - min(self.still_s, KEPT_S)), reading.sample)
        if use is None or not self._is_at_work(use):
            return ""
        return (
            f"; it was at work all the time and got {use.cpu_seconds / use.seconds:.2f} of its {self.section.cpu:g} cores: it loops, or the "
            "machine has no more to give (then tell an officer)"
        )

    def _busy(self, reading: Reading) -> str:
        """Return the figures of a run that used its whole share of the CPU since it stands still; else nothing."""
        then = self.samples.since(reading.at - min(self.section.busy_after_s, KEPT_S))
        use = use_between(then, reading.sample)
        if use is None or use.throttled_periods < max(use.periods, self._periods_in(use.seconds)) * BUSY_SHARE:
            return ""
        return throttling(use.cpu_seconds, use.seconds, self.section.cpu, use.throttled_periods, use.periods)


def is_waiting(reading: Reading) -> bool:
    """Say whether lines wait for the run to ask for them."""
    return reading.delivery.unread_bytes > 0 or reading.page.waiting > 0


def lines_waiting(page: Page, delivery: Delivery) -> int:
    """Return how many lines wait: in the desk, in the pipe, and in the runner's own hands."""
    mean = delivery.sent_bytes / delivery.delivered if delivery.delivered else _LINE_BYTES
    in_pipe = -(-delivery.unread_bytes // max(1, round(mean)))
    in_runner = min(page.waiting, delivery.delivered)
    return delivery.buffered + in_pipe + in_runner


def _waiting(reading: Reading) -> str:
    count = lines_waiting(reading.page, reading.delivery)
    return "1 line waits" if count == 1 else f"{count:,} lines wait"


def _after(reading: Reading) -> str:
    return f", the last it handled was {last_line(reading.page.last_line)}" if reading.page.last_line else ""
