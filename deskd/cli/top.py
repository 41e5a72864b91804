"""`deskctl top`: the desk, its strategies and its latest orders, live in the terminal; --once for pipes."""

import sys
import time
from collections.abc import Callable
from typing import Any

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import Desk, DeskNotReachable
from deskd.cli.kill import tell_kills
from deskd.domain.shown import one_line

ORDERS_SHOWN = 8
STRATEGIES: show.Columns = {
    "strategy": "strategy_id",
    "status": "status",
    "stage": "stage",
    "waiting": "lines_waiting",
    "open": "open_orders",
    "equity": "equity",
    "realized": "realized_pnl",
    "unrealized": "unrealized_pnl",
}
LATEST: show.Columns = {
    "requested (UTC)": "requested_at",
    "strategy": "strategy_id",
    "side": "side",
    "qty": "qty",
    "symbol": "symbol",
    "status": "status",
    "why": "reason",
}
_OTHER_SCREEN, _FIRST_SCREEN, _CLEAR = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H\x1b[2J"


@click.command()
@click.option("--once", is_flag=True, help="Show it once, and end; so it is in a pipe.")
@click.option("--every", "every_s", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="Seconds.")
@json_option
@pass_call
def top(call: Call, *, once: bool, every_s: float, as_json: bool) -> None:
    """Watch the desk: strategies, money, and the latest orders; Ctrl-C ends it. With --json it is shown once."""
    desk = call.desk()
    if as_json:
        show.as_json({**desk.look("/status"), "orders": _latest(desk)})
        return
    if once or not sys.stdout.isatty():
        frame(desk)
        return
    try:
        print(_OTHER_SCREEN, end="")
        watch(lambda: frame(desk), time.sleep, every_s)
    except KeyboardInterrupt:
        pass
    finally:
        print(_FIRST_SCREEN, end="", flush=True)


def watch(draw: Callable[[], None], wait: Callable[[float], None], every_s: float) -> None:
    """Draw again and again, until interrupted; a desk that restarts is waited for."""
    while True:
        print(_CLEAR, end="")
        try:
            draw()
        except DeskNotReachable as error:
            show.say(str(error))
        sys.stdout.flush()
        wait(every_s)


def frame(desk: Desk) -> None:
    """Print how it is now."""
    status = desk.look("/status")
    orders = _latest(desk)
    about: dict[str, Any] = status["desk"]
    tell_kills(about.get("kills", []))
    figures = [
        f"{key} {one_line(show.cell(key, about[key]))}" for key in ("name", "mode", "equity", "cash") if key in about
    ]
    running = sum(row["status"] == "running" for row in status["strategies"])
    print(f"{' · '.join(figures)} · {running} of {len(status['strategies'])} strategies running\n")
    show.table(STRATEGIES, status["strategies"], nothing="no strategies")
    print()
    show.table(LATEST, orders, nothing="no orders")


def _latest(desk: Desk) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = desk.look("/orders", {"limit": str(ORDERS_SHOWN)})["orders"]
    return rows
