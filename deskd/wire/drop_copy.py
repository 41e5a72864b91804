"""The drop copy: what happens on the desk, as typed events for every reader outside: dashboards, notices, scripts.

Rule 1: events are derived from facts and from nothing else: whoever has the ledger has the drop copy.
Rule 2: a kind of fact that has no events is named in the `match` all the same: none is forgotten.
Rule 3: `seq` is the fact's place in the ledger and `index` the event's place among its own: together they are the
        event's identity. A reader goes on after the last `seq` that it has seen.

An order's facts name it by its id alone: whose it is, and how far it is filled, is a fold of the facts before. What is
about a part of an order is told of the order, with the part's id beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_never

from deskd.core.exits import in_words
from deskd.core.splitting import part_request
from deskd.core.words import IN_DOUBT
from deskd.domain import events as ev
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, UserId
from deskd.domain.kill import KillScope, KillTarget
from deskd.domain.money import ZERO, Qty, plain, shown_decimal
from deskd.domain.order import Order, OrderRequest
from deskd.domain.reasons import DenialReason
from deskd.wire.event_line import VERSION, DeskEvent, EventLine

KNOWN_MAX = 50_000  # orders remembered, the newest: some 20 MB; of others the facts before are looked up
E = DeskEvent

# Denials by a configured bound; the others are mistakes of form, or of the market's state.
LIMITS = frozenset(
    {
        DenialReason.ORDER_NOTIONAL_MAX,
        DenialReason.POSITION_QTY_MAX,
        DenialReason.POSITION_NOTIONAL_MAX,
        DenialReason.OPEN_ORDERS_MAX,
        DenialReason.ORDERS_PER_DAY_MAX,
        DenialReason.ORDERS_PER_MINUTE_MAX,
        DenialReason.ORDER_QTY_MAX,
        DenialReason.POSITION_SHARE_MAX,
        DenialReason.CONCENTRATION_MAX,
        DenialReason.GROSS_EXPOSURE_MAX,
        DenialReason.NET_EXPOSURE_MAX,
        DenialReason.DAILY_LOSS_MAX,
        DenialReason.DRAWDOWN_MAX,
        DenialReason.DAY_TRADES_MAX,
        DenialReason.BUYING_POWER,
        DenialReason.DUPLICATE,
    }
)

type _Made = tuple[DeskEvent, dict[str, Any]]


@dataclass(slots=True)
class _Known:
    """What an order's later facts do not say again."""

    request: OrderRequest
    parent_id: ClientOrderId | None = None
    broker_order_id: BrokerOrderId | None = None
    filled_qty: Decimal = ZERO
    restated_qty: Qty | None = None
    part_of: ClientOrderId | None = None

    @property
    def qty(self) -> Qty | None:
        """Return what the order is for."""
        return self.request.qty if self.restated_qty is None else self.restated_qty


