"""`deskctl jail test`: attack a jail, and say of every wall whether it stands."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import DeskNotReachable, NotDone
from deskd.cli.verbs import Verbs

A_WALL_IS_MISSING = 1  # exit code
WALLS: show.Columns = {"wall": "wall", "tried": "probe", "": "result", "got": "found"}
MISSING: show.Columns = {"missing wall": "wall", "protects": "protects", "remedy": "remedy"}


@click.group(cls=Verbs)
def jail() -> None:
    """Look after the jails that strategies run in."""


@jail.command()
@json_option
@pass_call
def test(call: Call, *, as_json: bool) -> None:
    """Try some sixty attacks in a jail of the desk's own; exit 1 where a wall is missing. Takes some seconds.

    The desk does the same at every start, but for its order socket and its log. Where none runs, this user tries them
    with the desk's configuration, and those two are not tried.
    """
    try:
        rows = call.desk().command("/jail/test", {}).body["probes"]
        where = "in the running desk"
    except DeskNotReachable:
        rows, where = tested_here(call.config), "by this user: no desk runs"
    if as_json:
        show.as_json(rows)
    else:
        tell(rows, where)
    if any(row["result"] == "missing" for row in rows):
        sys.exit(A_WALL_IS_MISSING)


def tell(rows: Sequence[Mapping[str, str]], where: str) -> None:
    """Print the tables for people."""
    show.table(WALLS, rows, nothing="")
    missing = {row["wall"]: row for row in rows if row["result"] == "missing"}
    weaker = sorted({row["wall"] for row in rows if row["result"] == "weaker"})
    print(f"\n{len(rows)} probes {where}; walls missing: {len(missing)}")
    if weaker:
        print(f"weaker, for strategies share one uid: {', '.join(weaker)}; run the desk as root or see deskd.service")
    if missing:
        print()
        show.table(MISSING, list(missing.values()), nothing="")


def tested_here(config: Path | None) -> list[dict[str, str]]:
    """Return the rows of a test in a process of this user's; raise NotDone where no jail comes up."""
    from deskd.cli.place import config_file, root_of
    from deskd.config.load import load
    from deskd.domain.errors import SandboxUnavailable
    from deskd.supervision.self_test import test_here

    file = config_file(config)
    settings = load(file, root=root_of(file), environment=os.environ).config
    try:
        return [row.as_dict() for row in test_here(settings.sandbox, settings.desk.state_dir)]
    except SandboxUnavailable as error:
        raise NotDone(str(error)) from error
