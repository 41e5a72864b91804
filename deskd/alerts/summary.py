"""The day's summary as each member hears it: their own strategies, one message each. Pure.

Officers' own of the same fact is wording.py's; it goes to nobody else.
"""

from datetime import date

from deskd.alerts.plan import Plan
from deskd.alerts.wording import Known, dollars
from deskd.domain.events import DaySummarized
from deskd.domain.ids import StrategyId, UserId
from deskd.domain.money import ZERO, Cash
from deskd.domain.notifications import NO_WISHES, Notification, Severity, Topic


def told_members(seq: int, fact: DaySummarized, known: Known, plan: Plan) -> list[Notification]:
    """Return one notification for each member who has a route, of those of their strategies that wish for it."""
    by_member: dict[UserId, list[tuple[StrategyId, Cash]]] = {}
    for strategy, pnl in fact.strategies:
        member = known.member_of(strategy)
        is_wished = Topic.DAILY_SUMMARY not in plan.wishes.get(strategy, NO_WISHES).off
        if member is not None and is_wished and plan.members.get(member):
            by_member.setdefault(member, []).append((strategy, pnl))
    return [_told(seq, fact, member, owned) for member, owned in by_member.items()]


def _told(seq: int, fact: DaySummarized, member: UserId, owned: list[tuple[StrategyId, Cash]]) -> Notification:
    total = Cash(sum((pnl for _, pnl in owned), ZERO))
    lines = [f"{strategy}: {dollars(pnl)}" for strategy, pnl in owned]
    return Notification(
        key=f"fact:{seq}:{member}",
        topic=Topic.DAILY_SUMMARY,
        severity=Severity.INFO,
        title=f"{fact.market_day.isoformat()}: your day's P&L {dollars(total)}",
        text="\n".join([*lines, _more(fact.market_day)]),
        at=fact.at,
        member=member,
        strategy=owned[0][0],  # its quiet hours count
        is_private=True,
    )


def _more(day: date) -> str:
    return f"More: deskctl report {day.isoformat()}"
