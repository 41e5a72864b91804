"""Every setting, with its value and where it came from."""

from collections.abc import Mapping
from pathlib import Path

from deskd.cli.place import root_of
from deskd.config.keys import read_keys
from deskd.config.leaves import leaves
from deskd.config.load import load
from deskd.domain.errors import ConfigError
from deskd.log import MASK


def rows(file: Path, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Return key, value and origin of every setting; raise click's error where the configuration is wrong."""
    loaded = load(file, root=root_of(file), environment=environment)
    found = [
        {
            "key": key,
            "value": _shown(getattr(_section(loaded.config, leaf.section), leaf.name)),
            "from": loaded.origins[key],
        }
        for key, leaf in leaves().items()
    ]
    try:
        keys = MASK if read_keys(environment) else "not set"
    except ConfigError as error:
        keys = str(error)
    return [*found, {"key": "(the broker's keys)", "value": keys, "from": "environment or credentials"}]


def _section(config: object, dotted: str) -> object:
    for name in dotted.split("."):
        config = getattr(config, name)
    return config


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)
