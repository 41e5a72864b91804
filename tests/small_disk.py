"""A disk of eight megabytes, for tests of what happens when one is full."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SIZE_MB = 8


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount it; the test is skipped where that is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(place)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    place.chmod(0o755)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def grown(place: Path, size_mb: int) -> None:
    """Give it more room."""
    subprocess.run(["mount", "-o", f"remount,size={size_mb}m", str(place)], check=True, capture_output=True)
