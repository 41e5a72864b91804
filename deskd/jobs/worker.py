"""The process in which what is heavy is done, beside the desk: `python -m deskd.jobs.worker WHAT PARENT ...`.

It only reads the ledger, runs niced, and ends with the desk.
"""

import ctypes
import gc
import os
import signal
import sqlite3
import sys
from datetime import date
from pathlib import Path

import msgspec

from deskd.domain.errors import LedgerError
from deskd.jobs import pages
from deskd.jobs.day import report
from deskd.jobs.fold_start import KEPT
from deskd.ledger.audit import verify

_PR_SET_PDEATHSIG = 1


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a report came to."""

    members: int
    files: int
    last_seq: int


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy of the ledger was found to be."""

    facts: int
    last_hash: str
    damages: tuple[str, ...]


def write(ledger: Path, folder: Path, market_day: date) -> Written:
    """Write the day's reports into *folder*, each file whole or not at all, for nobody but the desk's user.

    Of a day that the desk did not see nothing is written: it would be the latest report, and an empty one.
    """
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    day = report(ledger, market_day, folder.parent / KEPT)
    if not day.first_seq:
        return Written(members=0, files=0, last_seq=0)
    folder.mkdir(mode=0o700, exist_ok=True)
    written = 0
    members = day.members()
    for name, one in (("desk", day), *((f"member-{member}", day.of_member(member)) for member in members)):
        for ending, text in pages.files(one):
            _replace(folder / f"{name}.{ending}", text)
            written += 1
    return Written(members=len(members), files=written, last_seq=day.last_seq)


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # of one that was killed
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def check(copy: Path) -> Checked:
    """Read a copy of the ledger from its first entry to its last, tables and roots too."""
    verdict = verify(copy)
    return Checked(
        facts=verdict.facts, last_hash=verdict.last_hash, damages=tuple(str(damage) for damage in verdict.damages[:5])
    )


def main(arguments: list[str]) -> int:
    """Do one thing: `report PARENT LEDGER FOLDER DAY`, or `check PARENT COPY`."""
    what, parent, *rest = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        return 1  # the desk is gone already
    gc.disable()  # it would walk through every order again and again: a fold has no circles
    os.setpriority(os.PRIO_PROCESS, 0, max(10, os.getpriority(os.PRIO_PROCESS, 0)))  # the desk may go before others
    try:
        answer: Written | Checked
        if what == "report":
            answer = write(Path(rest[0]), Path(rest[1]), date.fromisoformat(rest[2]))
        else:
            answer = check(Path(rest[0]))
    except (OSError, LedgerError, sqlite3.Error) as error:
        sys.stderr.write(str(error))
        return 1
    sys.stdout.write(msgspec.json.encode(answer).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
