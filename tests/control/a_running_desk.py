"""A control socket over small fakes of the ports and a real ledger, for the tests of the door and of deskctl."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from deskd.alerts.outbox import opened
from deskd.alerts.plan import Plan
from deskd.config import Config
from deskd.control import Control
from deskd.control.building import BuildRoute
from deskd.control.deploying import DeployRoutes
from deskd.control.events import EventRoutes
from deskd.control.instruments import InstrumentRoute
from deskd.control.jail import JailRoute
from deskd.control.jobs import JobRoutes
from deskd.control.kill import KillRoutes, view
from deskd.control.ledger import LedgerRoutes
from deskd.control.live_events import LiveEvents
from deskd.control.notifications import NotificationRoutes
from deskd.control.people import Caller
from deskd.control.reconciling import Reconciling
from deskd.control.reloading import ReloadRoute
from deskd.control.stages import StageRoutes
from deskd.control.why import WhyRoute
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.book import Account, Position
from deskd.domain.effects import Record, Refuse
from deskd.domain.errors import ConfigError, SandboxUnavailable
from deskd.domain.ids import ClientOrderId, RunId, StrategyId, Symbol, UserId
from deskd.domain.job import JobName
from deskd.domain.look import Look
from deskd.domain.market import Instrument, MarketClock
from deskd.domain.money import Price
from deskd.domain.notifications import Notification, Topic
from deskd.domain.order import Order, OrderRequest, OrderStatus, Replacement
from deskd.domain.reasons import RefusalReason
from deskd.domain.run import ExitReason, RunEnd, RunStatus
from deskd.domain.strategy import BrokenStrategy, Channel, Liveness, StateUse, StrategySpec
from deskd.jobs.plan import Times
from deskd.jobs.runner import Done, Failed, JobRunner
from deskd.ledger.fact_reader import FactReader
from deskd.ledger.projections import project
from deskd.ledger.queries import LedgerReader
from deskd.ledger.store import LedgerStore
from deskd.ports import RawMarketMessage, SystemClock
from deskd.supervision.deploying import Deployer
from deskd.supervision.discovery import Defaults, discover_one
from deskd.supervision.versions import Versions
from deskd.supervision.walls import Row, Verdict, Wall
from deskd.wire.drop_copy import DropCopy
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    DAY,
    MONDAY,
    NOON,
    a_desk,
    a_limit_request,
    a_quote,
    a_request,
    a_snapshot,
    accepted,
    filled,
    requested,
)
from tests.ledger.life import KEY

WRECK = StrategyId("wreck")
PLAN = Plan(
    topics={Topic.RISK: ["club", "phone"], Topic.SYSTEM_ALERTS: ["club", "mail"], Topic.SCANNER: ["club"]},
    members={UserId("ben"): ["ben"]},
)
OFFICER = Caller(uid=0, name="ada", is_officer=True)
MEMBER = Caller(uid=1001, name="alice", is_officer=False)


def a_spec(name: StrategyId) -> StrategySpec:
    return StrategySpec(
        strategy_id=name,
        user_id=UserId(name),
        name=name,
        description="",
        version="1",
        path=Path("/strategies") / name,
        code_hash="0",
        symbols=(AAPL,),
        channels=frozenset({Channel.TRADES}),
        env={},
        limits={},
        history=None,
        is_enabled=True,
    )


@dataclass
class FakeRuns:
    """Strategies that run because somebody said so."""

    logs: Path
    found: list[StrategySpec | BrokenStrategy] = field(
        default_factory=lambda: [
            a_spec(ALICE),
            a_spec(BOB),
            BrokenStrategy(
                strategy_id=WRECK, path=Path("/strategies/wreck"), problem="strategy.py: line 1: bad syntax"
            ),
        ]
    )
    running: set[StrategyId] = field(default_factory=lambda: {ALICE})
    outdated: set[StrategyId] = field(default_factory=set)  # their folders changed since they were started
    has_jails: bool = True
    walls: list[Row] = field(
        default_factory=lambda: [Row(wall=Wall.NO_PROC, probe="list /proc", result=Verdict.HOLDS, found="'ENOENT'")]
    )
    built: list[str] = field(default_factory=list)  # what new versions asked for
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    may_stop: asyncio.Event | None = None

    def strategies(self) -> Sequence[StrategySpec | BrokenStrategy]:
        return self.found

    async def reread(self) -> None:
        await asyncio.sleep(0)

    async def examine(self, folder: Path) -> StrategySpec | BrokenStrategy:
        desk = Config()
        defaults = Defaults(market=desk.market, risk=desk.risk.strategy)
        return await asyncio.to_thread(discover_one, folder, defaults, lambda sources: [None] * len(sources))

    async def start(self, strategy_id: StrategyId) -> None:
        if not self.has_jails:
            raise SandboxUnavailable("no namespaces here: run the desk as root")
        self.running.add(strategy_id)

    async def test_jail(self) -> Sequence[Mapping[str, str]]:
        if not self.has_jails:
            raise SandboxUnavailable("no namespaces here: run the desk as root")
        return [row.as_dict() for row in self.walls]

    async def stop(self, strategy_id: StrategyId) -> None:
        self.stopping.set()
        if self.may_stop is not None:
            await self.may_stop.wait()
        self.running.discard(strategy_id)

    async def restart(self, strategy_id: StrategyId) -> None:
        await self.stop(strategy_id)
        await self.start(strategy_id)

    async def is_to_be_built(self, folder: Path) -> bool:
        await asyncio.sleep(0)
        return (folder / "requirements.txt").exists() and not self.built

    async def build(self, strategy_id: StrategyId, folder: Path | None = None) -> str:
        await asyncio.sleep(0)
        if folder is not None:
            self.built.append((folder / "requirements.txt").read_text())
        if strategy_id == WRECK:
            raise ValueError("requirements.txt: line 1: `-e .`: an editable checkout")
        return "built ta 0.11.0"

    def status(self, strategy_id: StrategyId) -> RunStatus:
        return RunStatus.RUNNING if strategy_id in self.running else RunStatus.STOPPED

    def liveness(self, strategy_id: StrategyId) -> Liveness | None:
        if strategy_id not in self.running:
            return None
        return Liveness(
            pid=4711,
            uptime=timedelta(minutes=2, seconds=5),
            lines_delivered=120,
            lines_handled=118,
            lines_dropped=0,
            lines_waiting=2,
            memory_bytes=20 * 2**20,
            cpu_seconds=1.5,
            is_outdated=strategy_id in self.outdated,
            state=StateUse(bytes=4_096, bytes_max=64 << 20, files=1, files_max=4_096),
        )

    def last_end(self, strategy_id: StrategyId) -> RunEnd | None:
        return RunEnd(reason=ExitReason.OOM, detail="used more than 512 MB") if strategy_id == BOB else None

    def log_path(self, strategy_id: StrategyId) -> Path:
        return self.logs / f"{strategy_id}.log"


@dataclass
class FakeOrders:
    """The desk's own memory, without the runtime around it; a cancel is answered at once."""

    desk: Desk

    def refusal(self) -> Refuse | None:
        return None

    async def place(self, request: OrderRequest, *, timeout_s: float) -> Order | Refuse:
        raise AssertionError("the control socket does not ask for this")

    async def replace(
        self,
        strategy_id: StrategyId | None,
        replacement: Replacement,
        *,
        client_order_id: ClientOrderId,
        by: str,
        timeout_s: float,
    ) -> Order | Refuse:
        asked = ev.ReplaceRequested(
            client_order_id=client_order_id,
            replacement=replacement,
            quote=a_quote(),
            market_day=MONDAY,
            by=by,
            at=NOON,
        )
        refused = [e for e in handle(self.desk, asked) if isinstance(e, Refuse)]
        if refused:
            return refused[0]
        new = self.desk.orders[client_order_id]
        if new.status is OrderStatus.SUBMITTED:
            handle(self.desk, accepted(new.request))
        return self.desk.orders[client_order_id]

    async def cancel(self, strategy_id: StrategyId | None, order_id: str, *, by: str) -> Order | Refuse:
        order = self.desk.orders[ClientOrderId(order_id)]
        if not order.status.is_open:
            return Refuse(order.request.client_order_id, RefusalReason.ORDER_FINAL, f"it is {order.status} already")
        handle(self.desk, ev.CancelRequested(client_order_id=order.request.client_order_id, by=by, at=NOON))
        return self.desk.orders[order.request.client_order_id]

    def find(self, strategy_id: StrategyId | None, order_id: str) -> Order | None:
        return self.desk.orders.get(ClientOrderId(order_id))

    def orders(self, strategy_id: StrategyId | None, *, is_open: bool | None = None) -> Sequence[Order]:
        return [
            order
            for order in self.desk.orders.values()
            if strategy_id in {None, order.request.strategy_id} and is_open in {None, order.status.is_open}
        ]

    def is_shut_out(self, order: Order) -> bool:
        raise AssertionError("the control socket does not ask for this")

    def positions(self, strategy_id: StrategyId | None) -> Sequence[Position]:
        books = self.desk.portfolio.books.values()
        return [p for b in books if strategy_id in {None, b.strategy_id} for p in b.positions.values() if p.qty]

    def account(self, strategy_id: StrategyId) -> Account | None:
        return self.desk.account(strategy_id)

    async def clock(self) -> MarketClock:
        raise AssertionError("the control socket does not ask for this")

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        raise AssertionError("the control socket does not ask for this")


