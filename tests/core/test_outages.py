"""Each outage has one start and one end, whatever the streams and the desk itself do."""

from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deskd.core.deciding import handle
from deskd.core.desk import MARKET, TRADES, Desk
from deskd.core.outages import DESK
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.ledger import fold
from deskd.ledger.codec import decode, encode
from tests.factories import AAPL, ALICE, BOB, NOON, a_desk, a_limit_request, a_snapshot, accepted, requested


def seconds(count: float) -> datetime:
    return NOON + timedelta(seconds=count)


def ends(effects: list[ef.Effect]) -> list[ev.OutageEnded]:
    return [e.fact for e in effects if isinstance(e, ef.Record) and isinstance(e.fact, ev.OutageEnded)]


def down(at: datetime, why: str = "dropped") -> ev.TradeStreamChanged:
    return ev.TradeStreamChanged(is_up=False, why=why, at=at)


def up(at: datetime) -> ev.TradeStreamChanged:
    return ev.TradeStreamChanged(is_up=True, why="listening", at=at)


def market(at: datetime, *, is_up: bool, affected: tuple[StrategyId, ...] = ()) -> ev.StreamChanged:
    return ev.StreamChanged(stream=MARKET, is_up=is_up, why="dropped", at=at, affected=affected)


def test_a_desk_that_was_killed_tells_of_its_own_outage() -> None:
    """From its last fact to its next start, with whom it affected; a root that was signed meanwhile is no life."""
    desk = a_desk()
    start = ev.DeskStarted(version="1", broker="embedded", at=NOON)
    assert ends(handle(desk, start)) == [], "a first start, or one after an end in order"
    handle(desk, ev.Heartbeat(orders_open=0, strategies_running=2, market_is_open=True, ledger_seq=9, at=seconds(7)))
    desk.apply(ev.RootSigned(market_day=NOON.date(), seq=1, root="", public_key="", signature="", at=seconds(20)))
    (ended,) = ends(handle(desk, replace(start, at=seconds(67))))
    assert (ended.stream, ended.started_at, ended.ended_at) == (DESK, seconds(7), seconds(67))
    assert ended.affected == (ALICE, BOB)
    handle(desk, ev.DeskStopped(at=seconds(70)))
    assert ends(handle(desk, replace(start, at=seconds(99)))) == []
    assert desk.outages.last == ended


def test_an_outage_of_the_trade_stream_ends_with_the_look_after_it() -> None:
    """Alice has an open order, bob was refused one: both were affected. Orders are taken again at `at`."""
    desk, request = a_desk(), a_limit_request("90")
    handle(desk, requested(request))
    handle(desk, accepted(request))
    handle(desk, down(seconds(1), "connection lost: no close frame"))
    desk.refused = {BOB: 2}
    assert not ends(handle(desk, up(seconds(31))))
    (ended,) = ends(handle(desk, a_snapshot(orders=(), missing=(), at=seconds(32))))
    assert ended == ev.OutageEnded(
        stream=TRADES,
        started_at=seconds(1),
        ended_at=seconds(31),
        why="connection lost: no close frame",
        affected=(ALICE, BOB),
        open_orders=1,
        refusals=((BOB, 2),),
        bars_fetched=0,
        bars_missing=0,
        at=seconds(32),
    )
    assert desk.outages.last == ended
    assert not ends(handle(desk, a_snapshot(at=seconds(92)))), "it has one end"


def test_a_loss_before_the_look_belongs_to_the_same_outage() -> None:
    """Nobody could trade in between, so it is one."""
    desk = a_desk()
    for event in (down(seconds(1)), up(seconds(2)), down(seconds(3), "again"), a_snapshot(at=seconds(4))):
        assert not ends(handle(desk, event))
    handle(desk, up(seconds(5)))
    (ended,) = ends(handle(desk, a_snapshot(at=seconds(6))))
    assert (ended.started_at, ended.ended_at, ended.why) == (seconds(1), seconds(5), "dropped")


