"""What a fact is told as: topic, severity, title and text, figures and remedy. Pure: a table of cases.

Rule 1: a notification is derived from a fact and from nothing else; its key is the fact's place in the ledger, so that
        it is the same one however often the ledger is read.
Rule 2: what members sent (ids, reasons, prints) is shown escaped and cut: it goes to other people's screens.
Rule 3: an alarm says what to do. What heals by itself waits a while, and is withdrawn if it did.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from deskd.core.exits import in_words
from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol, UserId
from deskd.domain.job import JobOutcome
from deskd.domain.kill import KillScope, KillTarget
from deskd.domain.money import Cash, Price, Qty, notional, plain
from deskd.domain.notifications import Notification, Severity, Topic, Trade
from deskd.domain.order import Side
from deskd.domain.reasons import DenialReason
from deskd.domain.run import ExitReason, StrategyStatus
from deskd.domain.shown import one_line, printable
from deskd.domain.stage import Stage

WORDS_MAX = 400  # characters of somebody else's words
_HASH_SHOWN = 12  # as deskctl shows it
STRANGERS_NAMED = 5  # of orders that are not the desk's, in one message
_NEW_YORK = ZoneInfo("America/New_York")
_LOSSES = frozenset({DenialReason.DAILY_LOSS_MAX, DenialReason.DRAWDOWN_MAX})
_QUIET_ENDS = frozenset({ExitReason.CLEAN, ExitReason.STOPPED})
_IN_STAGE = {
    Stage.PAUSED: "It runs, and no order of it is taken; cancels pass.",
    Stage.SHADOW: "Its orders are judged and recorded, and not sent.",
    Stage.ACTIVE: "Its orders are sent.",
}
_DESK = "desk"  # the stream's name in an OutageEnded that is the desk's own


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an order's facts do not say again."""

    strategy: StrategyId
    member: UserId
    symbol: Symbol
    side: Side


