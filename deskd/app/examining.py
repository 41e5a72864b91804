"""What the doctor finds at a start, in the log: `deskctl doctor --brief`, by a process of its own once the desk is ready.

It delays no start and no order: it runs after both, at the lowest priority, and is ended where it takes long.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import msgspec
import structlog

WAIT_S = 5.0  # strategies start first
TIMEOUT_S = 60.0
_IDLE = ("nice", "-n", "19")

log = structlog.get_logger()


async def examine(command: Sequence[str], *, wait_s: float = WAIT_S, timeout_s: float = TIMEOUT_S) -> None:
    """Log what the command's rows say of this machine: each that is not good as a warning, with its remedy."""
    await asyncio.sleep(wait_s)
    try:
        rows = await _rows(command, timeout_s)
    except (OSError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
        log.warning("machine_not_examined", why=str(error) or type(error).__name__, remedy="run: deskctl doctor")
        return
    for row in rows:
        log.warning("machine_not_good", **{key: row.get(key) for key in ("check", "verdict", "found", "remedy")})


async def _rows(command: Sequence[str], timeout_s: float) -> Sequence[Mapping[str, str | None]]:
    process = await asyncio.create_subprocess_exec(
        *_IDLE, *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(timeout_s):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return msgspec.json.decode(said, type=list[dict[str, str | None]])
