"""Why a run ended: from exit status, nsjail's own log, the kernel's counters and the last prints to one word and its story.

1. An exit status alone cannot tell: 137 is an out-of-memory kill, a time limit or a plain exit(137).
2. A run whose script was not reached is ours (`sandbox_failure`), whatever else is known; a run whose script was reached
   never is, unless the desk itself said so when it ended the run, or what it ended of can be nobody's doing but the
   machine's or the desk's, by the kernel's counters or the order door's. "Reached" is a seal of the kernel's (page.py).
3. The first row of ROWS that answers is right, and the last one always answers.
"""

import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deskd.config import SandboxSection
from deskd.domain.run import ExitReason, RunEnd
from deskd.domain.strategy import Delivery
from deskd.supervision.cgroup_files import NEARLY_ALL, Usage
from deskd.supervision.crash import Crash, read_crash
from deskd.supervision.hints import hint, is_refused_process
from deskd.supervision.page import Page
from deskd.supervision.process import JOIN_FAILED
from deskd.supervision.words import last_line, mib

DETAIL_MAX = 1_000
OUTPUT_LINES_MAX = 50
OUTPUT_BYTES_MAX = 16_384  # of them, in the ledger
_EXITED = re.compile(r"exited with status: (\d+)")
_SIGNALED = re.compile(r"terminated with signal: \S+ \((\d+)\)")
_TROUBLE = re.compile(r"^\[[EFW]\]\[[^]]*\]\s*(.*)$", re.MULTILINE)
_THREAD_DIED = re.compile(
    r"Exception in thread |Task exception was never retrieved|Future exception was never retrieved"
)
_LINE_SHOWN_MAX = 300
_BLAMELESS = frozenset({ExitReason.STOPPED, ExitReason.SANDBOX_FAILURE})
_CPU_TIME_USED = (
    0.5  # of a limit: the kernel holds a process to its ticks, which tell more than its group used by a fifth and over
)
_LOOK = "this is the desk's fault, not the strategy's; look at `deskctl doctor`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The desk ended the run itself: why, and whether it had to be killed."""

    reason: ExitReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a process that ended."""

    status: int  # negative: killed by that signal
    jail_log: str | None  # None: there was no jail
    errors: Sequence[str]  # the last lines of its standard error
    usage: Usage
    reached_script: bool
    asked: Asked | None
    section: SandboxSection
    growth: tuple[int, float] | None = None  # of its memory: bytes, over the last seconds
    page: Page = field(default_factory=Page)
    delivery: Delivery = field(default_factory=Delivery)
    output: Sequence[str] = ()  # the last lines of both streams
    packages: Mapping[str, str] = field(default_factory=dict)  # what all strategies can import, by name: its version
    is_unanswered: bool = False  # the desk owed it an answer when it ended
    most_pids_seen: int | None = None  # processes and threads, by looks now and then
    cpu_time_max_s: int | None = None  # that the machine gives a process


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """The evidence, and what it says at first sight."""

    given: Evidence
    code: int | None  # the script's own exit status
    signal: int | None  # that ended it
    crash: Crash


type Verdict = tuple[ExitReason, str]


def classify(evidence: Evidence) -> RunEnd:
    """Return how the run ended, in words that a student understands."""
    code, signal_number = _outcome(evidence)
    case = _Case(given=evidence, code=code, signal=signal_number, crash=read_crash(evidence.errors))
    reason, detail = next(verdict for row in ROWS if (verdict := row(case)) is not None)
    usage, page = evidence.usage, evidence.page
    at_fault = reason not in {ExitReason.CLEAN, *_BLAMELESS}
    if at_fault and evidence.asked is None and evidence.delivery.delivered:
        detail += _lines(page)
    return RunEnd(
        reason=reason,
        detail=detail if len(detail) <= DETAIL_MAX else detail[:DETAIL_MAX] + "…",
        exit_code=code,
        peak_memory_bytes=usage.peak_memory_bytes,
        cpu_seconds=usage.cpu_seconds,
        memory_max_bytes=evidence.section.memory_mb << 20 if usage.peak_memory_bytes is not None else None,
        memory_growth_bytes=evidence.growth[0] if evidence.growth else None,
        throttled_seconds=usage.throttled_seconds,
        throttled_periods=usage.throttled_periods,
        periods=usage.periods,
        lines_delivered=evidence.delivery.delivered,
        lines_handled=min(page.handled, evidence.delivery.delivered),
        last_line=page.last_line,
        traceback=case.crash.traceback if at_fault else "",
        source_line=case.crash.source_line if at_fault else "",
        output=_last_output(evidence.output),
    )


# --- the rows -----------------------------------------------------------------------------------------------------------


def _desk_ended_it(case: _Case) -> Verdict | None:
    """Return the desk's own reason; what a member would be blamed for only where their script had begun."""
    asked = case.given.asked
    if asked is None:
        return None
    if asked.reason in _BLAMELESS:
        return asked.reason, asked.detail
    if case.given.reached_script:
        return asked.reason, asked.detail + _died_on_the_way(case)
    return ExitReason.SANDBOX_FAILURE, f"the script had not begun yet when the run was ended ({asked.detail}): {_LOOK}"


