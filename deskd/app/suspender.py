"""Suspends the broker's account under the desk's kill, and lets it trade again after the release.

Rule 1: it asks again until the broker has done it; what the broker says it never does is told once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, Protocol

import structlog

from deskd.core.desk import Desk
from deskd.core.suspending import is_wanted
from deskd.domain import events as ev
from deskd.domain.kill import THE_DESK
from deskd.ports import Clock

AGAIN_S = 2.0  # after the broker did not answer
log = structlog.get_logger()


class Switch(Protocol):
    """The account's switch at the broker."""

    async def is_suspended(self) -> bool:
        """Tell whether the account is suspended; raise OSError where the broker does not say."""

    async def turn(self, *, is_suspended: bool) -> str | None:
        """Turn it; return why the broker does not do it; raise OSError where there is no clear answer."""


@dataclass(slots=True, kw_only=True)
class Suspender:
    """One task of the desk."""

    desk: Desk
    switch: Switch
    until: Callable[[Callable[[Desk], bool]], Awaitable[None]]
    keep: Callable[[ev.TradingSuspended], Awaitable[None]]
    wall: Clock
    again_s: float = AGAIN_S
    _done: datetime | None = (
        None  # since when the kill holds for which the broker has answered, in this life of the desk
    )

    async def run(self) -> NoReturn:
        """Keep the account as the kills want it until canceled."""
        while True:
            await self.until(self._is_due)
            try:
                await self.step()
            except OSError as error:
                log.warning("account_switch_unanswered", wanted=is_wanted(self.desk), error=str(error))
                await asyncio.sleep(self.again_s)

    def _is_due(self, desk: Desk) -> bool:
        return self._done != self._since() if is_wanted(desk) else desk.kills.suspended is not None

    def _since(self) -> datetime:
        return self.desk.kills.in_force[THE_DESK].since

    async def step(self) -> None:
        """Turn the switch as it is wanted."""
        if is_wanted(self.desk):
            since = self._since()
            if self.desk.kills.suspended is None:
                if await self.switch.is_suspended():
                    log.warning("account_suspended_already", consequence="the desk will not let it trade again")
                    self._done = since
                    return
                await self._keep(is_suspended=True, why="the desk is killed")
            refusal = await self.switch.turn(is_suspended=True)
            self._done = since
            if refusal is not None:
                log.error("account_not_suspended", why=refusal, consequence="only the desk itself refuses orders")
                await self._keep(is_suspended=False, why=refusal)
            return
        refusal = await self.switch.turn(is_suspended=False)
        if refusal is not None:
            raise ConnectionError(refusal)
        await self._keep(is_suspended=False, why="the kill was released")

    async def _keep(self, *, is_suspended: bool, why: str) -> None:
        await self.keep(ev.TradingSuspended(is_suspended=is_suspended, why=why, at=self.wall.now()))
