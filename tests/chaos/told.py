"""What strategies were told, as their diaries have it: of each run the beginning, for a killed desk loses the end."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ENDED = frozenset({"filled", "canceled", "expired", "rejected", "denied", "replaced"})

# What the order door answers where no order came to be.
REFUSED = frozenset({"INVALID", "RATE", "DESK_NOT_READY", "TRADE_STREAM_DOWN", "OVERLOADED", "TOO_LARGE", "NOT_FOUND"})
NOT_REPLACED = frozenset({"ORDER_FINAL", "NOT_REPLACEABLE"})  # told as denied, and no order either


def refused(lines: Sequence[dict[str, Any]]) -> dict[str, tuple[set[str], str]]:
    """Return the orders of which every answer is known, and was that there is none: reasons, and until when we know."""
    fates: dict[str, set[str]] = defaultdict(set)
    waits: Counter[str] = Counter()  # asked, and killed before there was an answer to write down
    asked_by: dict[str, str] = {}
    known_until: dict[str, str] = {}  # by run: what it wrote last of what was kept
    for line in lines:
        known_until[line["run"]] = line["at"]
        if line["what"] == "asked":
            waits[line["id"]] += 1
        elif line["what"] == "answer":
            is_no = line["status"] == "error" or line["reason"] in NOT_REPLACED
            fates[line["id"]].add(line["reason"] if is_no else "taken")
            waits[line["id"]] -= 1
            asked_by[line["id"]] = line["run"]
        elif line["what"] == "no_answer":
            fates[line["id"]].add("unknown")
    for oid in (oid for oid, count in waits.items() if count > 0):
        fates[oid].add("unknown")
    return {
        oid: (reasons, known_until[asked_by[oid]])
        for oid, reasons in fates.items()
        if reasons <= REFUSED | NOT_REPLACED
    }


def end_told(line: dict[str, Any]) -> str | None:
    """Return the end of an order that the line tells of."""
    key = {"line": "status", "order_seen": "status", "answer": "order_status"}.get(line["what"])
    status = line[key] if key is not None else None
    return status if status in ENDED else None


@dataclass(frozen=True, slots=True)
class Told:
    """How much strategies were told, and wrote down."""

    runs: int
    answers: int
    refused: int  # orders of which every answer is a refusal at the door
    fills: int
    ends: int

    @classmethod
    def of(cls, said: Mapping[str, Sequence[dict[str, Any]]]) -> "Told":
        """Count what is in the diaries."""
        lines = [line for diary in said.values() for line in diary]
        return cls(
            runs=len({line["run"] for line in lines}),
            answers=sum(line["what"] == "answer" for line in lines),
            refused=sum(len(refused(diary)) for diary in said.values()),
            fills=sum(line["what"] == "line" and line.get("fill_qty") is not None for line in lines),
            ends=sum(end_told(line) is not None for line in lines),
        )
