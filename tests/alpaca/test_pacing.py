"""The request budget, on a clock that a test moves."""

import asyncio
from datetime import datetime, timedelta

from deskd.alpaca.pacing import Pacer
from tests.factories import NOON


class HandClock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def a_pacer(per_min: int | None = 60) -> tuple[Pacer, HandClock]:
    clock = HandClock()
    return Pacer(per_min=per_min, clock=clock), clock


async def taken(pacer: Pacer, tries: int, *, is_urgent: bool = False) -> int:
    return sum([await pacer.take(wait_max_s=0, is_urgent=is_urgent) for _ in range(tries)])


async def test_a_burst_up_to_the_limit_goes_at_once_and_leaves_the_reserve() -> None:
    """The last tenth of a minute's requests is for cancels and look-ups."""
    pacer, _ = a_pacer(60)
    assert await taken(pacer, 100) == 54
    assert await taken(pacer, 100, is_urgent=True) == 6


async def test_the_budget_grows_back_at_the_limits_rate() -> None:
    """Sixty a minute is one a second, and never more than sixty in hand."""
    pacer, clock = a_pacer(60)
    await taken(pacer, 100)
    clock.seconds += 10
    assert await taken(pacer, 100) == 10
    clock.seconds += 100_000
    assert await taken(pacer, 100) == 54


async def test_a_burst_is_paced_rather_than_refused() -> None:
    """A request that has to wait a little waits, first come first served."""
    pacer = Pacer(per_min=60_000, clock=LoopClock())
    pacer._tokens = 6_000.0  # only the reserve is left: a thousand a second grow back
    order: list[int] = []

    async def one(n: int) -> None:
        assert await pacer.take(wait_max_s=5)
        order.append(n)

    async with asyncio.TaskGroup() as tasks:
        for n in range(50):
            tasks.create_task(one(n))
    assert order == sorted(order)


class LoopClock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


async def test_no_limit_is_no_limit() -> None:
    """The embedded exchange's headers do not bring one back."""
    pacer, _ = a_pacer(None)
    pacer.observe(429, {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0"})
    assert await taken(pacer, 10_000) == 10_000


async def test_the_brokers_count_is_believed() -> None:
    """Somebody else uses the same account: its answers say how much is left."""
    pacer, clock = a_pacer(60)
    pacer.observe(200, {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "70"})
    assert await taken(pacer, 100) == 10
    clock.seconds += 1
    assert await taken(pacer, 100) == 10, "ten a second now"


async def test_after_a_429_nothing_goes_until_the_reset() -> None:
    """Not even what is urgent: it would be turned away."""
    pacer, clock = a_pacer(60)
    pacer.observe(429, {"X-RateLimit-Reset": str(int(NOON.timestamp()) + 20)})
    clock.seconds += 20
    assert await taken(pacer, 1, is_urgent=True) == 0
    clock.seconds += 1
    assert await taken(pacer, 10, is_urgent=True) == 1


async def test_headers_of_nonsense_change_nothing() -> None:
    """A reset in the next century, a negative count, a text: the desk keeps its own."""
    pacer, clock = a_pacer(60)
    pacer.observe(200, {"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "-5"})
    pacer.observe(200, {"X-RateLimit-Limit": "many", "X-RateLimit-Remaining": "²"})
    assert await taken(pacer, 100) == 54
    pacer.observe(429, {"X-RateLimit-Reset": "99999999999"})
    clock.seconds += 62
    assert await taken(pacer, 1, is_urgent=True) == 1


async def test_who_would_wait_too_long_is_told_at_once() -> None:
    """Nobody queues for a minute to be turned away at its end."""
    pacer, _ = a_pacer(60)
    await taken(pacer, 100)
    async with asyncio.timeout(0.5):
        assert not await pacer.take(wait_max_s=0.9)
