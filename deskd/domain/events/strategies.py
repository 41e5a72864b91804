"""Facts of strategies and their runs."""

from dataclasses import dataclass
from datetime import datetime

from deskd.domain.ids import RunId, StrategyId, UserId
from deskd.domain.money import Cash
from deskd.domain.run import RunEnd, StrategyStatus
from deskd.domain.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyRegistered:
    """A strategy was found for the first time, or its code or description changed."""

    strategy_id: StrategyId
    user_id: UserId
    name: str
    version: str
    path: str
    code_hash: str
    at: datetime
    beside: tuple[StrategyId, ...] | None = (
        None  # of one that is new: the folders that could run with it; None: unknown
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyStatusChanged:
    """A strategy became active, paused, stopped or failed."""

    strategy_id: StrategyId
    status: StrategyStatus
    why: str
    at: datetime
    by_hand: bool = False  # somebody stopped it: it does not start again with the desk
    counts_anew: bool = False  # somebody started it, or its code or config changed: deaths before this are forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationChanged:
    """Cash moved between the house and a strategy, so that the strategy's allocation is *allocation*."""

    strategy_id: StrategyId
    allocation: Cash
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsChanged:
    """What bounds a strategy is another than before: the configuration, or its own config.json, was changed."""

    strategy_id: StrategyId
    limits: tuple[tuple[str, str], ...]  # name and bound, all of them; a name says its scope: `desk.daily_loss_max`
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A strategy's process was started."""

    run_id: RunId
    strategy_id: StrategyId
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A strategy's process ended."""

    run_id: RunId
    strategy_id: StrategyId
    end: RunEnd
    at: datetime
    deaths: int = 0  # in a row, this one included, that count against the strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStalled:
    """A run handles no line, though lines wait for it: the warning before it is ended, as configured."""

    run_id: RunId
    strategy_id: StrategyId
    detail: str  # for how long, how many lines wait, and the last that it handled
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StageChanged:
    """Somebody brought a strategy to another stage: paused, shadow or active. It holds until the next, over restarts."""

    strategy_id: StrategyId
    stage: Stage
    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChosen:
    """Somebody chose which version of a strategy lies in its folder from now on. Recorded before the folder is switched."""

    strategy_id: StrategyId
    code_hash: str
    previous: str  # the hash of what lay there; empty: nothing did
    how: str  # deploy or rollback
    by: str
    at: datetime
