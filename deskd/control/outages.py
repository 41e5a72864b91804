"""What `deskctl outages` shows: the ledger's rows, for who may see whom they concerned."""

import json
from collections.abc import Callable, Mapping
from typing import Any

type View = dict[str, Any]


def view(row: Mapping[str, Any], may_see: Callable[[str], bool]) -> View:
    """Return the outage with the strategies that the caller may see, and how many others it affected."""
    affected: list[str] = json.loads(row["affected"])
    refusals: dict[str, int] = json.loads(row["refusals"])
    seen = [name for name in affected if may_see(name)]
    return {
        **row,
        "affected": seen,
        "affected_others": len(affected) - len(seen),
        "refusals": {name: count for name, count in refusals.items() if may_see(name)},
        "is_cut_short": bool(row["is_cut_short"]),
    }
