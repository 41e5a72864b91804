"""`deskctl backtest --notify`: what people are told of a backtest that ended, by the running desk's routes.

Rule 1: whether anybody can be told is asked before the tape is played, not an hour later.
Rule 2: the figures are those that the terminal shows.
"""

from collections.abc import Sequence
from typing import Any

from deskd.cli import show
from deskd.cli.client import Desk, NotDone

TOPIC = "backtest-results"
DETAIL_MAX = 200  # characters of what the strategy may have said


def must_be_heard(desk: Desk) -> None:
    """Refuse where no desk runs, where it tells nobody of anything, and whoever is no officer."""
    answer = desk.look("/notifications", {"limit": "1"})
    if not answer["may_tell"]:
        raise NotDone("--notify is for officers, and you are none: run it without")
    if not answer["has_routes"]:
        raise NotDone("--notify: the desk has no routes, so nobody would hear of it (officers' guide, Be told)")


def tell(desk: Desk, title: str, text: str, strategy_id: str) -> Sequence[str]:
    """Have the desk tell it, the strategy's member too where the desk has the strategy; return the routes."""
    known = {row["strategy_id"] for row in desk.look("/status")["strategies"]}
    body = {
        "topic": TOPIC,
        "title": title,
        "text": text,
        "severity": "info",
        "strategy": strategy_id if strategy_id in known else None,
    }
    routes: Sequence[str] = desk.command("/notifications/send", body).body["routes"]
    return routes


def words(found: Any) -> tuple[str, str]:
    """Return title and text."""
    from deskd.domain.shown import one_line
    from deskd.jobs.markup import shown

    metrics = found.metrics
    days = f"{found.days[0]} to {found.days[-1]}" if len(found.days) > 1 else "".join(found.days)
    sharpe = "needs more days" if metrics.sharpe is None else f"{metrics.sharpe:.2f}"
    lines = [
        f"tape={' '.join(found.tape)}{' (an invented market)' if found.is_synthetic else ''} days={days or 'none'}",
        f"pnl={show.cell('equity', shown(metrics.pnl))} of {show.cell('allocation', shown(found.allocation))}",
        f"max_drawdown={metrics.max_drawdown:.2%} Sharpe={sharpe} round_trips={metrics.trips}",
        f"orders={metrics.orders} fills={metrics.fills} denied={metrics.denied}",
        f"run ended as {found.exit_reason}: {one_line(found.exit_detail[:DETAIL_MAX])}",
    ]
    if not found.is_whole:
        lines.append(f"NOT the whole tape: up to {found.ended_at.isoformat()}")
    return f"Backtest of {found.strategy_id}: {metrics.total_return:+.2%}", "\n".join(lines)
