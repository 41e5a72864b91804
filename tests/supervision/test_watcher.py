"""The task that looks at every run: it warns once, ends what stays still, and says when one moves again."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from deskd.domain.events import RunStalled
from deskd.domain.run import ExitReason
from deskd.ports import SystemClock
from deskd.supervision.liveness import MOVES, Verdict
from deskd.supervision.run import Run
from deskd.supervision.watcher import SLICE_S, Watcher
from tests.hang import HANG_S
from tests.supervised import a_world


async def test_a_warning_is_a_fact_and_a_line_in_the_log_and_then_the_run_ends(tmp_path: Path, jail_root: Path) -> None:
    """A member finds in their own log why the run was ended."""
    source = "import time\nprint('up')\ntime.sleep(600)\n"
    sandbox = {"stalled_after_s": 1.0, "stalled_end_after_s": 1.0}
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False, sandbox=sandbox) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        await world.until_printed("alice", "up")
        world.feed(run_id, b"line\n" * 3)
        await world.until(lambda: any(isinstance(fact, RunStalled) for fact in world.facts))
        live = world.live("alice")
        assert live is not None
        assert live.stalled_for is not None
        assert live.lines_waiting == 3
        end = await world.until_ended("alice")
        assert end.reason is ExitReason.STALLED
        [warned] = [fact for fact in world.facts if isinstance(fact, RunStalled)]
        assert (warned.run_id, warned.strategy_id) == (run_id, "alice")
        assert f"warning: {warned.detail}" in world.log("alice")


async def test_one_that_moves_again_goes_on(tmp_path: Path, jail_root: Path) -> None:
    """A warning is taken back in the run's log."""
    source = "import sys, time\nprint('up')\ntime.sleep(2.5)\nfor line in sys.stdin: print('got', line)\n"
    sandbox = {"stalled_after_s": 1.0, "stalled_end_after_s": 60.0}
    async with a_world(tmp_path, jail_root, {"alice": source}, jailed=False, sandbox=sandbox) as world:
        await world.start("alice")
        run_id = await world.until_fed("alice")
        await world.until_printed("alice", "up")
        world.feed(run_id, b"line\n")
        await world.until_printed("alice", "it moves again")
        assert world.ends("alice") == []


class SlowClock(SystemClock):
    """A clock on which every look at a run takes half a slice."""

    seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += SLICE_S / 4  # it is asked twice a look
        return self.seconds


@dataclass(slots=True)
class StandingRun:
    """Keeps what the watcher asks of a run."""

    looks: list[int]

    def look(self, _: float) -> Verdict:
        self.looks.append(1)
        return MOVES


async def test_many_runs_leave_the_loop_to_others() -> None:
    """However long a look takes, others have their turn within two slices."""

    async def post(_: RunStalled) -> None:
        raise AssertionError("nobody is warned")

    looks: list[int] = []
    runs = cast("list[Run]", [StandingRun(looks) for _ in range(40)])
    looking = asyncio.get_running_loop().create_task(
        Watcher(runs=lambda: runs, clock=SlowClock(), post=post).look_at_all()
    )
    seen = 0
    while not looking.done():
        await asyncio.sleep(0)
        assert len(looks) - seen <= 4
        seen = len(looks)
    assert len(looks) == 40


async def test_no_runs_cost_nothing() -> None:
    """A desk without runs looks at nothing and goes on."""

    async def post(_: RunStalled) -> None:
        raise AssertionError("nobody is warned")

    async with asyncio.timeout(HANG_S):
        await Watcher(runs=list, clock=SystemClock(), post=post).look_at_all()
