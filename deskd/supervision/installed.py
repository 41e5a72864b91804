"""Which packages a strategies' environment has: named to a member whose import found nothing."""

import re
from functools import lru_cache
from pathlib import Path

_FOLDERS_KEPT = 16  # of environments; each is named by its content, and never changes


@lru_cache(maxsize=_FOLDERS_KEPT)
def installed(environment: Path) -> tuple[str, ...]:
    """Return the packages' names, sorted; desk_client is always there."""
    found = {
        re.split(r"-\d", folder.name, maxsplit=1)[0]
        for folder in environment.glob("lib/python3*/site-packages/*.dist-info")
    }
    return tuple(sorted(found | {"desk_client"}, key=str.lower))
