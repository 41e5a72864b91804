"""`deskctl notify`: what became of notifications, and what to do about those that did not arrive."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, limit_option, pass_call, wide_option
from deskd.cli.verbs import Verbs

REFUSED = 1
WAIT_S = 20.0  # the first message of a worker that just began takes some seconds
LOOK_S = 0.3
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


@click.group(cls=Verbs)
def notify() -> None:
    """Show notifications, send what is dead again, try routes, tell people something."""


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
    nothing = (
        "no notifications"
        if answer["has_routes"]
        else "no routes: set notify.routes_file in desk.toml, or under systemd write /etc/deskd/notification_routes"
    )
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
@click.argument("topic", required=False)
@click.option("--member", metavar="NAME", help="On this member's routes, in the place of a TOPIC.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 300),
    default=WAIT_S,
    show_default=True,
    help="For so many seconds.",
)
@json_option
@pass_call
def test(call: Call, topic: str | None, member: str | None, wait_s: float, *, as_json: bool) -> None:
    """Send a test on every route of TOPIC, or on all that officers and members have, and wait for what becomes of it.

    Exit 0: all arrived. A route that failed is tried at once, however long it was to be left alone. Officers only.
    """
    if topic is not None and member is not None:
        raise click.UsageError("give TOPIC or --member, not both")
    body = call.desk().command("/notifications/test", {"topic": topic, "member": member}).body
    rows = _settled(call, [one["key"] for one in body["tests"]], wait_s)
    if as_json:
        show.as_json({**body, "deliveries": rows})
    else:
        for row in rows:
            show.say(f"{f"{row['member']}'s" if row['member'] else row['topic']} on {row['route']}: {_fate(row)}")
        if not rows:
            show.say("no topic of these has a route: write names of routes into [notify] of desk.toml")
    if not rows or any(row["status"] != "sent" for row in rows):
        sys.exit(REFUSED)


@notify.command()
@click.argument("topic")
@click.argument("text")
@click.option("--title", help="Default: the first line of TEXT.")
@click.option(
    "--severity",
    type=click.Choice(["info", "warning", "critical"]),
    default="info",
    show_default=True,
    help="What is critical is told in quiet hours, too.",
)
@click.option("--strategy", metavar="NAME", help="Its member hears of it as well.")
@json_option
@pass_call
def send(
    call: Call, topic: str, text: str, *, title: str | None, severity: str, strategy: str | None, as_json: bool
) -> None:
    """Tell people TEXT on the routes of TOPIC: for officers, and their scripts. `-`: standard input. It is on record.

    As in: scan.py | deskctl notify send scanner - --title "Scan of the morning"
    """
    words = sys.stdin.read() if text == "-" else text
    given = {"topic": topic, "text": words, "title": title, "severity": severity, "strategy": strategy}
    body = call.desk().command("/notifications/send", given).body
    if as_json:
        show.as_json(body)
    else:
        show.say(f"on its way by {', '.join(body['routes'])}; look with: deskctl notify list")


def _settled(call: Call, keys: Sequence[str], wait_s: float) -> list[dict[str, Any]]:
    """Return what became of these, when all arrived or failed, or the time is up."""
    import time

    until = time.monotonic() + wait_s
    while True:
        found = call.desk().look("/notifications", {"key": keys})["notifications"]
        rows: list[dict[str, Any]] = sorted(found, key=lambda row: (row["topic"], row["route"]))
        is_settled = all(row["status"] != "waiting" or row["tries"] for row in rows)
        if is_settled or time.monotonic() >= until:
            return rows
        time.sleep(LOOK_S)


def _fate(row: Mapping[str, Any]) -> str:
    if row["status"] == "sent":
        return "arrived"
    if row["tries"]:
        return f"FAILED: {row['problem']}"
    return "not sent yet: is the desk's worker up? Look with: deskctl notify list"
