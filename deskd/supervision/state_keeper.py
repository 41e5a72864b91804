"""Keeps a run's /state: takes hold of it when the jail is up, saves it now and then, and once more when the run is over.

The hold is a descriptor that the runner sends before the script begins. It needs no right of ours on the jail's
processes, and the files live as long as somebody holds it: a killed run's last words are kept, too.
"""

import array
import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from deskd.config import SandboxSection
from deskd.domain.ids import StrategyId
from deskd.domain.strategy import StateUse
from deskd.supervision.state import Bounds, Signature, StateError, kept, save
from deskd.supervision.uids import Identity

ROOT_FILES = 1  # the kernel counts the root, too
_REST = 20  # a save that took a second is not followed by another within so many: a busy disk stays usable
_NEARLY_FULL = 0.9

log = structlog.get_logger()


def bounds_of(section: SandboxSection) -> Bounds:
    """Return how much each strategy may keep."""
    return Bounds(bytes_max=section.state_mb * 2**20, files_max=section.state_files)


def check_fits(file: Path, bounds: Bounds) -> None:
    """Raise StateError where what is kept is more than a /state of these bounds takes."""
    use = kept(file)
    if use is not None and (use.bytes > bounds.bytes_max or use.files > bounds.files_max):
        raise StateError(
            f"{file}: it kept {use.bytes / 2**20:.1f} MB in {use.files} files, more than [sandbox] "
            f"state_mb={bounds.bytes_max >> 20} and state_files={bounds.files_max} let in: raise them, or move the file "
            "away to start empty"
        )


@dataclass(slots=True, kw_only=True)
class StateKeeper:
    """The /state of one run. `offer` before the run starts, `keep` while it lives, `finish` when nothing of it is left."""

    strategy_id: StrategyId
    file: Path
    who: Identity
    section: SandboxSection
    channel: int  # our end of the socket to the runner; the keeper closes it
    turns: asyncio.Semaphore  # so many saves at a time, of all runs
    _hold: int | None = None
    _last: Signature | None = None
    _is_full: bool = False
    _left_out: frozenset[str] = frozenset()
    _told: frozenset[str] = frozenset()
    _saving: "asyncio.Future[str | None] | None" = None  # a canceled wait does not stop the thread

    def offer(self) -> None:
        """Lay what was kept ready for the runner: it finds it when it comes up."""
        try:
            archive = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            with self._socket() as desk:
                socket.send_fds(desk, [b"k"], [archive])
        finally:
            os.close(archive)

    async def keep(self, note: Callable[[str], None]) -> None:
        """Save whenever something has changed, until canceled. *note* adds a line to the strategy's log."""
        await self._take_hold()
        loop, pause = asyncio.get_running_loop(), self.section.state_save_s
        while self._hold is not None:
            await asyncio.sleep(pause)
            self._tell_use(note)
            began = loop.time()
            await self._save(note)
            pause = max(self.section.state_save_s, _REST * (loop.time() - began))

    async def finish(self, note: Callable[[str], None]) -> None:
        """Save for the last time, and let go. Nothing of the run is left, so nothing moves. A second call does nothing."""
        try:
            self._receive()
            if self._hold is not None:
                self._tell_use(note)
                await self._save(note)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of it, unsaved; a second call does nothing."""
        hold, self._hold = self._hold, None
        channel, self.channel = self.channel, -1
        if channel >= 0:
            os.close(channel)
        if hold is None:
            return
        if self._saving is None or self._saving.done():
            os.close(hold)
        else:  # a thread still reads there, and the number must not become somebody else's
            self._saving.add_done_callback(lambda _: os.close(hold))

    def use(self) -> StateUse | None:
        """Return how much of it is in use; None where the jail is not up. Never blocks: the kernel keeps the figures."""
        if self._hold is None:
            return None
        figures, bounds = os.fstatvfs(self._hold), bounds_of(self.section)
        return StateUse(
            bytes=(figures.f_blocks - figures.f_bfree) * figures.f_frsize,
            bytes_max=bounds.bytes_max,
            files=figures.f_files - figures.f_ffree - ROOT_FILES,
            files_max=bounds.files_max,
        )

    # --- the hold ----------------------------------------------------------------------------------------------------

    async def _take_hold(self) -> None:
        loop, said = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.channel, said.set)
        try:
            await said.wait()
        finally:
            loop.remove_reader(self.channel)
        self._receive()

    def _receive(self) -> None:
        """Take the hold, if it was sent: the jail may have ended before, or never come up."""
        if self._hold is not None or self.channel < 0:
            return
        rights = array.array("i")
        with self._socket() as desk:
            try:
                _, said, *_ = desk.recvmsg(1, socket.CMSG_SPACE(rights.itemsize), socket.MSG_DONTWAIT)
            except OSError:
                return
        for _, _, data in said:
            rights.frombytes(data[: rights.itemsize])
            self._hold = rights[0]
            os.set_inheritable(self._hold, False)

    def _socket(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self.channel))

    # --- saving ------------------------------------------------------------------------------------------------------

    async def _save(self, note: Callable[[str], None]) -> None:
        async with self.turns:
            if self._saving is not None and not self._saving.done():
                await asyncio.wait([self._saving])  # of a wait that was canceled: the thread went on
            assert self._hold is not None
            self._saving = asyncio.get_running_loop().run_in_executor(None, self._save_now, self._hold)
            problem = await asyncio.shield(self._saving)
        if problem is not None:
            log.error(
                "state_not_saved",
                strategy_id=self.strategy_id,
                problem=problem,
                consequence="what it has changed in /state since the last save is lost when its run ends",
            )
            note(f"the desk could not save /state: {problem}")
        for text in sorted(self._left_out - self._told):
            note(f"/state: not kept: {text}")
        self._told |= self._left_out

    def _save_now(self, hold: int) -> str | None:
        """Save, in a thread; return what kept it from being saved."""
        try:
            saved = save(hold, self.file, self.who, bounds_of(self.section), self._last)
        except StateError as error:
            return str(error)
        except OSError as error:
            return f"{error.strerror or error}: look at the disk that holds {self.file.parent}"
        self._last = saved.signature
        self._left_out = frozenset(saved.left_out)
        return None

    def _tell_use(self, note: Callable[[str], None]) -> None:
        """Tell once that /state is nearly full, and again after there was room."""
        use = self.use()
        assert use is not None
        is_full = use.bytes >= _NEARLY_FULL * use.bytes_max or use.files >= _NEARLY_FULL * use.files_max
        if is_full and not self._is_full:
            text = f"{use.bytes / 2**20:.1f} of {use.bytes_max >> 20} MB, {use.files} of {use.files_max} files"
            log.warning("state_nearly_full", strategy_id=self.strategy_id, used=text)
            note(f"/state is nearly full ({text}): writes beyond that fail with ENOSPC; remove what is not needed")
        self._is_full = is_full