def test_a_look_that_is_older_than_the_stream_ends_nothing() -> None:
    """What happened between its questions and the stream's return is known to neither."""
    desk = a_desk()
    handle(desk, down(seconds(1)))
    handle(desk, up(seconds(5)))
    assert not ends(handle(desk, a_snapshot(asked_at=seconds(4), at=seconds(6))))
    assert ends(handle(desk, a_snapshot(asked_at=seconds(6), at=seconds(7))))


def test_an_outage_of_the_market_stream_ends_when_its_bars_are_fetched() -> None:
    """Who read when it began, and who reads when it ends, was affected."""
    desk = a_desk()
    handle(desk, market(seconds(1), is_up=False, affected=(ALICE,)))
    resumed = ev.MarketResumed(affected=(BOB,), bars_fetched=4, bars_missing=1, at=seconds(9))
    assert not ends(handle(desk, resumed)), "it is still down"
    handle(desk, market(seconds(8), is_up=True))
    (ended,) = ends(handle(desk, resumed))
    assert (ended.affected, ended.bars_fetched, ended.bars_missing) == ((ALICE, BOB), 4, 1)
    assert (ended.started_at, ended.ended_at, ended.at) == (seconds(1), seconds(8), seconds(9))
    assert not ends(handle(desk, resumed))


def test_a_desk_that_died_in_an_outage_closes_it_when_it_starts() -> None:
    """With what is known: how long the stream was really down, nobody can tell."""
    desk = a_desk()
    handle(desk, down(seconds(1)))
    handle(desk, market(seconds(1), is_up=False, affected=(ALICE,)))
    handle(desk, market(seconds(2), is_up=True))
    trades, other = sorted(
        ends(handle(desk, ev.DeskStarted(version="1", broker="embedded", at=seconds(60)))),
        key=lambda end: end.stream,
        reverse=True,
    )
    assert (trades.is_cut_short, trades.ended_at, trades.at) == (True, seconds(60), seconds(60))
    assert (other.is_cut_short, other.ended_at, other.affected) == (True, seconds(2), (ALICE,))
    assert desk.outages.open == {}


def test_a_broker_that_is_not_there_at_the_start_is_an_outage() -> None:
    """The desk starts and trades nothing; since when, and why, is on record."""
    desk = Desk()
    handle(desk, ev.DeskStarted(version="1", broker="alpaca", at=NOON))
    handle(desk, down(seconds(1), "not connected: refused"))
    assert desk.outages.open[TRADES].why == "not connected: refused"


def test_the_market_streams_night_is_one_fact() -> None:
    """Refused, then a time-out, then refused: the ledger has the first only."""
    desk = a_desk()
    assert handle(desk, market(seconds(1), is_up=False))
    for number in range(2, 50):
        assert not handle(
            desk, ev.StreamChanged(stream=MARKET, is_up=False, why=f"trouble {number % 2}", at=seconds(number))
        )


def test_facts_from_before_outages_were_kept_still_read() -> None:
    """Their new fields have defaults."""
    old = '{"stream":"trades","is_up":false,"why":"x","at":"2026-01-05T17:00:00Z"}'
    assert decode("StreamChanged", old) == ev.StreamChanged(stream="trades", is_up=False, why="x", at=NOON)


