"""The table of reason codes: what each means, which rule gives it, by which keys officers set its bound, what to do.

The meaning is the comment in the code, the rule the gate's own check; keys and remedies stand here, one line a code, and
a test holds the keys against the configuration.
"""

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from deskd.config import Config
from deskd.core import gate
from deskd.domain import reasons
from deskd.domain.reasons import DenialReason as D
from deskd.domain.reasons import RefusalReason as F
from deskd.domain.reasons import RejectReason as J

ALL = ("risk.strategy", "risk.strategies.NAME", "risk.member", "risk.members.NAME", "risk.desk")
KINDS: Mapping[str, tuple[type[StrEnum], str]] = {
    "denied": (reasons.DenialReason, "The gate said no. No order left the desk; the reason stands in the ledger."),
    "rejected": (reasons.RejectReason, "The desk approved the order, and it ended without a trade."),
    "refused": (reasons.RefusalReason, "The desk did not take the request at all: no order came to be."),
}
# Of these no check of the gate is the rule; of all others without one the order lane is.
_ELSEWHERE = {"STRATEGY_UNKNOWN": "`strategy_is_known`", "SHADOW": "the strategy's stage"}


class Advice(NamedTuple):
    """What sets the bound, and what its author can do."""

    remedy: str
    keys: tuple[str, ...] = ()  # `table.key`; of one that every scope can set, the key alone

    @property
    def shown(self) -> str:
        """Return the keys as the table has them."""
        return ", ".join(f"`{key}`" for key in self.keys) or "-"


# By the code's word: KILLED is one of the gate's and one of the door's, and the remedy is one.
ADVICE: Mapping[StrEnum, Advice] = {
    D.STRATEGY_UNKNOWN: Advice("an officer deploys it, or starts the desk anew"),
    D.KILLED: Advice("an officer releases the kill; cancels pass", ("risk.automatic", "risk.kill")),
    D.REDUCE_ONLY: Advice("close, or wait until the breaker closes or an officer releases it", ("risk.breaker",)),
    D.STRATEGY_NOT_ACTIVE: Advice("an officer, or its member, starts it"),
    D.PAUSED: Advice("`deskctl resume NAME`"),
    D.SHADOW: Advice("bring it to the stage active when it is to trade"),
    D.SYMBOL_NOT_ALLOWED: Advice("add it to `symbols` in config.json"),
    D.SYMBOL_UNKNOWN: Advice("check the spelling"),
    D.SYMBOL_NOT_TRADABLE: Advice("trade another symbol, or wait"),
    D.SYMBOL_FROZEN: Advice("an officer settles the difference: `deskctl reconcile`"),
    D.SYMBOL_DENIED: Advice("close what is held, ask an officer for the rest", ("symbols_allowed", "symbols_denied")),
    D.SYMBOL_HALTED: Advice("wait for the `status` line that trading goes on"),
    D.MARKET_CLOSED: Advice(
        "wait for the open, or a limit order with extended_hours", ("risk.desk.orders_wait_for_open",)
    ),
    D.FORM_INVALID: Advice("make type, time in force, class and prices go together"),
    D.SUB_PENNY: Advice("round the price"),
    D.NOT_FRACTIONABLE: Advice("ask for whole shares"),
    D.QUOTE_MISSING: Advice("try again when quotes arrive"),
    D.QUOTE_STALE: Advice("wait for the next quote", ("market.stale_after_s",)),
    D.PRICE_COLLAR: Advice("a price nearer the market, or a market order", ("price_collar",)),
    D.STOP_SIDE: Advice("put the stop on the far side of the market"),
    D.ORDER_QTY_MAX: Advice("ask for fewer shares: the message says how many", ("order_qty_max",)),
    D.ORDER_NOTIONAL_MAX: Advice("ask for less: the message says how much", ("order_notional_max",)),
    D.POSITION_QTY_MAX: Advice("ask for fewer shares: the message says how many", ("position_qty_max",)),
    D.POSITION_NOTIONAL_MAX: Advice("ask for less: the message says how much", ("position_notional_max",)),
    D.POSITION_SHARE_MAX: Advice("ask for less: the message says how much", ("position_share_max",)),
    D.CONCENTRATION_MAX: Advice("ask for less, or trade another symbol", ("risk.desk.concentration_max",)),
    D.GROSS_EXPOSURE_MAX: Advice("close something first, or ask for less", ("gross_exposure_max",)),
    D.NET_EXPOSURE_MAX: Advice("ask for less on this side", ("net_exposure_max",)),
    D.DAILY_LOSS_MAX: Advice("nothing opens until the next market day", ("daily_loss_max",)),
    D.DRAWDOWN_MAX: Advice("nothing opens until an officer has looked", ("drawdown_max",)),
    D.DAY_TRADES_MAX: Advice("nothing opens until next week", ("risk.desk.pattern_day_trader",)),
    D.STOP_COOLDOWN: Advice("wait as long as the message says", ("risk.strategy.stop_cooldown_s",)),
    D.SHORT_NOT_ALLOWED: Advice("sell at most what is free", ("allow_short",)),
    D.BUYING_POWER: Advice(
        "ask for less, or cancel open orders",
        ("risk.strategy.allocation", "risk.strategies.NAME.allocation", "risk.member.allocation"),
    ),
    D.OPEN_ORDERS_MAX: Advice("cancel some, or wait until they end", ("open_orders_max",)),
    D.ORDERS_PER_DAY_MAX: Advice("what only closes passes; else the next market day", ("orders_per_day_max",)),
    D.CLOSES_ONLY: Advice("the desk asks for it anew when open orders are done"),
    D.EXIT_UNDER_WAY: Advice("open anew when the position is flat", ("risk.exits",)),
    D.ORDERS_PER_MINUTE_MAX: Advice("wait some seconds; cancels pass", ("orders_per_minute_max",)),
    D.OUTSIDE_HOURS: Advice(
        "wait for the hours; closing passes", ("risk.schedule.opens", "risk.schedule.closes", "risk.schedule.days")
    ),
    D.CLOSING_SOON: Advice("open nothing before the close", ("risk.schedule.no_new_before_close_min",)),
    D.DUPLICATE: Advice("wait, or change the order", ("risk.strategy.duplicate_window_s",)),
    D.AUCTION_WINDOW: Advice("send it before the window ends, or as a day order"),
    D.CONFLICT_WASH: Advice("wait for the other order to end, or another price", ("orders.conflict",)),
    D.CONFLICT_HELD: Advice("wait for the other orders to end", ("orders.conflict",)),
    D.CONFLICT_ZERO: Advice("close first, then open", ("orders.conflict",)),
    D.CONFLICT_POSITION: Advice("wait until the account is flat in the symbol", ("orders.conflict",)),
    D.CONFLICT_OPENING: Advice("wait for the other order to end", ("orders.conflict",)),
    J.BROKER_REJECTED: Advice("the message is the broker's: correct what it names"),
    J.NOT_SENT: Advice("send it again under a new id when the desk takes orders"),
    J.NEVER_ARRIVED: Advice("send it again under a new id"),
    J.BROKER_REFUSED_LATER: Advice("the message is the broker's: correct what it names"),
    J.HELD_TOO_LONG: Advice("send it again, or another price", ("orders.hold_max_s",)),
    J.BROKER_LOST: Advice("an officer looks at the account"),
    F.INVALID: Advice("correct the field that the message names"),
    F.IDENTITY: Advice("leave out set_user_id: the socket says who you are"),
    F.NOT_FOUND: Advice("check the id"),
    F.CONFLICT: Advice("use a new id for each order"),
    F.TOO_LARGE: Advice("send less in one request"),
    F.RATE: Advice("send slower", ("risk.strategy.requests_per_s",)),
    F.DESK_NOT_READY: Advice("try again in some seconds"),
    F.TRADE_STREAM_DOWN: Advice("wait until the stream is back; cancels pass"),
    F.DISK_LOW: Advice("an officer makes room", ("desk.disk_free_min_mb",)),
    F.OVERLOADED: Advice("try again in some seconds"),
    F.TIMEOUT: Advice("wait for the `order` line, or ask for the order by its id: never send it anew"),
    F.ORDER_FINAL: Advice("nothing: it has ended"),
    F.NOT_REPLACEABLE: Advice("cancel it, and send another"),
}


