"""What a killed desk leaves outside its folder; its next start would take it away, but a test's desk has none."""

import contextlib
import json
from pathlib import Path

from deskd.supervision.cgroup import sweep


def sweep_up(jail_folder: Path) -> None:
    """Remove the cgroups of the desk that kept its jails in *jail_folder*."""
    remembered = jail_folder / "cgroups.json"
    if not remembered.exists():
        return
    groups = [Path(path) for path in json.loads(remembered.read_text())]
    sweep(groups)
    for group in groups:
        with contextlib.suppress(FileNotFoundError):
            group.rmdir()
