"""Attacks a jail of our own before any strategy runs: one run of some 100 ms, and every wall is known to stand or not.

At every start of the desk, for `deskctl jail test`, and `python -m deskd.supervision.self_test [--json] [STATE_DIR]`
where no desk runs. The jail is made by the same code as every run's, in a cgroup of its own with a smaller limit of
memory and processes, so that both can be run into quickly.
"""

import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.cgroup import Group, Groups, clear_now, find_groups
from deskd.supervision.hello import explain
from deskd.supervision.jail import NSJAIL, STACK_MB, JailPlan, environment_of, jail_config
from deskd.supervision.outside import seen_from_outside
from deskd.supervision.own_jail import (
    TIMEOUT_S,
    ended_in_time,
    hear,
    left_in,
    our_own,
    plan_of,
    report_of,
    tell,
)
from deskd.supervision.process import JOIN_FAILED, SIGNALS_PENDING, Pipes, limit_what_runs_inherit, make_pipes, start
from deskd.supervision.staging import SANDBOX, Environment, JailFolder, choose_jail_folder, give, stage_environment
from deskd.supervision.uids import Identity
from deskd.supervision.walls import NODEV, NOEXEC, NOSUID, NOT_HERE, RDONLY, Row, Setup, Verdict, complaint, judge

_OVERFLOW_UID = 65_534  # the kernel's own choice
NAME = "self-test"
MEMORY_MB = 32  # nsjail and a plain interpreter need 12
PIDS = 16
CPU = 4.0  # cores: a quota, but none that makes the start wait
CPU_TRIED = 0.25  # cores, while it tries to have more
ROOM_MB = 2  # of /tmp and of /state: so little is filled at once
STATE_FILES = 64
RLIMIT_NPROC = 64  # looser than the cgroup's: it is the cgroup that is tested
_BOUNDS_OF_JAIL = {"pids": RLIMIT_NPROC, "tmp_mb": ROOM_MB, "state_mb": ROOM_MB, "state_files": STATE_FILES}
_PEER_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
_ALL = RDONLY | NOSUID | NODEV | NOEXEC
_FILES_OF_THE_HOST = ("/etc/shadow", "/etc/hostname", "/sys/kernel", "/var/lib", "/boot")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What is tested. `config_of` and `nsjail` are how runs are made; tests take walls down with them."""

    section: SandboxSection
    folder: JailFolder
    environment: Environment
    groups: Groups
    config_of: Callable[[JailPlan], str] = jail_config
    nsjail: Sequence[str] = (NSJAIL,)

    def run(self) -> Sequence[Row]:
        """Return what every probe found; raise SandboxUnavailable, with the remedy, where no jail comes up at all.

        Blocks for some 100 ms.
        """
        unique = f"{NAME}-{os.getpid()}-{os.urandom(4).hex()}"
        place = self.folder.root / "run" / unique
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(our_own(place, NAME))
                group = self.groups.create(unique, small(self.section))
                stack.callback(clear_now, group)
                pipes = make_pipes()
                stack.callback(pipes.close_ours)
                stack.callback(pipes.close_theirs)
                plan = plan_of(
                    NAME,
                    (SANDBOX / "probes.py").read_bytes(),
                    place,
                    section=self.section.model_copy(update=_BOUNDS_OF_JAIL),
                    environment=self.environment,
                    pipes=pipes,
                )
                return self._attack(plan, pipes, group, place)
        except OSError as error:
            raise SandboxUnavailable(
                f"a jail cannot be prepared ({error}): look at the rights of {self.folder.root}"
            ) from error

    def _attack(self, plan: JailPlan, pipes: Pipes, group: Group, place: Path) -> Sequence[Row]:
        config = place / "jail.cfg"
        config.write_text(self.config_of(plan))
        secrets = _secrets([*_FILES_OF_THE_HOST, str(self.folder.root), str(place), str(self.folder.uids)], plan)
        with _listening(f"\0{place.name}"), _listening(plan.socket_folder / "order.sock", plan.who) as door:
            look_for = {"abstract": place.name, "paths": sorted(_mounts(plan)), "secrets": secrets}
            command = [*self.nsjail, "--config", str(config)]
            process = start(command, pipes, join=group.join_files, clears_groups=not plan.who.is_own)
            pipes.close_theirs()
            with ended_in_time(process, group):
                hear(pipes.stdout)  # it is up, and has knocked
                peer, uid = _peer(door)
                outside = {} if peer is None else seen_from_outside(peer)
                tell(pipes.stdin, json.dumps(look_for))
                said = hear(pipes.stdout)
                has_quota = group.has_cpu_quota()
                group.settle(CPU_TRIED)
                tell(pipes.stdin, "work")
                worked = hear(pipes.stdout)
                group.settle(CPU)
                tell(pipes.stdin, "take memory")
                status = process.wait(TIMEOUT_S)
            claims, errors, log = (left_in(fd) for fd in (pipes.stdout, pipes.stderr, pipes.log))
            report = report_of(said)
            if report is None:
                raise SandboxUnavailable(why_silent(status, errors, log))
            report |= outside
            report["seen_uid"] = uid
            report["killed_for_memory"] = group.usage().oom_kills > 0 and b"not bounded" not in claims
            report["dies_whole"] = NOT_HERE if (whole := group.dies_whole()) is None else whole
            report["cpu_quota"] = bool(group.usage().cpu_seconds) and has_quota
            report["cpu_share"] = (report_of(worked) or {}).get("share")
            return judge(report, setup_of(plan))


def small(section: SandboxSection) -> SandboxSection:
    """Return bounds that can be run into quickly."""
    return section.model_copy(update={"memory_mb": MEMORY_MB, "pids": PIDS, "cpu": CPU})


def _mounts(plan: JailPlan) -> Mapping[str, int]:
    """Return the flags that each mount must have, said here once more: not taken from what is tested."""
    libraries = [*(bind.target for bind in plan.environment.binds), *Path("/usr/lib").glob("*-linux-gnu")]
    packages = ["/packages/shared"] if plan.environment.packages is not None else []
    return {
        "/": RDONLY,
        "/venv": RDONLY | NOSUID | NODEV,
        **{str(library): RDONLY | NOSUID | NODEV for library in (*libraries, *packages)},
        **dict.fromkeys(("/strategy", "/run/desk", "/etc/passwd", "/etc/group"), _ALL),
        **dict.fromkeys(("/tmp", "/state"), NOSUID | NODEV | NOEXEC),  # noqa: S108  the jail's own
        **dict.fromkeys(("/dev/null", "/dev/zero", "/dev/urandom"), RDONLY | NOSUID | NOEXEC),
    }


def _secrets(paths: Sequence[str], plan: JailPlan) -> list[str]:
    """Return those of *paths* that no jail has: an interpreter may lie below one, at its original place."""
    return [path for path in paths if not any(f"{mount}/".startswith(f"{path}/") for mount in _mounts(plan))]


def _overflow_uid(told: Path = Path("/proc/sys/kernel/overflowuid")) -> int:
    """Return how a uid looks that is not mapped; a unit with ProcSubset=pid cannot see what the kernel was set to."""
    return int(told.read_text()) if told.exists() else _OVERFLOW_UID


def setup_of(plan: JailPlan) -> Setup:
    """Return how that jail is meant to be."""
    section = plan.section
    mounts = _mounts(plan)
    return Setup(
        uid=plan.who.uid,
        is_own=plan.who.is_own,
        overflow_uid=_overflow_uid(),
        name=NAME,
        environment=frozenset({*environment_of(plan, server_url=""), "LC_CTYPE"}),  # Python's own, where LANG is odd
        mounts=mounts,
        roots=frozenset({PurePath(path).parts[1] for path in mounts if path != "/"} | {"lib", "lib64", "proc"}),
        tmp_bytes=section.tmp_mb << 20,
        state_bytes=section.state_mb << 20,
        state_files=section.state_files + 1,  # its root is one
        rlimits={
            "CORE": 1,
            "FSIZE": max(section.tmp_mb, section.state_mb) << 20,
            "MEMLOCK": 65_536,
            "NOFILE": section.open_files,
            "NPROC": section.pids,
            "RTPRIO": 0,
            "MSGQUEUE": 0,
            "STACK": STACK_MB << 20,
            "SIGPENDING": SIGNALS_PENDING,
        },
        threads_max=PIDS,
    )


@contextlib.contextmanager
def _listening(address: str | Path, who: Identity | None = None) -> Iterator[socket.socket]:
    """Listen for whoever can reach the address: nobody, or the jail alone."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        if isinstance(address, Path) and who is not None:
            give(address, -1, who.gid)
            address.chmod(0o660)
        listener.listen(1)
        listener.setblocking(False)
        yield listener


