"""The desk's jobs lie where the configuration says."""

from pathlib import Path

from deskd.app.day_jobs import reports_dir
from deskd.config import Config
from deskd.config.settings import DeskSection


def test_reports_lie_in_the_state_folder() -> None:
    """Beside the ledger that they are made from."""
    config = Config(desk=DeskSection(state_dir=Path("/var/lib/deskd")))
    assert reports_dir(config) == Path("/var/lib/deskd/reports")
