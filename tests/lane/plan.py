"""A sequence as data: what strategies ask for, how the market moves, and how late the line is.

Rule 1: a plan depends on its seed and nothing else; it does not look at how the story goes. So a step can be left out
        and the others stay as they are: that is how a failing plan is made smaller.
Rule 2: plans are short. Many short ones find more than few long ones, and what they find can be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from deskd.domain.ids import ClientOrderId, StrategyId, Symbol, UserId
from deskd.domain.kill import KillDepth, KillTarget
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import (
    OrderClass,
    OrderRequest,
    OrderType,
    Side,
    StopLoss,
    TakeProfit,
    TimeInForce,
)
from tests.exchange.given import NOON
from tests.factories import AAPL, SPY, cash, price, qty

HOLD_MAX = timedelta(seconds=5)
SYMBOLS = (AAPL, SPY)
MIDDLE = 100  # what a share costs at first
STEPS_MIN, STEPS_MAX = 8, 22  # of which some 60 % are orders
_PRICES = {n: price(n) for n in range(80, 121)}
_SHARES = {n: qty(n) for n in range(1, 31)}
_SIDES = (Side.BUY, Side.SELL)
_TYPES: tuple[OrderType, ...] = (OrderType.MARKET, OrderType.LIMIT, OrderType.LIMIT, OrderType.LIMIT, *OrderType)
_SHORT_LIVES = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.CLS)
# How many messages arrive after a step, drawn from four: over a slow line, a usual one, one that is nearly prompt.
_TO_BROKER = ((0, 0, 0, 1), (0, 1, 1, 3), (1, 2, 3, 3))
_TO_DESK = ((0, 0, 1, 4), (0, 1, 4, 16), (4, 4, 16, 16))


@dataclass(frozen=True, slots=True)
class Ask:
    """A strategy asks for an order."""

    request: OrderRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody cancels an open order; *pick* says which, from 0 to 1."""

    pick: float


@dataclass(frozen=True, slots=True)
class Replace:
    """Somebody wants another order in the place of an open one."""

    pick: float
    client_order_id: ClientOrderId
    more: int  # shares
    higher: int  # dollars


@dataclass(frozen=True, slots=True)
class Move:
    """The market goes to another price."""

    symbol: Symbol
    middle: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Restart:
    """The desk dies and starts again; of what had not reached the broker, these arrive late, and the others never."""

    arrives: tuple[bool, ...]  # in turn


@dataclass(frozen=True, slots=True)
class Kill:
    """Somebody pulls the kill switch."""

    target: KillTarget
    depth: KillDepth


@dataclass(frozen=True, slots=True)
class Release:
    """An officer releases a kill that is in force; *pick* says which, from 0 to 1."""

    pick: float


@dataclass(frozen=True, slots=True)
class Look:
    """The desk looks at the prices of what it holds, for its own exits."""


type What = Ask | Cancel | Replace | Move | Wait | Restart | Kill | Release | Look


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, and what of that which is on its way arrives then: each number picks one, from 0 to 1."""

    what: What
    carried: tuple[float, ...] = ()  # to the broker
    heard: tuple[float, ...] = ()  # by the desk


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One sequence."""

    seed: int
    rules: LaneRules
    strategies: tuple[StrategyId, ...]
    is_paper: bool  # the market takes some ms, and fills parts
    is_short_allowed: bool
    steps: Sequence[Step]
    begins_at: datetime = NOON
    closes: str = "16:00"  # that day, in New York
    has_exits: bool = False  # the desk closes positions by itself
    may_wait_for_open: bool = True
    is_wide: bool = False  # of the wide alphabet

    @property
    def has_restart(self) -> bool:
        """Tell whether the desk loses what was on its way to it."""
        return any(isinstance(step.what, Restart) for step in self.steps)


def a_plan(seed: int, policy: ConflictPolicy, *, steps: int | None = None) -> Plan:
    """Return the plan of *seed*."""
    random = Random(seed)
    draw = random.random
    strategies = tuple(StrategyId(f"s{n}") for n in range(3 + int(draw() * 4)))
    symbols = SYMBOLS if draw() < 0.4 else SYMBOLS[:1]
    carries, hears = _TO_BROKER[int(draw() * 3)], _TO_DESK[int(draw() * 3)]
    count = steps or STEPS_MIN + int(draw() * (STEPS_MAX - STEPS_MIN + 1))
    planned: list[Step] = []
    if draw() < 0.6:  # begin with a position
        planned += [Step(Ask(an_entry(random, who, symbols, f"e{n}"))) for n, who in enumerate(strategies[:2])]
        planned.append(Step(Wait(1), (0.0, 0.0), (0.0,) * 16))
        planned.append(Step(Wait(1), (), (0.0,) * 16))
    while len(planned) < count:
        what = _something(random, strategies, symbols, len(planned))
        carried = tuple([draw() for _ in range(carries[int(draw() * 4)])])
        heard = tuple([draw() for _ in range(hears[int(draw() * 4)])])
        planned.append(Step(what, carried, heard))
    return Plan(
        seed=seed,
        rules=LaneRules(conflict=policy, hold_max=HOLD_MAX),
        strategies=strategies,
        is_paper=draw() < 0.7,
        is_short_allowed=draw() < 0.85,
        steps=planned,
    )


