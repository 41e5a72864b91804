"""One line in the log for each fact that a person may look for, its identities as keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from deskd.core.exits import in_words
from deskd.core.house import cause_of
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.breaker import BreakerState
from deskd.domain.ids import ClientOrderId, RunId, StrategyId
from deskd.domain.job import JobOutcome
from deskd.domain.kill import KillScope, KillTarget
from deskd.domain.money import shown_decimal
from deskd.domain.order import Order, OrderRequest
from deskd.domain.run import ExitReason

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FactLog:
    """Writes facts into the log; *orders* tell whose an order is, *strategies* whose a strategy.

    The run that a strategy is in when something happens to it stands beside: it was placed by that one, or is told it.
    """

    orders: Mapping[ClientOrderId, Order]
    strategies: Mapping[StrategyId, ev.StrategyRegistered] = field(default_factory=dict)
    _runs: dict[StrategyId, RunId] = field(default_factory=dict)

    def __call__(self, fact: ev.Fact) -> None:
        """Write the fact into the log: one line a fact, its identities as keys."""
        if isinstance(fact, ev.RunStarted):
            self._runs[fact.strategy_id] = fact.run_id
        name, level, keys = _words(fact)
        if name:
            entry = dict(self._identities(fact)) | dict(keys)
            getattr(log, level)(name, **entry, **self._whose(entry))
        if isinstance(fact, ev.RunEnded):
            self._runs.pop(fact.strategy_id, None)

    def _whose(self, entry: Mapping[str, object]) -> Mapping[str, object]:
        """Return member and run of the entry's strategy, as far as they are known and not said."""
        who = entry.get("strategy_id")
        known: dict[str, object] = {}
        if isinstance(who, str):
            strategy_id = StrategyId(who)
            if registered := self.strategies.get(strategy_id):
                known["user_id"] = registered.user_id
            if run_id := self._runs.get(strategy_id):
                known["run_id"] = run_id
        return {key: value for key, value in known.items() if key not in entry}

    def _identities(self, fact: ev.Fact) -> Mapping[str, object]:
        if isinstance(fact, ev.OrderReturned):
            return _asked_on(self.orders[fact.request.client_order_id])
        oid = getattr(fact, "client_order_id", None)
        if oid is None:
            return {}
        order = self.orders[oid]
        keys = {"side": order.request.side} | _asked_on(order)
        if order.part_of is not None:  # it is told of the order that was asked for
            return _about(self.orders[order.part_of].request) | keys | {"part_id": oid}
        return _about(order.request) | keys


def _asked_on(asked: Order | ev.OrderApproved | ev.OrderDenied) -> dict[str, object]:
    """Return the line of the market that led to the order: every entry of the order has it, to its end."""
    if not asked.line:
        return {}
    return {"line": asked.line} | ({"lines_together": asked.lines_together} if asked.lines_together else {})