def reference(generated: str, texts: Mapping[tuple[str, str], str]) -> str:
    """Return the page; *texts*: what each member means, by class and name."""
    lines = [
        generated,
        "# Reason codes",
        "",
        "A code is stable: programs may rely on it. The message beside it tells the rule, the limit and the actual figure.",
        "A bound without a table stands in any of "
        + ", ".join(f"`[{table}]`" for table in ALL)
        + "; the tightest holds,",
        "and a message names the scope that it is of (`scope=member`, `scope=desk`; none: the strategy's own).",
    ]
    rules = rules_by_reason()
    for word, (enum, meaning) in KINDS.items():
        has_rules = enum is D
        head = (
            "| reason | means | rule | set by | what to do |"
            if has_rules
            else "| reason | means | set by | what to do |"
        )
        lines += ["", f"## {word}", "", meaning, "", head, "| --- " * (5 if has_rules else 4) + "|"]
        for member in enum:
            advice = ADVICE[member]
            named = [f"`{name}`" for name in rules.get(member.name, ())] or [
                _ELSEWHERE.get(member.name, "the order lane")
            ]
            rule = [", ".join(named)] if has_rules else []
            cells = [f"`{member}`", texts[enum.__name__, member.name], *rule, advice.shown, advice.remedy]
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def rules_by_reason() -> Mapping[str, list[str]]:
    """Return which checks of the gate can give each reason, in the gate's order."""
    found: dict[str, list[str]] = {}
    checks: Iterable[Callable[..., object]] = (*gate.CHECKS, *gate.VALUE_CHECKS, *gate.CLOSING_VALUE_CHECKS)
    for check in checks:
        for reason in _named_in(inspect.getsource(check)):
            if check.__name__ not in found.setdefault(reason, []):
                found[reason].append(check.__name__)
    return found


def _named_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in {"R", "DenialReason"}
        ):
            yield node.attr


def keys_unknown() -> list[str]:
    """Return the keys of the table that the configuration does not have."""
    return [key for advice in ADVICE.values() for key in advice.keys if not _is_known(key)]


def _is_known(key: str) -> bool:
    """Tell whether there is such a table, such a key of a table, or such a key in every table that bounds."""
    risk = Config().risk
    if "." not in key:
        return all(key in type(section).model_fields for section in (risk.strategy, risk.member, risk.desk))
    here: object = Config()
    for part in key.replace("risk.strategies.NAME", "risk.strategy").split("."):
        if part not in type(here).model_fields:  # type: ignore[attr-defined]
            return False
        here = getattr(here, part)
    return True