A_DIFF = [
    {"key": "risk.strategy.allocation", "old": "10000", "new": "500", "applies": "applied"},
    {"key": "api.local_port", "old": "0", "new": "8080", "applies": "needs restart"},
]
A_DEATH = RunEnd(
    reason=ExitReason.OOM,
    detail="it used 512 MiB of 512 MiB of memory",
    peak_memory_bytes=512 << 20,
    memory_max_bytes=512 << 20,
    memory_growth_bytes=380 << 20,
    cpu_seconds=1.5,
    throttled_seconds=0.25,
    throttled_periods=3,
    periods=12,
    lines_delivered=10,
    lines_handled=9,
    last_line="{}\n",
    traceback="Traceback",
    source_line="strategy.py:3: go()",
    output=("up", "\x1b[2Jboo"),
)


@dataclass
class RunningDesk:
    """What a test has in its hands."""

    folder: Path
    config: Path
    socket: Path
    runs: FakeRuns
    commands: list[ev.CommandGiven]
    control: Control
    desk: Desk
    store: LedgerStore
    live: LiveEvents
    held: list[str]
    reloads: list[tuple[str, bool]]  # who asked, and whether only to look
    reload_problems: list[str]  # of the file
    notices: list[ev.NoticeGiven]
    fates: dict[str, str]  # what becomes of messages, by route: empty, or a problem; else they wait
    market: dict[str, object]  # what the desk knows of the market's time
    instruments: dict[Symbol, Instrument]  # as the broker lists them

    async def happens(self, *events: ev.Event) -> None:
        """Let each be decided, committed, and told, as the runtime does."""
        for event in events:
            facts = [effect.fact for effect in handle(self.desk, event) if isinstance(effect, Record)]
            await self.store.append(facts, project(facts, self.desk))
            for fact in facts:
                self.live(fact)