def _never_began(case: _Case) -> Verdict | None:
    """Tell what kept the jail from coming up."""
    given = case.given
    if given.reached_script:
        return None
    if given.usage.oom_kills:
        text = f"the jail needs more than [sandbox] memory_mb={given.section.memory_mb} to come up: raise it; {_LOOK}"
        return ExitReason.SANDBOX_FAILURE, text
    log = given.jail_log or ""
    if given.status == JOIN_FAILED and "Executing" not in log:
        return ExitReason.SANDBOX_FAILURE, "the desk could not put it into its cgroup: look at `deskctl doctor`"
    said = [*_TROUBLE.findall(log), *(line for line in given.errors if line.strip())]
    why = said[-1][:_LINE_SHOWN_MAX] if said else f"exit status {given.status}"
    return ExitReason.SANDBOX_FAILURE, f"the jail did not come up ({why}): {_LOOK}"


def _out_of_memory(case: _Case) -> Verdict | None:
    """Tell a kill for want of memory, of the run's own or of the machine's."""
    given = case.given
    if not given.usage.oom_kills or case.signal != signal.SIGKILL:
        return None
    limit, peak = given.section.memory_mb << 20, given.usage.peak_memory_bytes
    if peak is not None and peak < limit * NEARLY_ALL:
        text = f"the machine ran out of memory, and the kernel killed the run though it used only {mib(peak)} of {mib(limit)}"
        return (
            ExitReason.SANDBOX_FAILURE,
            f"{text}: not its own doing; tell an officer (fewer strategies, or more memory)",
        )
    used = (
        f"it used {mib(limit if peak is None else peak)} of {mib(limit)} of memory (files in /tmp count) and was killed"
    )
    advice = "keep less data, or ask an officer for more"
    return ExitReason.OOM, f"{used}{_growth(given)}; {advice}"


def _machine_out_of_processes(case: _Case) -> Verdict | None:
    """Tell an end over a process that was refused by a bound of somebody else's: the desk's, or the machine's."""
    if case.code == 0 or not _no_fork(case) or not _is_machines_want(case):
        return None
    most, own = _most_pids(case.given), case.given.section.pids
    text = f"the machine had no more processes to give, though the run had {most} of its {own} at most"
    where = f" (it ended over it: {_shown_error(case)})"
    return ExitReason.SANDBOX_FAILURE, f"{text}{where}: not its own doing; tell an officer: `deskctl doctor`"


def _out_of_processes_by_signal(case: _Case) -> Verdict | None:
    """Tell compiled code that falls over a thread it could not start, as OpenBLAS does."""
    if case.signal is None or not _own_refusals(case) or not _no_fork(case):
        return None
    return ExitReason.PIDS_LIMIT, f"{_too_many(case)}, and fell over it ({_signal_text(case.signal)}); start fewer"


def _out_of_cpu_time(case: _Case) -> Verdict | None:
    """Tell who used up what `ulimit -t` gives: nsjail makes soft and hard limit one, and then the kernel kills at once."""
    given = case.given
    limit, used = given.cpu_time_max_s, given.usage.cpu_seconds
    is_used = limit is not None and used is not None and used >= limit * _CPU_TIME_USED
    is_killed = case.signal == signal.SIGKILL and is_used
    if case.signal != signal.SIGXCPU and not is_killed:
        return None
    seconds = "" if limit is None else f" of {limit} s"
    text = f"it used up all the CPU time{seconds} that the machine gives a process (ulimit -t)"
    return ExitReason.CPU_LIMIT, f"{text}: work less, or ask an officer to lift that limit from the desk"


