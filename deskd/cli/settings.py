"""Every setting, with its value and where it came from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deskd.cli import credentials
from deskd.cli.client import NotDone
from deskd.cli.place import INSTALLED, root_of
from deskd.config import Config
from deskd.config.changes import MASK, shown, values
from deskd.config.keys import read_keys
from deskd.config.leaves import leaves
from deskd.config.load import load
from deskd.config.near import nearest
from deskd.config.rules import with_absolute_paths
from deskd.domain.errors import ConfigError

type Rows = list[dict[str, str]]


def rows(file: Path, environment: Mapping[str, str], installed: Path = INSTALLED) -> Rows:
    """Return key, value, origin and default of every setting; raise ConfigError where the configuration is wrong.

    A key of a named table that nobody set is left out: it bounds nothing.
    """
    loaded = load(file, root=root_of(file), environment=environment)
    known = leaves()
    defaults = dict(values(with_absolute_paths(Config(), loaded.root)))
    found = [
        {
            "key": key,
            "value": shown(key, value),
            "from": loaded.origins[key],
            "default": shown(key, defaults.get(key)),
        }
        for key, value in values(loaded.config)
        if value is not None or key in known
    ]
    keys = _keys(file, environment, installed)
    return [
        *found,
        {"key": "(the broker's keys)", "value": keys, "from": "environment or credentials", "default": keys},
    ]


def _keys(file: Path, environment: Mapping[str, str], installed: Path) -> str:
    """Return whether the broker's keys are set: here, or where the unit has them from."""
    try:
        if read_keys(environment) or read_keys(credentials.of_unit(file, installed) or {}):
            return MASK
    except ConfigError as error:
        return str(error)
    return "not yours to see" if credentials.are_hidden(file, installed) else "not set"


def below(key: str, settings: Sequence[Mapping[str, str]]) -> Rows:
    """Return the setting of that name, or those of that section; raise NotDone with the nearest where there is none."""
    found = [dict(row) for row in settings if row["key"] == key or row["key"].startswith(f"{key}.")]
    if not found:
        keys = [row["key"] for row in settings]
        near = nearest(key, [*{name.rpartition(".")[0] for name in keys if "." in name}, *keys])
        raise NotDone(
            f"there is no key {key}; " + (f"did you mean {near}?" if near else "`deskctl config show` lists all")
        )
    return found
