"""The model of the broker's rules for a shared account says what the exchange says."""

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from deskd.core.conflicts import (
    Conflict,
    Newcomer,
    Rival,
    Rule,
    auction_window,
    could_trade,
    could_trade_with,
    find,
    is_exempt,
    newcomer,
)
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.money import NO_QTY, Price, Qty
from deskd.domain.order import OrderClass, OrderType, Side, TimeInForce
from deskd.exchange.errors import ApiError
from deskd.exchange.order import ENTRY, TAKE_PROFIT, ExchangeOrder, NewOrder
from tests import factories
from tests.exchange.given import Trading, a_day, a_request, at_limit, loss, ny, price, profit, qty, trading

SEQUENCES = int(os.environ.get("DESKD_EXAMPLES", "60"))
ORDERS = 60
WHO = [StrategyId(f"s{n}") for n in range(6)]
# How the exchange says each rule; whatever else it refuses is none of the model's business.
WORDS = {
    "insufficient qty": {Rule.HELD, Rule.ZERO},
    "cannot open a": {Rule.OPENING},
    "potential wash trade": {Rule.WASH},
    "bracket orders must be entry": {Rule.POSITION},
    "fractional orders cannot be sold short": {Rule.POSITION},
}


def a_rival(side: Side = Side.BUY, limit: str | None = None, promised: int = 10, **overrides: object) -> Rival:
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    fields: dict[str, object] = {
        "client_order_id": ClientOrderId("r"),
        "strategy_id": WHO[0],
        "side": side,
        "order_type": kind,
        "limit_price": None if limit is None else price(limit),
        "promised_qty": qty(promised),
    }
    return Rival(**fields | overrides)  # type: ignore[arg-type]


def a_new(side: Side = Side.SELL, size: int = 10, limit: str | None = None, *, is_exempt: bool = False) -> Newcomer:
    return Newcomer(
        strategy_id=WHO[1],
        side=side,
        qty=qty(size),
        limit_price=None if limit is None else price(limit),
        is_exempt=is_exempt,
    )


def rule_of(conflict: Conflict | None) -> Rule | None:
    return None if conflict is None else conflict.rule


@pytest.mark.parametrize(
    ("new", "rival", "is_refused"),
    [
        (a_new(), a_rival(limit="90"), True),  # a market order, against anything
        (a_new(limit="110"), a_rival(), True),
        (a_new(limit="100"), a_rival(limit="100"), True),  # limits that meet
        (a_new(limit="100.01"), a_rival(limit="100"), False),
        (a_new(is_exempt=True), a_rival(), False),
        (a_new(), a_rival(is_exempt=True), False),
        (a_new(limit="100"), a_rival(Side.SELL, limit="100"), False),  # the same side
    ],
)
def test_orders_that_could_trade_with_each_other_are_wash_trades(new: Newcomer, rival: Rival, is_refused: bool) -> None:
    """Market and stop orders meet whatever is on the other side, limits where they cross; complex orders are spared."""
    found = find(new, qty(100), [rival])
    assert rule_of(found) == (Rule.WASH if is_refused else None)
    assert found is None or found.rivals == (rival,)


@pytest.mark.parametrize("sign", [1, -1])
def test_open_closing_orders_hold_the_shares(sign: int) -> None:
    """Of ten shares, six of which an order is to close, four are free; an eleventh would cross zero."""
    side = Side.SELL if sign > 0 else Side.BUY
    closing = a_rival(side, limit="100", promised=6)
    assert find(a_new(side, 4), qty(sign * 10), [closing]) is None
    held = find(a_new(side, 5), qty(sign * 10), [closing])
    assert held == Conflict(rule=Rule.HELD, rivals=(closing,), free_qty=qty(4))
    assert find(a_new(side, 11), qty(sign * 10), [closing]) == Conflict(rule=Rule.ZERO, rivals=(), free_qty=qty(4))


def test_a_flat_account_opens_one_way_only() -> None:
    """A long and a short that wait to be opened cross zero when both fill; exits of a group open nothing."""
    opening = a_rival(Side.BUY, limit="90")
    assert rule_of(find(a_new(limit="110"), NO_QTY, [opening])) is Rule.OPENING
    assert find(a_new(Side.BUY, limit="90"), NO_QTY, [opening]) is None
    exit_leg = a_rival(Side.SELL, limit="110", promised=0, opens=False, is_exempt=True)
    assert find(a_new(Side.BUY), NO_QTY, [exit_leg]) is None


