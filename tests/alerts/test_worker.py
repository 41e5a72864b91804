"""The worker as a process, against real receivers: it sends, survives its own end, and waits for nobody."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deskd.alerts.outbox import opened
from deskd.alerts.plan import Plan
from deskd.alerts.speech import Heard, Told, heard, line
from deskd.domain.notifications import Topic
from deskd.ledger.store import LedgerStore
from tests.alerts.notes import a_note, http_receiver

PLAN = Plan(topics={Topic.SYSTEM_ALERTS: ["club"], Topic.RISK: ["other"]})


@dataclass
class Working:
    """A worker's process."""

    process: asyncio.subprocess.Process

    async def told(self, words: Told) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line(words))
        await self.process.stdin.drain()

    async def heard(self) -> Heard:
        assert self.process.stdout is not None
        return heard(await self.process.stdout.readline())


@asynccontextmanager
async def a_worker(folder: Path) -> AsyncIterator[Working]:
    if not (folder / "desk.db").exists():
        async with await LedgerStore.open(folder / "desk.db"):
            pass
    command = (sys.executable, "-m", "deskd.alerts.worker", folder / "desk.db", folder / "o.db", "0", "club")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*map(str, command), str(os.getpid()), stdin=pipe, stdout=pipe)
    try:
        yield Working(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def keep(folder: Path, *keys: str, topic: Topic = Topic.SYSTEM_ALERTS) -> None:
    with opened(folder / "o.db") as outbox:
        now = a_note().at
        outbox.add([a_note(key, topic=topic) for key in keys], PLAN, now)


def statuses(folder: Path) -> list[str]:
    with opened(folder / "o.db") as outbox:
        return [row["status"] for row in outbox.rows()]


async def test_what_waits_is_sent_and_a_stop_ends_it(tmp_path: Path) -> None:
    """Addresses come over the pipe; what is on its way at the stop arrives before the end."""
    keep(tmp_path, "a")
    async with http_receiver() as receiver, a_worker(tmp_path) as worker:
        await worker.told(Told(plan=PLAN, addresses={"club": receiver.address()}))
        await receiver.came.wait()
        await worker.told(Told(is_stop=True))
        assert await worker.process.wait() == 0
        assert receiver.titles() == ["[club] title of a"]
    assert statuses(tmp_path) == ["sent"]


async def test_a_message_that_was_on_its_way_is_sent_again_after_a_kill(tmp_path: Path) -> None:
    """At least once: what the receiver did not confirm waits in the outbox, and a new worker sends it."""
    keep(tmp_path, "a")
    async with http_receiver() as receiver:
        receiver.is_hanging = True
        async with a_worker(tmp_path) as worker:
            await worker.told(Told(plan=PLAN, addresses={"club": receiver.address()}))
            await receiver.came.wait()
            worker.process.send_signal(signal.SIGKILL)
            await worker.process.wait()
        assert statuses(tmp_path) == ["waiting"]
        receiver.is_hanging = False
        receiver.came.clear()
        async with a_worker(tmp_path) as worker:
            await worker.told(Told(plan=PLAN, addresses={"club": receiver.address()}))
            await receiver.came.wait()
            await worker.told(Told(is_stop=True))
            assert await worker.process.wait() == 0
    assert receiver.titles()[-1] == "[club] title of a"
    assert statuses(tmp_path) == ["sent"]


async def test_a_receiver_that_hangs_holds_up_neither_another_nor_the_end(tmp_path: Path) -> None:
    """The other route's message arrives meanwhile; the stop has its bound; nothing is lost."""
    async with http_receiver() as hanging, http_receiver() as well, a_worker(tmp_path) as worker:
        hanging.is_hanging = True
        keep(tmp_path, "a")
        await worker.told(Told(plan=PLAN, addresses={"club": hanging.address(30), "other": well.address()}))
        await hanging.came.wait()
        keep(tmp_path, "b", topic=Topic.RISK)
        await worker.told(Told())
        await well.came.wait()
        await worker.told(Told(is_stop=True))
        async with asyncio.timeout(20):  # STOP_S and a slow machine; the receiver would take 30 s
            assert await worker.process.wait() == 0
    assert statuses(tmp_path) == ["waiting", "sent"]


async def test_a_failing_route_is_told_of_once_without_its_address(tmp_path: Path) -> None:
    """The desk's log hears why, and that it is well again; the secret stays where it was."""
    keep(tmp_path, "a")
    async with http_receiver() as receiver, a_worker(tmp_path) as worker:
        receiver.status = 500
        await worker.told(Told(plan=PLAN, addresses={"club": receiver.address()}))
        failed = await worker.heard()
        assert (failed.route, failed.is_well, failed.failures) == ("club", False, 1)
        assert "500" in failed.problem
        assert "s3cr3t" not in failed.problem
        receiver.status = 200
        with opened(tmp_path / "o.db") as outbox:
            outbox.sent("nothing", (), a_note().at)
            outbox.retry(a_note().at)
        await worker.told(Told())
        assert await worker.heard() == Heard(route="club", is_well=True)
    assert statuses(tmp_path) == ["sent"]


async def test_it_ends_with_the_desk(tmp_path: Path) -> None:
    """At the end of its input, and where the desk is gone before it began."""
    async with a_worker(tmp_path) as worker:
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        assert await worker.process.wait() == 0
