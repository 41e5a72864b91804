"""A day's report as people and programs read it: HTML, CSV, JSON, by the rules of `markup`."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import msgspec

from deskd.domain.money import shown_decimal
from deskd.jobs import markup
from deskd.jobs.day import DayReport, DenialRow, FillRow, OrderRow, RunRow, StrategyDay

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
    body = markup.for_json(asdict(report)) | {"totals": totals(report)}
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode() + "\n"


def totals(report: DayReport) -> dict[str, str | int]:
    """Return the sums."""
    return {
        "equity": shown_decimal(report.equity),
        "day_pnl": shown_decimal(report.day_pnl),
        "orders": len(report.orders),
        "fills": len(report.fills),
        "denied": report.denied,
        "runs": len(report.runs),
        "deaths": report.deaths,
    }


def as_csv(report: DayReport, table: str) -> str:
    """Return one table of it, every row, with a header."""
    return markup.as_csv(_TABLES[table], getattr(report, table))


def as_html(report: DayReport) -> str:
    """Return it as one page."""
    who = "the desk" if report.member is None else report.member
    figures: dict[str, object] = dict(totals(report))
    if report.desk is not None:
        figures |= asdict(report.desk)
    parts = [
        f"<p>{markup.text(_scope(report))}</p>",
        markup.figures("totals", "Totals", figures),
        *(markup.table(name, kind, getattr(report, name)) for name, kind in _TABLES.items()),
    ]
    return markup.page(f"{who}, {report.market_day.isoformat()}", parts)


def _scope(report: DayReport) -> str:
    if not report.first_seq:
        return "The desk did not run on this day: the ledger has no entry of it."
    return f"Ledger entries {report.first_seq} to {report.last_seq}; hash of the last: {report.last_hash}"