@asynccontextmanager
async def a_running_desk(
    folder: Path, *, caller: Caller = OFFICER, stall_s: float = 60.0
) -> AsyncIterator[RunningDesk]:
    """Serve a desk on which alice has bought 10 AAPL and rests a limit order, and bob rests one, too."""
    config, ledger = folder / "desk.toml", folder / "desk.db"
    config.write_text('[desk]\nstate_dir = "var"\ndb_path = "desk.db"\nruntime_dir = "run"\n')
    logs = folder / "logs"
    logs.mkdir()
    strategies = folder / "strategies"
    strategies.mkdir()
    store = await LedgerStore.open(ledger)
    desk = await _traded(store)
    copy = DropCopy()
    copy.take_over(desk.open_orders(), desk.strategies.values())
    live = LiveEvents(copy, store.last_seq, FactReader(ledger))
    runs, commands = FakeRuns(logs=logs), list[ev.CommandGiven]()

    async def post(command: ev.CommandGiven) -> None:
        commands.append(command)

    async def keep(event: ev.Event) -> None:
        if isinstance(event, ev.CommandGiven):
            await post(event)
        handle(desk, event)

    async def tell(said: Notification) -> None:
        with opened(folder / "notifications.db") as outbox:
            now = SystemClock().now()
            outbox.add([said], PLAN, now)
            for row in outbox.rows(keys=[said.key]):
                match fates.get(row["route"]):
                    case None:
                        continue
                    case "":
                        outbox.sent(row["route"], [row["id"]], now)
                    case problem:
                        outbox.failed(row["route"], [row["id"]], problem, next_at=now, tries_max=9, now=now)

    fates = dict[str, str]()

    notices = list[ev.NoticeGiven]()

    async def give(event: ev.CommandGiven | ev.NoticeGiven) -> None:
        if isinstance(event, ev.NoticeGiven):
            notices.append(event)
        else:
            await post(event)

    market = dict[str, object]()
    instruments = {
        Symbol(name): Instrument(
            symbol=Symbol(name), is_tradable=name != "OLD", is_shortable=True, is_fractionable=True
        )
        for name in ("AAPL", "SPY", "OLD")
    }

    def status() -> dict[str, object]:
        kills = [view(kill) for kill in desk.kills.in_force.values()]
        about = {"name": "testdesk", "mode": "embedded", "trade_stream_up": True, "equity": Decimal("100.50")}
        wrong = {"configuration": f"desk.toml is WRONG: {reload_problems[0]}"} if reload_problems else {}
        return about | ({"kills": kills} if kills else {}) | wrong | market

    held: list[str] = []  # what would pull the desk's kill again

    def issue(strategy_id: StrategyId) -> str:
        if strategy_id != ALICE:
            raise ConfigError("no token is needed here")
        return f"{strategy_id}.0123"

    reloads, reload_problems = list[tuple[str, bool]](), list[str]()

    async def reload(by: str, is_dry: bool) -> dict[str, object]:
        reloads.append((by, is_dry))
        changes = [] if reload_problems else A_DIFF
        common = {"file": str(config), "dry_run": is_dry, "misfits": {}}
        return {**common, "good": not reload_problems, "changes": changes, "problems": reload_problems}

    to_sign = [KEY.sign(MONDAY, 7, "ab" * 32, NOON)]  # once: then all is signed

    async def sign() -> ev.RootSigned | None:
        return to_sign.pop() if to_sign else None

    control = Control(
        orders=FakeOrders(desk),
        runs=runs,
        reader=LedgerReader(ledger),
        wall=SystemClock(),
        post=post,
        status=status,
        issue=issue,
        reconciling=_reconciling(desk),
        stages=desk.stages,
        who_is=lambda _uid: caller,
        more=[
            StageRoutes(stages=desk.stages, runs=runs, wall=SystemClock(), post=keep).add_to,
            DeployRoutes(
                deployer=Deployer(
                    versions=Versions(root=folder / "var" / "versions", strategies_dir=strategies),
                    runs=runs,
                    clock=SystemClock(),
                    keep=keep,
                    stage_of=desk.stages.of,
                    chosen=desk.versions,
                ),
                runs=runs,
                registered=desk.strategies,
                wall=SystemClock(),
                post=post,
            ).add_to,
            LedgerRoutes(db=ledger, wall=SystemClock(), post=post, sign=sign).add_to,
            EventRoutes(ledger=ledger, live=live, stall_s=stall_s).add_to,
            WhyRoute(ledger).add_to,
            JailRoute(test=runs.test_jail, wall=SystemClock(), post=post).add_to,
            InstrumentRoute(lambda: instruments).add_to,
            ReloadRoute(reload=reload).add_to,
            JobRoutes(jobs=_jobs(desk, keep), reports=folder / "reports", wall=SystemClock(), post=post).add_to,
            NotificationRoutes(
                outbox=folder / "notifications.db",
                wall=SystemClock(),
                post=give,
                tell=tell,
                nudge=lambda: None,
                is_open=(folder / "notifications.db").exists,
                plan=lambda: PLAN,
                members=lambda: {ALICE: UserId(ALICE), BOB: UserId("ben"), WRECK: None},
            ).add_to,
            BuildRoute(runs=runs, wall=SystemClock(), post=post, build=runs.build).add_to,
            KillRoutes(
                kills=desk.kills,
                runs=runs,
                registered=desk.strategies,
                wall=SystemClock(),
                post=keep,
                symbols=lambda: desk.instruments,
                held_by=lambda: held[0] if held else None,
            ).add_to,
        ],
    )
    async with store, control.serve(folder / "run") as socket:
        yield RunningDesk(
            folder,
            config,
            socket,
            runs,
            commands,
            control,
            desk,
            store,
            live,
            held,
            reloads,
            reload_problems,
            notices,
            fates,
            market,
            instruments,
        )