@dataclass(slots=True)
class DropCopy:
    """Derives events, fact by fact. It must have seen what came before of the orders that it is asked about."""

    owners: dict[StrategyId, UserId] = field(default_factory=dict)
    _orders: dict[ClientOrderId, _Known] = field(default_factory=dict)

    def take_over(self, orders: Iterable[Order], strategies: Iterable[ev.StrategyRegistered]) -> None:
        """Know what the desk knows, in the place of having seen every fact."""
        for order in orders:
            self._orders[order.request.client_order_id] = _Known(
                order.request,
                order.parent_id,
                order.broker_order_id,
                order.filled_qty,
                order.restated_qty,
                order.part_of,
            )
        self.owners.update((known.strategy_id, known.user_id) for known in strategies)

    def forget(self, order: ClientOrderId) -> None:
        """Forget the order: not all of its facts come by here."""
        known = self._orders.pop(order, None)
        if known is not None and known.part_of is not None:
            self._orders.pop(known.part_of, None)

    def lacks(self, fact: ev.Fact) -> ClientOrderId | None:
        """Return the order whose earlier facts must be seen before the events of *fact* can be told."""
        oid = order_of(fact)
        begins = isinstance(fact, ev.OrderApproved | ev.OrderDenied | ev.OrderAdopted | ev.OrderReturned)
        known = None if oid is None or begins else self._orders.get(oid)
        is_known = known is not None and (known.part_of is None or known.part_of in self._orders)
        return None if oid is None or begins or is_known else oid

    def events(self, seq: int, fact: ev.Fact) -> list[EventLine]:
        """Return the events of the fact at *seq*: none, one, or some."""
        at = instant(fact.at)
        return [
            EventLine(v=VERSION, seq=seq, index=index, at=at, event=event.value, **values)
            for index, (event, values) in enumerate(self._derive(fact))
        ]

    def _derive(self, fact: ev.Fact) -> list[_Made]:
        match fact:
            case ev.OrderApproved():
                return self._approved(fact)
            case ev.OrderDenied():
                return _denied(fact)
            case ev.OrderHeld(client_order_id=oid):
                why = {"reason": fact.reason, "message": fact.message, "held_until": instant(fact.until)}
                return [(E.ORDER_HELD, self._about(oid) | why)]
            case ev.OrderReleased(client_order_id=oid):
                return [(E.ORDER_RELEASED, self._about(oid))]
            case ev.OrderSplit():
                return self._split(fact)
            case ev.OrderReturned():
                return self._returned(fact)
            case ev.OrderAccepted():
                return self._accepted(fact)
            case ev.OrderFilled():
                return self._filled(fact)
            case ev.OrderCompleted() if not self._is_whole(fact.client_order_id):
                return []  # a part of an order whose rest is to come
            case ev.OrderCompleted():
                return [(E.ORDER_FILLED, self._about(fact.client_order_id) | self._progress(fact.client_order_id))]
            case ev.OrderCanceled():
                return [(E.ORDER_CANCELED, self._about(fact.client_order_id) | self._progress(fact.client_order_id))]
            case ev.OrderExpired():
                return [(E.ORDER_EXPIRED, self._about(fact.client_order_id) | self._progress(fact.client_order_id))]
            case ev.OrderRejected(client_order_id=oid, reason=reason, message=message):
                why = {"reason": reason, "message": message}
                return [(E.ORDER_REJECTED, self._about(oid) | self._progress(oid) | why)]
            case ev.OrderCancelRequested(client_order_id=oid) if self._part_of(oid) is not None:
                return []  # it is the whole that somebody wants gone
            case ev.OrderCancelRequested(client_order_id=oid, by=by):
                return [(E.ORDER_CANCEL_REQUESTED, self._about(oid) | {"by": by})]
            case ev.OrderCancelRefused(client_order_id=oid, message=message):
                return [(E.ORDER_CANCEL_REFUSED, self._about(oid) | {"message": message})]
            case ev.OrderReplaceRequested(client_order_id=oid, replaced_by=new, by=by):
                return [(E.ORDER_REPLACE_REQUESTED, self._about(oid) | {"replaced_by": new, "by": by})]
            case ev.OrderReplaceRefused(client_order_id=oid, message=message):
                return [(E.ORDER_REPLACE_REFUSED, self._about(oid) | {"message": message})]
            case ev.OrderReplaced(client_order_id=oid, replaced_by=new):
                return [(E.ORDER_REPLACED, self._about(oid) | self._progress(oid) | {"replaced_by": new})]
            case ev.OrderRestated():
                return self._restated(fact)
            case ev.OrderAdopted():
                return self._adopted(fact)
            case ev.BrokerSaid(client_order_id=oid, word=word):
                said = self._about(oid) | {"source": fact.source, "message": fact.detail or None}
                return [(E.ORDER_IN_DOUBT, said) if word == IN_DOUBT else (E.BROKER_SAID, said | {"word": word})]
            case ev.FillCorrected():
                return [(E.FILL_CORRECTED, self._about(fact.client_order_id) | _corrected(fact))]
            case ev.LegsFound():
                return self._legs(fact.client_order_id, fact.legs)
            case ev.StrategyRegistered():
                self.owners[fact.strategy_id] = fact.user_id
                what = {"name": fact.name, "strategy_version": fact.version, "code_hash": fact.code_hash}
                return [(E.STRATEGY_REGISTERED, self._of(fact.strategy_id) | what)]
            case ev.StrategyStatusChanged(strategy_id=who, status=status, why=words):
                return [(E.STRATEGY_STATUS_CHANGED, self._of(who) | {"status": status.value, "why": words})]
            case ev.StageChanged(strategy_id=who, stage=stage):
                return [(E.STAGE_CHANGED, self._of(who) | {"stage": stage.value, "why": fact.why, "by": fact.by})]
            case ev.VersionChosen(strategy_id=who):
                told = {"code_hash": fact.code_hash, "previous": fact.previous, "how": fact.how, "by": fact.by}
                return [(E.VERSION_CHOSEN, self._of(who) | told)]
            case ev.AllocationChanged(strategy_id=who, allocation=allocation, by=by):
                return [(E.ALLOCATION_CHANGED, self._of(who) | {"allocation": shown_decimal(allocation), "by": by})]
            case ev.LimitsChanged(strategy_id=who, limits=limits, by=by):
                return [(E.LIMITS_CHANGED, self._of(who) | {"limits": dict(limits), "by": by})]
            case ev.MarketDayBegan(market_day=day):
                return [(E.MARKET_DAY_BEGAN, {"market_day": day.isoformat()})]
            case ev.RunStarted():
                return [(E.RUN_STARTED, self._of(fact.strategy_id) | {"run_id": fact.run_id})]
            case ev.RunStalled():
                return [(E.RUN_STALLED, self._of(fact.strategy_id) | {"run_id": fact.run_id, "message": fact.detail})]
            case ev.RunEnded():
                return [(E.RUN_ENDED, self._of(fact.strategy_id) | _run_end(fact))]
            case ev.StreamChanged():
                return [_stream(fact)]
            case ev.OutageEnded():
                return [(E.OUTAGE_ENDED, _outage(fact))]
            case ev.DiscrepancyFound():
                about = self._discrepancy(fact) | {"expected": fact.expected, "actual": fact.actual}
                return [(E.DISCREPANCY_FOUND, about | {"action": fact.action, "more": _text(fact.more)})]
            case ev.DiscrepancyResolved(subject=subject, by=by, reason=reason):
                return [(E.DISCREPANCY_RESOLVED, {"subject": subject, "by": by, "why": reason})]
            case ev.SymbolFrozen(symbol=symbol, why=words):
                return [(E.SYMBOL_FROZEN, {"symbol": symbol, "why": words})]
            case ev.SymbolThawed(symbol=symbol, why=words):
                return [(E.SYMBOL_THAWED, {"symbol": symbol, "why": words})]
            case ev.SharesDistributed(symbol=symbol, ratio=ratio, by=by, reason=reason):
                return [
                    (E.SHARES_DISTRIBUTED, {"symbol": symbol, "ratio": shown_decimal(ratio), "by": by, "why": reason})
                ]
            case ev.HouseAdjusted():
                return [(E.HOUSE_ADJUSTED, _adjusted(fact))]
            case ev.AccountReconciled():
                return [
                    (
                        E.RECONCILED,
                        {"why": fact.why, "cash": shown_decimal(fact.cash), "differences": differences(fact)},
                    )
                ]
            case ev.CommandGiven():
                return [(E.COMMAND_GIVEN, {"by": fact.by, "command": fact.command, "arguments": fact.arguments})]
            case ev.NoticeGiven(strategy_id=who):
                what = {"topic": fact.topic.value, "severity": fact.severity.value, "title": fact.title}
                whose = {} if who is None else self._of(who)
                return [(E.NOTICE_GIVEN, {**whose, **what, "message": fact.text, "by": fact.by})]
            case ev.KillEngaged(depth=depth, cause=cause, by=by, reason=reason):
                how = {"depth": depth.value, "cause": cause.value, "by": by, "why": reason}
                return [(E.KILL_ENGAGED, self._killed(fact.target) | how)]
            case ev.KillReleased(by=by, reason=reason):
                return [(E.KILL_RELEASED, self._killed(fact.target) | {"by": by, "why": reason})]
            case ev.FlattenCompleted():
                return [(E.FLATTEN_COMPLETED, self._killed(fact.target))]
            case ev.FlattenHindered():
                return [(E.FLATTEN_HINDERED, self._killed(fact.target) | {"left": list(fact.left)})]
            case ev.TradingSuspended(is_suspended=is_suspended, why=words):
                return [(E.TRADING_SUSPENDED if is_suspended else E.TRADING_RESUMED, {"why": words})]
            case ev.CancelAllRequested(by=by, orders=orders):
                return [(E.CANCEL_ALL_REQUESTED, {"by": by, "orders": orders})]
            case ev.CancelAllAnswered():
                counts = {"canceled": fact.canceled, "refused": fact.refused, "unnamed": fact.unnamed}
                return [(E.CANCEL_ALL_ANSWERED, counts | {"strangers": list(fact.strangers)})]
            case ev.BreakerMoved(strategy_id=who, state=state, why=words, trips=trips, until=until):
                moved: dict[str, Any] = self._of(who) | {"status": state.value, "why": words, "trips": trips}
                return [(E.BREAKER_MOVED, moved | ({} if until is None else {"until": instant(until)}))]
            case ev.RootSigned():
                return [(E.ROOT_SIGNED, _root(fact))]
            case ev.JobStarted():
                return [(E.JOB_STARTED, _job(fact))]
            case ev.JobEnded():
                return [(E.JOB_ENDED, _job(fact) | {"outcome": fact.outcome.value, "message": fact.detail})]
            case ev.DaySummarized():
                return [(E.DAY_SUMMARIZED, _summary(fact))]
            case ev.DeskStarted():
                return [(E.DESK_STARTED, {"desk_version": fact.version, "broker": fact.broker})]
            case ev.DeskStopped():
                return [(E.DESK_STOPPED, {})]
            case ev.HaltChanged(symbol=symbol, why=words):
                return [(E.SYMBOL_HALTED if fact.is_halted else E.SYMBOL_RESUMED, {"symbol": symbol, "why": words})]
            case ev.ClockStepped(by_ms=by_ms):
                return [(E.CLOCK_STEPPED, {"why": f"by_ms={by_ms}"})]
            case ev.Heartbeat():
                return [(E.HEARTBEAT, _beat(fact))]
            case ev.ExitTriggered(strategy_id=who):
                what = {
                    "symbol": fact.symbol,
                    "reason": fact.kind.value,
                    "position_qty": shown_decimal(fact.position_qty),
                }
                return [
                    (
                        E.EXIT_TRIGGERED,
                        self._of(who) | what | {"price": shown_decimal(fact.price), "why": in_words(fact)},
                    )
                ]
            case ev.PositionsMarked() | ev.TrailMoved():
                return []  # SILENT
            case _:
                assert_never(fact)

    def _killed(self, target: KillTarget) -> dict[str, Any]:
        about: dict[str, Any] = {"scope": target.scope.value, "name": target.name or None}
        match target.scope:
            case KillScope.STRATEGY:
                return about | self._of(StrategyId(target.name))
            case KillScope.MEMBER:
                return about | {"user_id": target.name}
            case KillScope.SYMBOL:
                return about | {"symbol": target.name}
            case KillScope.DESK:
                return about
            case _:
                assert_never(target.scope)

    # --- orders ------------------------------------------------------------------------------------------------------

    def _approved(self, fact: ev.OrderApproved) -> list[_Made]:
        self._know(fact.request.client_order_id, _Known(fact.request))
        return [(E.ORDER_CREATED, _created(fact.request, None)), (E.ORDER_SUBMITTED, _whose(fact.request))]

    def _adopted(self, fact: ev.OrderAdopted) -> list[_Made]:
        self._know(fact.request.client_order_id, _Known(fact.request, None, fact.broker_order_id))
        about = {"order_id": fact.broker_order_id}
        stamp = None if fact.submitted_at is None else instant(fact.submitted_at)
        return [
            (E.ORDER_CREATED, _created(fact.request, None) | about | {"replaces": fact.replaces}),
            (E.ORDER_ACCEPTED, _whose(fact.request) | about | {"submitted_at": stamp}),
        ]

    def _returned(self, fact: ev.OrderReturned) -> list[_Made]:
        self._know(fact.request.client_order_id, _Known(fact.request))
        why = {"reason": fact.reason, "message": fact.message, "held_until": instant(fact.until)}
        return [
            (E.ORDER_CREATED, _created(fact.request, None) | {"replaces": fact.replaces}),
            (E.ORDER_HELD, _whose(fact.request) | why),
        ]

    def _restated(self, fact: ev.OrderRestated) -> list[_Made]:
        oid = fact.client_order_id
        known = self._orders.get(oid)
        if known is None:
            return []
        whole = self._whole(oid) or known
        before = known.qty
        known.restated_qty = fact.qty
        if whole is not known and whole.qty is not None and before is not None:
            whole.restated_qty = Qty(whole.qty - (before - fact.qty))
        stands = self._about(oid) | self._progress(oid)
        return [(E.ORDER_RESTATED, stands), *([(E.ORDER_FILLED, stands)] if whole.filled_qty == whole.qty else [])]

    def _split(self, fact: ev.OrderSplit) -> list[_Made]:
        whole = self._orders.get(fact.client_order_id)
        if whole is None:
            return []
        request = part_request(whole.request, fact)
        self._know(fact.part_id, _Known(request, part_of=fact.client_order_id))
        part = {"part_id": fact.part_id, "part_qty": shown_decimal(fact.qty), "until": instant(fact.until)}
        return [(E.ORDER_SPLIT, _whose(whole.request) | part)]

    def _part_of(self, oid: ClientOrderId) -> ClientOrderId | None:
        known = self._orders.get(oid)
        return None if known is None else known.part_of

    def _whole(self, oid: ClientOrderId) -> _Known | None:
        """Return what is known of the order that was asked for, *oid* being it or a part of it."""
        return self._orders.get(self._part_of(oid) or oid)

    def _is_whole(self, oid: ClientOrderId) -> bool:
        """Tell whether nothing of the order is left, *oid* being no part, or its last."""
        known = self._whole(oid)
        return self._part_of(oid) is None or known is None or known.filled_qty == known.qty

    def _know(self, oid: ClientOrderId, known: _Known) -> None:
        self._orders[oid] = known
        if len(self._orders) > KNOWN_MAX:
            del self._orders[next(iter(self._orders))]  # should it be heard of again, `lacks` says so

    def _accepted(self, fact: ev.OrderAccepted) -> list[_Made]:
        known = self._orders.get(fact.client_order_id)
        if known is not None:
            known.broker_order_id = fact.broker_order_id
        if (whole := self._whole(fact.client_order_id)) is not None and whole.broker_order_id is None:
            whole.broker_order_id = fact.broker_order_id
        stamp = None if fact.submitted_at is None else instant(fact.submitted_at)
        about = self._about(fact.client_order_id) | {"submitted_at": stamp}
        return [(E.ORDER_ACCEPTED, about), *self._legs(fact.client_order_id, fact.legs)]

    def _legs(self, parent_id: ClientOrderId, legs: Sequence[ev.LegSpec]) -> list[_Made]:
        parent = self._orders.get(parent_id)
        made: list[_Made] = []
        if parent is None:
            return made
        for leg in legs:
            request = leg.request(parent.request)
            self._know(leg.client_order_id, _Known(request, parent_id, leg.broker_order_id))
            made.append((E.ORDER_CREATED, _created(request, parent_id) | {"order_id": leg.broker_order_id}))
        return made

    def _filled(self, fact: ev.OrderFilled) -> list[_Made]:
        oid = fact.client_order_id
        known = self._whole(oid)
        if known is None:
            return []
        known.filled_qty += fact.qty
        is_whole = known.filled_qty == known.qty
        fill = {
            "fill_id": fact.fill_id,
            "fill_qty": plain(fact.qty),  # exact: whoever adds fills up gets what the books have
            "fill_price": plain(fact.price),
            "filled_at": instant(fact.filled_at),
            "is_internal": True if fact.internal_with else None,
        }
        about, position = self._about(oid), _text(fact.position_qty)
        made: list[_Made] = [
            (
                E.ORDER_FILLED if is_whole else E.ORDER_PARTIALLY_FILLED,
                about | fill | self._progress(oid) | {"position_qty": position},
            )
        ]
        if fact.position_qty is not None:  # ledgers from before it was kept do not tell
            before = fact.position_qty - known.request.side.sign * fact.qty
            moved = about | {"position_qty": position, "fill_price": fill["fill_price"]}
            made += [(event, moved) for event in _moves(before, fact.position_qty)]
        return made

    def _about(self, oid: ClientOrderId) -> dict[str, Any]:
        known = self._orders.get(oid)
        if known is None:
            return {"client_order_id": oid}
        about = _whose(known.request) | {"order_id": known.broker_order_id}
        return about if known.part_of is None else about | {"client_order_id": known.part_of, "part_id": oid}

    def _progress(self, oid: ClientOrderId) -> dict[str, Any]:
        known = self._whole(oid)
        return {} if known is None else {"filled_qty": shown_decimal(known.filled_qty), "qty": _text(known.qty)}

    # --- what is no order's ------------------------------------------------------------------------------------------

    def _of(self, who: StrategyId) -> dict[str, Any]:
        return {"strategy_id": who, "user_id": self.owners.get(who)}

    def _discrepancy(self, fact: ev.DiscrepancyFound) -> dict[str, Any]:
        """Return whose it is: an account's difference is no order's, though a member may name an order `cash`."""
        oid = order_of(fact)
        return (self._about(oid) if oid in self._orders else {}) | {"subject": fact.subject}


