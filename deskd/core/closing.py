"""How a kill closes what is held: what is due next, as a look at the desk, and the gate for its orders.

Rule 1: cancel first: what opens under any kill (core/reducing.py), all under one that cancels. Nothing is closed in a symbol before every open order under the kill there has ended: open sells
        hold the shares, and an open order of the other side would be a wash trade.
Rule 2: one side at a time in a symbol, over all books: first the side that moves the account away from zero, then the
        other. So no order of ours meets another, and none takes the shared account across zero.
Rule 3: a closing order is its strategy's: it is booked there, and takes no more than the book holds. Where all books
        are under the kill, the house sends one order for many, and hands it over (`blocks`).
Rule 4: while no fill could be seen, nothing is sent; cancels go.
Rule 5: what waits at the desk is in nobody's way: it waits for what closes, never the other way round. Nor does an order
        that opens leave for the broker, to be in its way there, while a kill is about to close (`comes_first`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from zoneinfo import ZoneInfo

from deskd.core import cancel_all, conflicts, passing, reducing, rivals
from deskd.core.blocks import Closing
from deskd.core.desk import Desk
from deskd.core.kills import Kill, covers
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.book import Position
from deskd.domain.effects import Effect, Record
from deskd.domain.ids import HOUSE, ClientOrderId, StrategyId, Symbol, UserId
from deskd.domain.kill import KillDepth, KillTarget
from deskd.domain.market import MarketClock, Quote
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Price, Qty, plain
from deskd.domain.order import Order, OrderRequest, OrderType, Side, TimeInForce
from deskd.domain.priority import Priority

ID_PREFIX = "kill-"
HOUSE_MEMBER = UserId(HOUSE)  # the house book is nobody's
COLLAR = Decimal("0.05")  # of an order outside the regular session: it takes a limit, and must still find its fill
_NEW_YORK = ZoneInfo("America/New_York")
_EXTENDED_HOURS = (timedelta(hours=4), timedelta(hours=20))

type Key = tuple[StrategyId, Symbol]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What the kills in force want done now, and what stands in the way of the rest."""

    cancels: tuple[ClientOrderId, ...] = ()
    closings: tuple[Closing, ...] = ()
    waiting: tuple[tuple[Key, str], ...] = ()  # positions under a kill that flattens, and what each waits for
    unfinished: frozenset[KillTarget] = frozenset()  # kills that still have open orders or positions

    @property
    def is_nothing(self) -> bool:
        """Tell whether every kill in force has done its work."""
        return not self.unfinished


def due(desk: Desk) -> Due:
    """Return what is to be done now for the kills in force."""
    deep = desk.kills.at_least(KillDepth.CANCEL)
    flattening = [kill for kill in deep if kill.depth is KillDepth.FLATTEN]
    unfinished: set[KillTarget] = set()
    cancels: list[ClientOrderId] = []
    for order in desk.open_orders():
        over = [kill.target for kill in deep if _is_under(desk, kill, order)]
        closes = order.request.for_kill and any(_is_under(desk, kill, order) for kill in flattening)
        unfinished.update(over)
        if closes or not (over or order.request.for_kill):  # one that outlived its kill is canceled, too
            continue
        cancels.append(order.request.client_order_id)
    cancels += [oid for order in reducing.openings(desk) if (oid := order.request.client_order_id) not in cancels]
    closings: list[Closing] = []
    waiting: list[tuple[Key, str]] = []
    by_symbol = _held(desk, flattening, unfinished)
    for symbol, positions in by_symbol.items():
        sent, waits = _closings_in(desk, symbol, positions, flattening)
        closings += sent
        waiting += waits
    return Due(
        cancels=tuple(cancels), closings=tuple(closings), waiting=tuple(waiting), unfinished=frozenset(unfinished)
    )


def has_work(desk: Desk) -> bool:
    """Tell whether a kill in force, or an open breaker, has anything left to cancel or to close, or to be told of."""
    if cancel_all.is_due(desk):
        return True
    if not desk.kills.in_force:
        return any(order.request.for_kill for order in desk.open_orders()) or bool(reducing.openings(desk))
    found = due(desk)
    untold = any(k.flat_at is None for k in desk.kills.in_force.values() if k.depth is KillDepth.FLATTEN)
    return untold or bool(found.cancels) or not found.is_nothing


def _is_under(desk: Desk, kill: Kill, order: Order) -> bool:
    r = order.request
    return covers(kill.target, r.strategy_id, member_of(desk, r.strategy_id), r.symbol)


