"""A desk that is built, and not started: its broker is an address where nobody is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deskd.app.daemon import Daemon, opened
from deskd.config import BrokerSection, Config, DeskSection, SandboxSection
from deskd.config.keys import BrokerKeys
from deskd.domain import events as ev

KEYS = BrokerKeys("PKTEST", "secret-of-a-test")


def a_config(folder: Path, **sections: Any) -> Config:
    """Return settings of a desk in *folder* that speaks with nobody."""
    (folder / "strategies").mkdir(exist_ok=True)
    nobody = "127.0.0.1:9"
    fields: dict[str, Any] = {
        "desk": DeskSection(state_dir=folder / "var", runtime_dir=folder / "run", strategies_dir=folder / "strategies"),
        "broker": BrokerSection(
            mode="alpaca",
            trading_url=f"http://{nobody}",
            data_url=f"http://{nobody}",
            data_stream_url=f"ws://{nobody}/v2/iex",
            trade_stream_url=f"ws://{nobody}/stream",
        ),
        "sandbox": SandboxSection(unsafe_without_jail=True),
    }
    for name in ("var", "run"):
        (folder / name).mkdir(exist_ok=True)
    return Config(**(fields | sections))


@asynccontextmanager
async def a_built_desk(folder: Path, **sections: Any) -> AsyncIterator[Daemon]:
    async with opened(a_config(folder, **sections), KEYS) as daemon:
        yield daemon


def posted(daemon: Daemon) -> list[ev.Event]:
    """Return what waits in the desk's inbox, and take it out."""
    inbox = daemon.runtime.inbox
    return [inbox.get_nowait() for _ in range(inbox.qsize())]
