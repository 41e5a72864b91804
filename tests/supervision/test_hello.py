"""Whether jails work here, in one sentence with the remedy."""

import subprocess
import sys
from pathlib import Path

import pytest

from deskd.supervision.hello import explain, namespace_remedy

CLONE = "[E][2026-01-05T17:00:00+0000] clone(flags=CLONE_NEWNS) failed: Operation not permitted\n"
MISSING = "nsjail: error while loading shared libraries: libnl-route-3.so.200: cannot open shared object file\n"


@pytest.mark.parametrize(
    ("errors", "log", "says"),
    [
        (MISSING, "", "apt-get install -y libnl-route-3-200"),
        (MISSING.replace("libnl-route-3.so.200", "libpython3.13.so.1.0"), "", "was it moved? install Python anew"),
        ("", CLONE, "does not let us make namespaces"),
        ("", "[E][x] mount('/', '/', NULL, MS_REC|MS_PRIVATE, NULL): Permission denied\n", "denies mounts"),
        ("", "[E][x] something new\n", "(something new)"),
        ("Fatal Python error: init\n", "", "(Fatal Python error: init)"),
        ("", "", "(exit status 255)"),
    ],
)
def test_each_obstacle_has_its_remedy(errors: str, log: str, says: str) -> None:
    """One sentence, one thing to do."""
    text = explain(255, errors, log)
    assert says in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces="),
        ("user/max_user_namespaces", "9999", "run the desk as root"),
    ],
)
def test_the_switch_that_denies_is_named(tmp_path: Path, name: str, value: str, says: str) -> None:
    """The kernel's own settings are looked at, not guessed."""
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(f"{value}\n")
    assert says in namespace_remedy(tmp_path)


@pytest.mark.needs_nsjail
@pytest.mark.usefixtures("needs_jail")
def test_set_up_can_ask(jail_root: Path) -> None:
    """`python -m deskd.supervision.hello` ends with 0 where jails work, and says nothing."""
    command = [sys.executable, "-m", "deskd.supervision.hello", str(jail_root)]
    said = subprocess.run(command, capture_output=True, check=True, text=True)
    assert said.stdout == said.stderr == ""
