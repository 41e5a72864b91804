"""The last step of set-up."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def prove(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/prove_jail.py"]
    everything = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=ROOT, env=everything, capture_output=True, text=True, check=False)


def test_the_unsafe_mode_is_loud() -> None:
    """Running without jails is a choice that somebody made, and hears of each time."""
    done = prove({"DESKD_SANDBOX__UNSAFE_WITHOUT_JAIL": "true"})
    assert done.returncode == 0
    assert "WARNING" in done.stdout
    assert "WITHOUT any protection" in done.stdout


def test_a_wrong_configuration_stops_the_set_up() -> None:
    """Set-up never continues past what the desk would refuse."""
    done = prove({"DESKD_SANDBOX__PIDS": "1"})
    assert done.returncode == 78
    assert "sandbox.pids: is 1" in done.stderr


def test_a_folder_that_jails_cannot_reach_is_one_sentence(tmp_path: Path) -> None:
    """Where no jail can be made, the exit is not 0 and the sentence has the remedy."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    done = prove({"DESKD_SANDBOX__JAIL_DIR": str(closed / "jails")})
    assert done.returncode == 1
    assert done.stderr.startswith("setup: no jail can be made here: ")
    assert "o+x" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Give a folder that strategies' uids can reach: pytest's own is 0700."""
    with tempfile.TemporaryDirectory(prefix="deskd-prove-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.needs_nsjail
def test_a_machine_with_jails_passes_quietly(reachable: Path) -> None:
    """A proof that holds needs no words."""
    done = prove({"DESKD_SANDBOX__JAIL_DIR": str(reachable)})
    if done.returncode == 1:
        pytest.skip(done.stderr)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
