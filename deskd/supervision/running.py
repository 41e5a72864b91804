"""Runs a strategy once: prepared or warm, behind its door, fed, until nothing of it is left. It knows nothing of restarts."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog

from deskd.config import Config
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.run import ExitReason, RunEnd
from deskd.domain.strategy import StrategySpec
from deskd.ports import Clock, Doors, Feeds
from deskd.supervision.folder import FolderError
from deskd.supervision.kept import Kept
from deskd.supervision.launch import EditedMeanwhile, Launcher, Prepared
from deskd.supervision.launches import Turn
from deskd.supervision.output import Output, RotatingLog, is_jail_noise
from deskd.supervision.prewarmed import Prewarmed, Warm
from deskd.supervision.prints import Printing
from deskd.supervision.run import Counts, Run

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """All that a run is made with."""

    config: Config
    clock: Clock
    feeds: Feeds
    doors: Doors
    counts: Counts
    launcher: Launcher
    prewarmed: Prewarmed
    prints: Printing | None = None

    async def run_once(self, kept: Kept, spec: StrategySpec, run_id: RunId, turn: Turn) -> RunEnd:
        """Run it once. Whatever goes wrong ends this run alone."""
        end = RunEnd(reason=ExitReason.SANDBOX_FAILURE, detail="the desk failed to watch it; see the desk's log")
        try:
            warm = await self.prewarmed.take(spec)
            prepared = warm.prepared if warm else await asyncio.to_thread(self.launcher.prepare, spec, run_id)
            try:
                await self.doors.open(spec, run_id, prepared.plan.socket_folder, prepared.door_uid)
                if kept.wish is not None:
                    return RunEnd(reason=kept.wish.reason, detail=kept.wish.detail)
                run = await self._started(spec, run_id, prepared, warm, turn)
                kept.take(run, self.config.sandbox.stop_grace_s)
                end = await run.live()
            finally:
                if kept.run is None:
                    await warm.abandon() if warm else prepared.abandon()
                kept.run = None
                await self.doors.close(run_id)
        except EditedMeanwhile:
            end = _fault_of_ours("its folder was edited while it was copied: it is tried again")
        except (OSError, SandboxUnavailable, FolderError) as error:
            log.error("run_not_started", **_named(spec, run_id), error=str(error))  # noqa: TRY400  no bug
            end = _fault_of_ours(f"the desk could not start it ({error}); look at `deskctl doctor`")
        except ExceptionGroup:
            log.exception("run_crashed", **_named(spec, run_id))
        return end

    async def _started(
        self, spec: StrategySpec, run_id: RunId, prepared: Prepared, warm: Warm | None, turn: Turn
    ) -> Run:
        output = Output(
            log=RotatingLog(log_path(self.config, spec.strategy_id), self.config.sandbox.log_kept_bytes),
            clock=self.clock,
            bytes_per_s=self.config.sandbox.log_bytes_per_s,
            flood_s=self.config.sandbox.log_flood_s,
            is_noise=is_jail_noise,
        )
        if self.prints is not None:
            output.on_lines = self.prints.of(spec, run_id)
        process = await (warm or prepared).start()  # the log is opened while it comes up
        where = "" if self.launcher.is_jailed else " WITHOUT a jail: sandbox.unsafe_without_jail = true"
        output.note(f"run {run_id} of version {spec.version} ({spec.code_hash[:12]}) starts{where}")
        return Run(
            run_id=run_id,
            spec=spec,
            process=process,
            group=prepared.group,
            pipes=prepared.pipes,
            output=output,
            feeds=self.feeds,
            counts=self.counts,
            clock=self.clock,
            section=self.config.sandbox,
            state=prepared.state,
            is_jailed=prepared.config is not None,
            started_at=self.clock.monotonic(),
            on_up=turn.end,
            waited=self.doors.waited,
            packages=self.launcher.own_packages.shared,
        )


def log_path(config: Config, strategy_id: StrategyId) -> Path:
    """Return the newest file of the strategy's log (older ones: .1, .2)."""
    return config.desk.state_dir / "logs" / f"{strategy_id}.log"


def _named(spec: StrategySpec, run_id: RunId) -> dict[str, str]:
    return {"strategy_id": spec.strategy_id, "user_id": spec.user_id, "run_id": run_id}


def _fault_of_ours(detail: str) -> RunEnd:
    return RunEnd(reason=ExitReason.SANDBOX_FAILURE, detail=detail)