class Streams(RuleBasedStateMachine):
    """Both streams come and go, looks and bars come late or never, and the desk dies whenever it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = a_desk()
        self.at_start = deepcopy(self.desk)
        self.ledger: list[ev.Fact] = []
        self.clock = 0
        self.down: dict[str, int] = {}  # naive: since when, by stream
        self.up: dict[str, int] = {}  # of those in `down`, the streams that are up again
        self.expected: list[tuple[str, int, int]] = []
        self.orders = 0

    def send(self, event: ev.Event) -> None:
        for effect in handle(self.desk, event):
            if isinstance(effect, ef.Record):
                self.ledger.append(effect.fact)

    def now(self) -> datetime:
        self.clock += 1
        return seconds(self.clock)

    @rule(stream=st.sampled_from([TRADES, MARKET]), why=st.sampled_from(["dropped", "mute", "429"]))
    def lose(self, stream: str, why: str) -> None:
        at = self.now()
        self.send(down(at, why) if stream == TRADES else market(at, is_up=False, affected=(BOB,)))
        self.down.setdefault(stream, self.clock)
        self.up.pop(stream, None)

    @rule(stream=st.sampled_from([TRADES, MARKET]))
    def regain(self, stream: str) -> None:
        at = self.now()
        self.send(up(at) if stream == TRADES else market(at, is_up=True))
        if stream in self.down:
            self.up[stream] = self.clock

    @rule()
    def look(self) -> None:
        self.send(a_snapshot(at=self.now()))
        self._ends(TRADES)

    @rule()
    def fetch(self) -> None:
        self.send(ev.MarketResumed(affected=(), bars_fetched=1, bars_missing=0, at=self.now()))
        self._ends(MARKET)

    @rule()
    def trade(self) -> None:
        self.orders += 1
        request = a_limit_request("90", client_order_id=ClientOrderId(f"alice-{self.orders}"))
        self.send(requested(request, at=self.now()))

    @rule()
    def die(self) -> None:
        """SIGKILL, and the next start: the facts are all that is left."""
        self.desk = self._replayed()
        was_killed = any(isinstance(fact, ev.DeskStarted) for fact in self.ledger)
        alive = int((self.ledger[-1].at - NOON).total_seconds()) if self.ledger else 0
        self.send(ev.DeskStarted(version="1", broker="embedded", at=self.now()))
        if was_killed:  # its own outage, from its last fact on
            self.expected.append((DESK, alive, self.clock))
        for stream in list(self.down):
            self.up.setdefault(stream, self.clock)
            self._ends(stream)

    def _ends(self, stream: str) -> None:
        if stream in self.up:
            self.expected.append((stream, self.down.pop(stream), self.up.pop(stream)))

    def _replayed(self) -> Desk:
        again = deepcopy(self.at_start)
        for fact in self.ledger:
            again.apply(decode(*encode(fact)))
        return again

    @invariant()
    def each_start_has_one_end(self) -> None:
        told = [f for f in self.ledger if isinstance(f, ev.OutageEnded)]
        assert [(f.stream, f.started_at, f.ended_at) for f in told] == [
            (stream, seconds(began), seconds(ended)) for stream, began, ended in self.expected
        ]
        assert all(f.started_at <= f.ended_at <= f.at for f in told)
        assert {s: o.started_at for s, o in self.desk.outages.open.items()} == {
            s: seconds(began) for s, began in self.down.items()
        }

    @invariant()
    def orders_are_taken_exactly_outside_of_outages(self) -> None:
        if self.desk.is_synced:
            assert TRADES not in self.desk.outages.open

    @invariant()
    def the_ledger_tells_the_whole_story(self) -> None:
        assert self._replayed() == self.desk


TestStreams = Streams.TestCase


def test_a_halt_is_on_record_when_it_changes_and_outlives_a_restart() -> None:
    """The market says it once: a desk that starts again must not take it for trading."""
    desk = a_desk()
    halted = ev.HaltChanged(symbol=AAPL, is_halted=True, why="T1", market_at=NOON, at=NOON)
    resumed = replace(halted, is_halted=False, why="T")
    assert handle(desk, resumed) == []
    assert handle(desk, halted) == [ef.Record(halted)]
    assert handle(desk, replace(halted, why="T2")) == []
    twin = a_desk()
    twin.apply(decode(*encode(halted)))
    assert twin.halts == desk.halts == {AAPL: halted}
    assert fold.decode(fold.encode(desk)).halts == desk.halts
    assert handle(desk, resumed) == [ef.Record(resumed)]
    assert desk.halts == {}
