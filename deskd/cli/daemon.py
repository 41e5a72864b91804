"""deskd: the daemon, and the embedded exchange alone. Exit codes: 0 ended as asked, 1 failed, 78 wrong configuration."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from deskd import __version__
from deskd.cli.place import NoConfiguration, config_file, root_of
from deskd.cli.record import record
from deskd.config.keys import shown_to_nobody
from deskd.config.load import Loaded, load
from deskd.domain.errors import ConfigError, LedgerError, SandboxUnavailable

FAILED = 1
CONFIG_WRONG = os.EX_CONFIG  # 78: the unit does not restart on it (RestartPreventExitStatus=78)

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Default: the checkout's etc/desk.toml, else /etc/deskd/desk.toml.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="deskd %(version)s")
def cli() -> None:
    """Run the trading desk of a quant club, or its embedded exchange alone."""


def main() -> None:
    """Run one command; say in plain sentences why it cannot go on."""
    try:
        sys.exit(cli(prog_name="deskd", standalone_mode=True))
    except (ConfigError, NoConfiguration) as error:
        _tell_end(error, front="")
        sys.exit(CONFIG_WRONG)
    except (LedgerError, SandboxUnavailable) as error:
        _tell_end(error, front="deskd: ")
        sys.exit(FAILED)


def _tell_end(error: Exception, *, front: str) -> None:
    """Say all that is wrong, where whoever started us looks: the terminal, or systemd's journal and status."""
    from deskd import log as logs
    from deskd.secrets import Secrets

    problems = str(error).splitlines()
    journal = logs.journal_of("auto", os.environ, sys.stderr)
    voice = logs.Voice(Secrets(shown_to_nobody(os.environ)), journal)
    logs.configure(level="info", format="auto", voice=voice)
    logs.tell_end("desk_ended", problems, front=front, voice=voice)
    if "NOTIFY_SOCKET" in os.environ:
        from deskd.app.notify import Notifier

        Notifier.of(os.environ, os.getpid()).say(status=problems[0])


def market_options[F: Callable[..., object]](command: F) -> F:
    """Give *command* the options that say which market the embedded exchange plays."""
    tape = 'A file or folder of recorded data, or "synthetic"; may be repeated.'
    for option in (
        click.argument("more_tape", nargs=-1, metavar="[PATH...]"),
        click.option("--loop/--once", "loop", default=None, help="Start the tape again at its end, or stop there."),
        click.option("--fills", metavar="MODEL", help="paper or immediate."),
        click.option("--start", metavar="TIME", help="First market time to play: HH:MM in New York, or RFC 3339."),
        click.option("--seed", type=int, metavar="N", help="Of the synthetic market and of partial fills."),
        click.option("--speed", type=float, metavar="X", help="Market seconds per second; 0 is as fast as it goes."),
        click.option("--tape", multiple=True, metavar="PATH", help=tape),
    ):
        command = option(command)
    return command


@cli.command()
@config_option
@market_options
def run(config: Path | None, tape: tuple[str, ...], more_tape: tuple[str, ...], **overrides: object) -> None:
    """Run the desk in the foreground until Ctrl-C or SIGTERM.

    The other options are those of [exchange] in the configuration, for the embedded exchange of this run.
    """
    from deskd.config.keys import read_keys

    read = _reading(config, [*tape, *more_tape], overrides)
    loaded, keys = read(), read_keys(os.environ)
    from deskd import app, log  # after the configuration: a wrong one is told at once

    journal = log.journal_of(loaded.config.log.format, os.environ, sys.stderr)
    doctor = [sys.executable, "-m", "deskd.cli.deskctl", "--config", str(config_file(config).absolute())]
    doctor += ["doctor", "--brief", "--json"]
    sys.exit(app.run(loaded.config, keys=keys, read=read, journal=journal, doctor=doctor))


@cli.command()
@config_option
@click.option("--listen", metavar="HOST:PORT", help="Port 0 takes any free one.")
@market_options
@click.option("--state", type=click.Path(path_type=Path), metavar="FILE", help="Where the account is kept.")
@click.option(
    "--rate-limit", type=click.IntRange(0), default=200, show_default=True, help="Requests a minute; 0 is none."
)
@click.option("--faults", is_flag=True, hidden=True, help="Open the fault switches, for tests.")
def exchange(
    config: Path | None,
    tape: tuple[str, ...],
    more_tape: tuple[str, ...],
    rate_limit: int,
    *,
    faults: bool,
    **overrides: object,
) -> None:
    """Run the embedded exchange alone: Alpaca's REST and websockets on one port.

    When it is ready it prints one line of JSON with its address; its log goes to standard error.
    """
    loaded = _reading(config, [*tape, *more_tape], overrides)().config
    import uvloop  # after the configuration: a wrong one is told at once

    from deskd.venue.process import serve
    from deskd.venue.settings import keys_from, settings_from

    settings = settings_from(
        loaded.exchange,
        state=loaded.exchange.state,
        keys=keys_from(os.environ),
        rate_limit_per_min=rate_limit,
        faults=faults,
        log_format=loaded.log.format,
    )
    uvloop.run(serve(settings))


cli.add_command(record)


def _reading(config: Path | None, tapes: Sequence[str], overrides: Mapping[str, object]) -> Callable[[], Loaded]:
    """Return what reads the configuration, with what the command line says of [exchange]; paths start from here."""
    file, environment = config_file(config).absolute(), dict(os.environ)
    here = Path.cwd()
    given = {name: value for name, value in overrides.items() if value is not None}
    if tapes:
        given["tape"] = [entry if entry == "synthetic" else str(here / entry) for entry in tapes]
    if "state" in given:
        given["state"] = str(here / str(given["state"]))
    options = {f"exchange.{name}": (_option(name, value), value) for name, value in given.items()}
    return partial(load, file, root=root_of(file), environment=environment, options=options)


def _option(name: str, value: object) -> str:
    return "--once" if name == "loop" and value is False else f"--{name}"


if __name__ == "__main__":
    main()
