"""Sequences of all that a desk meets, in the wide alphabet.

Up to twenty strategies, kills and releases, exits of the desk's own, auctions, extended hours, opens, closes and half
days. `plan.py` has the narrow alphabet, whose seeds stay what they were.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from deskd.domain.ids import ClientOrderId, StrategyId, Symbol
from deskd.domain.kill import THE_DESK, KillDepth, KillScope, KillTarget
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import OrderClass, OrderRequest, OrderType, TimeInForce
from tests.exchange.given import ny
from tests.lane.plan import (
    HOLD_MAX,
    MIDDLE,
    SYMBOLS,
    Ask,
    Cancel,
    Kill,
    Look,
    Move,
    Plan,
    Release,
    Replace,
    Restart,
    Step,
    Wait,
    What,
    an_entry,
    an_order,
)

STRATEGIES_MAX = 20
STEPS_MIN, STEPS_MAX = 10, 26
# When a plan begins, and when the day of it closes: noon, around an open and a close, on a day that closes early.
_TIMES = (
    ("12:00", "16:00"),
    ("12:00", "16:00"),
    ("09:20", "16:00"),
    ("09:29:50", "16:00"),
    ("15:49:40", "16:00"),
    ("15:59:50", "16:00"),
    ("12:49:40", "13:00"),
    ("12:59:50", "13:00"),
    ("13:05", "13:00"),
    ("19:05", "16:00"),
)
_DEPTHS = (KillDepth.REDUCE_ONLY, KillDepth.STOP_NEW, KillDepth.CANCEL, KillDepth.FLATTEN, KillDepth.FLATTEN)
_AUCTIONS = (TimeInForce.OPG, TimeInForce.CLS)
_TO_BROKER = ((0, 0, 0, 1), (0, 1, 1, 3), (1, 2, 3, 3))
_TO_DESK = ((0, 0, 1, 4), (0, 1, 4, 16), (4, 4, 16, 16))


def a_wide_plan(seed: int, policy: ConflictPolicy) -> Plan:
    """Return the plan of *seed* in the wide alphabet."""
    random = Random(seed)
    draw = random.random
    count = STRATEGIES_MAX - int(draw() * 9) if draw() < 0.2 else 2 + int(draw() * 5)
    strategies = tuple(StrategyId(f"s{n}") for n in range(count))
    symbols = SYMBOLS if draw() < 0.4 else SYMBOLS[:1]
    carries, hears = _TO_BROKER[int(draw() * 3)], _TO_DESK[int(draw() * 3)]
    begins, closes = _TIMES[int(draw() * len(_TIMES))]
    planned: list[Step] = []
    if draw() < 0.7:  # begin with positions
        for n, who in enumerate(strategies[: 1 + int(draw() * 4)]):
            planned.append(Step(Ask(an_entry(random, who, symbols, f"e{n}"))))
        planned.append(Step(Wait(1), (0.0,) * 4, (0.0,) * 16))
        planned.append(Step(Wait(1), (), (0.0,) * 16))
    steps = STEPS_MIN + int(draw() * (STEPS_MAX - STEPS_MIN + 1))
    while len(planned) < steps:
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
        begins_at=ny(begins),
        closes=closes,
        has_exits=draw() < 0.5,
        may_wait_for_open=draw() < 0.8,
        is_wide=True,
    )


def _something(random: Random, strategies: Sequence[StrategyId], symbols: Sequence[Symbol], number: int) -> What:
    draw = random.random
    who, symbol = strategies[int(draw() * len(strategies))], symbols[int(draw() * len(symbols))]
    match draw():
        case chance if chance < 0.48:
            return Ask(_of_its_day(random, an_order(random, who, symbol, f"o{number}")))
        case chance if chance < 0.55:
            return Cancel(draw())
        case chance if chance < 0.62:
            return Replace(draw(), ClientOrderId(f"r{number}"), int(draw() * 5) - 1, int(draw() * 5) - 2)
        case chance if chance < 0.70:
            return Move(symbol, MIDDLE - 3 + int(draw() * 7))
        case chance if chance < 0.82:
            return Wait((0.01, 0.2, 2, 4, 15, 60, 600)[int(draw() * 7)])
        case chance if chance < 0.88:
            return Look()
        case chance if chance < 0.94:
            targets = (THE_DESK, KillTarget(KillScope.STRATEGY, who), KillTarget(KillScope.SYMBOL, symbol))
            return Kill(targets[int(draw() * 3)], _DEPTHS[int(draw() * len(_DEPTHS))])
        case chance if chance < 0.98:
            return Release(draw())
        case _:
            return Restart(tuple([draw() < 0.5 for _ in range(8)]))


def _of_its_day(random: Random, request: OrderRequest) -> OrderRequest:
    """Return the order, one in five for an auction or for extended hours where it may be."""
    chance = random.random()
    is_simple = request.order_class is OrderClass.SIMPLE and request.qty is not None and request.qty % 1 == 0
    if not is_simple or request.time_in_force is not TimeInForce.DAY:
        return request
    if chance < 0.12 and request.order_type in {OrderType.MARKET, OrderType.LIMIT}:
        return replace(request, time_in_force=_AUCTIONS[int(random.random() * 2)])
    if chance < 0.24 and request.order_type is OrderType.LIMIT:
        return replace(request, extended_hours=True)
    return request
