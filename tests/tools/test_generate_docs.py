"""What is derived from the code is fresh."""

import json
from pathlib import Path
from typing import Any

import pytest

from deskd.wire.event_line import DeskEvent, encode
from tests.wire.test_drop_copy import derived, one_of_each
from tools.generate_docs import events, events_schema, generate, order_states

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(generate()))
def test_a_derived_file_is_what_the_code_says(name: str) -> None:
    """A change of a key, a reason, a transition or a command is seen in the documents: run `make docs`."""
    assert (ROOT / name).read_text() == generate()[name], "make docs writes it"


def test_every_reason_has_its_text() -> None:
    """A code without an explanation is no explanation."""
    rows = [line for line in generate()["docs/reference/reason-codes.md"].splitlines() if line.startswith("| `")]
    assert len(rows) >= 30
    assert not [row for row in rows if "|  |" in row]


def test_every_event_tells_when_it_happens() -> None:
    """A reader of the drop copy acts on it: each event says what it means."""
    rows = [line.split(" | ") for line in events().splitlines() if line.startswith("| `")]
    told = [row for row in rows if len(row) == len(["event", "happens", "shown", "fields", "facts"])]
    assert len(told) == len(DeskEvent)
    assert not [row for row in told if not row[1].strip()]


def test_the_diagram_ends_every_final_state() -> None:
    """A reader sees where an order's life is over."""
    assert "denied --> [*]" in order_states()
    assert "submitted --> [*]" not in order_states()


def test_every_event_is_as_its_schema_says() -> None:
    """A reader that validates refuses nothing that the desk sends."""
    schemas: dict[str, Any] = {schema["title"]: schema for schema in events_schema()["oneOf"]}  # type: ignore[attr-defined]
    kinds = {"integer": int, "string": str, "number": float, "boolean": bool, "array": list, "object": dict}
    for line in derived(*one_of_each()):
        event = json.loads(encode(line))
        schema = schemas[event["event"]]
        assert set(schema["required"]) <= set(event) <= set(schema["properties"])
        for name, value in event.items():
            rule = schema["properties"][name]
            assert value == rule["const"] if "const" in rule else isinstance(value, kinds[rule["type"]]), name
