"""The process that sends notifications, beside the desk: `python -m deskd.alerts.worker LEDGER OUTBOX FIRST_SEQ DESK PARENT`.

Rule 1: it reads the ledger, decides and keeps the outbox in one thread; every send has a thread of its own.
Rule 2: it ends with the desk: when told so after what is due was sent or STOP_S is over, at the end of input at once.
Rule 3: threads that hang are left behind; after LOST_MAX of them it ends, and the desk starts it anew.
"""

import ctypes
import os
import queue
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from random import SystemRandom
from typing import BinaryIO, assert_never

from deskd.alerts.courier import Attempt, Courier, Trouble
from deskd.alerts.digest import Message
from deskd.alerts.outbox import KEPT, Outbox
from deskd.alerts.plan import Plan
from deskd.alerts.receiver import send
from deskd.alerts.speech import Heard, Told, line, told
from deskd.alerts.tail import LedgerTail
from deskd.domain.errors import LedgerError
from deskd.ledger.fact_reader import FactReader
from deskd.ports import Clock, SystemClock

STOP_S = 2.0  # for what is due to be sent when the desk stops; the rest is sent after the next start
LOST_MAX = 8  # sends that hang
LOOK_S = 60.0  # at the latest, in case a nudge was lost
_PR_SET_PDEATHSIG = 1

type Send = Callable[[str, Message], str | None]


@dataclass(frozen=True, slots=True)
class Ended:
    """A send's thread is done."""

    attempt: Attempt
    problem: str | None


@dataclass(slots=True, kw_only=True)
class Worker:
    """One thread that decides; what it is told and how sends end comes through one queue."""

    tail: LedgerTail
    courier: Courier
    wall: Clock
    say: Callable[[Heard], None]
    send: Send = send
    inbox: "queue.SimpleQueue[Told | Ended | None]" = field(default_factory=queue.SimpleQueue)  # None: end of input
    addresses: dict[str, str] = field(default_factory=dict)
    _failing: set[str] = field(default_factory=set)
    _stop_at: float | None = None

    def run(self) -> None:
        """Work until it is to end."""
        self.courier.start = self._start
        while True:
            try:
                found = self.inbox.get(timeout=self._wait_s())
            except queue.Empty:
                found = Told()
            if not self._take(found):
                return
            while not self.inbox.empty():
                if not self._take(self.inbox.get()):
                    return
            self._look()
            if self._stop_at is not None and (self.courier.is_idle or self.wall.monotonic() >= self._stop_at):
                return
            if self.courier.lost > LOST_MAX:
                return

    def _take(self, found: Told | Ended | None) -> bool:
        """Take one word; return whether to go on."""
        match found:
            case None:
                return False
            case Ended(attempt, problem):
                self._tell(attempt.route, self.courier.ended(attempt, problem, self.wall.now()))
            case Told():
                self.courier.plan = found.plan or self.courier.plan
                if found.addresses is not None:
                    self.addresses = found.addresses
                    self.courier.routes = self.addresses.keys()
                if found.is_stop and self._stop_at is None:
                    self._stop_at = self.wall.monotonic() + STOP_S
            case _:
                assert_never(found)
        return True

    def _look(self) -> None:
        now = self.wall.now()
        self.tail.catch_up(self.courier.plan, now)
        for trouble in self.courier.step(now):
            self._tell(trouble.route, trouble)

    def _tell(self, route: str, trouble: Trouble | None) -> None:
        """Tell the desk's log what changed: the first failure, each death, and that all is well again."""
        if trouble is None:
            if route in self._failing:
                self._failing.discard(route)
                self.say(Heard(route=route, is_well=True))
        elif trouble.dead or route not in self._failing:
            self._failing.add(route)
            self.say(
                Heard(
                    route=route,
                    is_well=False,
                    problem=trouble.problem,
                    failures=trouble.failures,
                    next_at=trouble.next_at,
                    dead=trouble.dead,
                )
            )

    def _wait_s(self) -> float:
        now = self.wall.now()
        wake_at = self.courier.wake_at(now)
        wait_s = LOOK_S if wake_at is None else min(LOOK_S, max((wake_at - now).total_seconds(), 0.001))
        if self._stop_at is not None:
            wait_s = min(wait_s, max(self._stop_at - self.wall.monotonic(), 0.0))
        return wait_s

    def _start(self, attempt: Attempt) -> None:
        address = self.addresses[attempt.route]

        def work() -> None:
            self.inbox.put(Ended(attempt, self.send(address, attempt.message)))

        threading.Thread(target=work, name=f"send on {attempt.route}", daemon=True).start()

    def listen(self, pipe: BinaryIO) -> None:
        """Take what the desk says until it says no more."""
        for text in pipe:
            self.inbox.put(told(text))
        self.inbox.put(None)


def main(arguments: list[str]) -> int:
    """Send what the ledger and the outbox have, until the desk ends."""
    ledger, place, first_seq, desk, parent = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        return 1  # the desk is gone already
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the desk's: it says when to end
    os.setpriority(os.PRIO_PROCESS, 0, max(10, os.getpriority(os.PRIO_PROCESS, 0)))  # the desk may go before others
    wall = SystemClock()
    import_module("apprise")  # now, and not in the first message's time: half a second, more on a loaded machine

    def say(words: Heard) -> None:
        sys.stdout.buffer.write(line(words))
        sys.stdout.buffer.flush()

    try:
        with closing(Outbox(Path(place))) as outbox, FactReader(Path(ledger)) as reader:
            outbox.forget(wall.now() - KEPT)
            worker = Worker(
                tail=LedgerTail(reader, outbox, int(first_seq)),
                courier=Courier(
                    outbox=outbox,
                    desk=desk,
                    plan=Plan(),
                    start=lambda _: None,
                    jitter=SystemRandom().random,
                    routes=(),
                ),
                wall=wall,
                say=say,
            )
            threading.Thread(target=worker.listen, args=(sys.stdin.buffer,), name="desk", daemon=True).start()
            worker.run()
    except (OSError, sqlite3.Error, LedgerError) as error:
        sys.stderr.write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # threads that hang are not waited for
