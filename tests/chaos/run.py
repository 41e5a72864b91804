"""One chaos run: the club trades, everything breaks, and in the end the books are opened."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from deskd.cli.client import Desk as Control
from deskd.cli.client import DeskNotReachable, NotDone
from tests.chaos import schedule, settled
from tests.chaos.club import BY_HAND
from tests.chaos.schedule import Step, weather
from tests.chaos.settled import MANUAL, REPLACED_BY_HAND
from tests.chaos.world import Child, Journal, below, desk_command, exchange_command, jailed, set_up, speaks_of
from tests.leftovers import sweep_up
from tests.whole.exchange_process import KEYS

SETTLE_S = 300.0  # for the last order's fate: a 429 silences the desk for up to a minute, and others use the machine
END_S = 120.0  # for a desk to stop in order
STORM_ORDERS = 150

HEADERS = {"APCA-API-KEY-ID": KEYS["APCA_API_KEY_ID"], "APCA-API-SECRET-KEY": KEYS["APCA_API_SECRET_KEY"]}


@dataclass(slots=True, kw_only=True)
class Run:
    """What a run has done, and where it left what it made."""

    seed: int
    seconds: float
    folder: Path
    port: int
    journal: Journal
    exchange: Child
    desk: Child
    http: aiohttp.ClientSession
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)  # what went wrong beside the books
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "var"

    @property
    def evidence(self) -> Path:
        """Return where everything was put aside when all was at rest."""
        return self.folder / "evidence"

    # --- the tracks --------------------------------------------------------------------------------------------------

    async def storm(self) -> None:
        """Let both tracks do what they have for this run."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tracks:
            steps = schedule.processes(self.seed, self.seconds)
            tracks.create_task(self._follow(began, steps, self._break_process), name="processes")
            tracks.create_task(
                self._follow(began, schedule.wire(self.seed, self.seconds), self._break_wire), name="wire"
            )
            tracks.create_task(self._watch(began), name="watch")
            tracks.create_task(asyncio.sleep(self.seconds), name="the run's length")

    async def _follow(self, began: float, steps: Any, do: Callable[[Step], Any]) -> None:
        loop = asyncio.get_running_loop()
        for step in steps:
            await asyncio.sleep(max(0.0, began + step.at_s - loop.time()))
            if loop.time() - began > self.seconds:
                return  # steps that took longer than planned pushed it out
            self.journal.write(
                step.what, planned_at_s=step.at_s, lasts_s=step.lasts_s, names=step.names, fault=step.fault
            )
            await do(step)

    async def _watch(self, began: float) -> None:
        """Note how large the desk is, and how soon it answers."""
        loop = asyncio.get_running_loop()
        sizes, waits = [0], [0.0]
        while loop.time() - began < self.seconds:
            await asyncio.sleep(1.0)
            sizes.append(self.desk.rss_mb())
            asked = time.monotonic()
            if await self.look("/status") is not None:
                waits.append(time.monotonic() - asked)
        waits.sort()
        self.figures |= {"rss_max_mb": max(sizes), "answer_median_ms": round(waits[len(waits) // 2] * 1000, 1)}
        self.figures["answer_p99_ms"] = round(waits[int(len(waits) * 0.99)] * 1000, 1)

    async def _break_process(self, step: Step) -> None:
        if step.lives_s is not None:  # on a slow machine it would do nothing but start
            with suppress(TimeoutError):
                await self.desk.ready()
            await asyncio.sleep(step.lives_s)
        match step.what:
            case "kill desk":
                self._kill(self.desk)
            case "kill desk twice":
                self._kill(self.desk)
                await asyncio.sleep(min(step.lasts_s, 3.0))
                self._kill(self.desk)
            case "stop desk":
                self.counts["desk stops"] += self.desk.signal(signal.SIGTERM)
                with suppress(TimeoutError):
                    await self.desk.ended(END_S)
            case "freeze desk":
                self.counts["desk freezes"] += 1
                await self.desk.freeze(step.lasts_s)
            case "kill exchange":
                self._kill(self.exchange)
            case "freeze exchange":
                self.counts["exchange freezes"] += 1
                await self.exchange.freeze(step.lasts_s)
            case "kill both":
                self._kill(self.exchange)
                self._kill(self.desk)
            case "kill strategies":
                self._kill_strategies(step)
            case "restart strategies":
                self.counts["commands"] += 1
                await self.command("/restart", {"names": list(step.names)})
            case "cancel all":
                self.counts["commands"] += 1
                await self.command("/cancel", {"all": True})
            case "trade by hand":
                await self._trade_by_hand(len(step.names))
            case "cancel by hand":
                for order in await self._open_at_the_exchange(step):
                    self.counts["orders canceled by hand"] += 1
                    await self.exchange_does("DELETE", f"/v2/orders/{order['id']}")
            case "replace by hand":
                await self._replace_by_hand(step)
            case "settle":
                await self._settle(step)
            case "storm":
                await self._storm_by_hand()
            case "storm in its sleep":  # all of the news comes at once when it wakes
                self.counts["desk freezes"] += self.desk.signal(signal.SIGSTOP)
                await self._storm_by_hand()
                self.desk.signal(signal.SIGCONT)
            case _:
                raise AssertionError(step.what)

    def _kill(self, child: Child) -> None:
        self.counts[f"{child.name} kills"] += child.signal(signal.SIGKILL)

    def _kill_strategies(self, step: Step) -> None:
        desk = self.desk.process
        if desk is None or desk.returncode is not None:
            return
        for pid in jailed(desk.pid, step.names):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.counts["strategy kills"] += 1

    async def _break_wire(self, step: Step) -> None:
        if await self.exchange_does("POST", "/faults", step.fault):
            for name in step.what.split(" + "):
                self.faults[name] += 1
        await asyncio.sleep(step.lasts_s)
        await self.exchange_does("DELETE", "/faults")

    # --- the account's owner, past the desk --------------------------------------------------------------------------

    async def _trade_by_hand(self, qty: int) -> None:
        """Buy or sell shares that no strategy asked for: the house has to take them."""
        self.counts["manual orders"] += 1
        order = {"symbol": BY_HAND, "qty": str(qty), "side": "buy", "type": "market", "time_in_force": "day"}
        await self.exchange_does(
            "POST", "/v2/orders", order | {"client_order_id": f"{MANUAL}{self.counts['manual orders']}"}
        )

    async def _open_at_the_exchange(self, step: Step) -> list[dict[str, Any]]:
        """Return some open orders of the desk's."""
        found = await self.exchange_does("GET", "/v2/orders?status=open&limit=100")
        limits = [one for one in found or () if one["type"] == "limit" and one["status"] == "new"]
        return [one for one in limits if not one["client_order_id"].startswith(MANUAL)][: len(step.names)]

    async def _replace_by_hand(self, step: Step) -> None:
        """Give open orders another price in the broker's own page: the new ones are their strategies'."""
        for order in await self._open_at_the_exchange(step):
            self.counts["orders replaced by hand"] += 1
            price = Decimal(order["limit_price"]) + (Decimal("0.01") if order["side"] == "buy" else Decimal("-0.01"))
            oid = f"{REPLACED_BY_HAND}{self.counts['orders replaced by hand']}"
            asked = {"limit_price": str(price), "client_order_id": oid}
            await self.exchange_does("PATCH", f"/v2/orders/{order['id']}", asked)

    async def _settle(self, step: Step) -> None:
        """Be the officer who looks into what is frozen, and gives members their shares after a split."""
        self.counts["commands"] += 1
        asked = {"resolve": BY_HAND, "reason": "chaos"} | ({"distribute": "2"} if len(step.names) > 3 else {})
        if await self.command("/reconcile", asked):
            self.counts["settled by an officer"] += 1

    async def _storm_by_hand(self) -> None:
        """Fill the desk's inbox with news of orders that are not its own."""
        self.counts["storms"] += 1
        for number in range(STORM_ORDERS):
            order = {"symbol": "QQQ", "qty": "1", "side": "buy", "type": "limit", "limit_price": "100"}
            oid = f"{MANUAL}storm-{self.counts['storms']}-{number}"
            asked = order | {"time_in_force": "day", "client_order_id": oid}
            answer = await self.exchange_does("POST", "/v2/orders", asked)
            if isinstance(answer, dict) and "id" in answer:
                await self.exchange_does("DELETE", f"/v2/orders/{answer['id']}")

    async def exchange_does(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the exchange; return its answer, or None where it did not do it."""
        try:
            async with self.http.request(method, f"http://127.0.0.1:{self.port}{path}", json=body) as answer:
                text = await answer.json(content_type=None) if answer.status == 200 else True
                return text if answer.status < 300 else None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None

    # --- the desk's own door -----------------------------------------------------------------------------------------

    async def look(self, path: str) -> dict[str, Any] | None:
        try:
            return await asyncio.to_thread(Control(self.state / "run" / "control.sock").look, path)
        except (DeskNotReachable, NotDone, ValueError, OSError):
            return None

    async def command(self, path: str, arguments: Mapping[str, Any]) -> bool:
        try:
            answer = await asyncio.to_thread(Control(self.state / "run" / "control.sock").command, path, arguments)
        except (DeskNotReachable, NotDone, ValueError, OSError):
            return False
        return answer.is_done

    # --- the end -----------------------------------------------------------------------------------------------------

    async def come_to_rest(self) -> None:
        """Faults off, strategies stopped, a last restart; return with everything dead as soon as the books agree.

        Where they never do, that is left to the invariants to say.
        """
        wanted = weather(self.seed)
        await self.exchange_does("DELETE", "/faults")
        await self.exchange.ready()
        await self.desk.ready()
        self.figures["rss_end_mb"] = self.desk.rss_mb()
        async with asyncio.timeout(SETTLE_S):
            while not await self.command("/stop", {"all": True}):  # noqa: ASYNC110  nobody tells when it will do
                await asyncio.sleep(1.0)
        self.desk.signal(signal.SIGKILL if wanted.is_killed_last else signal.SIGTERM)
        await self.desk.ended(END_S)
        await asyncio.sleep(0.5)
        await self.desk.ready()
        self.journal.write("last restart done")
        began = time.monotonic()
        why: str | None = "?"
        while time.monotonic() - began < SETTLE_S:
            await asyncio.sleep(1.0)
            if why := await self._why_not_settled():
                continue
            self.exchange.signal(signal.SIGSTOP)  # the market stands still while the books are compared
            if not (why := await self._why_not_settled()):
                break
            self.exchange.signal(signal.SIGCONT)
        self.figures["settled_after_s"] = round(time.monotonic() - began, 1)
        if why:
            self.journal.write("not settled", why=why)
            self.broken.append(f"the desk did not come to rest within {SETTLE_S:g} s: {why}")
        for child in (self.desk, self.exchange):
            child.is_wanted = False
            child.signal(signal.SIGKILL)
            await child.ended(END_S)
            if child.unasked:
                self.broken.append(f"the {child.name} ended by itself, with codes {child.unasked}: {child.log}")
        self.journal.write("at rest")

    async def _why_not_settled(self) -> str | None:
        status = await self.look("/status")
        cash = None if status is None else Decimal(status["desk"]["cash"])
        return await asyncio.to_thread(settled.why_not, self.state, cash)

    async def leave_nothing(self) -> None:
        """Start once more, and stop in order: nothing of either may be left."""
        async with asyncio.TaskGroup() as keeping:
            for child in (self.exchange, self.desk):
                keeping.create_task(child.keep(), name=child.name)
            await asyncio.sleep(0.5)
            await self.exchange.ready()
            await self.desk.ready()
            assert self.desk.process is not None
            pids = below(self.desk.process.pid)
            for child in (self.desk, self.exchange):
                child.is_wanted = False
                child.signal(signal.SIGTERM)
                await child.ended(END_S)
                if child.process is not None and child.process.returncode != 0:
                    self.broken.append(f"the {child.name} stopped in order with code {child.process.returncode}, not 0")
        left = self._left_behind()
        for _ in range(100):
            if left:
                await asyncio.sleep(0.1)
                left = self._left_behind()
        if left:
            self.broken.append(f"left behind after the end (of {len(pids)} processes): {left[:5]}")

    def _left_behind(self) -> list[str]:
        return [*speaks_of(self.folder), *_cgroups_of(self.state), *_sockets_in(self.state)]

    async def give_up(self) -> None:
        """End what is left, when the run itself fails."""
        for child in (self.desk, self.exchange):
            child.is_wanted = False
            child.signal(signal.SIGCONT)
            child.signal(signal.SIGKILL)


def _cgroups_of(state: Path) -> list[str]:
    remembered = state / "cgroups.json"
    groups = json.loads(remembered.read_text()) if remembered.exists() else []
    return [path for path in groups if Path(path).exists()]


def _sockets_in(state: Path) -> list[str]:
    return [str(path) for path in state.rglob("*") if path.is_socket()]


def a_folder() -> Path:
    """Make a folder that strategies' uids can reach."""
    made = Path(tempfile.mkdtemp(prefix="deskd-chaos-", dir="/tmp"))
    made.chmod(0o711)
    return made


async def run(seed: int, seconds: float, *, pace: float, echoes: bool) -> Run:
    """Do one chaos run; what it made is left in its folder, and its processes are gone."""
    folder = a_folder()
    conditions = weather(seed)
    config, port = set_up(folder, seed, seconds, conditions, pace)
    journal = Journal(folder / "journal.jsonl", echoes=echoes)
    journal.write("run", seed=seed, seconds=seconds, folder=str(folder), weather=str(conditions))
    exchange = Child(
        name="exchange",
        command=exchange_command(config, conditions),
        log=folder / "exchange.log",
        ready_event="exchange_ready",
        journal=journal,
    )
    desk = Child(
        name="desk", command=desk_command(config), log=folder / "desk.log", ready_event="desk_ready", journal=journal
    )
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(headers=HEADERS, timeout=timeout) as http:
        made = Run(
            seed=seed,
            seconds=seconds,
            folder=folder,
            port=port,
            journal=journal,
            exchange=exchange,
            desk=desk,
            http=http,
        )
        try:
            async with asyncio.TaskGroup() as keeping:
                keeping.create_task(exchange.keep(), name="exchange")
                await asyncio.sleep(0.2)
                await exchange.ready()
                keeping.create_task(desk.keep(), name="desk")
                await asyncio.sleep(0.2)
                await desk.ready()
                await made.storm()
                await made.come_to_rest()
            settled.put_aside(made.state, made.evidence)
            await made.leave_nothing()
            made.figures["evidence"] = str(made.evidence)
        except BaseException as error:
            error.add_note(f"kept: {folder}")
            raise
        finally:
            await made.give_up()
            sweep_up(made.state)
    return made


def tidy(run: Run) -> None:
    """Remove what a good run left."""
    shutil.rmtree(run.folder)
