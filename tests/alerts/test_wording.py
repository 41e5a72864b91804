"""Facts become notifications with figures and remedy, for whom they concern; the others are left to the ledger."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from deskd.alerts.wording import About, Wording, averaged
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, FillId, RunId, StrategyId, UserId
from deskd.domain.kill import KillDepth, KillScope, KillTarget
from deskd.domain.notifications import Notification, Severity, Topic, Trade
from deskd.domain.order import Side
from deskd.domain.run import ExitReason, RunEnd, StrategyStatus
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_fact_of_a_fill,
    a_kill,
    a_release,
    a_request,
    an_exit,
    cash,
    of_strategy,
    price,
    qty,
)

PAPER = Wording(is_live=False, down_after=timedelta(minutes=1))


@dataclass
class Ledger:
    """Knows alice's order, and that alice trades for ann."""

    orders: dict[ClientOrderId, About] = field(
        default_factory=lambda: {
            ClientOrderId("alice-1"): About(strategy=ALICE, member=UserId("ann"), symbol=AAPL, side=Side.BUY)
        }
    )

    def order(self, client_order_id: ClientOrderId) -> About | None:
        return self.orders.get(client_order_id)

    def member_of(self, strategy: StrategyId) -> UserId | None:
        return UserId("ann") if strategy == ALICE else None


def told(fact: ev.Fact, wording: Wording = PAPER) -> Notification:
    said = wording.told(7, fact, Ledger())
    assert said is not None
    return said


def a_denial(reason: str, **more: Any) -> ev.OrderDenied:
    return ev.OrderDenied(
        request=a_request(), reason=reason, message="day_pnl=-501", quote=None, market_day=MONDAY, at=NOON, **more
    )


def the_end(reason: ExitReason) -> ev.RunEnded:
    end = RunEnd(reason=reason, detail="used 512 MB of 512 MB", source_line="strategy.py:3: go()")
    return ev.RunEnded(run_id=RunId("r"), strategy_id=ALICE, end=end, at=NOON, deaths=2)


