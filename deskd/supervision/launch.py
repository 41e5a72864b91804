"""Prepares all that a run needs on the host, and starts it: in a jail, or plainly where that was asked for loudly."""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import structlog

from deskd.config import Config, SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.strategy import StrategySpec
from deskd.supervision.cgroup import Group, Groups, NoGroups, ProcessGroup, find_groups, sweep
from deskd.supervision.environment_build import prune as prune_packages
from deskd.supervision.jail import NSJAIL, JailPlan, jail_config, plain_command
from deskd.supervision.process import Pipes, limit_what_runs_inherit, make_pipes, start
from deskd.supervision.requirements import OwnPackages, own_packages
from deskd.supervision.requirements_build import Builder
from deskd.supervision.scratch import prepare_scratch
from deskd.supervision.self_test import SelfTest
from deskd.supervision.set_up import REMEDY, WEAKER, SetUp, set_up_of
from deskd.supervision.spawn import Child
from deskd.supervision.staging import Environment, JailFolder, choose_jail_folder, stage_environment
from deskd.supervision.starter import Starter
from deskd.supervision.state import StateError, take_over
from deskd.supervision.state_keeper import StateKeeper, bounds_of, check_fits
from deskd.supervision.tool_jail import Workshop
from deskd.supervision.uids import Identity, Uids, can_map_uids
from deskd.supervision.walls import Row, Verdict, complaint

SAVES_MAX = 2  # at a time: each reads and writes up to state_mb

log = structlog.get_logger()


