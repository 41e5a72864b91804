"""A desk under kills, and a broker that keeps the rules of the shared account: it fills, refuses and stays silent.

What it is sent is held against the rules at once: no order across zero, none that meets another of ours, none over
what is free.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from deskd.core.blocks import bundled
from deskd.core.closing import due, request_for
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import NO_QTY, Qty
from deskd.domain.order import OrderRequest, OrderType, Side
from deskd.ledger.codec import decode, encode
from tests.factories import MONDAY, NOON, a_broker_order, a_fill, a_quote, accepted, updated


def could_meet(one: OrderRequest, other: OrderRequest) -> bool:
    """Tell whether two orders of opposite sides leave each other a price to trade at, as the broker judges it."""
    buy, sell = (one, other) if one.side is Side.BUY else (other, one)
    return buy.limit_price is None or sell.limit_price is None or buy.limit_price >= sell.limit_price


@dataclass
class Held:
    """One order at the broker."""

    request: OrderRequest
    filled: Decimal = Decimal(0)
    is_open: bool = True

    @property
    def leaves(self) -> Decimal:
        assert self.request.qty is not None
        return self.request.qty - self.filled


@dataclass
class KilledDesk:
    """The desk, its stored facts, and its broker."""

    desk: Desk
    facts: list[ev.Fact] = field(default_factory=list)
    to_send: list[ef.Submit | ef.Cancel] = field(default_factory=list)
    broker: dict[ClientOrderId, Held] = field(default_factory=dict)

    def tell(self, event: ev.Event) -> list[ef.Effect]:
        """Have the desk handle *event*; what it wants sent waits."""
        effects = handle(self.desk, event)
        for effect in effects:
            if isinstance(effect, ef.Record):
                self.facts.append(decode(*encode(effect.fact)))
            elif isinstance(effect, ef.Submit | ef.Cancel):
                self.to_send.append(effect)
        return effects

    def net(self, symbol: str) -> Decimal:
        """Return what the account holds."""
        return sum(
            (h.filled * h.request.side.sign for h in self.broker.values() if h.request.symbol == symbol), Decimal(0)
        )

    def cash(self) -> Decimal:
        """Return the account's cash: it began with 100,000, and all is executed at 100."""
        return Decimal(100_000) - sum((100 * h.filled * h.request.side.sign for h in self.broker.values()), Decimal(0))

    def open_at_broker(self) -> list[Held]:
        """Return what may still fill."""
        return [held for held in self.broker.values() if held.is_open]

    def carry_out(self) -> None:
        """Ask for what the kills in force want now, as the keeper does."""
        found = due(self.desk)
        for oid in found.cancels:
            self.tell(ev.CancelRequested(client_order_id=oid, by="kill", at=NOON))
        for closing in bundled(self.desk, found.closings):
            at = NOON.replace(microsecond=len(self.facts) % 1_000_000)
            request = request_for(self.desk, closing, at)
            self.tell(
                ev.ClosingRequested(request=request, quote=a_quote(), market_day=MONDAY, at=at, parts=closing.parts)
            )

    def deliver(self, index: int, *, says_no: bool = False) -> None:
        """Let one thing that waits reach the broker, and its answer the desk."""
        effect = self.to_send.pop(index)
        if isinstance(effect, ef.Cancel):
            held = self.broker[effect.client_order_id]
            if held.is_open and not says_no:
                held.is_open = False
                self._news(held, BrokerStatus.CANCELED)
            return
        request = effect.request
        if says_no:
            no = ev.SubmitRejected(client_order_id=request.client_order_id, message="rate limit exceeded", at=NOON)
            self.tell(no)
            return
        if request.for_kill:
            self.must_obey(request)
        held = Held(request)
        self.broker[request.client_order_id] = held
        self.tell(accepted(request))

    def must_obey(self, request: OrderRequest) -> None:
        """Hold a kill's order against the broker's rules for the shared account."""
        assert request.qty is not None
        others = [h for h in self.open_at_broker() if h.request.symbol == request.symbol]
        net = self.net(request.symbol)
        against = [h.request for h in others if h.request.side is not request.side]
        assert not any(could_meet(request, other) for other in against), "a wash trade"
        assert net or not against, "a flat account opens one way only"
        towards = net if request.side is Side.SELL else -net
        if towards > 0:
            held = sum((h.leaves for h in others if h.request.side is request.side), Decimal(0))
            assert request.qty <= towards - held, "across zero, or over what is free"

    def fill(self, oid: ClientOrderId, shares: int) -> None:
        """Execute a part of an open order."""
        held = self.broker[oid]
        part = min(Decimal(shares), held.leaves)
        held.filled += part
        is_done = held.leaves == 0
        held.is_open = not is_done
        self._news(held, BrokerStatus.FILLED if is_done else BrokerStatus.PARTIALLY_FILLED, part)

    def _news(self, held: Held, status: BrokerStatus, part: Decimal = NO_QTY) -> None:
        order = a_broker_order(
            held.request,
            status=status,
            filled_qty=Qty(held.filled),
            filled_avg_price=a_quote().ask_price if held.filled else None,
        )
        fill = a_fill(order, str(part), cumulative=str(held.filled)) if part else None
        words = {BrokerStatus.FILLED: "fill", BrokerStatus.PARTIALLY_FILLED: "partial_fill"}
        self.tell(updated(order, words.get(status), fill))

    def settle(self) -> None:
        """Let the broker do all that it is asked, until nothing moves any more."""
        for _ in range(200):
            self.carry_out()
            while self.to_send:
                self.deliver(0)
            open_orders = self.open_at_broker()
            for held in open_orders:
                if held.request.for_kill or held.request.order_type is OrderType.MARKET:
                    self.fill(held.request.client_order_id, 1_000_000)
            if not due(self.desk).closings and not due(self.desk).cancels and not self.to_send:
                return
        raise AssertionError("the desk turns in circles")