CASES: list[tuple[ev.Fact, Topic, Severity, str, str, str | None]] = [
    (
        a_fact_of_a_fill(a_request(), 4, "150.25"),
        Topic.PAPER_TRADING,
        Severity.INFO,
        "alice bought 4 AAPL at 150.25 ($601.00)",
        "alice-1",
        "ann",
    ),
    (
        ev.OrderRejected(client_order_id=ClientOrderId("alice-1"), reason="NOT_SENT", message="broker=down", at=NOON),
        Topic.PAPER_TRADING,
        Severity.WARNING,
        "alice: order to buy AAPL rejected: NOT_SENT",
        "deskctl why alice-1",
        "ann",
    ),
    (
        ev.FillCorrected(
            client_order_id=ClientOrderId("alice-1"),
            word="trade_bust",
            qty=qty("-4"),
            notional=cash("-601"),
            corrected_at=NOON,
            at=NOON,
        ),
        Topic.PAPER_TRADING,
        Severity.WARNING,
        "trade_bust",
        "-4 shares",
        "ann",
    ),
    (
        ev.OrderAdopted(
            request=a_request(),
            broker_order_id="b-2",  # type: ignore[arg-type]
            replaces=ClientOrderId("alice-0"),
            submitted_at=None,
            reserved_cash=cash(0),
            reserved_qty=qty(0),
            price=price(100),
            at=NOON,
        ),
        Topic.PAPER_TRADING,
        Severity.WARNING,
        "replaced at the broker",
        "alice-0",
        "alice",
    ),
    (a_denial("DAILY_LOSS_MAX"), Topic.RISK, Severity.WARNING, "DAILY_LOSS_MAX reached", "day_pnl=-501", "alice"),
    (
        an_exit(level=price(95), price=price(94)),
        Topic.RISK,
        Severity.WARNING,
        "closes 10 AAPL",
        "price=94",
        "ann",
    ),
    (
        a_kill(),
        Topic.RISK,
        Severity.CRITICAL,
        "KILL desk: stop_new",
        "deskctl release --reason TEXT",
        None,
    ),
    (
        a_kill(of_strategy(ALICE), KillDepth.FLATTEN),
        Topic.RISK,
        Severity.CRITICAL,
        "KILL strategy alice: flatten",
        "deskctl release --strategy alice --reason TEXT",
        "ann",
    ),
    (
        a_release(KillTarget(KillScope.MEMBER, "bo")),
        Topic.RISK,
        Severity.WARNING,
        "Kill of member bo released",
        "mended",
        "bo",
    ),
    (
        ev.FlattenCompleted(target=KillTarget(KillScope.SYMBOL, "AAPL"), at=NOON),
        Topic.RISK,
        Severity.WARNING,
        "flat",
        "until an officer releases it",
        None,
    ),
    (
        ev.FlattenHindered(target=of_strategy(ALICE), left=("alice: 10 AAPL: market closed",), at=NOON),
        Topic.RISK,
        Severity.CRITICAL,
        "not flat",
        "- alice: 10 AAPL: market closed",
        "ann",
    ),
    (
        ev.StreamChanged(stream="market", is_up=False, why="no pong", at=NOON, affected=(ALICE, BOB), open_orders=2),
        Topic.SYSTEM_ALERTS,
        Severity.CRITICAL,
        "The market stream is down",
        "alice, bob; 2 orders open",
        None,
    ),
    (
        ev.DiscrepancyFound(subject="AAPL", expected="10", actual="12", action="house", at=NOON, more=Decimal(2)),
        Topic.SYSTEM_ALERTS,
        Severity.CRITICAL,
        "disagree: AAPL",
        "deskctl reconcile --resolve AAPL",
        None,
    ),
    (
        ev.DiscrepancyResolved(subject="AAPL", by="ada", reason="a split", at=NOON),
        Topic.SYSTEM_ALERTS,
        Severity.WARNING,
        "resolved: AAPL",
        "a split",
        None,
    ),
    (
        ev.SymbolFrozen(symbol=AAPL, why="unexplained", at=NOON),
        Topic.SYSTEM_ALERTS,
        Severity.CRITICAL,
        "AAPL is frozen",
        "deskctl reconcile --resolve AAPL",
        None,
    ),
    (
        ev.SymbolThawed(symbol=AAPL, why="resolved", at=NOON),
        Topic.SYSTEM_ALERTS,
        Severity.WARNING,
        "AAPL is traded again",
        "resolved",
        None,
    ),
    (
        ev.SharesDistributed(symbol=AAPL, ratio=Decimal(4), by="ada", reason="split", at=NOON),
        Topic.CALENDAR,
        Severity.WARNING,
        "split booked",
        "by 4",
        None,
    ),
    (
        ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.FAILED, why="5 deaths in a row", at=NOON),
        Topic.SYSTEM_ALERTS,
        Severity.CRITICAL,
        "alice: the desk gave it up",
        "deskctl start alice",
        "ann",
    ),
    (
        ev.RunStalled(run_id=RunId("r"), strategy_id=ALICE, detail="no line for 30 s", at=NOON),
        Topic.SYSTEM_ALERTS,
        Severity.WARNING,
        "alice: stalled",
        "no line for 30 s",
        "ann",
    ),
    (
        the_end(ExitReason.OOM),
        Topic.SYSTEM_ALERTS,
        Severity.WARNING,
        "alice ended: oom",
        "at strategy.py:3: go(). It is death 2 in a row",
        "ann",
    ),
    (
        ev.DeskStarted(version="1", broker="embedded", at=NOON),
        Topic.SYSTEM_ALERTS,
        Severity.WARNING,
        "Desk started: version 1, broker embedded",
        "reconciled",
        None,
    ),
    (ev.DeskStopped(at=NOON), Topic.SYSTEM_ALERTS, Severity.WARNING, "Desk stopped", "closed in order", None),
    (ev.MarketDayBegan(market_day=MONDAY, at=NOON), Topic.CALENDAR, Severity.INFO, "2026-01-05 began", "anew", None),
    (
        ev.Heartbeat(
            orders_open=1,
            strategies_running=2,
            market_is_open=True,
            ledger_seq=9,
            at=NOON,
            equity=cash("100000.5"),
            positions=3,
            streams_down=("market",),
        ),
        Topic.HEARTBEAT,
        Severity.INFO,
        "The desk lives, DOWN: market",
        "equity $100,000.50, 3 positions; DOWN: market; market open; ledger at 9",
        None,
    ),
]