def order_of(fact: ev.Fact) -> ClientOrderId | None:
    """Return the order that *fact* is about."""
    if isinstance(fact, ev.OrderApproved | ev.OrderDenied | ev.OrderAdopted | ev.OrderReturned):
        return fact.request.client_order_id
    if isinstance(fact, ev.DiscrepancyFound):
        return ClientOrderId(fact.subject) if fact.more is None else None
    if isinstance(fact, ev.DiscrepancyResolved):
        return None  # only what the house took is resolved
    if isinstance(fact, ev.HouseAdjusted):
        return None  # about the house, whosever fill it was
    oid: ClientOrderId | None = getattr(fact, "client_order_id", None)
    return oid


def _denied(fact: ev.OrderDenied) -> list[_Made]:
    about = _whose(fact.request)
    made: list[_Made] = [
        (E.ORDER_CREATED, _created(fact.request, None)),
        (E.ORDER_DENIED, about | {"reason": fact.reason, "message": fact.message}),
    ]
    if fact.reason in LIMITS:
        said_no = fact.checks[-1] if fact.checks else None
        figures = {"figure": said_no.figure, "limit": said_no.limit} if said_no else {}
        made.append((E.LIMIT_BREACHED, about | {"reason": fact.reason} | figures))
    return made


def _whose(r: OrderRequest) -> dict[str, Any]:
    return {
        "strategy_id": r.strategy_id,
        "user_id": r.user_id,
        "client_order_id": r.client_order_id,
        "symbol": r.symbol,
        "side": r.side.value,
    }


