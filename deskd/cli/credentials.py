"""Whether the running desk has the credentials that lie on the disk: systemd hands them over at a start, at no reload."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from deskd.cli.place import INSTALLED

NAMES = ("alpaca_key_id", "alpaca_secret_key", "notification_routes")  # what deskd.service loads
REMEDY = "systemctl restart deskd, after the close"


def changed_since_start(desk: Mapping[str, Any], file: Path, installed: Path = INSTALLED) -> Sequence[str]:
    """Return which of the unit's credentials were changed after the desk had started: *desk* is its state, *file* its configuration.

    By the time of the change of state: whoever copies an old file over a new one may keep its date.
    """
    if file.absolute() != installed:
        return ()
    since = datetime.fromisoformat(desk["started_at"]).timestamp()
    found = []
    for name in NAMES:
        try:
            changed = installed.with_name(name).stat().st_ctime
        except OSError:
            continue  # not there, or not ours to see
        if changed > since:
            found.append(name)
    return found


def in_words(names: Sequence[str]) -> str:
    """Return what an officer should know of it."""
    return f"changed since the desk started, which still has the old: {', '.join(names)}"


def of_unit(file: Path, installed: Path = INSTALLED) -> Mapping[str, str] | None:
    """Return an environment that leads to the keys from where the unit loads them; None where they are not ours to read."""
    folder = file.absolute().parent
    if file.absolute() != installed or not os.access(folder / NAMES[1], os.R_OK):
        return None
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def are_hidden(file: Path, installed: Path = INSTALLED) -> bool:
    """Tell whether the unit has keys that the caller may not read, or has them where the caller may not look."""
    if file.absolute() != installed:
        return False
    key = installed.with_name(NAMES[1])
    try:
        key.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return not os.access(key, os.R_OK)
