"""One notification keeps its own words; several are one message, within what a receiver takes."""

from datetime import timedelta

from deskd.alerts.digest import LINES_MAX, TEXT_MAX, message
from deskd.domain.notifications import Severity, Topic
from tests.alerts.notes import a_fill_note, a_note
from tests.factories import BOB, NOON


def test_one_keeps_its_own_words() -> None:
    """With the desk's name, and the time."""
    made = message("club", [a_note()])
    assert (made.title, made.severity) == ("[club] title of fact:1", Severity.WARNING)
    assert made.text == "disk_free_mb=3\nTo do: free room\n2026-01-05 17:00:00 UTC"


def test_fills_are_summed_up_by_strategy_side_and_symbol() -> None:
    """A hundred fills are a line, with shares, average and value; the rest keeps its place."""
    notes = [
        a_fill_note("a", 10, "150"),
        a_fill_note("b", 1, "9", strategy=BOB, title="bob bought 1 AAPL at 9"),
        a_note("c", topic=Topic.PAPER_TRADING, title="rejected"),
        a_fill_note("d", 30, "151", at=NOON + timedelta(seconds=30)),
    ]
    made = message("club", notes)
    assert made.title == "[club] paper-trading: 4 notifications, 17:00:00 to 17:00:30 UTC"
    assert made.severity is Severity.WARNING
    assert made.text.splitlines() == [
        "alice bought 40 AAPL in 2 fills at 150.75 on average ($6,030.00)",
        "bob bought 1 AAPL at 9",
        "17:00:00 rejected: disk_free_mb=3 To do: free room",
    ]


def test_a_digest_ends_at_its_bound_and_says_what_is_left_out() -> None:
    """A receiver refuses what is longer; the outbox has the rest."""
    made = message("club", [a_note(f"n{n}") for n in range(LINES_MAX + 5)])
    assert made.text.splitlines()[-1] == "... and 5 more: deskctl notify list"
    assert len(message("club", [a_note(text="x" * 10_000)]).text) == TEXT_MAX + 1