class Known(Protocol):
    """What the facts before tell."""

    def order(self, client_order_id: ClientOrderId) -> About | None:
        """Return whose order it is; None where the ledger does not say."""

    def member_of(self, strategy: StrategyId) -> UserId | None:
        """Return the member that the strategy trades for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How this desk tells facts."""

    is_live: bool  # real money
    down_after: timedelta  # a stream that is back before this was not worth a word

    def told(self, seq: int, fact: ev.Fact, known: Known) -> Notification | None:
        """Return what the fact at *seq* is told as; None: it is not."""
        said = self._said(fact, known)
        if said is None or said.key:
            return said
        return replace(said, key=f"fact:{seq}")

    def _said(self, fact: ev.Fact, known: Known) -> Notification | None:
        match fact:
            case ev.OrderFilled():
                return self._filled(fact, known)
            case ev.OrderRejected():
                return self._rejected(fact, known)
            case ev.OrderDenied():
                return _denied(fact)
            case ev.FillCorrected():
                return self._corrected(fact, known)
            case ev.OrderAdopted():
                return self._adopted(fact)
            case ev.ExitTriggered(strategy_id=who, symbol=symbol):
                title = f"{who}: {fact.kind} closes {plain(abs(fact.position_qty))} {symbol}"
                return _of(who, known, _told(Topic.RISK, Severity.WARNING, title, f"{in_words(fact)}.", fact.at))
            case ev.KillEngaged():
                return _killed(fact, known)
            case ev.KillReleased(target=target):
                text = f"Released by {_cut(fact.by)}: {_cut(fact.reason)}. Orders pass again where no other kill holds."
                return _on_target(
                    target, known, _told(Topic.RISK, Severity.WARNING, f"Kill of {target} released", text, fact.at)
                )
            case ev.FlattenCompleted(target=target):
                text = "Nothing is open and nothing is held under it any more. It holds until an officer releases it."
                return _on_target(
                    target, known, _told(Topic.RISK, Severity.WARNING, f"Kill of {target}: flat", text, fact.at)
                )
            case ev.FlattenHindered(target=target, left=left):
                lines = "\n".join(f"- {_cut(line)}" for line in left)
                text = f"The desk goes on trying. Left:\n{lines}\nLook with: deskctl status"
                return _on_target(
                    target, known, _told(Topic.RISK, Severity.CRITICAL, f"Kill of {target}: not flat", text, fact.at)
                )
            case ev.BreakerMoved():
                return _breaker(fact, known)
            case ev.TradingSuspended():
                return _suspended(fact)
            case ev.CancelAllAnswered(strangers=strangers) if strangers:
                return _canceled_along(fact)
            case ev.StreamChanged():
                return self._stream(fact)
            case ev.OutageEnded():
                return _outage(fact)
            case ev.DiscrepancyFound():
                return _discrepancy(fact)
            case ev.DiscrepancyResolved(subject=subject):
                text = f"By {_cut(fact.by)}: {_cut(fact.reason)}"
                return _system(Severity.WARNING, f"Discrepancy resolved: {_cut(subject)}", text, fact.at)
            case ev.SymbolFrozen(symbol=symbol):
                remedy = f"look into it, then: deskctl reconcile --resolve {symbol} --reason TEXT"
                text = f"{_cut(fact.why)}\nNew orders in {symbol} are denied, cancels pass. To do: {remedy}"
                return _system(Severity.CRITICAL, f"{symbol} is frozen", text, fact.at)
            case ev.SymbolThawed(symbol=symbol):
                text = f"{_cut(fact.why)}\nNew orders in {symbol} pass again."
                return _system(Severity.WARNING, f"{symbol} is traded again", text, fact.at)
            case ev.SharesDistributed(symbol=symbol):
                text = f"Every book's shares were multiplied by {plain(fact.ratio)}, by {_cut(fact.by)}: {_cut(fact.reason)}"
                return _told(Topic.CALENDAR, Severity.WARNING, f"{symbol}: split booked", text, fact.at)
            case ev.StrategyStatusChanged(strategy_id=who, status=StrategyStatus.FAILED):
                text = f"{_cut(fact.why)}\nIt is not started again by itself. To do: deskctl logs {who}; then deskctl start {who}"
                return _of(
                    who,
                    known,
                    _told(Topic.SYSTEM_ALERTS, Severity.CRITICAL, f"{who}: the desk gave it up", text, fact.at),
                )
            case ev.RunStalled(strategy_id=who):
                text = f"{_cut(fact.detail)}\nTo do: deskctl logs {who}"
                return _of(who, known, _told(Topic.SYSTEM_ALERTS, Severity.WARNING, f"{who}: stalled", text, fact.at))
            case ev.RunEnded():
                return _run_ended(fact, known)
            case ev.StageChanged(strategy_id=who, stage=stage):
                text = f"By {_cut(fact.by)}: {_cut(fact.why)}. {_IN_STAGE[stage]}"
                return _of(who, known, _system(Severity.INFO, f"{who}: {stage}", text, fact.at))
            case ev.VersionChosen():
                return _version(fact, known)
            case ev.JobEnded(name=name, outcome=JobOutcome.FAILED):
                day = fact.session.isoformat()
                text = f"{_cut(fact.detail)}\nTo do: mend that, then: deskctl jobs run {name} --session {day}"
                return _system(Severity.CRITICAL, f"Job {name} of {day} failed", text, fact.at)
            case ev.DaySummarized():
                return _summary(fact)
            case ev.NoticeGiven():
                return _notice(fact, known)
            case ev.DeskStarted():
                title = f"Desk started: version {_cut(fact.version)}, broker {_cut(fact.broker)}"
                return _system(Severity.WARNING, title, "Strategies start once the account is reconciled.", fact.at)
            case ev.DeskStopped():
                text = "It closed in order: no strategy runs and nothing is watched until it is started again."
                return _system(Severity.WARNING, "Desk stopped", text, fact.at)
            case ev.ClockStepped():
                way = "forward" if fact.by_ms > 0 else "back"
                text = (
                    "What the desk waits for and counts goes on as if nothing had been set. Is the time synchronised?"
                )
                title = f"The desk's clock was set {way} by {abs(fact.by_ms) / 1_000:g} s"
                return _system(Severity.WARNING, title, text, fact.at)
            case ev.Heartbeat():
                return _heartbeat(fact)
            case ev.MarketDayBegan():
                text = "What is counted by the day begins anew: orders, losses, day trades."
                return _told(
                    Topic.CALENDAR, Severity.INFO, f"Market day {fact.market_day.isoformat()} began", text, fact.at
                )
            case _:
                return None  # what only the ledger, the log and the drop copy tell

    # --- orders ------------------------------------------------------------------------------------------------------

    @property
    def trading(self) -> Topic:
        """Return the topic of this desk's orders."""
        return Topic.LIVE_TRADING if self.is_live else Topic.PAPER_TRADING

    def _filled(self, fact: ev.OrderFilled, known: Known) -> Notification | None:
        about = known.order(fact.client_order_id)
        if about is None:
            return None
        trade = Trade(side=about.side, symbol=about.symbol, qty=fact.qty, price=fact.price)
        title = f"{about.strategy} {traded(trade)}"
        text = f"Order {_cut(fact.client_order_id)} of {about.member}."
        return replace(self._order(about, Severity.INFO, title, text, fact.at), trade=trade)

    def _rejected(self, fact: ev.OrderRejected, known: Known) -> Notification | None:
        about = known.order(fact.client_order_id)
        if about is None:
            return None
        title = f"{about.strategy}: order to {about.side} {about.symbol} rejected: {fact.reason}"
        text = f"{_cut(fact.message)}\nWhy: deskctl why {_cut(fact.client_order_id)}"
        return self._order(about, Severity.WARNING, title, text, fact.at)

    def _corrected(self, fact: ev.FillCorrected, known: Known) -> Notification | None:
        about = known.order(fact.client_order_id)
        if about is None:
            return None
        title = f"{about.strategy}: the broker corrected a fill in {about.symbol}: {_cut(fact.word)}"
        text = (
            f"Its count changed by {plain(fact.qty)} shares and ${plain(fact.notional)}; the house took the difference, "
            f"the member's fill stays.\nWhy: deskctl why {_cut(fact.client_order_id)}"
        )
        return self._order(about, Severity.WARNING, title, text, fact.at)

    def _adopted(self, fact: ev.OrderAdopted) -> Notification:
        request = fact.request
        about = About(strategy=request.strategy_id, member=request.user_id, symbol=request.symbol, side=request.side)
        title = f"{about.strategy}: an order in {about.symbol} was replaced at the broker, not by this desk"
        text = f"It replaces {_cut(fact.replaces)} and belongs to the same strategy. Nobody should trade past the desk."
        return self._order(about, Severity.WARNING, title, text, fact.at)

    def _order(self, about: About, severity: Severity, title: str, text: str, at: datetime) -> Notification:
        return replace(_told(self.trading, severity, title, text, at), member=about.member, strategy=about.strategy)

    # --- streams -----------------------------------------------------------------------------------------------------

    def _stream(self, fact: ev.StreamChanged) -> Notification | None:
        if fact.is_up:
            return None  # the outage's end says more
        affected = ", ".join(fact.affected) or "nobody"
        what = "no new orders are taken" if fact.stream == "trades" else "orders are denied as quotes grow stale"
        text = (
            f"Down since {_clock(fact.at)}: {_cut(fact.why)}\nAffected: {affected}; {fact.open_orders} orders open; "
            f"{what}. The desk reconnects by itself. To do, if it lasts: the broker's status page, then deskctl doctor"
        )
        said = _system(Severity.CRITICAL, f"The {fact.stream} stream is down", text, fact.at)
        return replace(said, subject=f"stream:{fact.stream}", wait=self.down_after)


