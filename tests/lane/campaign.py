"""Very many sequences, on several processes, over hours: it can be stopped at any moment, and goes on where it was.

Rule 1: which plan comes at which place depends on the first seed alone: whoever runs it again gets the same.
Rule 2: what was counted is on disk after each chunk. The file tells which code played how many of them.
"""

import hashlib
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deskd.core.desk import Desk
from deskd.domain.lane import ConflictPolicy
from tests.lane.driver import Counts
from tests.lane.plan import a_plan
from tests.lane.shrink import failure_of
from tests.lane.wide import a_wide_plan

POLICIES = tuple(ConflictPolicy)
CHUNK = 500
SAY_EVERY_S = 60
FAILURES_MAX = 20  # more say nothing new
ROOT = Path(__file__).parents[2]
_COUNTERS = ("facts", "denied", "rejected", "answers", "conflicts")


@dataclass(frozen=True, slots=True)
class Failure:
    """A sequence that broke something."""

    seed: int
    policy: str
    said: str
    is_wide: bool = False

    @property
    def command(self) -> str:
        """Return how to play it again."""
        wide = " --wide" if self.is_wide else ""
        return f"python -m tests.lane --replay {self.seed} --policy {self.policy}{wide}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """What some sequences in a row brought."""

    counts: dict[str, Counts]
    failures: tuple[Failure, ...]


def policy_of(number: int) -> ConflictPolicy:
    """Return the policy of the sequence at that place: they take turns."""
    return POLICIES[number % len(POLICIES)]


def is_wide(number: int) -> bool:
    """Tell whether the sequence at that place is of the wide alphabet: both take turns."""
    return number // len(POLICIES) % 2 == 1


def play(task: tuple[int, int, int]) -> Chunk:
    """Play the sequences from one place up to another; *task* is the first seed, and both places."""
    seed, first, last = task
    counts = {policy.value: Counts() for policy in POLICIES}
    failures: list[Failure] = []
    for number in range(first, last):
        policy, wide = policy_of(number), is_wide(number)
        plan = a_wide_plan(seed + number, policy) if wide else a_plan(seed + number, policy)
        if said := failure_of(plan, counts[policy.value], Desk):
            failures.append(Failure(seed + number, policy.value, said[:2_000], is_wide=wide))
    return Chunk(counts, tuple(failures))


@dataclass
class Campaign:
    """How far it has come."""

    seed: int
    wanted: int
    done: int = 0
    seconds: float = 0
    counts: dict[str, Counts] = field(default_factory=lambda: {policy.value: Counts() for policy in POLICIES})
    failures: list[Failure] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)  # sequences, by what the code's files come to

    @classmethod
    def loaded(cls, path: Path, seed: int, wanted: int) -> "Campaign":
        """Return it as it was left, or a new one."""
        if not path.exists():
            return cls(seed, wanted)
        kept = json.loads(path.read_text(encoding="utf-8"))
        campaign = cls(kept["seed"], wanted, done=kept["done"], seconds=kept["seconds"])
        for policy, counted in kept["counts"].items():
            fields: dict[str, Any] = {k: Counter(v) if k in _COUNTERS else v for k, v in counted.items()}
            campaign.counts[policy] = Counts(**fields)
        campaign.failures = [Failure(**{k: v for k, v in one.items() if k != "command"}) for one in kept["failures"]]
        campaign.codes = Counter(kept["codes"])
        return campaign

    def save(self, path: Path) -> None:
        """Write it whole, or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = vars(self) | {"counts": {policy: vars(counted) for policy, counted in self.counts.items()}}
        kept["failures"] = [{**asdict(one), "command": one.command} for one in self.failures]
        new = path.with_suffix(".new")
        new.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        new.replace(path)

    def run(self, path: Path, jobs: int, say: Callable[[str], None]) -> None:
        """Play what is left."""
        code, began, said_at = code_id(), time.monotonic(), time.monotonic()
        before, done_before = self.seconds, self.done
        places = range(self.done, self.wanted, CHUNK)
        tasks = [(self.seed, first, min(first + CHUNK, self.wanted)) for first in places]
        with multiprocessing.Pool(jobs) as pool:
            chunks: Iterator[Chunk] = pool.imap(play, tasks)
            for (_, first, last), chunk in zip(tasks, chunks, strict=True):
                for policy, counted in chunk.counts.items():
                    self.counts[policy].add(counted)
                self.failures += chunk.failures
                self.done, self.codes[code] = last, self.codes[code] + last - first
                self.seconds = before + time.monotonic() - began
                self.save(path)
                for failure in chunk.failures:
                    say(f"FAILED {failure.said}\n  {failure.command}")
                if time.monotonic() - said_at >= SAY_EVERY_S or self.done >= self.wanted:
                    said_at = time.monotonic()
                    say(self.line((self.done - done_before) / (said_at - began)))
                if len(self.failures) >= FAILURES_MAX:
                    say(f"{len(self.failures)} failures: no more are looked for")
                    break

    def line(self, rate: float) -> str:
        """Return how far it is, in one line."""
        parts = [f"{self.done}/{self.wanted} sequences, {rate:.0f}/s, {len(self.failures)} failed"]
        for policy, one in self.counts.items():
            lane = {k.removeprefix("CONFLICT_").lower(): v for k, v in one.denied.items() if k.startswith("CONFLICT")}
            facts = {
                word: one.facts[kind]
                for word, kind in (
                    ("held", "OrderHeld"),
                    ("released", "OrderReleased"),
                    ("splits", "OrderSplit"),
                    ("crosses", "OrdersCrossed"),
                    ("fills", "OrderFilled"),
                    ("restarts", "DeskStarted"),
                )
                if one.facts[kind]
            }
            answers = Counter[str]()
            for answer, count in one.answers.items():
                answers[answer[:3]] += count
            parts.append(
                f"{policy}: asked {one.asked}, sent {one.sent}, {_figures(facts)};"
                f" lane's no: {_figures(lane)}; broker: {_figures(answers)}, for a conflict {one.conflicts.total()}"
            )
        return "\n  ".join(parts)


def _figures(counted: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items())) or "none"


def code_id() -> str:
    """Return what the played code comes to: the same figure, the same code."""
    files = sorted(
        file
        for room in ("deskd/domain", "deskd/core", "deskd/exchange", "tests/lane")
        for file in (ROOT / room).rglob("*.py")
    )
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()[:12]


def jobs_max() -> int:
    """Return how many processes the machine runs at a time."""
    return len(os.sched_getaffinity(0))
