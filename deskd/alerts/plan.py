"""Who hears a notification, and when: pure. Officers say which routes a topic and a member have, members what they wish.

Rule 1: what is critical goes out at once, whatever anybody wishes.
Rule 2: INFO of trading topics waits for its digest; all else that is not critical only for the end of quiet hours.
Rule 3: a route is a name here: its address is a secret, and only the worker that sends needs it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from deskd.domain.ids import StrategyId, UserId
from deskd.domain.notifications import NO_WISHES, Notification, Severity, Topic, Wishes

_NEW_YORK = ZoneInfo("America/New_York")
_DIGESTED = frozenset({Topic.PAPER_TRADING, Topic.LIVE_TRADING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One notification on one route."""

    route: str
    at: datetime
    is_digest: bool  # it goes along with an earlier digest of the same route and topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that decides who hears what, and when."""

    topics: Mapping[Topic, Sequence[str]] = field(default_factory=dict)  # routes of officers
    members: Mapping[UserId, Sequence[str]] = field(default_factory=dict)  # routes of members
    wishes: Mapping[StrategyId, Wishes] = field(default_factory=dict)
    digest: timedelta = timedelta(minutes=1)
    per_minute: int = 10  # messages on one route
    tries_max: int = 8  # then a notification is dead, until somebody has it sent again
    is_live: bool = False
    down_after: timedelta = timedelta(minutes=1)  # a stream that is down for less is not told

    def dues(self, said: Notification, now: datetime) -> list[Due]:
        """Return where *said* goes, and when; each route once."""
        if said.only:
            return [self._due(route, said, self.digest, now) for route in said.only]
        routes = () if said.is_private else self.topics.get(said.topic, ())
        found = {route: self._due(route, said, self.digest, now) for route in routes}
        if said.member is not None:
            wishes = NO_WISHES if said.strategy is None else self.wishes.get(said.strategy, NO_WISHES)
            if said.severity is Severity.CRITICAL or said.topic not in wishes.off:
                digest = self.digest if wishes.digest is None else wishes.digest
                for route in self.members.get(said.member, ()):
                    due = self._due(route, said, digest, now)
                    found.setdefault(route, Due(route=route, at=_loud(due.at, said, wishes), is_digest=due.is_digest))
        return list(found.values())

    @staticmethod
    def _due(route: str, said: Notification, digest: timedelta, now: datetime) -> Due:
        is_digest = said.severity is Severity.INFO and said.topic in _DIGESTED
        return Due(route=route, at=now + said.wait + (digest if is_digest else timedelta(0)), is_digest=is_digest)


def _loud(at: datetime, said: Notification, wishes: Wishes) -> datetime:
    """Return when it may be told: *at*, or the end of the quiet hours that it falls into."""
    if wishes.quiet is None or said.severity is Severity.CRITICAL:
        return at
    there = at.astimezone(_NEW_YORK)
    if not wishes.quiet.covers(there.time()):
        return at
    end = datetime.combine(there.date(), wishes.quiet.until, _NEW_YORK)
    if end <= there:
        end = datetime.combine(there.date() + timedelta(days=1), wishes.quiet.until, _NEW_YORK)
    return end.astimezone(at.tzinfo)
