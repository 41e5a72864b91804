"""The request budget: twenty strategies, 200 requests a minute, one of them floods (ARCHITECTURE.md 4).

Each phase has an exchange and a broker of its own, so that it begins with a fresh minute. All orders go over the wire.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count

from deskd.alpaca.broker import AlpacaBroker, open_broker
from deskd.alpaca.endpoints import Keys, embedded
from deskd.domain.events import SubmitRejected
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.ports import SystemClock
from deskd.venue.assembly import opened
from deskd.venue.settings import Keys as VenueKeys
from deskd.venue.settings import VenueSettings
from tests.bench.report import Report, quantile
from tests.factories import a_limit_request

LIMIT, CALM, AT_ONCE = 200, 19, 30
CALM_EVERY_S = 16.0  # of each calm strategy: 71 orders a minute of all of them
PHASES = ("no flood", "one floods", "all flood")


@dataclass(slots=True)
class Phase:
    """What a phase brought."""

    took: list[float] = field(default_factory=list)  # ms from asking to the broker's answer, of calm strategies
    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    turned_away: int = 0


def run(*, is_quick: bool) -> Report:
    """Measure the three phases, at the same time: most of it is spent waiting."""
    report = Report("budget")
    seconds = 45.0 if is_quick else 150.0
    phases = asyncio.run(_all(seconds))
    rows = []
    for name, phase in zip(PHASES, phases, strict=True):
        took = sorted(phase.took)
        p50, p99 = (quantile(took, 0.5), quantile(took, 0.99)) if took else (None, None)
        rows.append((name, sum(phase.sent.values()), sum(phase.refused.values()), p50, p99, phase.turned_away))
    report.table(
        f"{CALM} calm strategies and one, {LIMIT} requests a minute, {seconds:.0f} s a phase",
        ("phase", "orders sent", "told to wait", "calm p50 ms", "calm p99 ms", "429s"),
        rows,
    )
    quiet, flooded, greedy = phases
    before, beside = quantile(sorted(quiet.took), 0.5), quantile(sorted(flooded.took), 0.5)
    late = quantile(sorted(flooded.took), 0.99)
    fair = _jain(greedy.sent)
    report.target(
        "others' answers",
        "p50 beside a flood <= 2 x without, p99 <= 250 ms",
        f"{beside / before:.2f} x ({before:.1f} and {beside:.1f} ms), p99 {late:.0f} ms",
        is_met=beside <= 2 * before and late <= 250,
    )
    report.target("fairness", "Jain's index of twenty that flood >= 0.95", f"{fair:.3f}", is_met=fair >= 0.95)
    away = sum(phase.turned_away for phase in phases)
    report.target("429s", "none", str(away), is_met=away == 0)
    return report


async def _all(seconds: float) -> list[Phase]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_phase(name, seconds)) for name in PHASES]
    return [one.result() for one in running]


async def _phase(name: str, seconds: float) -> Phase:
    phase, keys, ids = Phase(), Keys("bench", "bench"), count()
    settings = VenueSettings(
        listen="127.0.0.1:0",
        tape=("synthetic",),
        speed=1.0,
        loop=True,
        seed=1,
        cash=Decimal(100_000_000),
        fills="immediate",
        start=None,
        state=None,
        keys=VenueKeys(key_id=keys.key_id, secret_key=keys.secret),
        rate_limit_per_min=LIMIT,
    )
    async with opened(settings) as venue, open_broker(embedded(venue.url, "iex"), keys, clock=SystemClock()) as broker:
        await broker.orders(is_open=True)  # the first connection is nobody's wait
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                names = [f"s{n}" for n in range(CALM)]
                if name != "all flood":
                    for n, who in enumerate(names):
                        tasks.create_task(_calm(broker, who, phase, ids, random.Random(n)))
                    names = []
                names += [] if name == "no flood" else ["flood"]
                for who in names * AT_ONCE:  # they begin at the same time: the burst is nobody's alone
                    tasks.create_task(_greedy(broker, who, phase, ids))
        phase.turned_away = broker.requests().turned_away
    return phase


async def _calm(broker: AlpacaBroker, who: str, phase: Phase, ids: "count[int]", dice: random.Random) -> None:
    await asyncio.sleep(dice.uniform(0, CALM_EVERY_S))
    while True:
        began = time.monotonic()
        if await _order(broker, who, phase, ids):
            phase.took.append((time.monotonic() - began) * 1e3)
        await asyncio.sleep(dice.uniform(0.5, 1.5) * CALM_EVERY_S)


async def _greedy(broker: AlpacaBroker, who: str, phase: Phase, ids: "count[int]") -> None:
    while True:
        if (crowded := broker.crowded(StrategyId(who))) is not None:  # as the door asks
            phase.refused[who] += 1
            await asyncio.sleep(min(crowded[0], 0.5))
        elif not await _order(broker, who, phase, ids):
            await asyncio.sleep(0.1)


async def _order(broker: AlpacaBroker, who: str, phase: Phase, ids: "count[int]") -> bool:
    oid = ClientOrderId(f"{who}-{next(ids)}")
    said = await broker.submit(a_limit_request("1.00", client_order_id=oid, strategy_id=StrategyId(who)))
    is_sent = not (isinstance(said, SubmitRejected) and not said.was_sent)
    (phase.sent if is_sent else phase.refused)[who] += 1
    return is_sent


def _jain(sent: Counter[str]) -> float:
    got = list(sent.values())
    return sum(got) ** 2 / (len(got) * sum(n * n for n in got))
