"""Reads desk.toml and the environment into one frozen Config, or names everything that is wrong with them.

Rule 1: all problems at once, a line each: place, key, what is wrong, what is allowed, the nearest valid key.
Rule 2: the environment wins over the file, the command line over both; whoever set a value is known (`origins`).
Rule 3: a secret in the file is an error, and its value is never shown.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, time
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import InitSettingsSource

from deskd.config import rules
from deskd.config.environment import Variables, keys_of, misspelt
from deskd.config.keys import HOME_OF_KEYS
from deskd.config.leaves import Leaf, Section, leaves, named_tables
from deskd.config.locate import KeyPath, Place, locate
from deskd.config.near import nearest
from deskd.config.plain import is_plain
from deskd.config.settings import Config
from deskd.domain.errors import ConfigError

FILE_BYTES_MAX = 262_144  # the shipped file has some 10,000
SYNTAX_PROBLEMS_MAX = 10
DEFAULT = "default"

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_SECRET_NAME = re.compile(r"api_?key|secret|token|password|passphrase|credential|key_?id|^keys?$|apca", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"[PAC]K[A-Z0-9]{16,24}|[A-Za-z0-9/+]{40}|[A-Za-z0-9]{43,44}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # of a strategy, or of a member
_SHOWN_MAX = 60
_FORMER = {"notifications": "notify"}  # sections by the name that they had first
_VARIABLE_MAX = 1_000  # a longer text is no number and no path; lists may be longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings, with every path absolute, and where each of them came from."""

    config: Config
    file: Path | None
    root: Path
    origins: Mapping[str, str]  # by dotted key: `etc/desk.toml:12`, the variable's name, the option, or `default`


def load(
    file: Path | None,
    *,
    root: Path,
    environment: Mapping[str, str],
    options: Mapping[str, tuple[str, object]] | None = None,
) -> Loaded:
    """Return the settings, or raise ConfigError with every problem.

    *root* is what relative paths start from. *options*: by dotted key, the command line's option and its value.
    """
    reading = _Reading(name=str(file) if file else "")
    if file is not None:
        reading.read_file(file)
    reading.read_environment(environment)
    for key, (option, value) in (options or {}).items():
        reading.take(key, value, option, into=reading.options)
    config = reading.validate()
    reading.check(config, root)
    if reading.problems:
        raise ConfigError("\n".join(problem.text for problem in sorted(reading.problems, key=lambda p: p.order)))
    return Loaded(config=rules.with_absolute_paths(config, root), file=file, root=root, origins=reading.origins())


@dataclass(frozen=True, slots=True)
class _Problem:
    order: tuple[int, Place]  # those of the file first, as they stand in it
    text: str


