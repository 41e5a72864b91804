"""What the desk does by itself, and what is done to a strategy, is told: breakers, automatic kills, jobs, the day, versions."""

from dataclasses import replace
from datetime import timedelta

import pytest

from deskd.alerts.tail import KINDS
from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.job import JobName, JobOutcome
from deskd.domain.kill import KillCause
from deskd.domain.notifications import Severity, Topic
from deskd.domain.stage import Stage
from tests.alerts.test_wording import PAPER, Ledger, told
from tests.factories import ALICE, BOB, MONDAY, NOON, a_kill, cash, of_strategy

OPENED = ev.BreakerMoved(
    strategy_id=ALICE,
    state=BreakerState.OPEN,
    why="rejects=20 rejects_max=20 in 60 s",
    trips=2,
    at=NOON,
    cause=KillCause.REJECTS,
    figure="20",
    threshold="20",
    until=NOON + timedelta(minutes=4),
)
CLOSED = ev.BreakerMoved(strategy_id=ALICE, state=BreakerState.CLOSED, why="a quiet probation", trips=0, at=NOON)
LOST = a_kill(
    of_strategy(ALICE),
    cause=KillCause.DAILY_LOSS,
    by="automatic",
    reason="daily_loss=10.2 % bound=10 %: of the allocation, today",
    figure="10.2 %",
    threshold="10 %",
)
SUSPENDED = ev.TradingSuspended(is_suspended=True, why="the desk is killed", at=NOON)
STAGED = ev.StageChanged(strategy_id=ALICE, stage=Stage.SHADOW, by="ada (uid 0)", why="deskctl shadow", at=NOON)
CHOSEN = ev.VersionChosen(
    strategy_id=ALICE, code_hash="b" * 64, previous="a" * 64, how="deploy", by="ann (uid 1001)", at=NOON
)
FAILED = ev.JobEnded(
    name=JobName.BACKUP,
    session=MONDAY,
    by="schedule",
    outcome=JobOutcome.FAILED,
    detail="disk_free_mb=3: free room",
    at=NOON,
)
DAY = ev.DaySummarized(
    market_day=MONDAY,
    equity=cash("100012.5"),
    day_pnl=cash("-87.5"),
    fees=cash("-1.25"),
    orders=40,
    fills=31,
    denied=5,
    deaths=2,
    strategies=((ALICE, cash("-87.5")),),
    at=NOON,
)

NOTICE = ev.NoticeGiven(
    topic=Topic.SCANNER,
    severity=Severity.WARNING,
    title="3 found\x1b[2J",
    text="A\nB\x1b[2J",
    by="ada (uid 0)",
    at=NOON,
    strategy_id=ALICE,
)