def _created(r: OrderRequest, parent_id: ClientOrderId | None) -> dict[str, Any]:
    return _whose(r) | {
        "qty": _text(r.qty),
        "notional": _text(r.notional),
        "order_type": r.order_type.value,
        "time_in_force": r.time_in_force.value,
        "order_class": r.order_class.value,
        "limit_price": _text(r.limit_price),
        "stop_price": _text(r.stop_price),
        "trail_price": _text(r.trail_price),
        "trail_percent": _text(r.trail_percent),
        "parent_id": parent_id,
        "replaces": None if r.replacement is None else r.replacement.replaces,
        "why": r.reason,
    }


def _moves(before: Decimal, after: Decimal) -> tuple[DeskEvent, ...]:
    """Return what became of a position that held *before* and holds *after*."""
    if not before:
        return (E.POSITION_OPENED,)
    if not after:
        return (E.POSITION_CLOSED,)
    crosses = (before < 0) is not (after < 0)
    return (E.POSITION_CLOSED, E.POSITION_OPENED) if crosses else (E.POSITION_CHANGED,)


def _stream(fact: ev.StreamChanged) -> _Made:
    said = {"stream": fact.stream, "why": fact.why, "affected": list(fact.affected)}
    return (E.STREAM_UP, said) if fact.is_up else (E.OUTAGE_STARTED, said | {"orders_open": fact.open_orders})


