"""What is seen of a process from outside: whose namespaces it is in."""

import os
import shutil
import subprocess

import pytest

from deskd.supervision.outside import NAMESPACES, seen_from_outside
from deskd.supervision.walls import OWN, SHARED


def test_a_process_of_ours_is_where_we_are() -> None:
    """Every namespace is the desk's, and the kernel's thought of it is told."""
    seen = seen_from_outside(os.getpid())
    assert {seen[f"{kind}_namespace"] for kind in NAMESPACES} == {SHARED}
    assert isinstance(seen["spared"], int)


def test_of_a_process_that_is_gone_nothing_is_seen() -> None:
    """Unknown is not in it: whoever judges it says no."""
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    assert seen_from_outside(gone.pid) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make these namespaces without more")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs util-linux")
@pytest.mark.parametrize(
    ("flag", "kind"), [("-n", "net"), ("-i", "ipc"), ("-u", "uts"), ("-C", "cgroup"), ("-m", "mnt")]
)
def test_one_namespace_of_its_own_is_told_from_the_others(flag: str, kind: str) -> None:
    """Each is looked at by itself; a network of its own has a loopback that is down until somebody wants it."""
    command = ["unshare", flag, "sh", "-c", "echo in; read -r end"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        seen = seen_from_outside(process.pid)
        assert process.stdin is not None
        process.stdin.close()
    assert {name for name in NAMESPACES if seen[f"{name}_namespace"] == OWN} == {kind}
    if kind == "net":
        assert seen["loopback"] == "down"
