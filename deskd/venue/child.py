"""The embedded exchange as the desk's child process: started, watched, started again, and gone with the desk."""

import asyncio
import json
import os
import sys
from dataclasses import replace

import structlog

from deskd.domain.errors import ConfigError
from deskd.venue.settings import TAPE_ENDED, VenueSettings, encode

READY_S = 60.0  # a tape of a whole day is read first
RESTART_WAIT_S = 1.0
STOP_S = 5.0

_DID_NOT_START = "the embedded exchange did not start: its message above says why"

log = structlog.get_logger()


class EmbeddedExchange:
    """Runs `python -m deskd.venue` with *settings*. Its account is its own file: a restart finds it unchanged."""

    def __init__(self, settings: VenueSettings) -> None:
        self._settings = replace(
            settings,
            die_with_parent=True,
            parent_pid=os.getpid(),
            waits_for_listener=settings.waits_for_listener or not settings.speed,
        )
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> str:
        """Return the address once it answers there.

        Raise ConfigError where it cannot start as told, ChildProcessError where it fell; it has said why itself.
        """
        await self.launch()
        return await self.answers()

    async def answers(self) -> str:
        """Return the address of the one that was launched, once it answers there; raise as `start` does."""
        if code := await self._ready():
            raise (ConfigError if code == os.EX_CONFIG else ChildProcessError)(_DID_NOT_START)
        return self.url

    async def watch(self) -> None:
        """Start it again whenever it dies, on the same port, so that everybody finds it where it was.

        Raise ChildProcessError where that fails.
        """
        while True:
            assert self._process is not None, "start comes first"
            code = await self._process.wait()
            log.error("exchange_died", exit_code=code)
            await asyncio.sleep(RESTART_WAIT_S)
            await self.launch()
            if await self._ready():
                raise ChildProcessError(_DID_NOT_START)  # it was told right once: a new start of the desk may do

    async def tape_ends(self) -> None:
        """Return when a tape that does not loop has ended; raise ChildProcessError where it died before."""
        process = self._process
        assert process is not None, "start comes first"
        assert process.stdout is not None
        async for line in process.stdout:
            if json.loads(line)["event"] == TAPE_ENDED:
                return
        raise ChildProcessError("the embedded exchange died before its tape had ended: its message above says why")

    async def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def launch(self) -> None:
        """Start its process, and tell it what to play."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "deskd.venue",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the desk's terminal is the desk's alone
        )
        self._process = process
        assert process.stdin is not None
        process.stdin.write(encode(self._settings))
        process.stdin.close()

    async def _ready(self) -> int:
        """Return 0 once it is ready, or its exit code where it ended before."""
        process = self._process
        assert process is not None, "launch comes first"
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = await process.stdout.readline()
        except TimeoutError:
            await self.stop()
            raise ChildProcessError(
                f"the embedded exchange was not ready after {READY_S:g} s: its messages above may say why; a smaller "
                "tape is read faster"
            ) from None
        if not line:
            return await process.wait() or 1
        self.url = json.loads(line)["url"]
        self._settings = replace(self._settings, listen=self.url.removeprefix("http://"))
        return 0
