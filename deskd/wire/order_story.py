"""One order's story, for people: what was asked, what each check found, what happened and when, and how it ended.

All of it is told from the ledger's entries alone; an order of last year reads as one of today.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from deskd.core import lifecycle, splitting
from deskd.core.kills import covers
from deskd.core.outages import DESK
from deskd.domain import events as ev
from deskd.domain.entry import Entry
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import plain, shown_decimal
from deskd.domain.order import Order, OrderClass, OrderRequest, OrderStatus
from deskd.wire.drop_copy import differences, instant, order_of
from deskd.wire.order_words import Asked, asked, clock, milliseconds, outcome, remedy, said, text

type View = dict[str, Any]

AROUND = (
    "StreamChanged",
    "OutageEnded",
    "DeskStarted",
    "DeskStopped",
    "AccountReconciled",
    "DiscrepancyFound",
    "DiscrepancyResolved",
    "SymbolFrozen",
    "SymbolThawed",
    "SharesDistributed",
    "StrategyStatusChanged",
    "StageChanged",
    "KillEngaged",
    "KillReleased",
    "BreakerMoved",
)
AROUND_MAX = 20  # facts beside the order's own; the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What the ledger holds about one order."""

    order_id: ClientOrderId
    entries: Sequence[Entry]  # its own and its parts', and of a leg those of the order that carries it
    around: Sequence[Entry]  # of the kinds in AROUND, while it lived
    run: Sequence[Entry]  # the run that was up when it was asked for: start, and end


@dataclass(frozen=True, slots=True)
class _Parts:
    """The entries, sorted out."""

    asked: Asked
    own: Sequence[Entry]
    order: Order
    legs: tuple[ev.LegSpec, ...]
    split: Mapping[ClientOrderId, Order]  # the parts in which it went to the broker

    @property
    def began_at(self) -> datetime:
        return self.own[0].fact.at


def tell(material: Material) -> View:
    """Return the page of an order, as plain data; raise LookupError where the ledger does not hold its beginning."""
    parts = _sorted_out(material)
    request = parts.order.request
    return {
        "client_order_id": request.client_order_id,
        "broker_order_id": parts.order.broker_order_id,
        "strategy_id": request.strategy_id,
        "user_id": request.user_id,
        "status": parts.order.status.value,
        "outcome": outcome(parts.order, parts.asked),
        "remedy": remedy(parts.order),
        "asked": asked(request),
        "why": request.reason,
        "line": getattr(parts.asked, "line", "") or None,
        "lines_together": getattr(parts.asked, "lines_together", 0) or None,
        "market": _market(parts.asked),
        "checks": _checks(parts.asked),
        "timeline": _timeline(parts),
        "fills": _fills(parts),
        "parts": [_part(part) for part in parts.split.values()],
        "parent_id": parts.order.parent_id,
        "legs": [_leg(leg) for leg in parts.legs],
        "replaces": parts.order.replaces,
        "replaced_by": parts.order.replaced_by,
        "in_the_way": _in_the_way(parts),
        "around": _around(material, parts),
        "run": _run(material.run),
    }


def _sorted_out(material: Material) -> _Parts:
    oid = material.order_id
    names = {oid} | {e.fact.part_id for e in material.entries if isinstance(e.fact, ev.OrderSplit)}
    own = [entry for entry in material.entries if any(_is_own(entry.fact, name) for name in names)]
    asked = _asked_by(own) or _asked_by(material.entries)
    if asked is None:
        raise LookupError(f"the ledger does not hold the request of order {oid}")
    if asked.request.client_order_id != oid:  # a leg: it begins with the word that names it
        made = [e for e in material.entries if isinstance(e.fact, ev.OrderAccepted | ev.LegsFound)]
        own = [*[e for e in made if _carries(e.fact, oid)][:1], *own]
        if not own or not _carries(own[0].fact, oid):
            raise LookupError(f"the ledger does not hold the beginning of order {oid}")
    order = _begun(asked, own[0].fact, oid)
    legs: tuple[ev.LegSpec, ...] = ()
    split: dict[ClientOrderId, Order] = {}
    for entry in own:
        fact = entry.fact
        if isinstance(fact, ev.OrderSplit):
            order, split[fact.part_id] = splitting.split(order, fact)
        if (name := order_of(fact)) in split and isinstance(fact, ev.OrderFact.__value__):
            assert name is not None, "a part has a name"
            split[name] = lifecycle.apply(split[name], fact)
            order = splitting.summed(order, list(split.values()))
        if not _is_own(fact, oid):
            continue
        if isinstance(fact, ev.OrderFact.__value__):
            order = lifecycle.apply(order, fact)
        if isinstance(fact, ev.OrderHeld | ev.OrderReleased):
            order = lifecycle.wait(order, fact)
        if isinstance(fact, ev.OrderAccepted | ev.LegsFound):
            legs = legs or fact.legs
    return _Parts(asked, own, order, legs, split)


def _is_own(fact: ev.Fact, oid: ClientOrderId) -> bool:
    return oid in {order_of(fact), fact.client_order_id if isinstance(fact, ev.HouseAdjusted) else None}


