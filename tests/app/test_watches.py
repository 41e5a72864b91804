"""What looks by itself: all of it by the one clock of the market, and by the settings in force."""

from decimal import Decimal
from pathlib import Path

from deskd.app.kill_watch import breaker_rules_of, rules_of
from deskd.config import RiskSection
from deskd.config.risk import RiskAutomaticSection, RiskBreakerSection, RiskExitsSection, RiskKillSection
from deskd.domain.kill import KillDepth
from tests.app.a_small_desk import a_built_desk
from tests.app.test_exit_watch import CLOCK

OTHER = RiskSection(
    exits=RiskExitsSection(look_s=0.5),
    kill=RiskKillSection(depth="flatten", after_hours="extended"),
    automatic=RiskAutomaticSection(desk_daily_loss_pct=Decimal(3)),
    breaker=RiskBreakerSection(rejects_max=3),
)


async def test_all_of_them_know_the_market_by_one_clock(tmp_path: Path) -> None:
    """None before the broker told it; then the same for each."""
    async with a_built_desk(tmp_path) as daemon:
        watches = daemon.rooms.watches
        clocks = (watches.clock, watches.exits.clock, watches.kills.market, watches.kill_watch.clock)
        assert [clock() for clock in clocks] == [None] * 4
        watches.market.clock = CLOCK
        assert [clock() for clock in clocks] == [CLOCK] * 4


async def test_new_settings_count_from_their_next_look_on(tmp_path: Path) -> None:
    """Each gets what it keeps for itself."""
    async with a_built_desk(tmp_path) as daemon:
        watches = daemon.rooms.watches
        watches.take(OTHER)
        assert watches.exits.every_s == 0.5
        assert watches.kills.uses_extended_hours
        assert watches.kill_triggers.depth is KillDepth.FLATTEN
        assert watches.kill_watch.rules == rules_of(OTHER.automatic)
        assert watches.kill_watch.breaker_rules == breaker_rules_of(OTHER.breaker)


async def test_a_file_that_would_pull_the_kill_again_is_named(tmp_path: Path) -> None:
    """Whoever releases the desk is told what to remove first."""
    async with a_built_desk(tmp_path) as daemon:
        assert daemon.rooms.watches.kill_file() is None
        (file := tmp_path / "var" / "KILL").touch()
        assert daemon.rooms.watches.kill_file() == f"the file {file}"
