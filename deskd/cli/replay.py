"""`deskctl replay`: the desk's state made again from its facts, at any entry, and held against its tables."""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from deskd.cli import show
from deskd.cli.audit import configured, progress
from deskd.cli.call import Call, json_option, pass_call, wide_option
from deskd.cli.client import NotDone
from deskd.cli.events import Since

DIFFERS = 1
ENTRY_MAX = 2**63 - 1  # SQLite counts no further

type View = dict[str, Any]

KILLS: show.Columns = {"kill of": "scope", "name": "name", "depth": "depth", "since": "since", "by": "by", "why": "why"}


@click.command()
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="This ledger, or a backup of one; default: the configured desk's.",
)
@click.option(
    "--to",
    "until",
    type=Since(),
    metavar="SEQ|TIME",
    help="Up to that fact, or that time (UTC unless it says otherwise; of today without a date); default: all.",
)
@wide_option
@json_option
@pass_call
def replay(call: Call, *, ledger: Path | None, until: str | None, is_wide: bool, as_json: bool) -> None:
    """Make the desk's state again from the ledger's facts, and show it: money, positions, open orders, kills.

    The chain of facts is verified on the way. Without --to the tables are compared with what the replay gives. No desk
    needs to run, and a running one is not disturbed; whoever may read the file may replay it: officers. Exit code 0:
    the facts hold and the tables agree; 1: the first bad entry, or each table that differs, is named.
    """
    from deskd.ledger.replay import replay as replayed

    path = ledger or configured(call)[0]
    if not os.access(path, os.R_OK):  # else it would be called damaged
        raise NotDone(f"{path}: you may not read this ledger; ask an officer")
    with progress() as on_progress:
        found = replayed(path, until=_until(until), on_progress=on_progress)
    told = view(path, found)
    if as_json:
        show.as_json(told)
    else:
        tell(told, is_wide=is_wide)
    if not found.is_as_written:
        sys.exit(DIFFERS)


def _until(typed: str | None) -> int | datetime | None:
    from datetime import UTC

    if typed is None:
        return None
    if typed.isdecimal():
        return min(int(typed), ENTRY_MAX)
    at = datetime.fromisoformat(typed)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def view(path: Path, found: Any) -> View:
    """Return the state for programs, in the words of `deskctl account`, `positions` and `orders`."""
    from dataclasses import asdict

    from deskd.control import views
    from deskd.control.kill import view as of_kill

    desk = found.desk
    books = desk.portfolio.books
    return {
        "ledger": str(path),
        "seq": found.seq,
        "at": found.at,
        "last_hash": found.last_hash,
        "is_whole_ledger": found.is_whole_ledger,
        "chain": "whole" if found.damage is None else "broken",
        "damage": None if found.damage is None else asdict(found.damage),
        "tables": list(found.tables),
        "differences": [asdict(one) for one in found.differences],
        "market_day": None if desk.records.day is None else desk.records.day.isoformat(),
        "trading_state": desk.kills.desk_state().value,
        "cash": views.plain_values({"cash": desk.portfolio.cash()})["cash"],
        "equity": views.plain_values({"equity": desk.portfolio.equity()})["equity"],
        "orders": len(desk.orders),
        "fills": desk.fill_count,
        "strategies": {who: status.value for who, status in sorted(desk.statuses.items())},
        "accounts": [views.account(account) for who in sorted(books) if (account := desk.account(who)) is not None],
        "positions": [views.position(p) for who in sorted(books) for p in books[who].positions.values() if p.qty],
        "open_orders": [views.order(one) for one in desk.open_orders()],
        "kills": [of_kill(kill) for kill in desk.kills.all()],
    }


def tell(told: View, *, is_wide: bool) -> None:
    """Print the state for people."""
    ends = "" if told["is_whole_ledger"] else ", of more"
    show.say(f"{told['ledger']}: replayed up to entry {told['seq']:,}{ends}, written at {told['at'] or 'no time'}")
    if told["damage"] is not None:
        show.say(f"chain: BROKEN behind it: {_place(told['damage'])}; nothing from there on counts")
    else:
        show.say(f"chain: whole, last hash {told['last_hash']}")
    for one in told["differences"]:
        show.say(f"differs: {_place(one)}")
    show.say(f"tables: {_tables(told)}")
    show.say(f"market day: {told['market_day'] or '-'}; trading state: {told['trading_state']}")
    show.say(
        f"cash of the shared account: {show.cell('cash', told['cash'])}, equity {show.cell('equity', told['equity'])}"
    )
    show.say(f"orders: {told['orders']:,} in memory, {len(told['open_orders'])} open; fills: {told['fills']:,}")
    print()
    show.table(show.ACCOUNTS, told["accounts"], nothing="no accounts", is_wide=is_wide)
    print()
    show.table(show.POSITIONS, told["positions"], nothing="no positions: everything is flat", is_wide=is_wide)
    print()
    rows = [{**row, "qty": row["qty"] or f"${row['notional']}", "why": row["message"]} for row in told["open_orders"]]
    show.table(show.ORDERS, rows, nothing="no open orders", is_wide=is_wide)
    if told["kills"]:
        print()
        show.table(KILLS, [{**kill, "why": kill["reason"]} for kill in told["kills"]], nothing="", is_wide=is_wide)


def _place(damage: View) -> str:
    where = " ".join(str(part) for part in (damage["table"], damage["key"], damage["column"]) if part)
    return f"{where}: expected {damage['expected']}, actual {damage['actual']}"


def _tables(told: View) -> str:
    if told["differences"]:
        return f"{len(told['differences'])} of {len(told['tables'])} differ from the replay: `deskctl audit verify` says more"
    if told["tables"]:
        return f"{', '.join(told['tables'])}: every row as the facts give it"
    return "not compared: they stand at the ledger's end, and in this version's form"
