"""`deskctl runs`: what became of strategies' runs, and with NAME --last the whole story of the last one."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, limit_option, pass_call, wide_option
from deskd.domain.shown import one_line

type Run = Mapping[str, Any]

RUNS: show.Columns = {
    "started (UTC)": "started_at",
    "strategy": "strategy_id",
    "lived": "lived",
    "end": "exit_reason",
    "lines": "lines",
    "peak": "peak",
    "cpu": "cpu",
    "why": "why",
}


@click.command()
@click.argument("name", required=False)
@click.option("--last", "is_last", is_flag=True, help="The whole story of the newest run that ended.")
@limit_option
@wide_option
@json_option
@pass_call
def runs(call: Call, name: str | None, *, is_last: bool, limit: int, is_wide: bool, as_json: bool) -> None:
    """Show how runs ended, the newest last."""
    if is_last and name is None:
        raise click.UsageError("--last is of one strategy: give its NAME")
    if is_last:
        tell_last(call, name, as_json=as_json)
        return
    rows = call.desk().look("/runs", {"strategy": name, "limit": str(limit)})["runs"]
    if as_json:
        show.as_json(rows)
    else:
        show.table(RUNS, [cells(row) for row in rows], nothing="no runs yet", is_wide=is_wide)


def tell_last(call: Call, name: str | None, *, as_json: bool) -> None:
    """Show the whole story of the newest run that ended."""
    ended = _ended(call, name)
    if as_json:
        show.as_json(ended[-1] if ended else None)
    elif ended:
        print("\n".join(story(ended[-1])))
    else:
        show.say(_without_an_end(call, name))


def tell_one(call: Call, strategy: Run, *, as_json: bool) -> None:
    """Show one strategy: its present run, and the whole story of the last that ended."""
    rows = [] if strategy["status"] == "broken" else _ended(call, strategy["strategy_id"])
    if as_json:
        show.as_json({**strategy, "last_run": rows[-1] if rows else None})
        return
    for key, value in strategy.items():
        if value not in (None, [], {}) and key not in {"exit_reason", "exit_detail"}:
            print(f"{key.removesuffix('_s').replace('_', ' ')}: {one_line(show.cell(key, value))}")
    if strategy["status"] == "failed" and strategy.get("exit_detail"):
        print(f"given up: {one_line(strategy['exit_detail'])}")
    if rows:
        print()
        print("\n".join(("last end", *(f"  {line}".rstrip() for line in story(rows[-1])))))


def _without_an_end(call: Call, name: str | None) -> str:
    """Say why there is no end to tell of."""
    [strategy] = call.desk().look("/status", {"strategy": name})["strategies"]
    return f"it is broken: {strategy['problem']}" if strategy["status"] == "broken" else "no run of it has ended yet"


def _ended(call: Call, name: str | None) -> list[Run]:
    rows = call.desk().look("/runs", {"strategy": name, "limit": "100"})["runs"]
    return [row for row in rows if row["ended_at"] is not None]


def cells(row: Run) -> dict[str, Any]:
    """Return what stands in the table."""
    why = one_line(row["exit_detail"]) if row["exit_detail"] else None
    return {
        **row,
        "exit_reason": row["exit_reason"] or "runs",
        "lived": lived(row),
        "lines": None if row["lines_delivered"] is None else f"{row['lines_handled']}/{row['lines_delivered']}",
        "peak": _mib(row["peak_memory_bytes"]),
        "cpu": None if row["cpu_seconds"] is None else f"{row['cpu_seconds']:.1f}s",
        "why": why,
    }


def lived(row: Run) -> str:
    """Return how long the run lived, as far as the ledger knows."""
    if not row["started_at"] or not row["ended_at"]:
        return "-"
    span = (datetime.fromisoformat(row["ended_at"]) - datetime.fromisoformat(row["started_at"])).total_seconds()
    return show.duration(span) if span >= 1 else f"{span:.1f}s"


def story(row: Run) -> Iterator[str]:
    """Yield all that is known of how a run ended, a line each; a member's words steer no terminal."""
    began, ended = (show.cell(key, row[key]) for key in ("started_at", "ended_at"))
    yield f"{row['strategy_id']}: {row['exit_reason']}"
    yield f"  {one_line(row['exit_detail'])}"
    yield ""
    yield f"run:        {row['run_id']}"
    yield f"lived:      {lived(row)}, {began} to {ended}"
    if row["exit_code"] is not None:
        yield f"exit code:  {row['exit_code']}"
    if row["source_line"]:
        yield f"line:       {one_line(row['source_line'])}"
    if row["peak_memory_bytes"] is not None:
        yield f"memory:     {_memory(row)}"
    if row["cpu_seconds"] is not None:
        yield f"cpu:        {_cpu(row)}"
    if row["lines_delivered"] is not None:
        yield f"lines:      {row['lines_delivered']} delivered, {row['lines_handled']} handled (as the run says)"
    if row["last_line"]:
        yield f"last line:  {one_line(row['last_line'].rstrip())}"
    prints = f"last prints (earlier lines: deskctl logs {row['strategy_id']})"
    for title, lines in (("traceback", (row["traceback"] or "").splitlines()), (prints, row["output"])):
        if lines:
            yield f"{title}:"
            yield from (f"  {one_line(line)}" for line in lines)


def _memory(row: Run) -> str:
    text = f"{_mib(row['peak_memory_bytes'])} at most"
    if row["memory_max_bytes"]:
        text += f" of {_mib(row['memory_max_bytes'])}"
    grown = row["memory_growth_bytes"]
    return f"{text}; {_mib(grown)} more in its last seconds" if grown and grown > 0 else text


def _cpu(row: Run) -> str:
    text = f"{row['cpu_seconds']:.2f} s"
    if row["throttled_seconds"] is None:
        return text
    text += f"; waited {row['throttled_seconds']:.2f} s for its share"
    if not row["periods"]:
        return text
    share = 100 * row["throttled_periods"] / row["periods"]
    return f"{text}, in {row['throttled_periods']:,} of {row['periods']:,} periods ({share:.0f} %)"


def _mib(count: int | None) -> str | None:
    return None if count is None else f"{count / 2**20:.1f} MiB"
