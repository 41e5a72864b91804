"""Tables for people. rich is imported only for a terminal: it takes longer than the rest of a command."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from deskd.cli.layout import INSTANTS, SENTENCES, Layout, fitted, whole
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
    "requested (UTC)": "requested_at",
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
    "at (UTC)": "at",
    "strategy": "strategy_id",
    "side": "side",
    "qty": "qty",
    "symbol": "symbol",
    "price": "price",
    "by": "is_internal",
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
    "day": "day_pnl",
    "drawdown": "drawdown",
    "fees": "fees",
}
SETTINGS: Columns = {"key": "key", "value": "value", "from": "from"}
CHECKS: Columns = {"check": "check", "": "verdict", "found": "found", "remedy": "remedy"}

_MONEY = frozenset(
    "equity realized_pnl unrealized_pnl day_pnl drawdown market_value allocation cash house_cash account_equity reserved buying_power fees".split()  # noqa: SIM905
)
_PRICES = frozenset({"price", "avg_fill_price", "avg_entry_price", "mark_price"})
_TEXTS = frozenset(
    "strategy_id user_id status exit_reason side symbol order_type client_order_id why note key value from old new applies stream lasted affected wall probe result protects template description name session by outcome next_at last_at topic route title problem is_internal version now how".split()  # noqa: SIM905
)
_PAGE = 100  # columns of a page that is no terminal
_UTC = " UTC"


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


def table(columns: Columns, rows: Sequence[Row], *, nothing: str, is_wide: bool = False) -> None:
    """Print the rows as a table that fits the page, or with *is_wide* in full, or say that there are none."""
    if not rows:
        print(nothing)
        return
    texts = [{key: _in_table(key, row.get(key)) for key in columns.values()} for row in rows]
    is_terminal = sys.stdout.isatty()
    layout = whole(columns, texts) if is_wide else fitted(columns, texts, _terminal_width() if is_terminal else _PAGE)
    for line, styles in _lines(layout):
        if is_terminal:
            _print_styled(line, styles)
        else:
            print(line)
    if layout.left_out:
        print(f"left out for want of room: {', '.join(layout.left_out)}; --wide shows all")


type Styles = list[tuple[str, int, int]]  # a style, from and to which character of the line


def _lines(layout: Layout) -> Iterator[tuple[str, Styles]]:
    widths = layout.widths()
    title = {key: title for title, key in layout.columns.items()}
    yield (head := _line(title, widths)), [("bold", 0, len(head))]
    for row in layout.rows:
        for line in layout.lines(row):
            yield _line(line, widths), _styles(line, widths)
        for line_below in layout.below_lines(row):
            yield line_below, []


def _line(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    parts = (cells[key].ljust(width) if _is_text(key) else cells[key].rjust(width) for key, width in widths.items())
    return " ".join(parts).rstrip()


def _styles(cells: Mapping[str, str], widths: Mapping[str, int]) -> Styles:
    begin, found = 0, []
    for key, width in widths.items():
        if style := _style(key, cells[key]):
            found.append((style, begin, begin + width))
        begin += width + 1
    return found


def _is_text(key: str) -> bool:
    return key in _TEXTS or key in INSTANTS or key in SENTENCES or key in CHECKS.values()


def _terminal_width() -> int:
    from rich.console import Console

    return Console().width


def _print_styled(line: str, styles: Styles) -> None:
    from rich.console import Console
    from rich.text import Text

    text = Text(line)
    for style, begin, end in styles:
        text.stylize(style, begin, end)
    Console(highlight=False).print(text, soft_wrap=True)  # the terminal folds what is wider, and cuts nothing off


def _in_table(key: str, value: object) -> str:
    text = cell(key, value)
    return text.removesuffix(_UTC) if key in INSTANTS else text  # there the title names the zone


def cell(key: str, value: object) -> str:
    """Return one value as people read it; what others wrote steers no terminal."""
    return one_line(_cell(key, value))


def _cell(key: str, value: object) -> str:
    if value is None:
        return "-"
    if key == "is_internal":
        return "desk" if value else "broker"  # exchanged, or handed over, between books; or executed in the market
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
    if key in INSTANTS or key.endswith(("_at", "_time")):
        return str(value)[:19].replace("T", " ") + _UTC
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
    "failed": "red",
    "broken": "red",
    "rejected": "red",
    "bad": "red",
}


def _style(key: str, value: object) -> str:
    return _STYLES.get(str(value), "") if key in {"status", "verdict"} else ""
