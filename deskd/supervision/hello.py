"""Proves that a jail works here, by running one: for set-up, `deskctl doctor`, the desk's start and the tests.

`python -m deskd.supervision.hello [STATE_DIR [JAIL_DIR]]` prints what is wrong and what to do, and ends with 1, or ends with 0.
"""

import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.jail import NSJAIL, jail_config
from deskd.supervision.own_jail import plan_of
from deskd.supervision.process import Pipes, make_pipes, start
from deskd.supervision.staging import Environment, JailFolder, choose_jail_folder, stage_environment

_HELLO = b"hello from the jail\n"
_SCRIPT = f"print({_HELLO.decode().strip()!r})\n".encode()
_TIMEOUT_S = 20.0
_UNSAFE = "[sandbox] unsafe_without_jail = true runs strategies without protection (laptops only)"
INSTALL_PROFILE = (
    "give nsjail its AppArmor profile: `cp etc/apparmor.d/deskd-nsjail /etc/apparmor.d/` and "
    "`apparmor_parser -r /etc/apparmor.d/deskd-nsjail` as root"
)
_MISSING_LIBRARY = re.compile(r"shared libraries: (\S+?)\.so")
_TROUBLE = re.compile(r"^\[[EFW]\]\[[^]]*\]\s*(.*)$", re.MULTILINE)


def hello_jail(section: SandboxSection, folder: JailFolder, environment: Environment) -> str | None:
    """Run a jail that says hello; return None, or one clear sentence with the remedy."""
    place = folder.root / "run" / f"hello-{os.getpid()}"
    pipes = make_pipes()
    try:
        shutil.rmtree(place, ignore_errors=True)  # of a process that had our number
        place.mkdir(mode=0o711)
        place.chmod(0o711)
        plan = plan_of("hello", _SCRIPT, place, section=section, environment=environment, pipes=pipes)
        config = place / "hello.cfg"
        config.write_text(jail_config(plan))
        return _run(config, pipes, clears_groups=not plan.who.is_own)
    except SandboxUnavailable as problem:
        return str(problem)
    except OSError as error:
        return f"a jail cannot be prepared ({error}): look at the rights of {folder.root}"
    finally:
        shutil.rmtree(place, ignore_errors=True)
        pipes.close_theirs()
        pipes.close_ours()


def _run(config: Path, pipes: Pipes, *, clears_groups: bool) -> str | None:
    process = start([NSJAIL, "--config", str(config)], pipes, join=(), clears_groups=clears_groups)
    pipes.close_theirs()
    try:
        status = process.wait(_TIMEOUT_S)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"a hello jail did not answer within {_TIMEOUT_S:g} s: the machine is overloaded; try again"
    said, errors, log = (_read_all(fd) for fd in (pipes.stdout, pipes.stderr, pipes.log))
    if status == 0 and said == _HELLO:
        return None
    return explain(status, errors.decode("utf-8", "replace"), log.decode("utf-8", "replace"))


def _read_all(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as pipe:
        return pipe.read()


def explain(status: int, errors: str, log: str) -> str:
    """Return one sentence: what keeps jails from working, and the remedy."""
    if missing := _MISSING_LIBRARY.search(errors):
        if missing[1].startswith("libpython"):
            return (
                f"the strategies' Python needs its {missing[1]}, which does not lie where it was installed: was it moved? "
                "install Python anew, or name another: [sandbox] python"
            )
        package = {"libnl-route-3": "libnl-route-3-200", "libnl-3": "libnl-3-200"}.get(missing[1], missing[1])
        return f"nsjail needs the system library {missing[1]}: apt-get install -y {package}"
    said = _TROUBLE.findall(log)
    if any("clone" in line and "not permitted" in line for line in said):
        return f"this kernel or container does not let us make namespaces: {namespace_remedy()}; {_UNSAFE}"
    if any("MS_PRIVATE" in line or "mount('/'" in line for line in said):
        return f"this machine denies mounts in a new user namespace: {namespace_remedy()}; {_UNSAFE}"
    lines = [*said, *(line for line in errors.splitlines() if line and "no version information" not in line)]
    why = lines[-1] if lines else f"exit status {status}"
    return f"a jail does not work here ({why}): run the desk as root on a Linux with user namespaces; {_UNSAFE}"


def namespace_remedy(sysctls: Path = Path("/proc/sys")) -> str:
    """Name the switch that denies namespaces, if one does."""
    switches = (
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user/max_user_namespaces", "0", "10000"),
    )
    for name, denies, allows in switches:
        file = sysctls / name
        if file.exists() and file.read_text().strip() == denies:
            switch = f"run `sysctl -w {name.replace('/', '.')}={allows}` as root"
            return f"{INSTALL_PROFILE} (or {switch})" if "apparmor" in name else switch
    return "run the desk as root, outside of a container or chroot"


def needs_profile(sysctls: Path = Path("/proc/sys")) -> bool:
    """Say whether AppArmor takes the rights in new namespaces from all that have no profile (Ubuntu 23.10 and later)."""
    file = sysctls / "kernel/apparmor_restrict_unprivileged_userns"
    return file.exists() and file.read_text().strip() == "1"


def main(arguments: Sequence[str]) -> int:
    """Prove a jail below STATE_DIR (default: `var` here), or in JAIL_DIR, and say what is wrong."""
    state_dir = Path(arguments[0]) if arguments else Path("var")
    section = SandboxSection(jail_dir=Path(arguments[1]) if len(arguments) > 1 else None)
    try:
        folder = choose_jail_folder(section, state_dir)
        folder.prepare()
        problem = hello_jail(section, folder, stage_environment(folder, section.python))
    except SandboxUnavailable as error:
        problem = str(error)
    if problem is None:
        return 0
    sys.stderr.write(f"{problem}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
