"""What `deskctl status` is told."""

import os
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from deskd.app.desk_status import Moment, differing, equity_of, in_sum, in_words, status
from deskd.config import Config
from deskd.core.desk import TRADES, Desk
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import ClientOrderId
from deskd.domain.job import SCHEDULE, JobName, JobOutcome
from deskd.domain.market import MarketClock
from deskd.domain.reasons import RefusalReason
from deskd.jobs.plan import TRIES_MAX
from deskd.ports import RequestFigures
from tests.factories import AAPL, ALICE, MONDAY, NOON, a_desk, cash, price, qty

OUTAGE = ev.OutageEnded(
    stream=TRADES,
    started_at=NOON,
    ended_at=NOON + timedelta(seconds=90),
    why="connection reset",
    affected=(ALICE,),
    open_orders=1,
    refusals=(),
    bars_fetched=0,
    bars_missing=0,
    at=NOON + timedelta(seconds=91),
)


def test_a_desk_that_has_heard_nothing_says_so() -> None:
    """Unknown is told as unknown: no clock, no outage, and why no order is taken."""
    refusal = Refuse(ClientOrderId(""), RefusalReason.DESK_NOT_READY, "the desk is starting")
    now = Moment(started_at=NOON, refusal=refusal, clock=None, market_stream="connecting", jails=None)
    told = status(Config(), a_desk(), now)
    assert (told["takes_orders"], told["why_not"]) == (False, "the desk is starting")
    assert told["market_time"] is told["market_is_open"] is told["last_outage"] is None
    assert told["market_opens_at"] is told["market_closes_at"] is None
    assert told["market_stream"] == "connecting"
    assert (told["pid"], told["configuration"]) == (os.getpid(), None)
    assert (
        status(Config(), a_desk(), replace(now, wrong_file="desk.toml is WRONG"))["configuration"]
        == "desk.toml is WRONG"
    )


def test_the_request_limit_is_told() -> None:
    """Used, left and kept for cancels, and whose orders wait; without a limit only what was used."""
    figures = RequestFigures(limit=200, used=150, reserve=20, waiting={"alice": 3}, turned_away=1, pause_s=2.04)
    now = Moment(started_at=NOON, refusal=None, clock=None, market_stream="up", jails=None, requests=figures)
    told = status(Config(), a_desk(), now)
    assert told["broker_requests"] == {
        "used": 150,
        "of": 200,
        "left": 50,
        "reserve": 20,
        "turned_away": 1,
        "pause_s": 2.0,
    }
    assert told["orders_waiting"] == {"alice": 3}
    told = status(Config(), a_desk(), replace(now, requests=replace(figures, limit=None)))
    assert told["broker_requests"] == {"used": 150, "turned_away": 1, "pause_s": 2.0}


def test_money_streams_and_outages_are_told() -> None:
    """The whole account's cash, the house's, and the last outage in one line."""
    desk = a_desk()
    for is_up in (False, True):
        desk.apply(ev.StreamChanged(stream=TRADES, is_up=is_up, why="test", at=NOON))
    desk.apply(OUTAGE)
    clock = MarketClock(timestamp=NOON, is_open=True, next_open=NOON, next_close=NOON + timedelta(hours=1))
    told = status(
        Config(),
        desk,
        Moment(started_at=NOON, refusal=None, clock=clock, market_stream="up", jails="made", packages="numpy 2"),
    )
    assert (told["takes_orders"], told["why_not"], told["market_is_open"]) == (True, None, True)
    assert (told["market_opens_at"], told["market_closes_at"]) == (NOON, NOON + timedelta(hours=1))
    assert (told["cash"], told["house_cash"]) == (cash(100_000), cash(80_000))
    assert told["trade_stream_is_up"] is True
    assert (told["jails"], told["packages"]) == ("made", "numpy 2")
    assert told["last_outage"] == in_words(OUTAGE)
    assert in_words(OUTAGE) == "trades 2026-01-05 17:00:00 UTC, 90.0 s: connection reset; affected: alice"


def test_the_books_are_told_as_a_sum_and_members_by_their_day() -> None:
    """Whoever looks sees that strategies and house are the account, and who lost what today."""
    desk = a_desk()
    desk.apply(ev.MarketDayBegan(market_day=NOON.date(), at=NOON))
    now = Moment(started_at=NOON, refusal=None, clock=None, market_stream="up", jails=None)
    told = status(Config(), desk, now)
    assert told["books"] == (
        "strategies 20000.00 + house 80000.00 = 100000.00 cash; broker: 100000.00 when compared at 17:00:00 UTC"
    )
    assert told["members"] == {"alice": "equity 10000.00, day +0.00", "bob": "equity 10000.00, day +0.00"}
    assert told["market_day"] == "2026-01-05"
    assert "broker: not reconciled yet" in in_sum(Desk())


def test_the_desks_equity_is_that_of_all_books() -> None:
    """The house's among them: it is the shared account's."""
    assert equity_of(a_desk()) == cash(100_000)


def test_a_job_that_failed_stands_in_the_status_until_it_is_done() -> None:
    """With what is wrong and what to do; one of which the desk died too often, too."""
    desk = a_desk()
    now = Moment(started_at=NOON, refusal=None, clock=None, market_stream="up", jails=None)

    def happens(name: JobName, outcome: JobOutcome | None, by: str = SCHEDULE) -> dict[str, str]:
        desk.apply(ev.JobStarted(name=name, session=MONDAY, by=by, at=NOON))
        if outcome is not None:
            desk.apply(ev.JobEnded(name=name, session=MONDAY, by=by, outcome=outcome, detail="disk\nfull", at=NOON))
        found = status(Config(), desk, now)["jobs_failed"]
        assert isinstance(found, dict)
        return found

    assert happens(JobName.SIGN, JobOutcome.DONE) == {}
    remedy = "mend that, then: deskctl jobs run backup --session 2026-01-05"
    assert happens(JobName.BACKUP, JobOutcome.FAILED) == {"backup": f"of 2026-01-05: disk\\nfull; {remedy}"}
    assert happens(JobName.BACKUP, JobOutcome.DONE, by="ada") == {}
    for _ in range(TRIES_MAX - 1):
        assert happens(JobName.REPORT, None) == {}
    given_up = happens(JobName.REPORT, None)["report"]
    assert given_up.startswith("of 2026-01-05: given up, the desk died of it 3 times; ")


def test_where_books_and_broker_differ_is_one_line() -> None:
    """None is said as such, and of how much; else what the last look saw, and what the house took."""
    desk = a_desk()
    assert differing(Desk()) == "not known: not reconciled yet"
    assert differing(desk) == "none, of cash and 0 positions"
    desk.portfolio.book(ALICE).trade(AAPL, qty(1), price(100), NOON)
    assert differing(desk) == "none, of cash and 1 position"
    assert desk.last_reconciled is not None
    desk.apply(replace(desk.last_reconciled, differences=(("AAPL", "5"), ("cash", "-3.5"))))
    for subject in ("AAPL", "SPY"):
        desk.apply(
            ev.DiscrepancyFound(subject=subject, expected="", actual="", action="house", at=NOON, more=Decimal(2))
        )
    assert differing(desk) == (
        "AAPL +5 at the broker; cash -3.5 at the broker; SPY +2, taken by the house and not settled"
    )
    now = Moment(started_at=NOON, refusal=None, clock=None, market_stream="up", jails=None)
    told = status(Config(), desk, now)
    assert (told["account_equity"], told["books_differ"]) == (cash(100_000), differing(desk))
