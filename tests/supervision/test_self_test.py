"""The jail attacks itself, and knows the name of the wall that is gone. Each wall is taken down once, for real."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deskd.config import Config, SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.cgroup import Group, Groups, find_groups
from deskd.supervision.cgroup_v1 import V1Group
from deskd.supervision.cgroup_v2 import V2Group
from deskd.supervision.jail import NSJAIL, JailPlan, jail_config
from deskd.supervision.launch import Launcher
from deskd.supervision.process import limit_what_runs_inherit
from deskd.supervision.self_test import SelfTest, _overflow_uid, test_here
from deskd.supervision.staging import SANDBOX, JailFolder, stage_environment
from deskd.supervision.uids import can_map_uids
from deskd.supervision.walls import PROBES, Row, Verdict, Wall, complaint
from tests.supervised import a_config

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]
test_here.__test__ = False  # type: ignore[attr-defined]  # it is no test of ours

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="takes down what only root can take down")


def missing(rows: Sequence[Row]) -> set[Wall]:
    return {row.wall for row in rows if row.result is Verdict.MISSING}


def a_self_test(jail_root: Path, change: Callable[[str], str], groups: Groups | None = None) -> SelfTest:
    limit_what_runs_inherit()
    folder = JailFolder(jail_root)
    folder.prepare()

    def config_of(plan: JailPlan) -> str:
        text = jail_config(plan)
        changed = change(text)
        assert changed != text or change is same, "the wall was not taken down"
        return changed

    return SelfTest(
        section=Config().sandbox,
        folder=folder,
        environment=stage_environment(folder, None),
        groups=groups or find_groups(f"deskd-knocked-{os.getpid()}"),
        config_of=config_of,
    )


def rows_of(test: SelfTest) -> Sequence[Row]:
    try:
        return test.run()
    finally:
        test.groups.close()


def same(text: str) -> str:
    return text


def plus(line: str) -> Callable[[str], str]:
    return lambda text: f"{text}\n{line}\n"


def mount(target: str, old: str, new: str) -> Callable[[str], str]:
    """Change the mount of *target* alone."""

    def change(text: str) -> str:
        head, found, tail = text.partition(f'  dst: "{target}"\n')
        body, end, rest = tail.partition("}")
        return head + found + body.replace(old, new) + end + rest

    return change


def instead(pattern: str, text: str) -> Callable[[str], str]:
    return lambda config: re.sub(pattern, text, config, flags=re.MULTILINE)


def is_proc_covered() -> bool:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return not Path("/proc/sys").exists() or any(point.startswith("/proc/") for point in points)


KNOCKED_OUT = {
    "no seccomp": (Wall.SECCOMP, instead(r"^seccomp_string: .*$", "")),
    "seccomp that lets sockets through": (Wall.SECCOMP, instead(r"family != 1", "family == 777")),
    "the host's network": (Wall.NETWORK, plus("clone_newnet: false")),
    "a loopback": (Wall.NETWORK, instead(r"^iface_no_lo: true$", "iface_no_lo: false")),
    "the host's queues": (Wall.IPC, plus("clone_newipc: false")),
    "the host's own name": (Wall.HOST_NAME, plus("clone_newuts: false")),
    "the host's cgroups": (Wall.CGROUPS, plus("clone_newcgroup: false")),
    "a folder of the host": (
        Wall.FILES,
        plus('mount { src: "/etc" dst: "/host" is_bind: true nosuid: true nodev: true }'),
    ),
    "code that can be written": (Wall.READ_ONLY, mount("/strategy", "is_bind: true", "is_bind: true\n  rw: true")),
    "libraries that can be written": (Wall.READ_ONLY, mount("/venv", "is_bind: true", "is_bind: true\n  rw: true")),
    "programs in /tmp": (Wall.NO_EXEC, mount("/tmp", "noexec: true", "")),
    "set-uid files in /state": (Wall.NO_EXEC, mount("/state", "nosuid: true", "")),
    "any size of /state": (Wall.STATE, mount("/state", "size=2m,", "")),
    "any number of files in /state": (Wall.STATE, mount("/state", "nr_inodes=65,", "nr_inodes=6500,")),
    "/proc": (Wall.NO_PROC, plus("mount_proc: true")),
    "the host's processes": (Wall.PROCESSES, plus("clone_newpid: false")),
    "another uid": (
        Wall.UID,
        instead(r'^uidmap \{\n(.*)\n  outside_id: "(\d+)"', r'uidmap {\n\1\n  outside_id: "1\2"'),
    ),
    "capabilities": (Wall.CAPABILITIES, plus('cap: "CAP_NET_RAW"')),
    "all capabilities": (Wall.CAPABILITIES, plus("keep_caps: true")),
    "the host's name": (Wall.HOST_NAME, instead(r"^hostname: .*$", 'hostname: "host"')),
    "an open file": (Wall.DESCRIPTORS, instead(r"^log_fd: (\d+)$", r"log_fd: \1\npass_fd: \1")),
    "a key in the environment": (Wall.ENVIRONMENT, plus('envar: "APCA_API_SECRET_KEY=x"')),
    "any number of files": (Wall.RLIMITS, instead(r"^rlimit_nofile: .*$", "rlimit_nofile: 1024")),
    "a stack without end": (Wall.RLIMITS, plus("rlimit_stack: 64")),
    "any size of /tmp": (Wall.TMP, mount("/tmp", "size=2m,", "size=640m,")),
}


def test_every_wall_of_a_good_jail_stands(jail_root: Path) -> None:
    """All probes are answered, all answers are right, and nothing is left of the run."""
    before = sorted(path.name for path in (jail_root / "run").glob("*")) if (jail_root / "run").is_dir() else []
    rows = rows_of(a_self_test(jail_root, same))
    assert len(rows) == len(PROBES)
    assert {row.result for row in rows} <= {Verdict.HOLDS, Verdict.WEAKER}
    assert complaint(rows) is None
    assert sorted(path.name for path in (jail_root / "run").glob("*")) == before


def test_what_a_killed_test_left_goes_at_the_next(jail_root: Path) -> None:
    """A desk that was killed in its start leaves a folder with a socket; one whose test goes on keeps its own."""
    left, busy = (jail_root / "run" / f"self-test-{os.getpid()}-{name}" for name in ("left", "busy"))
    for folder in (left, busy):
        (folder / "socket").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(left / "socket" / "order.sock"))
    script = "import fcntl, os, sys, time; fd = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(fd, fcntl.LOCK_EX)"
    command = [sys.executable, "-c", f"{script}; print('locked', flush=True); time.sleep(600)", str(busy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        rows_of(a_self_test(jail_root, same))
        assert not left.exists()
        assert busy.is_dir()
        other.kill()
    rows_of(a_self_test(jail_root, same))
    assert not list((jail_root / "run").glob("self-test-*"))


@pytest.mark.parametrize("name", KNOCKED_OUT)
def test_a_missing_wall_is_named(jail_root: Path, name: str) -> None:
    """Whatever is taken out of the configuration, its wall is found missing, and no other is blamed."""
    wall, change = KNOCKED_OUT[name]
    # a unit that hides parts of its own /proc gets no whole one for others; who has no right can map no other uid
    if (wall is Wall.NO_PROC and is_proc_covered()) or (wall is Wall.UID and not can_map_uids()):
        with pytest.raises(SandboxUnavailable, match="a jail does not work here"):
            rows_of(a_self_test(jail_root, change))
        return
    rows = rows_of(a_self_test(jail_root, change))
    assert missing(rows) == {wall}
    assert str(complaint(rows)).startswith(f"jails lack a wall, {wall} (")


def test_a_system_call_of_32_bits_is_served_where_no_filter_stands(jail_root: Path) -> None:
    """Where this kernel has such calls: else the probe would hold whatever came."""
    asks = "import probes, sys; sys.exit(probes.in_a_child(probes.by_machine_code) == 'served')"
    here = subprocess.run([sys.executable, "-c", asks], cwd=SANDBOX, check=False)
    rows = {row.probe: row for row in rows_of(a_self_test(jail_root, instead(r"^seccomp_string: .*$", "")))}
    assert (rows[PROBES["int_80"][1]].result is Verdict.MISSING) == bool(here.returncode)


@AS_ROOT
def test_a_missing_user_namespace_is_named(jail_root: Path) -> None:
    """A root's jail without one works just as well, to all appearances."""
    assert Wall.USERS in missing(rows_of(a_self_test(jail_root, plus("clone_newuser: false"))))


