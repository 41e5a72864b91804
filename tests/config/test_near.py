"""The nearest valid name is proposed."""

import pytest

from deskd.config.near import nearest

KEYS = ["desk.name", "sandbox.memory_mb", "sandbox.cpu", "exchange.tape"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sandbox.memroy_mb", "sandbox.memory_mb"),
        ("desk.tape", "exchange.tape"),
        ("memory_mb", "sandbox.memory_mb"),
        ("Sandbox.CPU", "sandbox.cpu"),
        ("whatever", None),
    ],
)
def test_the_nearest_name_is_found(typed: str, meant: str | None) -> None:
    """A slip of the finger, the wrong section and the wrong case are understood; nonsense gets no guess."""
    assert nearest(typed, KEYS) == meant
