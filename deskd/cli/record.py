"""`deskd record`: a span of the real market as a tape for the embedded exchange, `deskctl run` and `deskctl backtest`."""

import os
import re
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from deskd.alpaca.endpoints import Keys, endpoints
from deskd.alpaca.recording import Recorder, Wanted
from deskd.cli import credentials
from deskd.cli.place import config_file, root_of
from deskd.config.keys import HOME_OF_KEYS, read_keys
from deskd.config.load import load
from deskd.domain.errors import ConfigError
from deskd.domain.ids import SYMBOL
from deskd.venue.settings import EMBEDDED_KEY

KINDS = ("trades", "quotes", "bars")
SYMBOLS_MAX = 100
_NEW_YORK = ZoneInfo("America/New_York")
_HHMM = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")


@click.command()
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL...")
@click.option("--day", metavar="YYYY-MM-DD", required=True, help="The market day, of New York.")
@click.option("--from", "since", metavar="HH:MM", default="04:00", show_default=True, help="Of New York, that day.")
@click.option("--to", "until", metavar="HH:MM", default="20:00", show_default=True, help="Of New York, that day.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="May be repeated; default: all three.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Where the files go.")
@click.option("--feed", type=click.Choice(["iex", "sip"]), help="Default: [market] feed.")
@click.option("--url", metavar="URL", help="Another market-data REST, as of `deskd exchange`; default: [broker]'s.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Default: the checkout's etc/desk.toml, else /etc/deskd/desk.toml.",
)
def record(
    symbols: tuple[str, ...],
    *,
    day: str,
    since: str,
    until: str,
    kinds: tuple[str, ...],
    out: Path,
    feed: str | None,
    url: str | None,
    config: Path | None,
) -> None:
    """Write what the market did on a DAY into FOLDER, as a tape: trades.csv.gz, quotes.csv.gz and bars.csv.gz.

    It is asked of the broker's history, so a running desk loses nothing by it, and needs the broker's keys. Then:
    `deskd exchange --tape FOLDER`, `deskctl backtest DIR --tape FOLDER`. A whole day of a busy symbol's quotes takes
    many minutes: the broker answers 200 requests a minute, of 10000 rows each.
    """
    named = _symbols(symbols)
    start, end = _span(day, since, until)
    chosen = [kind for kind in KINDS if kind in (kinds or KINDS)]
    _not_there(out, chosen)
    address, keys, wanted_feed = _broker(config, url, feed)
    wanted = Wanted(symbols=named, kinds=chosen, since=start, until=end, feed=wanted_feed)
    try:
        found: list[str] = []
        for written in Recorder(url=address, keys=keys).record(wanted, out):
            if written.rows:
                click.echo(f"{written.path}: {written.rows} rows of {', '.join(written.symbols)}")
                found += written.symbols
            else:
                click.echo(f"{written.kind}: the broker has none: no file", err=True)
    except OSError as error:
        raise click.ClickException(str(error)) from None
    if missing := set(named) - set(found):
        text = f"nothing of {', '.join(sorted(missing))} on {day}"
        raise click.ClickException(f"{text}: was it a market day, and are these its symbols of that day?")


def _symbols(given: tuple[str, ...]) -> list[str]:
    found = sorted({one for text in given for one in text.upper().split(",") if one})
    for one in found:
        if not SYMBOL.fullmatch(one):
            raise click.UsageError(f"{one!r} is no symbol; write them as in: SPY AAPL BRK.B")
    if not 1 <= len(found) <= SYMBOLS_MAX:
        raise click.UsageError(f"{len(found)} symbols; give 1 to {SYMBOLS_MAX}")
    return found


def _span(day: str, since: str, until: str) -> tuple[datetime, datetime]:
    try:
        on = date.fromisoformat(day)
    except ValueError:
        raise click.UsageError(f"--day: {day!r} is no date; write it as 2026-11-20") from None

    def at(option: str, text: str) -> datetime:
        if not _HHMM.fullmatch(text):
            raise click.UsageError(f"{option}: {text!r} is no time; write it as 09:30")
        if text == "24:00":
            return datetime.combine(on + timedelta(days=1), time(), _NEW_YORK)
        return datetime.combine(on, time.fromisoformat(text), _NEW_YORK)

    start, end = at("--from", since), at("--to", until)
    if start >= end:
        raise click.UsageError(f"--from {since} is not before --to {until}")
    return start, end


def _not_there(out: Path, kinds: list[str]) -> None:
    for kind in kinds:
        if (file := out / f"{kind}.csv.gz").exists():
            raise click.ClickException(f"{file} is there already: name another folder, or remove it")


def _broker(config: Path | None, url: str | None, feed: str | None) -> tuple[str, Keys, str]:
    file = config_file(config).absolute()
    settings = load(file, root=root_of(file), environment=os.environ).config
    chosen = feed or ("sip" if settings.market.feed == "delayed_sip" else settings.market.feed)
    if url is None and settings.broker.mode == "embedded":
        text = "broker.mode is embedded, whose market is a tape already"
        raise ConfigError(f'{text}: set broker.mode = "alpaca", or name a market-data REST with --url')
    if url is not None:
        section = settings.broker.model_copy(update={"mode": "alpaca", "paper": True, "data_url": url})
    else:
        section = settings.broker
    address = endpoints(section, chosen).data
    found = read_keys(os.environ)
    if found is None and (unit := credentials.of_unit(file)) is not None:
        found = read_keys(unit)
    if found is None and url is not None:
        return address, Keys(EMBEDDED_KEY, EMBEDDED_KEY), chosen
    if found is None:
        raise ConfigError(f"no keys in this environment: {HOME_OF_KEYS}")
    return address, Keys(found.key_id, found.secret_key), chosen
