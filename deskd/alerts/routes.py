"""Where notifications go: names in desk.toml, addresses in a file of their own, because an address holds secrets.

The file is TOML: `[routes]` NAME = "apprise address", `[members]` MEMBER = ["NAME", ...]. Nothing that is said about it
shows an address.
"""

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from deskd.alerts.plan import Plan
from deskd.config import Config, NotifySection
from deskd.config.changes import MASK, NOT_SET, Applies, Change
from deskd.config.near import nearest
from deskd.domain.errors import ConfigError
from deskd.domain.ids import UserId
from deskd.domain.notifications import Topic

CREDENTIAL = "notification_routes"
FILE_BYTES_MAX = 65_536
_SHAPE = '[routes] NAME = "apprise address", and [members] MEMBER = ["NAME"]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Addresses by name, and which members have which. It is never shown: its text is masked."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[UserId, tuple[str, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Tell the names alone."""
        return f"Routes({', '.join(sorted(self.addresses))})"

    __str__ = __repr__


def file_of_routes(config: NotifySection, environment: Mapping[str, str], installed: Path | None = None) -> Path | None:
    """Return where the routes stand: in the file that desk.toml names, in the desk's credential; None: nowhere.

    *installed*: from where the unit loads that credential, for people who look at the desk from outside.
    """
    folder = environment.get("CREDENTIALS_DIRECTORY")
    places = (Path(folder, CREDENTIAL) if folder else None, installed)
    return config.routes_file or next((place for place in places if place is not None and place.is_file()), None)


def read_routes(config: NotifySection, environment: Mapping[str, str], installed: Path | None = None) -> Routes:
    """Return the routes; none where there is no file. Raise ConfigError with file, key, rule and remedy."""
    file = file_of_routes(config, environment, installed)
    routes = Routes() if file is None else _read(file)
    for topic in Topic:
        for name in routes_of(config, topic):
            if name not in routes.addresses:
                key, known = f"notify.{_key(topic)}", routes.addresses
                if file is None:
                    raise ConfigError(f'{key}: names "{name}", but there is no file of routes: set notify.routes_file')
                raise ConfigError(f'{key}: there is no route "{name}" in {file}; {_near(name, known)}')
    return routes


def changes_of_routes(old: Routes, new: Routes) -> tuple[Change, ...]:
    """Return which routes and members are others than before; no address is in it."""
    found = []
    for name in sorted({*old.addresses, *new.addresses}):
        before, after = old.addresses.get(name), new.addresses.get(name)
        if before != after:
            shown = [NOT_SET if one is None else MASK for one in (before, after)]
            found.append(Change(key=f"routes.{name}", old=shown[0], new=shown[1], applies=Applies.NOW))
    for member in sorted({*old.members, *new.members}):
        names = [", ".join(routes.members.get(member, ())) or NOT_SET for routes in (old, new)]
        if names[0] != names[1]:
            found.append(Change(key=f"members.{member}", old=names[0], new=names[1], applies=Applies.NOW))
    return tuple(found)


def plan_of(config: Config, routes: Routes) -> Plan:
    """Return what desk.toml and the routes make of who hears what; members' wishes come with their strategies."""
    section = config.notify
    return Plan(
        topics={topic: routes_of(section, topic) for topic in Topic},
        members=routes.members,
        digest=timedelta(seconds=section.digest_s),
        per_minute=section.per_minute_max,
        tries_max=section.tries_max,
        is_live=not config.broker.paper,
        down_after=timedelta(seconds=section.stream_down_after_s),
    )


def routes_of(config: NotifySection, topic: Topic) -> tuple[str, ...]:
    """Return the names of the routes that desk.toml gives the topic."""
    names: tuple[str, ...] = getattr(config, _key(topic))
    return names


def _key(topic: Topic) -> str:
    return topic.value.replace("-", "_")


def _read(file: Path) -> Routes:
    try:
        mode = file.stat().st_mode
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            raise ConfigError(f"{file}: everybody can read or write it, and addresses hold secrets: chmod 0600 {file}")
        data = file.read_bytes()
        if len(data) > FILE_BYTES_MAX:
            raise ConfigError(f"{file}: has {len(data)} bytes; routes have at most {FILE_BYTES_MAX}")
        tables = tomllib.loads(data.decode())
    except OSError as error:
        text = f"{file}: cannot be read: {error.strerror}; correct notify.routes_file, or its permissions"
        raise ConfigError(text) from error
    except ValueError:  # its words would show what stands there
        raise ConfigError(f"{file}: is not TOML in UTF-8; write {_SHAPE}") from None
    if unknown := sorted(set(tables) - {"routes", "members"}):
        raise ConfigError(f"{file}: [{unknown[0]}]: no such section; write {_SHAPE}")
    addresses, members = tables.get("routes", {}), tables.get("members", {})
    if not isinstance(addresses, dict) or not isinstance(members, dict):
        raise ConfigError(f"{file}: routes and members are sections; write {_SHAPE}")
    for name, address in addresses.items():
        if not isinstance(address, str) or "://" not in address:
            raise ConfigError(f"{file}: routes.{name}: is no address (not shown); write it as KIND://..., in quotes")
    for member, names in members.items():
        for name in names if isinstance(names, list) else [None]:
            if not isinstance(name, str):
                raise ConfigError(f'{file}: members.{member}: write a list of routes, as in ["NAME"]')
            if name not in addresses:
                raise ConfigError(f'{file}: members.{member}: there is no route "{name}"; {_near(name, addresses)}')
    return Routes(addresses=addresses, members={UserId(who): tuple(names) for who, names in members.items()})


def _near(name: str, known: Mapping[str, str]) -> str:
    near = nearest(name, known)
    return f'did you mean "{near}"?' if near else f"there are: {', '.join(sorted(known)) or 'none'}"
