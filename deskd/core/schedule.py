"""Whether a strategy's schedule lets it open anything now. What only closes always passes.

Rule 1: time is the market's, on a tape the tape's: from the broker's clock, whose closes are early where its calendar says.
Rule 2: a strategy without a schedule needs no clock. Of one with a schedule, an unknown time is no time to open.
"""

from datetime import timedelta
from zoneinfo import ZoneInfo

from deskd.core.checks import Evidence, Finding, Valued
from deskd.domain.reasons import DenialReason as R
from deskd.domain.schedule import WEEK, closes_at

_NEW_YORK = ZoneInfo("America/New_York")
_UNKNOWN = "the broker's clock was not heard for a minute: nothing opens until it is; what closes passes"
_ANY_HOURS = Finding(True, R.OUTSIDE_HOURS, "hours=any")
_NO_QUIET = Finding(True, R.CLOSING_SOON, "before_close_min=any")


def within_hours(e: Evidence, v: Valued) -> Finding:
    """Deny what opens outside the strategy's hours and days."""
    schedule = e.schedule
    if not schedule.has_hours:
        return _ANY_HOURS
    limit = f"hours={_hhmm(schedule.opens_min)}-{_hhmm(schedule.closes_min)} days={','.join(schedule.days)}"
    if e.clock is None:
        return Finding(not v.opens, R.OUTSIDE_HOURS, "new_york=unknown", limit, _UNKNOWN)
    local = e.clock.timestamp.astimezone(_NEW_YORK)
    minute, day = local.hour * 60 + local.minute, WEEK[local.weekday()]
    is_in = day in schedule.days and schedule.opens_min <= minute < schedule.closes_min
    figure = f"new_york={_hhmm(minute)} day={day}"
    return Finding(is_in or not v.opens, R.OUTSIDE_HOURS, figure, limit, "wait for the strategy's hours")


def close_is_far(e: Evidence, v: Valued) -> Finding:
    """Deny what opens in the last minutes of the regular session."""
    quiet = e.schedule.quiet
    if not quiet:
        return _NO_QUIET
    limit = f"no_new_before_close_min={quiet // timedelta(minutes=1)}"
    if e.clock is None:
        return Finding(not v.opens, R.CLOSING_SOON, "before_close_min=unknown", limit, _UNKNOWN)
    ends = closes_at(e.clock)
    if ends is None:  # whether the market takes orders now is another check's affair
        return Finding(True, R.CLOSING_SOON, "before_close_min=closed", limit)
    left = ends - e.clock.timestamp
    figure = f"before_close_min={left / timedelta(minutes=1):.1f}"
    remedy = "the session ends soon; what closes a position passes"
    return Finding(left > quiet or not v.opens, R.CLOSING_SOON, figure, limit, remedy)


def _hhmm(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