def _words(fact: ev.Fact) -> tuple[str, str, Mapping[str, object]]:
    match fact:
        case ev.OrderApproved(request=r):
            about = _about(r) | {"side": r.side, "qty": str(r.qty or r.notional)}
            return (
                "order_approved",
                "info",
                about | {"quoted_at": fact.quote.quoted_at.isoformat()} | _asked_on(fact),
            )
        case ev.OrderDenied(request=r, reason=reason, message=message):
            return "order_denied", "info", _about(r) | {"reason": reason, "detail": message} | _asked_on(fact)
        case ev.OrderSplit(part_id=part_id, qty=qty):
            return "order_split", "info", {"part_id": part_id, "qty": str(qty)}
        case ev.OrderFilled():
            return (
                "order_filled",
                "info",
                {"qty": str(fact.qty), "price": str(fact.price)} | ({"internal": True} if fact.internal_with else {}),
            )
        case ev.OrderAccepted():
            return "order_accepted", "info", {"broker_order_id": fact.broker_order_id}
        case ev.OrderReleased():
            return "order_released", "info", {}
        case ev.OrderCancelRequested():
            return "order_cancel_requested", "info", {"by": fact.by}
        case ev.OrderHeld():
            return "order_held", "info", {"reason": fact.reason, "until": fact.until.isoformat()}
        case ev.OrderRejected():
            return (
                "order_rejected",
                "warning",
                {"reason": fact.reason, "detail": fact.message},
            )
        case ev.OrderCanceled() | ev.OrderExpired():
            word = "order_canceled" if isinstance(fact, ev.OrderCanceled) else "order_expired"
            return word, "info", {}
        case ev.OrderReplaced():
            return "order_replaced", "info", {"replaced_by": fact.replaced_by}
        case ev.OrderReturned(request=r):
            return "order_returned", "info", _about(r) | {"replaces": fact.replaces}
        case ev.OrderAdopted(request=r):
            return "order_adopted", "warning", _about(r) | {"replaces": fact.replaces}
        case ev.BrokerSaid():
            return "broker_said", "info", {"source": fact.source, "word": fact.word, "detail": fact.detail}
        case ev.RunEnded(end=end):
            level = "info" if end.reason in {ExitReason.CLEAN, ExitReason.STOPPED} else "warning"
            return (
                "run_ended",
                level,
                {"strategy_id": fact.strategy_id, "run_id": fact.run_id, "reason": end.reason, "detail": end.detail},
            )
        case ev.RunStalled():
            about = {"strategy_id": fact.strategy_id, "run_id": fact.run_id}
            return "run_stalled", "warning", about | {"detail": fact.detail}
        case ev.RunStarted():
            return "run_started", "info", {"strategy_id": fact.strategy_id, "run_id": fact.run_id}
        case ev.StageChanged():
            staged = {"strategy_id": fact.strategy_id, "stage": fact.stage, "by": fact.by, "why": fact.why}
            return "stage_changed", "info", staged
        case ev.VersionChosen():
            chosen = {"strategy_id": fact.strategy_id, "code_hash": fact.code_hash, "how": fact.how, "by": fact.by}
            return "version_chosen", "info", chosen
        case ev.StrategyStatusChanged():
            return "strategy_status_changed", "info", {"strategy_id": fact.strategy_id, "status": fact.status}
        case ev.DiscrepancyFound():
            return "discrepancy_found", "error", {"subject": fact.subject, "detail": fact.actual, "action": fact.action}
        case ev.StreamChanged():
            level = "info" if fact.is_up else "warning"
            keys = {"stream": fact.stream, "is_up": fact.is_up, "why": fact.why}
            return "stream_changed", level, keys | ({"affected": list(fact.affected)} if fact.affected else {})
        case ev.HaltChanged():
            word = "symbol_halted" if fact.is_halted else "symbol_resumed"
            return word, "info", {"symbol": fact.symbol, "why": fact.why}
        case ev.ClockStepped():
            return "clock_stepped", "warning", {"by_s": fact.by_ms / 1_000}
        case ev.OutageEnded():
            return "outage_ended", "warning" if fact.bars_missing else "info", _outage(fact)
        case ev.DiscrepancyResolved():
            return "discrepancy_resolved", "info", {"subject": fact.subject, "by": fact.by, "reason": fact.reason}
        case ev.SymbolFrozen():
            return "symbol_frozen", "error", {"symbol": fact.symbol, "why": fact.why, "remedy": _FROZEN}
        case ev.SymbolThawed():
            return "symbol_thawed", "info", {"symbol": fact.symbol, "why": fact.why}
        case ev.SharesDistributed():
            return "shares_distributed", "warning", {"symbol": fact.symbol, "ratio": str(fact.ratio), "by": fact.by}
        case ev.FillCorrected():
            figures = {"word": fact.word, "qty": str(fact.qty), "notional": str(fact.notional)}
            return "fill_corrected", "warning", figures
        case ev.HouseAdjusted():
            cause = cause_of(fact)
            what = {"cause": cause, "cash": str(fact.cash), "symbol": fact.symbol, "qty": str(fact.qty)}
            level = "info" if cause in _EXPECTED else "warning"
            return "house_adjusted", level, what | {"why": fact.why, "activity_id": fact.activity_id}
        case ev.ExitTriggered():
            what = {"strategy_id": fact.strategy_id, "symbol": fact.symbol, "qty": str(fact.position_qty)}
            return "exit_triggered", "info", what | {"exit": fact.kind, "price": str(fact.price), "why": in_words(fact)}
        case ev.KillEngaged():
            how = {"depth": fact.depth.value, "cause": fact.cause.value, "by": fact.by, "why": fact.reason}
            if fact.figure:
                how |= {"figure": fact.figure, "threshold": fact.threshold}
            return "kill_engaged", "error", _killed(fact.target) | how | {"remedy": _KILLED}
        case ev.KillReleased():
            return "kill_released", "warning", _killed(fact.target) | {"by": fact.by, "why": fact.reason}
        case ev.FlattenCompleted():
            return "flatten_completed", "warning", _killed(fact.target)
        case ev.FlattenHindered():
            return "flatten_hindered", "error", _killed(fact.target) | {"left": list(fact.left)}
        case ev.TradingSuspended():
            return "trading_suspended", "warning", {"is_suspended": fact.is_suspended, "why": fact.why}
        case ev.CancelAllRequested():
            return "cancel_all_requested", "warning", {"by": fact.by, "orders": fact.orders}
        case ev.CancelAllAnswered():
            answered = {"canceled": fact.canceled, "refused": fact.refused, "unnamed": fact.unnamed}
            return "cancel_all_answered", "warning", answered | {"strangers": list(fact.strangers)}
        case ev.BreakerMoved():
            level = "warning" if fact.state is BreakerState.OPEN else "info"
            moved = {"strategy_id": fact.strategy_id, "state": fact.state.value, "why": fact.why}
            return "breaker_moved", level, moved | {"trips": fact.trips}
        case ev.JobEnded():
            level = "info" if fact.outcome is JobOutcome.DONE else "error"
            return "job_ended", level, _job(fact) | {"outcome": fact.outcome, "detail": fact.detail}
        case ev.DaySummarized():
            money = {"equity": fact.equity, "day_pnl": fact.day_pnl, "fees": fact.fees}
            figures = {key: shown_decimal(value) for key, value in money.items()}
            counts = {"orders": fact.orders, "fills": fact.fills, "denied": fact.denied, "deaths": fact.deaths}
            return "day_summarized", "info", {"market_day": str(fact.market_day)} | figures | counts
        case ev.RootSigned():
            return (
                "ledger_root_signed",
                "info",
                {"market_day": str(fact.market_day), "seq": fact.seq, "root": fact.root},
            )
        case _:
            return "", "info", {}


