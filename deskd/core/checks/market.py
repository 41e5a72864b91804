"""What the market allows: symbols, sessions, quotes, and prices that are near it."""

from deskd.core.checks.evidence import Evidence, Finding, only_closes
from deskd.domain.market import Session
from deskd.domain.money import plain
from deskd.domain.order import OrderType, Side
from deskd.domain.order import TimeInForce as Tif
from deskd.domain.reasons import DenialReason as R

_STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
_WAITS = Finding(True, R.MARKET_CLOSED, "orders_wait_for_open=true")
_NO_LIMIT = Finding(True, R.PRICE_COLLAR, "limit_price=none")
_NO_STOP = Finding(True, R.STOP_SIDE, "stop_price=none")


def symbol_is_allowed(e: Evidence) -> Finding:
    """Deny a symbol that is not among the strategy's own; what it still holds of one that was may be sold."""
    is_allowed, figure = e.request.symbol in e.limits.symbols, f"symbol={e.request.symbol}"
    if is_allowed:
        return Finding(True, R.SYMBOL_NOT_ALLOWED, figure)
    limit = "symbols=" + ",".join(sorted(e.limits.symbols))  # may be hundreds
    remedy = "add the symbol to `symbols` in config.json; what only closes a position passes"
    return Finding(only_closes(e), R.SYMBOL_NOT_ALLOWED, figure, limit, remedy)


def symbol_is_not_denied(e: Evidence) -> Finding:
    """Deny a symbol that the officers do not want traded; what is held in it may be sold."""
    symbol, limits = e.request.symbol, e.limits
    if symbol in limits.denied_symbols:
        remedy = "officers took it off the desk's list; what only closes a position passes, and so do other symbols"
        return Finding(
            only_closes(e),
            R.SYMBOL_DENIED,
            f"symbol={symbol}",
            f"symbols_denied{limits.origin('symbols_denied')}",
            remedy,
        )
    is_traded = not limits.desk_symbols or symbol in limits.desk_symbols
    remedy = "it is not among the symbols that this desk trades; what only closes a position passes; ask an officer"
    limit = "" if is_traded else f"symbols_allowed{limits.origin('symbols_allowed')}"
    return Finding(is_traded or only_closes(e), R.SYMBOL_DENIED, f"symbol={symbol}", limit, "" if is_traded else remedy)


def symbol_is_known(e: Evidence) -> Finding:
    """Deny a symbol that the broker does not list."""
    is_listed, remedy = e.instrument is not None, "the broker does not list it; check the spelling"
    return Finding(is_listed, R.SYMBOL_UNKNOWN, f"symbol={e.request.symbol}", remedy=remedy)


def symbol_is_tradable(e: Evidence) -> Finding:
    """Deny an instrument that the broker does not trade."""
    is_tradable = e.instrument is not None and e.instrument.is_tradable
    remedy = "the broker does not trade it at present"
    return Finding(is_tradable, R.SYMBOL_NOT_TRADABLE, f"symbol={e.request.symbol}", remedy=remedy)


def symbol_is_not_frozen(e: Evidence) -> Finding:
    """Deny a symbol in which books and broker disagree: nobody knows what is held."""
    remedy = "an officer looks into it (deskctl reconcile); cancels pass, and so do other symbols"
    if e.frozen is None:
        return Finding(True, R.SYMBOL_FROZEN, f"symbol={e.request.symbol}")
    since = e.frozen.at.isoformat(timespec="seconds").replace("+00:00", "Z")
    figure = f"symbol={e.request.symbol} frozen_since={since} difference={e.frozen.why!r}"
    return Finding(False, R.SYMBOL_FROZEN, figure, remedy=remedy)


def symbol_is_not_halted(e: Evidence) -> Finding:
    """Deny a symbol in which the market halted trading, or may have while the desk could not hear it."""
    if e.is_halted is None:
        figure = f"symbol={e.request.symbol} halted=unknown"
        remedy = "the market's stream had a gap; the next quote or trade in it tells; cancels pass"
        return Finding(False, R.SYMBOL_HALTED, figure, "", remedy)
    figure = f"symbol={e.request.symbol} halted={e.is_halted}"
    remedy = "the market halted trading in it; a `status` line tells when it goes on; cancels pass"
    return Finding(not e.is_halted, R.SYMBOL_HALTED, figure, "", remedy)


