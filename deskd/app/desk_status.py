"""The desk's own state in one answer, for `deskctl status`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from deskd import __version__
from deskd.config import Config
from deskd.control.kill import view
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import HOUSE, StrategyId
from deskd.domain.job import JobOutcome
from deskd.domain.market import MarketClock
from deskd.domain.money import ZERO, Cash, plain
from deskd.domain.run import RunStatus
from deskd.domain.shown import one_line
from deskd.jobs.plan import TRIES_MAX, is_given_up
from deskd.ports import RequestFigures, Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is so at the moment, and stands in no fact."""

    started_at: datetime
    refusal: Refuse | None  # why no order is taken
    clock: MarketClock | None
    market_stream: str
    jails: str | None  # how strategies are kept apart; None: that is not known yet
    packages: str | None = None  # what strategies can import; None: that is not known yet
    not_startable: Mapping[StrategyId, str] = field(default_factory=dict)  # strategies that the desk fails to start
    requests: RequestFigures | None = None  # how the broker's request limit stands
    wrong_file: str | None = None  # what the last reload stumbled over; None: nothing


def status(config: Config, desk: Desk, now: Moment) -> Mapping[str, object]:
    """Return the desk's own state."""
    outages = desk.outages
    house = desk.account(HOUSE)
    return {
        "name": config.desk.name,
        "version": __version__,
        "pid": os.getpid(),
        "started_at": now.started_at,
        "configuration": now.wrong_file,
        "broker": config.broker.mode,
        "tape": list(config.exchange.tape) if config.broker.mode == "embedded" else None,
        "trading_state": desk.kills.desk_state().value,
        "kills": [view(kill) for kill in desk.kills.all()],
        "takes_orders": now.refusal is None,
        "why_not": now.refusal.message if now.refusal else None,
        "market_time": now.clock.timestamp if now.clock else None,
        "market_is_open": now.clock.shows_open if now.clock else None,
        "market_opens_at": now.clock.next_open if now.clock else None,
        "market_closes_at": now.clock.next_close if now.clock else None,
        "trade_stream_is_up": desk.is_trade_stream_up,
        "market_stream": now.market_stream,
        "jails": now.jails,
        "packages": now.packages,
        "outages_now": [
            f"{one.stream} since {one.started_at:%H:%M:%S} UTC: {one.why}" for one in outages.open.values()
        ],
        "last_outage": in_words(outages.last) if outages.last else None,
        "local_port": config.api.local_port or None,
        "orders_open": len(desk.open_ids),
        "orders": len(desk.orders),
        "fills": desk.fill_count,
        "cash": desk.portfolio.cash(),
        "house_cash": house.cash if house else None,
        "books": in_sum(desk),
        "account_equity": desk.portfolio.equity(),
        "books_differ": differing(desk),
        "members": {member: _day(desk, tuple(owned)) for member, owned in desk.members.items()},
        "market_day": None if desk.records.day is None else desk.records.day.isoformat(),
        "reconciled_at": desk.last_reconciled.at if desk.last_reconciled else None,
        "differences_suspected": dict(desk.last_reconciled.differences) if desk.last_reconciled else {},
        "differences_open": {subject: one.more for subject, one in desk.standing.open.items()},
        "symbols_frozen": sorted(desk.standing.frozen),
        "strategies_not_startable": dict(now.not_startable),
        "jobs_failed": jobs_failed(desk),
        "broker_requests": None if now.requests is None else _requests(now.requests),
        "orders_waiting": {} if now.requests is None else dict(now.requests.waiting),
    }


def in_one_line(config: Config, desk: Desk, runs: Runs, refusal: Refuse | None) -> str:
    """Return how the desk is, for `systemctl status`."""
    orders = f"{len(desk.open_ids)} orders open"
    takes = "takes orders" if refusal is None else f"takes no orders: {refusal.message}"
    found = len(runs.strategies())
    return f"{running(runs)} of {found} strategies running, {orders}, {takes}; broker: {config.broker.mode}"


