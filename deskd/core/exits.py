"""Position exits: stop-loss, take-profit and trailing exits that the desk keeps, whether the strategy runs or not.

Rule 1: what counts is the price at which the position would be closed now: the bid for a long one, the ask for a short
        one, of a quote that is fresh, two-sided and not too wide. Last trades do not count: some are minutes old.
Rule 2: one look is none: a bound is reached where two looks in a row say so, and the trail moves where both do. So a
        bad tick sells nothing, and lifts no trail.
Rule 3: an exit that was triggered is carried through until the position is flat, over restarts and refusals. One order
        at a time, for what is free: shares that open orders promise are left to these. What follows for one position
        takes hold before the next is looked at: two that are due at once are in each other's way.
Rule 4: shares that a bracket, OCO or OTO at the broker closes are left to that; of a short position all are, whatever the
        shares. Open orders of the other side are canceled first: they would open the position anew, and the broker
        refuses what could trade with itself. Shares that a limit order promises are not left to it where a stop fires:
        it waits for a price that may never come. Past orders of other strategies it goes with a limit, where they are
        far from the market (core/passing.py).
Rule 5: before the close, where the schedule wants that, every open order in the symbol is canceled, and all is closed.
Rule 6: only the regular session counts: at other times the broker would keep a market order for the open.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from deskd.core import asking, exit_orders, lane, passing
from deskd.core.desk import Desk
from deskd.core.exit_book import RETRY_MIN, Running
from deskd.domain import events as ev
from deskd.domain.book import Position
from deskd.domain.effects import Effect, Record
from deskd.domain.exits import NO_EXITS, STOP_EXITS, ExitKind, ExitRules, SeenQuote
from deskd.domain.ids import HOUSE, ClientOrderId, StrategyId, Symbol
from deskd.domain.market import Quote
from deskd.domain.money import NO_QTY, Price, plain
from deskd.domain.order import Order, OrderClass, OrderStatus, OrderType, Side, TimeInForce
from deskd.domain.reasons import CONFLICTS
from deskd.domain.schedule import ALWAYS

STEPS = 10  # of the trail's distance: the trail lags by no more than one of them, and a calm day is few facts
_HUNDRED = Decimal(100)
_AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})


class Place(NamedTuple):
    """A position, and what was seen of its symbol."""

    seen: SeenQuote
    strategy_id: StrategyId


def watched(desk: Desk) -> set[Symbol]:
    """Return the symbols whose quotes exits rest on now."""
    found = {symbol for _, symbol in desk.exits.running}
    for who, book in desk.portfolio.books.items():
        if desk.exit_rules.get(who, NO_EXITS).is_any or desk.schedules.get(who, ALWAYS).flatten_before_close:
            found.update(book.held())
    return found


def held(desk: Desk) -> set[Symbol]:
    """Return the symbols of which any strategy holds something: what it holds it may close, which takes a price."""
    return {symbol for who, book in desk.portfolio.books.items() if who != HOUSE for symbol in book.held()}


def on_prices(desk: Desk, event: ev.PricesSeen) -> list[Effect]:
    """Return the exits that are due at these prices, and the orders of those that are on their way, each for itself."""
    return [effect for place in places(desk, event) for effect in on_place(desk, event, place)]


def places(desk: Desk, event: ev.PricesSeen) -> list[Place]:
    """Return the positions that are to be looked at, one after the other: an order for one is in the way of the next."""
    if not event.is_open or not desk.is_synced:  # a fill that nobody has heard of may have closed it already
        return []
    return [Place(seen, position.strategy_id) for seen in event.seen for position in _positions(desk, seen.symbol)]


def on_place(desk: Desk, event: ev.PricesSeen, place: Place) -> list[Effect]:
    """Return what follows for one position at these prices, as the desk stands now."""
    book = desk.portfolio.books.get(place.strategy_id)
    position = None if book is None else book.positions.get(place.seen.symbol)
    return [] if position is None or not position.qty else _looked_at(desk, event, place.seen, position)


def _positions(desk: Desk, symbol: Symbol) -> Iterator[Position]:
    for who, book in desk.portfolio.books.items():
        position = book.positions.get(symbol)
        if who != HOUSE and position is not None and position.qty:
            yield position


def _looked_at(desk: Desk, event: ev.PricesSeen, seen: SeenQuote, position: Position) -> list[Effect]:
    who = position.strategy_id
    if (who, seen.symbol) in desk.exits.running:
        return carried_on(desk, who, seen.quote, event)
    if _is_to_be_flat(desk, who, event):
        price = seen.quote.bid_price if position.qty > 0 else seen.quote.ask_price
        return triggered(desk, _fact(position, ExitKind.BEFORE_CLOSE, price, price, event), seen.quote, event)
    rules = desk.exit_rules.get(who, NO_EXITS).of(seen.symbol)
    if not rules.is_any or not _is_sound(desk, seen, rules, event.at):
        return []
    prices = _Prices.of(position, seen)
    trail = desk.exits.trail(position)
    if reached := _reached(rules, position, prices, trail):
        kind, level = reached
        return triggered(desk, _fact(position, kind, prices.worst, level, event), seen.quote, event)
    moved = _moved(rules, position, prices, trail)
    if moved is None:
        return []
    return [Record(ev.TrailMoved(strategy_id=who, symbol=seen.symbol, price=moved, at=event.at))]


def _is_to_be_flat(desk: Desk, who: StrategyId, event: ev.PricesSeen) -> bool:
    before = desk.schedules.get(who, ALWAYS).flatten_before_close
    return bool(before) and event.left is not None and event.left <= before


def _fact(position: Position, kind: ExitKind, price: Price, level: Price, event: ev.PricesSeen) -> ev.ExitTriggered:
    return ev.ExitTriggered(
        strategy_id=position.strategy_id,
        symbol=position.symbol,
        kind=kind,
        position_qty=position.qty,
        price=price,
        level=level,
        avg_entry_price=position.avg_entry_price,
        market_day=event.market_day,
        at=event.at,
    )


@dataclass(frozen=True, slots=True)
class _Prices:
    """What two looks saw of the price at which the position would be closed."""

    best: Price  # for the position: a loss counts where even this is one
    worst: Price  # a win counts where even this is one

    @classmethod
    def of(cls, position: Position, seen: SeenQuote) -> "_Prices":
        if position.qty > 0:
            low, high = sorted((seen.quote.bid_price, seen.before.bid_price))
            return cls(best=high, worst=low)
        low, high = sorted((seen.quote.ask_price, seen.before.ask_price))
        return cls(best=low, worst=high)


def _is_sound(desk: Desk, seen: SeenQuote, rules: ExitRules, now: datetime) -> bool:
    """Tell whether the quote is one to act on; what it was a look ago was judged by the same width."""
    age_max = desk.exit_quote_age_max
    is_fresh = seen.quote.is_fresh(now, age_max) and seen.before.is_fresh(seen.quote.received_at, age_max)
    return is_fresh and _is_narrow(seen.quote, rules) and _is_narrow(seen.before, rules)


def _is_narrow(quote: Quote, rules: ExitRules) -> bool:
    if not quote.is_two_sided:
        return False
    return (quote.ask_price - quote.bid_price) * _HUNDRED <= quote.midpoint * rules.spread_max_pct


def _reached(rules: ExitRules, position: Position, prices: _Prices, trail: Price) -> tuple[ExitKind, Price] | None:
    """Return the first bound that the position has reached, and where it lies."""
    side = 1 if position.qty > 0 else -1

    def at(origin: Price, percent: Decimal) -> Price:
        return Price(origin * (1 + side * percent / _HUNDRED))

    entry = position.avg_entry_price
    if rules.stop_loss_pct is not None:
        level = at(entry, -rules.stop_loss_pct)
        if side * (prices.best - level) <= 0:
            return ExitKind.STOP_LOSS, level
    if rules.trailing_pct is not None:
        level = at(trail, -rules.trailing_pct)
        if side * (prices.best - level) <= 0:
            return ExitKind.TRAILING, level
    if rules.take_profit_pct is not None:
        level = at(entry, rules.take_profit_pct)
        if side * (prices.worst - level) >= 0:
            return ExitKind.TAKE_PROFIT, level
    return None


def _moved(rules: ExitRules, position: Position, prices: _Prices, trail: Price) -> Price | None:
    """Return the best price that both looks saw, where it is a step better than the trail."""
    if rules.trailing_pct is None:
        return None
    side = 1 if position.qty > 0 else -1
    step = trail * rules.trailing_pct / _HUNDRED / STEPS
    return prices.worst if side * (prices.worst - trail) >= step else None


# --- from the bound to the order --------------------------------------------------------------------------------------


def triggered(desk: Desk, fact: ev.ExitTriggered, quote: Quote, event: ev.PricesSeen) -> list[Effect]:
    """Return the exit on its way; nothing where other orders are to close the position."""
    who, symbol = fact.strategy_id, fact.symbol
    can_close = exit_orders.free_to_close(desk, who, symbol) or _waits_for_better(desk, fact)
    if fact.kind is not ExitKind.BEFORE_CLOSE and (_is_guarded(desk, fact) or not can_close):
        return []
    return [Record(fact), *_next(desk, Running(fact), quote, event)]


def _is_guarded(desk: Desk, fact: ev.ExitTriggered) -> bool:
    """Tell whether exits at the broker close the position of which no reservation tells.

    Legs that nobody has told of yet, and those of a short position: they buy, and hold no shares.
    """
    who, symbol = fact.strategy_id, fact.symbol
    entries = (entry for oid in desk.awaits_legs if (entry := desk.orders[oid]).filled_qty)
    if any(entry.request.strategy_id == who and entry.request.symbol == symbol for entry in entries):
        return True
    is_short = fact.position_qty < 0
    return is_short and any(o.request.order_class is not OrderClass.SIMPLE for o in _open(desk, who, symbol))


def _waits_for_better(desk: Desk, fact: ev.ExitTriggered) -> list[Order]:
    """Return the limit orders that close at a better price alone, where a stop must not wait for one."""
    if fact.kind not in STOP_EXITS:
        return []
    return [
        order
        for order in _open(desk, fact.strategy_id, fact.symbol)
        if order.request.side.sign * fact.position_qty < 0
        and order.request.order_type is OrderType.LIMIT
        # a leg that stands alone is a take-profit without a stop beside it
        and order.request.order_class is (OrderClass.SIMPLE if order.parent_id is None else OrderClass.OTO)
        and order.request.time_in_force not in _AUCTIONS  # near it the broker gives none back
    ]


def _open(desk: Desk, who: StrategyId, symbol: Symbol) -> list[Order]:
    return [
        order for order in desk.asked_orders() if order.request.strategy_id == who and order.request.symbol == symbol
    ]


def carried_on(desk: Desk, who: StrategyId, quote: Quote, event: ev.PricesSeen) -> list[Effect]:
    """Return the next step of an exit that was triggered: nothing while its order is open, or has just failed."""
    running = desk.exits.running[who, quote.symbol]
    order = None if running.order is None else desk.orders.get(running.order)
    if order is not None and order.status.is_open:
        return []
    if running.tried_at is not None and event.at - running.tried_at < _wait(desk, running, order):
        return []
    return _next(desk, running, quote, event)


def _wait(desk: Desk, running: Running, last: Order | None) -> timedelta:
    """Return how long after the last order the next one goes: not long where another's order was in its way, and is gone."""
    if last is None or last.reason not in CONFLICTS or lane.conflict_of(desk, last.request, last.request.qty or NO_QTY):
        return running.wait
    return RETRY_MIN


