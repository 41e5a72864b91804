"""What goes wrong, and when: from the seed alone. The same seed and seconds give the same steps, to the last figure.

Two tracks run beside each other: what is done to processes, and what the exchange does wrong on the wire. What a step
meets when its time has come (which order is on its way, whether the desk is up) is the machine's, and not repeatable.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.club import BY_HAND, CLUB
from tests.chaos.evidence import OURS

ORDERS = "/v2/orders"
PROCESS_GAP_S = 2.0  # between two steps of a track, in the mean
WIRE_GAP_S = 1.5

type Fault = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is done to the desk, the exchange or the wire."""

    at_s: float
    what: str
    lasts_s: float = 0.0
    lives_s: float | None = None  # the desk is left alone until it has traded for so long; None: it is not waited for
    names: tuple[str, ...] = ()  # strategies
    fault: Fault = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What holds for a whole run."""

    fills: str
    is_short_allowed: bool
    requests_per_min: int
    cancels_on_stop: bool
    is_killed_last: bool  # the last restart comes after SIGKILL: orders are open through it
    market_closes: bool  # during the run, and with it all day orders end


def weather(seed: int) -> Weather:
    """Return the run's own conditions."""
    dice = random.Random(f"weather {seed}")
    return Weather(
        fills=dice.choice(("paper", "paper", "immediate")),
        is_short_allowed=dice.random() < 0.3,
        requests_per_min=dice.choice((6000, 6000, 6000, 1000)),
        cancels_on_stop=dice.random() < 0.5,
        is_killed_last=dice.random() < 0.5,
        market_closes=dice.random() < 0.25,
    )


def processes(seed: int, seconds: float) -> Sequence[Step]:
    """Return what is done to processes, in order."""
    dice = random.Random(f"processes {seed}")
    names = [member.name for member in CLUB]
    weights = {
        "kill desk": 4,
        "kill desk twice": 2,
        "stop desk": 2,
        "freeze desk": 2,
        "kill exchange": 3,
        "freeze exchange": 2,
        "kill both": 1,
        "kill strategies": 7,
        "restart strategies": 2,
        "cancel all": 1,
        "trade by hand": 1,
        "cancel by hand": 1,
        "replace by hand": 1,
        "settle": 1,
        "storm": 1,
        "storm in its sleep": 1,
    }
    steps, at = [], 4.0
    while (at := at + dice.expovariate(1 / PROCESS_GAP_S)) < seconds:
        what = dice.choices(list(weights), list(weights.values()))[0]
        steps.append(
            Step(
                at_s=round(at, 3),
                what=what,
                lasts_s=round(dice.uniform(0.05, 6.0), 3),
                lives_s=round(dice.uniform(0.0, 5.0), 3) if dice.random() < 0.75 else None,
                names=tuple(dice.sample(names, dice.randint(1, 6))),
            )
        )
    return steps


def wire(seed: int, seconds: float) -> Sequence[Step]:
    """Return what the exchange does wrong, in order; each ends before the next begins."""
    dice = random.Random(f"wire {seed}")
    steps, at = [], 3.0
    while (at := at + dice.expovariate(1 / WIRE_GAP_S)) < seconds:
        names = dice.sample(list(FAULTS), dice.choice((1, 1, 1, 2, 3)))
        lasts = round(dice.uniform(0.5, 7.0), 3)
        steps.append(Step(at_s=round(at, 3), what=" + ".join(names), lasts_s=lasts, fault=together(names, dice)))
        at += lasts
    return steps


def together(names: Sequence[str], dice: random.Random) -> Fault:
    """Return several faults as one order to the exchange: rules for REST follow each other, streams have them all."""
    made: dict[str, Any] = {}
    for name in names:
        for key, value in FAULTS[name](dice).items():
            if isinstance(value, list):
                made[key] = [*made.get(key, []), *value]
            elif isinstance(value, dict):
                made[key] = made.get(key, {}) | value
    return made


def _rest(**rule: Any) -> Any:
    def make(dice: random.Random) -> Fault:
        drawn = {key: value(dice) if callable(value) else value for key, value in rule.items()}
        return {"rest": [{"times": dice.randint(1, 15)} | drawn]}

    return make


def _stream(name: str, *, drops: bool = False, **wrong: Any) -> Any:
    def make(dice: random.Random) -> Fault:
        drawn = {key: value(dice) if callable(value) else value for key, value in wrong.items()}
        made: dict[str, Any] = {name: drawn} if drawn else {}
        return made | {f"{name}_now": {"drop": True}} if drops else made

    return make


def _booked(dice: random.Random, kind: str, amount: str) -> Fault:
    return {"account": {"book": {"type": kind, "amount": amount.format(dice.randint(1, 9)), "description": OURS}}}


def _some_s(most: float) -> Any:
    return lambda dice: round(dice.uniform(0.05, most), 3)


