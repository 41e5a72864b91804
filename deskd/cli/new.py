"""`deskctl new`: a strategy to begin with, from a template. No desk needs to run."""

import json
import os
import pwd
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import click

from deskd.cli import show
from deskd.cli.call import Call, json_option, pass_call
from deskd.cli.client import NotDone
from deskd.cli.place import strategies_dir

TEMPLATES = Path(__file__).with_name("templates")
DEFAULT = "plain"
LISTED: show.Columns = {"template": "template", "what it is": "description"}
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # as config.json takes it


@click.command()
@click.argument("name", required=False)
@click.option("--template", metavar="T", default=DEFAULT, show_default=True, help="What to begin with; --list has all.")
@click.option(
    "--user", metavar="NAME", help="The member it trades for; default: you, or where root asks, its own name."
)
@click.option(
    "--in",
    "parent",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Default: the desk's strategies.",
)
@click.option("--list", "is_list", is_flag=True, help="Only list the templates.")
@json_option
@pass_call
def new(
    call: Call, name: str | None, template: str, user: str | None, parent: Path | None, *, is_list: bool, as_json: bool
) -> None:
    """Make the strategy NAME from a template: strategy.py and config.json, in a folder of that name."""
    known = templates()
    if is_list:
        rows = [{"template": one, "description": words} for one, words in known.items()]
        if as_json:
            show.as_json(rows)
        else:
            show.table(LISTED, rows, nothing="", is_wide=True)
        return
    if name is None:
        raise click.UsageError("which NAME shall it have? --list shows the templates")
    chosen = _the_one(template, known)
    owner = user or _caller()
    if owner is not None and not _USER.fullmatch(owner):
        raise NotDone(f"{owner!r} is no member's name: letters, digits, . _ and - only, 64 at most")
    folder = made(parent or strategies_dir(call.config, os.environ), name, chosen, owner)
    files = sorted(path.name for path in folder.iterdir())
    if as_json:
        user_id = owner or name
        show.as_json(
            {"strategy_id": name, "template": chosen, "user_id": user_id, "folder": str(folder), "files": files}
        )
        return
    show.say(f"{folder}: {', '.join(files)}")
    show.say(f"edit it; deskctl check {folder} says what is wrong with it")
    show.say(f"then: deskctl {f'start {name}' if parent is None else f'deploy {folder}'}")


def templates() -> Mapping[str, str]:
    """Return every template with what it is."""
    return {
        path.name: str(json.loads((path / "config.json").read_text())["description"])
        for path in sorted(TEMPLATES.iterdir())
        if path.is_dir()
    }


def made(parent: Path, name: str, template: str, owner: str | None) -> Path:
    """Make the folder, whole or not at all; raise NotDone where there can be none of that name."""
    from deskd.supervision.discovery import check_name
    from deskd.supervision.folder import FolderError

    folder = parent / name
    try:
        check_name(name)
    except FolderError as problem:
        raise NotDone(f"{name!r}: {str(problem).replace('rename the folder', 'choose another')}") from None
    if folder.exists() or folder.is_symlink():
        raise NotDone(f"{folder}: is there already: choose another name, or remove it")
    config = json.loads((TEMPLATES / template / "config.json").read_text())
    config = ({"user_id": owner} if owner is not None else {}) | config | {"name": name}
    fresh = parent / f".new-{name}-{os.getpid()}"  # a dot in front: no desk takes it for a strategy
    try:
        fresh.mkdir(mode=0o755)
        (fresh / "strategy.py").write_text((TEMPLATES / template / "strategy.py.txt").read_text())
        (fresh / "config.json").write_text(_laid_out(config))
        _give(fresh, owner)
        fresh.rename(folder)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        remedy = f"make it where you may write (deskctl new {name} --in DIR), and deploy it from there"
        raise NotDone(f"{parent}: cannot be written ({error.strerror}): {remedy}") from None
    return folder


def _laid_out(config: Mapping[str, object]) -> str:
    """Return the configuration as people write it: a key a line, with its value behind it."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in config.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _give(folder: Path, owner: str | None) -> None:
    """Let the member edit it, where root makes it and the member is a user of this machine."""
    if owner is None or os.geteuid() != 0:
        return
    try:
        entry = pwd.getpwnam(owner)
    except KeyError:
        return
    for path in (folder, *folder.iterdir()):
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _caller() -> str | None:
    """Return who asks; None where it is root for nobody."""
    uid = int(os.environ.get("SUDO_UID", "0")) if os.geteuid() == 0 else os.geteuid()
    if uid == 0:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _the_one(typed: str, known: Mapping[str, str]) -> str:
    begun = [one for one in known if one == typed] or [one for one in known if typed and one.startswith(typed)]
    if len(begun) == 1:
        return begun[0]
    what = f"is ambiguous: {', '.join(begun)}" if begun else f"is none: there are {', '.join(known)}"
    raise NotDone(f"template {typed!r} {what}")
