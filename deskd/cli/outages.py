"""`deskctl outages`: when a stream to the broker was down, why, and who was affected."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call, wide_option

OUTAGES: show.Columns = {
    "began (UTC)": "started_at",
    "stream": "stream",
    "lasted": "lasted",
    "why": "why",
    "affected": "affected",
    "orders open": "open_orders",
    "refused": "refusals",
    "late bars": "bars_fetched",
    "missing": "bars_missing",
}


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The newest.")
@wide_option
@json_option
@pass_call
def outages(call: Call, limit: int, *, is_wide: bool, as_json: bool) -> None:
    """Show when a stream to the broker was down, why, and which strategies that affected."""
    rows = call.desk().look("/outages", {"limit": str(limit)})["outages"]
    if as_json:
        show.as_json(rows)
    else:
        nothing = "no outages: no stream was lost while the desk ran"
        show.table(OUTAGES, [cells(row) for row in rows], nothing=nothing, is_wide=is_wide)


def cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in the table: who is told apart from how many others, and how long from whether it goes on."""
    others = row["affected_others"]
    names = [*row["affected"], *([f"{others} of others"] if others else [])]
    return {**row, "lasted": lasted(row), "affected": names or ["nobody"], "refusals": row["refusals"] or None}


def lasted(row: Mapping[str, Any]) -> str:
    """Return how long the stream was down; of one that goes on, or whose end nobody saw, that."""
    if row["ended_at"] is None:
        return "goes on"
    span = datetime.fromisoformat(row["ended_at"]) - datetime.fromisoformat(row["started_at"])
    length = show.duration(span.total_seconds()) if span.total_seconds() >= 1 else f"{span.total_seconds():.1f}s"
    if row["is_cut_short"]:
        return f"at most {length}: the desk ended meanwhile"
    return length if row["closed_at"] is not None else f"{length}, not made up for yet"
