"""Looks at every run once a second: one task for all, some 30 us a run, a millisecond at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog

from deskd.domain.events import RunStalled
from deskd.ports import Clock
from deskd.supervision.ending import Asked
from deskd.supervision.liveness import Still
from deskd.supervision.run import Run

EVERY_S = 1.0
SLICE_S = 0.001  # of looks; then the loop does other work: on a busy machine one look can take as long as thirty

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Watcher:
    """Samples what runs use, warns of those that stand still, and ends those that stay so."""

    runs: Callable[[], Iterable[Run]]
    clock: Clock
    post: Callable[[RunStalled], Awaitable[None]]

    async def watch(self) -> None:
        """Look until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look_at_all()

    async def look_at_all(self) -> None:
        """Look at every run once."""
        began = self.clock.monotonic()
        for run in list(self.runs()):
            await self._look_at(run)
            if self.clock.monotonic() - began >= SLICE_S:
                await asyncio.sleep(0)
                began = self.clock.monotonic()

    async def _look_at(self, run: Run) -> None:
        verdict = run.look(self.clock.monotonic())
        match verdict.still:
            case Still.MOVES:
                return
            case Still.RECOVERED:
                log.info("run_recovered", **_about(run), detail=verdict.detail)
                run.output.note(verdict.detail)
            case Still.WARN:
                run.output.note(f"warning: {verdict.detail}")
                await self.post(
                    RunStalled(
                        run_id=run.run_id,
                        strategy_id=run.spec.strategy_id,
                        detail=verdict.detail,
                        at=self.clock.now(),
                    )
                )
            case Still.END:
                assert verdict.reason is not None
                run.end(Asked(reason=verdict.reason, detail=verdict.detail), grace_s=0)


def _about(run: Run) -> dict[str, object]:
    return {"strategy_id": run.spec.strategy_id, "user_id": run.spec.user_id, "run_id": run.run_id}
