"""Which stage each strategy is in: a fold of the facts. Whoever nobody staged is active."""

from dataclasses import dataclass, field

from deskd.domain.events import StageChanged
from deskd.domain.ids import StrategyId
from deskd.domain.stage import Stage


@dataclass(slots=True)
class Stages:
    """The stages, and where those that are paused came from."""

    now: dict[StrategyId, Stage] = field(default_factory=dict)
    before_pause: dict[StrategyId, Stage] = field(default_factory=dict)

    def change(self, fact: StageChanged) -> None:
        """Let the fact take hold."""
        who, before = fact.strategy_id, self.of(fact.strategy_id)
        if fact.stage is not Stage.PAUSED:
            self.before_pause.pop(who, None)
        elif before is not Stage.PAUSED:
            self.before_pause[who] = before
        self.now[who] = fact.stage

    def of(self, strategy_id: StrategyId) -> Stage:
        """Return the strategy's stage."""
        return self.now.get(strategy_id, Stage.ACTIVE)

    def resumed(self, strategy_id: StrategyId) -> Stage:
        """Return the stage that `resume` brings it to: the one before the pause, or the one that it has."""
        now = self.of(strategy_id)
        if now is not Stage.PAUSED:
            return now
        return self.before_pause.get(strategy_id, Stage.ACTIVE)
