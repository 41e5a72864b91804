"""Tables for people."""

import json

import pytest

from deskd.cli import show
from deskd.cli.audit import ROOTS
from deskd.cli.backtest import TRIPS
from deskd.cli.deploy import VERSIONS
from deskd.cli.jobs import JOBS
from deskd.cli.layout import INSTANTS
from deskd.cli.notify import NOTIFICATIONS
from deskd.cli.outages import OUTAGES
from deskd.cli.runs import RUNS
from deskd.cli.show import ACCOUNTS, FILLS, ORDERS, POSITIONS, STATUS, Columns, cell, duration, table
from deskd.domain.run import RunStatus, StrategyStatus


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.9, "59s"), (125, "2m 5s"), (3600, "1h 0m"), (200_000, "2d 7h")]
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    """Nobody reads 200000 s."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("equity", "1234567.891", "1,234,567.89"),
        ("avg_fill_price", "100.33333333333333333", "100.3333"),
        ("requested_at", "2026-01-05T17:00:00.123456Z", "2026-01-05 17:00:00 UTC"),
        ("memory_bytes", 20 * 2**20, "20 MB"),
        ("qty", "0.5", "0.5"),
        ("is_internal", 0, "broker"),
        ("is_internal", 1, "desk"),
        ("equity", "unknown", "unknown"),
        ("limit_price", None, "-"),
        ("takes_orders", False, "no"),
        ("tape", ["a.csv", "b.csv"], "a.csv, b.csv"),
        ("differences", {"AAPL": "3"}, "AAPL 3"),
        ("market_time", "2013-10-08T13:30:00Z", "2013-10-08 13:30:00 UTC"),
    ],
)
def test_figures_are_rounded_for_the_eye(key: str, value: object, text: str) -> None:
    """The exact figure is in the JSON and in the ledger."""
    assert cell(key, value) == text


def test_no_rows_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty table says what is missing, not nothing."""
    table(FILLS, [], nothing="no fills")
    assert capsys.readouterr().out == "no fills\n"


def test_foreign_text_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets in a member's words are shown as they are, and lines have no trailing blanks."""
    table({"why": "why", "side": "side"}, [{"why": "[red]x[/red]", "side": "buy"}], nothing="")
    assert capsys.readouterr().out == "why          side\n[red]x[/red] buy\n"


def test_nothing_is_cut_off_where_the_page_is_narrow(capsys: pytest.CaptureFixture[str]) -> None:
    """A table whose words are wider than its page is folded by the terminal; a sentence stands below its row."""
    row = {"strategy_id": "s" * 150, "client_order_id": "c" * 50, "why": "BUYING_POWER: ask for less, or wait a while"}
    columns = {"strategy": "strategy_id", "order": "client_order_id", "why": "why"}
    table(columns, [row], nothing="")
    assert capsys.readouterr().out.splitlines()[1:] == ["s" * 150 + " " + "c" * 8, "    " + row["why"]]
    table(columns, [row], nothing="", is_wide=True)
    assert capsys.readouterr().out.splitlines()[1:] == [" ".join(row.values())]


def test_what_is_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A column that is not there for want of room is named, with the way to see it."""
    row = {"strategy_id": "s" * 95, "realized_pnl": "1.00"}
    columns = {"strategy": "strategy_id", "realized": "realized_pnl"}
    table(columns, [row], nothing="")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "s" * 95,
        "left out for want of room: realized; --wide shows all",
    ]
    table(columns, [row], nothing="", is_wide=True)
    assert capsys.readouterr().out.splitlines()[1:] == ["s" * 95 + "     1.00"]


def test_every_time_says_its_zone(capsys: pytest.CaptureFixture[str]) -> None:
    """In the title of a table's column, and beside a time that stands alone."""
    table(FILLS, [dict.fromkeys(FILLS.values(), None) | {"at": "2026-01-05T17:00:00Z"}], nothing="")
    title, line = capsys.readouterr().out.splitlines()
    assert title.startswith("at (UTC)  ")
    assert line.startswith("2026-01-05 17:00:00 ")


def test_a_terminal_gets_a_table_of_its_width_in_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command takes the beginning of an id; a page of a hundred columns gets all of a short one."""
    rows = [{"client_order_id": name, "status": "failed"} for name in ("0123456789abcdef", "0123456789xyz", "my-1")]
    columns = {"order": "client_order_id", "status": "status"}
    table(columns, rows, nothing="")
    assert "0123456789abcdef failed" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "18")
    monkeypatch.setenv("LINES", "25")  # rich takes 80 columns of a dumb terminal unless it knows both
    monkeypatch.setenv("TERM", "dumb")
    table(columns, rows, nothing="")
    assert capsys.readouterr().out.splitlines() == [
        "order       status",
        "0123456789a failed",
        "0123456789x failed",
        "my-1        failed",
    ]


def test_a_strategy_that_was_given_up_has_one_word() -> None:
    """Status, guides and ledger say `failed`."""
    assert str(RunStatus.FATAL) == str(StrategyStatus.FAILED) == "failed"


HOSTILE = "\x1b]0;owned\x07\x9b31m\u202eesrever\u2028\r\n2026-01-05 fake\ud800"


def test_no_word_of_a_member_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """In every column, list, mapping and line: what others wrote is on its line, escaped."""
    for columns in (STATUS, ORDERS, FILLS, POSITIONS, ACCOUNTS):
        keys = list(columns.values())
        for value in (HOSTILE, [HOSTILE], {HOSTILE: HOSTILE}):
            table(
                columns,
                [dict.fromkeys(keys, None) | {key: value} for key in keys if key not in {"uptime_s", "memory_bytes"}],
                nothing="",
            )
            said = capsys.readouterr().out
            assert all(line.isprintable() for line in said.splitlines())
            assert "owned" in said
    show.say(f"alice: {HOSTILE}")
    [line] = capsys.readouterr().out.splitlines()
    assert line.isprintable()


def test_json_is_faithful_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read the very words; a terminal that shows them obeys none."""
    show.as_json({"reason": HOSTILE})
    said = capsys.readouterr().out
    assert json.loads(said) == {"reason": HOSTILE}
    assert all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize(
    "columns",
    [ORDERS, FILLS, JOBS, VERSIONS, TRIPS, RUNS, NOTIFICATIONS, OUTAGES, ROOTS],
    ids=lambda table: next(iter(table)),
)
def test_a_title_that_names_the_zone_names_it_for_every_row(columns: Columns) -> None:
    """`UTC` stands once, in the title, and the column to the left like other words."""
    keys = [key for title, key in columns.items() if title.endswith("(UTC)")]
    assert keys
    assert set(keys) <= INSTANTS
