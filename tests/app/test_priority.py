"""The desk goes before its runs where it may."""

import os
import subprocess
import sys

TRIES = """
import os
from deskd.app.priority import go_first
print(go_first(), os.getpriority(os.PRIO_PROCESS, 0), go_first())
"""


def tried(*before: str) -> list[str]:
    command = [*before, sys.executable, "-c", TRIES]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_a_desk_that_may_goes_first_and_one_that_may_not_goes_on() -> None:
    """Root's desk is raised, once; anybody else's stays as it is, and says so."""
    plain = os.getpriority(os.PRIO_PROCESS, 0)
    assert tried() in (["True", "-10", "True"], ["False", str(plain), "False"])


def test_a_desk_that_was_given_more_keeps_it() -> None:
    """What systemd or an officer set higher is not lowered."""
    if os.geteuid() == 0:
        assert tried("nice", "-n", "-15") == ["True", "-15", "True"]
