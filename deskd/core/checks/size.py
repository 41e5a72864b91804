"""How large: the order, the position, its share of the equity and of the account."""

from deskd.core.checks.evidence import Evidence, Finding, Valued, at_most, shares
from deskd.domain.money import NO_QTY, ZERO, Cash, Qty, plain
from deskd.domain.order import Side
from deskd.domain.reasons import DenialReason as R

_BUYS = Finding(True, R.SHORT_NOT_ALLOWED, "side=buy")


def order_notional_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny an order whose value is over the limit for one order; what only closes passes, and its shares bound it."""
    most = e.limits.order_notional_max
    is_small = v.notional <= most or not v.opens
    remedy = "" if is_small else at_most(most, v, e)
    return Finding(
        is_small, R.ORDER_NOTIONAL_MAX, f"notional={v.notional:.2f}", e.limits.words["order_notional_max"], remedy
    )


def order_qty_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny an order for more shares than one order may have; what only closes passes."""
    most = e.limits.order_qty_max
    if most is None:
        return Finding(True, R.ORDER_QTY_MAX, f"qty={plain(v.qty)}")
    is_small = v.qty <= most or not v.opens
    remedy = "" if is_small else shares(most)
    return Finding(is_small, R.ORDER_QTY_MAX, f"qty={plain(v.qty)}", e.limits.words["order_qty_max"], remedy)


def sells_what_it_has(e: Evidence, v: Valued) -> Finding:
    """Deny a sale of more than the strategy holds and has not promised, where it may not be short of the rest."""
    if e.request.side is Side.BUY:
        return _BUYS
    free = Qty(max(e.position_qty - e.promised_qty, NO_QTY))
    figure = f"qty={plain(v.qty)} position_qty={plain(e.position_qty)} free_qty={plain(free)}"
    why = _why_not_short(e, v) if v.opens else None
    return Finding(why is None, R.SHORT_NOT_ALLOWED, figure, remedy=f"{why}; sell at most what is free")


def _why_not_short(e: Evidence, v: Valued) -> str | None:
    """Return why what the sale opens is not sold short; None where it is.

    That others hold the shares which the account would sell is no way to be short of a part of one: such a part of
    theirs could then not be closed, as the broker sells none short.
    """
    if not e.limits.is_short_allowed:
        return e.limits.no_shorts
    if e.instrument is None or not e.instrument.is_shortable:
        return "the broker does not lend it"
    is_whole = e.request.qty is not None and not e.request.qty % 1 and not v.opening_qty % 1
    return None if is_whole else "whole shares are sold short only, by their number"


def closes_what_is_free(e: Evidence, v: Valued) -> Finding:
    """Deny a closing order of the desk for more than is free to close: it never opens, and never crosses zero."""
    figure = f"qty={plain(v.qty)} position_qty={plain(e.position_qty)}"
    remedy = "it is asked for anew when open orders are done"
    return Finding(not v.opens, R.CLOSES_ONLY, figure, f"free_qty={plain(v.closing_qty)}", remedy)


def position_qty_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of the position over the bound, open orders of the same side counted."""
    after, most, limit = v.position_after, e.limits.position_qty_max, e.limits.words["position_qty_max"]
    is_small = not v.opens or after <= most
    if is_small and v.opens:
        for scope, bounds, f in e.scopes[1:]:
            wide = bounds.position_qty_max
            if wide is not None and after + f.others_qty > wide:
                after, most, is_small = Qty(after + f.others_qty), wide, False
                limit = f"{bounds.words['position_qty_max']}{scope}"
                break
    remedy = "" if is_small else shares(most - (after - v.qty))
    return Finding(is_small, R.POSITION_QTY_MAX, f"position_qty_after={plain(after)}", limit, remedy)


def position_notional_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of the position's value over the bound, open orders of the same side counted."""
    worth, most, limit = v.position_worth, e.limits.position_notional_max, e.limits.words["position_notional_max"]
    is_small = not v.opens or worth <= most
    if is_small and v.opens:
        for scope, bounds, f in e.scopes[1:]:
            wide = bounds.position_notional_max
            if wide is None:
                continue
            of_all = Cash(worth + f.others_qty * v.price) if f.others_qty else worth
            if of_all > wide:
                worth, most, is_small = of_all, wide, False
                limit = f"{bounds.words['position_notional_max']}{scope}"
                break
    remedy = "" if is_small else at_most(Cash(most - (worth - v.qty * v.price)), v, e)
    return Finding(is_small, R.POSITION_NOTIONAL_MAX, f"position_notional_after={worth:.2f}", limit, remedy)


def position_share_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of a position over a share of the strategy's equity, open orders of the same side counted."""
    said = None
    for scope, bounds, f in e.scopes:
        share = bounds.position_share_max
        if share is None:
            continue
        worth, most = v.position_worth, share * f.equity
        if f.others_qty:
            worth = Cash(worth + f.others_qty * v.price)
        is_small = not v.opens or worth <= most
        if said is None or not is_small:
            said = (
                f"position_notional_after={worth:.2f} equity={f.equity:.2f}",
                f"{bounds.words['position_share_max']}{scope}",
            )
        if not is_small:
            room = Cash(max(most, ZERO) - (worth - v.qty * v.price))
            return Finding(False, R.POSITION_SHARE_MAX, *said, at_most(room, v, e))
    return Finding(True, R.POSITION_SHARE_MAX, *(said or (f"equity={e.own.equity:.2f}",)))


def concentration_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of what all strategies hold of one symbol together over a share of the account's equity."""
    share = e.limits.concentration_max
    if share is None:
        return Finding(True, R.CONCENTRATION_MAX, f"symbol_value={e.symbol_value:.2f}")
    sign = e.request.side.sign
    before = sign * e.symbol_value + e.symbol_opening_qty * v.price
    most = max(share * e.account_equity, ZERO)
    after = before + v.opening_worth
    is_small = not v.opens or after <= most
    remedy = "" if is_small else at_most(Cash(most - before), v, e)
    figure = f"symbol_value_after={after:.2f} account_equity={e.account_equity:.2f}"
    limit = f"{e.limits.words['concentration_max']} scope=desk"
    return Finding(is_small, R.CONCENTRATION_MAX, figure, limit, remedy)
