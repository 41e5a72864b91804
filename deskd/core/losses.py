"""What strategy, member and desk have lost, in percent, for the kills that losses pull.

Rule 1: a release forgives what was lost until then: the same loss does not pull the kill again, a further one of the
        whole bound does. What is forgiven ends with the market day, or when the equity rises over the old peak.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol, assert_never

from deskd.core.portfolio import Portfolio
from deskd.core.records import Records
from deskd.domain.ids import StrategyId, UserId
from deskd.domain.kill import KillScope, KillTarget
from deskd.domain.money import NO_CASH, ZERO, Cash

_PERCENT = Decimal(100)


class Books(Protocol):
    """What of the desk is looked at here."""

    portfolio: Portfolio
    records: Records
    members: dict[UserId, dict[StrategyId, None]]

    def members_strategies(self) -> Sequence[StrategyId]:
        """Return the strategies of all members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What one scope has lost."""

    day: date | None
    daily_loss_pct: Decimal = ZERO  # negative: it won
    peak: Cash = NO_CASH
    drawdown_pct: Decimal = ZERO

    def beyond(self, forgiven: "Losses | None") -> "Losses":
        """Return what was lost since *forgiven* was."""
        if forgiven is None:
            return self
        day_pct, drawdown_pct = self.daily_loss_pct, self.drawdown_pct
        if forgiven.day == self.day:
            day_pct -= max(forgiven.daily_loss_pct, ZERO)
        if self.peak <= forgiven.peak:
            drawdown_pct -= max(forgiven.drawdown_pct, ZERO)
        return Losses(day=self.day, daily_loss_pct=day_pct, peak=self.peak, drawdown_pct=drawdown_pct)


def losses_of(desk: Books, target: KillTarget) -> Losses:
    """Return what *target* has lost; a symbol loses nothing of its own."""
    records = desk.records
    match target.scope:
        case KillScope.DESK:
            owned: Sequence[StrategyId] = desk.members_strategies()
            peak = records.peak
        case KillScope.MEMBER:
            member = UserId(target.name)
            owned, peak = tuple(desk.members.get(member, ())), records.peaks.get(member, NO_CASH)
        case KillScope.STRATEGY:
            owned = (StrategyId(target.name),)
            record = records.by_strategy.get(owned[0])
            peak = NO_CASH if record is None else record.peak
        case KillScope.SYMBOL:
            return Losses(day=records.day)
        case _:
            assert_never(target.scope)
    allocated = equity = begun = ZERO
    for who in owned:
        book, record = desk.portfolio.books.get(who), records.by_strategy.get(who)
        if book is not None:
            allocated += book.allocation
            equity += book.worth().equity
        if record is not None:
            begun += record.day_start - (record.carried if target.scope is KillScope.STRATEGY else ZERO)
    return Losses(
        day=records.day,
        daily_loss_pct=_of(begun - equity, allocated),
        peak=peak,
        drawdown_pct=_of(peak - equity, peak),
    )


def all_losses(desk: Books) -> Mapping[KillTarget, Losses]:
    """Return the losses of desk, members and strategies that have any capital."""
    targets = [KillTarget(KillScope.DESK)]
    targets += [KillTarget(KillScope.MEMBER, member) for member, owned in desk.members.items() if owned]
    targets += [KillTarget(KillScope.STRATEGY, who) for who in desk.members_strategies()]
    return {target: losses_of(desk, target) for target in targets}


def _of(lost: Decimal, whole: Decimal) -> Decimal:
    """Return the share in percent; of nothing nothing can be lost but everything."""
    if whole > 0:
        return lost / whole * _PERCENT
    return _PERCENT if lost > 0 else ZERO
