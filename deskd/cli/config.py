"""`deskctl config`: judge the configuration, show it with its origins, have the running desk read it again."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from deskd.cli import credentials, show
from deskd.cli.call import Call, json_option, pass_call, wide_option
from deskd.cli.place import config_file, root_of
from deskd.cli.verbs import Verbs
from deskd.domain.errors import ConfigError
from deskd.domain.shown import one_line, printable

REFUSED = 1
CHANGES: show.Columns = {"key": "key", "old": "old", "new": "new", "": "applies"}


@click.group(cls=Verbs)
def config() -> None:
    """Check the configuration, show it, or have the running desk read it again."""


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
@pass_call
def check(call: Call, file: Path | None, *, as_json: bool) -> None:
    """Read the whole configuration, the routes of notifications and the keys, and name everything that is wrong with them."""
    from deskd.cli.route_checks import problems_with_routes
    from deskd.config.keys import read_keys
    from deskd.config.load import load

    file = file or config_file(call.config)
    problems: list[str] = []
    try:
        config = load(file, root=root_of(file), environment=os.environ).config
    except ConfigError as error:
        problems += str(error).splitlines()
    else:
        problems += problems_with_routes(config, file, os.environ)
    for environment in (os.environ, credentials.of_unit(file) or {}):
        try:
            read_keys(environment)
        except ConfigError as error:
            problems.append(str(error))
    if as_json:
        show.as_json({"file": str(file), "good": not problems, "problems": problems})
    else:
        print(printable("\n".join(problems)) or f"{file}: good")
    if problems:
        sys.exit(REFUSED)


@config.command(name="show")
@click.argument("key", required=False)
@click.option("--changed", "is_changed", is_flag=True, help="Only what is not the default.")
@wide_option
@json_option
@pass_call
def show_(call: Call, key: str | None, *, is_changed: bool, is_wide: bool, as_json: bool) -> None:
    """Show every setting and where it comes from: file and line, variable, or default. Secrets are masked.

    KEY shows one setting, or one section with all that is below it.
    """
    from deskd.cli.settings import below, rows

    file = config_file(call.config)
    settings = rows(file, os.environ)
    if key is not None:
        settings = below(key, settings)
    if is_changed:
        settings = [row for row in settings if row["value"] != row["default"]]
    if as_json:
        show.as_json(settings)
    else:
        show.say(str(file))
        settings = [{**row, "from": row["from"].removeprefix(f"{file.parent}/")} for row in settings]
        show.table(show.SETTINGS, settings, nothing="everything is at its default", is_wide=is_wide)


@config.command()
@click.option("--dry-run", "is_dry", is_flag=True, help="Only say what would change.")
@wide_option
@json_option
@pass_call
def reload(call: Call, *, is_dry: bool, is_wide: bool, as_json: bool) -> None:
    """Have the running desk read its configuration again. A wrong file changes nothing. For officers."""
    answer = call.desk().command("/config/reload", {"dry_run": is_dry})
    if as_json:
        show.as_json(answer.body)
    else:
        _tell(answer.body, is_wide=is_wide)
        names = credentials.changed_since_start(call.desk().look("/status")["desk"], config_file(call.config))
        if names:
            show.say(f"{credentials.in_words(names)}; no reload takes it: {credentials.REMEDY}")
    if not answer.is_done:
        sys.exit(REFUSED)


def _tell(body: Mapping[str, Any], *, is_wide: bool) -> None:
    if body["problems"]:
        for problem in body["problems"]:
            print(one_line(problem))
        print("nothing was changed")
        return
    show.table(CHANGES, body["changes"], nothing=f"{body['file']}: nothing changed", is_wide=is_wide)
    for name, why in body["misfits"].items():
        show.say(f"{name} runs on under the tighter bounds, and cannot be started again: {why}")
    if body["dry_run"] and body["changes"]:
        print("this would change; nothing was changed yet")
