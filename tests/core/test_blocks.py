"""One order of the house closes for many books: each gets its part at one price, and the sum is the account's."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from deskd.core.blocks import CHECK, bundled
from deskd.core.closing import due, request_for
from deskd.core.deciding import decide
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.effects import Record
from deskd.domain.events import BrokerStatus, Source
from deskd.domain.ids import HOUSE, ClientOrderId, StrategyId
from deskd.domain.kill import KillDepth, KillScope, KillTarget
from deskd.domain.money import Qty
from deskd.domain.order import OrderRequest, OrderStatus, OrderType, Side
from deskd.ledger import fold
from deskd.ledger.projections import project
from tests.core.kill_machine import KilledDesk
from tests.core.test_closing import a_killed_desk
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_broker_order,
    a_fill,
    a_kill,
    a_quote,
    cash,
    of_strategy,
    price,
    qty,
    updated,
)

FLATTEN = KillDepth.FLATTEN


def a_block(world: KilledDesk) -> OrderRequest:
    """Have the kill's block on its way to the broker, and acknowledged."""
    world.tell(a_kill(depth=FLATTEN))
    world.carry_out()
    world.deliver(0)
    [block] = [o.request for o in world.desk.open_orders()]
    return block


def execute(world: KilledDesk, block: OrderRequest, *lots: tuple[str, str], status: BrokerStatus) -> None:
    """Execute the block in lots of (shares, price), then let it end so."""
    done = worth = Decimal(0)
    for shares, at_price in lots:
        done, worth = done + Decimal(shares), worth + Decimal(shares) * Decimal(at_price)
        is_whole = done == block.qty
        order = a_broker_order(
            block,
            status=BrokerStatus.FILLED if is_whole else BrokerStatus.PARTIALLY_FILLED,
            filled_qty=Qty(done),
            filled_avg_price=price(str(worth / done)),
        )
        fill = a_fill(order, shares, cumulative=str(done), at_price=at_price)
        world.tell(updated(order, "fill" if is_whole else "partial_fill", fill))
    if done != block.qty:
        average = price(str(worth / done)) if done else None
        world.tell(updated(a_broker_order(block, status=status, filled_qty=Qty(done), filled_avg_price=average)))


def facts_of[F](world: KilledDesk, kind: type[F], **where: Any) -> list[F]:
    found = [fact for fact in world.facts if isinstance(fact, kind)]
    return [fact for fact in found if all(getattr(fact, name) == value for name, value in where.items())]


def test_a_kill_of_the_desk_or_of_a_symbol_sends_one_order_for_a_symbol_and_side() -> None:
    """A strategy's kill closes by the strategy's own order: the others are none of its business."""
    for target, is_one in (
        (a_kill(depth=FLATTEN), True),
        (a_kill(KillTarget(KillScope.SYMBOL, AAPL), FLATTEN), True),
        (a_kill(of_strategy(ALICE), FLATTEN), False),
    ):
        world = a_killed_desk(alice=10, bob=5)
        world.tell(target)
        found = bundled(world.desk, due(world.desk).closings)
        if is_one:
            [block] = found
            assert (block.strategy_id, block.side, block.qty) == (HOUSE, Side.SELL, qty(15))
            assert block.parts == ((ALICE, qty(10)), (BOB, qty(5)))
        else:
            assert [(c.strategy_id, c.qty, c.parts) for c in found] == [(ALICE, qty(10), ())]


def test_one_book_and_the_house_close_by_orders_of_their_own() -> None:
    """There is nothing to hand over."""
    world = a_killed_desk(alice=10)
    world.tell(a_kill(depth=FLATTEN))
    assert [(c.strategy_id, c.parts) for c in bundled(world.desk, due(world.desk).closings)] == [(ALICE, ())]
    world = a_killed_desk(alice=10, bob=5)
    world.desk.portfolio.books[HOUSE].trade(AAPL, qty(3), price(100), NOON)
    world.tell(a_kill(depth=FLATTEN))
    found = {(c.strategy_id, str(c.qty), len(c.parts)) for c in bundled(world.desk, due(world.desk).closings)}
    assert found == {(HOUSE, "3", 0), (HOUSE, "15", 2)}


