"""What money allows: buying power, exposure, losses, day trades.

All but buying power only exist to stop opening: what only closes passes them.
"""

from deskd.core.checks.evidence import Evidence, Figures, Finding, Valued, at_most
from deskd.domain.limits import DayTradeRule
from deskd.domain.money import NO_CASH, ZERO, Cash
from deskd.domain.order import Side
from deskd.domain.reasons import DenialReason as R

# FINRA Rule 4210(f)(8)(B), until June of 2026: four day trades in five days make a pattern, and under so much it is barred.
DAY_TRADES_MAX = 3
DAY_TRADER_EQUITY = Cash(ZERO + 25_000)
LOST = "no new positions until the next market day; what closes positions passes"
FALLEN = "no new positions; what closes positions passes; an officer looks into it"


def buying_power_suffices(e: Evidence, v: Valued) -> Finding:
    """Deny what would spend more than the strategy has free."""
    needed, free = cash_needed(e, v), e.buying_power
    suffices = needed <= 0 or needed <= free
    remedy = "" if suffices else f"{at_most(free, v, e)}, or cancel open orders"
    return Finding(suffices, R.BUYING_POWER, f"needed={needed:.2f}", f"buying_power={free:.2f}", remedy)


def cash_needed(e: Evidence, v: Valued) -> Cash:
    """Return the buying power that the order takes: what opens, and what covering a short costs over its margin."""
    if e.request.side is Side.SELL:
        return Cash(v.opening_qty * v.price)
    # What this order is to replace may fill first, at its own price.
    crossing = min(e.freed.opening, v.qty) * max(e.freed.price - v.price, ZERO)
    return max(Cash(v.notional + crossing - v.closing_qty * e.margin_per_share), NO_CASH)


def gross_exposure_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of all positions together, open orders counted, over a share of the allocation."""
    opens = v.opening_qty * v.price
    said = ("", "")
    for scope, bounds, f in e.scopes:
        share = bounds.gross_exposure_max
        if share is None:
            continue
        before = f.longs + f.shorts + f.buying + f.selling
        most = share * f.allocation
        figure, limit = f"gross_exposure_after={before + opens:.2f}", f"gross_exposure_max={most:.2f}{scope}"
        if opens > 0 and before + opens > most:
            return Finding(False, R.GROSS_EXPOSURE_MAX, figure, limit, at_most(Cash(most - before), v, e))
        said = said if said[0] else (figure, limit)
    return Finding(True, R.GROSS_EXPOSURE_MAX, said[0] or f"opens={opens:.2f}", said[1])


def net_exposure_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of longs less shorts, or of shorts less longs, over a share of the allocation."""
    opens = v.opening_qty * v.price
    said = ("", "")
    for scope, bounds, f in e.scopes:
        share = bounds.net_exposure_max
        if share is None:
            continue
        before = _net(f, e.request.side)
        most = share * f.allocation
        figure, limit = f"net_exposure_after={before + opens:.2f}", f"net_exposure_max={most:.2f}{scope}"
        if opens > 0 and before + opens > most:
            return Finding(False, R.NET_EXPOSURE_MAX, figure, limit, at_most(Cash(most - before), v, e))
        said = said if said[0] else (figure, limit)
    return Finding(True, R.NET_EXPOSURE_MAX, said[0] or f"opens={opens:.2f}", said[1])


def _net(f: Figures, side: Side) -> Cash:
    """Return the exposure in the order's direction: open orders of the other side may never fill."""
    if side is Side.BUY:
        return Cash(f.longs - f.shorts + f.buying)
    return Cash(f.shorts - f.longs + f.selling)


def day_loss_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny what opens when strategy, member or desk has lost so much since the market day began."""
    said = ("", "")
    for scope, bounds, f in e.scopes:
        most = bounds.daily_loss_max
        if most is None:
            continue
        figure, limit = f"day_pnl={f.day_pnl:.2f}", f"daily_loss_max={most:.2f}{scope}"
        if v.opening_qty > 0 and -f.day_pnl >= most:
            return Finding(False, R.DAILY_LOSS_MAX, figure, limit, LOST)
        said = said if said[0] else (figure, limit)
    return Finding(True, R.DAILY_LOSS_MAX, said[0] or f"day_pnl={e.own.day_pnl:.2f}", said[1])


def drawdown_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny what opens when the equity is too far under its peak."""
    said = ("", "")
    for scope, bounds, f in e.scopes:
        share = bounds.drawdown_max
        if share is None:
            continue
        lost, most = f.peak_equity - f.equity, share * f.peak_equity
        figure, limit = f"drawdown={lost:.2f} peak_equity={f.peak_equity:.2f}", f"drawdown_max={most:.2f}{scope}"
        if v.opening_qty > 0 and (lost >= most or f.peak_equity <= 0):
            return Finding(False, R.DRAWDOWN_MAX, figure, limit, FALLEN)
        said = said if said[0] else (figure, limit)
    return Finding(True, R.DRAWDOWN_MAX, said[0] or f"equity={e.own.equity:.2f}", said[1])


def day_trades_are_few(e: Evidence, v: Valued) -> Finding:
    """Deny what opens where closing it today could be the fourth day trade in five days of a small account.

    The classic rule bars the close, which would hold a member in a position: here what opens is barred instead.
    """
    rule = e.limits.day_trade_rule
    limit = f"day_trades_max={DAY_TRADES_MAX} pattern_day_trader={rule}"
    if rule is DayTradeRule.OFF:
        return Finding(True, R.DAY_TRADES_MAX, f"day_trades={e.day_trades}", "pattern_day_trader=off")
    is_over = v.opening_qty > 0 and e.day_trades >= DAY_TRADES_MAX and e.account_equity < DAY_TRADER_EQUITY
    figure = f"day_trades={e.day_trades} account_equity={e.account_equity:.2f}"
    if is_over and rule is DayTradeRule.WARN:
        figure = f"{figure} warning=day_trades_max"
    remedy = "" if not is_over else f"no new positions while the account is under ${DAY_TRADER_EQUITY}, or next week"
    return Finding(not is_over or rule is DayTradeRule.WARN, R.DAY_TRADES_MAX, figure, limit, remedy)