def test_missing_new_privileges_are_named(jail_root: Path) -> None:
    """A filter of system calls asks for them, too: only where both are gone are they gone."""

    def change(text: str) -> str:
        return plus("disable_no_new_privs: true")(instead(r"^seccomp_string: .*$", "")(text))

    found = missing(rows_of(a_self_test(jail_root, change)))
    if "NoNewPrivs:\t0" in Path("/proc/self/status").read_text():  # else our own child cannot get them back
        assert found == {Wall.NO_NEW_PRIVS, Wall.SECCOMP}
    else:
        assert found == {Wall.SECCOMP}


@AS_ROOT
def test_kept_groups_are_named(jail_root: Path) -> None:
    """Whoever is no root must deny setgroups to map uids: groups not cleared before that stay with the strategy."""
    nsjail = jail_root / "nsjail"  # where another user reaches it
    shutil.copy(NSJAIL, nsjail)
    caps = "-all,+setuid,+setgid,+chown"
    user = f"--reuid 61000 --regid 61000 --groups 4,61000 --inh-caps={caps} --ambient-caps={caps}".split()
    test = a_self_test(jail_root, same)
    rows = rows_of(replace(test, nsjail=("setpriv", *user, "--", str(nsjail))))
    nsjail.unlink()
    assert missing(rows) == {Wall.GROUPS}


