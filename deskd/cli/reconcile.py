"""`deskctl reconcile`: what stands between the books and the broker's account, and settling it."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from deskd.cli import show
from deskd.cli.client import Desk

DISAGREE = 1  # exit code

BOOKINGS: show.Columns = {
    "cause": "cause",
    "symbol": "symbol",
    "qty": "qty",
    "price": "price",
    "cash": "cash",
    "why": "why",
}


@click.command()
@click.option("--resolve", metavar="SYMBOL|cash", help="Settle an open difference, and thaw the symbol.")
@click.option(
    "--distribute", metavar="RATIO", help="With --resolve, of a split: so many shares for one, in every book."
)
@click.option("--reason", metavar="TEXT", help="With --resolve: why it is settled; it goes into the ledger.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_obj
def reconcile(call: Any, *, resolve: str | None, distribute: str | None, reason: str | None, as_json: bool) -> None:
    """Compare the books with the broker's account now; exit 0 where they agree, 1 where not."""
    if resolve is None and (distribute is not None or reason is not None):
        raise click.UsageError("--distribute and --reason go with --resolve")
    if resolve is not None and not reason:
        raise click.UsageError("--resolve needs --reason TEXT")
    asked = {"resolve": resolve, "distribute": distribute, "reason": reason}
    desk: Desk = call.desk()
    body = desk.command("/reconcile", {key: value for key, value in asked.items() if value is not None}).body
    if as_json:
        show.as_json(body)
    else:
        tell(body)
    if not body["agree"]:
        sys.exit(DISAGREE)


def tell(body: Mapping[str, Any]) -> None:
    """Print the report for people."""
    if body["resolved"]:
        show.say(f"resolved: {body['resolved']}")
    if body["problem"]:
        show.say(f"the broker could not be asked: {body['problem']}")
    else:
        show.say(f"orders caught up: {body['orders_caught_up']}, fills found: {body['fills_found']}")
    if body["house_bookings"]:
        print("the house book took:")
        show.table(BOOKINGS, body["house_bookings"], nothing="")
    for one in body["suspected"]:
        show.say(f"suspected, not yet confirmed: {_more(one)} (since {show.cell('since_at', one['since'])})")
    for one in body["open"]:
        show.say(f"open: {_more(one)} (found {show.cell('found_at', one['found_at'])}); the house has it")
    for one in body["frozen"]:
        show.say(f"frozen: {one['symbol']}: {one['why']}")
    if body["open"] or body["frozen"]:
        print("when you know why: deskctl reconcile --resolve SYMBOL|cash --reason TEXT")
    elif body["agree"]:
        print("books and broker agree")


def _more(one: Mapping[str, Any]) -> str:
    what = "cash" if one["subject"] == "cash" else f"shares of {one['subject']}"
    return f"the broker has {one['more']} {what} more than the members' books and the broker's history explain"
