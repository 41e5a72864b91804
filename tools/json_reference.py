"""The reference of what deskctl prints with --json, and a JSON Schema for each command, from the code."""

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec

from deskd.cli.outputs import OUTPUTS, Output

FOLDER = "docs/reference/json"

_INTRODUCTION = """# What deskctl prints with `--json`

Every command that takes `--json` prints one JSON value on standard output (those marked *lines*: one a line), in the form
below. Each form has its JSON Schema in [json/](json/), for whoever validates or generates code.

- Stable: names and meanings stay. Fields are added, so pass over what you do not know.
- Money, prices and quantities are decimals **as text**: read them as decimals, never as floats. Instants are RFC 3339, UTC.
- Decimals have at most nine places. What has more is rounded to nine, half to even: a mean price, and money that rests on
  one. Quantities and prices of orders have no more, and prices of fills are never rounded: sums of them are exact.
- A field marked *may lack* is left out where it says nothing; one that may be `null` is always there.
- Exit codes are those without `--json`: 0 done, 1 refused or failed, 2 usage, 3 desk not reachable. What is printed with 1
  says of each thing what became of it. Where nothing was done at all there is nothing on standard output, and one sentence
  on standard error.
- No text steers a terminal: control characters are escaped as JSON does it.
"""


def reference(head: str) -> str:
    """Return the page."""
    lines = [head, _INTRODUCTION, "| command | prints | schema |", "| --- | --- | --- |"]
    for command, outputs in sorted(OUTPUTS.items()):
        for output in outputs:
            form = f"{command} {output.form}".strip()
            kind = _link(_schema_of(output.type)) + (", lines" if output.is_each_line else "")
            lines.append(f"| `deskctl {form}` | {kind} | [{_file(command)}](json/{_file(command)}) |")
    _, parts = _components()
    for name, part in sorted(parts.items()):
        lines += ["", f"## {name}", "", part.get("description", "")]
        if "properties" in part:
            lines += ["", "| field | type | means |", "| --- | --- | --- |"]
            required = part.get("required", ())
            for field, made in part["properties"].items():
                lacks = "" if field in required else ", may lack"
                lines.append(f"| `{field}` | {_type(made)}{lacks} | {_cell(made.get('description', ''))} |")
        elif "enum" in part:
            lines += ["", "One of " + ", ".join(f"`{word}`" for word in part["enum"]) + "."]
    return "\n".join(lines) + "\n"


def schemas() -> Iterator[tuple[str, str]]:
    """Yield each command's file, and its text."""
    for command, outputs in OUTPUTS.items():
        yield f"{FOLDER}/{_file(command)}", json.dumps(schema(command, *outputs), indent=1, ensure_ascii=False) + "\n"


def schema(command: str, *outputs: Output) -> dict[str, Any]:
    """Return the JSON Schema of what the command prints."""
    made = [_schema_of(output.type) for output in outputs]
    what = "One line of" if outputs[0].is_each_line else "Of"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{what} `deskctl {command} --json`",
        **(made[0] if len(made) == 1 else {"anyOf": made}),
        "$defs": {name: _components()[1][name] for name in sorted(_needed(made))},
    }


def _file(command: str) -> str:
    return f"{command.replace(' ', '-')}.schema.json"


@cache
def _components() -> tuple[Mapping[object, Any], dict[str, Any]]:
    types = list(dict.fromkeys(output.type for outputs in OUTPUTS.values() for output in outputs))
    made, parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    for name, part in parts.items():
        part["description"] = _doc(name)
        if "properties" in part:
            order = list(inspect.get_annotations(_classes()[name])) or list(part["properties"])
            part["properties"] = dict(sorted(part["properties"].items(), key=lambda one: _place(order, one[0])))
        for field, words in _words(name).items():
            if field in part.get("properties", ()):
                part["properties"][field] = {"description": words} | _without_words(part["properties"][field])
    return dict(zip(types, made, strict=True)), parts


def _place(order: list[str], field: str) -> int:
    return order.index(field) if field in order else -1  # of the class that it adds to


def _without_words(made: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in made.items() if key != "description"}


def _schema_of(kind: object) -> dict[str, Any]:
    found: dict[str, Any] = _components()[0][kind]
    return found


def _needed(made: Any) -> set[str]:
    """Return the names of all parts that it refers to, and of theirs."""
    todo, found = list(_references(made)), set[str]()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _references(_components()[1][name])
    return found


def _references(made: Any) -> Iterator[str]:
    match made:
        case {"$ref": str(reference)}:
            yield reference.rpartition("/")[2]
        case dict():
            for value in made.values():
                yield from _references(value)
        case list():
            for value in made:
                yield from _references(value)
        case _:
            pass


# --- words ------------------------------------------------------------------------------------------------------------


@cache
def _classes() -> Mapping[str, type]:
    """Return every class that a part may be made of, by its name."""
    found: dict[str, type] = {}
    todo: list[Any] = [output.type for outputs in OUTPUTS.values() for output in outputs]
    while todo:
        kind = todo.pop()
        if isinstance(kind, type) and kind.__name__ not in found and kind.__module__.startswith("deskd."):
            found[kind.__name__] = kind
            todo += inspect.get_annotations(kind, eval_str=True).values()
            todo += getattr(kind, "__orig_bases__", kind.__bases__)
        todo += get_args(kind)
    return found


def _doc(name: str) -> str:
    return inspect.cleandoc(_classes()[name].__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _words(name: str) -> dict[str, str]:
    """Return the comment behind each field of a class, and of those that it adds to."""
    kind = _classes()[name]
    found: dict[str, str] = {}
    for above in getattr(kind, "__orig_bases__", kind.__bases__):
        if getattr(above, "__name__", "") in _classes():
            found |= _words(above.__name__)
    return found | {field: words for (owner, field), words in _comments(_source(kind)).items() if owner == name}


def _source(kind: type) -> str:
    return str(sys.modules[kind.__module__].__file__)


@cache
def _comments(file: str) -> dict[tuple[str, str], str]:
    source = Path(file).read_text()
    lines = source.splitlines()
    return {
        (node.name, line.target.id): words
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        if (words := lines[(line.end_lineno or line.lineno) - 1].partition("  # ")[2].strip())
    }


def _cell(text: str) -> str:
    return text.replace("|", "&#124;")


def _type(made: Mapping[str, Any]) -> str:
    """Return the type as people read it."""
    match made:
        case {"$ref": str()}:
            return _link(made)
        case {"anyOf": [*kinds]}:
            return " or ".join(_type(kind) for kind in kinds)
        case {"enum": [*words]}:
            return ", ".join(f"`{json.dumps(word) if word is None else word}`" for word in words)
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": dict(items)}:
            return f"object of {_type(items)}"
        case {"format": "date-time"}:
            return "instant"
        case {"format": "date"}:
            return "day"
        case {"format": "decimal"} | {"type": "string", "pattern": str()}:
            return "decimal"
        case {"type": "null"}:
            return "`null`"
        case {"type": kind}:
            return str(kind)
        case _:
            return "anything"


def _link(made: Mapping[str, Any]) -> str:
    match made:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case _:
            return _type(made)
