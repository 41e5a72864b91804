"""What money allows: buying power, exposure, losses, day trades.

All but buying power only exist to stop opening: what only closes passes them.
"""

from deskd.core.checks.evidence import Evidence, Finding, Valued, at_most
from deskd.domain.limits import DayTradeRule
from deskd.domain.money import NO_CASH, ZERO, Cash
from deskd.domain.order import Side
from deskd.domain.reasons import DenialReason as R

# FINRA Rule 4210(f)(8)(B), until June of 2026: four day trades in five days make a pattern, and under so much it is barred.
DAY_TRADES_MAX = 3
DAY_TRADER_EQUITY = Cash(ZERO + 25_000)
LOST = "no new positions until the next market day; what closes positions passes"
_PROMISED = "strategies were promised more than the account has: ask an officer for a smaller allocation, or wait"
FALLEN = "no new positions; what closes positions passes; an officer looks into it"


def buying_power_suffices(e: Evidence, v: Valued) -> Finding:
    """Deny what would spend more than the strategy has free, or than the account has: the broker would refuse it."""
    needed, free = cash_needed(e, v), e.buying_power
    limit = f"buying_power={free:.2f}"
    if (needed <= free and needed <= e.account_free) or needed <= 0:
        return Finding(True, R.BUYING_POWER, f"needed={needed:.2f}", limit)
    remedy = f"{at_most(free, v, e)}, or cancel open orders"
    if needed <= free:
        limit, remedy = f"buying_power={e.account_free:.2f} scope=desk", f"{at_most(e.account_free, v, e)}; {_PROMISED}"
    return Finding(False, R.BUYING_POWER, f"needed={needed:.2f}", limit, remedy)


def cash_needed(e: Evidence, v: Valued) -> Cash:
    """Return the buying power that the order takes: what opens, and what covering a short costs over its margin."""
    if e.request.side is Side.SELL:
        return v.opening_worth
    needed = v.notional
    if e.freed.opening:  # what this order is to replace may fill first, at its own price
        needed = Cash(needed + min(e.freed.opening, v.qty) * max(e.freed.price - v.price, ZERO))
    if v.closing_qty:
        needed = Cash(needed - v.closing_qty * e.margin_per_share)
    return needed if needed > 0 else NO_CASH


def gross_exposure_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of all positions together, open orders counted, over a share of the allocation."""
    said, opening = None, v.opening_worth
    for scope, bounds, f in e.scopes:
        share = bounds.gross_exposure_max
        if share is None:
            continue
        before = f.longs + f.shorts + f.buying + f.selling
        after, most = before + opening, share * f.allocation
        is_small = after <= most or opening <= 0
        if said is None or not is_small:
            said = (f"gross_exposure_after={after:.2f}", f"gross_exposure_max={most:.2f}{scope}")
        if not is_small:
            return Finding(False, R.GROSS_EXPOSURE_MAX, *said, at_most(Cash(most - before), v, e))
    return Finding(True, R.GROSS_EXPOSURE_MAX, *(said or (f"opens={v.opening_worth:.2f}",)))


def net_exposure_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of longs less shorts, or of shorts less longs, over a share of the allocation."""
    said, opening, is_buy = None, v.opening_worth, e.request.side is Side.BUY
    for scope, bounds, f in e.scopes:
        share = bounds.net_exposure_max
        if share is None:
            continue
        # In the order's direction: open orders of the other side may never fill.
        before = f.longs - f.shorts + f.buying if is_buy else f.shorts - f.longs + f.selling
        after, most = before + opening, share * f.allocation
        is_small = after <= most or opening <= 0
        if said is None or not is_small:
            said = (f"net_exposure_after={after:.2f}", f"net_exposure_max={most:.2f}{scope}")
        if not is_small:
            return Finding(False, R.NET_EXPOSURE_MAX, *said, at_most(Cash(most - before), v, e))
    return Finding(True, R.NET_EXPOSURE_MAX, *(said or (f"opens={v.opening_worth:.2f}",)))


def day_loss_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny what opens when strategy, member or desk has lost so much since the market day began."""
    said = None
    for scope, bounds, f in e.scopes:
        most = bounds.daily_loss_max
        if most is None:
            continue
        is_small = -f.day_pnl < most or not v.opens
        if said is None or not is_small:
            said = (f"day_pnl={f.day_pnl:.2f}", f"{bounds.words['daily_loss_max']}{scope}")
        if not is_small:
            return Finding(False, R.DAILY_LOSS_MAX, *said, LOST)
    return Finding(True, R.DAILY_LOSS_MAX, *(said or (f"day_pnl={e.own.day_pnl:.2f}",)))


def drawdown_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny what opens when the equity is too far under its peak."""
    said = None
    for scope, bounds, f in e.scopes:
        share = bounds.drawdown_max
        if share is None:
            continue
        peak = f.peak_equity
        lost, most = peak - f.equity, share * peak
        is_small = (lost < most and peak > 0) or not v.opens
        if said is None or not is_small:
            said = (f"drawdown={lost:.2f} peak_equity={peak:.2f}", f"drawdown_max={most:.2f}{scope}")
        if not is_small:
            return Finding(False, R.DRAWDOWN_MAX, *said, FALLEN)
    return Finding(True, R.DRAWDOWN_MAX, *(said or (f"equity={e.own.equity:.2f}",)))


def day_trades_are_few(e: Evidence, v: Valued) -> Finding:
    """Deny what opens where closing it today could be the fourth day trade in five days of a small account.

    The classic rule bars the close, which would hold a member in a position: here what opens is barred instead.
    """
    rule = e.limits.day_trade_rule
    if rule is DayTradeRule.OFF:
        return Finding(True, R.DAY_TRADES_MAX, f"day_trades={e.day_trades}", "pattern_day_trader=off")
    limit = f"day_trades_max={DAY_TRADES_MAX} pattern_day_trader={rule!s}"
    is_over = v.opens and e.day_trades >= DAY_TRADES_MAX and e.account_equity < DAY_TRADER_EQUITY
    figure = f"day_trades={e.day_trades} account_equity={e.account_equity:.2f}"
    if is_over and rule is DayTradeRule.WARN:
        figure = f"{figure} warning=day_trades_max"
    remedy = "" if not is_over else f"no new positions while the account is under ${DAY_TRADER_EQUITY}, or next week"
    return Finding(not is_over or rule is DayTradeRule.WARN, R.DAY_TRADES_MAX, figure, limit, remedy)