def member_of(desk: Desk, who: StrategyId) -> UserId | None:
    """Return whose the strategy is; None of one that the ledger does not know."""
    known = desk.strategies.get(who)
    return None if known is None else known.user_id


def _held(desk: Desk, flattening: list[Kill], unfinished: set[KillTarget]) -> dict[Symbol, list[Position]]:
    """Return by symbol what books hold under a kill that flattens."""
    found: dict[Symbol, list[Position]] = {}
    if not flattening:
        return found
    for who, book in desk.portfolio.books.items():
        for symbol in book.held():
            over = [k.target for k in flattening if covers(k.target, who, member_of(desk, who), symbol)]
            unfinished.update(over)
            if over:
                found.setdefault(symbol, []).append(book.positions[symbol])
    return found


def _closings_in(
    desk: Desk, symbol: Symbol, positions: list[Position], flattening: list[Kill]
) -> tuple[list[Closing], list[tuple[Key, str]]]:
    """Return the orders that close *positions* now, and what the others wait for."""
    opens = [order for order in desk.open_in(symbol) if not order.is_held]
    own = [order for order in opens if order.request.for_kill]
    ending = [o for o in opens if not o.request.for_kill and any(_is_under(desk, kill, o) for kill in flattening)]

    def all_wait(why: str) -> tuple[list[Closing], list[tuple[Key, str]]]:
        return [], [((p.strategy_id, symbol), why) for p in positions]

    if not desk.is_synced:
        return all_wait("the stream of trade updates is down or not yet re-synced: its fill could not be seen")
    instrument = desk.instruments.get(symbol)
    if instrument is None or not instrument.is_tradable:
        return all_wait("the broker does not trade it at present")
    if ending:
        return all_wait(f"{len(ending)} open orders in it are being canceled")
    net = Qty(sum((book.qty(symbol) for book in desk.portfolio.books.values()), ZERO))
    side = own[0].request.side if own else _first_side(net, positions)
    way = passing.way(desk, symbol, side, positions[0].mark_price)
    if not way.is_free:
        return all_wait(
            "orders of strategies outside the kill are open on the other side: a wash trade (kill the symbol)"
        )
    room = _room(desk, symbol, side)
    closings: list[Closing] = []
    waits: list[tuple[Key, str]] = []
    busy = {order.request.strategy_id for order in own}
    busy.update(who for order in own for who in desk.blocks.whose(order.request.client_order_id))
    for position in positions:
        key = (position.strategy_id, symbol)
        if (Side.SELL if position.qty > 0 else Side.BUY) is not side:
            waits.append((key, f"the {side}s come first: no two orders of the account may meet"))
            continue
        if position.strategy_id in busy:
            waits.append((key, "its closing order is open"))
            continue
        wanted = abs(position.qty)
        qty = Qty(wanted if room is None else min(wanted, room))
        is_short_sale = side is Side.SELL and room is None  # of which the broker takes whole shares only
        if not instrument.is_fractionable or way.limit_price is not None or is_short_sale:
            qty = Qty(qty.to_integral_value(ROUND_DOWN))
        if qty <= 0:
            why = "a fraction of what the broker sells in whole shares only"
            waits.append((key, why if wanted < 1 else "other orders hold the account's shares: no order crosses zero"))
            continue
        room = None if room is None else Qty(room - qty)
        closings.append(
            Closing(strategy_id=position.strategy_id, symbol=symbol, side=side, qty=qty, limit_price=way.limit_price)
        )
    return closings, waits


def comes_first(desk: Desk, request: OrderRequest) -> bool:
    """Tell whether a kill is about to close what the order, near the market on the other side, would be in the way of.

    Only while the kill gets on: one that is hindered is told, and keeps nobody from trading.
    """
    symbol, side = request.symbol, request.side
    flattening = [k for k in desk.kills.at_least(KillDepth.FLATTEN) if k.flat_at is None and not k.left]
    for who, book in desk.portfolio.books.items() if flattening else ():
        position = book.positions.get(symbol)
        if position is None or position.qty * side.sign <= 0:
            continue
        if passing.is_far(side, request.limit_price, position.mark_price):
            continue
        if any(covers(kill.target, who, member_of(desk, who), symbol) for kill in flattening):
            return True
    return False


def _first_side(net: Qty, positions: list[Position]) -> Side:
    """Return the side that moves the account away from zero, where something is held on both sides.

    A part of a share is not sold short: where the account is, it waits until the shorts are covered.
    """
    least = 1 if net <= 0 else ZERO
    has_short = any(p.qty < 0 for p in positions)
    has_long = any(p.qty > 0 and (p.qty >= least or not has_short) for p in positions)
    if has_long and has_short:
        return Side.BUY if net >= 0 else Side.SELL
    return Side.SELL if has_long else Side.BUY


