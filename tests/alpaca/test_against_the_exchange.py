"""The client and the embedded exchange, over real sockets: what one writes the other reads."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from deskd.alpaca.broker import AlpacaBroker, open_broker
from deskd.alpaca.connection import Timing
from deskd.alpaca.endpoints import Endpoints, Keys, embedded
from deskd.alpaca.resync import History, snapshot
from deskd.alpaca.stream import MarketStream
from deskd.alpaca.trading_stream import TradeStream
from deskd.domain.activity import HouseCause
from deskd.domain.errors import BrokerFatal
from deskd.domain.events import CancelAnswered, SubmitAccepted, SubmitInDoubt, SubmitRejected, TradeUpdated
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, Symbol
from deskd.domain.order import OrderRequest, Replacement, Side, TimeInForce
from deskd.ports import RawMarketMessage, SystemClock
from deskd.venue.assembly import opened
from deskd.venue.faults import RestRule
from deskd.venue.settings import Keys as VenueKeys
from deskd.venue.settings import VenueSettings
from tests.factories import AAPL, SPY, a_limit_request, a_request, price, qty
from tests.hang import HANG_S

KEYS = Keys("embedded", "embedded")


@asynccontextmanager
async def an_exchange(*rules: RestRule, per_min: int | None = None) -> AsyncIterator[tuple[Endpoints, AlpacaBroker]]:
    """Open an exchange on the synthetic market, in memory, and a broker to it; by *rules* it misbehaves."""
    settings = VenueSettings(
        listen="127.0.0.1:0",
        tape=("synthetic",),
        speed=20.0,  # the first quotes come sooner
        loop=True,
        seed=1,
        cash=Decimal(100_000),
        fills="immediate",
        start=None,
        state=None,
        keys=VenueKeys(key_id=KEYS.key_id, secret_key=KEYS.secret),
        rate_limit_per_min=per_min or 0,
        faults=bool(rules),
    )
    async with opened(settings) as venue:
        if venue.faults is not None:
            venue.faults.rest = list(rules)
        where = embedded(venue.url, "iex")
        async with open_broker(where, KEYS, clock=SystemClock(), requests_per_min=per_min) as broker:
            yield where, broker


class Notes:
    """What a stream told, with a way to wait."""

    def __init__(self) -> None:
        self.updates: list[TradeUpdated] = []
        self.messages: list[RawMarketMessage] = []
        self.ups = 0
        self._changed = asyncio.Event()

    async def on_update(self, update: TradeUpdated) -> None:
        self.updates.append(update)
        self._changed.set()

    def on_messages(self, messages: list[RawMarketMessage]) -> None:
        self.messages += messages
        self._changed.set()

    async def on_state(self, is_up: bool, why: str) -> None:
        self.ups += is_up
        self._changed.set()

    async def until(self, holds: object) -> None:
        assert callable(holds)
        async with asyncio.timeout(HANG_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


async def a_price(broker: AlpacaBroker, notes: Notes, symbol: Symbol) -> None:
    """Wait until the exchange has a market in the symbol."""
    await notes.until(lambda: any(m["T"] == "q" and m["S"] == symbol for m in notes.messages))


async def test_an_order_lives_its_whole_life_over_the_wire() -> None:
    """Accepted, filled by the stream, and found again by REST under the same names; the account agrees."""
    notes = Notes()
    async with an_exchange() as (where, broker), asyncio.TaskGroup() as tasks:
        market = MarketStream(
            url=where.data_stream, keys=KEYS, on_messages=notes.on_messages, on_state=notes.on_state, stale_after_s=30
        )
        market.set_symbols({"quotes": frozenset({AAPL, SPY}), "trades": frozenset({AAPL})})
        trades = TradeStream(
            url=where.trade_stream,
            keys=KEYS,
            clock=SystemClock(),
            on_update=notes.on_update,
            on_state=notes.on_state,
        )
        streams = [tasks.create_task(market.run()), tasks.create_task(trades.run())]
        await notes.until(lambda: notes.ups == 2)
        await a_price(broker, notes, AAPL)

        with capture_logs() as logs:
            said = await broker.submit(a_request(qty=qty(3)))
            assert isinstance(said, SubmitAccepted), said
            await notes.until(lambda: any(u.fill for u in notes.updates))
            found = await broker.look_up(ClientOrderId("alice-1"))
        assert logs == [], "alpaca-py's strict model has nothing to say against the exchange's orders"
        assert found is not None
        streamed = [u.fill for u in notes.updates if u.fill]
        assert [f.fill_id for f in found.fills] == [f.fill_id for f in streamed]
        assert [(f.qty, f.price) for f in found.fills] == [(f.qty, f.price) for f in streamed]
        (held,) = await broker.positions()
        cash, equity, buying_power = await broker.account()
        spent = sum(f.qty * f.price for f in streamed)
        assert (held.symbol, held.qty) == (AAPL, Decimal(3))
        assert abs(cash - (100_000 - spent)) < Decimal("0.01")
        assert equity > 0
        assert buying_power > 0

        resting = a_limit_request("1.00", client_order_id=ClientOrderId("rest"), time_in_force=TimeInForce.GTC)
        accepted = await broker.submit(resting)
        assert isinstance(accepted, SubmitAccepted)
        seen = await snapshot(
            broker,
            open_orders=(),
            since=None,
            fill_counter=lambda: 1,
            history=History(read_until=None, is_wide=True, knows=lambda _: False, is_ours=lambda _: False),
            now=SystemClock().now,
            why="a test",
        )
        assert sorted(o.client_order_id for o in seen.orders) == ["alice-1", "rest"]
        deposit, *executions = sorted(seen.activities, key=lambda a: a.at)
        assert (deposit.kind, deposit.cash, deposit.cause) == ("CSD", Decimal(100_000), HouseCause.TRANSFER)
        assert [a.fill for a in executions] == streamed
        assert seen.positions == (held,)
        again = await broker.submit(resting)
        assert isinstance(again, SubmitInDoubt), "the same id again: the order is there, and a look-up finds it"
        canceled = await broker.cancel(ClientOrderId("rest"), accepted.order.broker_order_id)
        assert isinstance(canceled, CancelAnswered)
        assert canceled.refusal is None
        await notes.until(lambda: notes.updates[-1].event == "canceled")
        too_late = await broker.cancel(ClientOrderId("rest"), accepted.order.broker_order_id)
        assert isinstance(too_late, CancelAnswered)
        assert too_late.refusal is not None
        for stream in streams:
            stream.cancel()


async def test_refusals_arrive_in_the_exchanges_words() -> None:
    """Message and extras of the catalogue; nothing is in doubt."""
    async with an_exchange() as (_, broker):
        said = await broker.submit(a_limit_request("100", qty=qty(1_000_000)))
        assert isinstance(said, SubmitRejected)
        assert "insufficient buying power" in said.message
        unknown = await broker.submit(a_request(symbol=Symbol("NOSUCH"), side=Side.BUY))
        assert isinstance(unknown, SubmitRejected)
        assert "NOSUCH" in unknown.message
        missing = await broker.look_up(ClientOrderId("never-sent"))
        assert missing is not None
        assert missing.order is None


async def a_resting_order(broker: AlpacaBroker, oid: str) -> BrokerOrderId:
    """Place a limit order that nobody fills, and wait until the exchange works on it."""
    said = await broker.submit(
        a_limit_request("1.00", client_order_id=ClientOrderId(oid), time_in_force=TimeInForce.GTC)
    )
    assert isinstance(said, SubmitAccepted), said
    async with asyncio.timeout(HANG_S):
        while True:
            found = await broker.look_up(ClientOrderId(oid))
            if found is not None and found.order is not None and found.order.raw_status == "new":
                return said.order.broker_order_id
            await asyncio.sleep(0.01)


def a_replacement(old: str, new: str, **changes: Any) -> OrderRequest:
    wanted = Replacement(replaces=ClientOrderId(old), **changes)
    return a_limit_request("1.00", client_order_id=ClientOrderId(new), replacement=wanted)


async def until_priced(where: Endpoints, broker: AlpacaBroker, work: Callable[[Notes], Awaitable[None]]) -> None:
    """Do *work* once there is a market in AAPL, with the trade stream listening."""
    notes = Notes()
    async with asyncio.TaskGroup() as tasks:
        market = MarketStream(
            url=where.data_stream, keys=KEYS, on_messages=notes.on_messages, on_state=notes.on_state, stale_after_s=30
        )
        market.set_symbols({"quotes": frozenset({AAPL})})
        trades = TradeStream(
            url=where.trade_stream, keys=KEYS, clock=SystemClock(), on_update=notes.on_update, on_state=notes.on_state
        )
        streams = [tasks.create_task(market.run()), tasks.create_task(trades.run())]
        await notes.until(lambda: notes.ups == 2)
        await a_price(broker, notes, AAPL)
        await work(notes)
        for stream in streams:
            stream.cancel()


async def test_a_replacement_takes_the_old_orders_place() -> None:
    """The answer is the new order; the stream tells the old one's end, and both know each other by every road."""
    async with an_exchange() as (where, broker):

        async def work(notes: Notes) -> None:
            old = await a_resting_order(broker, "old")
            said = await broker.replace(a_replacement("old", "new", limit_price=price("1.01"), qty=qty(7)), old)
            assert isinstance(said, SubmitAccepted), said
            new = said.order
            assert (new.client_order_id, new.replaces, new.qty, new.limit_price) == (
                "new",
                old,
                qty(7),
                Decimal("1.01"),
            )
            await notes.until(lambda: any(u.event == "replaced" for u in notes.updates))
            (ended,) = [u.order for u in notes.updates if u.event == "replaced"]
            assert (ended.broker_order_id, ended.replaced_by) == (old, new.broker_order_id)
            found = await broker.look_up(ClientOrderId("old"))
            assert found is not None
            assert found.order is not None
            assert found.order.raw_status == "replaced"
            assert [o.client_order_id for o in found.successors] == ["new"]
            gone = await broker.replace(a_replacement("old", "newer", limit_price=price("1.02")), old)
            assert isinstance(gone, SubmitRejected)
            assert "order is not open" in gone.message
            taken = await broker.replace(a_replacement("new", "old", limit_price=price("1.02")), new.broker_order_id)
            assert isinstance(taken, SubmitInDoubt), "an id names one order for ever"

        await until_priced(where, broker, work)


