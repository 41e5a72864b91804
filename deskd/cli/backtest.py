"""`deskctl backtest DIR --tape PATH`: a strategy through a whole tape, in step, the same result every time."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from deskd.cli import backtest_notice, show
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import NotDone
from deskd.cli.tapes import cash_of, settings_for, tape_options, without_jails
from deskd.cli.trial import FAILED, first_of
from deskd.domain.shown import printable

TRIPS_SHOWN = 20
TRIPS: show.Columns = {
    "symbol": "symbol",
    "side": "side",
    "qty": "qty",
    "opened (UTC)": "opened_at",
    "closed (UTC)": "closed_at",
    "entry": "entry_price",
    "exit": "exit_price",
    "P&L": "pnl",
}


@click.command()
@tape_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write report.html, report.json, and the tables as CSV into this new folder.",
)
@click.option(
    "--notify", "is_told", is_flag=True, help="Tell the result on the desk's backtest-results routes. Officers only."
)
@click.option("--quiet", "is_quiet", is_flag=True, help="Do not show what the strategy prints.")
@json_option
@pass_call
def backtest(
    call: Call,
    /,
    folder: Path,
    *,
    tape: tuple[str, ...],
    more_tape: tuple[str, ...],
    cash: str | None,
    out: Path | None,
    is_told: bool,
    is_quiet: bool,
    as_json: bool,
    **given: object,
) -> None:
    """Play a tape to the strategy in DIR as fast as it goes, and say what came of it.

    In lock-step: the market waits until the strategy has handled a line, so an order is handled at the market's time of
    the line that caused it, and the same tape, code and seed give the same result on any machine, byte for byte. Gate,
    limits, exits and kills are the configured desk's, the jail is the real one; no desk needs to run, and none is
    touched. With --json the result alone goes to standard output.
    """
    names = (*tape, *more_tape)
    config = settings_for(call.config, names, given)
    amount = cash_of(cash)
    if out is not None and out.exists():
        raise click.UsageError(f"--out {out}: is there already: name a new folder")
    if is_told:
        backtest_notice.must_be_heard(call.desk())
    found = _run(folder, config, amount, names, prints=None if is_quiet else sys.stderr)
    from deskd.backtest.pages import as_json as in_json
    from deskd.backtest.pages import files

    if out is not None:
        _write(out, dict(files(found)))
    if as_json:
        sys.stdout.write(in_json(found))
    else:
        tell(found, out)
    if is_told:
        routes = backtest_notice.tell(call.desk(), *backtest_notice.words(found), found.strategy_id)
        click.echo(f"told by {', '.join(routes)}", err=True)
    if not found.is_whole and found.exit_reason != "clean":  # it failed, or was ended from here
        sys.exit(FAILED)


def _run(folder: Path, config: Any, cash: Any, names: Sequence[str], *, prints: Any) -> Any:
    import uvloop

    from deskd import log as logs
    from deskd.app.backtesting import backtested
    from deskd.app.trial_desk import trial_desk
    from deskd.domain.errors import ConfigError, SandboxUnavailable

    def on_prints(stream: str, lines: Sequence[bytes]) -> None:
        if prints is not None:
            mark = "!" if stream == "err" else "|"
            for line in lines:
                print(mark, printable(line.decode("utf-8", "replace")), file=prints)

    logs.configure(level="warning", format=config.log.format)
    try:
        with trial_desk(folder, config, cash=cash) as desk:
            return uvloop.run(backtested(desk, tape_names=names, on_prints=on_prints))
    except Exception as error:
        only = first_of(error)
        if isinstance(only, SandboxUnavailable):
            raise without_jails(only) from None
        if isinstance(only, ConfigError | BrokenPipeError):
            raise only from None
        raise


def _write(out: Path, files: dict[str, str]) -> None:
    try:
        out.mkdir(parents=True)
        for name, text in files.items():
            (out / name).write_text(text)
    except OSError as error:
        raise NotDone(f"{out}: cannot be written ({error.strerror}): name another folder with --out") from None


def tell(found: Any, out: Path | None) -> None:
    """Print the result for people."""
    from dataclasses import asdict

    from deskd.jobs.markup import for_json, shown

    metrics = found.metrics
    days = f"{found.days[0]} to {found.days[-1]}" if len(found.days) > 1 else "".join(found.days)
    note = " (an invented market)" if found.is_synthetic else ""
    show.say(f"{found.strategy_id} on {' '.join(found.tape)}{note}: {days}, {found.lines:,} lines, seed {found.seed}")
    show.say(f"run ended as {found.exit_reason}: {found.exit_detail}")
    if not found.is_whole:
        show.say(f"NOT the whole tape: up to {found.ended_at.isoformat()}")
    show.say(f"orders: {metrics.orders} sent, {metrics.fills} fills, {metrics.denied} denied by the gate")
    for line in found.denials:
        show.say(f"  denied: {line.reason} {line.count}: {line.last_message}")
    for what in ("rejected", "refused"):
        for reason, number in getattr(found, what).items():
            show.say(f"  {what}: {reason} {number}")
    show.say(f"P&L: {show.cell('equity', shown(metrics.pnl))} of {show.cell('allocation', shown(found.allocation))}")
    for name in ("total_return", "max_drawdown", "exposure"):
        show.say(f"{name.replace('_', ' ')}: {getattr(metrics, name):.4%}")
    show.say(f"turnover: {metrics.turnover:.4f} times the mean equity")
    show.say(f"Sharpe ratio: {'needs more days' if metrics.sharpe is None else f'{metrics.sharpe:.2f}'}")
    won = "" if metrics.hit_rate is None else f", {metrics.hit_rate:.1%} of them won"
    show.say(f"round trips: {metrics.trips} closed{won}")
    if found.trips:
        print()
        show.table(TRIPS, [for_json(asdict(trip)) for trip in found.trips[:TRIPS_SHOWN]], nothing="")
        if len(found.trips) > TRIPS_SHOWN:
            print(f"the first {TRIPS_SHOWN} of {len(found.trips)}: --out has all")
    if out is not None:
        show.say(f"written: {out}/report.html")
