"""Builds the jobs of the day from what the desk has."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path

from deskd.app.opening import db_path
from deskd.config import Config
from deskd.domain import events as ev
from deskd.jobs.plan import Times
from deskd.jobs.runner import JobRunner
from deskd.jobs.works import Account, Kept, Places, Works
from deskd.ports import Clock
from deskd.runtime import Runtime

MIB = 2**20


def reports_dir(config: Config) -> Path:
    """Return where the day's reports are."""
    return config.desk.state_dir / "reports"


def day_jobs(
    config: Config,
    *,
    runtime: Runtime,
    broker: Account,
    wall: Clock,
    market_stream: Callable[[], str],
    disk_free_min_mb: Callable[[], int],
    sign: Callable[[date], Awaitable[ev.RootSigned | None]],
    snapshot: Callable[[], Awaitable[bool]],
) -> JobRunner:
    """Return the runner of the desk's jobs."""
    jobs, state_dir = config.jobs, config.desk.state_dir
    works = Works(
        desk=runtime.desk,
        wall=wall,
        market=runtime.market_clock,
        market_stream=market_stream,
        is_tape=config.broker.mode == "embedded",
        disk_min=lambda: disk_free_min_mb() * MIB,
        broker=broker,
        post=runtime.post,
        keep=runtime.keep,
        until=runtime.until,
        look=runtime.look,
        sign=sign,
        snapshot=snapshot,
        places=Places(
            ledger=db_path(config),
            reports=reports_dir(config),
            backups=jobs.backup_dir or state_dir / "backups",
            logs=state_dir / "logs",
        ),
        kept=Kept(
            backups=jobs.backups_kept,
            reports=timedelta(days=jobs.reports_kept_days),
            logs=timedelta(days=jobs.logs_kept_days),
        ),
    )
    return JobRunner(
        desk=runtime.desk,
        works=works.all(),
        keep=runtime.keep,
        wall=wall,
        market=runtime.market_clock,
        times=Times(
            before_open=timedelta(minutes=jobs.before_open_min), after_close=timedelta(minutes=jobs.after_close_min)
        ),
        is_on=jobs.enabled,
        off=jobs.off,
    )