def test_each_book_gets_its_part_at_the_mean_price_and_the_house_bears_the_rounding() -> None:
    """Nobody sold better than another; in each strategy's ledger stands an order of its own."""
    world = a_killed_desk(alice=2, bob=1)
    before = world.desk.portfolio.cash()
    block = a_block(world)
    execute(world, block, ("1", "101"), ("2", "99.99"), status=BrokerStatus.FILLED)
    desk = world.desk
    assert not desk.portfolio.holdings()
    assert desk.portfolio.cash() == before + Decimal("300.98")
    parts = {o.request.strategy_id: o for o in desk.orders.values() if o.request.for_kill}
    assert parts[HOUSE].request == block
    for who, shares in ((ALICE, 2), (BOB, 1)):
        order = parts[who]
        assert (order.status, order.qty) == (OrderStatus.FILLED, qty(shares))
        assert order.avg_fill_price == Decimal("100.326667")
        assert str(order.request.user_id) == who
    house = desk.portfolio.books[HOUSE].positions[AAPL]
    assert house.qty == 0
    assert abs(house.realized_pnl) <= Decimal("0.000003")
    [given] = facts_of(world, ev.HouseAdjusted, cause=HouseCause.BLOCK)
    assert (given.qty, given.cash, given.price) == (qty(3), cash("-300.980001"), price("100.326667"))
    fills = facts_of(world, ev.OrderFilled, internal_with=block.client_order_id)
    assert {fill.source for fill in fills} == {Source.INTERNAL}
    [approved] = [f for f in facts_of(world, ev.OrderApproved) if f.request.strategy_id == BOB and f.block]
    assert approved.checks == (ev.Checked(CHECK, f"order={block.client_order_id} price=100.326667"),)
    assert desk.blocks.known == {}
    rows = [sql for sql, _ in project([*fills, given], desk)]
    assert sum("INTO fills" in sql for sql in rows) == 2


def test_of_a_block_that_ended_early_parts_are_filled_in_their_order() -> None:
    """The rest is due as before; while the block was open, nobody's position was asked to close again."""
    world = a_killed_desk(alice=10, bob=5)
    block = a_block(world)
    assert not due(world.desk).closings
    assert {key[0] for key, _ in due(world.desk).waiting} == {ALICE, BOB}
    execute(world, block, ("12", "100"), status=BrokerStatus.CANCELED)
    portfolio = world.desk.portfolio
    assert (portfolio.qty(ALICE, AAPL), portfolio.qty(BOB, AAPL), portfolio.qty(HOUSE, AAPL)) == (
        qty(0),
        qty(3),
        qty(0),
    )
    assert [(c.strategy_id, c.qty) for c in due(world.desk).closings] == [(BOB, qty(3))]
    assert world.desk.blocks.whose(block.client_order_id) == (BOB,)
    late = a_broker_order(block, status=BrokerStatus.CANCELED, filled_qty=qty(13), filled_avg_price=price(100))
    world.tell(updated(late, "partial_fill", a_fill(late, "1", cumulative="13")))
    assert portfolio.qty(BOB, AAPL) == 2  # a fill that the broker told late is handed over, too


def test_a_block_that_did_nothing_is_forgotten() -> None:
    """What it was for is due again, by another block."""
    world = a_killed_desk(alice=10, bob=5)
    block = a_block(world)
    execute(world, block, status=BrokerStatus.CANCELED)
    assert world.desk.blocks.known == {}
    assert [c.strategy_id for c in due(world.desk).closings] == [ALICE, BOB]


def test_a_restart_in_the_middle_of_a_block_hands_it_over_all_the_same() -> None:
    """Whose it is stands on disk before it leaves."""
    world = a_killed_desk(alice=10, bob=5)
    block = a_block(world)
    execute(world, block, ("4", "100"), status=BrokerStatus.NEW)
    twin = fold.decode(fold.encode(world.desk))
    assert twin.blocks == world.desk.blocks
    twin.limits, twin.instruments = world.desk.limits, world.desk.instruments
    world.desk = twin
    done = a_broker_order(block, status=BrokerStatus.FILLED, filled_qty=qty(15), filled_avg_price=price(100))
    world.tell(updated(done, "fill", a_fill(done, "11", cumulative="15")))
    assert not world.desk.portfolio.holdings()


def test_a_short_book_buys_back_by_a_block() -> None:
    """The house gives what it bought."""
    world = a_killed_desk(alice=-2, bob=-3)
    block = a_block(world)
    assert block.side is Side.BUY
    execute(world, block, ("5", "90"), status=BrokerStatus.FILLED)
    assert not world.desk.portfolio.holdings()
    [given] = facts_of(world, ev.HouseAdjusted, cause=HouseCause.BLOCK)
    assert (given.qty, given.cash) == (qty(-5), cash(450))


def test_a_block_is_held_against_each_book() -> None:
    """Where one of the parts is more than its book has free, nothing is sent: what is due is looked at anew."""
    world = a_killed_desk(alice=10, bob=5)
    world.tell(a_kill(depth=FLATTEN))
    [closing] = bundled(world.desk, due(world.desk).closings)
    request = request_for(world.desk, closing, NOON)
    assert (request.strategy_id, request.order_type) == (HOUSE, OrderType.MARKET)

    def asked(parts: tuple[tuple[StrategyId, Qty], ...]) -> list[ev.Fact]:
        event = ev.ClosingRequested(request=request, quote=None, market_day=MONDAY, at=NOON, parts=parts)
        return [e.fact for e in decide(world.desk, event) if isinstance(e, Record)]

    assert asked(((ALICE, qty(11)), (BOB, qty(4)))) == []
    [approved] = asked(closing.parts)
    assert isinstance(approved, ev.OrderApproved)
    assert approved.parts == closing.parts
    assert approved.quote.bid_price == a_quote().ask_price  # nobody knows a quote: the books' mark
    assert ClientOrderId(request.client_order_id) == approved.request.client_order_id


