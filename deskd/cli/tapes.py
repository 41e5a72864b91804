"""What `deskctl run` and `deskctl backtest` share: which tape, which settings, and how a strategy's own words are shown."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from deskd.cli.client import NotDone
from deskd.cli.place import NoConfiguration, config_file, root_of
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.shown import one_line


def tape_options[F: Callable[..., object]](command: F) -> F:
    """Give *command* the strategy's folder, the tape, and what is common to both."""
    tape = 'A file or folder of recorded data, or "synthetic"; may be repeated, and further ones follow bare.'
    folder = click.Path(path_type=Path, exists=True, file_okay=False)
    for option in (
        click.option("--cash", metavar="DOLLARS", help="What the strategy trades with; default: its allocation."),
        click.option("--fills", type=click.Choice(["paper", "immediate"]), help="How the exchange fills orders."),
        click.option("--start", metavar="TIME", help="First market time to play: HH:MM in New York, or RFC 3339."),
        click.option("--seed", type=int, metavar="N", help="Of the synthetic market and of partial fills."),
        click.option("--without-jail", is_flag=True, help="Run it as yourself: where no jail can be made for you."),
        click.option("--tape", multiple=True, required=True, metavar="PATH", help=tape),
        click.argument("more_tape", nargs=-1, metavar="[PATH...]"),
        click.argument("folder", type=folder, metavar="DIR"),
    ):
        command = option(command)
    return command


def settings_for(named: Path | None, tape: tuple[str, ...], given: Mapping[str, object]) -> Any:
    """Return the configured desk's settings, with that tape; raise ConfigError for whatever is wrong with them.

    Who may not read the installed desk's file, and named none, goes by the defaults, and is told so.
    """
    from deskd.config.load import load

    here = Path.cwd()
    given = dict(given)
    is_without_jail = given.pop("without_jail", False)
    options: dict[str, tuple[str, object]] = {
        f"exchange.{name}": (f"--{name}", value) for name, value in given.items() if value is not None
    }
    if is_without_jail:
        options["sandbox.unsafe_without_jail"] = ("--without-jail", True)
    options["exchange.tape"] = ("--tape", [entry if entry == "synthetic" else str(here / entry) for entry in tape])
    options["broker.mode"] = ("deskctl", "embedded")
    options["broker.paper"] = ("deskctl", True)
    file = _readable(named)
    root = here if file is None else root_of(file)
    return load(file, root=root, environment=dict(os.environ), options=options).config


def without_jails(why: SandboxUnavailable) -> NotDone:
    """Return how to look at one's own strategy where no jail can be made: by what one may do oneself."""
    return NotDone(f"{why}; or --without-jail: the strategy runs as you, and can do what you can")


def _readable(named: Path | None) -> Path | None:
    try:
        file = config_file(named)
    except NoConfiguration:
        file = None
    if named is None and file is not None and not os.access(file, os.R_OK):
        click.echo(f"deskctl: {file} is not yours to read: limits are the defaults, not the desk's", err=True)
        return None
    return file


def cash_of(text: str | None) -> Any:
    """Return the amount; end with wrong usage where it is none."""
    from deskd.domain.money import parse_decimal

    if text is None:
        return None
    try:
        amount = parse_decimal(text.replace(",", ""))
    except ValueError as error:
        raise click.UsageError(f"--cash: {one_line(text)!r} {error}: give dollars, as in 25000") from None
    if amount <= 0:
        raise click.UsageError(f"--cash: {one_line(text)} is not above 0: give dollars, as in 25000")
    return amount
