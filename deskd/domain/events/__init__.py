"""Events come in; facts are kept. A fact carries all that its application needs, and when it was decided (`at`).

The words stand in one file a family; whoever speaks of them imports from here.
"""

from deskd.domain.events.account import (
    AccountReconciled,
    DiscrepancyFound,
    DiscrepancyResolved,
    FillCorrected,
    HouseAdjusted,
    PositionsMarked,
    SharesDistributed,
    SymbolFrozen,
    SymbolThawed,
)
from deskd.domain.events.broker import (
    BrokerEvent,
    BrokerOrder,
    BrokerPosition,
    BrokerSnapshot,
    BrokerStatus,
    CalendarListed,
    CancelAnswered,
    CancelInDoubt,
    InstrumentsListed,
    MarketResumed,
    OrderLookedUp,
    Source,
    SubmitAccepted,
    SubmitInDoubt,
    SubmitRejected,
    TradeStreamChanged,
    TradeUpdated,
)
from deskd.domain.events.desk import (
    ClockStepped,
    CommandGiven,
    DeskStarted,
    DeskStopped,
    HaltChanged,
    Heartbeat,
    MarketDayBegan,
    NoticeGiven,
    OutageEnded,
    RootSigned,
    StreamChanged,
)
from deskd.domain.events.exits import ExitTriggered, PricesSeen, TrailMoved
from deskd.domain.events.jobs import DaySummarized, JobEnded, JobStarted
from deskd.domain.events.kills import (
    BreakerMoved,
    CancelAllAnswered,
    CancelAllRequested,
    ClosingRequested,
    FlattenCompleted,
    FlattenHindered,
    KillEngaged,
    KillReleased,
    TradingSuspended,
)
from deskd.domain.events.orders import (
    BrokerSaid,
    Checked,
    LegsFound,
    LegSpec,
    OrderAccepted,
    OrderAdopted,
    OrderApproved,
    OrderCanceled,
    OrderCancelRefused,
    OrderCancelRequested,
    OrderCompleted,
    OrderDenied,
    OrderExpired,
    OrderFact,
    OrderFilled,
    OrderHeld,
    OrderRejected,
    OrderReleased,
    OrderReplaced,
    OrderReplaceRefused,
    OrderReplaceRequested,
    OrderRestated,
    OrderReturned,
    OrderSplit,
)
from deskd.domain.events.requests import (
    CancelRequested,
    DoubtTimedOut,
    MarketLooked,
    MarksTaken,
    OrderRequested,
    ReplaceRequested,
    ResolutionRequested,
)
from deskd.domain.events.strategies import (
    AllocationChanged,
    LimitsChanged,
    RunEnded,
    RunStalled,
    RunStarted,
    StageChanged,
    StrategyRegistered,
    StrategyStatusChanged,
    VersionChosen,
)