def _room(desk: Desk, symbol: Symbol, side: Side) -> Qty | None:
    """Return how many shares may go before the account is at zero; None where it moves away from zero.

    As the lane counts: what open orders of that side may take is theirs, of an order for money the most that it can come
    to. The rest of a split order waits at the desk.
    """
    towards = -side.sign * desk.portfolio.total_qty(symbol)
    if towards <= 0:
        return None
    sent = [order for order in desk.open_in(symbol) if not order.is_held and order.split is None]
    beside = rivals.among(desk, sent, closing=side) + rivals.untold_exits(desk, symbol)
    promised = sum((rival.promised_qty for rival in beside if rival.side is side), ZERO)
    return Qty(max(towards - promised, ZERO))


def request_for(
    desk: Desk, closing: Closing, at: datetime, *, quote: Quote | None = None, is_extended: bool = False
) -> OrderRequest:
    """Return the order for *closing*; outside the regular session a limit order, where *is_extended* and a price is known."""
    member = member_of(desk, closing.strategy_id) or HOUSE_MEMBER
    kill = desk.kills.over(closing.strategy_id, member_of(desk, closing.strategy_id), closing.symbol)
    reason = "" if kill is None else f"kill of {kill.target}: {kill.latest.reason}"
    stamp = at.strftime("%Y%m%dT%H%M%S%f")
    limit = _collared(quote, closing.side) if is_extended and quote is not None else None
    is_collared = limit is not None
    if closing.limit_price is not None:
        nearer = max if closing.side is Side.SELL else min
        limit = closing.limit_price if limit is None else nearer(limit, closing.limit_price)
    is_at_once = limit is not None and not is_extended  # outside the regular session no order may be so
    return OrderRequest(
        strategy_id=closing.strategy_id,
        user_id=member,
        client_order_id=ClientOrderId(f"{ID_PREFIX}{closing.strategy_id}-{closing.symbol}-{stamp}"),
        symbol=closing.symbol,
        side=closing.side,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        time_in_force=TimeInForce.IOC if is_at_once else TimeInForce.DAY,
        qty=closing.qty,
        limit_price=limit,
        extended_hours=is_collared,
        reason=reason,
        for_kill=True,
    )


def _collared(quote: Quote, side: Side) -> Price:
    price = quote.bid_price * (1 - COLLAR) if side is Side.SELL else quote.ask_price * (1 + COLLAR)
    return Price(round(price, 2 if price >= 1 else 4))


def is_extended_session(clock: MarketClock) -> bool:
    """Tell whether the market trades outside the regular session now: from 04:00 to 20:00 in New York."""
    local = clock.timestamp.astimezone(_NEW_YORK)
    since_midnight = timedelta(hours=local.hour, minutes=local.minute)
    is_in = _EXTENDED_HOURS[0] <= since_midnight < _EXTENDED_HOURS[1]
    return not clock.is_open and is_in and local.weekday() < 5


def quote_at_mark(desk: Desk, who: StrategyId, symbol: Symbol, at: datetime) -> Quote | None:
    """Return a quote at the position's mark: what closes must not wait for prices."""
    book = desk.portfolio.books.get(who)
    position = None if book is None else book.positions.get(symbol)
    if position is None:
        return None
    mark = position.mark_price
    return Quote(
        symbol=symbol, bid_price=mark, bid_size=NO_QTY, ask_price=mark, ask_size=NO_QTY, quoted_at=at, received_at=at
    )


# --- the gate for what closes ------------------------------------------------------------------------------------------


def on_closing_requested(desk: Desk, event: ev.ClosingRequested) -> list[Effect]:
    """Return the order on its way, if it still only closes what its book holds, under a kill that is still in force.

    What does not pass leaves no denial: the next look at what is due says what is.
    """
    request = event.request
    whose = event.parts[0][0] if event.parts else request.strategy_id
    quote = event.quote or quote_at_mark(desk, whose, request.symbol, event.at)
    for_each = [replace(request, strategy_id=who, qty=part) for who, part in event.parts] or [request]
    assert request.qty == sum((one.qty or NO_QTY for one in for_each), ZERO), "a block is the sum of its parts"
    checked: list[ev.Checked] = []
    for check, judged in (*((check, for_each) for check in _CHECKS), (account_has_it, [request])):
        found = [check(desk, one) for one in judged]
        if not all(one.is_good for one in found):
            return []
        checked.append(ev.Checked(check.__name__, found[0].figure, found[0].limit))
    assert quote is not None, "what is held has a mark"
    approved = ev.OrderApproved(
        request=request,
        quote=quote,
        reserved_cash=NO_CASH,  # it opens nothing: what a short holds back is more than covering it costs
        reserved_qty=NO_QTY if request.side is Side.BUY else request.qty or NO_QTY,
        market_day=event.market_day,
        at=event.at,
        checks=tuple(checked),
        parts=event.parts,
    )
    return [Record(approved), ef.Submit(request, Priority.KILL)]