def quote_is_there(e: Evidence) -> Finding:
    """Deny when there is no two-sided price: the order's value is unknown."""
    q = e.quote
    figure = "quote=none" if q is None else f"quote={plain(q.bid_price)}/{plain(q.ask_price)}"
    remedy = "no price to value the order by yet; try again when quotes arrive"
    return Finding(q is not None and q.is_two_sided, R.QUOTE_MISSING, figure, remedy=remedy)


def quote_is_fresh(e: Evidence) -> Finding:
    """Deny when the last quote arrived too long ago, or at a time that is still to come: then nobody knows its age."""
    assert e.quote is not None, "quote_is_there comes first"
    age, most = e.now - e.quote.received_at, e.limits.quote_age_max
    figure, limit = f"quote_age_s={age.total_seconds():.1f}", e.limits.words["quote_age_max"]
    is_fresh, remedy = e.quote.is_fresh(e.now, most), "no order on an old price; wait for the next quote"
    return Finding(is_fresh, R.QUOTE_STALE, figure, limit, remedy)


def market_is_open(e: Evidence) -> Finding:
    """Deny an order out of its hours: the regular session, or extended hours."""
    now, tif = e.market_now, e.request.time_in_force
    if tif is Tif.OPG or tif is Tif.CLS:
        return Finding(True, R.MARKET_CLOSED, f"time_in_force={tif.value}")  # the lane knows the auctions' windows
    if e.limits.may_wait_for_open and not e.request.extended_hours:
        return _WAITS
    if not e.is_calendar_known:
        remedy = "the broker's calendar is not there yet; try again in some seconds"
        return Finding(False, R.MARKET_CLOSED, "session=unknown", remedy=remedy)
    session = Session.CLOSED if e.trading_day is None else e.trading_day.session(now)
    figure = f"session={session.value} market_time={now.isoformat(timespec='seconds')}"
    if e.request.extended_hours:
        is_good, remedy = session is not Session.CLOSED, "extended hours are from 04:00 to 20:00 New York"
        return Finding(is_good, R.MARKET_CLOSED, figure, "sessions=pre,regular,post", remedy)
    remedy = "wait for the open; a limit order with extended_hours=True trades from 04:00 to 20:00 New York"
    return Finding(session is Session.REGULAR, R.MARKET_CLOSED, figure, "sessions=regular", remedy)


def price_is_near(e: Evidence) -> Finding:
    """Deny a limit price too far through the market's far side: a slip of the pen would trade at any price."""
    r, collar = e.request, e.limits.price_collar
    if r.limit_price is None or collar is None:
        return _NO_LIMIT if r.limit_price is None else Finding(True, R.PRICE_COLLAR, "price_collar=none")
    assert e.quote is not None, "quote_is_there comes first"
    is_buy = r.side is Side.BUY
    # A stop-limit rests until its stop: that is where its market will be.
    far = r.stop_price or (e.quote.ask_price if is_buy else e.quote.bid_price)
    worst = far * (1 + collar if is_buy else 1 - collar)
    is_near = r.limit_price <= worst if is_buy else r.limit_price >= worst
    figure, limit = f"limit_price={plain(r.limit_price)} far_side={plain(far)}", e.limits.words["price_collar"]
    remedy = "" if is_near else f"ask for {'at most' if is_buy else 'at least'} {worst:.2f}, or for a market order"
    return Finding(is_near, R.PRICE_COLLAR, figure, limit, remedy)


def stop_is_ahead(e: Evidence) -> Finding:
    """Deny a stop that the market has passed already: a buy's must lie over the ask, a sell's under the bid."""
    r = e.request
    if r.stop_price is None or r.order_type not in _STOPS:
        return _NO_STOP
    assert e.quote is not None, "quote_is_there comes first"
    is_buy = r.side is Side.BUY
    is_ahead = r.stop_price > e.quote.bid_price if is_buy else r.stop_price < e.quote.ask_price
    figure = f"stop_price={plain(r.stop_price)} quote={plain(e.quote.bid_price)}/{plain(e.quote.ask_price)}"
    remedy = (
        ""
        if is_ahead
        else f"a {r.side.value} stop lies {'over' if is_buy else 'under'} the market; or use a market order"
    )
    return Finding(is_ahead, R.STOP_SIDE, figure, remedy=remedy)
