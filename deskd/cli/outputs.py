"""What each command prints with --json: docs/reference/json.md and its schemas are made of this, tests hold it.

deskctl itself never imports this file: it starts in a blink. A command that takes --json and is not here fails a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypedDict

from msgspec import Meta

from deskd.app.trial import Tried
from deskd.backtest.result import Backtest
from deskd.control import answers as a
from deskd.jobs.day import DayReport
from deskd.wire.event_line import EventLine


class SettingProblemsOutput(TypedDict):
    """What is wrong with a configuration; where something is, the exit code is 1."""

    file: str  # that was judged
    good: bool  # it has no problems
    problems: list[str]  # file:line:column, key, what is wrong, what to do


SettingOutput = TypedDict(
    "SettingOutput",
    {
        "key": Annotated[str, Meta(description="section.name")],
        "value": Annotated[str, Meta(description="secrets are masked")],
        "from": Annotated[str, Meta(description="file and line, variable, or `default`")],
        "default": Annotated[str, Meta(description="what it is where nobody sets it")],
    },
)
SettingOutput.__doc__ = "One setting."


class CheckOutput(TypedDict):
    """What the doctor says of one thing; where one is bad the exit code is 1."""

    check: str  # what was looked at
    verdict: Annotated[str, Meta(extra_json_schema={"enum": ["good", "warning", "bad", "not yours"]})]  # how it is
    found: str  # in words
    remedy: str | None  # what to do


class FindingOutput(TypedDict):
    """One thing that is wrong with a strategy, or probably not meant."""

    verdict: Annotated[str, Meta(extra_json_schema={"enum": ["bad", "warning"]})]  # bad: it does not work
    rule: str  # a stable word: folder, config, requirements, syntax, import, network, symbol, or a mistake's
    file: str | None  # in the folder; null: the folder itself
    line: int | None  # from 1
    column: int | None  # from 1
    found: str  # and what to do


class CheckedOutput(TypedDict):
    """What is to be said of a strategy's folder; where anything is bad the exit code is 1."""

    strategy_id: str  # as which it was judged
    folder: str  # that was judged
    user_id: str | None  # the member it would trade for; null: that is not known
    good: bool  # nothing is bad
    symbols_checked: bool  # the running desk was asked whether the broker lists them; false: none was reachable
    findings: list[FindingOutput]  # what is bad first


class TemplateOutput(TypedDict):
    """What a strategy can begin with."""

    template: str  # its name
    description: str  # what it is


class NewOutput(TypedDict):
    """A strategy that was made."""

    strategy_id: str  # its name
    template: str  # what it began with
    user_id: str  # the member it trades for
    folder: str  # where it lies
    files: list[str]  # in it


class RootOutput(TypedDict):
    """A signed root of the ledger."""

    seq: int  # the last entry that it covers
    market_day: a.Day  # of which
    root: str  # the hash of that entry
    public_key: str  # of who signed
    signature: str  # Ed25519; facts.md says over what
    at: a.Instant  # when


class ProofOutput(TypedDict):
    """The newest root that stands for the ledger."""

    market_day: a.Day  # of which
    seq: int  # the last entry that it covers
    root: str  # the hash of that entry
    signed_at: a.Instant  # when
    public_key: str  # of who signed


class DamageOutput(TypedDict):
    """A place where the ledger is not what the desk wrote."""

    table: str  # or `schema`, `file`, `roots`
    key: str  # of the row
    column: str | None  # of the row
    expected: str  # as the facts give it
    actual: str  # as it stands there


class VerdictOutput(TypedDict):
    """Whether the ledger is whole; where it is not the exit code is 1."""

    ledger: str  # the file
    whole: bool  # nothing is damaged
    facts: int  # that are whole: before the first damage
    last_hash: str  # of the last of them
    version: int | None  # of the ledger's tables
    tables: list[str]  # that were compared with the facts
    proved_by: ProofOutput | None  # null: no root stands for it
    only_chained: int  # facts that no root covers
    key_file: str | None  # whose keys were believed
    roots_file: str | None  # roots kept elsewhere
    roots_after: int  # kept elsewhere, of entries that are not in this ledger: it is a backup
    damages: list[DamageOutput]  # the first is the first in the ledger
    roots_cut_off: str | None  # of the roots' last line that a kill cut off


class ChainOutput(TypedDict):
    """A ledger that was written out, or made again."""

    file: str  # that was made
    facts: int  # in it
    last_hash: str  # of its last entry


class HandoverOutput(TypedDict):
    """A folder for the next officers."""

    folder: str  # where it lies
    files: int  # in it
    facts: int  # in its ledger
    last_hash: str  # of its ledger's last entry


class LogLineOutput(TypedDict):
    """A line that a strategy printed."""

    line: str  # without its end


class TopOutput(TypedDict):
    """What `top` shows, once."""

    desk: a.DeskAnswer  # as in `status`
    strategies: list[a.StrategyAnswer]  # as in `status`
    orders: list[a.OrderAnswer]  # the latest


