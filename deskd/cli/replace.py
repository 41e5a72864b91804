"""`deskctl replace`: another order in the place of an open one."""

import sys
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from deskd.cli import show
from deskd.cli.client import Desk

REFUSED = 1
TIMES_IN_FORCE = ("day", "gtc", "opg", "cls", "ioc", "fok")  # domain.order.TimeInForce, which takes long to import


def carry_out(desk: Desk, changes: dict[str, str], *, as_json: bool) -> None:
    """Give the command, and tell what became of it: the new order, or why not."""
    answer = desk.command("/replace", changes)
    if as_json:
        show.as_json(answer.body)
    else:
        for row in answer.body["orders"]:
            show.say(_told(row))
        for row in answer.body["refused"]:
            show.say(f"{row['client_order_id']}: {row['reason']}: {row['message']}")
    if not answer.is_done:
        sys.exit(REFUSED)


def _told(row: dict[str, Any]) -> str:
    if row["reason"] is None:
        return f"{row['client_order_id']}: {row['status']}, in the place of {row['replaces']}"
    return (
        f"{row['client_order_id']}: {row['status']}: {row['reason']}: {row['message']}; the old order stays as it was"
    )


@click.command()
@click.argument("order")
@click.option("--qty", help="Of the old and the new order together: what is filled counts.")
@click.option("--limit-price", help="The new limit price.")
@click.option("--stop-price", help="The new stop price.")
@click.option("--trail-price", help="The new trail in dollars, of a trailing stop that has one.")
@click.option("--trail-percent", help="The new trail in percent, of a trailing stop that has one.")
@click.option("--time-in-force", type=click.Choice(TIMES_IN_FORCE), help="How long it is good for.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def replace(context: click.Context, /, order: str, *, as_json: bool, **changes: str | None) -> None:
    """Put a new order in the place of an open one, by its client_order_id or the broker's. It passes the gate."""
    given = {name: value for name, value in changes.items() if value is not None}
    for name, value in given.items():
        _must_be_a_number(name, value)
    if not given:
        raise click.UsageError("nothing is to change: give --qty, a price or --time-in-force")
    carry_out(context.obj.desk(), {"order": order} | given, as_json=as_json)


def _must_be_a_number(name: str, value: str) -> None:
    """Tell of a typing error before any desk is asked; what a number may be is the desk's to say."""
    if name == "time_in_force":
        return
    try:
        is_number = Decimal(value) > 0
    except InvalidOperation:
        is_number = False
    if not is_number:
        raise click.UsageError(f"--{name.replace('_', '-')}: {value!r} is not a number greater than zero")