def _peer(door: socket.socket) -> tuple[int, int] | tuple[None, None]:
    """Return who knocked, process and uid, as the kernel tells the desk; None: nobody."""
    try:
        peer, _ = door.accept()
    except BlockingIOError:
        return None, None
    with peer:
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    pid, uid, _ = _PEER_CREDENTIALS.unpack(raw)
    return pid, uid


def why_silent(status: int, errors: bytes, log: bytes) -> str:
    """Return why no report came of a jail, with the remedy."""
    if status == JOIN_FAILED:
        return "a jail could not join its cgroup: run the desk as root, or under systemd with Delegate=cpu memory pids"
    return explain(status, errors.decode("utf-8", "replace"), log.decode("utf-8", "replace"))


def main(arguments: Sequence[str]) -> int:
    """Test the jails of the desk in STATE_DIR (default: `var` here), print the table, and end with 1 where one lacks."""
    as_json = "--json" in arguments
    places = [Path(argument) for argument in arguments if not argument.startswith("--")]
    try:
        rows = test_here(SandboxSection(), places[0] if places else Path("var"))
    except SandboxUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if as_json:
        sys.stdout.write(json.dumps([row.as_dict() for row in rows], indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{row.result:8} {row.wall:22} {row.probe:52} {row.found}\n" for row in rows)
    if (problem := complaint(rows)) is not None:
        sys.stderr.write(f"{problem}\n")
    return int(any(row.result is Verdict.MISSING for row in rows))


def test_here(section: SandboxSection, state_dir: Path) -> Sequence[Row]:
    """Test jails as this user, with cgroups of our own below the present one; raise SandboxUnavailable with a remedy."""
    limit_what_runs_inherit()
    folder = choose_jail_folder(section, state_dir)
    folder.prepare()
    groups = find_groups(f"deskd-{NAME}-{os.getpid()}")
    try:
        environment = stage_environment(folder, section.python)
        return SelfTest(section=section, folder=folder, environment=environment, groups=groups).run()
    finally:
        groups.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
