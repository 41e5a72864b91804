"""deskd that kills itself at a named point: `python -m tests.whole.crashing_desk run --config FILE`.

CRASH_AT   "POINT*N" (any text with no `*` in it, then a number): SIGKILL when the point is crossed for the N-th time.
           Empty: deskd as it is, but for the notes below.
CRASH_NOTE where the point that killed it is written, as the last thing before.
SENT_NOTE  where the client_order_id of every POST of an order is written before it leaves, a line each.

deskd has no hooks for this: what it calls is wrapped here, and SQLite itself tells of each statement that begins.
"""

import asyncio
import functools
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp

from deskd.alpaca.broker import AlpacaBroker
from deskd.alpaca.trading_stream import TradeStream
from deskd.app import daemon, opening
from deskd.app.looks import Looks
from deskd.app.snapshots import Snapshots
from deskd.app.stopping import Stopping
from deskd.app.terms import Terms
from deskd.cli.daemon import main
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.ledger import store
from deskd.ledger.store import LedgerStore
from deskd.runtime import Runtime
from deskd.supervision import versions
from deskd.supervision.launch import Launcher, Prepared
from deskd.supervision.running import Hands
from deskd.supervision.supervisor import Supervisor
from deskd.supervision.versions import Versions
from deskd.venue.child import EmbeddedExchange

# Every point there is; tests/whole/test_crash_points.py dies at each.
POINTS = (
    "a migration: its statements are done",
    "a migration: before the commit",
    "a migration: after the commit",
    "replay: a fact applied",
    "replay: done",
    "exchange: launched",
    "exchange: answers",
    "runs: ready for them",
    "start: done",
    "start: trading",
    "append: called",
    "facts: written, and not what follows from them",
    "facts: before the commit",
    "append: returned",
    "live: a fill applied",
    "effect: before Record",
    "effect: before Submit",
    "effect: after Submit",
    "effect: before Replace",
    "effect: before Cancel",
    "effect: before LookUp",
    "effect: before Reconcile",
    "effect: before Reply",
    "effect: before Tell",
    "submit: called",
    "submit: sent",
    "submit: answered",
    "replace: called",
    "replace: sent",
    "replace: answered",
    "cancel: called",
    "cancel: sent",
    "cancel: answered",
    "look-up: called",
    "look-up: answered",
    "stream: listening",
    "stream: new arrived",
    "stream: partial_fill arrived",
    "stream: fill arrived",
    "stream: fill posted",
    "stream: canceled arrived",
    "look: begins",
    "look: orders are known",
    "look: positions are known",
    "look: taken",
    "snapshot: under way",
    "snapshot: taken",
    "run: started on record, and not yet started",
    "run: prepared",
    "run: its process lives",
    "run: to be ended on record",
    "stop: begins",
    "stop: runs have ended",
    "stop: orders to be canceled",
    "stop: orders canceled",
    "stop: the last fact is on disk",
    "stop: to be closed",
    "stop: closed",
)
# On the way of a deployment; tests/whole/test_deploying.py dies at each.
DEPLOYING = (
    "deploy: checked",
    "deploy: chosen on record",
    "deploy: beside its place, on disk",
    "deploy: exchanged",
    "deploy: the old one removed",
)
WORKER_S = 0.1  # from the start of the worker that takes a snapshot: it lives, and is not done
SENT_WAIT_S = 0.05  # from the request's leaving to the crash: the broker has done it, and nobody has read its answer

_where, _, _times = os.environ.get("CRASH_AT", "").rpartition("*")
_crossings: Counter[str] = Counter()


def note(name: str, text: str) -> None:
    """Append a line to the file that the environment names; the kernel keeps it when we die."""
    if path := os.environ.get(name):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, f"{text}\n".encode())
        os.close(file)


def crossed(point: str) -> None:
    """Die here, if this is where and when."""
    if not point or point != _where:
        return
    assert point in POINTS + DEPLOYING, f"{point} is not in the table"
    _crossings[point] += 1
    if _crossings[point] == int(_times):
        note("CRASH_NOTE", point)
        os.kill(os.getpid(), signal.SIGKILL)


