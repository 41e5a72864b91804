"""What officers may read of the ledger without being root: its file, while the desk writes it, and what proves it.

The files are the desk's own, closed to all other users. Under its unit the desk may give them to the group of officers
(CAP_CHOWN) and does so at each start: SQLite makes the -wal and the -shm anew, and a restored backup has the group that it
was copied with. No key is among them. A desk that may not leaves them as they are: then officers say sudo.
"""

import os
from pathlib import Path

import structlog

from deskd.ledger.roots import PUBLIC_KEY, ROOTS

_MODE = 0o640  # of a file that is not there yet: the first root comes into it hours from now

log = structlog.get_logger()


def open_to_officers(ledger: Path, state_dir: Path, gid: int | None) -> None:
    """Give the ledger and its proofs to the group *gid* (None: there is no such group); blocks: call it in a thread."""
    if gid is None:
        return
    roots = state_dir / ROOTS
    files = (
        ledger,
        *(ledger.with_name(ledger.name + tail) for tail in ("-wal", "-shm")),
        state_dir / PUBLIC_KEY,
        roots,
    )
    try:
        roots.touch(mode=_MODE)
        for file in files:
            if os.path.lexists(file) and file.lstat().st_gid != gid:
                os.chown(file, -1, gid, follow_symlinks=False)
    except OSError as error:
        log.info("ledger_not_open_to_officers", error=str(error), consequence="officers read it with sudo")
