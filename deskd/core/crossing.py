"""Orders of two strategies that meet at the desk: what meets is exchanged between their books, and nothing is sent.

Rule 1: only what waits at the desk is exchanged: the broker never saw it, so nobody else can fill it. An order that
        rests at the broker is recalled first: canceled there, and when its end is sure, what is left of it is back at
        the desk as a new order in its place, at the head of the line.
Rule 2: one price for both, the midpoint on the market's tick (`midpoint`): never outside the NBBO, nor either limit.
Rule 3: unknown means no. Without a fresh and narrow quote, an open market and two strategies that may trade, nothing is
        exchanged; whoever waits goes to the broker as under `hold`.
Rule 4: nobody trades with himself: two orders of one strategy never meet. Those of two strategies of a member may.
Rule 5: an order is recalled once for whom it is to meet: should they not meet after all, it goes back and stays.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from deskd.core import sequencing
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record
from deskd.domain.events import Source
from deskd.domain.ids import CLIENT_ORDER_ID, ClientOrderId, FillId, Symbol
from deskd.domain.lane import ConflictPolicy
from deskd.domain.market import Quote
from deskd.domain.money import NO_QTY, Price, Qty, plain
from deskd.domain.order import Order, OrderClass, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from deskd.domain.reasons import DenialReason
from deskd.domain.run import StrategyStatus
from deskd.domain.schedule import closes_at
from deskd.domain.stage import Stage

MEET_MAX = timedelta(
    seconds=1
)  # what came back waits at most so long for a look at the market, then goes to the broker
SPREAD_MAX = Decimal("0.01")  # of the midpoint: in a wider market the midpoint is no price
BY = "desk"
COME_BACK = "taken back from the broker to meet an order of another strategy at the desk; what is left goes back to it"
_MARK = "~"  # between an order's id and the number of its return
_DOLLAR, _CENT, _SUB_PENNY = Decimal(1), Decimal("0.01"), Decimal("0.0001")
_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})  # the others are no orders yet
_PATIENT = frozenset({TimeInForce.DAY, TimeInForce.GTC})
_RESTING = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})
_CALM_WORDS = frozenset(
    {"", "new", "accepted", "pending_new", "partially_filled"}
)  # of the broker: no price is promised


@dataclass(frozen=True, slots=True)
class Meeting:
    """A market in which orders can be exchanged now."""

    quote: Quote
    price: Price
    at: datetime

    @property
    def symbol(self) -> Symbol:
        """Return what is exchanged."""
        return self.quote.symbol

    @property
    def market_time(self) -> datetime:
        """Return the market's time: on a tape, the tape's."""
        return self.quote.market_time(self.at)


def meeting(desk: Desk, event: ev.Event) -> Meeting | None:
    """Return the market in which orders can be exchanged now, as far as *event* tells; None where there is none."""
    if desk.lane.conflict is not ConflictPolicy.CROSS or not isinstance(event, ev.OrderRequested | ev.MarketLooked):
        return None
    quote, clock = event.quote, event.clock
    if quote is None or clock is None or closes_at(clock) is None or event.is_halted is not False:
        return None
    instrument = desk.instruments.get(quote.symbol)
    if not desk.is_synced or quote.symbol in desk.standing.frozen or instrument is None or not instrument.is_tradable:
        return None
    price = midpoint(quote)
    return None if price is None else Meeting(quote, price, event.at)


def midpoint(quote: Quote) -> Price | None:
    """Return the midpoint of the NBBO on the market's tick; None where the quote has none that is a price.

    A cent from a dollar on, a hundredth of a cent below (17 CFR 242.612). A midpoint between two ticks goes to the even
    one: over many exchanges neither side gains, and both ticks lie within the NBBO, which is on ticks itself.
    """
    if not quote.is_two_sided:
        return None
    middle = quote.midpoint
    if quote.ask_price - quote.bid_price > SPREAD_MAX * middle:
        return None
    price = Price(middle.quantize(_CENT if middle >= _DOLLAR else _SUB_PENNY, ROUND_HALF_EVEN))
    return price if quote.bid_price <= price <= quote.ask_price else None


# --- who may meet -----------------------------------------------------------------------------------------------------


def _is_of_a_kind(order: Order) -> bool:
    """Tell whether the order is of a kind that is exchanged: simple, patient, in whole shares, and not the desk's own."""
    request, leaves = order.request, order.leaves_qty
    return (
        request.order_class is OrderClass.SIMPLE
        and order.parent_id is None
        and order.split is None
        and order.part_of is None
        and request.order_type in _TYPES
        and request.time_in_force in _PATIENT
        and request.exit is None
        and not request.for_kill
        and leaves is not None
        and leaves > NO_QTY
        and leaves == leaves.to_integral_value()
        and not order.corrections
        and not order.surplus_qty
    )


