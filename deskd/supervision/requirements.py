"""A strategy's own packages: what its requirements.txt asks for, built by an officer's word and never at a run's start.

    own/KEY/site/     one set, precompiled; bound at /packages/own of the strategies that ask for just that
    own/KEY/lock.txt  name, version and hash of each wheel

KEY is of what is asked for, of every package that strategies share, and of the interpreter: where one changes, it is
built anew. Rule 1: what is not built does not run. Rule 2: a set is never changed, and used by whoever asks for the same.
Rule 3: the shared packages stay as they are: who needs another version of one asks the officers for it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from deskd.supervision.folder import FolderError, read_folder
from deskd.supervision.requirement_lines import Requirement, canonical, read_requirements
from deskd.supervision.staging import Environment

FILE = "requirements.txt"
UNUSED_S = 7 * 86_400  # a set that no strategy asks for is kept so long after its last start


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPackages:
    """The sets of one desk."""

    root: Path
    policy: Literal["deny", "wheels"]
    shared: Mapping[str, str]  # every package that all strategies have, with its version
    python: str

    def read(self, content: bytes | None) -> tuple[Requirement, ...]:
        """Return what a strategy asks for beside the shared packages; raise FolderError with the remedy."""
        found = read_requirements(content) if content is not None else ()
        missing = []
        for one in found:
            known = self.shared.get(one.name)
            if known is None or (known == one.version and one.extras):
                missing.append(one)
            elif known != one.version:
                raise FolderError(
                    f"{FILE}: {one.name}=={one.version}: this desk's strategies share {one.name} {known}: take the line "
                    f"out or write =={known}; another version is for the officers to choose ([sandbox] packages)"
                )
        return tuple(missing)

    def check(self, name: str, content: bytes | None) -> None:
        """Raise FolderError, with the remedy, where the strategy *name* cannot have what it asks for."""
        wanted = self.read(content)
        if not wanted:
            return
        if self.policy == "deny":
            names = ", ".join(one.name for one in wanted)
            raise FolderError(
                f"{FILE}: asks for {names}, and this desk builds no packages for single strategies: do without, or ask "
                'an officer ([sandbox] packages for everybody, or requirements = "wheels")'
            )
        if self.place(wanted) is None:
            raise FolderError(f"{FILE}: is not built for this environment: an officer runs `deskctl build {name}`")

    def is_to_be_built(self, content: bytes | None) -> bool:
        """Return whether it asks for something that officers let be built, and that is not yet."""
        wanted = self.read(content)
        return bool(wanted) and self.policy == "wheels" and self.place(wanted) is None

    def key(self, wanted: Collection[Requirement]) -> str:
        """Return the name of the set."""
        made_from = [[one.line() for one in sorted(wanted)], sorted(self.shared.items()), self.python]
        return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]

    def place(self, wanted: Collection[Requirement]) -> Path | None:
        """Return the folder of the built set; None where it is not built."""
        place = self.root / self.key(wanted)
        return place if (place / "site").is_dir() else None

    def of_code(self, code: Path) -> Path | None:
        """Return what is to be bound for the strategy whose copied code lies there, and note its use.

        Raise FolderError where it went away since the strategy was read.
        """
        file = code / FILE
        content = file.read_bytes() if file.is_file() else None
        self.check(code.parent.name, content)
        wanted = self.read(content)
        if not wanted:
            return None
        place = self.place(wanted)
        assert place is not None, "checked above"
        with suppress(PermissionError):  # a trial of somebody who only borrows it
            os.utime(place)
        return place / "site"

    def prune(self, wanted_by_all: Collection[Collection[Requirement]], now: float) -> list[str]:
        """Remove the sets that nobody asks for and that no run started with lately; return their keys."""
        kept = {self.key(wanted) for wanted in wanted_by_all}
        removed = []
        for place in self.root.iterdir() if self.root.is_dir() else ():
            if place.name not in kept and now - place.stat().st_mtime > UNUSED_S:
                shutil.rmtree(place, ignore_errors=True)
                removed.append(place.name)
        return removed


def prune_unused(own: OwnPackages, strategies_dir: Path, now: float) -> list[str]:
    """Remove the sets that no strategy there asks for, as `OwnPackages.prune` does."""
    wanted = []
    for folder in (path for path in strategies_dir.iterdir() if path.is_dir()) if strategies_dir.is_dir() else ():
        try:
            wanted.append(own.read(read_folder(folder)[0].get(PurePosixPath(FILE))))
        except FolderError:
            continue  # it cannot run either; its old set stays for UNUSED_S
    return own.prune(wanted, now)


def own_packages(jail_root: Path, policy: Literal["deny", "wheels"], environment: Environment) -> OwnPackages:
    """Return the sets below the jail folder, for that environment."""
    installed = {canonical(name): version for name, version in environment.installed().items()}
    return OwnPackages(root=jail_root / "own", policy=policy, shared=installed, python=environment.python)