@dataclass(frozen=True, slots=True)
class Found:
    """What a check of a closing order found."""

    is_good: bool
    figure: str
    limit: str = ""


def kill_is_in_force(desk: Desk, r: OrderRequest) -> Found:
    """Let only a kill that flattens close: one that was released closes nothing more."""
    kill = desk.kills.over(r.strategy_id, member_of(desk, r.strategy_id), r.symbol)
    figure = "kill=none" if kill is None else f"kill={kill.target} depth={kill.depth}"
    return Found(r.for_kill and kill is not None and kill.depth is KillDepth.FLATTEN, figure)


def id_is_new(desk: Desk, r: OrderRequest) -> Found:
    """Never use an id twice."""
    return Found(r.client_order_id not in desk.orders, f"client_order_id={r.client_order_id}")


def fill_can_be_seen(desk: Desk, r: OrderRequest) -> Found:  # noqa: ARG001  a check's form
    """Send nothing while no fill could be seen."""
    return Found(desk.is_synced, f"is_synced={desk.is_synced}")


def only_closes(desk: Desk, r: OrderRequest) -> Found:
    """Let no more go than the book holds, less what other open orders of the same side may trade."""
    held = desk.portfolio.qty(r.strategy_id, r.symbol)
    closable = held if r.side is Side.SELL else -held
    free = closable - desk.reservations.opening(r.strategy_id, r.symbol, r.side)
    qty = r.qty or NO_QTY
    return Found(ZERO < qty <= free, f"qty={plain(qty)} position_qty={plain(held)}", f"free_qty={plain(Qty(free))}")


def account_has_it(desk: Desk, r: OrderRequest) -> Found:
    """Let no more go than the account has free: others may have asked for its shares since it was due."""
    room, qty = _room(desk, r.symbol, r.side), r.qty or NO_QTY
    if room is None:  # it moves away from zero: what is short is whole shares
        is_whole = r.side is Side.BUY or not qty % 1
        return Found(is_whole, f"qty={plain(qty)} is_whole={is_whole}")
    return Found(qty <= room, f"qty={plain(qty)}", f"account_free_qty={plain(room)}")


def meets_no_other(desk: Desk, r: OrderRequest) -> Found:
    """Let it meet no open order of the account's other side: the broker would refuse it as a wash trade."""
    beside = passing.against(desk, r.symbol, r.side)
    new, is_flat = conflicts.newcomer(r, r.qty or NO_QTY), not desk.portfolio.total_qty(r.symbol)
    meets = sum(is_flat or conflicts.could_trade_with(new, other.request) for other in beside)
    return Found(not meets, f"opposite_open_orders={len(beside)} meets={meets}")


_CHECKS: tuple[Callable[[Desk, OrderRequest], Found], ...] = (
    kill_is_in_force,
    id_is_new,
    fill_can_be_seen,
    only_closes,
    meets_no_other,
)


def left_in(desk: Desk, found: Due, told: Callable[[Key], str | None]) -> dict[KillTarget, tuple[str, ...]]:
    """Return by kill what is left to close, in words; *told* has the broker's own, where it refused."""
    left: dict[KillTarget, list[str]] = {}
    reasons = dict(found.waiting)
    for kill in desk.kills.at_least(KillDepth.FLATTEN):
        for who, symbol, held in _positions(desk):
            if not covers(kill.target, who, member_of(desk, who), symbol):
                continue
            why = told((who, symbol)) or reasons.get((who, symbol)) or "its closing order is on its way"
            left.setdefault(kill.target, []).append(f"{who}: {plain(held)} {symbol}: {why}")
    return {target: tuple(lines) for target, lines in left.items()}


def _positions(desk: Desk) -> Iterator[tuple[StrategyId, Symbol, Qty]]:
    for who, book in desk.portfolio.books.items():
        for symbol in book.held():
            yield who, symbol, book.qty(symbol)