def replaced_by_hand(world: KilledDesk, block: OrderRequest, *, filled: int, by: int) -> OrderRequest:
    """Have an officer put an order for *by* shares in the place of the block, of which *filled* are done."""
    heir = replace(block, client_order_id=ClientOrderId("by-hand"), qty=qty(by))
    old_id = a_broker_order(block).broker_order_id
    theirs = a_broker_order(heir, replaces=old_id)
    world.tell(updated(theirs, "new"))
    average = price(100) if filled else None
    old = a_broker_order(block, status=BrokerStatus.REPLACED, filled_qty=qty(filled), filled_avg_price=average)
    world.tell(updated(replace(old, replaced_by=theirs.broker_order_id), "replaced"))
    return heir


def test_a_block_that_is_replaced_by_hand_is_handed_over_all_the_same() -> None:
    """What it executed is the books' at once; what its heir executes is theirs, too, and nobody's is closed twice."""
    world = a_killed_desk(alice=10, bob=5)
    block = a_block(world)
    done = a_broker_order(block, status=BrokerStatus.PARTIALLY_FILLED, filled_qty=qty(4), filled_avg_price=price(100))
    world.tell(updated(done, "partial_fill", a_fill(done, 4, cumulative=4)))
    heir = replaced_by_hand(world, block, filled=4, by=11)
    desk = world.desk
    assert desk.orders[block.client_order_id].status is OrderStatus.REPLACED
    assert (desk.portfolio.qty(ALICE, AAPL), desk.portfolio.qty(BOB, AAPL)) == (qty(6), qty(5))
    assert desk.reservations.cash(HOUSE) == 0
    assert due(desk).closings == (), "the heir closes what is left"
    execute(world, heir, ("11", "99"), status=BrokerStatus.FILLED)
    assert all(not book.held() for book in desk.portfolio.books.values())
    given = facts_of(world, ev.HouseAdjusted, cause=HouseCause.BLOCK)
    assert [(fact.client_order_id, str(fact.qty)) for fact in given] == [
        (block.client_order_id, "4"),
        ("by-hand", "11"),
    ]


def test_a_block_that_is_replaced_before_it_executed_leaves_all_to_its_heir() -> None:
    """For fewer shares: parts are filled in their order, and the rest is due as before."""
    world = a_killed_desk(alice=10, bob=5)
    block = a_block(world)
    heir = replaced_by_hand(world, block, filled=0, by=12)
    assert facts_of(world, ev.HouseAdjusted, cause=HouseCause.BLOCK) == []
    execute(world, heir, ("12", "99"), status=BrokerStatus.FILLED)
    desk = world.desk
    assert (desk.portfolio.qty(ALICE, AAPL), desk.portfolio.qty(BOB, AAPL)) == (qty(0), qty(3))
    assert desk.portfolio.qty(HOUSE, AAPL) == 0
    assert [(c.strategy_id, str(c.qty)) for c in due(desk).closings] == [(BOB, "3")]


def test_a_block_in_whose_place_the_broker_names_no_order_ends_with_what_it_executed() -> None:
    """The books get that; the rest is due as before."""
    world = a_killed_desk(alice=10, bob=5)
    block = a_block(world)
    done = a_broker_order(block, status=BrokerStatus.PARTIALLY_FILLED, filled_qty=qty(4), filled_avg_price=price(100))
    world.tell(updated(done, "partial_fill", a_fill(done, 4, cumulative=4)))
    gone = replace(done, status=BrokerStatus.REPLACED, raw_status="replaced")
    world.tell(ev.OrderLookedUp(client_order_id=block.client_order_id, order=gone, fills=(), at=NOON))
    assert world.desk.orders[block.client_order_id].status is OrderStatus.REPLACED
    assert (world.desk.portfolio.qty(ALICE, AAPL), world.desk.portfolio.qty(HOUSE, AAPL)) == (qty(6), qty(0))


def test_what_the_desk_closes_counts_as_nobodys_order_of_the_day() -> None:
    """A member whose position a kill closed has as many orders left as before, and as many this minute."""
    world = a_killed_desk(alice=10, bob=5)
    counts = {who: world.desk.orders_today(who, MONDAY, None) for who in (ALICE, BOB)}
    execute(world, a_block(world), ("15", "100"), status=BrokerStatus.FILLED)
    assert all(not book.held() for book in world.desk.portfolio.books.values())
    assert {who: world.desk.orders_today(who, MONDAY, None) for who in (ALICE, BOB)} == counts
    assert world.desk.records.orders_this_minute(ALICE, NOON) == counts[ALICE]
