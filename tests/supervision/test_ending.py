"""Why a run ended, from what the kernel and nsjail tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.config import SandboxSection
from deskd.domain.run import ExitReason
from deskd.domain.strategy import Delivery
from deskd.supervision.cgroup_files import Usage
from deskd.supervision.ending import DETAIL_MAX, OUTPUT_BYTES_MAX, Asked, Evidence, classify
from deskd.supervision.page import Page

LINE = '{"type":"trade","symbol":"AAPL","timestamp":"2026-11-20T15:04:05.123456789Z"}'
WHOLE_STORY = (
    "it used 512 MiB of 512 MiB of memory (files in /tmp count) and was killed; largest growth in the last 10 s: +380 MiB; "
    "keep less data, or ask an officer for more; last line handled: AAPL trade of 15:04:05.123"
)
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


def a_traceback(error: str) -> tuple[str, ...]:
    frame = '  File "/strategy/strategy.py", line 3, in <module>'
    return ("Traceback (most recent call last):", frame, "    go()", error)


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
        (an_end(status=1, jail_log=exited(1)), ExitReason.ERROR, 1, "printed no error: have it print why"),
        (
            an_end(errors=("Exception in thread Thread-1 (work):", *a_traceback("KeyError: 'x'"))),
            ExitReason.CLEAN,
            0,
            "came to its end; a thread or task of it died before: KeyError: 'x'; at strategy.py:3: go()",
        ),
        (an_end(errors=a_traceback("KeyError: 'x'")), ExitReason.CLEAN, 0, "the script came to its end"),
        (
            an_end(
                asked=Asked(reason=ExitReason.STALLED, detail="it handled no line"),
                errors=("Task exception was never retrieved", *a_traceback("KeyError: 'x'")),
            ),
            ExitReason.STALLED,
            0,
            "it handled no line; a thread or task of it died before: KeyError: 'x'; at",
        ),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                usage=Usage(forks_refused=1),
                errors=a_traceback("BlockingIOError: [Errno 11] Resource temporarily unavailable"),
            ),
            ExitReason.ERROR,
            1,
            "wait for it with select",
        ),
        (
            an_end(status=139, jail_log=signaled(11), errors=("Fatal Python error: Aborted",)),
            ExitReason.SIGNAL,
            None,
            "it aborted (a bug in compiled code) (SIGABRT)",
        ),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                errors=(
                    *a_traceback("OSError: [Errno 28] No space left on device"),
                    "",
                    "During handling of the above exception, another exception occurred:",
                    "",
                    *a_traceback("RuntimeError: cannot save"),
                ),
            ),
            ExitReason.ERROR,
            1,
            "; it came of OSError: [Errno 28] No space left on device, at strategy.py:3: go(); there is room for 64 MiB",
        ),
        (an_end(status=1, jail_log=exited(1), errors=("x" * 999,)), ExitReason.ERROR, 1, "x…"),
        (an_end(status=137, jail_log=exited(137)), ExitReason.ERROR, 137, "status 137"),
        (an_end(status=139, jail_log=signaled(11)), ExitReason.SIGNAL, None, "(SIGSEGV)"),
        (an_end(status=162, jail_log=signaled(34)), ExitReason.SIGNAL, None, "ended by a signal"),
        (an_end(status=137, jail_log=signaled(9), usage=Usage(oom_kills=1)), ExitReason.OOM, None, "512 MiB"),
        (an_end(status=-9, jail_log=UP, usage=Usage(oom_kills=2)), ExitReason.OOM, None, "512 MiB"),
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
        (
            an_end(status=137, jail_log=UP, reached_script=False, usage=Usage(oom_kills=1)),
            ExitReason.SANDBOX_FAILURE,
            137,
            "memory_mb=512 to come up",
        ),
        (an_end(status=255, jail_log=exited(255)), ExitReason.ERROR, 255, "status 255"),
        (
            an_end(status=137, jail_log=exited(137), usage=Usage(oom_kills=1), errors=("child died",)),
            ExitReason.ERROR,
            137,
            "one of its processes was killed",
        ),
        (
            an_end(status=137, jail_log=signaled(9), usage=Usage(oom_kills=1, peak_memory_bytes=40 << 20)),
            ExitReason.SANDBOX_FAILURE,
            None,
            "the machine ran out of memory, and the kernel killed the run though it used only 40 MiB of 512 MiB",
        ),
        (
            an_end(
                status=137,
                jail_log=signaled(9),
                usage=Usage(oom_kills=1, peak_memory_bytes=512 << 20),
                growth=(380 << 20, 10.0),
                page=Page(handled=9, last_line=LINE),
                delivery=Delivery(delivered=10),
            ),
            ExitReason.OOM,
            None,
            WHOLE_STORY,
        ),
        (an_end(status=137, jail_log=signaled(9)), ExitReason.SANDBOX_FAILURE, None, "outside its jail killed it"),
        (an_end(status=-9, jail_log=UP), ExitReason.SANDBOX_FAILURE, None, "outside its jail killed it"),
        (an_end(status=-9, jail_log=None), ExitReason.SIGNAL, None, "by itself, or by somebody on this machine"),
        (
            an_end(status=137, jail_log=signaled(9), cpu_time_max_s=60, usage=Usage(cpu_seconds=54.2)),
            ExitReason.CPU_LIMIT,
            None,
            "all the CPU time of 60 s that the machine gives a process (ulimit -t)",
        ),
        (
            an_end(status=137, jail_log=signaled(9), cpu_time_max_s=60, usage=Usage(cpu_seconds=2.0)),
            ExitReason.SANDBOX_FAILURE,
            None,
            "outside its jail",
        ),
        (an_end(status=152, jail_log=signaled(24)), ExitReason.CPU_LIMIT, None, "ulimit -t"),
        (an_end(status=159, jail_log=signaled(31)), ExitReason.SIGNAL, None, "32-bit programs"),
        (
            an_end(
                status=139,
                jail_log=signaled(11),
                errors=("Fatal Python error: Segmentation fault", '  File "/strategy/strategy.py", line 5 in f'),
            ),
            ExitReason.SIGNAL,
            None,
            "(SIGSEGV); at strategy.py:5 in f",
        ),
        (
            an_end(
                status=139,
                jail_log=signaled(11),
                usage=Usage(forks_refused=3),
                errors=("OpenBLAS blas_thread_init: pthread_create failed",),
            ),
            ExitReason.PIDS_LIMIT,
            None,
            "fell over it",
        ),
        (an_end(status=139, jail_log=signaled(11), usage=Usage(forks_refused=3)), ExitReason.SIGNAL, None, "SIGSEGV"),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                usage=Usage(forks_refused=3, peak_pids=5),
                errors=a_traceback("RuntimeError: can't start new thread"),
            ),
            ExitReason.SANDBOX_FAILURE,
            1,
            "though the run had 5 of its 64 at most (it ended over it: RuntimeError: can't start new thread): not its",
        ),
        (
            an_end(
                status=139,
                jail_log=signaled(11),
                usage=Usage(is_crowded_above=True),
                most_pids_seen=5,
                errors=("OpenBLAS blas_thread_init: pthread_create failed",),
            ),
            ExitReason.SANDBOX_FAILURE,
            None,
            "the run had 5 of its 64 at most",
        ),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                usage=Usage(forks_refused=3),
                most_pids_seen=5,
                errors=a_traceback("RuntimeError: can't start new thread"),
            ),
            ExitReason.PIDS_LIMIT,
            1,
            "more than 64",
        ),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                usage=Usage(forks_refused=3, peak_pids=64, is_crowded_above=True),
                errors=a_traceback("RuntimeError: can't start new thread"),
            ),
            ExitReason.PIDS_LIMIT,
            1,
            "more than 64",
        ),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                usage=Usage(forks_refused=3, peak_pids=5),
                errors=a_traceback("KeyError: 'x'"),
            ),
            ExitReason.ERROR,
            1,
            "status 1: KeyError: 'x'; at strategy.py:3: go()",
        ),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                is_unanswered=True,
                errors=a_traceback("desk_client.answers.DeskUnavailable: the desk did not answer in time"),
            ),
            ExitReason.SANDBOX_FAILURE,
            1,
            "the desk did not answer in time; at strategy.py:3: go()): not its own doing; catch DeskUnavailable",
        ),
        (
            an_end(status=1, jail_log=exited(1), is_unanswered=True, errors=a_traceback("KeyError: 'x'")),
            ExitReason.ERROR,
            1,
            "KeyError",
        ),
        (an_end(usage=Usage(forks_refused=9)), ExitReason.CLEAN, 0, "9 processes or threads over its 64 were refused"),
        (
            an_end(status=1, jail_log=exited(1), usage=Usage(forks_refused=9), errors=a_traceback("KeyError: 'x'")),
            ExitReason.ERROR,
            1,
            "KeyError: 'x'; at strategy.py:3: go(); 9 processes or threads over its 64 were refused before",
        ),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                usage=Usage(forks_refused=9),
                errors=a_traceback("RuntimeError: can't start new thread"),
            ),
            ExitReason.PIDS_LIMIT,
            1,
            "more than 64 processes and threads",
        ),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                usage=Usage(peak_memory_bytes=500 << 20),
                growth=(1 << 20, 10.0),
                errors=a_traceback("MemoryError"),
            ),
            ExitReason.ERROR,
            1,
            "it used 500 MiB of 512 MiB of memory; largest growth in the last 10 s: +1.0 MiB; what it asked for last",
        ),
        (
            an_end(
                status=1,
                jail_log=exited(1),
                errors=a_traceback("ModuleNotFoundError: No module named 'numpie'"),
                packages={"numpy": "2.5.5"},
            ),
            ExitReason.ERROR,
            1,
            "numpie is not among this desk's packages (numpy 2.5.5)",
        ),
        (
            an_end(asked=Asked(reason=ExitReason.SLOW_CONSUMER, detail="1000 lines"), reached_script=False),
            ExitReason.SANDBOX_FAILURE,
            0,
            "had not begun yet when the run was ended (1000 lines)",
        ),
        (
            an_end(asked=Asked(reason=ExitReason.SANDBOX_FAILURE, detail="no warm-up")),
            ExitReason.SANDBOX_FAILURE,
            0,
            "no warm-up",
        ),
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


def test_an_end_keeps_its_last_words_within_bounds() -> None:
    """The ledger keeps the newest lines, and control characters as they came."""
    end = classify(an_end(status=1, jail_log=exited(1), output=["old", *("é" * 999 for _ in range(60)), "\x1b[2J"]))
    assert end.output[-1] == "\x1b[2J"
    assert len(end.output) < 50
    assert sum(len(line.encode()) for line in end.output) <= OUTPUT_BYTES_MAX
    assert classify(an_end(output=[str(n) for n in range(60)])).output == tuple(str(n) for n in range(10, 60))


def test_a_claim_is_never_more_than_what_was_delivered() -> None:
    """What a run says of itself is bounded by what the desk knows."""
    end = classify(an_end(page=Page(handled=2**53), delivery=Delivery(delivered=4)))
    assert (end.lines_handled, end.lines_delivered) == (4, 4)


MEMBERS = frozenset(ExitReason) - {ExitReason.SANDBOX_FAILURE, ExitReason.STOPPED}
_WORDS = st.sampled_from(
    [
        *a_traceback("MemoryError"),
        "OSError: [Errno 28] x",
        "can't start new thread",
        "Fatal Python error: x",
        "ModuleNotFoundError: No module named 'x'",
        "KeyError: 'price'",
        "",
    ]
)
_EVIDENCE = st.builds(
    Evidence,
    status=st.integers(-64, 255),
    jail_log=st.none() | st.just(UP) | st.integers(0, 255).map(exited) | st.integers(0, 64).map(signaled) | st.text(),
    errors=st.lists(_WORDS | st.text(max_size=40), max_size=8),
    usage=st.builds(
        Usage,
        peak_memory_bytes=st.none() | st.integers(0, 1 << 33),
        oom_kills=st.integers(0, 3),
        forks_refused=st.integers(0, 9),
        peak_pids=st.none() | st.integers(0, 64),
        is_crowded_above=st.booleans(),
        cpu_seconds=st.none() | st.floats(0, 1e6),
        periods=st.none() | st.integers(0, 99),
    ),
    reached_script=st.booleans(),
    asked=st.none() | st.builds(Asked, reason=st.sampled_from(ExitReason), detail=st.text(max_size=2_000)),
    section=st.just(SandboxSection()),
    growth=st.none() | st.tuples(st.integers(-(1 << 30), 1 << 30), st.floats(1, 10)),
    page=st.builds(
        Page, handled=st.integers(0, 2**53), last_line=st.text(max_size=99), at_work_on=st.text(max_size=99)
    ),
    delivery=st.builds(Delivery, delivered=st.integers(0, 99)),
    output=st.lists(st.text(max_size=99), max_size=60),
    packages=st.just({"numpy": "2.5.5"}),
    is_unanswered=st.booleans(),
    most_pids_seen=st.none() | st.integers(0, 64),
    cpu_time_max_s=st.none() | st.integers(0, 99),
)


@given(_EVIDENCE)
def test_any_evidence_gives_one_reason_and_blames_the_right_one(evidence: Evidence) -> None:
    """A member is blamed only where their script began; we are, where it did not, or where the desk said so itself."""
    end = classify(evidence)
    own_word = evidence.asked is not None and evidence.asked.reason
    if evidence.reached_script:
        peak = evidence.usage.peak_memory_bytes
        is_machines_want = evidence.usage.oom_kills > 0 and peak is not None and peak < 512 << 20
        pids = evidence.usage.peak_pids if evidence.usage.peak_pids is not None else evidence.most_pids_seen
        refused = evidence.usage.forks_refused > 0 or evidence.usage.is_crowded_above
        is_machines_want |= refused and pids is not None and pids < 64
        is_machines_want |= evidence.is_unanswered  # the order door's word, and not the run's
        was_killed = evidence.status == -9 or "signal: SIGX (9)" in (evidence.jail_log or "")
        is_machines_want |= was_killed and evidence.jail_log is not None
        is_ours = own_word == ExitReason.SANDBOX_FAILURE or (not own_word and is_machines_want)
        assert end.reason is not ExitReason.SANDBOX_FAILURE or is_ours
    else:
        assert end.reason not in MEMBERS
        assert own_word == end.reason or end.reason is ExitReason.SANDBOX_FAILURE
    assert end.detail or own_word
    assert len(end.detail) <= DETAIL_MAX + 1