def test_a_strategy_knows_its_own_orders_in_the_way() -> None:
    """What is in its own hands is told apart from what is not."""
    found = find(a_new(), qty(100), [a_rival()])
    assert found is not None
    assert found.is_own(WHO[0])
    assert not found.is_own(WHO[1])


@pytest.mark.parametrize(
    ("clock", "opens", "closes"),
    [
        ("09:27:59", True, True),
        ("09:28", False, True),
        ("15:49:59", False, True),
        ("15:50", False, False),
        ("18:59:59", False, False),
        ("19:00", True, True),
    ],
)
def test_auctions_take_orders_in_their_windows(clock: str, opens: bool, closes: bool) -> None:
    """As the exchange has it: see its own test of the same name."""
    at: datetime = ny(clock)
    assert at.tzinfo is UTC
    for day in (None, factories.DAY):
        assert (auction_window(TimeInForce.OPG, at, day) is None) is opens
        assert (auction_window(TimeInForce.CLS, at, day) is None) is closes
        assert auction_window(TimeInForce.DAY, at, day) is None or not closes


@pytest.mark.parametrize("close", ["16:00", "13:00"])
def test_a_day_that_closes_early_takes_no_later_orders_at_home_than_at_the_exchange(close: str) -> None:
    """Minute by minute, both say the same of both auctions; what is said names the day's own time."""
    day = replace(factories.DAY, close_at=ny(close))
    for minute in range(0, 24 * 60, 5):
        at = ny(f"{minute // 60:02}:{minute % 60:02}")
        theirs = trading(now=at, day=a_day(close=close))
        for tif in (TimeInForce.OPG, TimeInForce.CLS):
            answer = theirs.exchange.submit(a_request(qty=qty(1), time_in_force=tif), at)
            is_refused = isinstance(answer, ApiError) and f"{tif} orders" in answer.message
            assert (auction_window(tif, at, day) is not None) is is_refused, at
    said = auction_window(TimeInForce.CLS, ny("15:55"), day)
    assert said is not None
    assert {"16:00": "15:50", "13:00": "12:50"}[close] in said


# --- against the exchange --------------------------------------------------------------------------------------------