def test_a_run_that_would_be_spared_is_named(jail_root: Path) -> None:
    """A wrapper that leaves a run as protected as its desk: where the machine's memory ends, the desk would go first."""
    test = a_self_test(jail_root, same)
    spare = ("/bin/sh", "-c", 'echo 400 > /proc/self/oom_score_adj; exec "$@"', "sh", NSJAIL)
    assert missing(rows_of(replace(test, nsjail=spare))) == {Wall.MEMORY}


def can_raise_limits() -> bool:
    """Say whether we have CAP_SYS_RESOURCE: it takes that to have more of a limit again than before."""
    effective = re.search(r"^CapEff:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return effective is not None and bool(int(effective[1], 16) >> 24 & 1)


@pytest.mark.skipif(not can_raise_limits(), reason="takes down what only CAP_SYS_RESOURCE can take down")
def test_a_run_that_may_queue_what_it_wants_is_named(jail_root: Path) -> None:
    """Signals and timers wait in the kernel's memory, and nsjail leaves their bound as it finds it."""
    queue = ("prlimit", "--sigpending=100000:100000", "--", NSJAIL)
    assert missing(rows_of(replace(a_self_test(jail_root, same), nsjail=queue))) == {Wall.RLIMITS}


class UnsettledV1(V1Group):
    """Keeps the quota of its start, on v1."""

    def settle(self, cores: float) -> None:
        """Nothing is written."""


class UnsettledV2(V2Group):
    """Keeps the quota of its start, on v2."""

    def settle(self, cores: float) -> None:
        """Nothing is written."""


@dataclass
class Unsettled:
    """Groups whose quota has a figure, and does not hold."""

    real: Groups

    @property
    def folders(self) -> Sequence[Path]:
        return self.real.folders

    def create(self, name: str, section: SandboxSection) -> Group:
        group = self.real.create(name, section)
        group.weigh(10_000)  # a core of its own, on a machine that others use, too
        if isinstance(group, V1Group):
            return UnsettledV1(group.by_controller)
        assert isinstance(group, V2Group)
        return UnsettledV2(group.folder)

    def close(self) -> None:
        self.real.close()


def test_a_quota_that_does_not_hold_is_named(jail_root: Path) -> None:
    """It has its figure, and a run has more: that is seen as soon as the machine has more to give."""
    found: set[Wall] = set()
    for _ in range(20):
        groups = Unsettled(find_groups(f"deskd-unsettled-{os.getpid()}"))
        if found := missing(rows_of(a_self_test(jail_root, same, groups))):
            break
    if not found and os.getloadavg()[0] > (os.cpu_count() or 1):
        pytest.skip("this machine has no core to give: others want more than it has")
    assert found == {Wall.CPU}


@dataclass
class Unbounded:
    """Groups in which one controller's bound was forgotten."""

    real: Groups
    v1: str
    v2: str
    value: tuple[str, str]

    @property
    def folders(self) -> Sequence[Path]:
        return self.real.folders

    def create(self, name: str, section: SandboxSection) -> Group:
        group = self.real.create(name, section)
        if isinstance(group, V1Group):
            files = [file for folder in group.by_controller.values() for file in folder.glob(self.v1)]
            for file in sorted(files, key=lambda file: "memsw" not in file.name):
                file.write_text(self.value[0])
        else:
            assert isinstance(group, V2Group)
            (group.folder / self.v2).write_text(self.value[1])
        return group

    def close(self) -> None:
        self.real.close()


@pytest.mark.parametrize(
    ("wall", "v1", "v2", "value"),
    [
        (Wall.MEMORY, "memory.*limit_in_bytes", "memory.max", ("-1", "max")),
        (Wall.PIDS, "pids.max", "pids.max", ("max", "max")),
        (Wall.CPU, "cpu.cfs_quota_us", "cpu.max", ("-1", "max 100000")),
    ],
)
def test_a_missing_bound_is_named(jail_root: Path, wall: Wall, v1: str, v2: str, value: tuple[str, str]) -> None:
    """A cgroup without its figure bounds nothing."""
    groups = Unbounded(find_groups(f"deskd-unbounded-{os.getpid()}"), v1, v2, value)
    assert missing(rows_of(a_self_test(jail_root, same, groups))) == {wall}


def test_strategies_do_not_start_where_a_wall_is_missing(tmp_path: Path, jail_root: Path) -> None:
    """The start of the desk ends with the wall's name, what it protects and the remedy; nothing is left of it."""
    launcher = Launcher.open(a_config(tmp_path, jail_root, jailed=True, sandbox={}, restart={}))
    try:
        launcher.prove()
        groups = Unbounded(launcher.groups, "cpu.cfs_quota_us", "cpu.max", ("-1", "max 100000"))
        with pytest.raises(SandboxUnavailable, match=r"lack a wall, cpu limit .* everybody's time .* Delegate=cpu"):
            replace(launcher, groups=groups).prove()
        assert not any(folder.exists() for folder in launcher.groups.folders)
    finally:
        launcher.close()


def test_a_jail_that_does_not_come_up_is_no_jail(jail_root: Path) -> None:
    """One clear sentence with a remedy, as where a machine has no namespaces."""
    with pytest.raises(SandboxUnavailable, match="a jail does not work here"):
        rows_of(a_self_test(jail_root, plus('mount { src: "/nowhere" dst: "/x" is_bind: true }')))


def test_whoever_has_no_desk_running_can_ask(jail_root: Path) -> None:
    """`python -m deskd.supervision.self_test` prints the table and ends with 0; --json says the same to programs."""
    command = [sys.executable, "-m", "deskd.supervision.self_test", str(jail_root)]
    said = subprocess.run(command, capture_output=True, check=True, text=True)
    assert said.stdout.count("\n") == len(PROBES)
    assert said.stderr == ""
    told = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True, text=True).stdout)
    assert {row["result"] for row in told} <= {"holds", "weaker"}
    assert not list((jail_root / "run").glob("self-test*"))


def test_a_unit_that_hides_the_kernels_settings_keeps_no_desk_from_its_proof(tmp_path: Path) -> None:
    """ProcSubset=pid leaves no /proc/sys: the kernel's own choice stands in for what it was set to."""
    assert _overflow_uid(tmp_path / "overflowuid") == 65_534
    (tmp_path / "overflowuid").write_text("65533\n")
    assert _overflow_uid(tmp_path / "overflowuid") == 65_533
