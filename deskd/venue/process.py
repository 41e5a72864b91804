"""The exchange as a process: its signals, its ready line, its end with the desk that started it."""

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Mapping

import msgspec
import structlog
import uvloop

from deskd import log as logs
from deskd.domain.errors import ConfigError, LedgerError
from deskd.secrets import Secrets
from deskd.venue.assembly import opened
from deskd.venue.settings import EMBEDDED_KEY, TAPE_ENDED, VenueSettings

_PR_SET_PDEATHSIG = 1

log = structlog.get_logger()


def run(settings: VenueSettings) -> int:
    """Run the exchange as `serve` does; return the exit code. Why it could not go on is said in one sentence."""
    voice = _configure_log(settings)
    try:
        uvloop.run(serve(settings))
    except (ConfigError, LedgerError) as error:
        logs.tell_end("exchange_ended", str(error).splitlines(), front="exchange: ", voice=voice)
        return os.EX_CONFIG if isinstance(error, ConfigError) else 1
    return 0


def _configure_log(settings: VenueSettings) -> logs.Voice:
    """Have the log go where the desk's goes: this process has its standard error."""
    journal = logs.journal_of(settings.log_format, os.environ, sys.stderr)
    pair = {settings.keys.secret_key, settings.keys.key_id} - {EMBEDDED_KEY}
    voice = logs.Voice(Secrets(pair), journal)
    logs.configure(level=settings.log_level, format=settings.log_format, voice=voice)
    return voice


async def serve(settings: VenueSettings) -> None:
    """Run the exchange until SIGTERM or SIGINT.

    Raise ConfigError where it cannot start as told, LedgerError where its state can no longer be written. When it
    answers, one JSON line with its address goes to standard output, and one more when a tape that does not loop has
    ended; everything else goes to standard error.
    """
    _configure_log(settings)
    if settings.die_with_parent:
        _die_with_parent(settings.parent_pid)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gc.disable()  # it would walk through every order of an old account while they are read
    try:
        async with opened(settings) as venue, asyncio.TaskGroup() as beside:
            gc.freeze()  # and so it does not walk through them, and hold the loop, later
            gc.enable()
            _say_ready(settings, venue.url)
            telling = beside.create_task(_tell_end(venue.tape_ended), name="tell the tape's end")
            await stop.wait()
            telling.cancel()
    except ExceptionGroup as group:
        only = group.exceptions[0]
        raise only if isinstance(only, ConfigError | LedgerError) else group from None
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    log.info("exchange_stopped")


def _say_ready(settings: VenueSettings, url: str) -> None:
    keys = "embedded/embedded" if settings.keys.is_default else "from the environment"
    state = str(settings.state) if settings.state else "in memory"
    log.info("exchange_ready", url=url, tape=" ".join(settings.tape), keys=keys, state=state)
    _tell({"event": "exchange_ready", "url": url})


def _tell(event: Mapping[str, str]) -> None:
    """Tell whoever started us, on standard output."""
    sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
    sys.stdout.flush()


async def _tell_end(tape_ended: asyncio.Event) -> None:
    await tape_ended.wait()
    log.info("tape_ended")
    with contextlib.suppress(OSError):  # nobody may listen any more
        _tell({"event": TAPE_ENDED})


def _die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; its state survives that (store.py)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise ConfigError(f"cannot ask to end with the desk: {os.strerror(ctypes.get_errno())}")
    if parent_pid and os.getppid() != parent_pid:
        raise ConfigError("the desk that started this exchange is already gone")
