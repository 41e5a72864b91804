"""One host uid per strategy: what keeps two members apart even where both escape their jails.

A uid is persistent: it owns the strategy's /state, so it is never given to another strategy.
"""

import grp
import json
import os
import pwd
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId

_CAP_CHOWN, _CAP_SETGID, _CAP_SETUID = 0, 6, 7
_LOWEST, _HIGHEST = 65_536, 524_287  # below: people and services; above: systemd's containers
_NOT_OURS = (
    range(61_184, 65_520),  # DynamicUser=
    range(65_534, 65_536),  # nobody, and the 16-bit "none"
)


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
    folder: Path | None = None  # of the jails: who bears what in it stands in for a lost file
    _turn: threading.Lock = field(default_factory=threading.Lock)  # runs are prepared in several threads

    def of(self, strategy_id: StrategyId) -> int:
        """Return the strategy's uid, the same for ever; a new one is on disk before it is returned."""
        with self._turn:
            known = self.known()
            is_new = strategy_id not in known
            if is_new:
                known[strategy_id] = free_uid(known, self.first, [*_subordinate_ranges(), *_NOT_OURS], is_known_here)
            if is_new or not self.file.exists():
                self._write(known)
            return known[strategy_id]

    def known(self) -> dict[str, int]:
        """Return every uid ever given; raise SandboxUnavailable where the file cannot be trusted."""
        try:
            text = self.file.read_text()
        except FileNotFoundError:
            return self._owners()
        try:
            known = json.loads(text)
        except ValueError as error:
            raise self._damaged(f"is not JSON ({error})") from error
        if not isinstance(known, dict) or not all(_is_uid(uid) for uid in known.values()):
            raise self._damaged("does not give each strategy one uid")
        owners = Counter(known.values())
        if twice := [name for name, uid in known.items() if owners[uid] > 1]:
            raise self._damaged(f"gives one uid to {' and '.join(sorted(twice))}")
        return known

    def _damaged(self, what: str) -> SandboxUnavailable:
        return SandboxUnavailable(
            f"{self.file}: {what}: restore it from a backup. It says which uid owns which strategy's state; new uids "
            "would open one strategy's state to another"
        )

    def _owners(self) -> dict[str, int]:
        """Return which uid each strategy bears, by what only it may read: a file that was lost is made anew from that.

        Two that bear one uid could read each other's code already; which of them is right, nobody here knows.
        """
        if self.folder is None:
            return {}
        found: dict[str, set[int]] = {}
        for code in self.folder.glob("code/*/*"):  # a copy of its folder: ours, and of its group
            found.setdefault(code.parent.name, set()).add(code.lstat().st_gid)
        for state in self.folder.glob("state/*/"):  # of an earlier desk: a folder of its own
            found.setdefault(state.name, set()).add(state.lstat().st_uid)
        ours = {os.geteuid(), os.getegid()}  # where the desk may not give anything to others, nobody has a uid
        known = {name: uids - ours for name, uids in found.items() if uids - ours}
        bearers = Counter(uid for uids in known.values() for uid in uids)
        unclear = [name for name, uids in known.items() if len(uids) > 1 or bearers[min(uids)] > 1]
        if unclear:
            names = " and ".join(sorted(unclear))
            raise SandboxUnavailable(
                f"{self.file}: is not there, and the copies of {names} in {self.folder}/code do not say which uid is whose: "
                f"restore the file from a backup, or remove the folders {self.folder}/code/NAME of these: "
                "they are made anew at the next start"
            )
        return {name: min(uids) for name, uids in known.items()}

    def _write(self, known: dict[str, int]) -> None:
        fresh = self.file.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(known, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.file)
        folder = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # else a power cut could bring the old file back, and give the uid a second time
        finally:
            os.close(folder)


def _is_uid(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**32 - 1


def is_known_here(uid: int) -> bool:
    """Say whether a user or a group of this machine, or of its directory service, has that number."""
    for look_up in (pwd.getpwuid, grp.getgrgid):
        try:
            look_up(uid)
        except KeyError:
            continue
        return True
    return False


def free_uid(
    known: Mapping[str, int], first: int, foreign: Sequence[range], is_taken: Callable[[int], bool] = lambda _: False
) -> int:
    """Return a uid from *first* on, beyond every one ever given (an entry outlives its strategy), and nobody else's.

    Where none is left there, one of the gaps from 65536 on that was never given.
    """
    given = set(known.values())
    for start in (max([first, *(1 + uid for uid in given)]), _LOWEST):
        uid = start
        while uid <= _HIGHEST:
            if overlap := next((taken for taken in foreign if uid in taken), None):
                uid = overlap.stop
            elif uid in given or is_taken(uid):
                uid += 1
            else:
                return uid
    raise SandboxUnavailable(
        f"[sandbox] uid_first={first}: no uid is left from {_LOWEST} to {_HIGHEST} beside those of /etc/subuid and of "
        "this machine's users: give fewer subordinate uids to users"
    )


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