def _job(fact: ev.JobEnded) -> dict[str, object]:
    return {"job": fact.name, "session": str(fact.session), "by": fact.by}


def _outage(fact: ev.OutageEnded) -> dict[str, object]:
    return {
        "stream": fact.stream,
        "why": fact.why,
        "started_at": fact.started_at.isoformat(),
        "lasted_s": round((fact.ended_at - fact.started_at).total_seconds(), 1),
        "affected": list(fact.affected),
        "open_orders": fact.open_orders,
        "refusals": dict(fact.refusals),
        "bars_fetched": fact.bars_fetched,
        "bars_missing": fact.bars_missing,
        "is_cut_short": fact.is_cut_short,
    }


# What comes and goes on any account.
_EXPECTED = frozenset(
    {
        HouseCause.OPENING,
        HouseCause.BLOCK,
        HouseCause.FEE,
        HouseCause.DIVIDEND,
        HouseCause.INTEREST,
        HouseCause.TRANSFER,
    }
)
_FROZEN = "look into it, then: deskctl reconcile --resolve SYMBOL --reason TEXT"

_KILLED = "when you know why: deskctl release ... --reason TEXT"


def _killed(target: KillTarget) -> dict[str, object]:
    named = {KillScope.STRATEGY: "strategy_id", KillScope.SYMBOL: "symbol", KillScope.MEMBER: "user_id"}
    scope: dict[str, object] = {"scope": target.scope.value}
    return scope | ({named[target.scope]: target.name} if target.name else {})


def _about(request: OrderRequest) -> dict[str, object]:
    return {
        "strategy_id": request.strategy_id,
        "client_order_id": request.client_order_id,
        "symbol": request.symbol,
    }
