"""A process that is made without holding anybody else up: what it gets, what is known of its end."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from deskd.supervision.spawn import spawn

TMP = Path("/tmp")
STANDARD = (0, 1, 2)


def said(command: Sequence[str], *, env: dict[str, str] | None = None, keeps: Sequence[int] = ()) -> bytes:
    """Return what the program wrote to its standard output until its end."""
    end, theirs = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    child = spawn(command, env=env or {}, cwd=TMP, standard=(nothing, theirs, 2), keeps=keeps)
    os.close(theirs)
    os.close(nothing)
    assert child.wait() == 0
    words = os.read(end, 65_536)
    os.close(end)
    return words


def test_it_gets_its_environment_and_folder_and_nothing_else() -> None:
    """Not a variable of the desk's: a key to the broker may be among those."""
    assert said(["/usr/bin/env"], env={"A": "b c"}) == b"A=b c\n"
    assert said(["/bin/pwd"]) == b"/tmp\n"


def test_it_keeps_the_descriptors_that_it_is_given_and_no_other() -> None:
    """Each under its own number; what else the desk has open is its own."""
    kept, other = os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY)
    open_there = set(map(int, said(["/bin/ls", "/proc/self/fd"], keeps=[kept]).split()))
    assert kept in open_there
    assert other not in open_there
    assert not os.get_inheritable(kept)  # here it is as it was: another child does not get it
    os.close(kept)
    os.close(other)


def test_it_ignores_no_signal_and_holds_none_back() -> None:
    """The interpreter ignores SIGPIPE for itself: `yes | head` in a strategy's own children must end all the same."""
    status = said(["/bin/cat", "/proc/self/status"]).decode()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    held, ignored = (
        int(masks[name], 16) & (1 << 31) - 1 for name in ("SigBlk", "SigIgn")
    )  # above: the C library's own
    assert (held, ignored) == (0, 0)


def test_a_program_that_is_not_there_is_an_error_with_its_name() -> None:
    """And no process is left over."""
    with pytest.raises(FileNotFoundError, match="/nonexistent"):
        spawn(["/nonexistent"], env={}, cwd=TMP, standard=STANDARD)
    with pytest.raises(OSError, match="No such file"):
        spawn(["/bin/true"], env={}, cwd=Path("/nonexistent"), standard=STANDARD)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_its_status_is_kept_once_it_is_known() -> None:
    """Asked again and again, it says the same; a signal is negative."""
    child = spawn(["/bin/sh", "-c", "exit 7"], env={}, cwd=TMP, standard=STANDARD)
    assert (child.wait(), child.wait(1), child.poll(), child.returncode) == (7, 7, 7, 7)
    child.kill()  # its number may be another's by now
    child = spawn(["/bin/sleep", "600"], env={}, cwd=TMP, standard=STANDARD)
    assert child.poll() is None
    with pytest.raises(TimeoutError, match="did not end"):
        child.wait(0.01)
    child.kill()
    assert child.wait(10) == -signal.SIGKILL