def traded(trade: Trade) -> str:
    """Return the fill in words: `bought 10 AAPL at 150.25 ($1502.50)`."""
    word = "bought" if trade.side is Side.BUY else "sold"
    return f"{word} {plain(trade.qty)} {trade.symbol} at {plain(trade.price)} ({dollars(notional(trade.qty, trade.price))})"


def averaged(trades: list[Trade]) -> str:
    """Return several fills of one side and symbol in words."""
    total = Qty(sum((trade.qty for trade in trades), Qty(trades[0].qty * 0)))
    value = Cash(sum((notional(trade.qty, trade.price) for trade in trades), Cash(trades[0].qty * 0)))
    price = Price(round(value / total, 4))
    word = "bought" if trades[0].side is Side.BUY else "sold"
    figures = f"{plain(total)} {trades[0].symbol} in {len(trades)} fills at {plain(price)} on average"
    return f"{word} {figures} ({dollars(value)})"


def dollars(amount: Cash) -> str:
    """Return the amount with its sign before the dollar: `-$12.50`."""
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def _denied(fact: ev.OrderDenied) -> Notification | None:
    if fact.reason not in _LOSSES:
        return None  # the author hears of it; a loop of denials is nobody's mail
    who = fact.request.strategy_id
    text = f"{_cut(fact.message)}\nOnly orders that close a position pass. Why: deskctl why {_cut(fact.request.client_order_id)}"
    said = _told(Topic.RISK, Severity.WARNING, f"{who}: {fact.reason} reached", text, fact.at)
    once_a_day = f"loss:{who}:{fact.reason}:{fact.market_day.isoformat()}"
    return replace(said, key=once_a_day, member=fact.request.user_id, strategy=who)


