"""Past events: from any place in the ledger on, they are what a reader of the whole ledger derives."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from deskd.control.past_events import PastEvents, kinds_of, last_events
from deskd.core.deciding import handle
from deskd.domain import events as ev
from deskd.domain.effects import Record
from deskd.domain.ids import BrokerOrderId, ClientOrderId, RunId
from deskd.domain.order import OrderClass, Side, StopLoss, TakeProfit
from deskd.ledger.fact_reader import FactReader
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from deskd.wire.drop_copy import DropCopy
from deskd.wire.event_line import DeskEvent, EventLine
from tests.factories import (
    BOB,
    NOON,
    a_broker_order,
    a_desk,
    a_limit_request,
    a_request,
    accepted,
    filled,
    price,
    qty,
    registered,
    requested,
)


def a_busy_day() -> tuple[list[ev.Fact], Any]:
    """Return the facts of many orders that overlap, and their desk."""
    desk = a_desk(allocation="1000000")
    facts: list[ev.Fact] = [registered(BOB)]

    def happens(event: ev.Event) -> None:
        facts.extend(effect.fact for effect in handle(desk, event) if isinstance(effect, Record))

    bracket = a_limit_request(
        client_order_id=ClientOrderId("bracket"),
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    leg = a_limit_request("110", side=Side.SELL, client_order_id=ClientOrderId("leg"))
    happens(requested(bracket))
    carried = a_broker_order(bracket, legs=(a_broker_order(leg, broker_order_id=BrokerOrderId("b-leg")),))
    happens(ev.SubmitAccepted(client_order_id=bracket.client_order_id, order=carried, at=NOON))
    happens(filled(bracket, 10))
    open_: list[Any] = []
    for number in range(12):
        request = a_limit_request(client_order_id=ClientOrderId(f"order-{number:02}"))
        happens(requested(request))
        happens(requested(a_request(client_order_id=ClientOrderId(f"denied-{number:02}"), qty=qty(900))))
        happens(accepted(request))
        happens(filled(request, 4))
        open_.append(request)
        if number % 3 == 2:
            done = open_.pop(0)
            happens(filled(done, 6, cumulative=10))
    happens(filled(leg, 10))
    facts.append(ev.RunStarted(run_id=RunId("r"), strategy_id=BOB, at=NOON))
    return facts, desk


def whole(facts: list[ev.Fact]) -> list[EventLine]:
    copy = DropCopy()
    return [line for seq, fact in enumerate(facts, 1) for line in copy.events(seq, fact)]


FACTS, DESK = a_busy_day()
WHOLE = whole(FACTS)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "desk.db"

    async def write() -> None:
        store = await LedgerStore.open(path)
        await store.append(FACTS, project(FACTS, DESK))
        await store.close()

    asyncio.run(write())
    return path


def read_all(past: PastEvents) -> list[EventLine]:
    lines: list[EventLine] = []
    while past.seq < len(FACTS):
        lines += [line for events in past.read(until=len(FACTS)) for line in events]
    return lines


@given(place=st.integers(0, len(FACTS)), window=st.integers(1, 30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_from_any_place_on_they_are_what_the_whole_ledger_gives(ledger: Path, place: int, window: int) -> None:
    """However the reads are cut: an order's beginning is looked up where it was not read."""
    with FactReader(ledger) as history:
        past = PastEvents(history, place, window=window)
        assert read_all(past) == [line for line in WHOLE if line.seq > place]


@given(kinds=st.sets(st.sampled_from(list(DeskEvent)), min_size=1), place=st.integers(0, len(FACTS)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_a_few_kinds_only_gives_the_same_events_of_them(
    ledger: Path, kinds: set[DeskEvent], place: int
) -> None:
    """What is passed over on the way does not change what the rest says."""
    with FactReader(ledger) as history:
        lines = read_all(PastEvents(history, place, kinds_of(kinds), window=7))
        assert [e for e in lines if e.event in kinds] == [e for e in WHOLE if e.seq > place and e.event in kinds]


@pytest.mark.parametrize("count", [0, 1, 7, 10_000])
@pytest.mark.parametrize(
    "keeps",
    [lambda _line: True, lambda line: line.event == "order_denied", lambda line: line.client_order_id == "leg"],
)
def test_the_last_events_are_the_end_of_all(ledger: Path, count: int, keeps: Callable[[EventLine], bool]) -> None:
    """As many as were asked for, of those that are wanted."""
    with FactReader(ledger) as history:
        kept = [line for line in WHOLE if keeps(line)]
        assert (
            last_events(history, count, keeps, until=len(FACTS), kinds=None)
            == kept[len(kept) - min(count, len(kept)) :]
        )


def test_the_last_events_of_a_kind_are_found_by_the_kind(ledger: Path) -> None:
    """Runs are few among orders: the rest is not read."""
    kinds = kinds_of({DeskEvent.RUN_STARTED})
    assert kinds == frozenset({"RunStarted", "StrategyRegistered"})
    assert kinds_of(()) is None
    with FactReader(ledger) as history:
        (line,) = last_events(history, 5, lambda e: e.event == "run_started", until=len(FACTS), kinds=kinds)
        assert (line.strategy_id, line.user_id) == (BOB, BOB)
        assert last_events(history, 5, lambda _: True, until=0, kinds=None) == []
