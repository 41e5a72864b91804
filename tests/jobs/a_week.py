"""Two market days of a random life, in a ledger: what reports are made from."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from deskd.core.desk import Desk
from deskd.domain import events as ev
from tests.factories import MONDAY
from tests.ledger.life import Life, written

TUESDAY, WEDNESDAY = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)


@dataclass
class Week:
    """A ledger, the desk as it stood when each day began and ended, and the facts between."""

    path: Path
    begun: Desk
    ended: Desk
    facts: list[ev.Fact]  # of Tuesday
    first_seq: int


async def a_week(path: Path, seed: int) -> Week:
    """Write a ledger whose Tuesday is busy, and whose Wednesday has begun."""
    life = Life(seed)
    life.goes_on(60)
    before = len(life.facts)
    life.goes_on(400)
    tuesday, after = life.facts[before:], len(life.facts)
    life.goes_on(40)
    wednesday = life.facts[after:]
    first, second, third = (
        ev.MarketDayBegan(market_day=day, at=at)
        for day, at in (
            (MONDAY, life.facts[0].at),
            (TUESDAY, tuesday[0].at),
            (WEDNESDAY, wednesday[0].at),
        )
    )
    head = [first, *life.facts[:before], second]
    await written(path, [*head, *tuesday, third, *wednesday])
    begun, ended = _desk(head), _desk([*head, *tuesday])
    return Week(path, begun, ended, tuesday, len(head))


def _desk(facts: list[ev.Fact]) -> Desk:
    desk = Desk()
    for fact in facts:
        desk.apply(fact)
    return desk
