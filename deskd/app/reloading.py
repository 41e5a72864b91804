"""Reads desk.toml again in a running desk: by SIGHUP (`systemctl reload`) and by `deskctl config reload`.

Rule 1: the whole file is judged first. A wrong one changes nothing, says all that is wrong, and stays in the desk's one
        line until a good one was read: `systemctl reload` itself cannot tell.
Rule 2: who changed what is a fact before it counts; what became of limits and allocations are facts of their own.
Rule 3: what needs a restart stays as it was, and is named.
Rule 4: the file of notifications' routes is read and judged with it; its addresses are never shown.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field

import structlog

from deskd.alerts.routes import Routes, changes_of_routes
from deskd.config import Config
from deskd.config.changes import Applies, Change, changes, with_applied
from deskd.config.load import Loaded
from deskd.domain import events as ev
from deskd.domain.errors import ConfigError
from deskd.domain.ids import StrategyId
from deskd.ports import Clock

NO_FILE = "this desk was started without a configuration file: there is nothing to read again"
TOLD_MAX = 100  # changes in one fact; the log has each

log = structlog.get_logger()

type Misfits = Mapping[StrategyId, str]  # strategies that fitted before, and why not any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What a reload came to."""

    file: str | None
    changes: tuple[Change, ...] = ()
    problems: tuple[str, ...] = ()  # of a wrong file, which changed nothing
    misfits: Misfits = field(default_factory=dict)
    is_dry: bool = False  # what would change: nothing did

    def as_dict(self) -> Mapping[str, object]:
        """Return it for the control socket."""
        return {
            "file": self.file,
            "good": not self.problems,
            "dry_run": self.is_dry,
            "changes": [asdict(change) for change in self.changes],
            "problems": list(self.problems),
            "misfits": dict(self.misfits),
        }

    def in_words(self) -> str:
        """Return it as one line."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more)" if self.problems[1:] else ""
            return f"desk.toml is WRONG, nothing was changed: {self.problems[0]}{more}"
        waiting = [change.key for change in self.changes if change.applies is Applies.RESTART]
        text = f"desk.toml read, changes applied: {len(self.changes) - len(waiting)}"
        return f"{text}; needs a restart: {', '.join(waiting)}" if waiting else text


@dataclass(slots=True, kw_only=True)
class Reloading:
    """Reads, judges, compares, and has the desk take what it can."""

    read: Callable[[], Loaded] | None  # raises ConfigError; None: there is no file
    in_force: Callable[[], Config]
    take: Callable[[Config, str], Awaitable[Misfits]]  # the settings that count from now on, and who says so
    keep: Callable[[ev.CommandGiven], Awaitable[None]]  # return when it is on disk
    wall: Clock
    read_routes: Callable[[Config], Routes]  # raises ConfigError
    routes: Callable[[], Routes]  # in force
    take_routes: Callable[[Config, Routes], None]
    problem: str | None = None  # what the last reload stumbled over
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def reload(self, by: str, *, is_dry: bool = False) -> Reloaded:
        """Return what changed; one at a time."""
        async with self._turn:
            old = self.in_force()
            try:
                loaded, routes = await asyncio.to_thread(self._judged, old)
            except ConfigError as error:
                return self._refused(by, str(error).splitlines(), is_dry=is_dry)
            found = changes(old, loaded.config) + changes_of_routes(self.routes(), routes)
            file = None if loaded.file is None else str(loaded.file)
            if is_dry:
                return Reloaded(file=file, changes=found, is_dry=True)
            await self.keep(
                ev.CommandGiven(by=by, command="config reload", arguments=_in_one_line(found), at=self.wall.now())
            )
            config = with_applied(old, loaded.config)
            misfits = await self.take(config, by)
            self.take_routes(config, routes)
            reloaded = Reloaded(file=file, changes=found, misfits=misfits)
            self.problem = None
            self._say(reloaded, by)
            return reloaded

    def _judged(self, old: Config) -> tuple[Loaded, Routes]:
        loaded = (self.read or _no_file)()
        return loaded, self.read_routes(with_applied(old, loaded.config))

    def _refused(self, by: str, problems: list[str], *, is_dry: bool) -> Reloaded:
        refused = Reloaded(file=None, problems=tuple(problems), is_dry=is_dry)
        if not is_dry:
            self.problem = refused.in_words()
            for problem in problems:
                log.error("config_wrong", problem=problem, consequence="nothing was changed", by=by)
        return refused

    def _say(self, reloaded: Reloaded, by: str) -> None:
        for change in reloaded.changes:
            say = log.warning if change.applies is Applies.RESTART else log.info
            say("config_changed", key=change.key, old=change.old, new=change.new, applies=str(change.applies), by=by)
        for strategy_id, why in reloaded.misfits.items():
            consequence = "it runs on under the tighter bounds, and cannot be started again"
            log.warning("strategy_misfits", strategy_id=strategy_id, why=why, consequence=consequence)
        log.info("config_reloaded", changed=len(reloaded.changes), file=reloaded.file, by=by)


def _no_file() -> Loaded:
    raise ConfigError(NO_FILE)


def _in_one_line(found: tuple[Change, ...]) -> str:
    lines = [str(change) for change in found[:TOLD_MAX]]
    if len(found) > TOLD_MAX:
        lines.append(f"and {len(found) - TOLD_MAX} more")
    return "; ".join(lines) or "nothing changed"
