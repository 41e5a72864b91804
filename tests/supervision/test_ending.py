"""Why a run ended, from what the kernel and nsjail tell."""

import pytest

from deskd.config import SandboxSection
from deskd.domain.run import ExitReason
from deskd.supervision.cgroup_files import Usage
from deskd.supervision.ending import Asked, Evidence, classify

UP = "[I][2026-01-05T17:00:00+0000] Executing '/venv/bin/python3' for '[STANDALONE MODE]'\n"


def exited(status: int) -> str:
    return (
        UP + f"[I][2026-01-05T17:00:01+0000] pid=7 ([STANDALONE MODE]) exited with status: {status}, (PIDs left: 0)\n"
    )


def signaled(number: int) -> str:
    return UP + f"[I][2026-01-05T17:00:01+0000] pid=7 (x) terminated with signal: SIGX ({number}), (PIDs left: 0)\n"


def an_end(**overrides: object) -> Evidence:
    fields: dict[str, object] = {
        "status": 0,
        "jail_log": exited(0),
        "errors": (),
        "usage": Usage(peak_memory_bytes=5, cpu_seconds=0.5),
        "reached_script": True,
        "asked": None,
        "section": SandboxSection(),
    }
    return Evidence(**fields | overrides)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("evidence", "reason", "code", "says"),
    [
        (an_end(), ExitReason.CLEAN, 0, "came to its end"),
        (
            an_end(status=1, jail_log=exited(1), errors=("Traceback", "KeyError: 'x'", "")),
            ExitReason.ERROR,
            1,
            "KeyError",
        ),
        (an_end(status=1, jail_log=exited(1)), ExitReason.ERROR, 1, "printed no error"),
        (an_end(status=1, jail_log=exited(1), errors=("x" * 999,)), ExitReason.ERROR, 1, "x…"),
        (an_end(status=137, jail_log=exited(137)), ExitReason.ERROR, 137, "status 137"),
        (an_end(status=139, jail_log=signaled(11)), ExitReason.SIGNAL, None, "(SIGSEGV)"),
        (an_end(status=162, jail_log=signaled(34)), ExitReason.SIGNAL, None, "ended by a signal"),
        (an_end(status=137, jail_log=signaled(9), usage=Usage(oom_kills=1)), ExitReason.OOM, None, "512 MB"),
        (an_end(status=-9, jail_log=UP, usage=Usage(oom_kills=2)), ExitReason.OOM, None, "512 MB"),
        (
            an_end(status=1, jail_log=exited(1), usage=Usage(oom_kills=1), errors=("BrokenProcessPool",)),
            ExitReason.ERROR,
            1,
            "one of its processes was killed",
        ),
        (an_end(usage=Usage(oom_kills=1)), ExitReason.CLEAN, 0, "end"),
        (an_end(status=1, jail_log=exited(1), usage=Usage(forks_refused=9)), ExitReason.PIDS_LIMIT, 1, "64 processes"),
        (
            an_end(status=255, jail_log="[E][x] mount failed: EACCES\n", reached_script=False),
            ExitReason.SANDBOX_FAILURE,
            255,
            "mount failed: EACCES",
        ),
        (an_end(status=96, jail_log="", reached_script=False), ExitReason.SANDBOX_FAILURE, 96, "cgroup"),
        (an_end(status=1, jail_log=exited(1), reached_script=False), ExitReason.SANDBOX_FAILURE, 1, "desk's fault"),
        (an_end(status=-11, jail_log=None), ExitReason.SIGNAL, None, "SIGSEGV"),
        (an_end(status=3, jail_log=None), ExitReason.ERROR, 3, "status 3"),
        (
            an_end(status=137, jail_log=signaled(9), asked=Asked(reason=ExitReason.STOPPED, detail="the desk stopped")),
            ExitReason.STOPPED,
            None,
            "the desk stopped",
        ),
    ],
)
def test_every_end_has_its_word(evidence: Evidence, reason: ExitReason, code: int | None, says: str) -> None:
    """The reason is what happened, and the sentence says it to a student."""
    end = classify(evidence)
    assert (end.reason, end.exit_code) == (reason, code)
    assert says in end.detail


def test_an_end_keeps_what_the_kernel_counted() -> None:
    """Peak memory and CPU come from the cgroup, not from the run."""
    end = classify(an_end())
    assert (end.peak_memory_bytes, end.cpu_seconds) == (5, 0.5)
