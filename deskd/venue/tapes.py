"""Opens the tape that a setting names: recorded files, or the synthetic market."""

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from deskd.domain.errors import ConfigError
from deskd.venue.calendar import Calendar
from deskd.venue.recorded import open_recorded
from deskd.venue.synthetic import SyntheticTape
from deskd.venue.tape import Tape

SYNTHETIC: Final = "synthetic"


def open_tape(sources: Sequence[str], *, calendar: Calendar, seed: int = 1, start: datetime | None = None) -> Tape:
    """Open files, folders or "synthetic", or raise ConfigError naming what is wrong and the remedy.

    *start* tells the synthetic market which day is its first; recorded days keep their own dates.
    """
    if not sources:
        raise ConfigError(f'no tape: name files or folders of recorded market data, or "{SYNTHETIC}"')
    if SYNTHETIC in sources:
        if len(sources) > 1:
            raise ConfigError(f'"{SYNTHETIC}" cannot play together with recorded files: name one or the other')
        return SyntheticTape(calendar=calendar, seed=seed, start=start)
    return open_recorded([_existing(source) for source in sources], calendar)


def _existing(source: str) -> Path:
    path = Path(source).expanduser()
    if path.exists():
        return path
    parent = next(parent for parent in path.parents if parent.is_dir())
    wanted = path.relative_to(parent).parts[0]
    near = get_close_matches(wanted, sorted(child.name for child in parent.iterdir()), n=1, cutoff=0.4)
    hint = f"; did you mean {parent / near[0]}?" if near else f"; nothing like it lies in {parent}"
    raise ConfigError(f"{source}: no such file or folder{hint}")
