"""Reads the ledger on, and keeps what is to be told in the outbox. Whoever has the ledger has the notifications.

Rule 1: a desk or worker that was away makes up for it, but what is older than TOLD_MAX is history, and not told.
Rule 2: it only reads, in short transactions: the desk's writer never waits for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deskd.alerts.outbox import Outbox
from deskd.alerts.plan import Plan
from deskd.alerts.summary import told_members
from deskd.alerts.wording import About, Wording
from deskd.domain import events as ev
from deskd.domain.entry import Entry
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol, UserId
from deskd.domain.notifications import Notification
from deskd.domain.order import Side
from deskd.ledger.fact_reader import FactReader

TOLD_MAX = timedelta(hours=24)
CHUNK = 500  # facts in one read, and in one transaction of the outbox

# Facts that may be told: the others are not even read. `Wording` decides.
KINDS = frozenset(
    kind.__name__
    for kind in (
        ev.OrderFilled,
        ev.OrderRejected,
        ev.OrderDenied,
        ev.FillCorrected,
        ev.OrderAdopted,
        ev.ExitTriggered,
        ev.KillEngaged,
        ev.KillReleased,
        ev.FlattenCompleted,
        ev.FlattenHindered,
        ev.StreamChanged,
        ev.OutageEnded,
        ev.DiscrepancyFound,
        ev.DiscrepancyResolved,
        ev.SymbolFrozen,
        ev.SymbolThawed,
        ev.SharesDistributed,
        ev.StrategyStatusChanged,
        ev.RunStalled,
        ev.RunEnded,
        ev.DeskStarted,
        ev.DeskStopped,
        ev.ClockStepped,
        ev.Heartbeat,
        ev.MarketDayBegan,
        ev.BreakerMoved,
        ev.TradingSuspended,
        ev.CancelAllAnswered,
        ev.StageChanged,
        ev.VersionChosen,
        ev.JobEnded,
        ev.DaySummarized,
        ev.NoticeGiven,
    )
)


@dataclass(slots=True)
class LedgerTail:
    """The ledger from where it was last read."""

    reader: FactReader
    outbox: Outbox
    first_seq: int  # of a new outbox: what was before is history
    _members: dict[StrategyId, UserId | None] = field(default_factory=dict)

    def catch_up(self, plan: Plan, now: datetime) -> int:
        """Keep everything that is new; return how many notifications that made."""
        wording = Wording(is_live=plan.is_live, down_after=plan.down_after)
        self._members.clear()
        count = 0
        seen = self.outbox.seq()
        seq = self.first_seq if seen is None else seen
        last = self.reader.last_seq()
        while seq < last:
            entries = self.reader.after(seq, until=last, limit=CHUNK, kinds=KINDS)
            fresh = [entry for entry in entries if now - entry.fact.at < TOLD_MAX]
            notes = [said for entry in fresh for said in self._told(entry, wording, plan)]
            seq = entries[-1].seq if len(entries) == CHUNK else last
            count += self.outbox.add(notes, plan, now, seq=seq)
        return count

    def _told(self, entry: Entry, wording: Wording, plan: Plan) -> Iterator[Notification]:
        said = wording.told(entry.seq, entry.fact, self)
        if said is not None:
            yield said
        if isinstance(entry.fact, ev.DaySummarized):
            yield from told_members(entry.seq, entry.fact, self, plan)

    def order(self, client_order_id: ClientOrderId) -> About | None:
        """Return whose order it is; None where the ledger does not say."""
        found = self.reader.owner_of(client_order_id)
        if found is None:
            return None
        strategy, member, symbol, side = found
        return About(strategy=StrategyId(strategy), member=UserId(member), symbol=Symbol(symbol), side=Side(side))

    def member_of(self, strategy: StrategyId) -> UserId | None:
        """Return the member that the strategy trades for."""
        if strategy not in self._members:
            member = self.reader.member_of(strategy)
            self._members[strategy] = None if member is None else UserId(member)
        return self._members[strategy]