def _something(random: Random, strategies: Sequence[StrategyId], symbols: Sequence[Symbol], number: int) -> What:
    draw = random.random
    match draw():
        case chance if chance < 0.60:
            who = strategies[int(draw() * len(strategies))]
            return Ask(an_order(random, who, symbols[int(draw() * len(symbols))], f"o{number}"))
        case chance if chance < 0.70:
            return Cancel(draw())
        case chance if chance < 0.80:
            return Replace(draw(), ClientOrderId(f"r{number}"), int(draw() * 5) - 1, int(draw() * 5) - 2)
        case chance if chance < 0.88:
            return Move(symbols[int(draw() * len(symbols))], MIDDLE - 3 + int(draw() * 7))
        case chance if chance < 0.99:
            return Wait((0.01, 0.2, 2, 4)[int(draw() * 4)])
        case _:
            return Restart(tuple([draw() < 0.5 for _ in range(8)]))


def an_entry(random: Random, who: StrategyId, symbols: Sequence[Symbol], oid: str) -> OrderRequest:
    """Return an order at the market that opens something."""
    draw = random.random
    symbol, side = symbols[int(draw() * len(symbols))], _SIDES[draw() < 0.4]
    return _request(who, symbol, side, oid, OrderType.MARKET, qty=_SHARES[5 + int(draw() * 15)])


def an_order(random: Random, who: StrategyId, symbol: Symbol, oid: str) -> OrderRequest:
    """Return any order that a strategy may think of."""
    draw = random.random
    side = _SIDES[int(draw() * 2)]
    kind = _TYPES[int(draw() * len(_TYPES))]
    shares, sign = _SHARES[1 + int(draw() * 9)], side.sign
    if draw() < 0.02:
        return _request(who, symbol, side, oid, OrderType.MARKET, qty=shares + Decimal("0.5"))
    match kind:
        case OrderType.MARKET:
            if draw() < 0.12:
                return _request(who, symbol, side, oid, kind, notional=cash(50 + int(draw() * 850)))
            if draw() < 0.2:
                order_class = OrderClass.BRACKET if draw() < 0.8 else OrderClass.OTO
                return _request(who, symbol, side, oid, kind, qty=shares, **_exits(order_class, sign))
            return _request(who, symbol, side, oid, kind, qty=shares)
        case OrderType.LIMIT:
            fields: dict[str, Any] = {}
            match draw():
                case chance if chance < 0.08:
                    fields = {"time_in_force": _SHORT_LIVES[int(draw() * 4)]}
                case chance if chance < 0.15:
                    fields = _exits(OrderClass.BRACKET, sign)
                case chance if chance < 0.18:  # it closes what the other side opened
                    fields = _exits(OrderClass.OCO, -sign)
                    return _request(who, symbol, side, oid, kind, qty=shares, **fields)
                case _:
                    pass
            limit_price = _PRICES[MIDDLE - 3 + int(draw() * 7)]
            return _request(who, symbol, side, oid, kind, qty=shares, limit_price=limit_price, **fields)
        case OrderType.STOP:
            return _request(who, symbol, side, oid, kind, qty=shares, stop_price=_PRICES[MIDDLE + sign * 5])
        case OrderType.STOP_LIMIT:
            stop, limit = _PRICES[MIDDLE + sign * 5], _PRICES[MIDDLE + sign * 6]
            return _request(who, symbol, side, oid, kind, qty=shares, stop_price=stop, limit_price=limit)
        case OrderType.TRAILING_STOP:
            return _request(who, symbol, side, oid, kind, qty=shares, trail_price=price(3))


def _exits(order_class: OrderClass, sign: int) -> dict[str, Any]:
    profit = TakeProfit(limit_price=_PRICES[MIDDLE + sign * 9])
    loss = StopLoss(stop_price=_PRICES[MIDDLE - sign * 9])
    if order_class is OrderClass.OTO:
        return {"order_class": order_class, "take_profit": profit}
    return {"order_class": order_class, "take_profit": profit, "stop_loss": loss}


def _request(
    who: StrategyId,
    symbol: Symbol,
    side: Side,
    oid: str,
    kind: OrderType,
    *,
    time_in_force: TimeInForce = TimeInForce.DAY,
    **fields: Any,
) -> OrderRequest:
    return OrderRequest(
        strategy_id=who,
        user_id=UserId(who),
        client_order_id=ClientOrderId(oid),
        symbol=symbol,
        side=side,
        order_type=kind,
        time_in_force=time_in_force,
        **fields,
    )
