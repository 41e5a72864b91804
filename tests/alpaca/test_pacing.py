"""Turns: who waits, for how long at most, and what is told to who cannot go."""

import asyncio
from datetime import datetime

import pytest

from deskd.alpaca.pacing import LINE_MAX, Pacer
from deskd.domain.ids import StrategyId
from deskd.domain.priority import Priority
from tests.alpaca.rush import HandClock
from tests.factories import NOON

ORDER, CANCEL = Priority.ORDER, Priority.CANCEL


class LoopClock:
    """The loop's own time, so that what waits for a timer waits as long by the clock."""

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def a_pacer(per_min: int | None = 60) -> tuple[Pacer, HandClock]:
    clock = HandClock()
    return Pacer(per_min=per_min, clock=clock), clock


async def taken(pacer: Pacer, tries: int, priority: Priority = ORDER) -> int:
    """Return how many go at once, each of a strategy of its own; each is answered."""
    went = 0
    for n in range(tries):
        if await pacer.take(priority, wait_max_s=0, flow=f"s{n}") is None:
            pacer.answered(200, {})
            went += 1
    return went


async def test_a_burst_goes_at_once_and_leaves_the_reserve() -> None:
    """Of sixty a minute twelve orders go at once; cancels have all that is left."""
    pacer, _ = a_pacer(60)
    assert await taken(pacer, 100) == 12
    assert await taken(pacer, 100, CANCEL) == 48