def jobs_failed(desk: Desk) -> dict[str, str]:
    """Return the jobs whose last run failed, or of which the desk died too often: what is wrong, and what to do."""
    found: dict[str, str] = {}
    for name, run in desk.jobs.last.items():
        again = f"mend that, then: deskctl jobs run {name} --session {run.session}"
        if run.outcome is JobOutcome.FAILED:
            found[name] = f"of {run.session}: {one_line(run.detail)}; {again}"
        elif is_given_up(desk.jobs, name, run.session):
            found[name] = f"of {run.session}: given up, the desk died of it {TRIES_MAX} times; {again}"
    return found


def running(runs: Runs) -> int:
    """Return how many strategies run."""
    return sum(runs.status(one.strategy_id) is RunStatus.RUNNING for one in runs.strategies())


def _requests(figures: RequestFigures) -> Mapping[str, object]:
    """Return how the broker's request limit stands: what counts of the last minute, and what is kept for cancels."""
    shown: dict[str, object] = {"used": figures.used}
    if figures.limit is not None:
        shown |= {"of": figures.limit, "left": figures.limit - figures.used, "reserve": figures.reserve}
    return shown | {"turned_away": figures.turned_away, "pause_s": round(figures.pause_s, 1)}


def in_sum(desk: Desk) -> str:
    """Return what members' books and the house make together, and what the broker has of it: one line."""
    house, whole = desk.portfolio.books[HOUSE].cash, desk.portfolio.cash()
    told = desk.last_reconciled
    broker = "not reconciled yet" if told is None else f"{told.cash:.2f} when compared at {told.at:%H:%M:%S} UTC"
    fees = f" (fees {desk.portfolio.fees:.2f})" if desk.portfolio.fees else ""
    return f"strategies {whole - house:.2f} + house {house:.2f}{fees} = {whole:.2f} cash; broker: {broker}"


def differing(desk: Desk) -> str:
    """Return where the sum of strategies and house is not what the broker has, cash and shares: one line.

    What the last look saw waits for a second one; what the house took since is in the sum, and not settled.
    """
    told, held = desk.last_reconciled, len(desk.portfolio.holdings())
    if told is None:
        return "not known: not reconciled yet"
    seen = [f"{subject} {_signed(more)} at the broker" for subject, more in told.differences]
    names = {subject for subject, _ in told.differences}
    taken = [
        f"{subject} {_signed(plain(one.more))}, taken by the house and not settled"
        for subject, one in desk.standing.open.items()
        if subject not in names
    ]
    return "; ".join([*seen, *taken]) or f"none, of cash and {held} position{'' if held == 1 else 's'}"


def _signed(more: str) -> str:
    return more if more.startswith("-") else f"+{more}"


def equity_of(desk: Desk) -> Cash:
    """Return what all books are worth at mark, the house's among them."""
    return Cash(sum((book.worth().equity for book in desk.portfolio.books.values()), ZERO))


def _day(desk: Desk, owned: Sequence[StrategyId]) -> str:
    accounts = [account for one in owned if (account := desk.account(one)) is not None]
    equity = sum((one.equity for one in accounts), ZERO)
    # Of an old name's loss the new one carries a part on: here it counts once.
    day = sum((desk.records.day_pnl(one, desk.portfolio) - desk.records.carried(one) for one in owned), ZERO)
    return f"equity {equity:.2f}, day {day:+.2f}"


def in_words(ended: ev.OutageEnded) -> str:
    """Return the outage as one line; `deskctl outages` has them all."""
    lasted = (ended.ended_at - ended.started_at).total_seconds()
    affected = ", ".join(ended.affected) or "nobody"
    return f"{ended.stream} {ended.started_at:%Y-%m-%d %H:%M:%S} UTC, {lasted:.1f} s: {ended.why}; affected: {affected}"
