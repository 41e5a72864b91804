"""`deskctl deploy`, `rollback` and `versions`: which code of a strategy is in use."""

from pathlib import Path
from typing import Any

import click

from deskd.cli import show
from deskd.cli.build import TIMEOUT_S
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import NotDone, quoted

VERSIONS: show.Columns = {
    "version": "version",
    "now": "now",
    "kept (UTC)": "kept_at",
    "chosen (UTC)": "chosen_at",
    "how": "how",
    "by": "by",
}
SHOWN = 12  # of a hash: enough to name it with --to


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--as", "stage", type=click.Choice(["paused", "shadow", "active"]), help="The stage it comes into use in."
)
@click.option("--name", metavar="NAME", help="The strategy that it is a version of; default: the folder's name.")
@json_option
@pass_call
def deploy(call: Call, folder: Path, stage: str | None, name: str | None, *, as_json: bool) -> None:
    """Bring the strategy in DIR into use: checked, kept as a version, put in place at once, and started with it.

    Packages of its own are built first, where an officer deploys. What fails a check changes nothing. Without --as a known strategy keeps its stage, and a new one is active.
    """
    from deskd.supervision.folder import FolderError, read_folder

    folder = folder.resolve()
    if not (folder / "strategy.py").exists():  # before a whole home is read
        raise NotDone(f"{folder}: has no strategy.py: name the folder of one strategy")
    try:
        files, _ = read_folder(folder)
    except FolderError as problem:
        raise NotDone(f"{folder}: {problem}") from None
    sizes = [[str(path), len(content)] for path, content in files.items()]
    head = {"name": name or folder.name, "stage": stage, "files": sizes}
    answer = call.desk().upload("/deploy", head, list(files.values()), timeout_s=TIMEOUT_S)
    _tell(answer.body, as_json=as_json)


@click.command()
@click.argument("name")
@click.option("--to", metavar="VERSION", help="Which version, by the beginning of its hash; default: the one before.")
@json_option
@pass_call
def rollback(call: Call, name: str, to: str | None, *, as_json: bool) -> None:
    """Bring the version before the present one back into use; twice is back again."""
    answer = call.desk().command("/rollback", {"name": name, "to": to}, timeout_s=TIMEOUT_S)
    _tell(answer.body, as_json=as_json)


def _tell(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show.as_json(done)
        return
    now, before = done["code_hash"][:SHOWN], (done["previous"] or "nothing")[:SHOWN]
    what = f"has version {now} already" if now == before else f"version {now} is in place of {before}"
    show.say(f"{done['strategy_id']}: {what}; stage {done['stage']}, {done['status']}")
    if not done["started"]:
        show.say(f"it was not running: deskctl start {done['strategy_id']}")


@click.command()
@click.argument("name")
@json_option
@pass_call
def versions(call: Call, name: str, *, as_json: bool) -> None:
    """Show the versions of a strategy that are kept, the newest first."""
    rows = call.desk().look(f"/versions/{quoted(name)}")["versions"]
    if as_json:
        show.as_json(rows)
        return
    shown = [{**row, "version": row["code_hash"][:SHOWN], "now": "now" if row["present"] else None} for row in rows]
    show.table(VERSIONS, shown, nothing="none is kept: it was never deployed, only put into the folder")
