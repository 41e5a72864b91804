"""Whether notifications can arrive: the routes' file, each address as it is written, and whether its host is there.

What is heavy is imported where it is needed: only a desk with routes pays for it.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from deskd.alerts.routes import CREDENTIAL, Routes, file_of_routes, read_routes, routes_of
from deskd.cli.check import BAD, GOOD, WARNING, Check, not_yours
from deskd.cli.place import INSTALLED
from deskd.config import Config
from deskd.domain.errors import ConfigError
from deskd.domain.notifications import Topic

KNOCK_S = 3.0
_TRY = "try them all: deskctl notify test"
_URGENT = (Topic.RISK, Topic.SYSTEM_ALERTS)  # what nobody should have to look for


def installed_routes(file: Path) -> Path | None:
    """Return from where the unit loads the routes of the desk with that configuration; None: no unit does."""
    return INSTALLED.with_name(CREDENTIAL) if file.absolute() == INSTALLED else None


def problems_with_routes(config: Config, file: Path, environment: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the routes as they are written; nothing where whoever asks may not read them."""
    try:
        if not _may_read(config, file, environment):
            return []
        routes = read_routes(config.notify, environment, installed_routes(file))
    except ConfigError as error:
        return [str(error)]
    return [f"routes.{name}: {problem}" for name, problem in _flaws(routes)]


def examine_routes(config: Config, file: Path, environment: Mapping[str, str], desk_uid: int) -> Iterator[Check]:
    """Yield what an officer should know about who is told of what."""
    place = file_of_routes(config.notify, environment, installed_routes(file))
    if place is not None and not _may_read(config, file, environment):
        yield not_yours("notifications", str(place))
        return
    try:
        routes = read_routes(config.notify, environment, installed_routes(file))
    except ConfigError as error:
        what, _, remedy = str(error).rpartition("; ")
        yield Check("notifications", BAD, what or remedy, f"{remedy}; then: deskctl config check")
        return
    if place is None or not routes.addresses:
        yield _nobody(config, place)
        return
    if config.notify.routes_file is not None and not _can_read(place, desk_uid):
        yield Check("notifications", BAD, f"{place}: the desk's user cannot read it", f"chown {desk_uid} {place}")
        return
    trouble = [
        *(Check(f"route {name}", BAD, problem, f"correct it in {place}") for name, problem in _flaws(routes)),
        *_unreached(routes, place),
    ]
    if idle := _idle(config, routes):
        found, remedy = (
            f"nobody is told by {', '.join(idle)}",
            f"name it in [notify], or in [members] of {place}",
        )
        trouble.append(Check("notifications", WARNING, found, remedy))
    silent = [str(topic) for topic in _URGENT if not routes_of(config.notify, topic)]
    if silent:
        keys = ", ".join(f"notify.{topic.replace('-', '_')}" for topic in silent)
        trouble.append(Check("notifications", WARNING, f"no officer is told of {', '.join(silent)}", f"set {keys}"))
    yield from trouble or [Check("notifications", GOOD, f"routes in {place}: {_names(routes)}; {_TRY}")]


def _nobody(config: Config, place: Path | None) -> Check:
    found = "no routes: nobody is told of anything"
    if config.broker.mode == "embedded":
        return Check("notifications", GOOD, f"{found}; it is the embedded exchange's money")
    where = place or "a file of routes (notify.routes_file)"
    return Check("notifications", WARNING, found, f"write addresses into {where}, and their names into [notify]")


def _flaws(routes: Routes) -> list[tuple[str, str]]:
    if not routes.addresses:
        return []
    from deskd.alerts.receiver import flaw

    found = ((name, flaw(address)) for name, address in sorted(routes.addresses.items()))
    return [(name, problem) for name, problem in found if problem is not None]


def _unreached(routes: Routes, place: Path) -> list[Check]:
    """Knock at all hosts at once: one that is down takes KNOCK_S to say so."""
    from concurrent.futures import ThreadPoolExecutor

    from deskd.alerts.receiver import unreachable

    names = sorted(routes.addresses)
    with ThreadPoolExecutor(max_workers=len(names), thread_name_prefix="knock") as threads:
        found = list(threads.map(lambda name: unreachable(routes.addresses[name], KNOCK_S), names))
    remedy = f"look at this machine's network and at the address in {place}; then: deskctl notify test"
    return [Check(f"route {name}", WARNING, why, remedy) for name, why in zip(names, found, strict=True) if why]


def _idle(config: Config, routes: Routes) -> list[str]:
    """Return the routes that no topic and no member has."""
    used = {name for topic in Topic for name in routes_of(config.notify, topic)}
    return sorted(routes.addresses.keys() - used.union(*routes.members.values()))


def _names(routes: Routes) -> str:
    members = f"; of members: {', '.join(sorted(routes.members))}" if routes.members else ""
    return f"{', '.join(sorted(routes.addresses))}{members}"


def _may_read(config: Config, file: Path, environment: Mapping[str, str]) -> bool:
    """Return whether whoever asks may read the routes, where there are any; in a folder that is shut there may be."""
    place = file_of_routes(config.notify, environment, installed_routes(file))
    return place is None or not place.exists() or os.access(place, os.R_OK, effective_ids=True)


def _can_read(place: Path, uid: int) -> bool:
    """Return whether that user may read it, as far as the file's own mode tells."""
    found = place.stat()
    if uid == 0:
        return True
    if found.st_uid == uid:
        return bool(found.st_mode & stat.S_IRUSR)
    return found.st_gid in _groups_of(uid) and bool(found.st_mode & stat.S_IRGRP)


def _groups_of(uid: int) -> set[int]:
    import pwd

    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return set()
    return set(os.getgrouplist(user.pw_name, user.pw_gid))
