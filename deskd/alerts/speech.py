"""What desk and worker say to each other: one JSON object a line, on the worker's standard input and output.

Addresses travel on the pipe alone: never as an argument or in the environment, where others could read them.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from deskd.alerts.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """From the desk: what changed. Nothing set: look, there is something new."""

    plan: Plan | None = None
    addresses: dict[str, str] | None = None  # by route
    is_stop: bool = False  # send what is due, and end


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """From the worker: a route failed, or is well again."""

    route: str
    is_well: bool
    problem: str = ""
    failures: int = 0
    next_at: datetime | None = None
    dead: int = 0


def line(words: Told | Heard) -> bytes:
    """Return the words as one line."""
    return msgspec.json.encode(words) + b"\n"


def told(text: bytes) -> Told:
    """Return what the desk said."""
    return msgspec.json.decode(text, type=Told)


def heard(text: bytes) -> Heard:
    """Return what the worker said."""
    return msgspec.json.decode(text, type=Heard)
