"""Closed lists of reasons. A reason is data: it is stored, counted and shown, never parsed."""

from enum import StrEnum


class DenialReason(StrEnum):
    """Why the gate denied an order. The text after each name is shown to the strategy's author."""

    STRATEGY_UNKNOWN = "STRATEGY_UNKNOWN"  # the desk does not know this strategy
    KILLED = "KILLED"  # a kill of strategy or member (HTTP 403), symbol (422) or desk (503): only cancels pass
    REDUCE_ONLY = "REDUCE_ONLY"  # only what reduces the position passes, until the breaker or an officer releases it
    STRATEGY_NOT_ACTIVE = "STRATEGY_NOT_ACTIVE"  # paused, stopped or failed: only cancels pass; HTTP 403
    PAUSED = "PAUSED"  # somebody paused the strategy: it gets its data, no order is taken, cancels pass; HTTP 403
    SHADOW = "SHADOW"  # in shadow: the order passed every check and was recorded, and is not sent
    SYMBOL_NOT_ALLOWED = "SYMBOL_NOT_ALLOWED"  # not among the strategy's `symbols` in config.json
    SYMBOL_UNKNOWN = "SYMBOL_UNKNOWN"  # the broker does not list it
    SYMBOL_NOT_TRADABLE = "SYMBOL_NOT_TRADABLE"  # listed, but the broker does not trade it
    SYMBOL_FROZEN = "SYMBOL_FROZEN"  # books and broker disagree in this symbol: an officer looks into it; cancels pass
    SYMBOL_DENIED = "SYMBOL_DENIED"  # off symbols_allowed of some scope, or on symbols_denied; what only closes passes
    SYMBOL_HALTED = "SYMBOL_HALTED"  # the market halted trading in it; cancels pass
    MARKET_CLOSED = "MARKET_CLOSED"  # not in this order's session: regular, or extended hours
    FORM_INVALID = "FORM_INVALID"  # type, time in force, class and prices do not go together
    SUB_PENNY = "SUB_PENNY"  # a price from $1 has at most two decimals, below at most four
    NOT_FRACTIONABLE = "NOT_FRACTIONABLE"  # fractions or notional of an instrument sold in whole shares only
    QUOTE_MISSING = "QUOTE_MISSING"  # no quote for the symbol: the order's value is unknown
    QUOTE_STALE = "QUOTE_STALE"  # the last quote is older than its bound
    PRICE_COLLAR = "PRICE_COLLAR"  # the limit price lies too far through the far side of the market
    STOP_SIDE = "STOP_SIDE"  # a buy's stop is not over the market, or a sell's not under it
    ORDER_QTY_MAX = "ORDER_QTY_MAX"  # more shares than one order may have
    ORDER_NOTIONAL_MAX = "ORDER_NOTIONAL_MAX"  # the order's value is over the bound for one order
    POSITION_QTY_MAX = (
        "POSITION_QTY_MAX"  # the position would be over its bound, open orders and the scope's others counted
    )
    POSITION_NOTIONAL_MAX = "POSITION_NOTIONAL_MAX"  # its value would be over the bound, the scope's others counted
    POSITION_SHARE_MAX = "POSITION_SHARE_MAX"  # it would be too large a share of the equity of strategy, member or desk
    CONCENTRATION_MAX = "CONCENTRATION_MAX"  # the symbol would be too large a share of the account, over all strategies
    GROSS_EXPOSURE_MAX = "GROSS_EXPOSURE_MAX"  # all positions and open orders would be too large a share of allocation
    NET_EXPOSURE_MAX = "NET_EXPOSURE_MAX"  # longs less shorts would be too large a share of the allocation
    DAILY_LOSS_MAX = "DAILY_LOSS_MAX"  # lost too much this market day: only what closes positions passes
    DRAWDOWN_MAX = "DRAWDOWN_MAX"  # too far under the peak of the equity: only what closes positions passes
    DAY_TRADES_MAX = "DAY_TRADES_MAX"  # three day trades in five days on a small account: only what closes passes
    STOP_COOLDOWN = "STOP_COOLDOWN"  # a stop has just closed a position in the symbol: wait before opening one again
    SHORT_NOT_ALLOWED = "SHORT_NOT_ALLOWED"  # sells more than the strategy holds and has not promised elsewhere
    BUYING_POWER = "BUYING_POWER"  # the order's value is over what the strategy, or the whole account, has free
    OPEN_ORDERS_MAX = "OPEN_ORDERS_MAX"  # too many open orders
    ORDERS_PER_DAY_MAX = "ORDERS_PER_DAY_MAX"  # too many orders this market day
    CLOSES_ONLY = "CLOSES_ONLY"  # a closing order of the desk for more than the strategy holds and has not promised
    EXIT_UNDER_WAY = "EXIT_UNDER_WAY"  # the desk is closing the position: only market orders that close it pass
    ORDERS_PER_MINUTE_MAX = "ORDERS_PER_MINUTE_MAX"  # too many orders within a minute
    OUTSIDE_HOURS = "OUTSIDE_HOURS"  # not in the strategy's hours and days (New York), or the time is not known
    CLOSING_SOON = "CLOSING_SOON"  # so near the close nothing opens any more, or nobody knows when it is
    DUPLICATE = "DUPLICATE"  # the same order again within the duplicate window
    AUCTION_WINDOW = "AUCTION_WINDOW"  # the broker takes no more orders for that auction
    CONFLICT_WASH = "CONFLICT_WASH"  # could trade with an open order of the shared account: the broker refuses that
    CONFLICT_HELD = "CONFLICT_HELD"  # open orders hold the shares of the shared account
    CONFLICT_ZERO = "CONFLICT_ZERO"  # would take the shared account from long to short, or back, in one order
    CONFLICT_POSITION = "CONFLICT_POSITION"  # would open where its kind only closes in the shared account, or close
    CONFLICT_OPENING = "CONFLICT_OPENING"  # the shared account is flat, and an order to open the other way is open


