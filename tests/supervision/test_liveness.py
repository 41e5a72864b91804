"""Whether a run moves: who stands still is told from who is slow, busy, unusual, or has nothing to do."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.config import SandboxSection
from deskd.domain.run import ExitReason
from deskd.domain.strategy import Delivery, DeskWait
from deskd.supervision.liveness import MOVES, Reading, Still, Verdict, Watch, lines_waiting
from deskd.supervision.meter import Sample
from deskd.supervision.page import Page

SECTION = SandboxSection(stalled_after_s=30, stalled_end_after_s=60, busy_after_s=60, cpu=0.5)
LINE = '{"type":"trade","symbol":"AAPL","timestamp":"2026-11-20T15:04:05.123456789Z"}'
WAITING = Delivery(delivered=100, sent_bytes=10_000, unread_bytes=9_000)


@dataclass(slots=True)
class Life:
    """A watch, and a second for each look."""

    section: SandboxSection = SECTION
    watch: Watch = field(init=False)
    at: float = 1_000.0
    cpu: float = 0.0
    refused: float = 0
    waited: float = 0.0

    def __post_init__(self) -> None:
        self.watch = Watch(self.section)

    def look(
        self,
        delivery: Delivery = WAITING,
        page: Page | None = None,
        *,
        after_s: float = 1.0,
        busy: float = 0.0,
        forks: float = 0,
        waits: float = 0.0,
        pids: int | None = None,
    ) -> Verdict:
        """Look after a while in which it used *busy* of its share, was refused *forks*, and waited so much for the desk."""
        self.waited += waits
        self.at += after_s
        self.refused += forks
        self.cpu += after_s * busy * self.section.cpu
        periods = int((self.at - 1_000) * 100) if busy else 0
        sample = Sample(
            at=self.at,
            cpu_seconds=self.cpu,
            periods=periods,
            throttled_periods=periods if busy == 1 else 0,
            forks_refused=int(self.refused),
            pids=pids,
        )
        return self.watch.look(
            Reading(at=self.at, page=page or Page(), delivery=delivery, sample=sample, waited_s=self.waited)
        )

    def verdicts(
        self, seconds: int, delivery: Delivery = WAITING, page: Page | None = None, **more: Any
    ) -> list[Verdict]:
        """Look every second; return what was more than `moves`."""
        seen = [self.look(delivery, page, **more) for _ in range(seconds)]
        return [verdict for verdict in seen if verdict is not MOVES]


def test_who_stands_still_is_warned_and_then_ended() -> None:
    """30 seconds to the warning, 60 more to the end; the sentence has all figures."""
    life = Life()
    page = Page(handled=10, last_line=LINE)
    assert life.verdicts(30, page=page) == []
    warned = life.look(page=page)
    assert (warned.still, warned.reason) == (Still.WARN, ExitReason.STALLED)
    assert (
        warned.detail
        == "it handled no line for 30 s; 90 lines wait, the last it handled was AAPL trade of 15:04:05.123"
    )
    assert life.verdicts(59, page=page) == []
    ended = life.look(page=page)
    assert (ended.still, ended.reason) == (Still.END, ExitReason.STALLED)
    assert "for 90 s; 90 lines wait" in ended.detail


def test_a_busy_loop_is_ended_with_its_throttle_figures() -> None:
    """It used its whole share and handled nothing: cpu_limit, and not stalled."""
    life = Life()
    *_, ended = life.verdicts(62, busy=1)
    assert (ended.still, ended.reason) == (Still.END, ExitReason.CPU_LIMIT)
    assert (
        "used 0.50 of 0.5 cores for 60 s, throttled 6,000 of 6,000 periods, and handled no line meanwhile"
        in ended.detail
    )


@pytest.mark.parametrize("busy", [0.0, 1.0])
def test_a_fork_bomb_that_swallows_its_refusals_is_ended_for_them(busy: float) -> None:
    """Whether it waits between them or not: it is the bound on processes that it runs into, and it is told which."""
    life = Life()
    *_, ended = life.verdicts(92, busy=busy, forks=3)
    assert (ended.still, ended.reason) == (Still.END, ExitReason.PIDS_LIMIT)
    assert f"it asked for more than its {SECTION.pids} processes and threads (" in ended.detail
    assert "refused in the last 60 s, and it goes on asking: start fewer)" in ended.detail


@pytest.mark.parametrize(("pids", "reason"), [(5, ExitReason.STALLED), (64, ExitReason.PIDS_LIMIT)])
def test_who_is_refused_by_somebody_elses_bound_made_no_fork_bomb(pids: int, reason: ExitReason) -> None:
    """The kernel counts a refusal where it was asked, also where a group above said no."""
    *_, ended = Life().verdicts(92, forks=3, pids=pids)
    assert ended.reason is reason


def test_who_was_refused_a_thread_once_and_stalls_later_is_stalled() -> None:
    """A package that wanted a thread at its import is not what keeps it."""
    life = Life()
    life.look(forks=5)
    *_, ended = life.verdicts(92)
    assert ended.reason is ExitReason.STALLED


def test_one_core_of_two_is_no_busy_loop_but_stalled() -> None:
    """Who is not throttled did not use up their share."""
    life = Life(SECTION.model_copy(update={"cpu": 2.0}))
    assert {verdict.reason for verdict in life.verdicts(95, busy=0.5)} == {ExitReason.STALLED}


def test_who_works_and_gets_little_is_not_blamed_for_it() -> None:
    """A fifth of its due counts as a fifth of the time, and both causes are said, with what it got."""
    untouched = Delivery(delivered=100, sent_bytes=9_000, unread_bytes=9_000)
    life = Life()
    assert life.verdicts(140, untouched, busy=0.2) == []
    assert [verdict.still for verdict in life.verdicts(290, untouched, busy=0.2)] == [Still.WARN]
    *_, ended = life.verdicts(25, untouched, busy=0.2)
    assert ended.reason is ExitReason.STALLED
    assert (
        "got 0.10 of its 0.5 cores: it loops, or the machine has no more to give (then tell an officer)" in ended.detail
    )
    assert "channels" not in ended.detail


def test_who_waits_for_something_of_its_own_has_no_such_excuse() -> None:
    """A sleeper wants no core: all of its time counts, and nothing is said of cores."""
    untouched = Delivery(delivered=100, sent_bytes=9_000, unread_bytes=9_000)
    *_, ended = Life().verdicts(95, untouched)
    assert "cores" not in ended.detail
    assert '"channels": ["orders"]' in ended.detail


def test_one_line_a_while_is_progress() -> None:
    """However busy and however slow: 25 seconds a line is slow, and never ended."""
    life = Life()
    for handled in range(40):
        assert life.verdicts(25, page=Page(handled=handled + 1, read=99), busy=1) == []


def test_a_pipe_that_empties_is_progress() -> None:
    """A script that reads its input by its own means claims nothing, and is known by the bytes it takes."""
    life = Life()
    for sent in range(10_000, 14_000, 100):
        assert life.verdicts(25, Delivery(delivered=100, sent_bytes=sent, unread_bytes=9_000), busy=1) == []


def test_a_conflated_backlog_that_does_not_shrink_is_no_progress() -> None:
    """More lines in the desk do not mean that the run took any."""
    life = Life()
    seen = []
    for more in range(60):
        seen += life.verdicts(1, Delivery(delivered=100, buffered=more, sent_bytes=10_000, unread_bytes=9_000))
    assert [verdict.still for verdict in seen] == [Still.WARN]


def test_nothing_delivered_stalls_nobody() -> None:
    """A closed market: an empty pipe, and every line handled; or a run at work on the only line it got."""
    assert Life().verdicts(500, Delivery(delivered=9, sent_bytes=900), Page(handled=9, read=9)) == []
    assert Life().verdicts(500, Delivery(delivered=9, sent_bytes=900), Page(handled=8, read=9), busy=1) == []
    assert Life().verdicts(500, Delivery(), busy=1) == []


def test_lines_in_the_runners_hands_wait_too() -> None:
    """An empty pipe is no alibi for lines that were read and not handled."""
    page, delivery = Page(handled=2, read=9), Delivery(delivered=9, sent_bytes=900)
    [warned] = Life().verdicts(40, delivery, page)
    assert "; 6 lines wait" in warned.detail


def test_who_moves_again_is_said_to() -> None:
    """A warning is taken back, and the count begins anew."""
    life = Life()
    assert [verdict.still for verdict in life.verdicts(50)] == [Still.WARN]
    moved = life.look(page=Page(handled=1))
    assert moved.still is Still.RECOVERED
    assert "after 49 s" in moved.detail
    assert life.verdicts(29, page=Page(handled=1)) == []


def test_waiting_for_the_desks_answers_is_no_standstill() -> None:
    """Nine orders at ten seconds each in one handler: the time is the desk's, and what is left of it the run's."""
    life = Life()
    assert life.verdicts(300, waits=1.0) == []
    [warned] = life.verdicts(31)
    assert "handled no line for 30 s beside 299 s that it waited for the desk; 90 lines wait" in warned.detail
    assert life.verdicts(100, waits=1.0) == []
    *_, ended = life.verdicts(61, waits=0.0)
    assert ended.reason is ExitReason.STALLED


def test_an_order_under_way_hides_no_loop_that_does_not_end() -> None:
    """Who works meanwhile does not wait: another thread's request is no alibi."""
    *_, ended = Life().verdicts(62, busy=1, waits=1.0)
    assert ended.reason is ExitReason.CPU_LIMIT