def _killed(fact: ev.KillEngaged, known: Known) -> Notification:
    target = fact.target
    narrowed = {KillScope.DESK: "", KillScope.STRATEGY: "--strategy ", KillScope.MEMBER: "--user "}
    option = f"{narrowed.get(target.scope, '--symbol ')}{target.name}"
    remedy = f"when you know why: deskctl release {option}".rstrip() + " --reason TEXT"
    text = f"By {_cut(fact.by)} ({fact.cause}): {_cut(fact.reason)}\nDepth: {fact.depth}. To do, {remedy}"
    found = f", {fact.cause} {_cut(fact.figure)} (bound {_cut(fact.threshold)})" if fact.figure else ""
    title = f"KILL {target}: {fact.depth}{found}"
    return _on_target(target, known, _told(Topic.RISK, Severity.CRITICAL, title, text, fact.at))


def _breaker(fact: ev.BreakerMoved, known: Known) -> Notification | None:
    who = fact.strategy_id
    match fact.state:
        case BreakerState.OPEN:
            until = "" if fact.until is None else f" until {_clock(fact.until)}"
            text = (
                f"{_cut(fact.why)}. Opened {fact.trips} times in a row. Only orders that close a position pass{until}.\n"
                f"To do: deskctl logs {who}; an officer ends it early: deskctl release --strategy {who} --reason TEXT"
            )
            return _of(who, known, _told(Topic.RISK, Severity.WARNING, f"{who}: breaker open", text, fact.at))
        case BreakerState.CLOSED:
            text = f"{_cut(fact.why)}: all its orders pass as before."
            return _of(who, known, _told(Topic.RISK, Severity.INFO, f"{who}: breaker closed", text, fact.at))
        case BreakerState.HALF_OPEN:
            return None  # one of the other two follows


def _suspended(fact: ev.TradingSuspended) -> Notification:
    if fact.is_suspended:
        text = f"{_cut(fact.why)}. The broker takes nobody's new orders until the kill is released: deskctl release --reason TEXT"
        return _told(Topic.RISK, Severity.CRITICAL, "The account is being suspended at the broker", text, fact.at)
    text = f"{_cut(fact.why)}. What holds in the desk itself: deskctl status"
    return _told(Topic.RISK, Severity.WARNING, "The account is not suspended at the broker", text, fact.at)


def _canceled_along(fact: ev.CancelAllAnswered) -> Notification:
    named = ", ".join(_cut(one) for one in fact.strangers[:STRANGERS_NAMED])
    more = len(fact.strangers) - STRANGERS_NAMED
    text = (
        f"A kill of the desk cancels all that is open in the account: {named}{f' and {more} more' if more > 0 else ''}."
    )
    title = f"{len(fact.strangers)} orders that are not the desk's are canceled with its own"
    return _told(Topic.RISK, Severity.WARNING, title, text, fact.at)


def _version(fact: ev.VersionChosen, known: Known) -> Notification:
    who, back = fact.strategy_id, ""
    if fact.previous:
        back = f" Before it: {_cut(fact.previous[:_HASH_SHOWN])}; back to that: deskctl rollback {fact.strategy_id}"
    title = f"{who}: version {_cut(fact.code_hash[:_HASH_SHOWN])} by {_cut(fact.how)}"
    return _of(who, known, _system(Severity.INFO, title, f"By {_cut(fact.by)}.{back}", fact.at))


def _notice(fact: ev.NoticeGiven, known: Known) -> Notification:
    text = f"{printable(fact.text)}\nSaid by {_cut(fact.by)}."
    said = _told(fact.topic, fact.severity, _cut(fact.title), text, fact.at)
    return said if fact.strategy_id is None else _of(fact.strategy_id, known, said)


