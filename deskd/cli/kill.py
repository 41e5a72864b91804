"""`deskctl kill` and `deskctl release`: stop what trades, now; and let it go on, with a reason."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from deskd.cli import show
from deskd.cli.client import Desk

_DOES = {
    "reduce_only": "only orders that reduce a position pass; open orders that open one are being canceled",
    "stop_new": "no new orders; open orders that open a position are being canceled; the others and positions stay (--cancel, --flatten)",
    "cancel": "no new orders; open orders are being canceled; positions stay (--flatten)",
    "flatten": "no new orders; open orders are being canceled, then positions closed",
}


def _target_options[F: Callable[..., object]](command: F) -> F:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text."),
        click.option("--reason", metavar="TEXT", required=True, help="Why; it goes into the ledger."),
        click.option("--symbol", metavar="SYM", help="Of this symbol, whoever trades it."),
        click.option("--user", metavar="NAME", help="Of every strategy of this member."),
        click.option("--strategy", metavar="NAME", help="Of this strategy."),
    ):
        command = option(command)
    return command


@click.command()
@_target_options
@click.option("--reduce-only", is_flag=True, help="Let orders pass that only reduce a position.")
@click.option("--cancel", is_flag=True, help="And cancel every open order.")
@click.option("--flatten", is_flag=True, help="And cancel every open order, and close every position.")
@click.pass_obj
def kill(
    call: Any,
    *,
    strategy: str | None,
    user: str | None,
    symbol: str | None,
    reduce_only: bool,
    cancel: bool,
    flatten: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Stop trading now: of the whole desk, or of one strategy, member or symbol. Only an officer releases it.

    Without a depth no new order passes; what is open and held stays. A kill that is in force can be pulled deeper.
    """
    if reduce_only and (cancel or flatten):
        raise click.UsageError("--reduce-only lets orders pass that --cancel and --flatten would cancel: give one")
    asked = {"cancel": cancel, "flatten": flatten, "reduce_only": reduce_only}
    body = _ask(call, "/kill", _named(strategy, user, symbol) | {"reason": reason} | asked)
    if as_json:
        show.as_json(body)
        return
    if not body["changed"]:
        show.say("it is in force already, at least so deep:")
    show.say(in_words(body["kill"]))
    show.say(_DOES[body["kill"]["depth"]])


@click.command()
@_target_options
@click.pass_obj
def release(
    call: Any, *, strategy: str | None, user: str | None, symbol: str | None, reason: str, as_json: bool
) -> None:
    """Release a kill: of the whole desk, or of one strategy, member or symbol. Officers only."""
    body = _ask(call, "/release", _named(strategy, user, symbol) | {"reason": reason})
    if as_json:
        show.as_json(body)
        return
    show.say(f"released: {in_words(body['released'])}")
    for one in body["in_force"]:
        show.say(f"still in force: {in_words(one)}")


def _ask(call: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:
    desk: Desk = call.desk()
    return desk.command(path, body).body


def _named(strategy: str | None, user: str | None, symbol: str | None) -> dict[str, Any]:
    given = {"strategy": strategy, "user": user, "symbol": symbol}
    named = {key: value for key, value in given.items() if value is not None}
    if len(named) > 1:
        raise click.UsageError("give one of --strategy, --user and --symbol: each is a kill of its own")
    return named


def in_words(kill: Mapping[str, Any]) -> str:
    """Return a kill in force as one line."""
    what = kill["scope"] if kill["name"] is None else f"{kill['scope']} {kill['name']}"
    since = show.cell("since_at", kill["since"])
    text = f"KILL {what}: {kill['depth']} since {since}, by {kill['by']} ({kill['cause']}): {kill['reason']}"
    if kill["flat_at"] is not None:
        text += f"; flat since {show.cell('flat_at', kill['flat_at'])}"
    return text


def tell_kills(kills: list[dict[str, Any]]) -> None:
    """Print what is in force, loudly: it is why nothing is traded."""
    for kill in kills:
        show.say(f"*** {in_words(kill)}")
        for line in kill["left"]:
            show.say(f"***   left: {line}")
    if kills:
        print("***   when you know why: deskctl release [--strategy NAME|--user NAME|--symbol SYM] --reason TEXT\n")
