"""Why a run ended: from the exit status, nsjail's own log and the cgroup's counters to one word and one sentence.

An exit status alone cannot tell: 137 is an out-of-memory kill, a time limit or a plain exit(137). A launch failure is
ours and never blamed on the member.
"""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from deskd.config import SandboxSection
from deskd.domain.run import ExitReason, RunEnd
from deskd.supervision.cgroup_files import Usage
from deskd.supervision.process import JOIN_FAILED

_EXITED = re.compile(r"exited with status: (\d+)")
_SIGNALED = re.compile(r"terminated with signal: \S+ \((\d+)\)")
_TROUBLE = re.compile(r"^\[[EFW]\]\[[^]]*\]\s*(.*)$", re.MULTILINE)
_LINE_SHOWN_MAX = 300


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


def classify(evidence: Evidence) -> RunEnd:
    """Return how the run ended, in words that a student understands."""
    reason, detail, code = _judge(evidence)
    return RunEnd(
        reason=reason,
        detail=detail,
        exit_code=code,
        peak_memory_bytes=evidence.usage.peak_memory_bytes,
        cpu_seconds=evidence.usage.cpu_seconds,
    )


def _judge(evidence: Evidence) -> tuple[ExitReason, str, int | None]:
    code, signal_number = _outcome(evidence)
    if evidence.asked is not None:
        return evidence.asked.reason, evidence.asked.detail, code
    section, usage = evidence.section, evidence.usage
    if usage.oom_kills and (signal_number == signal.SIGKILL or not evidence.reached_script):
        text = (
            f"it used more than its {section.memory_mb} MB of memory (files in /tmp count) and was killed: "
            "keep less data, or ask an officer for more"
        )
        return ExitReason.OOM, text, code
    if (why := _launch_failure(evidence)) is not None:
        return ExitReason.SANDBOX_FAILURE, why, code
    if signal_number is not None:
        return ExitReason.SIGNAL, _signal_text(signal_number), code
    if code == 0:
        return ExitReason.CLEAN, "the script came to its end", code
    last = next((line.strip() for line in reversed(evidence.errors) if line.strip()), "it printed no error")
    shown = last if len(last) <= _LINE_SHOWN_MAX else last[:_LINE_SHOWN_MAX] + "…"
    if usage.oom_kills:
        shown += f" (one of its processes was killed: it used more than the run's {section.memory_mb} MB of memory)"
    if usage.forks_refused:
        text = (
            f"it tried to have more than {section.pids} processes and threads, then ended with status {code}: {shown}"
        )
        return ExitReason.PIDS_LIMIT, text, code
    return ExitReason.ERROR, f"it ended with status {code}: {shown}", code


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


def _launch_failure(evidence: Evidence) -> str | None:
    """Return why the script was never reached, or None if it was."""
    if evidence.reached_script:
        return None
    log = evidence.jail_log or ""
    if evidence.status == JOIN_FAILED and "Executing" not in log:
        return "the desk could not put it into its cgroup: look at `deskctl doctor`"
    said = [*_TROUBLE.findall(log), *(line for line in evidence.errors if line.strip())]
    why = said[-1][:_LINE_SHOWN_MAX] if said else f"exit status {evidence.status}"
    return f"the jail did not come up ({why}): this is the desk's fault, not the strategy's; look at `deskctl doctor`"


_SIGNALS = {
    signal.SIGSEGV: "it touched memory that is not its own (a bug in compiled code, or endless recursion)",
    signal.SIGSYS: "it made a system call that jails forbid",
    signal.SIGABRT: "it aborted (a bug in compiled code)",
    signal.SIGFPE: "it divided by zero in compiled code",
    signal.SIGXFSZ: "it wrote a file over the size limit",
    signal.SIGKILL: "it was killed from outside the desk",
}
_SIGNAL_NAMES = {number.value: number.name for number in signal.Signals}


def _signal_text(number: int) -> str:
    text = _SIGNALS.get(signal.Signals(number)) if number in _SIGNAL_NAMES else None
    return f"{text or 'it was ended by a signal'} ({_SIGNAL_NAMES.get(number, number)})"