class TestedOutput(a.TestsAnswer):
    """Tests, and what became of them; where one did not arrive the exit code is 1."""

    deliveries: list[a.NotificationAnswer]  # one of each test on each route


class TotalsOutput(TypedDict):
    """A day's sums."""

    equity: a.DecimalText  # at its end
    day_pnl: a.DecimalText  # of all strategies
    orders: int  # that the gate let pass
    fills: int  # executions
    denied: int  # orders that the gate did not let pass
    runs: int  # lives of processes
    deaths: int  # that ended badly


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReportOutput(DayReport):
    """A market day, of the desk or of one member."""

    totals: TotalsOutput


class ReplayOutput(TypedDict):
    """The desk's state as the facts make it; where they or the tables are not whole the exit code is 1."""

    ledger: str  # the file
    seq: int  # the last entry that counts
    at: a.Instant | None  # when it was written; null: there is none
    last_hash: str  # of that entry
    is_whole_ledger: bool  # no entry comes after it
    chain: Annotated[str, Meta(extra_json_schema={"enum": ["whole", "broken"]})]  # of the entries up to there
    damage: DamageOutput | None  # where it is broken
    tables: list[str]  # that were compared: of an earlier entry none are
    differences: list[DamageOutput]  # the first of each table that differs
    market_day: a.Day | None  # the latest
    trading_state: str  # of the desk
    cash: a.DecimalText  # of the shared account
    equity: a.DecimalText  # of the shared account
    orders: int  # in memory
    fills: int  # ever
    strategies: dict[str, str]  # by name: what the desk did with it
    accounts: list[a.AccountAnswer]  # as in `account`
    positions: list[a.PositionAnswer]  # as in `positions`
    open_orders: list[a.OrderAnswer]  # as in `orders --open`
    kills: list[a.KillAnswer]  # in force


@dataclass(frozen=True, slots=True)
class Output:
    """What a command prints."""

    type: object
    form: str = ""  # the arguments with which it prints this, where that matters
    is_each_line: bool = False  # one JSON value a line, not one in all


_LIFECYCLE, _STAGES = (Output(a.LifecycleAnswer),), (Output(a.StagesAnswer),)

OUTPUTS: Mapping[str, tuple[Output, ...]] = {
    "status": (Output(a.StatusAnswer), Output(a.StrategyStatusAnswer, "NAME")),
    "logs": (Output(LogLineOutput, is_each_line=True),),
    "orders": (Output(list[a.OrderAnswer]),),
    "fills": (Output(list[a.FillAnswer]),),
    "positions": (Output(list[a.PositionAnswer]),),
    "account": (Output(list[a.AccountAnswer]),),
    "why": (Output(a.WhyAnswer),),
    "events": (Output(EventLine, is_each_line=True),),
    "runs": (Output(list[a.RunAnswer]), Output(a.RunAnswer | None, "NAME --last")),
    "outages": (Output(list[a.OutageAnswer]),),
    "top": (Output(TopOutput),),
    "start": _LIFECYCLE,
    "stop": _LIFECYCLE,
    "restart": _LIFECYCLE,
    "pause": _STAGES,
    "resume": _STAGES,
    "shadow": _STAGES,
    "activate": _STAGES,
    "check": (Output(CheckedOutput),),
    "new": (Output(NewOutput), Output(list[TemplateOutput], "--list")),
    "deploy": (Output(a.DeployedAnswer),),
    "rollback": (Output(a.DeployedAnswer),),
    "versions": (Output(list[a.VersionAnswer]),),
    "build": (Output(a.BuiltAnswer),),
    "cancel": (Output(a.OrdersDoneAnswer),),
    "replace": (Output(a.OrdersDoneAnswer),),
    "kill": (Output(a.KilledAnswer),),
    "release": (Output(a.ReleasedAnswer),),
    "reconcile": (Output(a.ReconciledAnswer),),
    "token": (Output(a.TokenAnswer),),
    "jobs": (Output(list[a.JobAnswer]),),
    "jobs run": (Output(a.JobDoneAnswer),),
    "report": (Output(DayReportOutput), Output(list[a.ReportDayAnswer], "--list")),
    "notify list": (Output(list[a.NotificationAnswer]),),
    "notify retry": (Output(a.RetriedAnswer),),
    "notify test": (Output(TestedOutput),),
    "notify send": (Output(a.SentAnswer),),
    "config check": (Output(SettingProblemsOutput),),
    "config show": (Output(list[SettingOutput]),),
    "config reload": (Output(a.ReloadedAnswer),),
    "doctor": (Output(list[CheckOutput]),),
    "jail test": (Output(list[a.ProbeAnswer]),),
    "audit verify": (Output(VerdictOutput),),
    "audit roots": (Output(list[RootOutput]),),
    "audit sign": (Output(a.SignedAnswer),),
    "audit export": (Output(ChainOutput, "--out FILE"),),
    "audit rebuild": (Output(ChainOutput),),
    "backup": (Output(a.BackupAnswer),),
    "replay": (Output(ReplayOutput),),
    "run": (Output(Tried),),
    "backtest": (Output(Backtest),),
    "handover": (Output(HandoverOutput),),
}
