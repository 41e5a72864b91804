"""The broker's switch follows the desk's kill, whatever the broker answers on the way."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from deskd.app.suspender import Suspender
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.kill import KillDepth
from tests.factories import NOON, a_desk, a_kill, a_release
from tests.runtime.a_live_desk import Wall


@dataclass
class Switch:
    """An account's switch, which may not answer, or refuse."""

    is_on: bool = False
    failures: int = 0
    refusal: str | None = None
    turned: list[bool] = field(default_factory=list)

    async def is_suspended(self) -> bool:
        return self.is_on

    async def turn(self, *, is_suspended: bool) -> str | None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no answer")
        if self.refusal is not None:
            return self.refusal
        self.is_on = is_suspended
        self.turned.append(is_suspended)
        return None


@dataclass
class World:
    """A desk, and what is told of it."""

    switch: Switch
    desk: Desk = field(default_factory=a_desk)
    facts: list[bool] = field(default_factory=list)
    waits: int = 0

    async def keep(self, fact: ev.TradingSuspended) -> None:
        self.facts.append(fact.is_suspended)
        handle(self.desk, fact)

    async def until(self, holds: Callable[[Desk], bool]) -> None:
        while not holds(self.desk):
            self.waits += 1
            await asyncio.sleep(0)

    def suspender(self) -> Suspender:
        return Suspender(desk=self.desk, switch=self.switch, until=self.until, keep=self.keep, wall=Wall(), again_s=0)

    async def settle(self, suspender: Suspender) -> None:
        """Let it run until nothing is due."""
        running = asyncio.get_running_loop().create_task(suspender.run())
        waits = self.waits
        while self.waits < waits + 3:  # noqa: ASYNC110  turns of the loop are what is counted
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])


async def test_a_kill_of_the_desk_suspends_the_account_and_its_release_sets_it_free() -> None:
    """However often the broker does not answer; on record before it is asked, and again when it has answered."""
    world = World(Switch(failures=2))
    suspender = world.suspender()
    await world.settle(suspender)
    assert world.facts == []
    handle(world.desk, a_kill(depth=KillDepth.CANCEL))
    await world.settle(suspender)
    assert (world.switch.turned, world.facts) == ([True], [True])
    world.switch.failures = 2
    handle(world.desk, a_release())
    await world.settle(suspender)
    assert (world.switch.turned, world.facts) == ([True, False], [True, False])


async def test_a_desk_that_died_turns_the_switch_as_its_ledger_says() -> None:
    """On again after a crash before the answer; off where the kill was released meanwhile."""
    world = World(Switch())
    handle(world.desk, a_kill(depth=KillDepth.CANCEL))
    await world.settle(world.suspender())
    world.switch.is_on = False
    await world.settle(world.suspender())
    assert world.switch.turned == [True, True]
    handle(world.desk, a_release())
    await world.settle(world.suspender())
    assert world.switch.turned == [True, True, False]


async def test_what_somebody_else_suspended_stays_suspended() -> None:
    """The desk does not undo what it has not done."""
    world = World(Switch(is_on=True))
    suspender = world.suspender()
    handle(world.desk, a_kill(depth=KillDepth.CANCEL))
    await world.settle(suspender)
    handle(world.desk, a_release())
    await world.settle(suspender)
    assert (world.switch.turned, world.facts, world.switch.is_on) == ([], [], True)


async def test_a_broker_that_does_not_allow_it_is_not_asked_for_ever() -> None:
    """The desk's own lock holds."""
    world = World(Switch(refusal="not for this account"))
    suspender = world.suspender()
    handle(world.desk, a_kill(depth=KillDepth.CANCEL))
    await world.settle(suspender)
    assert (world.facts, world.desk.kills.suspended) == ([True, False], None)
    handle(world.desk, a_release())
    await world.settle(suspender)
    world.switch.refusal = None
    handle(world.desk, a_kill(depth=KillDepth.CANCEL, at=NOON + timedelta(hours=1)))
    await world.settle(suspender)
    assert world.switch.turned == [True]
