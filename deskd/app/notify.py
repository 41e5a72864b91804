"""Tells systemd how the desk is: ready, alive, reloading, stopping, and in one line what it does.

One datagram to the socket that systemd names; where there is none, nothing is said. The watchdog is fed by the event
loop itself: a loop that is blocked stops feeding it, and systemd ends the desk and starts it again.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from deskd.domain.shown import one_line

STATUS_EVERY_S = 10.0  # where no watchdog asks for more
STATUS_MAX = 400  # characters; `systemctl status` shows one line
_FEEDS_PER_WATCH = 3  # so that one late feed is no death


def extend_timeout(seconds: float) -> str:
    """Return what asks systemd to wait so long for the next word, should its own timeout be shorter."""
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}"


@dataclass(frozen=True, slots=True)
class Notifier:
    """systemd's ear. Saying something never blocks and never fails: the desk does not depend on being heard."""

    address: str | None
    watchdog_s: float | None  # systemd ends the desk after so long a silence

    @classmethod
    def of(cls, environment: MutableMapping[str, str], pid: int) -> Self:
        """Take what systemd left in the environment, so that no child of ours finds it there."""
        address = environment.pop("NOTIFY_SOCKET", None)
        usec, meant = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", str(pid))
        watchdog_s = int(usec) / 1e6 if address and usec.isdecimal() and int(usec) and meant == str(pid) else None
        return cls(address, watchdog_s)

    @property
    def every_s(self) -> float:
        """Return how often `keep_telling` tells."""
        return STATUS_EVERY_S if self.watchdog_s is None else min(STATUS_EVERY_S, self.watchdog_s / _FEEDS_PER_WATCH)

    def say(self, *assignments: str, status: str | None = None) -> None:
        """Send the assignments, and the status as one line that people can read."""
        if self.address is None:
            return
        lines = [*assignments, *([f"STATUS={one_line(status)[:STATUS_MAX]}"] if status is not None else [])]
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ear:
                ear.sendto("\n".join(lines).encode(), address)
        except OSError:
            return  # systemd's own watchdog tells who was not heard

    def reloading(self) -> None:
        """Say that a reload began; `say("READY=1")` ends it."""
        self.say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    @asynccontextmanager
    async def telling(self, status: Callable[[], str]) -> AsyncIterator[None]:
        """Keep telling as long as the body runs."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.keep_telling(status), name="watchdog")
            try:
                yield
            finally:
                task.cancel()

    async def keep_telling(self, status: Callable[[], str]) -> None:
        """Feed the watchdog and renew the status, for ever. Each turn is a turn of the loop: it proves the loop lives."""
        while self.address is not None:
            self.say("WATCHDOG=1", status=status())
            await asyncio.sleep(self.every_s)