def _asked_by(entries: Sequence[Entry]) -> Asked | None:
    kinds = ev.OrderApproved | ev.OrderDenied | ev.OrderAdopted | ev.OrderReturned
    return next((entry.fact for entry in entries if isinstance(entry.fact, kinds)), None)


def _carries(fact: ev.Fact, oid: ClientOrderId) -> bool:
    return isinstance(fact, ev.OrderAccepted | ev.LegsFound) and any(leg.client_order_id == oid for leg in fact.legs)


def _begun(asked: Asked, first: ev.Fact, oid: ClientOrderId) -> Order:
    """Return the order as it was at its first fact."""
    if isinstance(asked, ev.OrderAdopted):
        return Order(
            request=asked.request,
            status=OrderStatus.ACCEPTED,
            requested_at=asked.at,
            updated_at=asked.at,
            broker_order_id=asked.broker_order_id,
            replaces=asked.replaces,
        )
    if isinstance(asked, ev.OrderReturned):
        return lifecycle.come_back(asked)
    if isinstance(asked, ev.OrderDenied):
        return Order(
            request=asked.request,
            status=OrderStatus.DENIED,
            requested_at=asked.at,
            updated_at=asked.at,
            reason=asked.reason,
            message=asked.message,
        )
    if asked.request.client_order_id != oid and isinstance(first, ev.OrderAccepted | ev.LegsFound):
        spec = next(leg for leg in first.legs if leg.client_order_id == oid)
        request = replace(spec.request(asked.request), order_class=OrderClass.SIMPLE)
        return Order(
            request=request,
            status=OrderStatus.ACCEPTED,
            requested_at=first.at,
            updated_at=first.at,
            broker_order_id=spec.broker_order_id,
            parent_id=asked.request.client_order_id,
        )
    new = asked.request.replacement
    return Order(
        request=asked.request,
        status=OrderStatus.SUBMITTED,
        requested_at=asked.at,
        updated_at=asked.at,
        replaces=None if new is None else new.replaces,
    )


# --- parts of the page ------------------------------------------------------------------------------------------------


def _market(asked: Asked) -> View | None:
    quote = None if isinstance(asked, ev.OrderAdopted | ev.OrderReturned) else asked.quote
    if quote is None:
        return None
    return {
        "symbol": quote.symbol,
        "bid": plain(quote.bid_price),
        "bid_size": plain(quote.bid_size),
        "ask": plain(quote.ask_price),
        "ask_size": plain(quote.ask_size),
        "quoted_at": instant(quote.quoted_at),
        "received_at": instant(quote.received_at),
        "age_s": round((asked.at - quote.received_at).total_seconds(), 3),
    }


def _checks(asked: Asked) -> list[View]:
    if isinstance(asked, ev.OrderAdopted | ev.OrderReturned):
        return []
    last = len(asked.checks) - 1 if isinstance(asked, ev.OrderDenied) else -1
    return [
        {
            "name": check.name,
            "figure": check.figure,
            "limit": check.limit or None,
            "verdict": "denied" if index == last else "passed",
        }
        for index, check in enumerate(asked.checks)
    ]


def _timeline(parts: _Parts) -> list[View]:
    rows: list[View] = []
    before, filled = parts.began_at, Decimal(0)
    for entry in parts.own:
        fact = entry.fact
        if isinstance(fact, ev.OrderFilled):
            filled += fact.qty
        if (name := order_of(fact)) in parts.split:
            words = f"part {name}: {said(fact, filled, parts.order.qty)}"
        elif _is_own(fact, parts.order.request.client_order_id):
            words = said(fact, filled, parts.order.qty)
        else:
            words = f"the broker made it as a leg of {parts.order.parent_id}"
        source = getattr(fact, "source", "") or ("gate" if fact is parts.asked else "")
        rows.append(
            {
                "seq": entry.seq,
                "hash": entry.hash,
                "kind": type(fact).__name__,
                "at": instant(fact.at),
                "since_request_ms": milliseconds(fact.at - parts.began_at),
                "since_last_ms": milliseconds(fact.at - before),
                "source": source or None,
                "words": words,
            }
        )
        before = fact.at
    return rows


def _in_the_way(parts: _Parts) -> list[ClientOrderId]:
    """Return the orders, of whomever, because of which it was denied or held, or that it met: for officers only."""
    found: list[ClientOrderId] = []
    for entry in parts.own:
        match entry.fact:
            case ev.OrderDenied(in_the_way=others) | ev.OrderHeld(in_the_way=others):
                found += others
            case ev.OrderFilled(internal_with=other) | ev.OrderCancelRequested(recalled_for=other) if other is not None:
                found.append(other)
            case _:
                pass
    return found


