"""`deskctl events`: the drop copy, one line an event."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, time
from typing import Any

import click

from deskd.cli.call import Call, json_option, pass_call, strategy_option
from deskd.cli.client import DeskNotReachable, Query
from deskd.domain.shown import in_json, one_line

type Event = dict[str, Any]


class Since(click.ParamType[str]):
    """An entry of the ledger, or an instant; a time of day alone is today's, in UTC."""

    name = "TIME|SEQ"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return what the desk is asked for; end with wrong usage where it is neither."""
        text = str(value).strip()
        if text.isascii() and text.isdecimal():
            return text
        for read in (datetime.fromisoformat, _today_at):
            try:
                return read(text).isoformat()
            except ValueError:
                continue
        rule = "give an entry's seq (1234), a time (2026-11-20T14:30:00Z), or a time of today in UTC (14:30)"
        return self.fail(f"{text!r} is none: {rule}", param, ctx)


def _today_at(text: str) -> datetime:
    from deskd.ports import SystemClock

    at = time.fromisoformat(text)
    return datetime.combine(SystemClock().now().date(), at, tzinfo=at.tzinfo or UTC)


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on; end it with Ctrl-C.")
@click.option(
    "--since",
    type=Since(),
    metavar="TIME|SEQ",
    help="From that time (UTC unless it says otherwise; of today without a date) or fact of the ledger on.",
)
@strategy_option
@click.option("--event", "names", multiple=True, metavar="NAME", help="Of this kind only; may be given more than once.")
@click.option(
    "--tail", type=click.IntRange(0, 10_000), default=100, show_default=True, help="The last; not with --since."
)
@json_option
@pass_call
def events(
    call: Call,
    *,
    follow: bool,
    since: str | None,
    strategy: str | None,
    names: tuple[str, ...],
    tail: int,
    as_json: bool,
) -> None:
    """Show what happens on the desk: the drop copy (docs/reference/events.md).

    Members see the events of their own strategies, and what is nobody's.
    """
    query: Query = {
        "follow": "1" if follow else None,
        "since": since,
        "tail": str(tail),
        "strategy": strategy,
        "event": names,
    }
    seen: int | None = None
    try:
        for line in _lines(call.desk().stream("/events", query, is_endless=follow)):
            seen = print_line(line, as_json=as_json)
    except KeyboardInterrupt:
        return
    if seen is None and not follow and not as_json:
        print("no events" if strategy is None and not names and since is None else "no events: none is of that kind")
    if follow:
        again = "" if seen is None else f"; to go on where this ended: --since {seen}"
        raise DeskNotReachable(f"the desk has ended the stream of events: it stops, or waited too long{again}")


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def print_line(line: bytes, *, as_json: bool) -> int:
    """Print one event; return its place in the ledger."""
    event: Event = json.loads(line)
    print(in_json(line.decode()) if as_json else text(event))
    sys.stdout.flush()
    return int(event["seq"])


def text(event: Event) -> str:
    """Return one event as people read it: place, day and time, what, whose, and the words of it."""
    at = str(event["at"])
    who = event.get("strategy_id") or event.get("by") or "desk"
    line = f"{event['seq']:>8}  {at[5:10]} {at[11:23].rstrip('Z') + 'Z':<13}  {event['event']:<23}  {who}: {_words(event)}".rstrip(
        ": "
    )
    return one_line(line)


def _words(e: Event) -> str:
    match e["event"]:
        case "order_created":
            why = f'("{e["why"]}")' if "why" in e else ""
            return _joined(_asked(e), *_prices(e), e["time_in_force"], _kin(e), why, _order(e))
        case "order_filled" | "order_partially_filled" if "fill_qty" in e:
            got = f"{e['filled_qty']} of {e['qty']}" if "qty" in e else f"{e['filled_qty']} so far"
            return _joined(f"{e['side']} {e['fill_qty']} {e['symbol']} at {e['fill_price']}, {got}", _order(e))
        case "position_opened" | "position_changed" | "position_closed":
            return _joined(f"{e['position_qty']} {e['symbol']}", f"at {e['fill_price']}")
        case "order_denied" | "order_rejected" | "run_ended":
            return _joined(f"{e['reason']}: {e['message']}", _order(e) if "client_order_id" in e else "")
        case "run_stalled":
            return str(e["message"])
        case "limit_breached":
            return _joined(e["reason"], e.get("figure", ""), e.get("limit", ""), _order(e))
        case "stream_up":
            return f"the stream of {e['stream']} is up: {e['why']}"
        case "outage_started":
            return f"the stream of {e['stream']} is down: {e['why']}; {_affected(e)}"
        case "outage_ended":
            span = f"{e['started_at'][11:23]} to {e['ended_at'][11:23]} UTC"
            whose = "the desk" if e["stream"] == "desk" else f"the stream of {e['stream']}"
            return f"{whose} was down from {span}; {_affected(e)}, {e['orders_refused']} orders not taken"
        case "heartbeat":
            market = f"the market is {'open' if e['market_is_open'] else 'closed'}" if "market_is_open" in e else ""
            running = f"{e['strategies_running']} strategies run"
            return ", ".join(filter(None, (running, f"{e['orders_open']} open orders", market)))
        case "command_given":
            return _joined(e["command"], e["arguments"])
        case "broker_said":
            return _joined(f"{e['word']} ({e['source']})", e.get("message", ""), _order(e))
        case word if "client_order_id" in e and word.startswith("order_"):
            by = f"by {e['by']}" if "by" in e else ""
            new = f"{e['replaced_by']} in its place" if "replaced_by" in e else ""
            got = f"{e['filled_qty']} of {e['qty']} filled" if "filled_qty" in e and "qty" in e else ""
            what = _joined(str(e.get("side", "")), str(e.get("symbol", "")), by)
            return _joined(", ".join(word for word in (what, new, got, e.get("message", "")) if word), _order(e))
        case _:
            hidden = {"v", "seq", "index", "at", "event", "strategy_id", "user_id", "code_hash"}
            return " ".join(f"{key}={_value(value)}" for key, value in e.items() if key not in hidden)


def _asked(e: Event) -> str:
    much = e["qty"] if "qty" in e else f"${e.get('notional')} of"
    return f"{e['side']} {much} {e['symbol']} {e['order_type']}"


def _prices(e: Event) -> list[str]:
    names = [name for name in ("limit_price", "stop_price", "trail_price", "trail_percent") if name in e]
    if names == [f"{e['order_type']}_price"]:
        return [str(e[names[0]])]  # `limit 231.50`: the type has said which price
    return [f"{name.removesuffix('_price')} {e[name]}" for name in names]


def _kin(e: Event) -> str:
    if "parent_id" in e:
        return f"leg of {e['parent_id']}"
    return f"in place of {e['replaces']}" if "replaces" in e else ""


def _affected(e: Event) -> str:
    return f"affected: {', '.join(e['affected']) or 'nobody'}"


def _order(e: Event) -> str:
    return f"[{e['client_order_id']}]"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{item}" for key, item in value.items()) or "none"
    return str(value)


def _joined(*words: str) -> str:
    return " ".join(word for word in words if word.strip())
