"""The settings that the desk goes by, and what a reload hands on of them to each room."""

from dataclasses import dataclass
from datetime import timedelta

from deskd import log as logs
from deskd.app.bounds import lane_rules_of, weights_of
from deskd.app.reloading import Misfits
from deskd.app.rooms import Rooms
from deskd.config import Config
from deskd.domain.strategy import BrokenStrategy, StrategySpec


@dataclass(slots=True)
class InForce:
    """One configuration at a time."""

    config: Config
    rooms: Rooms

    async def take(self, config: Config, by: str) -> Misfits:
        """Go by these settings from now on; return the strategies that they have no room for any more.

        What ran before is bounded at once, whether its own config.json still fits or not.
        """
        rooms = self.rooms
        runs, terms = rooms.supervisor, rooms.terms
        before = {found.strategy_id: found for found in runs.strategies() if isinstance(found, StrategySpec)}
        self.config = config
        self._hand_on(config)
        for spec in before.values():
            terms.bound(spec)
        terms.stand_in()
        await runs.reread()
        now = {found.strategy_id: found for found in runs.strategies()}
        for strategy_id, found in now.items():
            last_good = found if isinstance(found, StrategySpec) else before.get(strategy_id)
            if last_good is not None:
                await terms.allocate(strategy_id, last_good, by)
                await terms.tell_limits(strategy_id, by)
        await rooms.runtime.until_idle()
        terms.warn_of_overcommitment()
        return {
            strategy_id: found.problem
            for strategy_id, found in now.items()
            if isinstance(found, BrokenStrategy) and strategy_id in before
        }

    def _hand_on(self, config: Config) -> None:
        """Hand each room what it keeps for itself of the keys that `config.changes` says are applied."""
        rooms, risk = self.rooms, config.risk
        runtime, desk = rooms.runtime, rooms.runtime.desk
        logs.set_level(config.log.level)
        rooms.terms.config = config
        rooms.supervisor.take(config)
        rooms.api.requests_per_s = risk.strategy.requests_per_s
        rooms.watches.take(risk)
        rooms.heartbeat.every_s = config.desk.heartbeat_s
        rooms.feed.stream.stale_after_s = config.market.stale_after_s
        desk.lane = lane_rules_of(config.orders)
        rooms.broker.weigh(weights_of(risk))
        desk.exit_quote_age_max = timedelta(seconds=risk.exits.quote_age_max_s)
        runtime.watching.doubt_check = timedelta(seconds=config.broker.doubt_check_s)
        runtime.looking.every = timedelta(seconds=config.broker.reconcile_every_s)
        rooms.stopping.cancels_orders = config.desk.cancel_orders_on_stop
        rooms.disk.least = config.desk.disk_free_min_mb * 2**20
