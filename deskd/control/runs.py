"""What `deskctl runs` shows: the ledger's rows, and for `deskctl status` the last end of what has not ended since the start."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from deskd.control.answers import StrategyAnswer
from deskd.domain.errors import LedgerError
from deskd.domain.ids import StrategyId
from deskd.ledger.queries import LedgerReader

type View = dict[str, Any]


def view(row: Mapping[str, Any]) -> View:
    """Return the run with its last lines as a list."""
    return {**row, "output": json.loads(row["output"]) if row["output"] else []}


async def with_last_ends(strategies: Iterable[StrategyAnswer], reader: LedgerReader) -> None:
    """Add how its last run ended to each strategy that has not ended since the desk started: the ledger remembers.

    A ledger that cannot be read at the moment is no reason to show no status.
    """
    lacking = [one for one in strategies if "exit_reason" not in one and one["status"] != "broken"]
    if not lacking:
        return
    with suppress(LedgerError):
        ends = await reader.last_ends()
        for one in lacking:
            if (end := ends.get(StrategyId(one["strategy_id"]))) is not None:
                one |= {"exit_reason": end["exit_reason"], "exit_detail": end["exit_detail"]}