@pytest.mark.parametrize(
    ("fact", "topic", "severity", "title", "text", "member"), CASES, ids=[type(case[0]).__name__ for case in CASES]
)
def test_what_people_should_hear_is_told_with_figures_and_remedy(  # noqa: PLR0917  a table's columns
    fact: ev.Fact, topic: Topic, severity: Severity, title: str, text: str, member: str | None
) -> None:
    """Topic and severity decide who hears it and when; the key is the fact's place."""
    said = told(fact)
    assert (said.topic, said.severity, said.member) == (topic, severity, member)
    assert title in said.title
    assert text in said.text
    assert said.at == NOON
    assert said.key == "fact:7" or said.key.startswith("loss:")


@pytest.mark.parametrize(
    "fact",
    [
        a_denial("QUOTE_STALE"),
        the_end(ExitReason.CLEAN),
        the_end(ExitReason.STOPPED),
        ev.StreamChanged(stream="market", is_up=True, why="listening", at=NOON),
        ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.ACTIVE, why="started", at=NOON),
        ev.CommandGiven(by="ada", command="stop", arguments="", at=NOON),
        replace(a_fact_of_a_fill(a_request(), 4), client_order_id=ClientOrderId("unknown")),
        ev.OrderRejected(client_order_id=ClientOrderId("unknown"), reason="NOT_SENT", message="", at=NOON),
        ev.FillCorrected(
            client_order_id=ClientOrderId("unknown"),
            word="trade_bust",
            qty=qty(0),
            notional=cash(0),
            corrected_at=NOON,
            at=NOON,
        ),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_what_nobody_needs_at_night_is_left_to_the_ledger(fact: ev.Fact) -> None:
    """A loop of denials, an orderly end, a stream that is back: they are seen where somebody looks."""
    assert PAPER.told(7, fact, Ledger()) is None


def test_a_loss_limit_is_told_once_a_market_day() -> None:
    """However many orders it denies: the key is the day's."""
    assert told(a_denial("DAILY_LOSS_MAX")).key == "loss:alice:DAILY_LOSS_MAX:2026-01-05"


def test_real_money_has_a_topic_of_its_own() -> None:
    """Nobody takes a paper fill for a real one."""
    said = told(a_fact_of_a_fill(a_request(), 4), replace(PAPER, is_live=True))
    assert said.topic is Topic.LIVE_TRADING
    assert said.trade == Trade(side=Side.BUY, symbol=AAPL, qty=qty(4), price=price(100))


def test_an_outage_is_told_if_it_lasts_and_its_end_takes_the_word_back() -> None:
    """A stream that is back within the time was not worth a word: the end withdraws what still waits."""
    down = told(ev.StreamChanged(stream="trades", is_up=False, why="cut", at=NOON))
    assert (down.subject, down.wait) == ("stream:trades", timedelta(minutes=1))
    assert "no new orders are taken" in down.text
    end = ev.OutageEnded(
        stream="trades",
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=90),
        why="cut",
        affected=(ALICE,),
        open_orders=1,
        refusals=((ALICE, 3),),
        bars_fetched=0,
        bars_missing=0,
        at=NOON,
    )
    up = told(end)
    assert (up.withdraws, up.title) == ("stream:trades", "The trades stream is up again after 90 s")
    assert "orders not taken: 3" in up.text
    killed = told(replace(end, stream="desk"))
    assert (killed.severity, killed.withdraws) == (Severity.CRITICAL, "")


def test_a_heartbeat_of_an_older_ledger_is_told_without_what_it_does_not_know() -> None:
    """Facts' stored form is for ever."""
    beat = ev.Heartbeat(orders_open=0, strategies_running=1, market_is_open=None, ledger_seq=1, at=NOON)
    assert told(beat).text.startswith("1 strategies running, 0 orders open; streams up; market unknown")


def test_words_of_others_are_escaped_and_cut() -> None:
    """A member's reason cannot fake a line, steer a terminal, or fill a mailbox."""
    said = told(a_kill(reason="\x1b[2J\nall is well" + "!" * 10_000))
    assert "\x1b" not in said.text
    assert "\\n" in said.text
    assert len(said.text) < 700


def test_several_fills_are_summed_up() -> None:
    """Shares, value and average, exact to a hundredth of a cent."""
    fills = [Trade(side=Side.SELL, symbol=AAPL, qty=qty(n), price=price(p)) for n, p in ((10, "150"), (20, "150.1"))]
    assert averaged(fills) == "sold 30 AAPL in 2 fills at 150.0667 on average ($4,502.00)"


def test_a_fill_id_is_no_part_of_the_words() -> None:
    """What is told is for people."""
    assert FillId("b-alice-1:4") not in told(a_fact_of_a_fill(a_request(), 4)).text
