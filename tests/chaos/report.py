"""The table at the end of a chaos run, and var/chaos/SEED.json."""

import json
from collections import Counter
from typing import Any

from tests.chaos.invariants import INVARIANTS, SHOWN_MAX, Evidence, looked_at
from tests.chaos.run import Run
from tests.chaos.told import Told
from tests.whole.desk_process import ROOT


def figures(run: Run, e: Evidence, broken: dict[str, list[str]]) -> dict[str, Any]:
    """Return what happened, in numbers."""
    ledger, kinds = e.ledger, e.ledger.kinds
    orders = [order for order in ledger.orders.values() if not order.is_leg]
    per_order = Counter(fill.client_order_id for fill in ledger.fills.values())
    told = Told.of(e.said)
    said = Counter(line["what"] for lines in e.said.values() for line in lines)
    answers = Counter(line["status"] for lines in e.said.values() for line in lines if line["what"] == "answer")
    rejections = Counter(ledger.rejected.values())
    return {
        "seed": run.seed,
        "seconds": run.seconds,
        "facts": sum(kinds.values()),
        "orders asked": said["asked"],
        "orders": len(orders) + len(ledger.denied),
        "approved": len(orders),
        "denied": len(ledger.denied),
        "rejected by the broker": rejections["BROKER_REJECTED"] + rejections["BROKER_REFUSED_LATER"],
        "refused at the door": answers["error"],
        "answered in doubt": answers["pending"],
        "never arrived": rejections["NEVER_ARRIVED"],
        "turned away and sent again": sum(came.count > 1 for came in e.came.values()),
        "legs": len(ledger.orders) - len(orders),
        "fills": len(ledger.fills),
        "partial fills": sum(count - 1 for count in per_order.values()),
        "cancels": kinds["OrderCanceled"],
        "cancels refused": kinds["OrderCancelRefused"],
        "replaces": kinds["OrderReplaced"],
        "adopted": kinds["OrderAdopted"],
        "order lines told": said["line"],
        "fills told": told.fills,
        "ends told": told.ends,
        "answers told": told.answers,
        "refusals told": told.refused,
        "runs that tell": f"{told.runs} of {kinds['RunStarted']}",
        "desk kills": run.counts["desk kills"],
        "exchange kills": run.counts["exchange kills"],
        "strategy kills": run.counts["strategy kills"],
        "freezes": run.counts["desk freezes"] + run.counts["exchange freezes"],
        "desk starts": run.desk.lives,
        "exchange starts": run.exchange.lives,
        "runs ended": dict(ledger.ended_runs),
        "manual orders": run.counts["manual orders"],
        "storms": run.counts["storms"],
        "orders canceled by hand": run.counts["orders canceled by hand"],
        "orders replaced by hand": run.counts["orders replaced by hand"],
        "settled by an officer": run.counts["settled by an officer"],
        "fills corrected": len(e.theirs.corrections),
        "faults": dict(sorted(run.faults.items())),
        "faults in all": sum(run.faults.values()),
        "trade stream outages": ledger.outages["trades"],
        "market stream outages": ledger.outages["market"],
        "reconciles": kinds["AccountReconciled"],
        "discrepancies recorded": len(ledger.discrepancies),
        "house bookings": dict(Counter(str(fact.get("cause")) for fact in ledger.house)),
        "differences": sum(len(found) for found in broken.values()),
        "looked at": looked_at(e),
        "unasked ends": {"desk": run.desk.unasked, "exchange": run.exchange.unasked},
    } | run.figures


def text(found: dict[str, Any], broken: dict[str, list[str]]) -> str:
    """Return the report for people."""
    lines = [f"\nchaos run, seed {found['seed']}, {found['seconds']:g} s"]
    for key, value in found.items():
        parts = [f"{name}: {count}" for name, count in value.items()] if isinstance(value, dict) else [str(value)]
        lines.append(f"  {key:<26} {'  '.join(parts) or '-'}")
    lines.append("")
    for invariant in INVARIANTS:
        verdict = "BROKEN" if invariant.__name__ in broken else "holds"
        lines.append(f"  {verdict:<7} {invariant.__name__}")
    for name, problems in broken.items():
        lines.append(f"\n{name}: {len(problems)}")
        lines += [f"  {problem}" for problem in problems[:SHOWN_MAX]]
    return "\n".join(lines)


def write(found: dict[str, Any], broken: dict[str, list[str]]) -> str:
    """Write var/chaos/SEED.json; return where."""
    path = ROOT / "var" / "chaos" / f"{found['seed']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**found, "broken": broken}, indent=1, default=str))
    return str(path.relative_to(ROOT))
