"""The DESKD_ variables: which of them are keys, and what their texts mean."""

import tomllib
from collections.abc import Iterator, Mapping

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from deskd.config.leaves import Leaf
from deskd.config.near import nearest
from deskd.config.plain import is_plain
from deskd.config.settings import Config

FIRST_DESK = {"DB_PATH": "desk.db_path", "PORT": "web.port"}  # names the first desk's officers know
PREFIX = "DESKD_"
_BETWEEN = "__"


class Variables(EnvSettingsSource):
    """What pydantic-settings makes of DESKD_SECTION__KEY, from the given texts by key, never from the process."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        super().__init__(Config)

    def _load_env_vars(self) -> Mapping[str, str]:
        return {variable(key).lower(): text for key, text in self._texts.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: str) -> object:  # noqa: ARG002
        """Return a list from `["IBM", "BAC"]` as well as from `IBM, BAC`; what is no list is its only item, to be refused."""
        if not value.lstrip().startswith("["):
            return [part.strip() for part in value.split(",") if part.strip()]
        try:
            found: object = tomllib.loads(f"v = {value}")["v"]
        except (ValueError, RecursionError):
            return [value]
        return found if is_plain(found) else [value]


def keys_of(environment: Mapping[str, str], known: Mapping[str, Leaf]) -> Iterator[tuple[str, str, str]]:
    """Yield key, text and the variable's name, the one that wins last."""
    for name, key in FIRST_DESK.items():
        if environment.get(name) and key in known:
            yield key, environment[name], name
    for name, text in sorted(environment.items()):
        if text and (key := _key(name)) in known:
            yield key, text, name


def misspelt(environment: Mapping[str, str], known: Mapping[str, Leaf]) -> Iterator[str]:
    """Yield a problem for each variable that was meant for the desk, and names no key. Others are left alone."""
    sections = {key.partition(".")[0] for key in known}
    for name, text in sorted(environment.items()):
        if not text or not name.startswith(PREFIX) or (key := _key(name)) in known:
            continue
        if _BETWEEN in name or key.partition("_")[0] in sections:
            near = nearest(key, known)
            hint = f"did you mean {variable(near)}?" if near else "`deskctl config show` lists all keys"
            yield f"{name}: there is no key {key}; {hint}"


def variable(key: str) -> str:
    """Return the name of the variable that overrides the key."""
    return PREFIX + key.replace(".", _BETWEEN).upper()


def _key(name: str) -> str:
    return name.removeprefix(PREFIX).lower().replace(_BETWEEN, ".") if name.startswith(PREFIX) else ""