CASES: list[tuple[ev.Fact, Topic, Severity, str, tuple[str, ...], str | None]] = [
    (NOTICE, Topic.SCANNER, Severity.WARNING, "3 found\\x1b[2J", ("A\nB\\x1b[2J\nSaid by ada (uid 0).",), "ann"),
    (
        replace(NOTICE, strategy_id=None, topic=Topic.CALENDAR, title="CPI at 08:30"),
        Topic.CALENDAR,
        Severity.WARNING,
        "CPI at 08:30",
        ("Said by ada",),
        None,
    ),
    (
        OPENED,
        Topic.RISK,
        Severity.WARNING,
        "alice: breaker open",
        (
            "rejects=20 rejects_max=20 in 60 s. Opened 2 times in a row. ",
            " New York.\nTo do: deskctl logs alice; ",
            "deskctl release --strategy alice --reason TEXT",
        ),
        "ann",
    ),
    (
        CLOSED,
        Topic.RISK,
        Severity.INFO,
        "alice: breaker closed",
        ("a quiet probation: all its orders pass as before.",),
        "ann",
    ),
    (
        LOST,
        Topic.RISK,
        Severity.CRITICAL,
        "KILL strategy alice: stop_new, daily_loss 10.2 % (bound 10 %)",
        ("By automatic (daily_loss): ", "deskctl release --strategy alice --reason TEXT"),
        "ann",
    ),
    (
        SUSPENDED,
        Topic.RISK,
        Severity.CRITICAL,
        "The account is being suspended at the broker",
        ("the desk is killed. ", "deskctl release --reason TEXT"),
        None,
    ),
    (
        replace(SUSPENDED, is_suspended=False, why="the kill was released"),
        Topic.RISK,
        Severity.WARNING,
        "The account is not suspended at the broker",
        ("the kill was released. ", "deskctl status"),
        None,
    ),
    (
        STAGED,
        Topic.SYSTEM_ALERTS,
        Severity.INFO,
        "alice: shadow",
        ("By ada (uid 0): deskctl shadow. Its orders are judged and recorded, and not sent.",),
        "ann",
    ),
    (
        CHOSEN,
        Topic.SYSTEM_ALERTS,
        Severity.INFO,
        "alice: version bbbbbbbbbbbb by deploy",
        ("By ann (uid 1001). Before it: aaaaaaaaaaaa; back to that: deskctl rollback alice",),
        "ann",
    ),
    (
        replace(CHOSEN, previous=""),
        Topic.SYSTEM_ALERTS,
        Severity.INFO,
        "alice: version bbbbbbbbbbbb by deploy",
        ("By ann (uid 1001).",),
        "ann",
    ),
    (
        FAILED,
        Topic.SYSTEM_ALERTS,
        Severity.CRITICAL,
        "Job backup of 2026-01-05 failed",
        ("disk_free_mb=3: free room\n", "deskctl jobs run backup --session 2026-01-05"),
        None,
    ),
    (
        DAY,
        Topic.DAILY_SUMMARY,
        Severity.INFO,
        "2026-01-05: day's P&L -$87.50",
        (
            "Equity $100,012.50, day's P&L -$87.50, fees of the house -$1.25\n",
            "Orders: 40, fills: 31, denied: 5, deaths: 2\n",
            "deskctl report 2026-01-05",
        ),
        None,
    ),
]


@pytest.mark.parametrize(
    ("fact", "topic", "severity", "title", "parts", "member"), CASES, ids=[type(case[0]).__name__ for case in CASES]
)
def test_what_the_desk_did_is_told_with_figures_and_remedy(  # noqa: PLR0917  a table's columns
    fact: ev.Fact, topic: Topic, severity: Severity, title: str, parts: tuple[str, ...], member: str | None
) -> None:
    """Each to the member whom it concerns, and read off the ledger at all."""
    said = told(fact)
    assert (said.topic, said.severity, said.title, said.member) == (topic, severity, title, member)
    assert [part for part in parts if part not in said.text] == []
    assert (said.key, said.at) == ("fact:7", NOON)
    assert type(fact).__name__ in KINDS


@pytest.mark.parametrize(
    "fact",
    [replace(CLOSED, state=BreakerState.HALF_OPEN, trips=2), replace(FAILED, outcome=JobOutcome.DONE)],
    ids=["a breaker on probation", "a job that is done"],
)
def test_what_is_on_its_way_or_as_planned_is_left_to_the_ledger(fact: ev.Fact) -> None:
    """A breaker's probation ends in one of two ways that are told; nobody wants ten mails a day that all is well."""
    assert PAPER.told(7, fact, Ledger()) is None


def test_a_kill_by_a_person_has_no_figure() -> None:
    """Its title is as short as it was."""
    assert told(a_kill()).title == "KILL desk: stop_new"


def test_a_version_that_is_the_first_has_no_way_back() -> None:
    """Nor is one promised."""
    assert "rollback" not in told(replace(CHOSEN, previous="")).text


def test_a_strategy_whose_member_is_not_known_yet_is_told_to_officers_alone() -> None:
    """Nobody hears of another's."""
    assert told(replace(STAGED, strategy_id=BOB)).member is None


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_says_what_becomes_of_orders(stage: Stage) -> None:
    """What a stage is called is not what it does."""
    assert told(replace(STAGED, stage=stage)).text.endswith((".", "pass."))


def test_what_others_wrote_stays_one_line() -> None:
    """A job's failure and a command's words cannot fake a line."""
    assert told(replace(FAILED, detail="a\nb\x1b[2J")).text.startswith("a\\nb\\x1b[2J\nTo do:")
    assert told(replace(STAGED, why="x\ny")).text.count("\n") == 0