@pytest.mark.parametrize(
    ("rule", "arrives"),
    [
        (RestRule(method="PATCH", status=504, after_accepting=True), True),
        (RestRule(method="PATCH", cut=True, after_accepting=True), True),
        (RestRule(method="PATCH", status=500), False),
        (RestRule(method="PATCH", cut=True), False),
    ],
)
async def test_a_replacement_in_doubt_is_found_by_its_own_id_or_was_never_there(rule: RestRule, arrives: bool) -> None:
    """Whatever the answer was, the new id tells; nothing is sent again."""
    async with an_exchange(rule) as (where, broker):

        async def work(_: Notes) -> None:
            old = await a_resting_order(broker, "old")
            said = await broker.replace(a_replacement("old", "new", limit_price=price("1.01")), old)
            assert isinstance(said, SubmitInDoubt), said
            new = await broker.look_up(ClientOrderId("new"))
            assert new is not None
            assert (new.order is not None) is arrives
            kept = await broker.look_up(ClientOrderId("old"))
            assert kept is not None
            assert kept.order is not None
            assert kept.order.raw_status == ("replaced" if arrives else "new")
            assert len(kept.successors) == arrives

        await until_priced(where, broker, work)


async def test_what_is_asked_seldom_is_answered() -> None:
    """Clock, instruments, orders, fills and bars are read without a complaint."""
    async with an_exchange() as (_, broker):
        clock = await broker.clock()
        instruments = {i.symbol: i for i in await broker.instruments()}
        assert instruments[AAPL].is_tradable
        assert list(await broker.orders()) == []
        assert dict(await broker.fills(after=clock.timestamp)) == {}
        bars = await broker.bars(AAPL, "1Min", 5)
        assert [bar["t"] for bar in bars] == sorted(bar["t"] for bar in bars)
        assert all(bar["T"] == "b" and bar["S"] == AAPL for bar in bars)


