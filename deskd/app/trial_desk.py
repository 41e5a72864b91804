"""A desk of its own for one strategy: a folder that is gone afterwards, and the configuration that fits into it.

Rule 1: what decides is the given desk's: its limits, its jails, its exits. What reaches outside is not there: no
        notifications, metrics, jobs, no door for laptops, no broker but the embedded exchange.
Rule 2: nothing of a real desk is written. What its officers built for strategies is bound in jails, and never changed.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from deskd.config import Config, NotifySection
from deskd.domain.errors import ConfigError, SandboxUnavailable
from deskd.domain.ids import StrategyId
from deskd.supervision.environment import home_of
from deskd.supervision.folder import FolderError, read_folder
from deskd.supervision.staging import choose_jail_folder

# Beside a real desk's strategies, whose uids are counted from [sandbox] uid_first, and beside another trial's.
_UID_FIRST, _UIDS = 400_000, 100_000


@dataclass(frozen=True, slots=True)
class TrialDesk:
    """Where the strategy's copy lies, and the settings of the desk that runs it."""

    config: Config
    strategy_id: StrategyId

    @property
    def folder(self) -> Path:
        """Return the strategy's copy."""
        return self.config.desk.strategies_dir / self.strategy_id


@contextmanager
def trial_desk(folder: Path, settings: Config, *, cash: Decimal | None) -> Iterator[TrialDesk]:
    """Hand out a desk for the strategy in *folder*; nothing is left of it afterwards.

    *settings* are those that a real desk would go by, with the tape to play. *cash*: what the strategy gets to trade
    with; None: its allocation there. Raise ConfigError where the folder cannot be read.
    """
    name = folder.resolve().name
    try:
        files, _ = read_folder(folder.resolve())
    except FolderError as problem:
        raise ConfigError(f"{folder}: {problem}") from None
    place = Path(tempfile.mkdtemp(prefix="deskd-trial-"))
    try:
        place.chmod(0o711)  # strategies' uids pass through it to what is bound in their jails
        for file, content in files.items():
            target = place / "strategies" / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for part in ("var", "run"):
            (place / part).mkdir(mode=0o700)
        _lend_packages(settings, place / "jail")
        yield TrialDesk(trial_config(settings, place, StrategyId(name), cash), StrategyId(name))
    finally:
        shutil.rmtree(place)


def trial_config(settings: Config, place: Path, name: StrategyId, cash: Decimal | None) -> Config:
    """Return the settings of a desk that lives in *place* and has nobody but that strategy."""
    exchange, risk = settings.exchange, settings.risk
    if cash is not None:
        exchange = exchange.model_copy(update={"cash": max(cash, exchange.cash)})
        named = risk.strategies.get(name)
        own = {} if named is None else {name: named.model_copy(update={"allocation": cash})}
        strategy = risk.strategy.model_copy(update={"allocation": cash})
        risk = risk.model_copy(update={"strategy": strategy, "strategies": {**risk.strategies, **own}})
    return settings.model_copy(
        update={
            "desk": settings.desk.model_copy(
                update={
                    "name": f"trial of {name}",
                    "state_dir": place / "var",
                    "runtime_dir": place / "run",
                    "strategies_dir": place / "strategies",
                    "db_path": place / "var" / "desk.db",
                }
            ),
            "exchange": exchange.model_copy(
                update={"listen": "127.0.0.1:0", "loop": False, "state": place / "var" / "exchange.db"}
            ),
            "sandbox": settings.sandbox.model_copy(
                update={"jail_dir": place / "jail", "uid_first": _UID_FIRST + os.getpid() % _UIDS, "prewarmed": 0}
            ),
            "restart": settings.restart.model_copy(update={"give_up_after": 0}),  # one run is what was asked for
            "risk": risk,
            "jobs": settings.jobs.model_copy(update={"enabled": False, "backup_dir": place / "var" / "backups"}),
            "api": settings.api.model_copy(update={"local_port": 0}),
            "metrics": settings.metrics.model_copy(update={"listen": ""}),
            "notify": NotifySection(),  # pyright: ignore[reportCallIssue]
            "log": settings.log.model_copy(update={"level": "warning"}),
        }
    )


def _lend_packages(settings: Config, jail: Path) -> None:
    """Let the trial's jails bind the packages that were built for the real desk's, where there are any."""
    jail.mkdir(mode=0o711)
    jail.chmod(0o711)
    with contextlib.suppress(SandboxUnavailable, OSError):  # then there are none to be had
        real = choose_jail_folder(settings.sandbox, settings.desk.state_dir).root
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        shared = home_of(real).current(python)
        if shared is not None:
            home = home_of(jail)
            home.root.mkdir(mode=0o711)
            home.link(python).symlink_to(shared.parent)
        if (real / "own").is_dir():
            (jail / "own").symlink_to(real / "own")
