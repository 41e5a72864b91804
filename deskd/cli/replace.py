"""`deskctl replace`: another order in the place of an open one."""

import sys

import click

from deskd.cli import show
from deskd.cli.client import Desk

REFUSED = 1


def carry_out(desk: Desk, changes: dict[str, str], *, as_json: bool) -> None:
    """Give the command, and tell what became of it: the new order, or why not."""
    answer = desk.command("/replace", changes)
    if as_json:
        show.as_json(answer.body)
    else:
        for row in answer.body["orders"]:
            why = f": {row['reason']}: {row['message']}" if row["reason"] else ""
            print(f"{row['client_order_id']}: {row['status']}, in the place of {row['replaces']}{why}")
        for row in answer.body["refused"]:
            print(f"{row['client_order_id']}: {row['reason']}: {row['message']}")
    if not answer.is_done:
        sys.exit(REFUSED)


@click.command()
@click.argument("order")
@click.option("--qty", help="Of the old and the new order together: what is filled counts.")
@click.option("--limit-price", help="The new limit price.")
@click.option("--stop-price", help="The new stop price.")
@click.option("--trail-price", help="The new trail in dollars, of a trailing stop that has one.")
@click.option("--trail-percent", help="The new trail in percent, of a trailing stop that has one.")
@click.option("--time-in-force", help="day, gtc, ...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def replace(context: click.Context, /, order: str, *, as_json: bool, **changes: str | None) -> None:
    """Put a new order in the place of an open one, by its client_order_id or the broker's. It passes the gate."""
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise click.UsageError("nothing is to change: give --qty, a price or --time-in-force")
    carry_out(context.obj.desk(), {"order": order} | given, as_json=as_json)
