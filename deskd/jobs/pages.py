"""A day's report as people and programs read it: HTML, CSV, JSON. Every text in it may be a member's, and is hostile.

Rule 1: nothing gets into a page but by `_text`, which escapes it; a page loads nothing and runs nothing.
Rule 2: a table's first column never starts a formula: spreadsheets calculate what begins with = + - @.
Rule 3: numbers are written as the ledger has them. A page shows the first ROWS_SHOWN rows; the CSV has all.
"""

import csv
import html
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from deskd.domain.money import plain
from deskd.domain.shown import one_line
from deskd.jobs.day import DayReport, DenialRow, FillRow, OrderRow, RunRow, StrategyDay

ROWS_SHOWN = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2rem;color:#1b1f24}table{border-collapse:collapse;margin:.5rem 0 2rem}"
    "th,td{padding:.3rem .7rem;border-bottom:1px solid #d0d7de;text-align:left}td.n{text-align:right;"
    "font-variant-numeric:tabular-nums}caption{text-align:left;font-weight:600;padding:.4rem 0}.loss{color:#b3261e}"
)
_TABLES: Mapping[str, type] = {
    "strategies": StrategyDay,
    "orders": OrderRow,
    "fills": FillRow,
    "denials": DenialRow,
    "runs": RunRow,
}


def files(report: DayReport) -> Iterator[tuple[str, str]]:
    """Yield the endings of the files that the report is, and their text."""
    yield "html", as_html(report)
    yield "json", as_json(report)
    for table in _TABLES:
        yield f"{table}.csv", as_csv(report, table)


def as_json(report: DayReport) -> str:
    """Return it as JSON: decimals as text, times RFC 3339 UTC."""
    body = _plain(asdict(report)) | {"totals": totals(report)}
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode() + "\n"


def totals(report: DayReport) -> dict[str, str | int]:
    """Return the sums."""
    return {
        "equity": plain(report.equity),
        "day_pnl": plain(report.day_pnl),
        "orders": len(report.orders),
        "fills": len(report.fills),
        "denied": report.denied,
        "runs": len(report.runs),
        "deaths": report.deaths,
    }


def as_csv(report: DayReport, table: str) -> str:
    """Return one table of it, every row, with a header."""
    columns = [one.name for one in fields(_TABLES[table])]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(getattr(row, name)) for name in columns] for row in getattr(report, table))
    return out.getvalue()


def _cell(value: object) -> str:
    text = _shown(value)
    is_members = isinstance(value, str) and text.startswith(_FORMULA)
    return f"'{text}" if is_members else text


def as_html(report: DayReport) -> str:
    """Return it as one page."""
    who = "the desk" if report.member is None else report.member
    title = f"{who}, {report.market_day.isoformat()}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        f"<p>{_text(_scope(report))}</p>",
        _figures(report),
        *(_table(report, name) for name in _TABLES),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _scope(report: DayReport) -> str:
    if not report.first_seq:
        return "The desk did not run on this day: the ledger has no entry of it."
    return f"Ledger entries {report.first_seq} to {report.last_seq}; hash of the last: {report.last_hash}"


def _figures(report: DayReport) -> str:
    figures: dict[str, object] = dict(totals(report))
    if report.desk is not None:
        figures |= asdict(report.desk)
    rows = (
        f'<tr><th scope="row">{_text(name.replace("_", " "))}</th>{_td(value)}</tr>' for name, value in figures.items()
    )
    return f'<table id="totals"><caption>Totals</caption><tbody>{"".join(rows)}</tbody></table>'


def _table(report: DayReport, name: str) -> str:
    columns = [one.name for one in fields(_TABLES[name])]
    rows: Sequence[object] = getattr(report, name)
    more = f" (the first {ROWS_SHOWN} of {len(rows)}: the CSV has all)" if len(rows) > ROWS_SHOWN else ""
    if not rows:
        return f'<table id="{name}"><caption>{_text(name.capitalize())}: none</caption></table>'
    head = "".join(f'<th scope="col">{_text(column.replace("_", " "))}</th>' for column in columns)
    body = "".join(f"<tr>{_cells(row, columns)}</tr>" for row in rows[:ROWS_SHOWN])
    caption = f"<caption>{_text(name.capitalize() + more)}</caption>"
    return f'<table id="{name}">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cells(row: object, columns: Iterable[str]) -> str:
    return "".join(_td(getattr(row, column)) for column in columns)


def _td(value: object) -> str:
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        sign = " loss" if value < 0 else ""
        return f'<td class="n{sign}">{_text(value)}</td>'
    return f"<td>{_text(value)}</td>"


def _text(value: object) -> str:
    return html.escape(one_line(_shown(value)), quote=True)


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return plain(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    """Return *value* for JSON."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case None | bool() | int():
            return value
        case _:
            return _shown(value)
