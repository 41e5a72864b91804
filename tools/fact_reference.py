"""The reference of facts and their schema, from the code: what a line of `deskctl audit export` may hold."""

import ast
import inspect
import json
from functools import cache
from types import ModuleType
from typing import Any

import msgspec

from deskd.domain import book, events, ids, kill, market, money, order, run
from deskd.ledger.codec import KINDS

_INTRODUCTION = """# Facts

The ledger is a list of facts: `facts(seq, at, kind, body, prev_hash, hash)` in `desk.db`. `deskctl audit export` writes one
a line, as a JSON object with these six fields; `deskctl audit rebuild` makes the ledger of such lines again, to the same
hash. `facts.schema.json` beside this page is the JSON Schema of a line.

| field | is |
| --- | --- |
| `seq` | the entry's number: 1, 2, 3, without a gap |
| `at` | when it was decided, UTC, always with six digits of a second (the body has it, too) |
| `kind` | one of the kinds below |
| `body` | the fact. Decimals are strings, times RFC 3339 |
| `prev_hash` | the hash of the entry before; 64 zeros for the first |
| `hash` | SHA-256 in hex over `prev_hash`, `seq`, `at`, `kind`, `body`, joined by one newline each, in UTF-8 |

The hash is made over the **text** of `body`, which an export holds byte by byte as it was stored. The stored form is for
ever: a kind may get new fields at its end, each with a default for the facts that were stored without it; nothing else ever
changes.

A root (`RootSigned`) is an Ed25519 signature, by `public_key`, over the UTF-8 text
`deskd ledger root\\n<market_day>\\n<seq>\\n<root>\\n<at>\\n`, with `at` as in the column above. It proves that nobody without the
desk's key made the ledger up to entry `seq`. Whoever is root on the desk's machine has the key: so the past is protected by
roots that are kept elsewhere. Copy `roots.jsonl` (or its last line) each day to where the machine cannot reach; then
`deskctl audit verify --root COPY --key ledger-key.pub` finds any change of what they cover, whoever made it.
"""


def reference(head: str) -> str:
    """Return the page."""
    lines = [head, _INTRODUCTION, "## Kinds", ""]
    for kind, fact in sorted(KINDS.items()):
        lines += [f"### `{kind}`", "", inspect.cleandoc(fact.__doc__ or ""), "", "| field | type | if absent | |"]
        lines += ["| --- | --- | --- | --- |", *_rows(fact), ""]
    lines += ["## Parts", "", "What bodies are made of."]
    for name, part in _parts():
        lines += ["", f"### `{name}`", "", part.get("description", ""), ""]
        if "enum" in part:
            lines.append("One of " + ", ".join(f"`{value}`" for value in part["enum"]) + ".")
            continue
        found = _class(name)
        lines += ["| field | type | if absent | |", "| --- | --- | --- | --- |", *_rows(found)]
    return "\n".join(lines).rstrip() + "\n"


def schema() -> str:
    """Return the JSON Schema of a line."""
    kinds, parts = _components()
    hash_ = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    line = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "One line of `deskctl audit export`: a fact of deskd's ledger",
        "type": "object",
        "properties": {
            "seq": {"type": "integer", "minimum": 1},
            "at": {"type": "string", "format": "date-time"},
            "kind": {"enum": sorted(kinds)},
            "body": {"type": "object"},
            "prev_hash": hash_,
            "hash": hash_,
        },
        "required": ["seq", "at", "kind", "body", "prev_hash", "hash"],
        "additionalProperties": False,
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": {"properties": {"body": body}}}
            for kind, body in sorted(kinds.items())
        ],
        "$defs": dict(sorted(parts.items())),
    }
    return json.dumps(line, indent=2, ensure_ascii=False) + "\n"


@cache
def _components() -> tuple[dict[str, Any], dict[str, Any]]:
    made, parts = msgspec.json.schema_components(KINDS.values(), ref_template="#/$defs/{name}")
    return dict(zip(KINDS, made, strict=True)), parts


def _parts() -> list[tuple[str, dict[str, Any]]]:
    _, parts = _components()
    return [(name, part) for name, part in sorted(parts.items()) if name not in KINDS]


_MODULES: tuple[ModuleType, ...] = (events, order, market, run, book, ids, money, kill)


def _class(name: str) -> type:
    return next(found for module in _MODULES if isinstance(found := getattr(module, name, None), type))


def _rows(fact: type) -> list[str]:
    _, parts = _components()
    part = parts[fact.__name__]
    comments = _comments(inspect.getsourcefile(fact) or "")
    lines = []
    if "prefixItems" in part:  # a tuple with names, stored as a list
        properties = dict(zip(inspect.get_annotations(fact), part["prefixItems"], strict=True))
    else:
        properties = part["properties"]
    for name, made in properties.items():
        absent = f"`{json.dumps(made['default'])}`" if "default" in made else ""
        comment = comments.get((fact.__name__, name), "")
        lines.append(f"| `{name}` | {_type(made)} | {absent} | {comment.replace('|', '&#124;')} |")
    return lines


def _type(made: dict[str, Any]) -> str:
    if "$ref" in made:
        return f"`{made['$ref'].rsplit('/', 1)[1]}`"
    if "anyOf" in made:
        return " or ".join(_type(member) for member in made["anyOf"])
    if "enum" in made:
        return " or ".join(f"`{value}`" for value in made["enum"])
    if made.get("type") == "array":
        members = made.get("prefixItems") or [made.get("items")]
        inner = ", ".join(_type(member) if isinstance(member, dict) else "any" for member in members)
        return f"list of {inner}" if "prefixItems" not in made else f"[{inner}]"
    return str(made.get("format", made.get("type", "any")))


@cache
def _comments(file: str) -> dict[tuple[str, str], str]:
    """Return the comment behind each field of each class: (class, field) -> text."""
    with open(file, encoding="utf-8") as source:  # noqa: PTH123  a path as text
        text = source.read()
    lines = text.splitlines()
    return {
        (node.name, statement.target.id): lines[statement.lineno - 1].partition("  # ")[2].strip()
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