def _jobs(desk: Desk, keep: Callable[[ev.Event], Awaitable[None]]) -> JobRunner:
    """Return jobs of which the backup fails, and every other is done at once."""

    async def done(session: date) -> Done | Failed:
        return Done(f"of {session}")

    async def fails(_session: date) -> Done | Failed:
        return Failed("No space left on device")

    return JobRunner(
        desk=desk,
        works=dict.fromkeys(JobName, done) | {JobName.BACKUP: fails},
        keep=keep,
        wall=SystemClock(),
        market=lambda: MarketClock(timestamp=NOON, is_open=True, next_open=NOON, next_close=DAY.close_at),
        times=Times(before_open=timedelta(minutes=30), after_close=timedelta(minutes=5)),
        off=(JobName.SNAPSHOT,),
    )


def _reconciling(desk: Desk) -> Reconciling:
    """Return the answers of a desk whose broker holds what the books hold, and is asked without delay."""

    async def look(why: str) -> Look:
        positions = tuple(
            ev.BrokerPosition(symbol=s, qty=q, avg_entry_price=Price(Decimal(100)))
            for s, q in desk.portfolio.holdings().items()
        )
        snapshot = a_snapshot(cash=desk.portfolio.cash(), positions=positions, fill_count=desk.execution_count, why=why)
        return Look(facts=tuple(e.fact for e in handle(desk, snapshot) if isinstance(e, Record)))

    async def post(event: ev.ResolutionRequested) -> None:
        handle(desk, event)

    async def until_idle() -> None:
        await asyncio.sleep(0)

    return Reconciling(desk=desk, wall=SystemClock(), look=look, post=post, until_idle=until_idle)