type Named = str | Callable[..., str | None]  # a point, or how the arguments name it; None: no point


def _name(point: Named, *args: Any, **kwargs: Any) -> str:
    return point if isinstance(point, str) else point(*args, **kwargs) or ""


def around(owner: Any, method: str, *, before: Named = "", after: Named = "") -> None:
    """Have *owner*'s method cross the points when it is called, and when it has returned."""
    inner = getattr(owner, method)

    @functools.wraps(inner)
    def plain(*args: Any, **kwargs: Any) -> Any:
        crossed(_name(before, *args, **kwargs))
        result = inner(*args, **kwargs)
        crossed(_name(after, *args, **kwargs))
        return result

    @functools.wraps(inner)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        crossed(_name(before, *args, **kwargs))
        result = await inner(*args, **kwargs)
        crossed(_name(after, *args, **kwargs))
        return result

    setattr(owner, method, awaited if asyncio.iscoroutinefunction(inner) else plain)


# --- the ledger ------------------------------------------------------------------------------------------------------


class Statements:
    """What SQLite begins to do on one connection to the ledger, as points."""

    def __init__(self) -> None:
        self._writes = ""  # what the open transaction has written last

    def __call__(self, statement: str) -> None:
        text = statement.strip()
        match self._writes:
            case "facts" if not text.startswith(("INSERT INTO facts", "COMMIT")):
                crossed("facts: written, and not what follows from them")
                self._writes = "facts and projections"
            case _:
                pass
        if text.startswith("INSERT INTO facts"):
            self._writes = "facts"
        elif "INSERT INTO migrations" in text:
            crossed("a migration: its statements are done")
            self._writes = "migration"
        elif text.startswith("COMMIT"):
            if self._writes == "migration":
                crossed("a migration: before the commit")
            elif self._writes:
                crossed("facts: before the commit")
            self._writes = ""


_connect = sqlite3.connect