def test_a_wait_of_before_counts_for_nothing_now() -> None:
    """More of it than passed between two looks cannot have been waited since."""
    life = Life()
    life.look()
    assert life.look(waits=500.0) is MOVES
    assert len(life.verdicts(30)) == 1


@pytest.mark.parametrize(
    ("wait", "is_ours"),
    [
        (DeskWait(), False),
        (DeskWait(total=timedelta(seconds=500)), False),
        (DeskWait(unanswered_ago=timedelta(seconds=1)), True),
        (DeskWait(unanswered_ago=timedelta(seconds=6)), False),
    ],
)
def test_the_desk_owes_an_answer_only_for_a_moment(wait: DeskWait, is_ours: bool) -> None:
    """What was not answered long ago is not why a run ends now."""
    life = Life()
    life.look()
    assert life.watch.was_unanswered(life.at + 1, wait) is is_ours


def test_a_desk_that_was_away_answered_nobody() -> None:
    """Whether it has looked again since, or not yet."""
    life = Life()
    assert not life.watch.was_unanswered(life.at, DeskWait())
    life.look()
    assert life.watch.was_unanswered(life.at + 10, DeskWait())
    life.look(after_s=12)
    assert life.watch.was_unanswered(life.at + 1, DeskWait())
    for _ in range(6):
        life.look()
    assert not life.watch.was_unanswered(life.at, DeskWait())


