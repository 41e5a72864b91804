"""How many orders, and how fast."""

from deskd.core.checks.evidence import Evidence, Finding, Valued, only_closes
from deskd.domain.reasons import DenialReason as R
from deskd.domain.run import StrategyStatus
from deskd.domain.stage import Stage


def strategy_is_active(e: Evidence) -> Finding:
    """Deny what a strategy that is not active asks for."""
    is_active = e.status is StrategyStatus.ACTIVE
    remedy = "the strategy is not active; an officer can start it"
    return Finding(is_active, R.STRATEGY_NOT_ACTIVE, f"status={e.status.value}", remedy=remedy)


def strategy_is_not_paused(e: Evidence) -> Finding:
    """Deny what a paused strategy asks for."""
    is_good = e.stage is not Stage.PAUSED
    remedy = f"the strategy is paused; `deskctl resume {e.request.strategy_id}` lets it trade; cancels pass"
    return Finding(is_good, R.PAUSED, f"stage={e.stage.value}", remedy=remedy)


def open_orders_are_few(e: Evidence) -> Finding:
    """Deny one open order more than allowed."""
    said = ("", "")
    for scope, bounds, f in e.scopes:
        most = bounds.open_orders_max
        if most is None:
            continue
        figure, limit = f"open_orders={f.open_orders}", f"open_orders_max={most}{scope}"
        if f.open_orders >= most:
            return Finding(False, R.OPEN_ORDERS_MAX, figure, limit, "cancel some, or wait until they end")
        said = said if said[0] else (figure, limit)
    return Finding(True, R.OPEN_ORDERS_MAX, *said)


def orders_today_are_few(e: Evidence) -> Finding:
    """Deny one order more in a market day than allowed; what only closes passes, and its shares bound it."""
    said = ("", "")
    for scope, bounds, f in e.scopes:
        most = bounds.orders_per_day_max
        if most is None:
            continue
        figure, limit = f"orders_today={f.orders_today}", f"orders_per_day_max={most}{scope}"
        if f.orders_today >= most and not only_closes(e):
            remedy = "no more until the next day; what only closes a position passes"
            return Finding(False, R.ORDERS_PER_DAY_MAX, figure, limit, remedy)
        said = said if said[0] else (figure, limit)
    return Finding(True, R.ORDERS_PER_DAY_MAX, *said)


def orders_this_minute_are_few(e: Evidence) -> Finding:
    """Deny one order more within a minute than allowed."""
    said = ("", "")
    for scope, bounds, f in e.scopes:
        most = bounds.orders_per_minute_max
        if most is None:
            continue
        figure, limit = f"orders_this_minute={f.orders_this_minute}", f"orders_per_minute_max={most}{scope}"
        if f.orders_this_minute >= most:
            return Finding(False, R.ORDERS_PER_MINUTE_MAX, figure, limit, "wait some seconds; cancels pass")
        said = said if said[0] else (figure, limit)
    return Finding(True, R.ORDERS_PER_MINUTE_MAX, said[0] or f"orders_this_minute={e.own.orders_this_minute}", said[1])


def is_no_duplicate(e: Evidence) -> Finding:
    """Deny the very same order again within the window: a loop that forgot to remember."""
    window = e.limits.duplicate_window
    limit = f"duplicate_window_s={window.total_seconds():g}"
    if e.last_same_at is None:
        return Finding(True, R.DUPLICATE, "same_order=none", limit)
    age = e.now - e.last_same_at
    is_good = not window or age >= window
    figure = f"same_order_s_ago={age.total_seconds():.3f}"
    return Finding(is_good, R.DUPLICATE, figure, limit, "wait, or change the order")


def stop_is_past(e: Evidence, v: Valued) -> Finding:
    """Deny what opens in a symbol just after a stop closed a position there."""
    least = e.limits.stop_cooldown
    limit = f"stop_cooldown_s={least.total_seconds():g}{e.limits.origin('stop_cooldown')}"
    if e.last_stop_at is None:
        return Finding(True, R.STOP_COOLDOWN, "last_stop=none", limit)
    age = e.market_now - e.last_stop_at
    is_good = not least or v.opening_qty <= 0 or age >= least
    remedy = "" if is_good else f"a stop closed the position; wait {(least - age).total_seconds():.0f} s"
    return Finding(is_good, R.STOP_COOLDOWN, f"last_stop_s_ago={age.total_seconds():.1f}", limit, remedy)


def no_exit_is_under_way(e: Evidence, v: Valued) -> Finding:
    """Deny what opens in a symbol whose position the desk is closing: it would be sold out at once, or cross zero."""
    figure = f"exit={e.exit_under_way or 'none'}"
    remedy = "the desk closes the position; open anew when it is flat"
    return Finding(e.exit_under_way is None or v.opening_qty <= 0, R.EXIT_UNDER_WAY, figure, remedy=remedy)