type Fact = (
    DeskStarted
    | DeskStopped
    | StrategyRegistered
    | StrategyStatusChanged
    | StageChanged
    | VersionChosen
    | AllocationChanged
    | LimitsChanged
    | MarketDayBegan
    | RunStarted
    | RunEnded
    | RunStalled
    | OrderApproved
    | OrderDenied
    | OrderHeld
    | OrderReleased
    | OrderReturned
    | OrderSplit
    | OrderFact
    | OrderAdopted
    | BrokerSaid
    | LegsFound
    | FillCorrected
    | HouseAdjusted
    | SharesDistributed
    | DiscrepancyFound
    | DiscrepancyResolved
    | SymbolFrozen
    | SymbolThawed
    | AccountReconciled
    | PositionsMarked
    | ExitTriggered
    | TrailMoved
    | StreamChanged
    | OutageEnded
    | CommandGiven
    | NoticeGiven
    | KillEngaged
    | KillReleased
    | FlattenCompleted
    | FlattenHindered
    | BreakerMoved
    | TradingSuspended
    | CancelAllRequested
    | CancelAllAnswered
    | ClockStepped
    | HaltChanged
    | RootSigned
    | JobStarted
    | JobEnded
    | DaySummarized
    | Heartbeat
)
# A fact that the edge has found out by itself (a run ended, a command came) is an event, too: it is recorded as it is.
type PlainFact = (
    DeskStarted
    | DeskStopped
    | StrategyRegistered
    | StrategyStatusChanged
    | StageChanged
    | VersionChosen
    | AllocationChanged
    | LimitsChanged
    | MarketDayBegan
    | RunStarted
    | RunEnded
    | RunStalled
    | StreamChanged
    | CommandGiven
    | NoticeGiven
    | KillEngaged
    | KillReleased
    | FlattenCompleted
    | FlattenHindered
    | BreakerMoved
    | TradingSuspended
    | CancelAllRequested
    | CancelAllAnswered
    | ClockStepped
    | HaltChanged
    | RootSigned
    | JobStarted
    | JobEnded
    | DaySummarized
    | Heartbeat
)
type Event = (
    OrderRequested
    | ReplaceRequested
    | CancelRequested
    | ClosingRequested
    | ResolutionRequested
    | DoubtTimedOut
    | MarksTaken
    | MarketLooked
    | PricesSeen
    | BrokerEvent
    | PlainFact
)

__all__ = [
    "AccountReconciled",
    "AllocationChanged",
    "BreakerMoved",
    "BrokerEvent",
    "BrokerOrder",
    "BrokerPosition",
    "BrokerSaid",
    "BrokerSnapshot",
    "BrokerStatus",
    "CalendarListed",
    "CancelAllAnswered",
    "CancelAllRequested",
    "CancelAnswered",
    "CancelInDoubt",
    "CancelRequested",
    "Checked",
    "ClockStepped",
    "ClosingRequested",
    "CommandGiven",
    "DaySummarized",
    "DeskStarted",
    "DeskStopped",
    "DiscrepancyFound",
    "DiscrepancyResolved",
    "DoubtTimedOut",
    "Event",
    "ExitTriggered",
    "Fact",
    "FillCorrected",
    "FlattenCompleted",
    "FlattenHindered",
    "HaltChanged",
    "Heartbeat",
    "HouseAdjusted",
    "InstrumentsListed",
    "JobEnded",
    "JobStarted",
    "KillEngaged",
    "KillReleased",
    "LegSpec",
    "LegsFound",
    "LimitsChanged",
    "MarketDayBegan",
    "MarketLooked",
    "MarketResumed",
    "MarksTaken",
    "NoticeGiven",
    "OrderAccepted",
    "OrderAdopted",
    "OrderApproved",
    "OrderCancelRefused",
    "OrderCancelRequested",
    "OrderCanceled",
    "OrderCompleted",
    "OrderDenied",
    "OrderExpired",
    "OrderFact",
    "OrderFilled",
    "OrderHeld",
    "OrderLookedUp",
    "OrderRejected",
    "OrderReleased",
    "OrderReplaceRefused",
    "OrderReplaceRequested",
    "OrderReplaced",
    "OrderRequested",
    "OrderRestated",
    "OrderReturned",
    "OrderSplit",
    "OutageEnded",
    "PlainFact",
    "PositionsMarked",
    "PricesSeen",
    "ReplaceRequested",
    "ResolutionRequested",
    "RootSigned",
    "RunEnded",
    "RunStalled",
    "RunStarted",
    "SharesDistributed",
    "Source",
    "StageChanged",
    "StrategyRegistered",
    "StrategyStatusChanged",
    "StreamChanged",
    "SubmitAccepted",
    "SubmitInDoubt",
    "SubmitRejected",
    "SymbolFrozen",
    "SymbolThawed",
    "TradeStreamChanged",
    "TradeUpdated",
    "TradingSuspended",
    "TrailMoved",
    "VersionChosen",
]
