"""The embedded exchange as the broker of a stepped desk: no socket between, the same bytes all the same.

Rule 1: every request and every answer goes through Alpaca's wire, both ways, as it does live.
Rule 2: nothing takes time: an order reaches the exchange at the instant at which the gate let it pass.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from deskd.domain.errors import WireError
from deskd.domain.events import (
    BrokerOrder,
    BrokerSnapshot,
    CancelAllAnswered,
    CancelAnswered,
    OrderLookedUp,
    SubmitAccepted,
    SubmitRejected,
    TradeUpdated,
)
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.market import Instrument
from deskd.domain.order import Fill, Order, OrderRequest
from deskd.exchange.errors import ApiError
from deskd.exchange.exchange import Exchange
from deskd.exchange.order import ExchangeOrder
from deskd.wire.alpaca import client as wire
from deskd.wire.alpaca import venue_replies as replies
from deskd.wire.alpaca import venue_requests as requests

SUCCESSORS_MAX = 20  # followed in one look, as the live broker does

type Answer = SubmitAccepted | SubmitRejected


class StepBroker:
    """Asks the exchange and hands back what a broker would say. `now` is the market's time, and the desk's."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def submit(self, request: OrderRequest, now: datetime) -> Answer:
        """Send the order."""
        try:
            body = wire.encode_order(request)
        except WireError as error:
            return _not_sent(request, str(error), now)
        wanted = requests.new_order(body)
        taken = wanted if isinstance(wanted, ApiError) else self._exchange.submit(wanted, now)
        return self._judged(request, taken, now)

    def replace(self, request: OrderRequest, broker_order_id: BrokerOrderId, now: datetime) -> Answer:
        """Ask for the order in the place of another."""
        try:
            body = wire.encode_replacement(request)
        except WireError as error:
            return _not_sent(request, str(error), now)
        wanted = requests.order_changes(body)
        taken = wanted if isinstance(wanted, ApiError) else self._exchange.replace(broker_order_id, wanted, now)
        return self._judged(request, taken, now)

    def cancel(self, oid: ClientOrderId, broker_order_id: BrokerOrderId, now: datetime) -> CancelAnswered:
        """Ask for a cancel."""
        refused = self._exchange.cancel(broker_order_id, now)
        refusal = None if refused is None else _refusal(refused)
        return CancelAnswered(client_order_id=oid, refusal=refusal, at=now)

    def cancel_all(
        self, orders: Sequence[tuple[ClientOrderId, BrokerOrderId]], now: datetime
    ) -> Sequence[CancelAnswered | CancelAllAnswered]:
        """Ask for the cancel of all that is open: nobody but the desk trades in this account."""
        answers = [self.cancel(oid, broker_order_id, now) for oid, broker_order_id in orders]
        canceled = sum(answer.refusal is None for answer in answers)
        refused = len(answers) - canceled
        return [*answers, CancelAllAnswered(canceled=canceled, refused=refused, unnamed=0, strangers=(), at=now)]

    def look_up(self, oid: ClientOrderId, now: datetime) -> OrderLookedUp:
        """Fetch the order and all its fills."""
        found = self._exchange.by_client_order_id(oid)
        if found is None:
            return OrderLookedUp(client_order_id=oid, order=None, fills=(), at=now)
        order = self._order(found)
        return OrderLookedUp(
            client_order_id=oid,
            order=order,
            fills=tuple(self._fills_of(order.broker_order_id)),
            at=now,
            successors=tuple(self._successors_of(order)),
        )

    def updates(self, now: datetime) -> list[TradeUpdated]:
        """Return what happened to orders since the last call, as the stream of trade updates tells it."""
        events = self._exchange.take_events()
        if not events:  # most calls: every line of the market asks
            return []
        self._exchange.take_changes()  # nobody keeps them: there is no other life of this account
        return [wire.decode_trade_update(_through(replies.trade_update(event))["data"], now) for event in events]

    def snapshot(self, open_orders: Sequence[Order], fill_count: int, why: str, now: datetime) -> BrokerSnapshot:
        """Return the account as it is, and what became of the orders that the desk thinks open."""
        looks = [self.look_up(order.request.client_order_id, now) for order in open_orders]
        cash, equity, buying_power = wire.decode_account(_through(replies.account(self._exchange.account())))
        return BrokerSnapshot(
            cash=cash,
            equity=equity,
            buying_power=buying_power,
            positions=tuple(wire.decode_position(_through(replies.position(p))) for p in self._exchange.positions()),
            orders=tuple(look.order for look in looks if look.order is not None),
            fills=tuple((look.client_order_id, look.fills) for look in looks if look.order is not None),
            missing=tuple(look.client_order_id for look in looks if look.order is None),
            fill_count=fill_count,
            why=why,
            at=now,
            asked_at=now,
        )

    def instruments(self) -> list[Instrument]:
        """Return what can be traded."""
        rows = wire.split_rows(msgspec.json.encode([replies.asset(asset) for asset in self._exchange.assets()]))
        return [wire.decode_asset(row) for row in rows]

    def _judged(self, request: OrderRequest, taken: ExchangeOrder | ApiError, now: datetime) -> Answer:
        oid = request.client_order_id
        if isinstance(taken, ApiError):
            return SubmitRejected(client_order_id=oid, message=_refusal(taken), at=now)
        return SubmitAccepted(client_order_id=oid, order=self._order(taken), at=now)

    def _order(self, found: ExchangeOrder) -> BrokerOrder:
        legs = [leg for leg_id in found.legs if (leg := self._exchange.order(leg_id)) is not None]
        return wire.decode_order(_through(replies.order(found, legs)))

    def _successors_of(self, order: BrokerOrder) -> list[BrokerOrder]:
        found: list[BrokerOrder] = []
        while order.replaced_by is not None and len(found) < SUCCESSORS_MAX:
            successor = self._exchange.order(order.replaced_by)
            if successor is None:
                break
            order = self._order(successor)
            found.append(order)
        return found

    def _fills_of(self, broker_order_id: BrokerOrderId) -> list[Fill]:
        known = self._exchange.activities(
            types={"FILL"}, order_id=broker_order_id, is_descending=False, page_size=1_000_000
        )
        rows = [_through(replies.activity(one)) for one in known]
        return [wire.decode_fill(row)[1] for row in rows if wire.is_execution(row)]


def _through(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the reply as a client reads it."""
    return wire.as_object(wire.decode_json(msgspec.json.encode(reply)), "answer")


def _refusal(refused: ApiError) -> str:
    refusal = wire.decode_refusal(refused.http, msgspec.json.encode(replies.error(refused)))
    assert refusal is not None, "the exchange refuses in Alpaca's words"
    return refusal.text


def _not_sent(request: OrderRequest, why: str, now: datetime) -> SubmitRejected:
    return SubmitRejected(client_order_id=request.client_order_id, message=f"not sent: {why}", at=now, was_sent=False)
