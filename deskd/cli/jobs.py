"""`deskctl jobs` and `deskctl report`: what the desk does by itself each day, and what the day came to."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call, wide_option
from deskd.cli.verbs import Verbs

JOB_TIMEOUT_S = 1_900.0  # a job is ended after 1800
KINDS = ("html", "json", "strategies.csv", "orders.csv", "fills.csv", "denials.csv", "runs.csv")
JOBS: show.Columns = {
    "job": "name",
    "next (UTC)": "next_at",
    "last (UTC)": "last_at",
    "of": "session",
    "by": "by",
    "outcome": "outcome",
    "what it found, or does": "note",
}


@click.group(cls=Verbs, invoke_without_command=True)
@wide_option
@json_option
@click.pass_context
def jobs(context: click.Context, *, is_wide: bool, as_json: bool) -> None:
    """List the jobs of the day: when each ran last and how, and when it runs next."""
    if context.invoked_subcommand is not None:
        return
    call: Call = context.obj
    rows = call.desk().look("/jobs")["jobs"]
    if as_json:
        show.as_json(rows)
    else:
        show.table(JOBS, [cells(row) for row in rows], nothing="no jobs", is_wide=is_wide)


def cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in the table."""
    last = row["last"] or {}
    planned = _utc("next_at", row["next_at"]) if row["next_at"] else "-"
    outcome = "running" if row["is_running"] else last.get("outcome") or ("cut short" if last else None)
    detail = "given up for this session: the desk died of it" if row["is_given_up"] else last.get("detail")
    return {
        "name": row["name"],
        "next_at": planned if row["is_planned"] else "by hand",
        "last_at": _utc("started_at", last["started_at"]) if last else None,
        "session": last.get("session"),
        "by": last.get("by"),
        "outcome": outcome,
        "note": detail or row["does"],
    }


def _utc(key: str, moment: str) -> str:
    return show.cell(key, moment).removesuffix(" UTC")  # the title says it


@jobs.command()
@click.argument("name")
@click.option("--session", metavar="DAY", help="Of this market day, as 2026-01-31; default: the latest.")
@json_option
@pass_call
def run(call: Call, name: str, session: str | None, *, as_json: bool) -> None:
    """Run one job now, whatever the plan says. Officers only."""
    asked = {"name": name} if session is None else {"name": name, "session": session}
    answer = call.desk().command("/jobs/run", asked, timeout_s=JOB_TIMEOUT_S)
    if as_json:
        show.as_json(answer.body)
    else:
        done = answer.body["run"]
        show.say(f"{done['name']} of {done['session']}: {done['outcome']}: {done['detail']}")
    if not answer.is_done:
        sys.exit(1)


@click.command()
@click.argument("day", required=False)
@click.option("--member", metavar="NAME", help="Of this member; officers only, where it is not yourself.")
@click.option("--kind", type=click.Choice(KINDS), default="json", show_default=True, help="What to read.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file; default: standard output.")
@click.option("--list", "is_list", is_flag=True, help="The days that there are reports of.")
@json_option
@pass_call
def report(
    call: Call,
    day: str | None,
    member: str | None,
    kind: str,
    out: Path | None,
    *,
    is_list: bool,
    as_json: bool,
) -> None:
    """Read the report of a market DAY (default: the latest): yours, or the desk's where you are an officer."""
    desk = call.desk()
    if is_list:
        rows = desk.look("/reports", {"member": member})["reports"]
        if as_json:
            show.as_json(rows)
        else:
            for row in rows:
                show.say(row["market_day"])
            if not rows:
                show.say("no reports yet: the first is written after the close; now: deskctl jobs run report")
        return
    query = {"day": day, "member": member, "kind": "json" if as_json else kind}
    text = b"".join(desk.stream("/report", query, is_endless=False))
    if out is None:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        return
    try:
        with out.open("xb") as file:
            file.write(text)
    except OSError as error:
        raise click.UsageError(f"{out}: cannot be written ({error.strerror}): name a new file") from None
    click.echo(f"{out}: {len(text):,} bytes", err=True)
