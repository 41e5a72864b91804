"""`deskctl check`: judge a strategy's folder before it is deployed. No desk needs to run, and none of it is executed.

Where one runs, it is asked whether the broker lists the strategy's symbols; else it is said that nobody was.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import Desk, DeskNotReachable, NotDone
from deskd.cli.place import config_file, root_of

REFUSED = 1


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--name", metavar="NAME", help="As which strategy; default: the folder's name.")
@json_option
@pass_call
def check(call: Call, folder: Path, name: str | None, *, as_json: bool) -> None:
    """Check the strategy in DIR as this desk would, before it is deployed; exit 1 where something does not work.

    Everything that is wrong is told at once, and what works and is probably not meant: with file, line and column.
    """
    from deskd.config.load import load
    from deskd.supervision.inspection import BAD, inspect

    file = config_file(call.config)
    config = load(file, root=root_of(file), environment=os.environ).config
    folder = folder.resolve()
    spec, found = inspect(folder, config, name)
    rows = [
        {
            "verdict": one.verdict,
            "rule": one.rule,
            "file": one.file,
            "line": None if one.place is None else one.place[0],
            "column": None if one.place is None else one.place[1],
            "found": one.found,
        }
        for one in found
    ]
    listing = [] if spec is None else _of_listing(call.desk(), spec.symbols)
    if not isinstance(listing, str):
        rows += listing
    if as_json:
        known = {"strategy_id": name or folder.name, "folder": str(folder)}
        user = {"user_id": None if spec is None else spec.user_id}
        is_checked = spec is not None and not isinstance(listing, str)
        show.as_json({**known, **user, "good": spec is not None, "symbols_checked": is_checked, "findings": rows})
    else:
        for row in rows:
            show.say(_line(folder, row))
        bad = sum(row["verdict"] == BAD for row in rows)
        remarks = len(rows) - bad
        told = f"; {remarks} remark{'s' if remarks != 1 else ''}" if remarks else ""
        verdict = "good" if spec is not None else f"{bad} problem{'s' if bad != 1 else ''}"
        show.say(f"{folder}: {verdict}{told}{f'; symbols not checked: {listing}' if isinstance(listing, str) else ''}")
    if spec is None:
        sys.exit(REFUSED)


def _of_listing(desk: Desk, symbols: Sequence[str]) -> list[dict[str, Any]] | str:
    """Return what the broker's list says of the strategy's symbols, or why nobody could be asked."""
    try:
        answer = desk.look("/instruments", {"symbols": ",".join(symbols)})
    except DeskNotReachable:
        return "no desk is reachable here"
    except NotDone as problem:
        return str(problem)
    words = {
        "unknown": "the broker lists no such symbol: neither data nor orders for it; mind the spelling in config.json",
        "not_tradable": "the broker lists it and does not trade it: orders in it are denied",
    }
    row = {"verdict": "warning", "rule": "symbol", "file": "config.json", "line": None, "column": None}
    return [{**row, "found": f"{symbol}: {text}"} for key, text in words.items() for symbol in answer[key]]


def _line(folder: Path, row: dict[str, Any]) -> str:
    """Return a finding as compilers do, so that editors find the place."""
    at = str(folder if row["file"] is None else folder / row["file"])
    if row["line"] is not None:
        at += f":{row['line']}:{row['column']}"
    kind = "" if row["verdict"] == "bad" else "remark: "
    return f"{at}: {kind}{row['found']}"
