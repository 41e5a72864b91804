"""What looks by itself, each a task of its own: at the market's clock, at exits, at sessions, and for kills."""

from collections.abc import Awaitable, Callable
from dataclasses import InitVar, dataclass, field

from deskd.alpaca.account_switch import AccountSwitch
from deskd.alpaca.broker import AlpacaBroker
from deskd.app.exit_watch import ExitWatch
from deskd.app.kill_keeper import KillKeeper
from deskd.app.kill_triggers import KillTriggers
from deskd.app.kill_watch import KillWatch, breaker_rules_of, rules_of
from deskd.app.market_watch import MarketWatch
from deskd.app.session_watch import SessionWatch
from deskd.app.suspender import Suspender
from deskd.config import Config, RiskSection
from deskd.domain.kill import KillDepth
from deskd.domain.market import MarketClock
from deskd.market.hub import Hub
from deskd.ports import Clock
from deskd.runtime import Runtime


@dataclass(slots=True, kw_only=True)
class Watches:
    """All of them; they know the market's clock from the first."""

    config: InitVar[Config]
    runtime: InitVar[Runtime]
    broker: InitVar[AlpacaBroker]
    hub: InitVar[Hub]
    wall: InitVar[Clock]
    on_open: InitVar[Callable[[bool], None]]  # whether the market is
    on_clock: InitVar[Callable[[MarketClock], Awaitable[None]]]
    market: MarketWatch = field(init=False)
    exits: ExitWatch = field(init=False)
    sessions: SessionWatch = field(init=False)
    kills: KillKeeper = field(init=False)
    kill_triggers: KillTriggers = field(init=False)
    kill_watch: KillWatch = field(init=False)
    suspender: Suspender = field(init=False)

    def __post_init__(  # noqa: PLR0917  a dataclass hands them over by position
        self,
        config: Config,
        runtime: Runtime,
        broker: AlpacaBroker,
        hub: Hub,
        wall: Clock,
        on_open: Callable[[bool], None],
        on_clock: Callable[[MarketClock], Awaitable[None]],
    ) -> None:
        desk, risk = runtime.desk, config.risk
        self.market = MarketWatch(runtime=runtime, broker=broker, wall=wall, on_open=on_open, on_clock=on_clock)
        self.exits = ExitWatch(runtime=runtime, market=hub, wall=wall, clock=self.clock, every_s=risk.exits.look_s)
        self.sessions = SessionWatch(hub=hub, clock=runtime.market_clock, schedules=desk.schedules)
        self.kills = KillKeeper(
            runtime=runtime,
            wall=wall,
            market=self.clock,
            uses_extended_hours=risk.kill.after_hours == "extended",
        )
        self.kill_triggers = KillTriggers(
            folders=(config.desk.state_dir, config.desk.runtime_dir),
            depth=KillDepth(risk.kill.depth),
            kills=desk.kills,
            post=runtime.keep,
            wall=wall,
        )
        self.kill_watch = KillWatch(
            desk=desk,
            rules=rules_of(risk.automatic),
            breaker_rules=breaker_rules_of(risk.breaker),
            post=runtime.post,
            clock=self.clock,
            wall=wall,
            is_clock_set=runtime.stepping.is_due,
            failures=lambda window: broker.http.failures.within(window.total_seconds()),
        )
        self.suspender = Suspender(
            desk=desk,
            switch=AccountSwitch(broker.http),
            until=runtime.until,
            keep=runtime.keep,
            wall=wall,
        )

    def clock(self) -> MarketClock | None:
        """Return the broker's clock, as last heard."""
        return self.market.clock

    def kill_file(self) -> str | None:
        """Return what would pull the desk's kill again at once, in words; None: nothing."""
        file = self.kill_triggers.file()
        return None if file is None else f"the file {file}"

    def take(self, risk: RiskSection) -> None:
        """Go by these settings from now on."""
        self.exits.every_s = risk.exits.look_s
        self.kills.uses_extended_hours = risk.kill.after_hours == "extended"
        self.kill_triggers.depth = KillDepth(risk.kill.depth)
        self.kill_watch.rules = rules_of(risk.automatic)
        self.kill_watch.breaker_rules = breaker_rules_of(risk.breaker)
