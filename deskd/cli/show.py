"""Tables for people. rich is imported only when a table is drawn: it takes longer than the rest of a command."""

import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from deskd.domain.shown import in_json, one_line

type Row = Mapping[str, Any]
type Columns = Mapping[str, str]  # title: key in the row

STATUS: Columns = {
    "strategy": "strategy_id",
    "member": "user_id",
    "status": "status",
    "up": "uptime_s",
    "lines": "lines",
    "lag": "lines_waiting",
    "dropped": "lines_dropped",
    "memory": "memory_bytes",
    "open": "open_orders",
    "equity": "equity",
    "realized": "realized_pnl",
    "unrealized": "unrealized_pnl",
    "last end, or what is wrong": "note",
}
ORDERS: Columns = {
    "requested": "requested_at",
    "strategy": "strategy_id",
    "side": "side",
    "qty": "qty",
    "symbol": "symbol",
    "type": "order_type",
    "limit": "limit_price",
    "status": "status",
    "filled": "filled_qty",
    "at": "avg_fill_price",
    "order": "client_order_id",
    "why": "why",
}
FILLS: Columns = {
    "at": "at",
    "strategy": "strategy_id",
    "side": "side",
    "qty": "qty",
    "symbol": "symbol",
    "price": "price",
    "order": "client_order_id",
}
POSITIONS: Columns = {
    "strategy": "strategy_id",
    "symbol": "symbol",
    "qty": "qty",
    "entry": "avg_entry_price",
    "mark": "mark_price",
    "value": "market_value",
    "unrealized": "unrealized_pnl",
    "realized": "realized_pnl",
}
ACCOUNTS: Columns = {
    "strategy": "strategy_id",
    "allocation": "allocation",
    "cash": "cash",
    "reserved": "reserved",
    "buying power": "buying_power",
    "equity": "equity",
    "realized": "realized_pnl",
    "unrealized": "unrealized_pnl",
}
SETTINGS: Columns = {"key": "key", "value": "value", "from": "from"}
CHECKS: Columns = {"check": "check", "": "verdict", "found": "found", "remedy": "remedy"}

_MONEY = frozenset(
    "equity realized_pnl unrealized_pnl market_value allocation cash house_cash reserved buying_power".split()  # noqa: SIM905
)
_PRICES = frozenset({"price", "avg_fill_price", "avg_entry_price", "mark_price"})
_INSTANTS = frozenset({"requested_at", "at", "started_at"})  # columns of them stand to the left
_TEXTS = frozenset(
    "strategy_id user_id status exit_reason side symbol order_type client_order_id why note key value from stream lasted affected wall probe result protects".split()  # noqa: SIM905
)
_WRAPPED = frozenset({"why", "note", "remedy", "found", "affected", "lasted"})  # sentences
_WRAPPED_LEAST = 24  # columns; a sentence in fewer is a column of words
_IDS = frozenset({"client_order_id"})
_ID_SHOWN = 8  # the least of an order's id on a narrow terminal; any command takes the beginning of an id
_WIDE = 200  # columns of a page that is no terminal: a pipe does not wrap


def as_json(value: object) -> None:
    """Print *value* for programs."""
    print(in_json(json.dumps(value, indent=2, ensure_ascii=False)))


def say(text: str) -> None:
    """Print a line for people; whatever is in it stays on that line."""
    print(one_line(text))


def safe_page(value: Any) -> Any:
    """Return a page of texts, lists and mappings with every text on one line, and steering no terminal."""
    match value:
        case str():
            return one_line(value)
        case list():
            return [safe_page(item) for item in value]
        case dict():
            return {key: safe_page(item) for key, item in value.items()}
        case _:
            return value


def table(columns: Columns, rows: Sequence[Row], *, nothing: str) -> None:
    """Print the rows as a table, or say that there are none."""
    if not rows:
        print(nothing)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    page = Console().width if is_terminal else _WIDE
    if is_terminal and not _fits(columns, rows, page):
        rows = _with_short_ids(rows)
    drawn = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    for title, key in columns.items():
        is_text = key in _TEXTS or key in _INSTANTS or key in CHECKS.values()
        drawn.add_column(title, justify="left" if is_text else "right", no_wrap=key not in _WRAPPED)
    for row in rows:
        drawn.add_row(*(Text(cell(key, row.get(key)), style=_style(key, row.get(key))) for key in columns.values()))
    console = Console(width=_width(columns, rows, page), highlight=False)
    with console.capture() as captured:
        console.print(drawn)
    print("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def _width(columns: Columns, rows: Sequence[Row], page: int) -> int:
    """Return *page*, or more where the columns need more: the terminal folds lines, but nothing is cut off."""
    return page if _fits(columns, rows, page) else sum(_natural(columns, rows).values()) + len(columns) - 1


def _fits(columns: Columns, rows: Sequence[Row], page: int) -> bool:
    natural = _natural(columns, rows)
    least = sum(min(width, _WRAPPED_LEAST) if key in _WRAPPED else width for key, width in natural.items())
    return least + len(columns) - 1 <= page


def _natural(columns: Columns, rows: Sequence[Row]) -> dict[str, int]:
    return {key: max(len(title), *(len(cell(key, row.get(key))) for row in rows)) for title, key in columns.items()}


def _with_short_ids(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with as much of each order's id as tells it from the others."""
    return [{**row, **{key: _beginning(str(row[key]), key, rows) for key in _IDS & row.keys()}} for row in rows]


def _beginning(name: str, key: str, rows: Sequence[Row]) -> str:
    others = [str(row[key]) for row in rows if row[key] != name]
    length = _ID_SHOWN
    while any(other.startswith(name[:length]) for other in others) and length < len(name):
        length += 1
    return name[:length]


def cell(key: str, value: object) -> str:
    """Return one value as people read it; what others wrote steers no terminal."""
    return one_line(_cell(key, value))


def _cell(key: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if key in _MONEY:
        return _rounded(str(value), 2)
    if key in _PRICES:
        return _rounded(str(value), 4)
    if key in _INSTANTS or key.endswith(("_at", "_time")):
        return str(value)[:19].replace("T", " ")
    if key == "uptime_s":
        return duration(float(str(value)))
    if key == "memory_bytes":
        return f"{int(str(value)) / 2**20:.0f} MB"
    return str(value)


def duration(seconds: float) -> str:
    """Return a span in its two largest units: `2d 3h`, `14m 2s`."""
    left = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def _rounded(text: str, places: int) -> str:
    try:
        return f"{Decimal(text):,.{places}f}"
    except InvalidOperation:
        return text


_STYLES = {
    "running": "green",
    "filled": "green",
    "good": "green",
    "starting": "yellow",
    "backoff": "yellow",
    "warning": "yellow",
    "denied": "yellow",
    "fatal": "red",
    "broken": "red",
    "rejected": "red",
    "bad": "red",
}


def _style(key: str, value: object) -> str:
    return _STYLES.get(str(value), "") if key in {"status", "verdict"} else ""