def _may_trade(desk: Desk, request: OrderRequest) -> bool:
    """Tell whether nothing stops the order's strategy from trading."""
    who = request.strategy_id
    is_active = desk.statuses.get(who) is StrategyStatus.ACTIVE and desk.stages.of(who) is Stage.ACTIVE
    return is_active and desk.kills.over(who, request.user_id, request.symbol) is None


def _takes(desk: Desk, order: Order, here: Meeting) -> bool:
    """Tell whether the order may be exchanged at the meeting's price."""
    request = order.request
    limits = desk.limits.get(request.strategy_id)
    if not _is_of_a_kind(order) or not _may_trade(desk, request) or limits is None:
        return False
    if not here.quote.is_fresh(here.at, limits.quote_age_max):
        return False
    if request.side is Side.SELL:
        return request.limit_price is None or request.limit_price <= here.price
    # The money that is held for a market order is for the prices of its time.
    most = desk.reservations.of(order).price
    return here.price <= (most if request.limit_price is None else min(most, request.limit_price))


def _could_meet(one: Order, other: Order) -> bool:
    """Tell whether the two are of different strategies and sides."""
    return one.request.side is not other.request.side and one.request.strategy_id != other.request.strategy_id


def _waiting(desk: Desk, symbol: Symbol) -> list[Order]:
    """Return the orders that wait in the symbol, the first in line first."""
    return [order for oid in desk.held_ids if (order := desk.orders[oid]).request.symbol == symbol]


# --- the exchange -----------------------------------------------------------------------------------------------------


def exchanged(desk: Desk, here: Meeting) -> list[Effect]:
    """Return the exchange between the first two in line that meet; nothing where no two do."""
    ready = [order for order in _waiting(desk, here.symbol) if _takes(desk, order, here)]
    for place, first in enumerate(ready):
        for second in ready[place + 1 :]:
            if _could_meet(first, second):
                return _exchange(first, second, here)
    return []


def _exchange(first: Order, second: Order, here: Meeting) -> list[Effect]:
    """Return both sides of one exchange: facts of one event are on disk together, or not at all."""
    assert first.leaves_qty is not None, "it is for shares"
    assert second.leaves_qty is not None, "it is for shares"
    qty = Qty(min(first.leaves_qty, second.leaves_qty))
    pair = ((first, second), (second, first))
    records = [Record(_fill(order, other, qty, here)) for order, other in pair]
    done = (order.request.client_order_id for order, _ in pair if order.leaves_qty == qty)
    return [*records, *map(ef.Reply, done)]


def _fill(order: Order, other: Order, qty: Qty, here: Meeting) -> ev.OrderFilled:
    oid = order.request.client_order_id
    return ev.OrderFilled(
        client_order_id=oid,
        fill_id=FillId(f"internal:{oid}:{plain(Qty(order.internal_qty + qty))}"),
        qty=qty,
        price=here.price,
        filled_at=here.market_time,
        at=here.at,
        source=Source.INTERNAL,
        internal_with=other.request.client_order_id,
        quote=here.quote,
    )


# --- recalls ----------------------------------------------------------------------------------------------------------


def recalls(desk: Desk, here: Meeting) -> list[Effect]:
    """Return the cancels that bring back from the broker what those who wait could meet at this price."""
    effects: list[Effect] = []
    gone: set[ClientOrderId] = set()
    beside = desk.open_in(here.symbol)
    for order in _waiting(desk, here.symbol):
        if not _takes(desk, order, here):
            continue
        missing = _missing(order, beside)
        for rival in beside:
            oid = rival.request.client_order_id
            if missing <= NO_QTY:
                break
            if oid in gone or not _could_meet(order, rival) or not _is_recallable(desk, rival, order, here):
                continue
            assert rival.broker_order_id is not None, "it rests at the broker"
            assert rival.leaves_qty is not None, "it is for shares"
            gone.add(oid)
            missing = Qty(missing - rival.leaves_qty)
            wish = ev.OrderCancelRequested(
                client_order_id=oid, by=BY, at=here.at, recalled_for=order.request.client_order_id
            )
            effects += [Record(wish), ef.Cancel(oid, rival.broker_order_id)]
    return effects


def _missing(order: Order, beside: Iterable[Order]) -> Qty:
    """Return for how many shares of the order nothing is on its way back yet."""
    coming = [
        o.leaves_qty or NO_QTY for o in beside if o.is_recalled and o.recalled_for == order.request.client_order_id
    ]
    return Qty((order.leaves_qty or NO_QTY) - sum(coming, NO_QTY))