@dataclass(slots=True, kw_only=True)
class _Reading:
    name: str
    known: dict[str, Leaf] = field(default_factory=leaves)  # and those under names that the file gives
    named: Mapping[str, Section] = field(default_factory=named_tables)
    options: dict[str, object] = field(default_factory=dict)  # these, and all that follow, by dotted key
    texts: dict[str, str] = field(default_factory=dict)  # of the environment
    in_file: dict[str, object] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # who set the key last, for `origins`
    places: dict[str, Place] = field(default_factory=dict)  # of those that the file set last
    wrong: set[str] = field(default_factory=set)  # these have been named already, and count as not set
    problems: list[_Problem] = field(default_factory=list)

    # --- the file -------------------------------------------------------------------------------------------------

    def read_file(self, file: Path) -> None:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}; name another file with --config") from error
        if len(data) > FILE_BYTES_MAX:
            raise ConfigError(f"{file}: has {len(data)} bytes, a configuration has at most {FILE_BYTES_MAX}")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            column = error.start - data.rfind(b"\n", 0, error.start)
            raise ConfigError(f"{file}:{line}:{column}: is not UTF-8 text; save the file as UTF-8") from error
        text = text.replace("\r\n", "\n")
        text, tables = self._parse(text)
        places = locate(text)
        self._walk(tables, (), places)

    def _parse(self, text: str) -> tuple[str, dict[str, Any]]:
        """Return what can be read, each line that is not TOML noted as a problem and blanked."""
        for _ in range(SYNTAX_PROBLEMS_MAX):
            try:
                return text, tomllib.loads(text)
            except (ValueError, RecursionError) as error:  # TOMLDecodeError, and numerals and nestings without bounds
                message = str(error)
            at = _AT.search(message)
            lines = text.split("\n")
            if at is None:  # a numeral or a nesting without bounds: in the longest line
                number, column, wrong = lines.index(max(lines, key=len)) + 1, 1, "a value beyond all bounds"
            else:
                number, column = (int(at[1]), int(at[2])) if at[1] else (len(lines), len(lines[-1]) + 1)
                wrong = message[: at.start()]
            self._note(
                Place(number, column),
                "",
                f'not TOML: {wrong[:1].lower()}{wrong[1:]}; write KEY = VALUE, text in "quotes"',
            )
            line = lines[number - 1]
            if line.lstrip().startswith("[") or _is_toml(line):
                break  # what is wrong began further up: what follows would only be its echo
            lines[number - 1] = ""
            text = "\n".join(lines)
        raise ConfigError("\n".join(problem.text for problem in self.problems))

    def _walk(self, table: Mapping[str, Any], path: KeyPath, places: Mapping[KeyPath, Place]) -> None:
        for name, value in table.items():
            here = (*path, name)
            key, place = ".".join(here), places[here] if here in places else _first_below(here, places)
            if ".".join(path) in self.named and isinstance(value, dict) and _NAME.fullmatch(name):
                leaf_of = {f"{key}.{leaf.name}": leaf for leaf in self.named[".".join(path)].leaves}
                self.known |= {k: replace(leaf, section=key) for k, leaf in leaf_of.items()}
            if self._is_secret(key, name, value):
                self._note(
                    place, key, f"a secret does not belong into this file (it is not shown here): {HOME_OF_KEYS}"
                )
            elif key in self.known and "." not in name:
                taken = str(value) if isinstance(value, date | time) else value  # a time needs no quotes here
                self.take(key, taken, f"{self.name}:{place.line}", into=self.in_file, place=place)
            elif self._is_section(key) and "." not in name:
                if isinstance(value, dict):
                    self._walk(value, here, places)
                else:
                    self._note(place, key, f"is a section: write [{key}] on a line of its own, its keys below")
            elif isinstance(value, dict) and any(self._is_secret(f"{key}.{n}", n, v) for n, v in value.items()):
                self._walk(value, here, places)
            else:
                self._note(place, key, self._unknown(key, is_section=isinstance(value, dict)))

    def _is_section(self, key: str) -> bool:
        return key in self.named or any(known.startswith(f"{key}.") for known in self.known)

    def _is_secret(self, key: str, name: str, value: object) -> bool:
        if isinstance(value, dict):
            return False
        leaf = self.known.get(key)
        if leaf is None and _SECRET_NAME.search(name):
            return True
        is_path = leaf is not None and leaf.kind is Path  # a long path may look like a secret
        return isinstance(value, str) and not is_path and _SECRET_VALUE.fullmatch(value) is not None

    def _unknown(self, key: str, *, is_section: bool) -> str:
        if is_section:
            names = sorted({leaf.section for leaf in self.known.values()})
            near = _FORMER.get(key) or nearest(key, names)
            return "no such section; " + (f"did you mean [{near}]?" if near else "there are: " + ", ".join(names))
        near = nearest(key, self.known)
        if near:
            return f"no such key; did you mean {near}?"
        section = key.rpartition(".")[0]
        names = [leaf.name for leaf in self.known.values() if leaf.section == section]
        return "no such key; " + (f"[{section}] has: {', '.join(names)}" if names else "keys stand below a [section]")

    # --- the environment ------------------------------------------------------------------------------------------

    def read_environment(self, environment: Mapping[str, str]) -> None:
        for key, text, name in keys_of(environment, self.known):
            is_bounded = len(text) <= _VARIABLE_MAX or self.known[key].kind is tuple
            self.take(key, text if is_bounded else "\0", name, into=self.texts)
        for problem in misspelt(environment, self.known):
            self._note(None, "", problem)

    def take[V](self, key: str, value: V, source: str, *, into: dict[str, V], place: Place | None = None) -> None:
        self.sources[key] = source
        self.places.pop(key, None)
        if place is not None:
            self.places[key] = place
        if is_plain(value):
            into[key] = value
        else:
            self.wrong.add(key)
            self._note(place, key, "has control characters, or is beyond all bounds; write plain text or numbers")

    # --- checks ---------------------------------------------------------------------------------------------------

    def validate(self) -> Config:
        """Return the settings; where a value is wrong note it and take the default, so that all else is checked."""
        for _ in range(2):
            sources = (  # the first that has a key wins
                InitSettingsSource(Config, _nested(self._good(self.options))),
                Variables(self._good(self.texts)),
                InitSettingsSource(Config, _nested(self._good(self.in_file))),
            )
            try:
                return Config(_build_sources=(sources, {}))
            except ValidationError as error:
                for detail in error.errors(include_url=False, include_context=False):
                    key = self._key_at(detail["loc"])
                    if key not in self.wrong:
                        self.wrong.add(key)
                        self._note_value(key, detail["input"])
        raise AssertionError("the defaults do not hold")

    def _good[V](self, values: Mapping[str, V]) -> dict[str, V]:
        return {key: value for key, value in values.items() if key not in self.wrong}

    def _key_at(self, location: tuple[int | str, ...]) -> str:
        for length in range(len(location), 0, -1):
            key = ".".join(str(part) for part in location[:length])
            if key in self.known:
                return key
        raise AssertionError(f"no key at {location}")

    def _note_value(self, key: str, value: object) -> None:
        leaf = self.known[key]
        near = nearest(str(value), leaf.choices) if leaf.choices else None
        hint = f'; did you mean "{near}"?' if near else ""
        self._note(self.places.get(key), key, f"is {_shown(value)}; allowed: {leaf.allowed}{hint}")

    def check(self, config: Config, root: Path) -> None:
        """Note what is wrong between keys; a key whose own value is wrong has been named already."""
        for key, text in rules.broken(config, root):
            if key not in self.wrong:
                self._note(self.places.get(key), key, text)

    def origins(self) -> dict[str, str]:
        return {key: self.sources.get(key, DEFAULT) for key in self.known}

    def _note(self, place: Place | None, key: str, text: str) -> None:
        if place is None:
            source = self.sources.get(key, "")
            front = f"{source}: " if source and source != self.name else ""
            order = (1, Place(0, 0))
        else:
            front, order = f"{self.name}:{place.line}:{place.column}: ", (0, place)
        self.problems.append(_Problem(order, f"{front}{key}{': ' if key else ''}{text}"))


def _is_toml(line: str) -> bool:
    try:
        tomllib.loads(line)
    except (ValueError, RecursionError):
        return False
    return bool(line.strip())


def _first_below(path: KeyPath, places: Mapping[KeyPath, Place]) -> Place:
    """Return where a table that has no header of its own begins: `a.b = 1` and `[a.b]` make `a`."""
    return min((p for known, p in places.items() if known[: len(path)] == path), default=Place(1, 1))


def _nested(values: Mapping[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *tables, name = key.split(".")
        table = tree
        for part in tables:
            table = table.setdefault(part, {})
        table[name] = value
    return tree


def _shown(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text, kind = json.dumps(value, ensure_ascii=False), "text"
        case list():
            text, kind = json.dumps(value, default=str), "a list"
        case dict():
            text, kind = "{…}", "a table"
        case _:
            return str(value)
    return f"{text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + '…'} ({kind})"