def _summary(fact: ev.DaySummarized) -> Notification:
    day = fact.market_day.isoformat()
    text = (
        f"Equity {dollars(fact.equity)}, day's P&L {dollars(fact.day_pnl)}, fees of the house {dollars(fact.fees)}\n"
        f"Orders: {fact.orders}, fills: {fact.fills}, denied: {fact.denied}, deaths: {fact.deaths}\n"
        f"More: deskctl report {day}"
    )
    return _told(Topic.DAILY_SUMMARY, Severity.INFO, f"{day}: day's P&L {dollars(fact.day_pnl)}", text, fact.at)


def _outage(fact: ev.OutageEnded) -> Notification:
    lasted = (fact.ended_at - fact.started_at).total_seconds()
    refused = sum(count for _, count in fact.refusals)
    figures = f"From {_clock(fact.started_at)}, {lasted:.1f} s: {_cut(fact.why)}\n"
    figures += f"Affected: {', '.join(fact.affected) or 'nobody'}; orders not taken: {refused}"
    if fact.stream == _DESK:
        text = f"{figures}; orders open: {fact.open_orders}. To do: look into the journal before that for why"
        return _system(Severity.CRITICAL, f"The desk was killed, and is back after {lasted:.0f} s", text, fact.at)
    text = f"{figures}; late bars: {fact.bars_fetched}, missing: {fact.bars_missing}."
    said = _system(Severity.WARNING, f"The {fact.stream} stream is up again after {lasted:.0f} s", text, fact.at)
    return replace(said, withdraws=f"stream:{fact.stream}")


def _discrepancy(fact: ev.DiscrepancyFound) -> Notification:
    more = "" if fact.more is None else f" ({plain(fact.more)} went to the house book)"
    remedy = f"deskctl reconcile; then deskctl reconcile --resolve {_cut(fact.subject)} --reason TEXT"
    text = f"Expected {_cut(fact.expected)}, the broker has {_cut(fact.actual)}{more}; {_cut(fact.action)}.\nTo do: {remedy}"
    return _system(Severity.CRITICAL, f"Books and broker disagree: {_cut(fact.subject)}", text, fact.at)


def _run_ended(fact: ev.RunEnded, known: Known) -> Notification | None:
    who, end = fact.strategy_id, fact.end
    if end.reason in _QUIET_ENDS:
        return None
    place = f" at {_cut(end.source_line)}" if end.source_line else ""
    count = f" It is death {fact.deaths} in a row." if fact.deaths > 1 else ""
    text = f"{_cut(end.detail)}{place}.{count}\nTo do: deskctl status {who}; deskctl logs {who}"
    return _of(who, known, _told(Topic.SYSTEM_ALERTS, Severity.WARNING, f"{who} ended: {end.reason}", text, fact.at))


def _heartbeat(fact: ev.Heartbeat) -> Notification:
    market = {True: "market open", False: "market closed", None: "market unknown"}[fact.market_is_open]
    parts = [f"{fact.strategies_running} strategies running, {fact.orders_open} orders open"]
    if fact.equity is not None:
        parts.append(f"equity {dollars(fact.equity)}, {fact.positions} positions")
    streams = f"DOWN: {', '.join(fact.streams_down)}" if fact.streams_down else "streams up"
    text = f"{'; '.join(parts)}; {streams}; {market}; ledger at {fact.ledger_seq}. Silence means trouble."
    title = f"The desk lives, {streams}" if fact.streams_down else "The desk lives"
    return _told(Topic.HEARTBEAT, Severity.INFO, title, text, fact.at)


def _on_target(target: KillTarget, known: Known, said: Notification) -> Notification:
    match target.scope:
        case KillScope.STRATEGY:
            who = StrategyId(target.name)
            return replace(said, strategy=who, member=known.member_of(who))
        case KillScope.MEMBER:
            return replace(said, member=UserId(target.name))
        case _:
            return said


def _of(who: StrategyId, known: Known, said: Notification) -> Notification:
    return replace(said, strategy=who, member=known.member_of(who))


def _system(severity: Severity, title: str, text: str, at: datetime) -> Notification:
    return _told(Topic.SYSTEM_ALERTS, severity, title, text, at)


def _told(topic: Topic, severity: Severity, title: str, text: str, at: datetime) -> Notification:
    return Notification(key="", topic=topic, severity=severity, title=title, text=text, at=at)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(_NEW_YORK):%H:%M:%S} New York"


def _cut(words: str) -> str:
    words = one_line(words)
    return words if len(words) <= WORDS_MAX else f"{words[:WORDS_MAX]}…"