class EditedMeanwhile(Exception):
    """The strategy's folder changed between reading and copying it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run that only needs to be started. Whoever holds it starts it or abandons it."""

    plan: JailPlan
    pipes: Pipes
    group: Group
    config: Path | None  # nsjail's; None: without a jail
    state: StateKeeper | None  # None: without a jail there is no /state
    starter: Starter

    @property
    def door_uid(self) -> int | None:
        """Return the only uid that may knock on the run's order socket; None where strategies share one."""
        return None if self.plan.who.is_own else self.plan.who.uid

    async def start(self) -> Child:
        """Start the process. The loop goes on meanwhile."""
        process = await self.starter.start(self._start)
        self.pipes.close_theirs()
        if isinstance(self.group, ProcessGroup):
            self.group.pid = process.pid
        return process

    def _start(self) -> Child:
        if self.config is None:
            command, env = plain_command(self.plan)
            return start(
                command, self.pipes, join=self.group.join_files, env=env, cwd=self.plan.code, clears_groups=False
            )
        return start(
            [NSJAIL, "--config", str(self.config)],
            self.pipes,
            join=self.group.join_files,
            clears_groups=not self.plan.who.is_own,
        )

    def abandon(self) -> None:
        """Give back what was prepared, where no process came to be."""
        if self.state is not None:
            self.state.close()
        self.pipes.close_ours()
        self.pipes.close_theirs()
        self.group.remove()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """What all runs of one desk have in common. Only one desk can hold it for a jail folder."""

    section: SandboxSection
    folder: JailFolder
    environment: Environment
    own_packages: OwnPackages
    groups: Groups
    uids: Uids
    is_jailed: bool
    maps_uids: bool
    lock: int
    starter: Starter = field(default_factory=Starter)
    is_in_step: bool = False  # its runs tell each wish for a line: backtests alone pay for that
    saves: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SAVES_MAX))
    is_closing: threading.Event = field(default_factory=threading.Event)  # builds end, and none begins

    @classmethod
    def open(cls, config: Config) -> Self:
        """Prepare the jail folder, end what an earlier desk left, and prove that a jail works. Blocks for a while.

        Raise SandboxUnavailable, with a remedy, where that cannot be done.
        """
        section = config.sandbox
        folder = choose_jail_folder(section, config.desk.state_dir)
        folder.prepare()
        lock = _lock(folder.root / "lock")
        try:
            limit_what_runs_inherit()
            environment = stage_environment(folder, section.python)
            prune_packages(folder)
            if section.unsafe_without_jail:
                log.warning(
                    "strategies_run_without_jail", consequence="any of them can read, change and end all of ours"
                )
            uids = Uids(folder.uids, section.uid_first, folder.root)
            uids.known()  # a damaged file is told now, not at the first run
            launcher = cls(
                section=section,
                folder=folder,
                environment=environment,
                own_packages=own_packages(folder.root, section.requirements, environment),
                groups=_groups(section, folder),
                uids=uids,
                is_jailed=not section.unsafe_without_jail,
                maps_uids=can_map_uids(),
                lock=lock,
            )
            try:
                folder.sweep_socket_folders()  # no other desk is here, and the runs are dead
                if launcher.set_up is SetUp.ONE_UID:
                    log.warning("strategies_share_one_uid", consequence=WEAKER, remedy=REMEDY)
                launcher.prove()
            except BaseException:
                launcher.starter.close()
                raise
        except OSError as error:
            os.close(lock)
            raise SandboxUnavailable(
                f"{folder.root}: what jails need cannot be put there ({error.strerror or error}): free the disk or mend "
                "the folder, or set [sandbox] jail_dir to another"
            ) from error
        except BaseException:
            os.close(lock)
            raise
        return launcher

    def prove(self) -> None:
        """Attack a jail of our own where there are jails; raise SandboxUnavailable where a wall does not stand."""
        if not self.is_jailed:
            return
        began = time.monotonic()
        try:
            rows = self.test()
            if (problem := complaint(rows)) is not None:
                raise SandboxUnavailable(problem)  # noqa: TRY301  the groups are given back below
        except BaseException:
            self.groups.close()
            raise
        weaker = sorted({str(row.wall) for row in rows if row.result is Verdict.WEAKER})
        log.info("jail_tested", probes=len(rows), weaker=weaker, took_s=round(time.monotonic() - began, 3))

    def test(self) -> Sequence[Row]:
        """Attack a jail of our own, and return what every wall did. Blocks for some 100 ms."""
        return self.self_test.run()

    @property
    def self_test(self) -> SelfTest:
        """Return the test of jails as this desk makes them."""
        return SelfTest(section=self.section, folder=self.folder, environment=self.environment, groups=self.groups)

    @property
    def set_up(self) -> SetUp:
        """Return how strategies are kept apart."""
        return set_up_of(is_jailed=self.is_jailed, maps_uids=self.maps_uids, euid=os.geteuid())

    def prepare(self, spec: StrategySpec, run_id: RunId) -> Prepared:
        """Make all that the run needs; raise EditedMeanwhile, SandboxUnavailable or OSError and leave nothing."""
        if self.is_jailed:
            prepare_scratch()
        number = self.uids.of(spec.strategy_id)
        owns = self.is_jailed and self.maps_uids
        who = Identity(number, number, False) if owns else Identity(os.geteuid(), os.getegid(), True)
        code, code_hash = self.folder.stage_code(spec.strategy_id, Path(spec.path), who)
        if code_hash != spec.code_hash:
            raise EditedMeanwhile
        kept = self._kept(spec.strategy_id, who) if self.is_jailed else None
        packages = self.own_packages.of_code(code)
        socket_folder = self.folder.socket_folder(number, who)
        with contextlib.ExitStack() as undo:
            group = self.groups.create(run_id, self.section)
            undo.callback(group.remove)
            pipes = make_pipes(is_in_step=self.is_in_step)
            undo.callback(pipes.close_ours)
            undo.callback(pipes.close_theirs)
            plan = JailPlan(
                strategy_id=spec.strategy_id,
                user_id=spec.user_id,
                env=spec.env,
                who=who,
                environment=self.environment,
                code=code,
                socket_folder=socket_folder,
                section=self.section,
                log_fd=pipes.log_fd,
                progress_fd=pipes.progress_fd,
                state_fd=pipes.state_fd,
                own_packages=packages,
                step_fd=pipes.step_fd,
            )
            file = self.folder.write_config(spec.strategy_id, jail_config(plan)) if self.is_jailed else None
            state = self._keeper(spec.strategy_id, who, kept, pipes) if kept is not None else None
            undo.pop_all()
        return Prepared(plan=plan, pipes=pipes, group=group, config=file, state=state, starter=self.starter)

    def _kept(self, strategy_id: StrategyId, who: Identity) -> Path:
        """Return the file of the strategy's /state; raise SandboxUnavailable where a jail cannot take up what is in it."""
        file, old, bounds = self.folder.state(strategy_id), self.folder.old_state(strategy_id), bounds_of(self.section)
        try:
            if not file.exists() and old.is_dir():
                take_over(old, file, who, bounds)
                log.info("state_taken_over", strategy_id=strategy_id, folder=str(old), file=str(file))
            check_fits(file, bounds)
        except StateError as problem:
            raise SandboxUnavailable(str(problem)) from None
        return file

    def _keeper(self, strategy_id: StrategyId, who: Identity, file: Path, pipes: Pipes) -> StateKeeper:
        keeper = StateKeeper(
            strategy_id=strategy_id,
            file=file,
            who=who,
            section=self.section,
            channel=pipes.take_state(),
            turns=self.saves,
        )
        try:
            keeper.offer()
        except OSError:
            keeper.close()
            raise
        return keeper

    def builder(self, strategy_id: StrategyId) -> Builder:
        """Return who builds the packages that the strategy's requirements.txt asks for, as a uid for that alone."""
        number = self.uids.of(StrategyId(f"build.{strategy_id}"))  # no strategy's name has a dot
        owns = self.is_jailed and self.maps_uids
        who = Identity(number, number, False) if owns else Identity(os.geteuid(), os.getegid(), True)
        shop = Workshop(
            section=self.section,
            folder=self.folder,
            environment=self.environment,
            groups=self.groups,
            is_closing=self.is_closing,
        )
        return Builder(shop=shop, own=self.own_packages, name=strategy_id, who=who)

    def close(self) -> None:
        """Remove the desk's cgroups, and let another desk have the folder. No run is left."""
        self.starter.close()
        self.groups.close()
        os.close(self.lock)


def _lock(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SandboxUnavailable(
            f"{file.parent}: another desk runs strategies from here: stop it, or give this one a state_dir of its own"
        ) from None
    return descriptor


def _groups(section: SandboxSection, folder: JailFolder) -> Groups:
    """Return the desk's cgroups, after killing what an earlier desk left in its own, wherever those were."""
    remembered = folder.root / "cgroups.json"
    left = [Path(path) for path in json.loads(remembered.read_text())] if remembered.exists() else []
    if found := sweep(left):
        log.warning("leftover_runs_killed", cgroups=found)
    for path in left:
        with contextlib.suppress(OSError):
            path.rmdir()
    try:
        name = f"deskd-{hashlib.sha256(os.fsencode(folder.root)).hexdigest()[:12]}"
        groups = find_groups(
            name, goes_first=os.getpriority(os.PRIO_PROCESS, 0) < 0
        )  # app/time_slice.py asked for that
    except SandboxUnavailable:
        if not section.unsafe_without_jail:
            raise
        groups = NoGroups()
    _remember(remembered, groups.folders)
    return groups


def _remember(file: Path, folders: Sequence[Path]) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps([str(folder) for folder in folders]))
    shutil.move(fresh, file)