async def _traded(store: LedgerStore) -> Desk:
    desk = a_desk()
    bought = a_request()
    resting = a_limit_request("90", client_order_id=ClientOrderId("alice-2"))
    others = a_limit_request("91", strategy_id=BOB, client_order_id=ClientOrderId("bob-1"))
    happened: list[ev.Event] = [requested(bought), accepted(bought), filled(bought, 10)]
    for request in (resting, others):
        happened += [requested(request), accepted(request)]
    denied = a_request(client_order_id=ClientOrderId("alice-3"), symbol=Symbol("ZZZ"))
    happened.append(requested(denied))
    happened += [
        ev.StreamChanged(stream="market", is_up=False, why="mute", at=NOON, affected=(ALICE, BOB)),
        ev.StreamChanged(stream="market", is_up=True, why="subscribed", at=NOON + timedelta(seconds=125)),
        ev.MarketResumed(affected=(), bars_fetched=4, bars_missing=0, at=NOON + timedelta(seconds=126)),
    ]
    registrations: list[ev.Fact] = list(desk.strategies.values())
    await store.append(registrations, project(registrations, desk))
    happened += [
        ev.RunStarted(run_id=RunId("alice.1"), strategy_id=ALICE, at=NOON),
        ev.RunEnded(run_id=RunId("alice.1"), strategy_id=ALICE, end=A_DEATH, at=NOON + timedelta(minutes=1)),
        ev.RunStarted(run_id=RunId("bob.1"), strategy_id=BOB, at=NOON),
    ]
    for event in happened:
        facts = [effect.fact for effect in handle(desk, event) if isinstance(effect, Record)]
        await store.append(facts, project(facts, desk))
    return desk
