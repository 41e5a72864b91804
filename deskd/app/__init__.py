"""The composition root: `run` is the whole daemon, from configuration to exit code."""

import asyncio
import faulthandler
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import ModuleType

import structlog
import uvloop

from deskd import log as logs
from deskd.app.examining import examine
from deskd.app.notify import Notifier, extend_timeout
from deskd.app.opening import begun
from deskd.app.terminal import LOOK_AGAIN_S, Terminal
from deskd.config import Config
from deskd.config.keys import BrokerKeys
from deskd.config.load import Loaded
from deskd.domain.errors import BrokerFatal, ConfigError, LedgerError, SandboxUnavailable
from deskd.journal import Journal
from deskd.secrets import Secrets

_STOPPING = "stopping: strategies end, open orders are canceled but for gtc orders"

log = structlog.get_logger()


def run(
    config: Config,
    *,
    keys: BrokerKeys | None,
    read: Callable[[], Loaded] | None = None,
    journal: Journal | None = None,
    doctor: Sequence[str] | None = None,
) -> int:
    """Run the desk until SIGTERM or SIGINT; return the exit code. What went wrong is said in one sentence.

    *read* reads the configuration anew, for a reload; *journal* is where the log goes, under systemd; *doctor* is the
    command that looks at this machine.

    A wrong configuration is 78 however late it shows: another start would end the same, and systemd leaves it alone.
    Under systemd the journal has the reason as an error, a crash's too, and `systemctl status` shows the first.
    """
    voice = logs.Voice(Secrets([keys.secret_key, keys.key_id] if keys else []), journal)
    logs.configure(level=config.log.level, format=config.log.format, voice=voice)
    faulthandler.enable()  # systemd ends a desk that hangs by SIGABRT: where it hung belongs into the journal
    notifier = Notifier.of(os.environ, os.getpid())
    errors: list[BaseException] = []
    try:
        try:
            uvloop.run(_run(config, keys, notifier, voice, read=read, doctor=doctor))
        except* (ConfigError, LedgerError, BrokerFatal, SandboxUnavailable, ChildProcessError) as group:
            errors = _leaves(group)
    except Exception as crash:
        notifier.say(status=f"crashed: {_leaf(crash)!r}; the journal has the rest")
        if journal is None:
            raise  # its traceback is for whoever sits at the terminal
        log.critical("desk_crashed", exc_info=True)
        return 1
    if not errors:
        return 0
    problems = [line for error in errors for line in str(error).splitlines()]
    logs.tell_end("desk_ended", problems, front="deskd: ", voice=voice)
    notifier.say(status=problems[0])
    return os.EX_CONFIG if any(isinstance(error, ConfigError) for error in errors) else 1


def _leaf(error: BaseException) -> BaseException:
    return _leaves(error)[0] if isinstance(error, BaseExceptionGroup) else error


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _leave_the_start_alone() -> None:
    """Turn the collector of circles on again, but for what is there now: a walk through it would hold the loop.

    100,000 orders were measured at 0.3 s, and they stay until the desk ends.
    """
    gc.freeze()
    gc.enable()


def _extended(config: Config) -> Sequence[str]:
    """Ask systemd for the time that all stages together may take: a long grace goes past the unit's TimeoutStopSec."""
    from deskd.app.stopping import stop_max_s  # noqa: PLC0415  imported by then; see `_rest`

    return (extend_timeout(stop_max_s(config.sandbox.stop_grace_s)),)


def _rest() -> ModuleType:
    """Return the rest of the daemon, which takes most of a second to import: the exchange is on its way by then."""
    from deskd.app import daemon  # noqa: PLC0415

    return daemon


async def _reload_when_asked(asked: asyncio.Event, reload: Callable[[str], Awaitable[str]], notifier: Notifier) -> None:
    """Read desk.toml and the strategies' folder anew on SIGHUP."""
    while True:
        await asked.wait()
        asked.clear()
        notifier.reloading()
        notifier.say("READY=1", status=await reload("SIGHUP"))


async def _kill_when_asked(asked: asyncio.Event, pull: Callable[[str], Awaitable[None]]) -> None:
    """Pull the desk's kill on SIGUSR1: whoever may send it need not reach the control socket."""
    while True:
        await asked.wait()
        asked.clear()
        await pull("SIGUSR1")


async def _run(
    config: Config,
    keys: BrokerKeys | None,
    notifier: Notifier,
    voice: logs.Voice,
    *,
    read: Callable[[], Loaded] | None,
    doctor: Sequence[str] | None,
) -> None:
    stop, reload, kill = asyncio.Event(), asyncio.Event(), asyncio.Event()
    main = asyncio.current_task()
    assert main is not None, "a coroutine runs in a task"
    is_up = False

    def on_signal() -> None:
        extended = _extended(config) if is_up else ()
        notifier.say("STOPPING=1", *extended, status=_STOPPING)
        if not is_up and not stop.is_set():
            main.cancel()  # a start may wait long for its broker; nothing has been traded yet
        stop.set()

    gc.disable()  # it would walk through every order again and again while they are made, and find no circle
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    terminal = Terminal()

    def end_without_terminal() -> bool:
        if gone := terminal.is_gone:
            on_signal()
        return gone

    def on_hangup() -> None:
        if not end_without_terminal():
            reload.set()
            loop.call_later(LOOK_AGAIN_S, end_without_terminal)

    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    loop.add_signal_handler(signal.SIGUSR1, kill.set)  # kept until the desk can write it down
    how: Callable[[], str] = partial(str, "starting: reading the ledger")
    notifier.say(status=how())
    try:
        async with (
            notifier.telling(lambda: how()),  # noqa: PLW0108  to the very end; `how` is another by then
            begun(config, keys, goes_first=True) as parts,
            (await asyncio.to_thread(_rest)).built(config, parts, read, voice) as daemon,
            daemon.control.serve(config.desk.runtime_dir),
            daemon.metrics.serve(),
        ):
            _leave_the_start_alone()
            how = partial(str, "starting: reconciling with the broker")
            notifier.say(status=how())
            await daemon.start()
            is_up = True
            await daemon.trade()
            how = daemon.in_one_line
            notifier.say("READY=1", status=how())
            async with asyncio.TaskGroup() as beside:
                asking = [
                    beside.create_task(_reload_when_asked(reload, daemon.reload, notifier), name="reload"),
                    beside.create_task(_kill_when_asked(kill, daemon.kill_triggers.on_signal), name="kill signal"),
                ]
                if doctor is not None:
                    asking.append(beside.create_task(examine(doctor), name="doctor"))
                await stop.wait()
                how = partial(str, _STOPPING)
                log.info("desk_stopping")
                await daemon.stop()
                for task in asking:
                    task.cancel()
    except asyncio.CancelledError:
        if is_up or not stop.is_set():
            raise
    log.info("desk_stopped")