POST = {"method": "POST", "path": ORDERS}
DELETE = {"method": "DELETE", "path": ORDERS}
LOOK = {"method": "GET", "path": "/v2/orders:by_client_order_id"}

FAULTS: Mapping[str, Any] = {
    "504 after accepting": _rest(**POST, status=504, after_accepting=True),
    "500 without accepting": _rest(**POST, status=500),
    "cut after accepting": _rest(**POST, cut=True, after_accepting=True),
    "cut without accepting": _rest(**POST, cut=True),
    "orders delayed": _rest(**POST, delay_s=_some_s(3.5)),
    "orders very late": _rest(**POST, delay_s=lambda dice: round(dice.uniform(5.0, 9.0), 3), times=2),
    "answers overtaken": _rest(**POST, answer_delay_s=_some_s(1.0)),
    "answers late": _rest(**POST, answer_delay_s=_some_s(4.0)),
    "429": _rest(**POST, status=429, times=1),
    "cancels fail": _rest(**DELETE, status=500),
    "cancels cut": _rest(**DELETE, cut=True, after_accepting=True),
    "look-ups fail": _rest(**LOOK, status=500),
    "look-ups cut": _rest(**LOOK, cut=True),
    "look-ups late": _rest(**LOOK, answer_delay_s=_some_s(3.0)),
    "anything fails": _rest(path="/v2/", status=503),
    "account late": _rest(method="GET", path="/v2/account", answer_delay_s=_some_s(3.0)),
    "positions late": _rest(method="GET", path="/v2/positions", answer_delay_s=_some_s(3.0)),
    "trade stream dropped": _stream("trade_stream", drops=True),
    "trade stream mute": _stream("trade_stream", mute=True),
    "trade stream doubled": _stream("trade_stream", duplicate=True),
    "trade stream reordered": _stream("trade_stream", reorder=True),
    "trade stream late": _stream("trade_stream", delay_s=_some_s(2.5)),
    "trade stream refused": _stream("trade_stream", drops=True, refuse_handshakes=lambda dice: dice.randint(1, 2)),
    "trade stream unauthorized": _stream("trade_stream", drops=True, refuse_auth=1),
    "data stream dropped": _stream("data_stream", drops=True),
    "data stream mute": _stream("data_stream", mute=True),
    "data stream doubled": _stream("data_stream", duplicate=True),
    "data stream reordered": _stream("data_stream", reorder=True),
    "data stream late": _stream("data_stream", delay_s=_some_s(2.0)),
    "data stream refused": _stream("data_stream", drops=True, refuse_handshakes=lambda dice: dice.randint(1, 2)),
    "data stream unauthorized": _stream("data_stream", drops=True, refuse_auth=1),
    "trade stream swallowed": _stream("trade_stream", black_hole=True),
    "trade stream loses": _stream("trade_stream", drop_next=lambda dice: dice.randint(1, 20)),
    "trade stream storm": _stream("trade_stream", drops=True, refuse_handshakes_s=_some_s(5.0), retry_after_s=1),
    "trade stream closed": lambda dice: {"trade_stream_now": {"close": dice.choice((1000, 1001, 1008, 1011))}},
    "trade stream error": lambda dice: {"trade_stream_now": {"error": dice.choice((402, 406, 500))}},
    "data stream swallowed": _stream("data_stream", black_hole=True),
    "data stream loses": _stream("data_stream", drop_next=lambda dice: dice.randint(1, 50)),
    "data stream storm": _stream("data_stream", drops=True, refuse_handshakes_s=_some_s(5.0), retry_after_s=1),
    "data stream closed": lambda dice: {"data_stream_now": {"close": dice.choice((405, 406, 407))}},
    "data stream error": lambda dice: {"data_stream_now": {"error": dice.choice((405, 406, 407))}},
    "data stream refuses by code": _stream(
        "data_stream", drops=True, auth_errors=lambda dice: [dice.choice((402, 404, 406, 402, 404, 406, 409))]
    ),
    "REST storm": lambda dice: {"rest": [{"path": "/v2/", "status": 503, "for_s": round(dice.uniform(0.5, 4.0), 3)}]},
    "positions lag": lambda dice: {"account": {"positions_lag_s": round(dice.uniform(0.5, 10.0), 3)}},
    "a fee": lambda dice: _booked(dice, "FEE", "-0.{}0"),
    "a dividend": lambda dice: _booked(dice, "DIV", "{}.25"),
    "a bust": lambda _dice: {"account": {"bust": {}}},
    "a correction": lambda dice: {"account": {"correct": {"price": f"{dice.randint(50, 600)}.25"}}},
    "a split": lambda dice: {"account": {"split": {"symbol": BY_HAND, "ratio": dice.choice(("2", "0.5", "1.5"))}}},
    "an order refused late": lambda dice: {"reject_next": {"symbol": dice.choice((BY_HAND, "SPY", "KO", "AAPL"))}},
}
