"""When the broker's account is to be suspended: a second lock behind the desk's own.

Rule 1: under a kill of the desk that cancels; under any that flattens only when it is flat: closing needs orders.
Rule 2: the fact comes before the request, so that a desk that dies between them lets the account trade again after the
        release. What somebody else suspended is not the desk's to set free.
"""

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record
from deskd.domain.kill import THE_DESK, KillDepth


def is_wanted(desk: Desk) -> bool:
    """Tell whether the account is to be suspended now."""
    kill = desk.kills.in_force.get(THE_DESK)
    if kill is None or not kill.depth.reaches(KillDepth.CANCEL):
        return False
    return all(one.flat_at is not None for one in desk.kills.at_least(KillDepth.FLATTEN))


def on_suspended(desk: Desk, event: ev.TradingSuspended) -> list[Effect]:
    """Return the fact, where it is news."""
    return [Record(event)] if event.is_suspended is not (desk.kills.suspended is not None) else []
