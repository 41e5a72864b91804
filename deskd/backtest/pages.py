"""A backtest as people and programs read it: HTML, CSV, JSON, by the rules of the day's reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal

import msgspec

from deskd.backtest.result import Backtest, DenialLine, FillLine, OrderLine, Point, Trip
from deskd.jobs import markup

_TABLES: Mapping[str, type] = {
    "trips": Trip,
    "orders": OrderLine,
    "fills": FillLine,
    "denials": DenialLine,
}
_WIDTH, _HEIGHT, _POINTS_MAX = 900, 240, 900  # of the curve: a point a pixel


def files(backtest: Backtest) -> Iterator[tuple[str, str]]:
    """Yield the names of the files that it is, and their text."""
    yield "report.html", as_html(backtest)
    yield "report.json", as_json(backtest)
    for name, kind in _TABLES.items():
        yield f"{name}.csv", markup.as_csv(kind, getattr(backtest, name))
    yield "equity.csv", markup.as_csv(Point, backtest.curve)


def as_json(backtest: Backtest) -> str:
    """Return it as JSON: decimals as text, times RFC 3339 UTC."""
    body = markup.for_json(asdict(backtest))
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode() + "\n"


def as_html(backtest: Backtest) -> str:
    """Return it as one page, the curve drawn."""
    invented = "; the market was invented: nothing follows from it for a real one" if backtest.is_synthetic else ""
    days = f"{backtest.days[0]} to {backtest.days[-1]}" if len(backtest.days) > 1 else "".join(backtest.days)
    scope = f"{' '.join(backtest.tape)}: {days}, seed {backtest.seed}, {backtest.fills_model} fills{invented}"
    told: dict[str, object] = {
        "version": f"{backtest.version} ({backtest.code_hash[:12]})",
        "ended": f"{backtest.exit_reason}: {backtest.exit_detail}",
        "allocation": backtest.allocation,
        "lines": backtest.lines,
        **asdict(backtest.metrics),
        **{f"refused: {reason}": count for reason, count in backtest.refused.items()},
        **{f"rejected: {reason}": count for reason, count in backtest.rejected.items()},
    }
    parts = [
        f"<p>{markup.text(scope)}</p>",
        markup.figures("metrics", "Figures", told),
        _curve(backtest.curve),
        *(markup.table(name, kind, getattr(backtest, name)) for name, kind in _TABLES.items()),
    ]
    return markup.page(f"Backtest of {backtest.strategy_id}", parts)


def _curve(curve: Sequence[Point]) -> str:
    """Return the equity as a line: figures alone, so that nothing of a member's gets into the markup."""
    if len(curve) < 2:
        return ""
    step = -(-len(curve) // _POINTS_MAX)
    shown = [*curve[::step], curve[-1]]
    low, high = min(p.equity for p in shown), max(p.equity for p in shown)
    span = high - low or Decimal(1)
    points = " ".join(
        f"{number * _WIDTH // (len(shown) - 1)},{_HEIGHT - int((p.equity - low) / span * _HEIGHT)}"
        for number, p in enumerate(shown)
    )
    caption = f"equity from {markup.shown(low)} to {markup.shown(high)}"
    return (
        f'<figure><svg viewBox="-2 -2 {_WIDTH + 4} {_HEIGHT + 4}" width="{_WIDTH}" role="img" '
        f'aria-label="{markup.text(caption)}"><polyline fill="none" stroke="#0969da" points="{points}"/></svg>'
        f"<figcaption>{markup.text(caption)}</figcaption></figure>"
    )
