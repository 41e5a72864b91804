"""Reports can be read: by people, by spreadsheets, by programs; and no member's text does anything in them."""

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deskd.domain.ids import UserId
from deskd.jobs.day import DayReport, report
from deskd.jobs.markup import ROWS_SHOWN
from deskd.jobs.pages import as_csv, as_html, as_json, files
from tests.factories import qty
from tests.jobs.a_week import TUESDAY, a_week

HOSTILE = "<script>alert(1)</script>&\"' onload=x \u202e"


@pytest.fixture
async def day(tmp_path: Path) -> DayReport:
    """Make a report of a busy day."""
    week = await a_week(tmp_path / "desk.db", 1)
    return report(week.path, TUESDAY)


class Page(HTMLParser):
    """Reads the tables of a page, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.tables: dict[str, list[list[str]]] = {}
        self._table: list[list[str]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag != "meta":
            self._open.append(tag)
        if tag == "table":
            self._table = self.tables.setdefault(dict(attrs)["id"] or "", [])
        elif tag == "tr":
            self._table.append([])
        elif tag in {"td", "th"}:
            self._table[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in {"td", "th"}:
            self._table[-1][-1] += data


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page._open == []
    return page


def test_the_page_shows_every_figure_of_the_report(day: DayReport) -> None:
    """It is well formed, and what it shows is what the ledger has."""
    page = parsed(as_html(day))
    head, *rows = page.tables["fills"]
    assert head[:3] == ["fill id", "client order id", "strategy id"]
    assert [row[0] for row in rows] == [fill.fill_id for fill in day.fills]
    totals = {row[0]: row[1] for row in page.tables["totals"]}
    assert Decimal(totals["day pnl"]) == day.day_pnl
    assert int(totals["denied"]) == day.denied
    strategies = page.tables["strategies"]
    pnl = strategies[0].index("day pnl")
    assert sum(Decimal(row[pnl]) for row in strategies[1:]) == day.day_pnl


def test_a_members_text_is_text(day: DayReport) -> None:
    """No tag, no attribute, no letter that turns the line around."""
    name = day.strategies[0]
    hostile = replace(
        day,
        member=UserId(HOSTILE),
        strategies=(replace(name, name=HOSTILE), *day.strategies[1:]),
        orders=tuple(replace(order, client_order_id=HOSTILE, message=HOSTILE) for order in day.orders[:2]),
        runs=tuple(replace(run, detail=HOSTILE) for run in day.runs[:2]),
    )
    text = as_html(hostile)
    page = parsed(text)
    assert "script" not in page.tags
    assert "<script" not in text
    assert "\u202e" not in text
    assert page.tables["orders"][1][0].startswith("<script>alert(1)</script>&\"'")


def test_a_spreadsheet_calculates_nothing_that_a_member_wrote(day: DayReport) -> None:
    """Text that begins like a formula is quoted; numbers stay numbers, negative ones too."""
    rows = (replace(day.orders[0], client_order_id="=HYPERLINK(1)", filled_qty=qty(-5)),)
    text = as_csv(replace(day, orders=rows), "orders")
    [row] = csv.DictReader(io.StringIO(text))
    assert row["client_order_id"] == "'=HYPERLINK(1)"
    assert Decimal(row["filled_qty"]) == rows[0].filled_qty


def test_csv_and_json_hold_every_row_exactly(day: DayReport) -> None:
    """Decimals are text, so that no program rounds them."""
    fills = list(csv.DictReader(io.StringIO(as_csv(day, "fills"))))
    assert [(row["fill_id"], Decimal(row["price"])) for row in fills] == [(f.fill_id, f.price) for f in day.fills]
    body = json.loads(as_json(day))
    assert len(body["orders"]) == len(day.orders)
    assert Decimal(body["totals"]["day_pnl"]) == day.day_pnl
    assert {row["strategy_id"]: Decimal(row["equity"]) for row in body["strategies"]} == {
        one.strategy_id: one.equity for one in day.strategies
    }


def test_a_page_stays_readable_however_busy_the_day(day: DayReport) -> None:
    """It shows so many rows, and says where the rest is."""
    many = replace(day, fills=day.fills[:1] * (ROWS_SHOWN + 7))
    text = as_html(many)
    assert len(parsed(text).tables["fills"]) == ROWS_SHOWN + 1
    assert f"the first {ROWS_SHOWN} of {ROWS_SHOWN + 7}: the CSV has all" in text


def test_a_day_without_the_desk_says_so(day: DayReport) -> None:
    """An empty page would look like a quiet day."""
    empty = replace(day, first_seq=0, strategies=(), orders=(), fills=(), denials=(), runs=(), desk=None)
    assert "did not run on this day" in as_html(empty)
    assert {ending for ending, _ in files(empty)} >= {"html", "json", "orders.csv"}