@dataclass
class Account:
    """An account at the exchange, with what the model needs to know of it."""

    random: Random
    world: Trading = field(default_factory=lambda: trading(money=10_000_000))
    owners: dict[str, StrategyId] = field(default_factory=dict)

    def rivals(self) -> list[Rival]:
        orders = self.world.exchange.orders(limit=500)
        live = {o.group_id for o in orders if o.group_role == TAKE_PROFIT and o.status is not BrokerStatus.HELD}
        return [self._rival(order, live) for order in orders]

    def _rival(self, order: ExchangeOrder, live_profits: set[str | None]) -> Rival:
        promised = order.leaves_qty if order.notional is None else order.promised_qty
        is_leg = order.order_class is not OrderClass.SIMPLE and order.group_role != ENTRY
        if order.status is BrokerStatus.HELD or (is_leg and order.group_role != TAKE_PROFIT):
            promised = NO_QTY if order.group_id in live_profits or order.status is BrokerStatus.HELD else promised
        return Rival(
            client_order_id=ClientOrderId(order.client_order_id),
            strategy_id=self.owners.get(order.id, WHO[0]),
            side=order.side,
            order_type=order.order_type,
            limit_price=order.limit_price,
            promised_qty=Qty(promised),
            opens=not is_leg,
            is_exempt=order.order_class is not OrderClass.SIMPLE or order.order_type is OrderType.TRAILING_STOP,
        )

    def a_request(self) -> NewOrder:
        random = self.random
        side = random.choice(list(Side))
        sign = side.sign
        fields: dict[str, object] = {"side": side, "qty": qty(random.randint(1, 12))}
        kind = random.choice([*OrderType, OrderType.LIMIT, OrderType.LIMIT])
        away = Price(price(100) + random.randint(-4, 4))
        match kind:
            case OrderType.LIMIT:
                fields |= at_limit(str(away))
            case OrderType.STOP:
                fields |= {"order_type": kind, "stop_price": price(100 + sign * random.randint(1, 4))}
            case OrderType.STOP_LIMIT:
                fields |= {"order_type": kind, "stop_price": price(100 + sign * 2), "limit_price": away}
            case OrderType.TRAILING_STOP:
                fields |= {"order_type": kind, "trail_price": price(2)}
            case _ if random.random() < 0.1:
                fields["qty"] = qty("0.5")
            case _:
                pass
        if fields["qty"] != qty("0.5") and kind in {OrderType.LIMIT, OrderType.MARKET} and random.random() < 0.2:
            base = 100 if kind is OrderType.MARKET else int(away)
            fields |= {
                "order_class": OrderClass.BRACKET,
                "take_profit": profit(base + sign * 6),
                "stop_loss": loss(base - sign * 6),
            }
        return a_request(**fields)

    def step(self) -> Rule | None:
        """Send a random order; hold what the exchange says against what the model says."""
        request = self.a_request()
        assert request.qty is not None
        who = self.random.choice(WHO)
        new = Newcomer(
            strategy_id=who,
            side=request.side,
            qty=request.qty,
            limit_price=request.limit_price,
            is_exempt=request.order_class is not OrderClass.SIMPLE or request.order_type is OrderType.TRAILING_STOP,
            must_open=request.order_class is OrderClass.BRACKET,
            must_close=request.qty < 1 and request.side is Side.SELL,
        )
        said = find(new, Qty(self.world.position()), self.rivals())
        answer = self.world.exchange.submit(request, self.world.now)
        self.world._listen()
        if isinstance(answer, ExchangeOrder):
            assert said is None, f"the model refuses {request} because of {said}"
            self.owners[answer.id] = who
            return None
        rules = next((rules for words, rules in WORDS.items() if answer.message.startswith(words)), None)
        if rules is None:
            return None  # of another kind: the check before it in the row may hide a conflict, never make one
        assert rule_of(said) in rules, f"{answer.message}: the model says {said} of {request}"
        return rule_of(said)

    def change(self) -> None:
        """Let the market move, or an order end."""
        if self.random.random() < 0.4:
            middle = 100 + self.random.randint(-5, 5)
            self.world.quote(bid=middle - 0.01, ask=middle + 0.01)
            self.world.trade(100.0)
        elif orders := self.world.exchange.orders(limit=500):
            answer = self.world.cancel(self.random.choice(orders))
            assert answer is None or isinstance(answer, ApiError)
        self.world.quote()


def test_model_and_exchange_agree_on_every_conflict() -> None:
    """Over random books of many strategies a conflict in the model is a refusal at the exchange, and a refusal one."""
    met: set[Rule | None] = set()
    for seed in range(SEQUENCES):
        account = Account(Random(seed))
        for _ in range(ORDERS):
            met.add(account.step())
            if account.random.random() < 0.3:
                account.change()
    assert met == {None, *Rule}, "a rule that no sequence meets is not tried"


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("new_limit", [None, "99", "100", "101"])
@pytest.mark.parametrize("limit", [None, "99", "100", "101"])
@pytest.mark.parametrize("kind", ["simple", "oto", "trailing"])
def test_an_order_meets_another_whether_or_not_a_rival_was_made_of_it(
    side: Side, new_limit: str | None, limit: str | None, kind: str
) -> None:
    """What is left out because it is far away is exactly what the rule of wash trades would have let pass."""
    at: dict[str | None, dict[str, Any]] = {
        None: {},
        **{p: {"order_type": OrderType.LIMIT, "limit_price": price(p)} for p in ("99", "100", "101")},
    }
    exempts: dict[str, dict[str, Any]] = {
        "simple": {},
        "oto": {"order_class": OrderClass.OTO},
        "trailing": {"order_type": OrderType.TRAILING_STOP, "trail_price": price("1")},
    }
    new = newcomer(factories.a_request(side=side, **at[new_limit]), qty(1))
    request = factories.a_request(side=Side.SELL if side is Side.BUY else Side.BUY, **{**at[limit], **exempts[kind]})
    rival = a_rival(request.side, limit, is_exempt=is_exempt(request))
    assert could_trade_with(new, request) is could_trade(new, rival)
