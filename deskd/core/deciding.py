"""What follows from each event: the only place where events are told apart.

`decide` looks and does not touch. `handle` decides, lets the facts take hold in the desk, and says who is to be told.
"""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from deskd.core import (
    asking,
    blocks,
    breakers,
    cancel_all,
    catching_up,
    closing,
    crossing,
    exits,
    hearing,
    killing,
    line,
    looking,
    splitting,
    staged,
    suspending,
    updates,
    words,
)
from deskd.core.desk import MARKET, TRADES, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record
from deskd.domain.events import Source
from deskd.domain.money import NO_QTY, Qty
from deskd.domain.order import Order
from deskd.domain.run import StrategyStatus

# Of these, one event can bring several of one order.
_FROM_THE_BROKER = (
    ev.OrderAccepted
    | ev.OrderRejected
    | ev.OrderFilled
    | ev.OrderCancelRefused
    | ev.OrderCompleted
    | ev.OrderCanceled
    | ev.OrderExpired
    | ev.OrderReplaceRefused
    | ev.OrderReplaced
    | ev.OrderRestated
)


def handle(desk: Desk, event: ev.Event) -> list[Effect]:
    """Decide what follows from *event*, let the facts take hold, and say who is to be told of each."""
    if isinstance(event, ev.PricesSeen):
        effects = [e for place in exits.places(desk, event) for e in _settled(desk, exits.on_place(desk, event, place))]
    else:
        effects = _settled(desk, decide(desk, event))
    if desk.blocks.known:
        for oid in blocks.may_hand_over(desk, effects):
            effects += _settled(desk, blocks.handed_over(desk, oid, event.at))
    if desk.held_ids or desk.split_ids:
        effects += _moved(desk, event, effects)
    return effects


def _moved(desk: Desk, event: ev.Event, before: list[Effect]) -> list[Effect]:
    """Let the orders that wait meet, leave and end, as far as what has happened lets them."""
    effects: list[Effect] = []
    here = crossing.meeting(desk, event)
    while here is not None and (met := crossing.exchanged(desk, here)):
        effects += _settled(desk, met)
    is_looked_at = here is not None or isinstance(event, ev.MarketLooked)
    if is_looked_at or line.may_move(desk, [*before, *effects], event.at):
        met_in = event.symbol if isinstance(event, ev.MarketLooked) else None if here is None else here.symbol
        effects += _settled(desk, line.moved(desk, event.at, met_in=met_in))
    if here is not None:
        effects += _settled(desk, crossing.recalls(desk, here))
    return [*effects, *crossing.looks(desk, event, [*before, *effects])]


def _settled(desk: Desk, all_decided: list[Effect]) -> list[Effect]:
    effects: list[Effect] = []
    for decided in all_decided:
        for effect in _as_it_stands(desk, decided):
            effects.append(_of_the_whole(desk, effect) if isinstance(effect, ef.Reply) else effect)
            if isinstance(effect, Record):
                before = _whole(desk, effect.fact)
                desk.apply(effect.fact)
                effects += _tell(desk, effect.fact, before)
    return effects


def _as_it_stands(desk: Desk, decided: Effect) -> list[Effect]:
    """Return *decided* where the facts before it leave room for it: a broker may say one thing twice, or two at once.

    Only now are the fills before a fill in the book: its record gets the position after it.
    """
    if not isinstance(decided, Record) or not isinstance(decided.fact, _FROM_THE_BROKER):
        return [decided]
    fact, order = decided.fact, desk.orders[decided.fact.client_order_id]
    if isinstance(fact, ev.OrderFilled):
        if fact.fill_id in desk.fill_ids:
            return []
        held = desk.portfolio.qty(order.request.strategy_id, order.request.symbol)
        fact = replace(fact, position_qty=Qty(held + order.request.side.sign * fact.qty))
    if isinstance(fact, ev.OrderCanceled) and order.is_recalled:
        return crossing.returned(desk, order, fact)
    is_told = isinstance(fact, ev.OrderRestated) and fact.qty == order.qty
    is_overtaken = isinstance(fact, ev.OrderCancelRefused) and not order.status.is_open
    if is_told or is_overtaken:
        return []
    return catching_up.recorded(order, (fact,))


def _of_the_whole(desk: Desk, reply: ef.Reply) -> ef.Reply:
    """Return the reply about the order that was asked for: who waits for it knows of no parts."""
    order = desk.orders.get(reply.client_order_id)
    return reply if order is None or order.part_of is None else ef.Reply(order.part_of)


def _whole(desk: Desk, fact: ev.Fact) -> Order | None:
    """Return the split order of which *fact* is about a part, as it stands; None of any other fact."""
    oid = updates.order_of(fact)
    part = None if oid is None else desk.orders.get(oid)
    return None if part is None or part.part_of is None else desk.orders[part.part_of]


def _tell(desk: Desk, fact: ev.Fact, before: Order | None) -> list[Effect]:
    """Return what its strategy hears because of *fact*; *before* is the order of which it is about a part, as it was."""
    oid = updates.order_of(fact)
    if oid is None:
        return []
    order = desk.orders[oid]
    who = order.request.strategy_id
    book = desk.portfolio.books.get(who)
    position = book.qty(order.request.symbol) if book else NO_QTY
    if before is not None:
        return [ef.Tell(who, update) for update in splitting.told(fact, before, desk.whole_of(order), position)]
    update = updates.update(fact, order, position)
    return [ef.Tell(who, update)] if update else []


