"""An order in words: what was asked, what each fact says, how it stands, what can be done."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never

from deskd.core.words import ACKNOWLEDGED, IN_DOUBT, NOT_FOUND
from deskd.domain import events as ev
from deskd.domain.money import plain
from deskd.domain.order import Order, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from deskd.domain.reasons import RejectReason

type Asked = ev.OrderApproved | ev.OrderDenied | ev.OrderAdopted | ev.OrderReturned

_LIVES = {
    TimeInForce.DAY: "good for the day",
    TimeInForce.GTC: "good until canceled",
    TimeInForce.OPG: "for the opening auction",
    TimeInForce.CLS: "for the closing auction",
    TimeInForce.IOC: "at once, the rest canceled",
    TimeInForce.FOK: "whole and at once, or not at all",
}
_REMEDIES = {
    RejectReason.BROKER_REJECTED: "the words are the broker's: change the order as they say",
    RejectReason.NEVER_ARRIVED: "nothing was traded: ask again, with a new client_order_id, if you still want it",
    RejectReason.HELD_TOO_LONG: "nothing of it was sent: ask again later, or at a price that meets no other order",
    RejectReason.BROKER_REFUSED_LATER: "what was filled before is booked; ask again if you still want the rest",
    RejectReason.BROKER_LOST: "what was filled before is booked; an officer should look at the broker's account",
}
_NAMES_FILLS = frozenset({RejectReason.BROKER_REFUSED_LATER, RejectReason.BROKER_LOST})  # their remedies do


def asked(r: OrderRequest) -> str:
    """Return the request in words."""
    much = f"{plain(r.qty)} {r.symbol}" if r.qty is not None else f"{r.symbol} for ${plain(r.notional or Decimal(0))}"
    return ", ".join([f"{r.side} {much} {_price(r)}", _LIVES[r.time_in_force], *_extras(r)])


def _price(r: OrderRequest) -> str:
    match r.order_type:
        case OrderType.LIMIT:
            return f"at {text(r.limit_price)} or better"
        case OrderType.STOP:
            return f"at the market once the price reaches {text(r.stop_price)}"
        case OrderType.STOP_LIMIT:
            return f"at {text(r.limit_price)} or better once the price reaches {text(r.stop_price)}"
        case OrderType.TRAILING_STOP:
            trail = f"{plain(r.trail_percent)} %" if r.trail_percent is not None else text(r.trail_price)
            return f"at the market once the price turns by {trail}"
        case _:
            return "at the market"


def _extras(r: OrderRequest) -> list[str]:
    extras = []
    if r.take_profit is not None:
        extras.append(f"take profit at {plain(r.take_profit.limit_price)}")
    if r.stop_loss is not None:
        extras.append(f"stop loss at {plain(r.stop_loss.stop_price)}")
    if r.extended_hours:
        extras.append("also before and after the regular session")
    return extras


def outcome(order: Order, asked: Asked) -> str:
    """Return how the order stands or ended, in one sentence."""
    r, got = order.request, _got(order)
    so_far = got if order.filled_qty else "nothing is filled so far"
    match order.status:
        case OrderStatus.DENIED:
            figures, _, _ = (order.message or "").partition(": ")
            return f"denied: {order.reason} {figures}; the broker never saw it"
        case OrderStatus.REJECTED:
            words, _, _ = (order.message or "").partition("; ")  # after it comes what the remedy says
            return f"rejected: {order.reason}: {words}{f' ({got} before)' if order.filled_qty else ''}"
        case OrderStatus.FILLED:
            took = order.updated_at - asked.at
            return f"filled: {got}, {duration(took)} after it was asked for"
        case OrderStatus.CANCELED:
            return f"canceled: {got}" if order.filled_qty else "canceled: nothing of it was filled"
        case OrderStatus.EXPIRED:
            lived = f"its time in force ({r.time_in_force}) ran out"
            return f"expired: {lived}; {got if order.filled_qty else 'nothing of it was filled'}"
        case OrderStatus.SUBMITTED if order.held_until is not None:
            return f"held at the desk until {clock(order.held_until)} at the latest: another order is in its way"
        case OrderStatus.SUBMITTED:
            return "in doubt: it was sent, and the broker's answer is not in the ledger yet"
        case OrderStatus.REPLACED:
            by = f"order {order.replaced_by}" if order.replaced_by else "another order"
            return f"replaced by {by}: {got if order.filled_qty else 'nothing of it was filled'}"
        case OrderStatus.PENDING_REPLACE:
            return f"open: order {order.replaced_by} is to take its place; {so_far}"
        case OrderStatus.PARTIALLY_FILLED if order.split is not None and order.split.waits_since is not None:
            return f"its rest, {plain(order.rest_qty)}, waits at the desk: another order is in its way; {so_far}"
        case OrderStatus.PENDING_CANCEL:
            return f"open: a cancel is on its way; {so_far}"
        case _:
            return f"open at the broker: {so_far}"


def remedy(order: Order) -> str | None:
    """Return what the author can do, where there is something."""
    match order.status:
        case OrderStatus.DENIED:
            return (order.message or "").partition(": ")[2] or None
        case OrderStatus.REJECTED if order.filled_qty and order.reason not in _NAMES_FILLS:
            return "what was filled is booked; ask for the rest anew, if you still want it"
        case OrderStatus.REJECTED:
            return next((text for reason, text in _REMEDIES.items() if reason == order.reason), None)
        case OrderStatus.EXPIRED if order.request.order_type is not OrderType.MARKET:
            return "ask nearer to the market, or with time_in_force gtc"
        case OrderStatus.SUBMITTED if order.held_until is not None:
            return f"wait: it is sent when nothing is in its way; if it is to go: deskctl cancel {order.request.client_order_id}"
        case OrderStatus.SUBMITTED:
            return "wait: the desk asks the broker by the order's id, and never sends it twice"
        case OrderStatus.ACCEPTED | OrderStatus.PARTIALLY_FILLED:
            return f"if it is to go: deskctl cancel {order.request.client_order_id}"
        case _:
            return None


def _got(order: Order) -> str:
    word = "bought" if order.request.side is Side.BUY else "sold"
    asked_for = "" if order.qty in {None, order.filled_qty} else f" of {text(order.qty)}"
    average = order.avg_fill_price
    price = "" if average is None else f" at {plain(round(average, 6))}{' on average' if order.filled_qty else ''}"
    return f"{word} {plain(order.filled_qty)}{asked_for} {order.request.symbol}{price}"


def said(fact: ev.Fact, filled: Decimal, asked: Decimal | None) -> str:
    """Return one fact of an order in words; *filled* of *asked* with it."""
    match fact:
        case ev.OrderApproved():
            held = [f"${fact.reserved_cash:,.2f}" if fact.reserved_cash else ""]
            held.append(
                f"{plain(fact.reserved_qty)} share{'' if fact.reserved_qty == 1 else 's'}" if fact.reserved_qty else ""
            )
            words = " and ".join(filter(None, held))
            return f"approved{f', {words} held for it' if words else ''}; on disk, then sent to the broker"
        case ev.OrderDenied():
            return f"denied by the gate: {fact.reason}"
        case ev.OrderHeld():
            return f"held at the desk until {clock(fact.until)} at the latest: {fact.message}"
        case ev.OrderReturned():
            return f"back at the desk, in the place of {fact.replaces}, until {clock(fact.until)} at the latest"
        case ev.OrderReleased():
            return "nothing is in its way any more; sent to the broker"
        case ev.OrderSplit():
            return f"a part of {plain(fact.qty)} goes to the broker as {fact.part_id}: no order takes the account across zero"
        case ev.OrderAccepted():
            return f"the broker has it{f', by its clock {clock(fact.submitted_at)}' if fact.submitted_at else ''}"
        case ev.LegsFound():
            return f"the broker named its legs: {', '.join(leg.client_order_id for leg in fact.legs)}"
        case ev.OrderFilled():
            of = f" of {plain(asked)}" if asked is not None else ""
            if fact.internal_with is not None:
                return f"{_exchanged(fact)}: {plain(filled)}{of}; market time {clock(fact.filled_at)}"
            return f"filled {plain(fact.qty)} at {plain(fact.price)}: {plain(filled)}{of}; market time {clock(fact.filled_at)}"
        case ev.OrderCompleted():
            return "the broker calls it filled, and all of its fills are booked"
        case ev.OrderCancelRequested() if fact.recalled_for is not None:
            return "the desk takes it back from the broker: it could meet an order of another strategy at the desk"
        case ev.OrderCancelRequested():
            return f"a cancel was asked for by {fact.by}"
        case ev.OrderCancelRefused():
            return f"the broker would not cancel: {fact.message}"
        case ev.OrderCanceled():
            return "the broker canceled what was left"
        case ev.OrderExpired():
            return "the broker let it expire"
        case ev.OrderRejected():
            return f"ended without life: {fact.reason}: {fact.message}"
        case ev.OrderReplaceRequested():
            return f"{fact.by} asked for order {fact.replaced_by} in its place"
        case ev.OrderReplaceRefused():
            return f"the broker would not replace it: {fact.message}"
        case ev.OrderReplaced():
            return f"replaced{f' by order {fact.replaced_by}' if fact.replaced_by else ' by the broker'}"
        case ev.OrderRestated():
            return f"the broker says that it is for {plain(fact.qty)}"
        case ev.OrderAdopted():
            return f"somebody put it in the place of {fact.replaces} in the broker's own page; the desk took it on"
        case ev.BrokerSaid():
            return _broker_said(fact)
        case ev.FillCorrected():
            change = f"{plain(fact.qty)} shares and ${fact.notional:,.2f}"
            return f"the broker's {fact.word.replace('_', ' ')} changed its count by {change}; the fill stays booked"
        case ev.HouseAdjusted():
            return f"the house book bears it: ${fact.cash:+,.2f} and {plain(fact.qty)} shares"
        case _:
            assert_never(fact)  # type: ignore[arg-type]  # an order's own facts are those above


def _exchanged(fact: ev.OrderFilled) -> str:
    """Return an internal fill in words; with whom is nobody's business."""
    if fact.quote is None:
        return f"closed {plain(fact.qty)} at {plain(fact.price)}, the mean price of the house's order for many books"
    market = f" of {plain(fact.quote.bid_price)}/{plain(fact.quote.ask_price)}"
    return (
        f"exchanged {plain(fact.qty)} with another strategy at the desk, at {plain(fact.price)}, the midpoint{market}"
    )


