"""A desk's life of any length, from a seed: orders of two members that fill, cross, end and are denied, runs, looks."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.standing import CASH
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import Activity
from deskd.domain.events import BrokerStatus
from deskd.domain.exits import ExitKind
from deskd.domain.ids import ActivityId, ClientOrderId, RunId, Symbol
from deskd.domain.kill import KillDepth, KillScope, KillTarget
from deskd.domain.money import NO_CASH, NO_QTY, Cash, Qty
from deskd.domain.order import OrderRequest, Side
from deskd.domain.run import ExitReason, RunEnd, StrategyStatus
from deskd.ledger.projections import TABLES, project
from deskd.ledger.roots import SigningKey
from deskd.ledger.store import LedgerStore
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    SPY,
    a_broker_order,
    a_desk,
    a_kill,
    a_limit_request,
    a_quote,
    a_release,
    a_snapshot,
    accepted,
    an_exit,
    an_instrument,
    cash,
    filled,
    price,
    qty,
    registered,
    requested,
    updated,
)

OWN = Symbol("IWM")
type Dump = dict[str, list[tuple[object, ...]]]
KILLED = (KillTarget(KillScope.MEMBER, "nobody"), KillTarget(KillScope.SYMBOL, "QQQ"))  # a kill of no one's


class Life:
    """Lives on, event by event; `facts` are what was kept."""

    def __init__(self, seed: int) -> None:
        template = a_desk()
        self.desk = Desk(limits=template.limits, instruments=template.instruments, calendar=template.calendar)
        self.facts: list[ev.Fact] = []
        self._dice = Random(seed)
        self._now = NOON
        self._count = 0
        self._open: list[tuple[OrderRequest, int]] = []  # accepted, and how much of it is filled
        self._runs: list[RunId] = []
        self._phantom = 0  # shares of AAPL that the broker has, and nobody knows why
        self._happens(ev.DeskStarted(version="0", broker="embedded", at=NOON))
        self._happens(ev.TradeStreamChanged(is_up=True, why="listening", at=NOON))
        self._happens(a_snapshot(positions=(ev.BrokerPosition(symbol=AAPL, qty=qty(3), avg_entry_price=price(90)),)))
        for who in (ALICE, BOB):
            self._happens(registered(who))
            self._happens(ev.StrategyStatusChanged(strategy_id=who, status=StrategyStatus.ACTIVE, why="", at=NOON))
            self._happens(ev.AllocationChanged(strategy_id=who, allocation=cash(40_000), by="config", at=NOON))

    def goes_on(self, events: int) -> list[ev.Fact]:
        """Let so many things happen; return the facts of them."""
        before = len(self.facts)
        steps = (
            self._ask,
            self._ask,
            self._ask,
            self._fill,
            self._fill,
            self._end,
            self._mark,
            self._run,
            self._change,
            self._stream,
            self._differ,
            self._look,
        )
        for _ in range(events):
            self._now += timedelta(seconds=self._dice.randrange(3), microseconds=self._dice.randrange(1_000_000))
            self._dice.choice(steps)()
        return self.facts[before:]

    def crosses_zero(self) -> None:
        """Have alice sell more of a symbol of her own than she holds: the order goes in two parts, the second is open."""
        limits = self.desk.limits[ALICE]
        self.desk.limits[ALICE] = replace(limits, is_short_allowed=True, symbols=limits.symbols | {OWN})
        self.desk.instruments = {**self.desk.instruments, OWN: an_instrument(OWN)}
        for side, shares in ((Side.BUY, 2), (Side.SELL, 5)):
            oid = ClientOrderId(f"alice-{side}s")
            request = a_limit_request("100", client_order_id=oid, symbol=OWN, side=side, qty=qty(shares))
            self._happens(requested(request, quote=a_quote(symbol=OWN)))
            split = self.desk.orders[oid].split
            sent = request if split is None else self.desk.orders[split.parts[0]].request
            self._at(accepted(sent))
            self._at(filled(sent, 2))
        self.desk.limits[ALICE] = limits

    def _happens(self, event: ev.Event) -> None:
        self.facts += [e.fact for e in handle(self.desk, event) if isinstance(e, ef.Record)]

    def _at(self, event: ev.TradeUpdated | ev.SubmitAccepted) -> None:
        self._happens(replace(event, at=self._now))

    def _sync(self) -> None:
        self._happens(ev.TradeStreamChanged(is_up=True, why="listening", at=self._now))
        held = self.desk.portfolio.holdings().items()
        positions = tuple(ev.BrokerPosition(symbol=s, qty=q, avg_entry_price=price(100)) for s, q in held)
        books = {"cash": self.desk.portfolio.cash(), "positions": positions, "fill_count": self.desk.fill_count}
        self._happens(a_snapshot(**books, at=self._now))

    def _ask(self) -> None:
        if not self.desk.is_synced:
            self._sync()
        self._count += 1
        who, dice = self._dice.choice((ALICE, BOB)), self._dice
        request = a_limit_request(
            str(dice.choice((99, 100, "100.5"))),
            strategy_id=who,
            client_order_id=ClientOrderId(f"{who}-{self._count}"),
            symbol=dice.choice((AAPL, SPY)),
            side=dice.choice((Side.BUY, Side.BUY, Side.SELL)),
            qty=qty(dice.choice((1, 10, 10, 999))),  # the last is more than the gate lets pass
            reason=dice.choice((None, 'crossing\n\N{GREEK SMALL LETTER MU} > 0, "so" what\u2028')),
        )
        quote = a_quote(symbol=request.symbol, received_at=self._now)
        self._happens(requested(request, quote=quote, at=self._now))
        asked = self.desk.orders.get(request.client_order_id)  # none while the stream is down
        if asked is not None and asked.status.is_open:
            if dice.random() < 0.9:
                self._at(accepted(request))
            self._open.append((request, 0))

    def _fill(self) -> None:
        if not self._open:
            return
        request, done = self._open.pop(0)
        assert request.qty is not None
        shares = self._dice.randint(1, int(request.qty) - done)
        at_price = str(100 + Decimal(self._dice.randrange(-99, 100)) / 100)
        self._at(filled(request, shares, cumulative=done + shares, at_price=at_price))
        if done + shares < request.qty:
            self._open.append((request, done + shares))

    def _end(self) -> None:
        if not self._open:
            return
        request, done = self._open.pop()
        oid = request.client_order_id
        self._happens(ev.CancelRequested(client_order_id=oid, by=request.user_id, at=self._now))
        self._at(updated(a_broker_order(request, status=BrokerStatus.CANCELED, filled_qty=qty(done))))

    def _mark(self) -> None:
        marks = tuple((symbol, price(self._dice.randrange(90, 110))) for symbol in (AAPL, SPY))
        self._happens(ev.MarksTaken(marks=marks, at=self._now))

    def _run(self) -> None:
        if self._runs and self._dice.random() < 0.5:
            reason = self._dice.choice(list(ExitReason))
            end = RunEnd(reason=reason, detail="it ended", peak_memory_bytes=2**20, cpu_seconds=self._dice.random())
            run = self._runs.pop()
            self._happens(ev.RunEnded(run_id=run, strategy_id=ALICE, end=end, at=self._now))
            return
        self._count += 1
        self._runs.append(RunId(f"r{self._count}"))
        self._happens(ev.RunStarted(run_id=self._runs[-1], strategy_id=ALICE, at=self._now))

    def _look(self) -> None:
        """Have somebody else do something to the account, or nobody, and the desk look; sometimes an officer settles."""
        dice, symbol = self._dice, self._dice.choice((AAPL, SPY))
        self._count += 1
        self._phantom += dice.choice((0, 0, 1, -1))
        line = Activity(
            activity_id=ActivityId(f"a{self._count}"),
            kind=dice.choice(("FILL", "FEE", "SPLIT")),
            at=self._now,
            symbol=symbol,
            qty=qty(dice.randrange(5)),
            price=price(100),
            cash=cash(dice.randrange(-500, 500)),
            execution="fill",
        )
        lines = dice.choice(((), (line,)))
        held = self.desk.portfolio.holdings()
        held[symbol] = Qty(held.get(symbol, NO_QTY) + sum((one.qty for one in lines), NO_QTY))
        held[AAPL] = Qty(held.get(AAPL, NO_QTY) + self._phantom)
        self._happens(
            a_snapshot(
                cash=Cash(self.desk.portfolio.cash() + sum((one.cash for one in lines), NO_CASH)),
                positions=tuple(
                    ev.BrokerPosition(symbol=s, qty=q, avg_entry_price=price(100)) for s, q in sorted(held.items()) if q
                ),
                fill_count=self.desk.execution_count,
                activities=lines,
                market_at=self._now,
                at=self._now,
            )
        )
        for subject in (*self.desk.standing.open, *self.desk.standing.frozen):
            if dice.random() < 0.3:
                ratio = dice.choice((None, Decimal(2))) if subject != CASH else None
                self._happens(
                    ev.ResolutionRequested(subject=subject, by="ada", reason="seen", at=self._now, ratio=ratio)
                )

    def _change(self) -> None:
        who, dice = self._dice.choice((ALICE, BOB)), self._dice
        event: ev.Event = dice.choice(
            (
                ev.StrategyRegistered(
                    strategy_id=who,
                    user_id=registered(who).user_id,
                    name=who,
                    version=str(self._count),
                    path="strategies",
                    code_hash="1",
                    at=self._now,
                ),
                ev.StrategyStatusChanged(strategy_id=who, status=StrategyStatus.ACTIVE, why="again", at=self._now),
                ev.AllocationChanged(
                    strategy_id=who, allocation=cash(dice.randrange(30_000, 50_000)), by="", at=self._now
                ),
                ev.CommandGiven(by="anna", command="restart", arguments=who, at=self._now),
                a_kill(dice.choice(KILLED), dice.choice(tuple(KillDepth)[:2]), at=self._now),
                a_release(dice.choice(KILLED), at=self._now),
            )
        )
        self._happens(event)

    def _stream(self) -> None:
        what = self._dice.choice(("market", "resumed", "trades", "started"))
        is_up = self._dice.random() < 0.5
        if what == "market":
            why = "x"
            self._happens(ev.StreamChanged(stream="market", is_up=is_up, why=why, at=self._now, affected=(ALICE, BOB)))
        elif what == "trades":
            self._happens(ev.TradeStreamChanged(is_up=is_up, why="x", at=self._now))
        elif what == "resumed":
            self._happens(ev.MarketResumed(affected=(BOB,), bars_fetched=3, bars_missing=1, at=self._now))
        else:
            self._happens(ev.DeskStarted(version="0", broker="embedded", at=self._now))

    def _differ(self) -> None:
        dice, at = self._dice, self._now
        symbol, more = dice.choice((AAPL, SPY)), Decimal(dice.choice(("-1", "2.5")))
        found = ev.DiscrepancyFound(
            subject=symbol, expected="the books", actual=f"{more} more", action="house", at=at, more=more
        )
        taken = ev.HouseAdjusted(
            cash=cash(0), symbol=symbol, qty=qty(str(more)), price=price(100), why="no fill explains it", at=at
        )
        resolved = ev.DiscrepancyResolved(subject=symbol, by="anna", reason="a gift", at=at)
        fee = ev.HouseAdjusted(cash=cash("-0.02"), symbol=None, qty=qty(0), price=None, why="fee", at=at)
        frozen = ev.SymbolFrozen(symbol=symbol, why="nobody knows", at=at)
        thawed = ev.SymbolThawed(symbol=symbol, why="resolved", at=at)
        split = ev.SharesDistributed(symbol=symbol, ratio=Decimal(2), by="anna", reason="split", at=at)
        trail = ev.TrailMoved(strategy_id=ALICE, symbol=symbol, price=price(101), at=at)
        stop = an_exit(
            symbol=symbol, kind=ExitKind.TRAILING, position_qty=qty(1), price=price(99), level=price(100), at=at
        )
        for fact in dice.choice(
            ((trail, stop), (found, taken), (found, taken, resolved), (resolved,), (fee,), (frozen, thawed), (split,))
        ):
            self._is_kept(fact)

    def _is_kept(self, fact: ev.Fact) -> None:
        self.desk.apply(fact)
        self.facts.append(fact)


def a_life(seed: int, events: int) -> list[ev.Fact]:
    """Return the facts of a life."""
    life = Life(seed)
    life.goes_on(events)
    return life.facts


def batches(facts: Sequence[ev.Fact], cuts: Sequence[int]) -> list[Sequence[ev.Fact]]:
    """Return the facts cut into batches before each of *cuts*."""
    bounds = [0, *sorted({cut % (len(facts) + 1) for cut in cuts}), len(facts)]
    return [facts[a:b] for a, b in pairwise(bounds) if a < b]


async def append(ledger: LedgerStore, desk: Desk, parts: Sequence[Sequence[ev.Fact]]) -> None:
    """Append batch by batch, as the runtime does."""
    for part in parts:
        for fact in part:
            desk.apply(fact)
        await ledger.append(part, project(part, desk))


async def written(path: Path, facts: Sequence[ev.Fact], cuts: Sequence[int] = ()) -> Path:
    """Write a ledger of the facts; return its path."""
    async with await LedgerStore.open(path) as ledger:
        await append(ledger, Desk(), batches(facts, cuts))
    return path


def dump(path: Path, tables: Sequence[str] = (*TABLES, "facts")) -> Dump:
    """Return what the tables hold; of one table, the rows by their key."""
    with closing(sqlite3.connect(path)) as db:
        return {table: sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables}


def in_order(path: Path, table: str) -> list[tuple[object, ...]]:
    """Return the rows as they came into the table."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()


KEY = SigningKey(bytes(range(32)))


async def written_and_signed(path: Path, facts: Sequence[ev.Fact], signed_after: Sequence[int]) -> Path:
    """Write a ledger of the facts, with a root after each so many of them; return its path."""
    desk = Desk()
    bounds = [0, *signed_after, len(facts)]
    async with await LedgerStore.open(path) as ledger:
        for begin, end in pairwise(bounds):
            await append(ledger, desk, [facts[begin:end]])
            if end in signed_after:
                await append(ledger, desk, [[KEY.sign(MONDAY, ledger.last_seq, ledger.last_hash, facts[end - 1].at)]])
    return path


def at_rest(path: Path) -> Path:
    """Put all that the ledger holds into its one file; return its path."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    return path
