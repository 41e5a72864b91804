"""deskctl: everything a person asks of a running desk, over its control socket.

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 desk not reachable.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from deskd import __version__
from deskd.cli import show, verbs
from deskd.cli.call import Call, json_option, limit_option, pass_call, strategy_option, wide_option
from deskd.cli.client import Answer, DeskNotReachable, NotDone, quoted
from deskd.cli.place import NoConfiguration, config_file
from deskd.domain.errors import ConfigError
from deskd.domain.shown import in_json, printable

REFUSED, NOT_REACHABLE = 1, 3


@click.group(cls=verbs.Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The running desk's configuration; default: the checkout's etc/desk.toml, else /etc/deskd/desk.toml.",
)
@click.version_option(__version__, message="deskctl %(version)s")
@click.pass_context
def cli(context: click.Context, config: Path | None) -> None:
    """Look at the running desk, and command it.

    Commands, names of strategies and orders may be shortened as long as they are unambiguous.
    """
    context.obj = Call(config)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command, of the command line where none is given; say in one sentence why it cannot be done."""
    try:
        cli(arguments, prog_name="deskctl")
    except (DeskNotReachable, NoConfiguration) as error:
        print(f"deskctl: {printable(str(error))}", file=sys.stderr)
        sys.exit(NOT_REACHABLE)
    except NotDone as error:
        print(f"deskctl: {printable(str(error))}", file=sys.stderr)
        sys.exit(REFUSED)
    except ConfigError as error:
        print(printable(str(error)), file=sys.stderr)
        sys.exit(REFUSED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `deskctl … | head` is no failure


# --- looking ----------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("name", required=False)
@wide_option
@json_option
@pass_call
def status(call: Call, name: str | None, *, is_wide: bool, as_json: bool) -> None:
    """Show the desk and its strategies at a glance; with NAME one strategy, and how its last run ended."""
    from deskd.cli.kill import tell_kills
    from deskd.cli.runs import tell_one

    answer = call.desk().look("/status", {"strategy": name})
    if name is not None:
        tell_one(call, answer["strategies"][0], as_json=as_json)
        return
    if as_json:
        show.as_json(answer)
        return
    tell_kills(answer["desk"].pop("kills", []))
    for key, value in answer["desk"].items():
        if value not in (None, [], {}):
            show.say(f"{key.replace('_', ' ')}: {show.cell(key, value)}")
    print()
    rows = [{**row, "status": _status(row), "note": _note(row), "lines": _lines(row)} for row in answer["strategies"]]
    show.table(show.STATUS, rows, nothing="no strategies: put one into the strategies folder", is_wide=is_wide)


def _status(row: dict[str, Any]) -> str:
    """Return where its process is, and what becomes of its orders where they are not sent."""
    stage = row.get("stage", "active")
    return str(row["status"]) if stage == "active" else f"{row['status']}, {stage}"


def _note(row: dict[str, Any]) -> str | None:
    if row.get("problem"):
        return str(row["problem"])
    if row.get("stalled_for_s") is not None:
        return f"handles no line for {show.duration(row['stalled_for_s'])}, and {row['lines_waiting']} wait"
    if row.get("outdated"):
        return f"its folder holds another version than runs: deskctl restart {row['strategy_id']} takes it"
    if not row.get("exit_reason") or (row["status"] == "running" and row["exit_reason"] in {"clean", "stopped"}):
        return None  # it runs, and nothing was wrong before
    before = "the run before ended: " if row["status"] == "running" else ""
    return f"{before}{row['exit_reason']}: {row['exit_detail']}"


def _lines(row: dict[str, Any]) -> str | None:
    if row.get("lines_delivered") is None:
        return None
    handled = row.get("lines_handled")
    return str(row["lines_delivered"]) if handled is None else f"{handled}/{row['lines_delivered']}"


@cli.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed from now on; end it with Ctrl-C.")
@click.option("--tail", type=click.IntRange(0, 10_000), default=100, show_default=True, help="The last lines.")
@json_option
@pass_call
def logs(call: Call, name: str, *, follow: bool, tail: int, as_json: bool) -> None:
    """Show what a strategy printed."""
    query = {"tail": str(tail), "follow": "1" if follow else None}
    chunks = call.desk().stream(f"/logs/{quoted(name)}", query, is_endless=follow)
    try:
        if as_json:
            _as_json_lines(chunks)
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        pass


def _as_json_lines(chunks: Iterator[bytes]) -> None:
    import json

    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            print(in_json(json.dumps({"line": line.decode(errors="replace")}, ensure_ascii=False)), flush=True)
    if rest:
        print(in_json(json.dumps({"line": rest.decode(errors="replace")}, ensure_ascii=False)))


@cli.command()
@strategy_option
@click.option("--open", "is_open", is_flag=True, help="Only those that may still fill.")
@limit_option
@wide_option
@json_option
@pass_call
def orders(call: Call, strategy: str | None, *, is_open: bool, limit: int, is_wide: bool, as_json: bool) -> None:
    """Show orders, the newest last."""
    query = {"strategy": strategy, "open": "1" if is_open else None, "limit": str(limit)}
    rows = call.desk().look("/orders", query)["orders"]
    if as_json:
        show.as_json(rows)
        return
    rows = [{**row, "qty": row["qty"] or f"${row['notional']}", "why": _why(row)} for row in rows]
    show.table(show.ORDERS, rows, nothing="no open orders" if is_open else "no orders", is_wide=is_wide)


def _why(row: dict[str, Any]) -> str | None:
    return f"{row['reason']}: {row['message']}" if row.get("reason") else row.get("message")


@cli.command()
@strategy_option
@limit_option
@wide_option
@json_option
@pass_call
def fills(call: Call, strategy: str | None, *, limit: int, is_wide: bool, as_json: bool) -> None:
    """Show executions, the newest last."""
    rows = call.desk().look("/fills", {"strategy": strategy, "limit": str(limit)})["fills"]
    _print_rows(show.FILLS, rows, is_wide=is_wide, as_json=as_json, nothing="no fills")


@cli.command()
@strategy_option
@wide_option
@json_option
@pass_call
def positions(call: Call, strategy: str | None, *, is_wide: bool, as_json: bool) -> None:
    """Show what is held, by strategy."""
    rows = call.desk().look("/positions", {"strategy": strategy})["positions"]
    _print_rows(show.POSITIONS, rows, is_wide=is_wide, as_json=as_json, nothing="no positions: everything is flat")


@cli.command()
@strategy_option
@wide_option
@json_option
@pass_call
def account(call: Call, strategy: str | None, *, is_wide: bool, as_json: bool) -> None:
    """Show each strategy's money; `house` is the rest of the shared account."""
    rows = call.desk().look("/account", {"strategy": strategy})["accounts"]
    _print_rows(
        show.ACCOUNTS,
        rows,
        is_wide=is_wide,
        as_json=as_json,
        nothing="no accounts: no strategy of yours is known to the ledger yet",
    )


def _print_rows(
    columns: show.Columns, rows: Sequence[show.Row], *, as_json: bool, nothing: str, is_wide: bool = False
) -> None:
    if as_json:
        show.as_json(rows)
    else:
        show.table(columns, rows, nothing=nothing, is_wide=is_wide)


# --- commanding -------------------------------------------------------------------------------------------------------


def _lifecycle(verb: str, text: str) -> None:
    @cli.command(name=verb, help=text)
    @click.argument("names", nargs=-1, metavar="NAME...")
    @click.option("--all", "is_all", is_flag=True, help="Every strategy that it makes sense for.")
    @json_option
    @pass_call
    def command(call: Call, names: tuple[str, ...], *, is_all: bool, as_json: bool) -> None:
        _exactly_one({"NAME...": names, "--all": is_all})
        answer = call.desk().command(f"/{verb}", {"all": True} if is_all else {"names": list(names)})
        _print_command(answer, _tell_strategies, as_json=as_json)


_lifecycle("start", "Start strategies; --all: every enabled one.")
_lifecycle(
    "stop", "Stop strategies: end of input, grace, then kill; --all: every enabled one, which then stays stopped."
)
_lifecycle("restart", "Stop strategies and start them again with the code that lies there now.")


def _tell_strategies(body: dict[str, Any]) -> None:
    for row in body["strategies"]:
        problem = f": {row['problem']}" if row["problem"] else ""
        show.say(f"{row['strategy_id']}: {row['status']}{problem}")
    if not body["strategies"]:
        print("nothing to do")


@cli.command()
@click.argument("order", required=False)
@click.option("--strategy", metavar="NAME", help="All open orders of this strategy.")
@click.option("--all", "is_all", is_flag=True, help="All open orders of the desk.")
@json_option
@pass_call
def cancel(call: Call, order: str | None, strategy: str | None, *, is_all: bool, as_json: bool) -> None:
    """Cancel an order, by its client_order_id or the broker's, or many of them."""
    _exactly_one({"ORDER": order, "--strategy": strategy, "--all": is_all})
    given = {"order": order, "strategy": strategy, "all": is_all or None}
    answer = call.desk().command("/cancel", {key: value for key, value in given.items() if value is not None})
    _print_command(answer, _tell_orders, as_json=as_json)


def _tell_orders(body: dict[str, Any]) -> None:
    for row in body["orders"]:
        show.say(f"{row['client_order_id']}: {row['status']}")
    for row in body["refused"]:
        show.say(f"{row['client_order_id']}: {row['reason']}: {row['message']}")
    if not body["orders"] and not body["refused"]:
        print("no open orders")


@cli.command()
@click.argument("name")
@json_option
@pass_call
def token(call: Call, name: str, *, as_json: bool) -> None:
    """Print the token with which a laptop trades as the strategy NAME; its member sets it as DESK_TOKEN."""
    answer = call.desk().command("/token", {"name": name})
    _print_command(answer, lambda body: show.say(body["token"]), as_json=as_json)


def _exactly_one(given: dict[str, object]) -> None:
    if sum(bool(value) for value in given.values()) != 1:
        raise click.UsageError(f"give exactly one of {', '.join(given)}")


def _print_command(answer: Answer, tell: Callable[[dict[str, Any]], None], *, as_json: bool) -> None:
    if as_json:
        show.as_json(answer.body)
    else:
        tell(answer.body)
    if not answer.is_done:
        sys.exit(REFUSED)


# --- configuration and the machine ------------------------------------------------------------------------------------


@cli.command()
@click.option("--brief", "is_brief", is_flag=True, help="Only what takes no time, and of it only what is not good.")
@json_option
@pass_call
def doctor(call: Call, *, is_brief: bool, as_json: bool) -> None:
    """Check this machine and this configuration; say what is wrong and what to do."""
    from deskd.cli.doctor import examine

    rows = [check.row() for check in examine(config_file(call.config), os.environ, is_brief=is_brief)]
    if is_brief:
        rows = [row for row in rows if row["verdict"] in {"bad", "warning"}]
    _print_rows(show.CHECKS, rows, as_json=as_json, nothing="")
    if any(row["verdict"] == "bad" for row in rows):
        sys.exit(REFUSED)


# --- in files of their own: imported when they are meant, so that none makes the others slower ----------------------------

cli.add_later("audit", "audit", "backup")
cli.add_later("backtest", "backtest")
cli.add_later("build", "build")
cli.add_later("checking", "check")
cli.add_later("config", "config")
cli.add_later("deploy", "deploy", "rollback", "versions")
cli.add_later("events", "events")
cli.add_later("handover", "handover")
cli.add_later("jail", "jail")
cli.add_later("jobs", "jobs", "report")
cli.add_later("kill", "kill", "release")
cli.add_later("new", "new")
cli.add_later("notify", "notify")
cli.add_later("outages", "outages")
cli.add_later("reconcile", "reconcile")
cli.add_later("replace", "replace")
cli.add_later("replay", "replay")
cli.add_later("runs", "runs")
cli.add_later("stages", "pause", "resume", "shadow", "activate")
cli.add_later("top", "top")
cli.add_later("trial", "run")
cli.add_later("verbs", "completion")
cli.add_later("why", "why")


if __name__ == "__main__":
    main()
