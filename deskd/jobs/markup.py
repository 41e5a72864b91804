"""Tables as people and spreadsheets read them: HTML and CSV. Every text in them may be a member's, and is hostile.

Rule 1: nothing gets into a page but by `text`, which escapes it; a page loads nothing and runs nothing.
Rule 2: a table's first column never starts a formula: spreadsheets calculate what begins with = + - @.
Rule 3: numbers are written as they are. A page shows the first ROWS_SHOWN rows; the CSV has all.
"""

import csv
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from deskd.domain.money import shown_decimal
from deskd.domain.shown import one_line

ROWS_SHOWN = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2rem;color:#1b1f24}table{border-collapse:collapse;margin:.5rem 0 2rem}"
    "th,td{padding:.3rem .7rem;border-bottom:1px solid #d0d7de;text-align:left}td.n{text-align:right;"
    "font-variant-numeric:tabular-nums}caption{text-align:left;font-weight:600;padding:.4rem 0}.loss{color:#b3261e}"
)


def page(title: str, parts: Iterable[str]) -> str:
    """Return a page of these parts, which are markup already."""
    head = (
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{text(title)}</h1>",
    )
    return "\n".join([*head, *parts, "</body></html>\n"])


def figures(name: str, caption: str, rows: Mapping[str, object]) -> str:
    """Return names and values as a table."""
    body = "".join(
        f'<tr><th scope="row">{text(row.replace("_", " "))}</th>{_td(value)}</tr>' for row, value in rows.items()
    )
    return f'<table id="{name}"><caption>{text(caption)}</caption><tbody>{body}</tbody></table>'


def table(name: str, kind: type, rows: Sequence[object]) -> str:
    """Return rows of dataclass *kind* as a table."""
    columns = columns_of(kind)
    more = f" (the first {ROWS_SHOWN} of {len(rows)}: the CSV has all)" if len(rows) > ROWS_SHOWN else ""
    if not rows:
        return f'<table id="{name}"><caption>{text(name.capitalize())}: none</caption></table>'
    head = "".join(f'<th scope="col">{text(column.replace("_", " "))}</th>' for column in columns)
    body = "".join(f"<tr>{_cells(row, columns)}</tr>" for row in rows[:ROWS_SHOWN])
    caption = f"<caption>{text(name.capitalize() + more)}</caption>"
    return f'<table id="{name}">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def as_csv(kind: type, rows: Iterable[object]) -> str:
    """Return rows of dataclass *kind*, every one, with a header."""
    columns = columns_of(kind)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(getattr(row, name)) for name in columns] for row in rows)
    return out.getvalue()


def columns_of(kind: type) -> list[str]:
    """Return the columns of a table of that dataclass."""
    return [one.name for one in fields(kind)]


def text(value: object) -> str:
    """Return a value as it may stand in a page."""
    return html.escape(one_line(shown(value)), quote=True)


def shown(value: object) -> str:
    """Return a value as people read it: decimals plain, times RFC 3339 UTC."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return shown_decimal(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case _:
            return str(value)


def for_json(value: Any) -> Any:
    """Return *value* for JSON: decimals as text, times RFC 3339 UTC."""
    match value:
        case dict():
            return {key: for_json(item) for key, item in value.items()}
        case list() | tuple():
            return [for_json(item) for item in value]
        case None | bool() | int():
            return value
        case _:
            return shown(value)


def _cells(row: object, columns: Iterable[str]) -> str:
    return "".join(_td(getattr(row, column)) for column in columns)


def _td(value: object) -> str:
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        sign = " loss" if value < 0 else ""
        return f'<td class="n{sign}">{text(value)}</td>'
    return f"<td>{text(value)}</td>"


def _cell(value: object) -> str:
    plain_text = shown(value)
    is_members = isinstance(value, str) and plain_text.startswith(_FORMULA)
    return f"'{plain_text}" if is_members else plain_text