def _outage(fact: ev.OutageEnded) -> dict[str, Any]:
    return {
        "stream": fact.stream,
        "why": fact.why,
        "started_at": instant(fact.started_at),
        "ended_at": instant(fact.ended_at),
        "affected": list(fact.affected),
        "orders_open": fact.open_orders,
        "orders_refused": sum(count for _, count in fact.refusals),
        "bars_fetched": fact.bars_fetched,
        "bars_missing": fact.bars_missing,
        "is_cut_short": fact.is_cut_short,
    }


def _run_end(fact: ev.RunEnded) -> dict[str, Any]:
    end = fact.end
    return {
        "run_id": fact.run_id,
        "reason": end.reason.value,
        "message": end.detail,
        "exit_code": end.exit_code,
        "peak_memory_bytes": end.peak_memory_bytes,
        "cpu_seconds": end.cpu_seconds,
        "throttled_seconds": end.throttled_seconds,
        "lines_delivered": end.lines_delivered,
        "lines_handled": end.lines_handled,
        "source_line": end.source_line or None,
    }


def differences(fact: ev.AccountReconciled) -> dict[str, str]:
    """Return what the broker has more than the books, by subject, in whichever form an entry keeps it."""
    return dict(fact.differences) | {subject: figure for subject, figure, _ in fact.suspected}


