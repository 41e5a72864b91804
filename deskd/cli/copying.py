"""A copy of the ledger for whoever asks: the desk makes it where it may, else the caller does, who may read the ledger.

The desk is asked first: so the command is on record, and the file is the desk's where the desk may write. Its unit shuts it
out of homes and of other disks, and gives it a /tmp of its own, in which a copy would be lost: there the caller copies.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deskd.cli.call import Call
from deskd.cli.client import DeskNotReachable, NotDone
from deskd.domain.errors import LedgerError
from deskd.ledger.backup import backup, identity_of


def copy_of(call: Call, target: Path, ledger: Callable[[], Path]) -> Mapping[str, Any]:
    """Copy the ledger into the new file *target*; return its name, facts and last hash, or raise NotDone with the reason.

    *ledger* returns where it is, for a copy without the desk; it raises NotDone where the caller may not read it.
    """
    try:
        asked = {"file": str(target), "folder": identity_of(target.parent)}
        return call.desk().command("/backup", asked).body
    except DeskNotReachable:
        source = ledger()
    except NotDone as refused:
        try:
            source = ledger()
        except NotDone:  # neither may: the desk's own reason is the one to act on
            raise refused from None
    try:
        head = backup(source, target)
    except LedgerError as error:
        raise NotDone(str(error)) from None
    return {"file": str(target), "facts": head.seq, "last_hash": head.hash}
