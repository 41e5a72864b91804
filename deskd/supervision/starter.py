"""The one thread that starts a desk's runs: they die with it, so it lives as long as the desk has runs.

A start waits until the child got a core. On the loop's own thread everybody's lines and orders would wait with it.

Rule 1: the thread ends when it is closed, and never before: whatever a start raises goes to whoever asked for it.
Rule 2: a desk may go before all others (deskd/app/time_slice.py). What this thread starts does not.
Rule 3: a run that nobody waits for any more, because who asked was canceled, is ended before that is told.
"""

import asyncio
import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from deskd.supervision.spawn import Child

type _Asked = tuple[Callable[[], Child], Future[Child]]

log = structlog.get_logger()


@dataclass(slots=True)
class Starter:
    """Starts processes, one after the other. `close` when none of them is left."""

    _asked: "queue.SimpleQueue[_Asked | None]" = field(default_factory=queue.SimpleQueue, init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        _keep_what_is_open()
        self._thread = threading.Thread(target=self._work, name="starts runs", daemon=True)  # a crash waits for nobody
        self._thread.start()

    async def start(self, work: Callable[[], Child]) -> Child:
        """Have *work* done by the thread; return the child, or raise what it raised."""
        asked: Future[Child] = Future()
        self._asked.put((work, asked))
        waiting = asyncio.wrap_future(asked)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            await _end(waiting)
            raise

    def close(self) -> None:
        """End the thread, and with it whatever it started and is still there; a second call does nothing."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), max(0, os.getpriority(os.PRIO_PROCESS, 0)))
            while (one := self._asked.get()) is not None:
                work, asked = one
                try:
                    asked.set_result(work())
                except Exception as error:  # noqa: BLE001  it is told to whoever asked
                    asked.set_exception(error)
        except BaseException:
            # The kernel now kills every run, and each would be told that its strategy was killed: end as a desk that
            # crashed, and start again with all of them.
            log.critical("starter_died", exc_info=True)
            os.kill(os.getpid(), signal.SIGABRT)


async def _end(waiting: "asyncio.Future[Child]") -> None:
    with contextlib.suppress(Exception):
        child = await waiting
        child.kill()
        await asyncio.to_thread(child.wait)


def _keep_what_is_open() -> None:
    """Have what this process was given by its own parent closed at an exec, as all is that it opens itself."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if (descriptor := int(name)) > 2:  # the standard ones are replaced
            with contextlib.suppress(OSError):  # that of the listing is gone
                os.set_inheritable(descriptor, False)
