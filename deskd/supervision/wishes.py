"""The key `notifications` of config.json: what a member wishes to hear of a strategy, and when. Critical is always told."""

from datetime import time, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from deskd.config.near import nearest
from deskd.config.section import HHMM
from deskd.domain.notifications import QuietHours, Topic, Wishes
from deskd.supervision.folder import FolderError

DIGEST_MAX_MIN = 24 * 60  # what is older is history to everybody
_SHOWN_MAX = 60  # characters of a topic that is none


def _topics(names: list[str]) -> list[str]:
    known = [topic.value for topic in Topic]
    for name in names:
        if name not in known:
            shown = name if len(name) <= _SHOWN_MAX else f"{name[:_SHOWN_MAX]}…"
            meant = nearest(shown, known)
            hint = f'did you mean "{meant}"?' if meant else f"known are {', '.join(known)}"
            raise ValueError(f'"{shown}" is no topic: {hint}')
    if len(set(names)) != len(names):
        raise ValueError("names a topic twice: name each once")
    return names


type _Time = Annotated[str, Field(pattern=HHMM)]


class OwnWishes(BaseModel):
    """What stands there. What is left out is as the desk does it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    off: Annotated[list[str], AfterValidator(_topics)] = []
    digest_min: int | None = Field(None, ge=0, le=DIGEST_MAX_MIN)
    quiet_since: _Time | None = None
    quiet_until: _Time | None = None


def own_wishes(given: OwnWishes) -> Wishes:
    """Return the member's wishes; raise FolderError for quiet hours that are none."""
    digest = None if given.digest_min is None else timedelta(minutes=given.digest_min)
    return Wishes(off=frozenset(Topic(name) for name in given.off), digest=digest, quiet=_quiet(given))


def _quiet(given: OwnWishes) -> QuietHours | None:
    if given.quiet_since is None and given.quiet_until is None:
        return None
    if given.quiet_since is None or given.quiet_until is None:
        has, lacks = ("since", "until") if given.quiet_until is None else ("until", "since")
        text = f"quiet_{has} stands there without quiet_{lacks}: quiet hours have both; add it"
        raise FolderError(f"config.json: notifications: {text}, or leave both out")
    since, until = _clock(given.quiet_since), _clock(given.quiet_until)
    if since == until:
        text = f"quiet_since={given.quiet_since} and quiet_until={given.quiet_until} are the same time of the day"
        raise FolderError(f"config.json: notifications: {text}: change one; for no word at all turn topics off")
    return QuietHours(since=since, until=until)


def _clock(text: str) -> time:
    hours, minutes = text.split(":")
    return time(int(hours) % 24, int(minutes))  # 24:00 is midnight
