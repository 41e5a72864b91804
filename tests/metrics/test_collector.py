"""A scrape says everything that the table promises, and changes nothing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.job import SCHEDULE, JobName, JobOutcome
from deskd.domain.reasons import DenialReason, RefusalReason
from deskd.domain.run import ExitReason
from deskd.domain.strategy import BrokenStrategy
from deskd.metrics.collector import STRATEGIES_MAX
from deskd.metrics.families import FAMILIES
from tests.control.a_running_desk import a_spec
from tests.factories import ALICE, MONDAY
from tests.market.given import HandClock, a_trade
from tests.metrics.given import Watched


async def scraped(watched: Watched) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of a page by its name and labels."""
    text = (await watched.page.text()).decode()
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(s.labels.items())): s.value for family in families for s in family.samples}


def of(samples: dict[Any, float], name: str, **labels: str) -> float:
    return samples[name, tuple(labels.items())]


async def test_every_family_of_the_table_is_on_the_page_once() -> None:
    """A dashboard may rely on every name, from the desk's first second on."""
    text = (await Watched().page.text()).decode()
    told = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE deskd_")]
    assert sorted(told) == sorted(one.name for one in FAMILIES)


async def test_what_never_happened_is_zero_and_not_absent() -> None:
    """`rate` sees the first denial only where the zero before it was seen."""
    samples = await scraped(Watched())
    for reason in DenialReason:
        assert of(samples, "deskd_denials_total", reason=reason) == 0
    for ended in ExitReason:
        assert of(samples, "deskd_runs_ended_total", reason=ended) == 0
    assert of(samples, "deskd_outages_total", stream="desk") == 0


async def test_what_is_not_known_is_absent_and_not_zero() -> None:
    """No data yet is not data a moment ago, and no limit is not a limit of nothing."""
    watched = Watched()
    watched.requests = replace(watched.requests, limit=None)
    watched.desk.last_reconciled = None
    samples = await scraped(watched)
    for name in ("deskd_market_silence_seconds", "deskd_reconcile_age_seconds", "deskd_broker_requests_left"):
        assert (name, ()) not in samples


async def test_the_state_is_read_at_the_scrape() -> None:
    """Figures are those of now."""
    watched = Watched(market_silence_s=1.5)
    watched.hub.on_messages([a_trade(), {"T": "t"}])
    watched.runtime.refusals[RefusalReason.RATE] = 3
    watched.counts.changed_at["trades"] = watched.clock.monotonic() - 60
    samples = await scraped(watched)
    assert of(samples, "deskd_market_messages_total") == 2
    assert of(samples, "deskd_market_malformed_total") == 1
    assert of(samples, "deskd_refusals_total", reason="RATE") == 3
    assert of(samples, "deskd_broker_requests_left") == 170
    assert of(samples, "deskd_broker_turned_away_total") == 4
    assert of(samples, "deskd_orders_waiting") == 3
    assert of(samples, "deskd_market_silence_seconds") == 1.5
    assert of(samples, "deskd_stream_state_seconds", stream="trades") == 60
    assert of(samples, "deskd_stream_up", stream="market") == 1
    assert of(samples, "deskd_strategies", status="running") == 1
    assert of(samples, "deskd_strategies", status="broken") == 1
    assert of(samples, "deskd_strategy_cpu_seconds_total", strategy="alice") == 1.5
    assert of(samples, "deskd_strategy_lag_lines", strategy="alice") == 2
    assert of(samples, "deskd_strategy_running", strategy="bob") == 0
    assert of(samples, "deskd_strategy_equity_dollars", strategy="alice") == 10_000
    assert of(samples, "process_resident_memory_bytes") > 0


async def test_jobs_tell_how_they_ended_and_how_old_their_last_success_is() -> None:
    """A backup that fails for a week shows as a week, and not as a job that ran an hour ago."""
    watched = Watched()
    at = watched.clock.now() - timedelta(days=7)
    for hours, outcome in ((0, JobOutcome.DONE), (167, JobOutcome.FAILED)):
        job: dict[str, Any] = {"name": JobName.BACKUP, "session": MONDAY, "by": SCHEDULE}
        facts: list[ev.JobStarted | ev.JobEnded] = [
            ev.JobStarted(**job, at=at + timedelta(hours=hours)),
            ev.JobEnded(**job, outcome=outcome, detail="x", at=at + timedelta(hours=hours)),
        ]
        for fact in facts:
            watched.desk.apply(fact)
            watched.counts.on_fact(fact)
    samples = await scraped(watched)
    assert of(samples, "deskd_job_last_success_seconds", job_name="backup") == 7 * 86_400
    assert of(samples, "deskd_job_failed", job_name="backup") == 1
    assert of(samples, "deskd_job_runs_total", job_name="backup", outcome="failed") == 1
    assert of(samples, "deskd_job_runs_total", job_name="report", outcome="done") == 0
    assert ("deskd_job_failed", (("job_name", "report"),)) not in samples, "it never ran"


async def test_what_nobody_hears_is_counted() -> None:
    """Notifications that wait and that were given up, entries that the journal lost, prints that were dropped."""
    watched = Watched()
    assert ("deskd_notifications_dead", ()) not in await scraped(watched), "there are no routes"
    samples = await scraped(Watched(told={"waiting": 2, "sent": 9}))
    assert of(samples, "deskd_notifications_waiting") == 2
    assert of(samples, "deskd_notifications_dead") == 0
    assert of(samples, "deskd_journal_lost_total") == 3
    assert of(samples, "deskd_prints_left_out_total") == 4
    assert of(samples, "deskd_strategy_prints_dropped_bytes_total", strategy="alice") == 0


async def test_no_money_shows_where_it_is_not_to_be_shown() -> None:
    """One key hides every strategy's money, and the account's."""
    samples = await scraped(Watched(shows_money=False))
    assert [name for name, _ in samples if "_dollars" in name or name == "deskd_strategy_positions"] == []


async def test_a_folder_full_of_copies_makes_a_bounded_number_of_series() -> None:
    """Beyond the bound they are counted, and that they are left out is said."""
    watched = Watched()
    watched.runs.found = [a_spec(StrategyId(f"s{n:04}")) for n in range(STRATEGIES_MAX + 7)]
    samples = await scraped(watched)
    assert sum(name == "deskd_strategy_info" for name, _ in samples) == STRATEGIES_MAX
    assert of(samples, "deskd_strategies_left_out") == 7


async def test_a_strategy_that_went_away_during_the_scrape_is_left_out() -> None:
    """Its folder may be deleted between two turns of the loop."""
    watched = Watched()

    def status(name: StrategyId) -> Any:
        raise KeyError(name)

    watched.runs.status = status  # type: ignore[method-assign, assignment]
    watched.runs.found = [one for one in watched.runs.found if isinstance(one, BrokenStrategy)]

    async def turn() -> None: ...

    watched.runs.found.append(a_spec(ALICE))
    assert await watched.page.collector.strategies(turn) == []


async def test_a_reason_that_the_desk_gives_is_one_that_is_counted() -> None:
    """A refusal's code is among those of the page."""
    watched = Watched(clock=HandClock())
    refusal = Refuse(ClientOrderId("o"), RefusalReason.DISK_LOW, "full")
    assert watched.runtime._counted(ALICE, refusal) is refusal
    assert of(await scraped(watched), "deskd_refusals_total", reason="DISK_LOW") == 1