def _killed_from_outside(case: _Case) -> Verdict | None:
    """Tell a kill that nothing in a jail can send: to its own first process the kernel passes none on."""
    if case.signal != signal.SIGKILL or case.given.jail_log is None:
        return None
    text = "somebody or something outside its jail killed it (SIGKILL; it had memory left)"
    return ExitReason.SANDBOX_FAILURE, f"{text}: not its own doing; it is started again. Officers: see the kernel's log"


def _killed_by_signal(case: _Case) -> Verdict | None:
    if case.signal is None:
        return None
    where = f"; at {case.crash.source_line}" if case.crash.source_line else ""
    # abort() of a jail's first process: the kernel passes SIGABRT by, and a fault is the C library's last way out
    has_aborted = case.signal in {signal.SIGSEGV, signal.SIGILL} and case.crash.last_words.endswith(": Aborted")
    number = signal.SIGABRT if has_aborted else case.signal
    return ExitReason.SIGNAL, _signal_text(number) + where


def _came_to_its_end(case: _Case) -> Verdict | None:
    if case.code != 0:
        return None
    usage, notes = case.given.usage, []
    if usage.oom_kills:
        notes.append("one of its processes was killed on the way: it used more than the run's memory")
    if _own_refusals(case):
        notes.append(f"{usage.forks_refused} processes or threads over its {case.given.section.pids} were refused")
    return ExitReason.CLEAN, "; ".join(["the script came to its end", *notes]) + _died_on_the_way(case)


def _out_of_processes(case: _Case) -> Verdict | None:
    """Tell an error that a refused process or thread led to; one that came of something else is an error."""
    if not _own_refusals(case) or not (_no_fork(case) or not case.crash.kind):
        return None
    text = f"{_too_many(case)}, then ended with status {case.code}: {_shown_error(case)}{_circumstances(case.crash)}"
    return ExitReason.PIDS_LIMIT, f"{text}; start fewer, or ask an officer for more ([sandbox] pids)"


def _desk_did_not_answer(case: _Case) -> Verdict | None:
    """Tell an end in want of an answer that the desk owed, by the order door's own count: saying so is not enough."""
    crash = case.crash
    kinds = {crash.kind, crash.cause.kind if crash.cause is not None else ""}
    if not case.given.is_unanswered or "DeskUnavailable" not in kinds:
        return None
    text = f"the desk did not answer its question in time, and it ended of that ({_shown_error(case)}{_circumstances(crash)})"
    return ExitReason.SANDBOX_FAILURE, f"{text}: not its own doing; catch DeskUnavailable to live through it"


def _error(case: _Case) -> Verdict:
    given, crash = case.given, case.crash
    text = f"it ended with status {case.code}: {_shown_error(case)}{_circumstances(crash)}"
    limit, peak = given.section.memory_mb << 20, given.usage.peak_memory_bytes
    if crash.kind == "MemoryError":
        used = "" if peak is None else f"it used {mib(peak)} of {mib(limit)} of memory{_growth(given)}; "
        text += f"; {used}what it asked for last could not be had"
    elif given.usage.oom_kills:
        text += f"; one of its processes was killed: it used more than the run's {mib(limit)} of memory"
    if _own_refusals(case):
        text += f"; {given.usage.forks_refused} processes or threads over its {given.section.pids} were refused before"
    advice = hint(crash, given.section, given.packages)
    if not advice and crash.cause is not None:
        advice = hint(crash.cause, given.section, given.packages)
    return ExitReason.ERROR, f"{text}; {advice}" if advice else text


ROWS: Sequence[Callable[[_Case], Verdict | None]] = (
    _desk_ended_it,
    _never_began,
    _out_of_memory,
    _machine_out_of_processes,
    _out_of_processes_by_signal,
    _out_of_cpu_time,
    _killed_from_outside,
    _killed_by_signal,
    _came_to_its_end,
    _out_of_processes,
    _desk_did_not_answer,
    _error,
)


# --- words --------------------------------------------------------------------------------------------------------------


