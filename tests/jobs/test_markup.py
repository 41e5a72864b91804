"""Markup takes whatever a member writes, and hands on nothing that steers a browser or a spreadsheet."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from deskd.jobs.markup import ROWS_SHOWN, as_csv, figures, for_json, page, shown, table, text


@dataclass(frozen=True)
class Row:
    name: str
    value: Decimal


def test_text_is_escaped_wherever_it_stands() -> None:
    """Names of figures, cells, titles."""
    evil = "<script>alert(1)</script>\x1b[2J"
    made = page(evil, [figures("f", evil, {evil: evil}), table("t", Row, [Row(evil, Decimal(1))])])
    assert "<script>" not in made
    assert "\x1b" not in made
    assert "default-src 'none'" in made
    assert text('"') == "&quot;"


def test_a_cell_never_starts_a_formula() -> None:
    """Numbers may be negative: they are no text."""
    assert as_csv(Row, [Row("=1+1", Decimal("-2.50"))]).splitlines() == ["name,value", "'=1+1,-2.5"]


def test_a_long_table_is_cut_and_says_so() -> None:
    """The CSV has all."""
    rows = [Row("x", Decimal(-1))] * (ROWS_SHOWN + 1)
    assert f"the first {ROWS_SHOWN} of {ROWS_SHOWN + 1}" in table("t", Row, rows)
    assert len(as_csv(Row, rows).splitlines()) == ROWS_SHOWN + 2
    assert "none" in table("t", Row, [])


def test_values_are_plain() -> None:
    """For people and for programs alike."""
    at = datetime(2026, 1, 5, 17, tzinfo=UTC)
    assert shown(at) == "2026-01-05T17:00:00Z"
    assert [shown(v) for v in (None, True, date(2026, 1, 5), Decimal("1.50"))] == ["", "yes", "2026-01-05", "1.5"]
    assert for_json({"a": (Decimal("1.0"), None, at)}) == {"a": ["1", None, "2026-01-05T17:00:00Z"]}