def _broker_said(fact: ev.BrokerSaid) -> str:
    detail = f": {fact.detail}" if fact.detail else ""
    match fact.word:
        case word if word == IN_DOUBT:
            return f"no clear answer from the broker{detail}"
        case word if word == NOT_FOUND:
            return f"the broker does not know it{detail}"
        case word if word == ACKNOWLEDGED:
            return f"the broker will try to cancel it{detail}"
        case word:
            return f"the broker says: {word.replace('_', ' ')}{detail}"


def clock(at: datetime) -> str:
    """Return the time of day to the millisecond."""
    return at.strftime("%H:%M:%S.%f")[:-3]


def duration(span: timedelta) -> str:
    """Return a span in the unit that reads best."""
    ms = milliseconds(span)
    if ms < 10_000:
        return f"{ms:g} ms"
    seconds = int(span.total_seconds())
    return f"{seconds} s" if seconds < 600 else f"{seconds // 60} min" if seconds < 36_000 else f"{seconds // 3600} h"


def milliseconds(span: timedelta) -> float:
    """Return a span in milliseconds, to a tenth."""
    return round(span / timedelta(milliseconds=1), 1)


def text(value: Decimal | None) -> str | None:
    """Return a figure as it is shown; None where there is none."""
    return None if value is None else plain(value)
