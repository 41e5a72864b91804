"""What a desk's first start makes for all later ones: the staged interpreter, strategies' environment, the calendar.

It is the same for every desk of one checkout, and takes as long as the rest of a start. So it is made once for each
process of tests, and laid where a desk will look. What makes it has tests of its own (tests/supervision/test_staging.py,
tests/venue/test_calendar_cache.py), and tests/whole/test_desk.py starts on nothing.
"""

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from deskd.supervision.staging import JailFolder, stage_environment
from deskd.venue.calendar_cache import cached_calendar

STAGED, CALENDAR = ("python", "env"), "calendar.cache"


def furnish(state: Path) -> None:
    """Lay all of it below *state*, unless something is there: as hard links, which nobody writes through."""
    lay_calendar(state)
    for part in STAGED:
        if not (state / part).exists() and is_beside(state):
            shutil.copytree(_made() / part, state / part, symlinks=True, copy_function=os.link)


def lay_calendar(state: Path) -> None:
    """Lay the calendar of an exchange whose account is in *state*."""
    state.mkdir(parents=True, exist_ok=True)
    if is_beside(state):
        with suppress(FileExistsError):
            os.link(_made() / CALENDAR, state / CALENDAR)


def is_beside(state: Path) -> bool:
    """Tell whether it is on the same disk: one that a test made small, to be filled, is left as it is."""
    return _made().stat().st_dev == state.stat().st_dev


@cache
def _made() -> Path:
    made = Path(tempfile.mkdtemp(prefix="deskd-made-", dir="/tmp"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    folder = JailFolder(made)
    folder.prepare()
    stage_environment(folder, None)
    cached_calendar(made / CALENDAR)
    return made
