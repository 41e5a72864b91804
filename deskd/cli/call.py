"""What every verb of deskctl shares: the options before it, and those that mean the same everywhere."""

import os
from dataclasses import dataclass
from pathlib import Path

import click

from deskd.cli.client import Desk
from deskd.cli.place import control_socket


@dataclass(frozen=True, slots=True)
class Call:
    """What the options before the verb say."""

    config: Path | None

    def desk(self) -> Desk:
        """Return the desk that uses the configuration."""
        return Desk(control_socket(self.config, os.environ))


pass_call = click.make_pass_decorator(Call)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
strategy_option = click.option("--strategy", metavar="NAME", help="Of this strategy only.")
limit_option = click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The newest.")
wide_option = click.option("--wide", "is_wide", is_flag=True, help="All columns, ids and sentences, however wide.")
