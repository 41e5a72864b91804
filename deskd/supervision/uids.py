"""One host uid per strategy: what keeps two members apart even where both escape their jails.

A uid is persistent: it owns the strategy's /state, so it is never given to another strategy.
"""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId

_CAP_CHOWN, _CAP_SETGID, _CAP_SETUID = 0, 6, 7
_NSPAWN = range(524_288, 1_879_048_192)  # systemd-nspawn takes uids from here
_UID_MAX = 4_294_967_294


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a strategy is on the host. *is_own*: the desk may not make others, so every strategy is the desk's user."""

    uid: int
    gid: int
    is_own: bool


def can_map_uids() -> bool:
    """Say whether this process may give each strategy a uid of its own (root, or CAP_SETUID, SETGID and CHOWN)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return all(held >> cap & 1 for cap in (_CAP_CHOWN, _CAP_SETGID, _CAP_SETUID))
    return False


@dataclass(frozen=True, slots=True)
class Uids:
    """The uids of one desk, kept in a file. Only one desk at a time may use the file (see staging's lock)."""

    file: Path
    first: int
    _turn: threading.Lock = field(default_factory=threading.Lock)  # runs are prepared in several threads

    def of(self, strategy_id: StrategyId) -> int:
        """Return the strategy's uid, the same for ever; a new one is on disk before it is returned."""
        with self._turn:
            known = self._read()
            if strategy_id not in known:
                known[strategy_id] = free_uid(known, self.first, [*_subordinate_ranges(), _NSPAWN])
                self._write(known)
            return known[strategy_id]

    def _read(self) -> dict[str, int]:
        if not self.file.exists():
            return {}
        try:
            known = json.loads(self.file.read_text())
        except ValueError as error:
            raise SandboxUnavailable(
                f"{self.file}: is not JSON ({error}): restore it from a backup. It says which uid owns which "
                "strategy's state; new uids would open one strategy's state to another"
            ) from error
        assert isinstance(known, dict)
        return known

    def _write(self, known: dict[str, int]) -> None:
        fresh = self.file.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(known, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.file)


def free_uid(known: Mapping[str, int], first: int, foreign: Sequence[range]) -> int:
    """Return a uid from *first* on, beyond every one ever given (an entry outlives its strategy) and in no foreign range."""
    uid = max([first, *(1 + given for given in known.values())])
    while overlap := next((taken for taken in foreign if uid in taken), None):
        uid = overlap.stop
    if uid > _UID_MAX:
        raise SandboxUnavailable(f"[sandbox] uid_first={first}: no uid is left above it: set a lower one")
    return uid


def _subordinate_ranges() -> list[range]:
    """Return the uids that users may map by newuidmap: theirs, not ours."""
    ranges = []
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        if path.exists():
            for line in path.read_text().splitlines():
                _, *numbers = line.split(":")
                if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
                    ranges.append(range(int(numbers[0]), int(numbers[0]) + int(numbers[1])))
    return ranges