def test_a_desk_that_slept_blames_nobody() -> None:
    """A suspended machine is a second, not an hour."""
    life = Life()
    life.look()
    assert life.verdicts(10, after_s=3_600.0) == []


def test_who_never_read_is_told_how_to_want_nothing() -> None:
    """A strategy that lives by the API alone must not be fed."""
    life = Life()
    *_, ended = life.verdicts(95, Delivery(delivered=1, sent_bytes=100, unread_bytes=100))
    assert (
        '1 line waits; a strategy that wants no market data says so in config.json: "channels": ["orders"]'
        in ended.detail
    )


@pytest.mark.parametrize("busy", [0.0, 1.0])
def test_zeros_turn_it_off(busy: float) -> None:
    """No warning without stalled_after_s, no end without the other two."""
    off = SECTION.model_copy(update={"stalled_after_s": 0, "busy_after_s": 0})
    assert Life(off).verdicts(500, busy=busy) == []
    only_warned = SECTION.model_copy(update={"stalled_end_after_s": 0, "busy_after_s": 0})
    assert [verdict.still for verdict in Life(only_warned).verdicts(500, busy=busy)] == [Still.WARN]


def test_a_kernel_that_counts_nothing_makes_no_busy_loop() -> None:
    """Without cgroups there are no figures, and stalled is what is left."""
    watch, reasons = Watch(SECTION), set()
    for at in range(100):
        verdict = watch.look(Reading(at=at, page=Page(), delivery=WAITING, sample=Sample(at=at)))
        reasons.add(verdict.reason)
    assert reasons == {None, ExitReason.STALLED}


def test_waiting_lines_are_counted_wherever_they_lie() -> None:
    """In the desk, in the pipe, and in the runner's hands; a claim never counts for more than was delivered."""
    delivery = Delivery(delivered=10, buffered=5, sent_bytes=1_000, unread_bytes=250)
    assert lines_waiting(Page(handled=3, read=7), delivery) == 5 + 3 + 3
    assert lines_waiting(Page(handled=0, read=2**53), delivery) == 5 + 3 + 10
    assert lines_waiting(Page(), Delivery(unread_bytes=130)) == 2


_READINGS = st.lists(
    st.tuples(
        st.floats(0.1, 10),
        st.builds(Page, handled=st.integers(0, 3), read=st.integers(0, 9)),
        st.builds(
            Delivery,
            delivered=st.integers(0, 9),
            sent_bytes=st.integers(0, 900),
            unread_bytes=st.integers(0, 900),
        ),
    ),
    max_size=60,
)


@given(_READINGS)
def test_no_end_without_a_warning_and_no_second_warning_without_progress(
    readings: list[tuple[float, Page, Delivery]],
) -> None:
    """Whatever a run claims, the order of things holds."""
    watch, at, before = (
        Watch(SECTION.model_copy(update={"stalled_after_s": 5, "stalled_end_after_s": 5})),
        0.0,
        Still.RECOVERED,
    )
    for after, page, delivery in readings:
        at += after
        still = watch.look(Reading(at=at, page=page, delivery=delivery, sample=Sample(at=at))).still
        if still is Still.MOVES:
            continue
        allowed = {
            Still.WARN: {Still.RECOVERED},
            Still.RECOVERED: {Still.WARN, Still.END},
            Still.END: {Still.WARN, Still.END},
        }
        assert before in allowed[still]
        before = still
