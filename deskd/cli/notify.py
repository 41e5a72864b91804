"""`deskctl notify`: what became of notifications, and what to do about those that did not arrive."""

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, limit_option, pass_call, wide_option

NOTIFICATIONS: show.Columns = {
    "id": "id",
    "at (UTC)": "at",
    "topic": "topic",
    "route": "route",
    "status": "status",
    "tries": "tries",
    "title": "title",
    "problem": "problem",
}


@click.group()
def notify() -> None:
    """Show notifications, send what is dead again, try a topic's routes."""


@notify.command(name="list")
@click.option("--status", type=click.Choice(["waiting", "sent", "dead", "withdrawn"]), help="Of this status only.")
@limit_option
@wide_option
@json_option
@pass_call
def list_(call: Call, status: str | None, limit: int, *, is_wide: bool, as_json: bool) -> None:
    """Show notifications and what became of them, the newest last; members see their own."""
    answer = call.desk().look("/notifications", {"status": status, "limit": str(limit)})
    rows = answer["notifications"]
    if as_json:
        show.as_json(rows)
        return
    nothing = "no notifications" if answer["has_routes"] else "no routes: set notifications.routes_file in desk.toml"
    show.table(NOTIFICATIONS, rows, nothing=nothing, is_wide=is_wide)


@notify.command()
@click.argument("ids", nargs=-1, type=int, metavar="[ID...]")
@json_option
@pass_call
def retry(call: Call, ids: tuple[int, ...], *, as_json: bool) -> None:
    """Send dead notifications again: those of ID..., or all. Officers only."""
    body = call.desk().command("/notifications/retry", {"ids": list(ids) or None}).body
    if as_json:
        show.as_json(body)
    else:
        show.say(f"{body['again']} are sent again")


@notify.command()
@click.argument("topic")
@json_option
@pass_call
def test(call: Call, topic: str, *, as_json: bool) -> None:
    """Send a test on every route of TOPIC. Officers only; `deskctl notify list` shows whether it arrived."""
    body = call.desk().command("/notifications/test", {"topic": topic}).body
    if as_json:
        show.as_json(body)
    else:
        show.say(f"a test of {body['topic']} is on its way; look with: deskctl notify list")
