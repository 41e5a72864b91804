"""The older alpaca-trade-api 3.2.0, unmodified and in an environment of its own, works against the exchange."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hang import HANG_S
from tests.venue.serving import KEYS, ROOT, served_in_thread, settings, write_tape

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "trade_api_requirements.txt"
VENV = ROOT / "var" / "test-cache" / "alpaca-trade-api-3.2.0"
BUILD_S = 600  # pandas and numpy are fetched once

pytestmark = [pytest.mark.slow, pytest.mark.timeout(BUILD_S + 120)]


def _python() -> str:
    """Return an interpreter for which the library's old dependencies have wheels."""
    for name in ("python3.11", "python3.12"):
        path = shutil.which(name)
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    if sys.version_info[:2] == (3, 12):
        return sys.executable
    pytest.skip("alpaca-trade-api 3.2.0 needs Python 3.11 or 3.12, and none is here")


@pytest.fixture(scope="module")
def library() -> Path:
    """Build the library's environment once; skip with the reason where that cannot be."""
    python, done = VENV / "bin" / "python", VENV / "done"
    if done.exists() and done.read_text() == REQUIREMENTS.read_text():
        return python
    shutil.rmtree(VENV, ignore_errors=True)
    for command in (
        [_python(), "-m", "venv", str(VENV)],
        [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)],
    ):
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"alpaca-trade-api's environment was not built within {BUILD_S} s")
        if result.returncode:
            last = result.stderr.strip().splitlines()[-1:] or ["no message"]
            pytest.skip(f"alpaca-trade-api's environment cannot be built here: {last[0]}")
    done.write_text(REQUIREMENTS.read_text())
    return python


def test_the_older_library_trades_and_listens(library: Path, tmp_path: Path) -> None:
    """Its REST class and its streams, configured by its own environment variables, find what they expect."""
    told = settings(write_tape(tmp_path / "tape"), speed=60.0)
    with served_in_thread(told) as url:
        environment = {
            "PATH": os.environ["PATH"],
            "APCA_API_KEY_ID": KEYS.key_id,
            "APCA_API_SECRET_KEY": KEYS.secret_key,
            "APCA_API_BASE_URL": url,
            "APCA_API_DATA_URL": url,
            "APCA_API_STREAM_URL": url,
            "APCA_RETRY_MAX": "0",
        }
        result = subprocess.run(
            [str(library), str(HERE / "trade_api_client.py")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
    assert (result.returncode, result.stdout) == (0, "all well\n"), result.stderr