def _connected(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = _connect(database, *args, **kwargs)
    if str(database).endswith("desk.db"):
        connection.set_trace_callback(Statements())
    return connection


def wrap_the_ledger() -> None:
    sqlite3.connect = _connected  # type: ignore[assignment]
    around(store, "migrate", after="a migration: after the commit")
    around(LedgerStore, "append", before="append: called", after="append: returned")


# --- the runtime -----------------------------------------------------------------------------------------------------


def wrap_the_desk() -> None:
    """Facts at a replay, and facts live."""
    is_replayed = False

    def applied(_desk: Desk, fact: ev.Fact) -> str:
        if not is_replayed:
            return "replay: a fact applied"
        return "live: a fill applied" if isinstance(fact, ev.OrderFilled) else ""

    around(Desk, "apply", after=applied)
    fold = opening.folded

    async def folded(*args: Any, **kwargs: Any) -> Any:
        nonlocal is_replayed
        result = await fold(*args, **kwargs)
        is_replayed = True
        crossed("replay: done")
        return result

    opening.folded = folded


def wrap_the_runtime() -> None:
    def perform(_runtime: Runtime, effect: Any, _event: Any) -> str:
        return f"effect: before {type(effect).__name__}"

    def performed(_runtime: Runtime, effect: Any, _event: Any) -> str:
        return f"effect: after {type(effect).__name__}"

    around(Runtime, "_perform", before=perform, after=performed)


# --- the broker ------------------------------------------------------------------------------------------------------


def wrap_the_broker() -> None:
    def noted(point: str) -> Callable[..., str]:
        def named(_broker: AlpacaBroker, request: Any, *_rest: Any, **_more: Any) -> str:
            note("SENT_NOTE", request.client_order_id)
            return point

        return named

    around(AlpacaBroker, "submit", before=noted("submit: called"), after="submit: answered")
    around(AlpacaBroker, "replace", before=noted("replace: called"), after="replace: answered")
    around(AlpacaBroker, "cancel", before="cancel: called", after="cancel: answered")
    around(AlpacaBroker, "look_up", before="look-up: called", after="look-up: answered")
    start = aiohttp.ClientResponse.start

    async def sent(self: aiohttp.ClientResponse, connection: Any) -> Any:
        point = {"POST": "submit: sent", "PATCH": "replace: sent", "DELETE": "cancel: sent"}.get(self.method, "")
        if point == _where:
            await asyncio.sleep(SENT_WAIT_S)
            crossed(point)
        return await start(self, connection)

    aiohttp.ClientResponse.start = sent  # type: ignore[method-assign]
    around(EmbeddedExchange, "launch", after="exchange: launched")
    around(EmbeddedExchange, "answers", after="exchange: answers")


def wrap_the_trade_stream() -> None:
    inner = TradeStream.__post_init__

    def built(stream: TradeStream) -> None:
        inner(stream)
        update, state = stream.on_update, stream.on_state

        async def on_update(event: Any) -> None:
            crossed(f"stream: {event.event} arrived")
            await update(event)
            crossed(f"stream: {event.event} posted")

        async def on_state(is_up: bool, why: str) -> None:
            crossed("stream: listening" if is_up else "stream: lost")
            await state(is_up, why)

        stream.on_update, stream.on_state = on_update, on_state

    TradeStream.__post_init__ = built  # type: ignore[assignment, method-assign]


# --- looks at the account --------------------------------------------------------------------------------------------


def wrap_the_look() -> None:
    around(Looks, "take", before="look: begins", after="look: taken")
    around(AlpacaBroker, "positions", before="look: orders are known", after="look: positions are known")


def wrap_the_snapshots() -> None:
    """Have them taken early where that is the matter, and die while the worker is at it."""
    if not _where.startswith("snapshot"):
        return
    defaults = Snapshots.__init__.__kwdefaults__
    assert defaults is not None
    defaults.update(look_every_s=0.1, tail_max=50)
    work = Snapshots._work

    async def worked(self: Snapshots, what: str, *more: str) -> bool:
        if what == "renew":
            asyncio.get_running_loop().call_later(WORKER_S, crossed, "snapshot: under way")
        result = await work(self, what, *more)
        if what == "renew":
            crossed("snapshot: taken")
        return result

    Snapshots._work = worked  # type: ignore[method-assign]


# --- runs ------------------------------------------------------------------------------------------------------------


def wrap_the_supervisor() -> None:
    def ended(_terms: Any, fact: Any) -> str:
        return "run: to be ended on record" if isinstance(fact, ev.RunEnded) else ""

    around(Supervisor, "open", after="runs: ready for them")
    around(Hands, "run_once", before="run: started on record, and not yet started")
    around(Launcher, "prepare", after="run: prepared")
    around(Prepared, "start", after="run: its process lives")
    around(Terms, "on_run_fact", before=ended)


# --- start and stop --------------------------------------------------------------------------------------------------


def wrap_start_and_stop() -> None:
    around(daemon.Daemon, "start", after="start: done")
    around(daemon.Daemon, "trade", after="start: trading")
    around(daemon.Daemon, "stop", before="stop: begins", after="stop: the last fact is on disk")
    around(Supervisor, "stop_all", after="stop: runs have ended")
    around(Stopping, "cancel_open_orders", before="stop: orders to be canceled", after="stop: orders canceled")
    around(daemon.Daemon, "close", before="stop: to be closed", after="stop: closed")


def wrap_deployments() -> None:
    def chosen(_runtime: Runtime, event: Any, *_more: Any) -> str:
        return "deploy: chosen on record" if isinstance(event, ev.VersionChosen) else ""

    around(Supervisor, "examine", after="deploy: checked")
    around(Runtime, "keep", after=chosen)
    around(versions, "_exchange", before="deploy: beside its place, on disk", after="deploy: exchanged")
    around(Versions, "switch", after="deploy: the old one removed")


if __name__ == "__main__":
    wraps: tuple[Callable[[], None], ...] = (
        wrap_the_ledger,
        wrap_the_desk,
        wrap_the_runtime,
        wrap_the_broker,
        wrap_the_trade_stream,
        wrap_the_look,
        wrap_the_snapshots,
        wrap_the_supervisor,
        wrap_start_and_stop,
        wrap_deployments,
    )
    for wrap in wraps:
        wrap()
    main()
