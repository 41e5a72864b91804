"""Attacks what the desk itself bounds, from a jail of our own at a door like every run's: its order socket and its log.

For `deskctl jail test`. At a start there is no door yet, and it would wait for some seconds: what is bounded here is our
own code, the same on every machine, and no wall of the kernel's.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import RunId, StrategyId, UserId
from deskd.domain.strategy import StrategySpec
from deskd.ports import Clock, Doors
from deskd.supervision.cgroup import Group, clear
from deskd.supervision.jail import JailPlan
from deskd.supervision.output import FILES, LINE_MAX, Output, RotatingLog, pump
from deskd.supervision.own_jail import ended_in_time, left_in, our_own, plan_of, report_of, tell
from deskd.supervision.process import Pipes, make_pipes, start
from deskd.supervision.self_test import NAME, SelfTest, setup_of, small, why_silent
from deskd.supervision.staging import SANDBOX
from deskd.supervision.walls import DESK_PROBES, Row, judge

BODY = 65_536  # four times what an order takes
MORE_CONNECTIONS, MORE_REQUESTS = 8, 100  # than a run may have
HALF_A_REQUEST_S = 12.0  # more than the desk waits for the rest
LOG_BYTES_PER_S, LOG_KEPT_BYTES = 4_096, 3 * LINE_MAX  # of the tested jail alone: 128 KB are printed


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorTest:
    """What is tested: doors as runs have them, around a jail that is made as for the self-test."""

    jail: SelfTest
    doors: Doors
    clock: Clock
    connections_max: int
    requests_per_s: int
    half_a_request_s: float = HALF_A_REQUEST_S
    log_bytes_per_s: int = LOG_BYTES_PER_S
    log_kept_bytes: int = LOG_KEPT_BYTES

    async def run(self) -> Sequence[Row]:
        """Return what became of every try; raise SandboxUnavailable, with the remedy, where no jail comes up at all."""
        unique = f"{NAME}-door-{os.getpid()}-{os.urandom(4).hex()}"
        place = self.jail.folder.root / "run" / unique
        with contextlib.ExitStack() as stack:
            stack.enter_context(our_own(place, NAME))
            pipes = make_pipes()
            stack.callback(pipes.close_ours)
            stack.callback(pipes.close_theirs)
            group = self.jail.groups.create(unique, small(self.jail.section))
            try:
                plan = plan_of(
                    NAME,
                    (SANDBOX / "door_probes.py").read_bytes(),
                    place,
                    section=self.jail.section,
                    environment=self.jail.environment,
                    pipes=pipes,
                )
                return await self._attack(plan, pipes, group, RunId(unique))
            finally:
                await clear(group)

    async def _attack(self, plan: JailPlan, pipes: Pipes, group: Group, run_id: RunId) -> Sequence[Row]:
        place = plan.code.parent
        first: list[bytes] = []
        output = Output(
            log=RotatingLog(place / "log", self.log_kept_bytes),
            clock=self.clock,
            bytes_per_s=self.log_bytes_per_s,
            flood_s=3_600.0,
            is_noise=lambda _: False,
            on_lines=lambda _, lines: first.extend(lines[: 1 - len(first)]),
        )
        await self.doors.open(_spec(plan), run_id, plan.socket_folder, None if plan.who.is_own else plan.who.uid)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pump(pipes.stdout, "out", output.take), name="prints of the door test")
                status = await asyncio.to_thread(self._lived_through, plan, pipes, group)
        finally:
            await self.doors.close(run_id)
        output.finish()
        report = report_of(first[0]) if first else None
        if report is None:
            errors, log = left_in(pipes.stderr), left_in(pipes.log)
            raise SandboxUnavailable(why_silent(status, errors, log))
        report["log_kept"] = sum(file.stat().st_size for file in place.glob("log*"))
        report["log_dropped"] = output.dropped_bytes
        log_bytes_max = LOG_KEPT_BYTES + FILES * LINE_MAX
        setup = replace(setup_of(plan), connections_max=self.connections_max, log_bytes_max=log_bytes_max)
        return judge(report, setup, DESK_PROBES)

    def _lived_through(self, plan: JailPlan, pipes: Pipes, group: Group) -> int:
        """Run the jail in this thread, with which it would die; return its exit status."""
        config = plan.code.parent / "jail.cfg"
        config.write_text(self.jail.config_of(plan))
        command = [*self.jail.nsjail, "--config", str(config)]
        process = start(command, pipes, join=group.join_files, clears_groups=not plan.who.is_own)
        pipes.close_theirs()
        most = {
            "body": BODY,
            "half_a_request_s": self.half_a_request_s,
            "requests": self.requests_per_s * 2 + MORE_REQUESTS,
            "connections": self.connections_max + MORE_CONNECTIONS,
        }
        with ended_in_time(process, group):
            tell(pipes.stdin, json.dumps(most))
            return process.wait(2 * HALF_A_REQUEST_S)


def _spec(plan: JailPlan) -> StrategySpec:
    """Return whom the door is for: a strategy that the desk knows nothing of."""
    return StrategySpec(
        strategy_id=StrategyId(NAME),
        user_id=UserId(NAME),
        name=NAME,
        description="",
        version="0",
        path=PurePath(plan.code),
        code_hash="",
        symbols=(),
        channels=frozenset(),
        env={},
        limits={},
        history=None,
        is_enabled=False,
    )