def _next(desk: Desk, running: Running, quote: Quote, event: ev.PricesSeen) -> list[Effect]:
    """Return the cancels that must come first, else the order."""
    fact = running.why
    who, symbol = fact.strategy_id, fact.symbol
    is_last = fact.kind is ExitKind.BEFORE_CLOSE  # then nobody's order is left to close it
    against = [o for o in _open(desk, who, symbol) if is_last or o.request.side.sign * fact.position_qty > 0]
    cancels = _canceled(desk, [*against, *_waits_for_better(desk, fact)], by=f"desk: {fact.kind}", at=event.at)
    if against:
        return cancels
    request = exit_orders.closing_order(
        desk, who, symbol, client_order_id=_id(who, symbol, event.at), reason=in_words(fact)
    )
    if request is None:
        return cancels
    request = replace(request, exit=fact.kind)
    way = passing.way(desk, symbol, request.side, quote.bid_price if request.side is Side.SELL else quote.ask_price)
    if way.limit_price is not None:
        request = passing.limited(desk, request, way.limit_price) or request
    return [*cancels, *exit_orders.closed_by(desk, request, quote=quote, market_day=event.market_day, at=event.at)]


def _canceled(desk: Desk, orders: list[Order], *, by: str, at: datetime) -> list[Effect]:
    wishes = [
        ev.CancelRequested(client_order_id=order.request.client_order_id, by=by, at=at)
        for order in orders
        if order.status is not OrderStatus.PENDING_CANCEL
    ]
    return [effect for wish in wishes for effect in asking.on_cancel_request(desk, wish)]


def _id(who: StrategyId, symbol: Symbol, at: datetime) -> ClientOrderId:
    """Return an id that no order had before, and that is good in an address."""
    return ClientOrderId(f"exit-{who}-{symbol.replace('/', '.')}-{at:%Y%m%dT%H%M%S%f}")


def in_words(fact: ev.ExitTriggered) -> str:
    """Return why the desk closes the position, for its member."""
    where = f"avg_entry_price={plain(round(fact.avg_entry_price, 4))} price={plain(fact.price)}"
    return f"exit={fact.kind} level={plain(round(fact.level, 4))} {where}"