def _corrected(fact: ev.FillCorrected) -> dict[str, Any]:
    return {
        "word": fact.word,
        "corrected_qty": shown_decimal(fact.qty),
        "corrected_notional": shown_decimal(fact.notional),
        "corrected_at": instant(fact.corrected_at),
    }


def _adjusted(fact: ev.HouseAdjusted) -> dict[str, Any]:
    shares = {"symbol": fact.symbol, "qty": shown_decimal(fact.qty), "price": _text(fact.price)} if fact.symbol else {}
    return shares | {"cash": shown_decimal(fact.cash), "cause": fact.cause and fact.cause.value, "why": fact.why}


def _root(fact: ev.RootSigned) -> dict[str, Any]:
    return {
        "market_day": fact.market_day.isoformat(),
        "root": fact.root,
        "root_seq": fact.seq,
        "public_key": fact.public_key,
        "signature": fact.signature,
    }


def _job(fact: ev.JobStarted | ev.JobEnded) -> dict[str, Any]:
    return {"job": fact.name.value, "market_day": fact.session.isoformat(), "by": fact.by}


def _summary(fact: ev.DaySummarized) -> dict[str, Any]:
    return {
        "market_day": fact.market_day.isoformat(),
        "equity": shown_decimal(fact.equity),
        "day_pnl": shown_decimal(fact.day_pnl),
        "fees": shown_decimal(fact.fees),
        "orders": fact.orders,
        "fills": fact.fills,
        "denied": fact.denied,
        "deaths": fact.deaths,
        "strategies": {who: shown_decimal(pnl) for who, pnl in fact.strategies},
    }


def _beat(fact: ev.Heartbeat) -> dict[str, Any]:
    return {
        "orders_open": fact.orders_open,
        "strategies_running": fact.strategies_running,
        "market_is_open": fact.market_is_open,
        "ledger_seq": fact.ledger_seq,
    }


def instant(at: datetime) -> str:
    """Return RFC 3339 in UTC with microseconds: a fixed width, so that texts sort as times do."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _text(value: Decimal | None) -> str | None:
    return None if value is None else shown_decimal(value)