def decide(desk: Desk, event: ev.Event) -> list[Effect]:
    """Return what follows from *event*. Changes nothing."""
    match event:
        case ev.OrderRequested():
            return asking.on_request(desk, event)
        case ev.TradeUpdated():
            return hearing.on_trade_update(desk, event)
        case ev.SubmitAccepted():
            return hearing.on_submit_accepted(desk, event)
        case ev.SubmitRejected():
            return hearing.on_submit_rejected(desk, event)
        case ev.SubmitInDoubt():
            return hearing.on_submit_in_doubt(desk, event)
        case ev.DoubtTimedOut():
            return hearing.on_doubt(desk, event.client_order_id)
        case ev.OrderLookedUp():
            return hearing.on_looked_up(desk, event)
        case ev.ReplaceRequested():
            return asking.on_replace_request(desk, event)
        case ev.CancelRequested():
            return asking.on_cancel_request(desk, event)
        case ev.ClosingRequested():
            return closing.on_closing_requested(desk, event)
        case ev.KillEngaged() | ev.KillReleased() | ev.FlattenCompleted() | ev.FlattenHindered():
            return killing.on_kill_fact(desk, event)
        case ev.StrategyRegistered():
            return killing.on_registered(desk, event)
        case ev.TradingSuspended():
            return suspending.on_suspended(desk, event)
        case ev.BreakerMoved():
            return breakers.on_moved(desk, event)
        case ev.CancelAllRequested():
            return cancel_all.on_requested(desk, event)
        case ev.CancelAllAnswered():
            return cancel_all.on_answered(event)
        case ev.StageChanged():
            return staged.on_stage_changed(desk, event)
        case ev.CancelAnswered():
            return hearing.on_cancel_answered(desk, event)
        case ev.CancelInDoubt():
            return catching_up.said(
                desk, event.client_order_id, words.IN_DOUBT, event.why, at=event.at, source=Source.CANCEL
            )
        case ev.TradeStreamChanged():
            return _on_trade_stream(desk, event)
        case ev.StreamChanged():
            return _on_stream(desk, event)
        case ev.MarketResumed():
            return _on_market_resumed(desk, event)
        case ev.BrokerSnapshot():
            return looking.resynced(desk, event, looking.on_snapshot(desk, event))
        case ev.ResolutionRequested():
            return [*map(Record, desk.standing.settled(event))]
        case ev.DeskStarted():
            return [Record(event), *map(Record, _outages_before(desk, event.at))]
        case ev.MarksTaken():
            return _on_marks(desk, event)
        case ev.PricesSeen():
            return exits.on_prices(desk, event)
        case ev.MarketDayBegan():
            begun = desk.records.day
            return [Record(event)] if begun is None or event.market_day > begun or event.is_rewound else []
        case ev.HaltChanged():
            return [Record(event)] if event.is_halted != (event.symbol in desk.halts) else []
        case ev.LimitsChanged():
            told = desk.limits_told.get(event.strategy_id)
            return [Record(event)] if told is None or told.limits != event.limits else []
        case ev.InstrumentsListed() | ev.CalendarListed():
            return []  # an input, taken by the runtime; nothing to keep
        case ev.MarketLooked():
            return []  # for orders that wait (`_moved`)
        case (
            ev.DeskStopped()
            | ev.ClockStepped()
            | ev.StrategyStatusChanged()
            | ev.VersionChosen()
            | ev.AllocationChanged()
            | ev.RunStarted()
            | ev.RunStalled()
            | ev.RunEnded()
            | ev.CommandGiven()
            | ev.NoticeGiven()
            | ev.RootSigned()
            | ev.JobStarted()
            | ev.JobEnded()
            | ev.DaySummarized()
            | ev.Heartbeat()
        ):
            return [Record(event)]
        case _:
            assert_never(event)


def _outages_before(desk: Desk, at: datetime) -> list[ev.OutageEnded]:
    """Return the outages that the desk before could not see the end of, its own among them."""
    active = [who for who, status in desk.statuses.items() if status is StrategyStatus.ACTIVE]
    own = desk.outages.downtime(at, affected=active, open_orders=len(desk.open_ids))
    return [*([own] if own else []), *desk.outages.cut_short(at)]


def _on_trade_stream(desk: Desk, event: ev.TradeStreamChanged) -> list[Effect]:
    affected = () if event.is_up else tuple(sorted({o.request.strategy_id for o in desk.open_orders()}))
    changed = ev.StreamChanged(stream=TRADES, is_up=event.is_up, why=event.why, at=event.at, affected=affected)
    return [*_on_stream(desk, changed), *([ef.Reconcile("the trade stream came up")] if event.is_up else [])]


def _on_stream(desk: Desk, event: ev.StreamChanged) -> list[Effect]:
    if event.is_up:
        return [Record(event)]
    if desk.outages.is_down(event.stream):
        return []  # a night of refused connections, each for another reason, is one fact
    return [Record(replace(event, open_orders=len(desk.open_ids)))]


def _on_market_resumed(desk: Desk, event: ev.MarketResumed) -> list[Effect]:
    ended = desk.outages.end_of(
        MARKET,
        affected=event.affected,
        bars_fetched=event.bars_fetched,
        bars_missing=event.bars_missing,
        at=event.at,
    )
    return [Record(ended)] if ended else []


def _on_marks(desk: Desk, event: ev.MarksTaken) -> list[Effect]:
    held = {p.symbol: p.mark_price for b in desk.portfolio.books.values() for p in b.positions.values() if p.qty}
    news = tuple((s, price) for s, price in event.marks if s in held and held[s] != price)
    return [Record(ev.PositionsMarked(marks=news, at=event.at))] if news else []