def _is_recallable(desk: Desk, rival: Order, order: Order, here: Meeting) -> bool:
    """Tell whether the order rests at the broker, and could be back in time to be exchanged."""
    rests = rival.status in _RESTING and rival.broker_order_id is not None and rival.broker_status in _CALM_WORDS
    return (
        rests
        and rival.request.order_type is OrderType.LIMIT  # at the market it is about to be filled
        and rival.recalled_for != order.request.client_order_id
        and rival.request.client_order_id not in desk.needs
        and _id_after(desk, rival.request.client_order_id) is not None
        and _takes(desk, rival, here)
    )


def returned(desk: Desk, order: Order, ended: ev.OrderCanceled) -> list[Effect]:
    """Return a recalled order, which the broker has let go of, back at the desk; or its end, where its time is up.

    All that it has filled is booked: its end says so. What stops it from going back the line finds (core/line.py).
    """
    oid = order.request.client_order_id
    new_id, leaves = _id_after(desk, oid), order.leaves_qty
    if new_id is None or not leaves or order.recalled_for is None:
        return [Record(ended)]
    lives_until = order.lives_until or sequencing.time_runs_out(desk, order.request, order.submitted_at, order.sent_at)
    if lives_until is not None and ended.at >= lives_until:
        return [Record(ended)]  # it would have ended at the broker by now; sent again it would be another day's
    held, until = desk.reservations.of(order), ended.at + desk.lane.hold_max
    until = until if lives_until is None else min(until, lives_until)
    gone = ev.OrderReplaced(client_order_id=oid, replaced_by=new_id, at=ended.at, source=ended.source)
    back = ev.OrderReturned(
        request=replace(order.request, client_order_id=new_id, qty=leaves, replacement=None),
        replaces=oid,
        recalled_for=order.recalled_for,
        until=until,
        lives_until=lives_until,
        reason=DenialReason.CONFLICT_WASH,
        message=COME_BACK,
        reserved_cash=held.cash,
        reserved_qty=held.qty,
        price=held.price,
        at=ended.at,
    )
    return [Record(gone), Record(back), ef.LookAgain(new_id, MEET_MAX), ef.LookAgain(new_id, until - ended.at)]


def _id_after(desk: Desk, oid: ClientOrderId) -> ClientOrderId | None:
    """Return the id of the order in the place of *oid*; None where it would be too long for the broker."""
    stem, mark, number = oid.rpartition(_MARK)
    name, count = (stem, int(number)) if mark and number.isdecimal() else (oid, 0)
    while (new := ClientOrderId(f"{name}{_MARK}{count + 1}")) in desk.orders:
        count += 1
    return new if CLIENT_ORDER_ID.fullmatch(new) else None


# --- the line ---------------------------------------------------------------------------------------------------------


def is_to_meet(desk: Desk, order: Order, at: datetime) -> bool:
    """Tell whether an order that came back waits for a look at the market, because another waits that it could meet."""
    if order.recalled_for is None or at >= order.updated_at + MEET_MAX or not _may_trade(desk, order.request):
        return False
    return desk.lane.conflict is ConflictPolicy.CROSS and any(
        _could_meet(order, other) for other in _waiting(desk, order.request.symbol)
    )


def rest_of(order: Order) -> OrderRequest:
    """Return what is to be sent of an order that waited: not what was exchanged."""
    return order.request if not order.internal_qty else replace(order.request, qty=order.leaves_qty)


def looks(desk: Desk, event: ev.Event, effects: Sequence[Effect]) -> list[Effect]:
    """Return the looks at the market that are due: where something came to rest or back that one who waits could meet."""
    if desk.lane.conflict is not ConflictPolicy.CROSS:
        return []
    symbols: dict[Symbol, None] = {}
    for order in _stirred(desk, event, effects):
        symbol = order.request.symbol
        if symbol not in symbols and any(_could_meet(order, other) for other in _waiting(desk, symbol)):
            symbols[symbol] = None
    return [ef.LookAtMarket(symbol) for symbol in symbols]


def _stirred(desk: Desk, event: ev.Event, effects: Iterable[Effect]) -> Iterator[Order]:
    for effect in effects:
        match effect:
            case ef.Record(ev.OrderAccepted(client_order_id=oid)):
                yield desk.orders[oid]
            case ef.Record(ev.OrderReturned(request=request)):
                yield desk.orders[request.client_order_id]
            case _:
                pass
    if isinstance(event, ev.MarksTaken):  # prices have moved since those who wait came
        for symbol in dict.fromkeys(desk.orders[oid].request.symbol for oid in desk.held_ids):
            yield from desk.open_in(symbol)