def _outcome(evidence: Evidence) -> tuple[int | None, int | None]:
    """Return the script's exit code, or None and the signal that ended it."""
    log = evidence.jail_log or ""
    if exited := _EXITED.search(log):
        return int(exited[1]), None
    if signaled := _SIGNALED.search(log):
        return None, int(signaled[1])
    if evidence.status < 0:
        return None, -evidence.status
    return evidence.status, None


def _lines(page: Page) -> str:
    at_work = f"; it was at work on: {last_line(page.at_work_on)}" if page.at_work_on else ""
    handled = f"; last line handled: {last_line(page.last_line)}" if page.last_line else ""
    return at_work + handled


def _growth(given: Evidence) -> str:
    if given.growth is None or given.growth[0] <= 0:
        return ""
    grown, span = given.growth
    return f"; largest growth in the last {span:.0f} s: +{mib(grown)}"


def _too_many(case: _Case) -> str:
    return f"it tried to have more than {case.given.section.pids} processes and threads"


def _most_pids(given: Evidence) -> int | None:
    return given.most_pids_seen if given.usage.peak_pids is None else given.usage.peak_pids


def _is_machines_want(case: _Case) -> bool:
    """Say whether a refused process was refused by another bound than the run's own: one that it never came near.

    Where the kernel does not keep the most there were, a look a second may have missed it: then some other bound must
    have been reached.
    """
    given, most = case.given, _most_pids(case.given)
    if most is None or most >= given.section.pids * NEARLY_ALL:
        return False
    return given.usage.is_crowded_above or (given.usage.forks_refused > 0 and given.usage.peak_pids is not None)


def _own_refusals(case: _Case) -> int:
    """Return how often its own bound refused it a process."""
    return 0 if _is_machines_want(case) else case.given.usage.forks_refused


def _no_fork(case: _Case) -> bool:
    return any(is_refused_process(line, case.crash.traceback) for line in case.given.errors)


def _shown_error(case: _Case) -> str:
    by_itself = "it ended itself (sys.exit, os._exit) and printed no error: have it print why before"
    return case.crash.last_words or by_itself


def _died_on_the_way(case: _Case) -> str:
    """Return the error of a thread or task that nobody waited for: the script went on without it."""
    if not case.crash.kind or not any(_THREAD_DIED.match(line) for line in case.given.errors):
        return ""
    return f"; a thread or task of it died before: {case.crash.last_words}{_circumstances(case.crash)}"


def _circumstances(crash: Crash) -> str:
    """Return where the error came up, in what company, and of what it came."""
    text = f"; at {crash.source_line}" if crash.source_line else ""
    if crash.group and crash.group != crash.last_words:
        text += f"; the first of {crash.group}"
    if crash.cause is not None:
        place = f", at {crash.cause.source_line}" if crash.cause.source_line else ""
        text += f"; it came of {crash.cause.last_words}{place}"
    return text


_SIGNALS = {
    signal.SIGSEGV: "it touched memory that is not its own (a bug in compiled code, or endless recursion)",
    signal.SIGBUS: "it read a mapped file beyond its end, or where no room was left for it",
    signal.SIGILL: "it ran an instruction that this machine's processor does not have (a package built for another)",
    signal.SIGSYS: "it made a system call of a kind that ends a jail: those of 32-bit programs. Others that jails forbid "
    "(network, other processes, namespaces) only fail, with EPERM, ENOSYS or EAFNOSUPPORT",
    signal.SIGABRT: "it aborted (a bug in compiled code)",
    signal.SIGFPE: "it divided by zero in compiled code",
    signal.SIGXFSZ: "it wrote a file over the size limit of /tmp and /state: write smaller ones",
    signal.SIGKILL: "it was killed: by itself, or by somebody on this machine",
}
_SIGNAL_NAMES = {number.value: number.name for number in signal.Signals}


def _signal_text(number: int) -> str:
    text = _SIGNALS.get(signal.Signals(number)) if number in _SIGNAL_NAMES else None
    return f"{text or 'it was ended by a signal'} ({_SIGNAL_NAMES.get(number, number)})"


def _last_output(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the last lines, as many as their bounds allow."""
    kept: list[str] = []
    room = OUTPUT_BYTES_MAX
    for line in reversed(lines[-OUTPUT_LINES_MAX:]):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line)
    return tuple(reversed(kept))