def _fills(parts: _Parts) -> list[View]:
    rows: list[View] = []
    filled = worth = Decimal(0)
    for entry in parts.own:
        fact = entry.fact
        if not isinstance(fact, ev.OrderFilled):
            continue
        filled, worth = filled + fact.qty, worth + fact.qty * fact.price
        rows.append(
            {
                "seq": entry.seq,
                "fill_id": fact.fill_id,
                "at": instant(fact.filled_at),
                "qty": plain(fact.qty),
                "price": plain(fact.price),
                "cash": shown_decimal(-parts.order.request.side.sign * fact.qty * fact.price),
                "filled_qty": plain(filled),
                "avg_fill_price": plain(round(worth / filled, 6)),
                "position_qty": text(fact.position_qty),
                "is_internal": fact.internal_with is not None,
            }
        )
    return rows


def _part(part: Order) -> View:
    return {
        "part_id": part.request.client_order_id,
        "broker_order_id": part.broker_order_id,
        "qty": text(part.qty),
        "status": part.status.value,
        "filled_qty": plain(part.filled_qty),
        "avg_fill_price": None if part.avg_fill_price is None else plain(round(part.avg_fill_price, 6)),
    }


def _leg(leg: ev.LegSpec) -> View:
    return {
        "client_order_id": leg.client_order_id,
        "broker_order_id": leg.broker_order_id,
        "side": leg.side.value,
        "order_type": leg.order_type.value,
        "qty": plain(leg.qty),
        "limit_price": text(leg.limit_price),
        "stop_price": text(leg.stop_price),
    }


def _around(material: Material, parts: _Parts) -> View:
    rows: list[View] = []
    quiet = 0
    for entry in material.around:
        words = _beside(entry.fact, parts.order.request)
        if words is None:
            quiet += isinstance(entry.fact, ev.AccountReconciled) and not differences(entry.fact)
        else:
            ms = milliseconds(entry.fact.at - parts.began_at)
            rows.append({"seq": entry.seq, "at": instant(entry.fact.at), "since_request_ms": ms, "words": words})
    return {"facts": rows[:AROUND_MAX], "more": max(len(rows) - AROUND_MAX, 0), "reconciles_without_difference": quiet}


def _beside(fact: ev.Fact, request: OrderRequest) -> str | None:
    match fact:
        case ev.StreamChanged():
            return f"the stream of {fact.stream} {'came up' if fact.is_up else 'went down'}: {fact.why}"
        case ev.OutageEnded():
            refused = sum(count for _, count in fact.refusals)
            span = f"from {clock(fact.started_at)} to {clock(fact.ended_at)}"
            whose = "the desk itself" if fact.stream == DESK else f"the stream of {fact.stream}"
            return f"an outage of {whose} is over: {span}; {refused} orders were not taken"
        case ev.DeskStarted():
            return f"the desk started (deskd {fact.version}, {fact.broker})"
        case ev.DeskStopped():
            return "the desk stopped"
        case ev.AccountReconciled() if request.symbol in differences(fact):  # the rest is not its member's
            return f"books and broker differed: {request.symbol} {differences(fact)[request.symbol]}"
        case ev.DiscrepancyFound(subject=what) if what == request.symbol or order_of(fact) == request.client_order_id:
            return f"a difference with the broker: {fact.subject}: {fact.expected}, but {fact.actual}; {fact.action}"
        case ev.DiscrepancyResolved(subject=what) if what == request.symbol:
            return f"the difference was settled by {fact.by}: {fact.reason}"
        case ev.SymbolFrozen(symbol=symbol) if symbol == request.symbol:
            return f"new orders in {symbol} were frozen: {fact.why}"
        case ev.SymbolThawed(symbol=symbol) if symbol == request.symbol:
            return f"new orders in {symbol} passed again: {fact.why}"
        case ev.SharesDistributed(symbol=symbol) if symbol == request.symbol:
            return f"every book's shares of {symbol} were multiplied by {plain(fact.ratio)}: {fact.reason}"
        case ev.KillEngaged() if covers(fact.target, request.strategy_id, request.user_id, request.symbol):
            return f"the kill switch was pulled: {fact.target}, {fact.depth}, by {fact.by}: {fact.reason}"
        case ev.KillReleased() if covers(fact.target, request.strategy_id, request.user_id, request.symbol):
            return f"the kill of {fact.target} was released by {fact.by}: {fact.reason}"
        case ev.BreakerMoved(strategy_id=who) if who == request.strategy_id:
            return f"the strategy's circuit breaker went {fact.state}: {fact.why}"
        case ev.StrategyStatusChanged(strategy_id=who) if who == request.strategy_id:
            return f"the strategy became {fact.status}: {fact.why}"
        case ev.StageChanged(strategy_id=who) if who == request.strategy_id:
            return f"the strategy was brought to the stage {fact.stage} by {fact.by}: {fact.why}"
        case _:
            return None


def _run(entries: Sequence[Entry]) -> View | None:
    started = next((e.fact for e in entries if isinstance(e.fact, ev.RunStarted)), None)
    ended = next((e.fact for e in entries if isinstance(e.fact, ev.RunEnded)), None)
    if started is None:
        return None
    return {
        "run_id": started.run_id,
        "started_at": instant(started.at),
        "ended_at": None if ended is None else instant(ended.at),
        "exit_reason": None if ended is None else ended.end.reason.value,
        "exit_detail": None if ended is None else ended.end.detail,
    }
