"""How many orders, and how fast."""

from deskd.core.checks.evidence import Evidence, Finding, Valued, only_closes
from deskd.domain.order import OrderType
from deskd.domain.reasons import DenialReason as R
from deskd.domain.run import StrategyStatus
from deskd.domain.stage import Stage

_NO_EXIT = Finding(True, R.EXIT_UNDER_WAY, "exit=none")


def strategy_is_active(e: Evidence) -> Finding:
    """Deny what a strategy that is not active asks for."""
    is_active = e.status is StrategyStatus.ACTIVE
    remedy = "the strategy is not active; an officer can start it"
    return Finding(is_active, R.STRATEGY_NOT_ACTIVE, f"status={e.status!s}", remedy=remedy)


def strategy_is_not_paused(e: Evidence) -> Finding:
    """Deny what a paused strategy asks for."""
    figure = f"stage={e.stage!s}"
    if e.stage is not Stage.PAUSED:
        return Finding(True, R.PAUSED, figure)
    remedy = f"the strategy is paused; `deskctl resume {e.request.strategy_id}` lets it trade; cancels pass"
    return Finding(False, R.PAUSED, figure, remedy=remedy)


def open_orders_are_few(e: Evidence) -> Finding:
    """Deny one open order more than allowed; what only closes passes, and its shares bound it."""
    said = None
    for scope, bounds, f in e.scopes:
        most = bounds.open_orders_max
        if most is None:
            continue
        is_good = f.open_orders < most or only_closes(e)
        if said is None or not is_good:
            said = (f"open_orders={f.open_orders}", f"{bounds.words['open_orders_max']}{scope}")
        if not is_good:
            return Finding(
                False, R.OPEN_ORDERS_MAX, *said, "cancel some, or wait until they end; what only closes passes"
            )
    return Finding(True, R.OPEN_ORDERS_MAX, *(said or ("",)))


def orders_today_are_few(e: Evidence) -> Finding:
    """Deny one order more in a market day than allowed; what only closes passes, and its shares bound it."""
    said = None
    for scope, bounds, f in e.scopes:
        most = bounds.orders_per_day_max
        if most is None:
            continue
        is_good = f.orders_today < most or only_closes(e)
        if said is None or not is_good:
            said = (f"orders_today={f.orders_today}", f"{bounds.words['orders_per_day_max']}{scope}")
        if not is_good:
            remedy = "no more until the next day; what only closes a position passes"
            return Finding(False, R.ORDERS_PER_DAY_MAX, *said, remedy)
    return Finding(True, R.ORDERS_PER_DAY_MAX, *(said or ("",)))


def orders_this_minute_are_few(e: Evidence) -> Finding:
    """Deny one order more within a minute than allowed, whatever it does.

    A loop that closes and opens is a flood as well: the broker's requests a minute are everybody's, and it is over in
    seconds. What must close at once is the desk's to close (exits, kills), which is not counted.
    """
    said = None
    for scope, bounds, f in e.scopes:
        most = bounds.orders_per_minute_max
        if most is None:
            continue
        is_good = f.orders_this_minute < most
        if said is None or not is_good:
            said = (f"orders_this_minute={f.orders_this_minute}", f"{bounds.words['orders_per_minute_max']}{scope}")
        if not is_good:
            return Finding(False, R.ORDERS_PER_MINUTE_MAX, *said, "wait some seconds; cancels pass")
    return Finding(True, R.ORDERS_PER_MINUTE_MAX, *(said or (f"orders_this_minute={e.own.orders_this_minute}",)))


def is_no_duplicate(e: Evidence) -> Finding:
    """Deny the very same order again within the window: a loop that forgot to remember."""
    window, limit = e.limits.duplicate_window, e.limits.words["duplicate_window"]
    if e.last_same_at is None:
        return Finding(True, R.DUPLICATE, "same_order=none", limit)
    age = e.now - e.last_same_at
    is_good = not window or age >= window
    figure = f"same_order_s_ago={age.total_seconds():.3f}"
    return Finding(is_good, R.DUPLICATE, figure, limit, "wait, or change the order")


def stop_is_past(e: Evidence, v: Valued) -> Finding:
    """Deny what opens in a symbol just after a stop closed a position there."""
    least, limit = e.limits.stop_cooldown, e.limits.words["stop_cooldown"]
    if e.last_stop_at is None:
        return Finding(True, R.STOP_COOLDOWN, "last_stop=none", limit)
    age = e.market_now - e.last_stop_at
    is_good = not least or not v.opens or age >= least
    remedy = "" if is_good else f"a stop closed the position; wait {(least - age).total_seconds():.0f} s"
    return Finding(is_good, R.STOP_COOLDOWN, f"last_stop_s_ago={age.total_seconds():.1f}", limit, remedy)


def no_exit_is_under_way(e: Evidence, v: Valued) -> Finding:
    """Deny, in a symbol whose position the desk is closing, what opens, and what would keep shares for a better price.

    The one would be sold out at once, or cross zero; the other would hold the shares that the exit is to sell.
    """
    if e.exit_under_way is None:
        return _NO_EXIT
    is_good = not v.opens and e.request.order_type is OrderType.MARKET
    remedy = "the desk closes the position; open anew when it is flat"
    return Finding(is_good, R.EXIT_UNDER_WAY, f"exit={e.exit_under_way}", remedy=remedy)
