"""What is derived from the code is fresh."""

from pathlib import Path

import pytest

from tools.generate_docs import generate, order_states, reason_codes

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(generate()))
def test_a_derived_file_is_what_the_code_says(name: str) -> None:
    """A change of a key, a reason, a transition or a command is seen in the documents: run `make docs`."""
    assert (ROOT / name).read_text() == generate()[name], "make docs writes it"


def test_every_reason_has_its_text() -> None:
    """A code without an explanation is no explanation."""
    rows = [line for line in reason_codes().splitlines() if line.startswith("| `")]
    assert len(rows) >= 30
    assert not [row for row in rows if row.endswith("|  |")]


def test_the_diagram_ends_every_final_state() -> None:
    """A reader sees where an order's life is over."""
    assert "denied --> [*]" in order_states()
    assert "submitted --> [*]" not in order_states()