async def test_wrong_keys_are_fatal_and_told() -> None:
    """Both streams and the cold paths say what to check."""
    wrong = Keys("embedded", "wrong")
    notes = Notes()
    async with an_exchange() as (where, _):
        trades = TradeStream(
            url=where.trade_stream,
            keys=wrong,
            clock=SystemClock(),
            on_update=notes.on_update,
            on_state=notes.on_state,
            timing=Timing(reconnect_min_s=0.01),
        )
        async with asyncio.timeout(HANG_S):
            with pytest.raises(BrokerFatal, match="check APCA_API_KEY_ID"):
                await trades.run()
        async with open_broker(where, wrong, clock=SystemClock(), requests_per_min=None) as broker:
            with pytest.raises(PermissionError, match="unauthorized"):
                await broker.account()
            assert isinstance(await broker.submit(a_request()), SubmitRejected)


async def test_a_flood_is_kept_within_the_exchanges_own_limit_and_costs_nobody_else_anything() -> None:
    """Of 200 a minute: one strategy floods, ten others and fifteen cancels go through at once, and no 429 comes."""
    async with an_exchange(per_min=200) as (_, broker):

        def an_order(who: str, n: int) -> OrderRequest:
            return a_limit_request("1.00", client_order_id=ClientOrderId(f"{who}-{n}"), strategy_id=StrategyId(who))

        async with asyncio.TaskGroup() as tasks:
            flood = [tasks.create_task(broker.submit(an_order("flood", n))) for n in range(100)]
            await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
            calm = [tasks.create_task(broker.submit(an_order(f"calm{n}", n))) for n in range(10)]
            async with asyncio.timeout(HANG_S):
                await asyncio.gather(*calm)  # noqa: TID251  they are of the group
            assert sum(not one.done() for one in flood) > 0, "the flood waits still"
            canceled = [
                await broker.cancel(ClientOrderId("x"), BrokerOrderId(str(uuid.UUID(int=n)))) for n in range(15)
            ]
        assert all(isinstance(one, CancelAnswered) for one in canceled)
        sent = [one.result() for one in flood if not _is_unsent(one.result())]
        assert 30 <= len(sent) <= 45, "a burst, and two a second for five seconds"
        figures = broker.requests()
        assert figures.turned_away == 0
        assert figures.limit == 200


def _is_unsent(said: object) -> bool:
    return isinstance(said, SubmitRejected) and not said.was_sent
