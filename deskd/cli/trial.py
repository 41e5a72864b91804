"""`deskctl run DIR --tape PATH`: one strategy on a desk of its own, for a look at what it does."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import NotDone
from deskd.cli.tapes import cash_of, settings_for, tape_options, without_jails
from deskd.domain.shown import printable

FAILED = 1
# What is shown while it runs; the rest is between desk and exchange.
_SHOWN = frozenset(
    [
        "order_created",
        "order_denied",
        "order_rejected",
        "order_partially_filled",
        "order_filled",
        "order_canceled",
        "order_expired",
        "order_replaced",
        "exit_triggered",
        "kill_engaged",
        "breaker_moved",
        "run_started",
        "run_stalled",
    ]
)


@click.command()
@tape_options
@click.option(
    "--speed",
    type=click.FloatRange(0, 100_000),
    default=1.0,
    show_default=True,
    help="Market seconds per second; 0 is as fast as it goes.",
)
@json_option
@pass_call
def run(
    call: Call,
    /,
    folder: Path,
    *,
    tape: tuple[str, ...],
    more_tape: tuple[str, ...],
    cash: str | None,
    as_json: bool,
    **given: object,
) -> None:
    """Run the strategy in DIR on a desk of its own, live, until the tape ends or Ctrl-C.

    No desk needs to run, and none is touched: gate, jail, ledger and exchange are made for this run and removed after
    it. The limits are the configured desk's. What the strategy prints is shown as it comes, its orders and fills as
    lines. With --json the result alone goes to standard output, all else to standard error.
    """
    config = settings_for(call.config, (*tape, *more_tape), given)
    amount = cash_of(cash)
    outcome = _run(folder, config, amount, out=sys.stderr if as_json else sys.stdout)
    told = _as_dict(outcome)
    if as_json:
        show.as_json(told)
    else:
        tell(told)
    if not outcome.ended_well:
        sys.exit(FAILED)


def _run(folder: Path, config: Any, cash: Any, *, out: Any) -> Any:
    import uvloop

    from deskd import log as logs
    from deskd.app.trial import tried
    from deskd.app.trial_desk import trial_desk
    from deskd.cli.events import text
    from deskd.domain.errors import BrokerFatal, ConfigError, LedgerError, SandboxUnavailable
    from deskd.wire.event_line import EventLine, encode

    def on_event(event: EventLine) -> None:
        if event.event in _SHOWN:
            import json

            print(text(json.loads(encode(event)))[10:], file=out, flush=True)

    def on_prints(stream: str, lines: Sequence[bytes]) -> None:
        mark = "!" if stream == "err" else "|"
        for line in lines:
            print(mark, printable(line.decode("utf-8", "replace")), file=out)
        out.flush()

    logs.configure(level="warning", format=config.log.format)
    os.environ.pop("CREDENTIALS_DIRECTORY", None)  # nobody is to hear of it: a member's routes may stand there
    try:
        with trial_desk(folder, config, cash=cash) as desk:
            return uvloop.run(tried(desk, on_event=on_event, on_prints=on_prints))
    except Exception as error:
        only = first_of(error)
        if isinstance(only, SandboxUnavailable):
            raise without_jails(only) from None
        if isinstance(only, BrokerFatal | LedgerError | ChildProcessError):
            raise NotDone(str(only)) from None
        if isinstance(only, ConfigError | BrokenPipeError):
            raise only from None
        raise


def first_of(error: BaseException) -> BaseException:
    """Return what went wrong first: a group's own words are how many there were."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _as_dict(outcome: Any) -> dict[str, Any]:
    """Return the outcome for programs: decimals as text."""
    from dataclasses import asdict

    from deskd.jobs.markup import for_json

    told: dict[str, Any] = for_json(asdict(outcome))
    return told


def tell(told: dict[str, Any]) -> None:
    """Print the outcome for people."""
    print()
    show.say(f"{told['strategy_id']} on {' '.join(told['tape'])}: {_END[told['ended_by']]}")
    show.say(f"run ended as {told['exit_reason']}: {told['exit_detail']}")
    show.say(f"lines: {told['lines_handled']} handled of {told['lines_delivered']} delivered")
    show.say(f"orders: {told['orders']} sent, {told['fills']} fills")
    for what, verb in (
        ("denied", "denied by the gate"),
        ("rejected", "rejected by the exchange"),
        ("refused", "refused"),
    ):
        if told[what]:
            counts = ", ".join(f"{reason} {count}" for reason, count in told[what].items())
            show.say(f"{verb}: {counts}")
    for name in ("allocation", "equity", "realized_pnl", "unrealized_pnl"):
        show.say(f"{name.replace('_pnl', ' P&L').replace('_', ' ')}: {show.cell(name, told[name])}")
    if told["positions"]:
        print()
        show.table(HELD, told["positions"], nothing="")


_END = {"tape": "the tape has ended", "strategy": "the strategy has ended", "user": "it was ended from here"}
HELD: show.Columns = {
    "symbol": "symbol",
    "qty": "qty",
    "entry": "avg_entry_price",
    "mark": "mark_price",
    "unrealized": "unrealized_pnl",
}