# The order lane's: another order is in the way, not the order itself.
CONFLICTS = frozenset(
    {
        DenialReason.CONFLICT_WASH,
        DenialReason.CONFLICT_HELD,
        DenialReason.CONFLICT_ZERO,
        DenialReason.CONFLICT_POSITION,
        DenialReason.CONFLICT_OPENING,
    }
)


class RejectReason(StrEnum):
    """Why an approved order ended without the broker trading it."""

    BROKER_REJECTED = "BROKER_REJECTED"  # the broker answered no; the message is the broker's
    NOT_SENT = "NOT_SENT"  # not sent, or turned away unread: the broker is away, or its request limit is used up
    NEVER_ARRIVED = "NEVER_ARRIVED"  # the broker says that it never saw the order
    BROKER_REFUSED_LATER = "BROKER_REFUSED_LATER"  # the broker accepted first, and rejected after
    HELD_TOO_LONG = "HELD_TOO_LONG"  # waited at the desk for another order to end, for as long as it may; never sent
    BROKER_LOST = "BROKER_LOST"  # the broker had the order, and knows it no more: its account was reset


class RefusalReason(StrEnum):
    """Why the desk did not take a request at all: no order came to be."""

    INVALID = "INVALID"  # HTTP 400
    IDENTITY = "IDENTITY"  # HTTP 403
    NOT_FOUND = "NOT_FOUND"  # HTTP 404
    CONFLICT = "CONFLICT"  # HTTP 409: the same client_order_id with other content
    TOO_LARGE = "TOO_LARGE"  # HTTP 413
    RATE = "RATE"  # HTTP 429
    DESK_NOT_READY = "DESK_NOT_READY"  # HTTP 503: starting or stopping
    KILLED = "KILLED"  # HTTP 503: the whole desk is killed, or the order is a kill's own; cancels pass
    TRADE_STREAM_DOWN = "TRADE_STREAM_DOWN"  # HTTP 503: the desk could not see a fill
    DISK_LOW = "DISK_LOW"  # HTTP 503: what the desk decides might not find room on the disk
    OVERLOADED = "OVERLOADED"  # HTTP 503: the inbox is full
    TIMEOUT = "TIMEOUT"  # HTTP 202: in doubt
    ORDER_FINAL = "ORDER_FINAL"  # HTTP 422: there is nothing left to cancel or to replace
    NOT_REPLACEABLE = "NOT_REPLACEABLE"  # HTTP 422: the order, as it stands, takes no such change