async def test_no_limit_is_no_limit() -> None:
    """The broker's headers do not bring one back."""
    pacer, _ = a_pacer(None)
    pacer.learn(429, {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0"})
    assert await taken(pacer, 10_000) == 10_000
    assert pacer.figures().limit is None


async def test_who_would_wait_too_long_is_told_at_once() -> None:
    """Nobody queues to be turned away at the end; the figures are in the answer."""
    pacer, _ = a_pacer(60)
    await taken(pacer, 100)
    async with asyncio.timeout(0.5):
        said = await pacer.take(ORDER, wait_max_s=0.9, flow="a")
    assert said == (
        "the broker's limit of 60 requests a minute is used up: used=12 reserve=6 orders_per_min=48; try again later"
    )
    pacer.learn(429, {"Retry-After": "30"})
    said = await pacer.take(ORDER, wait_max_s=0.9, flow="a")
    assert said == "the broker turned requests away and is left alone for 30 s more; try again later"


async def test_a_burst_is_paced_rather_than_refused() -> None:
    """A request that has to wait a little waits; of one strategy, first come, first served."""
    pacer = Pacer(per_min=6_000, clock=LoopClock())  # sixty orders a second
    order: list[int] = []

    async def one(n: int) -> None:
        assert await pacer.take(ORDER, wait_max_s=5, flow="a") is None
        order.append(n)
        pacer.answered(200, {})

    pacer.budget._tokens, pacer.budget._grown_at = 0.0, pacer.clock.monotonic()
    pacer.budget._by_flow.clear()
    async with asyncio.TaskGroup() as tasks:
        for n in range(15):
            tasks.create_task(one(n))
    assert order == sorted(order)


async def test_who_weighs_twice_as_much_gets_two_turns_for_each_of_the_others() -> None:
    """The weights that are in force when an order begins to wait count."""
    pacer = Pacer(per_min=6_000, clock=LoopClock(), weights={StrategyId("heavy"): 2.0})
    went: list[str] = []

    async def one(flow: str) -> None:
        assert await pacer.take(ORDER, wait_max_s=5, flow=flow) is None
        went.append(flow)
        pacer.answered(200, {})

    pacer.budget._tokens, pacer.budget._grown_at = 0.0, pacer.clock.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(6):
            for flow in ("heavy", "plain"):
                tasks.create_task(one(flow))
    assert (went[:9].count("heavy"), went[:9].count("plain")) == (6, 3)


async def test_a_wait_ends_when_it_was_to_end() -> None:
    """What was told to wait half a second at most goes no later: it is answered, and its place is free."""
    pacer = Pacer(per_min=None, clock=LoopClock())
    pacer.budget.learns = True
    pacer.learn(429, {})
    assert await pacer.take(CANCEL, wait_max_s=5) is None, "it tries, and its answer is awaited"
    async with asyncio.timeout(2):
        said = await pacer.take(CANCEL, wait_max_s=0.05)
    assert said is not None
    assert not pacer._waiters
    pacer.answered(200, {})
    assert await pacer.take(CANCEL, wait_max_s=0.05) is None


async def test_a_strategys_line_is_bounded() -> None:
    """Twenty orders wait; the next is told so, and a new one would wait for ever."""
    pacer, _ = a_pacer(60)
    await taken(pacer, 100)
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(pacer.take(ORDER, wait_max_s=600, flow="a")) for _ in range(LINE_MAX)]
        await asyncio.sleep(0)
        assert pacer.figures().waiting == {"a": LINE_MAX}
        assert pacer.order_wait_s("a") == float("inf")
        assert pacer.order_wait_s("b") < 10
        said = await pacer.take(ORDER, wait_max_s=600, flow="a")
        assert said == "20 orders of this strategy wait for their turn already"
        pacer.withdraw("the stream is down")
    assert {one.result() for one in waiting} == {"the stream is down"}


async def test_an_order_can_be_withdrawn_by_its_name() -> None:
    """It does not go; the others keep their turns, and so do cancels."""
    pacer, _ = a_pacer(60)
    await taken(pacer, 100)
    async with asyncio.TaskGroup() as tasks:
        one = tasks.create_task(pacer.take(ORDER, wait_max_s=600, flow="a", name="one"))
        two = tasks.create_task(pacer.take(ORDER, wait_max_s=600, flow="a", name="two"))
        await asyncio.sleep(0)
        pacer.withdraw("canceled", "one")
        assert await one == "canceled"
        assert pacer.figures().waiting == {"a": 1}
        assert not two.done()
        pacer.withdraw("down")


async def test_who_is_asked_before_it_leaves_may_stay() -> None:
    """Its turn is nobody's loss: it was not used."""
    pacer, clock = a_pacer(60)
    assert await pacer.take(ORDER, wait_max_s=0, flow="a", leaves=lambda: "canceled") == "canceled"
    assert pacer.figures().used == 0
    await taken(pacer, 100)
    async with asyncio.TaskGroup() as tasks:
        stays = tasks.create_task(pacer.take(ORDER, wait_max_s=600, flow="a", leaves=lambda: "canceled"))
        await asyncio.sleep(0)
        clock.seconds += 61
        pacer.learn(200, {})
        assert await stays == "canceled"
    assert pacer.figures().used == 0


async def test_a_caller_that_goes_away_leaves_nothing_behind() -> None:
    """Whether it waited still, or its turn had just come."""
    pacer, clock = a_pacer(60)
    await taken(pacer, 100)
    waits = asyncio.create_task(pacer.take(ORDER, wait_max_s=600, flow="a"))  # noqa: TID251  it is canceled alone
    await asyncio.sleep(0)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert pacer.figures().waiting == {}
    given = asyncio.create_task(pacer.take(ORDER, wait_max_s=600, flow="a"))  # noqa: TID251  it is canceled alone
    await asyncio.sleep(0)
    clock.seconds += 61
    pacer.learn(200, {})
    given.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given
    assert pacer.figures().used == 0


async def test_the_figures_are_there_for_people() -> None:
    """Limit, used, reserve, how often the broker turned something away, and for how long it is left alone."""
    pacer, _ = a_pacer(200)
    await taken(pacer, 10)
    pacer.unanswered() if await pacer.take(CANCEL, wait_max_s=0) is None else None
    figures = pacer.figures()
    assert (figures.limit, figures.used, figures.reserve, figures.turned_away) == (200, 11, 20, 0)
    pacer.learn(429, {"X-RateLimit-Remaining": "0", "Retry-After": "7"})
    figures = pacer.figures()
    assert (figures.used, figures.turned_away, figures.pause_s) == (200, 1, 7)
    if await pacer.take(CANCEL, wait_max_s=0) is None:
        pacer.not_sent()
