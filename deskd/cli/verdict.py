"""An audit's verdict in words, and for programs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from deskd.ledger.audit import Verdict

_REMEDY = (
    "what to do: keep this file as it is, restore the newest backup that `deskctl audit verify --backup --db` calls whole"
    " (runbook restore), start the desk: it asks the broker for what came after"
)


def as_json(path: Path, verdict: Verdict, *, key_file: Path | None, roots_file: Path | None) -> Mapping[str, object]:
    """Return the verdict for programs."""
    proved = verdict.proved
    root = None
    if proved is not None:
        root = {
            "market_day": proved.market_day.isoformat(),
            "seq": proved.seq,
            "root": proved.root,
            "signed_at": proved.at.isoformat(),
            "public_key": proved.public_key,
        }
    return {
        "ledger": str(path),
        "whole": verdict.is_whole,
        "facts": verdict.facts,
        "last_hash": verdict.last_hash,
        "version": verdict.version,
        "tables": list(verdict.tables),
        "proved_by": root,
        "only_chained": _only_chained(verdict),
        "roots_after": verdict.roots_after,
        "key_file": None if key_file is None else str(key_file),
        "roots_file": None if roots_file is None else str(roots_file),
        "damages": [asdict(damage) for damage in verdict.damages],
    }


def report(path: Path, verdict: Verdict, *, key_file: Path | None) -> Iterator[str]:
    """Yield the verdict line by line."""
    if verdict.is_whole:
        yield f"{path}: whole"
        yield f"facts: {verdict.facts:,}, each chained to the one before; last hash {verdict.last_hash}"
        yield _tables(verdict)
    else:
        first, *others = verdict.damages
        yield f"{path}: DAMAGED"
        yield f"first bad entry: {first}"
        yield from (f"also: {damage}" for damage in others)
        yield f"whole before it: {verdict.facts:,} facts"
    yield _proof(verdict, key_file)
    if verdict.roots_after:
        yield f"older than {verdict.roots_after:,} of the roots kept elsewhere, as a backup is: what came after is not in it"
    if not verdict.is_whole:
        yield _REMEDY


def _tables(verdict: Verdict) -> str:
    if verdict.tables:
        return f"tables: {', '.join(verdict.tables)}: every row as the facts give it"
    return f"tables: not compared: the ledger is of version {verdict.version}; the next start makes them anew from the facts"


def _only_chained(verdict: Verdict) -> int:
    return verdict.facts - (verdict.proved.seq if verdict.proved is not None else 0)


def _proof(verdict: Verdict, key_file: Path | None) -> str:
    proved, count = verdict.proved, _only_chained(verdict)
    if proved is None:
        return f"proved: nothing: no root stands for it; {count:,} facts are only chained"
    whose = f"the key in {key_file}" if key_file else f"key {proved.public_key}, by the ledger's own word: give --key"
    rest = f"{count:,} facts after it are only chained" if count else "nothing comes after it"
    return f"proved: up to entry {proved.seq:,}, by the root of {proved.market_day} ({whose}); {rest}"
