"""A broker as simple as can be, which is always right, and a line to it that is not.

The broker does one thing at a time and keeps plain records. What it says goes into `stream` and `answers`; whoever plays
the line delivers it late, twice, in another order, or never.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from deskd.domain import events as ev
from deskd.domain.events import BrokerOrder, BrokerPosition, BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId, Symbol
from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import Fill, OrderClass, OrderRequest, OrderType, Side, fill_id

S = BrokerStatus
OPEN = frozenset({S.NEW, S.PARTIALLY_FILLED, S.HELD})
CAN_FILL = frozenset({S.NEW, S.PARTIALLY_FILLED})
NOTHING = Qty(Decimal(0))


@dataclass
class Kept:
    """What the broker keeps of one order."""

    order: BrokerOrder
    fills: list[Fill] = field(default_factory=list)
    legs: list[ClientOrderId] = field(default_factory=list)
    entry: ClientOrderId | None = None

    @property
    def left(self) -> Decimal:
        """Return how many shares it may still fill; of an amount of money, at 100 a share."""
        whole = self.order.qty if self.order.qty is not None else (self.order.notional or Decimal(0)) / 100
        return max(whole - self.order.filled_qty, Decimal(0))


@dataclass
class NaiveBroker:
    """The account and its orders."""

    cash: Decimal
    kept: dict[ClientOrderId, Kept] = field(default_factory=dict)
    positions: dict[Symbol, Decimal] = field(default_factory=dict)
    stream: list[ev.TradeUpdated] = field(default_factory=list)  # said, and not yet delivered or lost

    # --- what is asked of it ---------------------------------------------------------------------------------------

    def submit(self, request: OrderRequest, now: datetime, *, refuses: bool) -> BrokerOrder | str:
        """Take the order, or say why not."""
        oid = request.client_order_id
        if oid in self.kept:
            return "client_order_id must be unique"
        if refuses:
            return "insufficient buying power"
        self._keep(request, now)
        return self.told(oid)

    def replace(self, request: OrderRequest, replaces: BrokerOrderId, now: datetime) -> BrokerOrder | str:
        """Put the order in the place of the other, or say why not."""
        old = self.by_id(replaces)
        wanted = request.replacement
        if request.client_order_id in self.kept:
            return "client_order_id must be unique"
        if old is None or old.order.status not in OPEN or wanted is None or old.order.qty is None:
            return "order is not open"
        total = old.order.qty if wanted.qty is None else wanted.qty
        if total <= old.order.filled_qty:
            return "qty must be more than what is filled"
        oid, old_id = request.client_order_id, old.order.client_order_id
        new = self._keep(request, now, says=False)
        new.order = replace(
            new.order, qty=Qty(total - old.order.filled_qty), replaces=replaces, status=self._begins(old)
        )
        new.entry, new.legs, old.legs = old.entry, [*old.legs], []
        for leg in new.legs:
            self.kept[leg].entry = oid
        if old.entry is not None:
            self.kept[old.entry].legs.append(oid)
        old.order = replace(old.order, replaced_by=new.order.broker_order_id)
        self._becomes(old_id, S.REPLACED, now)
        self._say(oid, "new", now)
        return self.told(oid)

    @staticmethod
    def _begins(old: Kept) -> BrokerStatus:
        return S.HELD if old.order.status is S.HELD else S.NEW

    def cancel(self, broker_order_id: BrokerOrderId, now: datetime) -> str | None:
        """Cancel, or say why not."""
        known = self.by_id(broker_order_id)
        if known is None:
            return "order not found"
        if known.order.status not in OPEN:
            return f'order is already in "{known.order.status}" state'
        self.end(known.order.client_order_id, S.CANCELED, now)
        return None

    def look_up(self, oid: ClientOrderId, now: datetime) -> ev.OrderLookedUp:
        """Return the order with all its fills, and what took its place."""
        known = self.kept.get(oid)
        if known is None:
            return ev.OrderLookedUp(client_order_id=oid, order=None, fills=(), at=now)
        successors = []
        link = known.order
        while link.replaced_by is not None:
            link = next(k.order for k in self.kept.values() if k.order.broker_order_id == link.replaced_by)
            successors.append(link)
        return ev.OrderLookedUp(
            client_order_id=oid,
            order=self.told(oid),
            fills=tuple(known.fills),
            successors=tuple(successors),
            at=now,
        )

    def told(self, oid: ClientOrderId) -> BrokerOrder:
        """Return the order as an answer by REST tells it: with its legs."""
        known = self.kept[oid]
        return replace(known.order, legs=tuple(self.kept[leg].order for leg in known.legs))

    def by_id(self, broker_order_id: BrokerOrderId) -> Kept | None:
        """Return what is kept of the order, if there is one."""
        return next((k for k in self.kept.values() if k.order.broker_order_id == broker_order_id), None)

    # --- what the market does ----------------------------------------------------------------------------------------

    def execute(
        self, oid: ClientOrderId, qty: Decimal, price: Decimal, now: datetime, *, beyond: Decimal = NOTHING
    ) -> None:
        """Fill *qty* of the order, or what is left of it and, by mistake, *beyond*; exits live by each other."""
        known = self.kept[oid]
        done = Qty(min(qty, known.left) + beyond)
        total = Qty(known.order.filled_qty + done)
        value = sum((f.qty * f.price for f in known.fills), done * price)
        known.order = replace(known.order, filled_qty=total, filled_avg_price=Price(value / total))
        fill = Fill(fill_id=fill_id(known.order.broker_order_id, total), qty=done, price=Price(price), at=now)
        known.fills.append(fill)
        signed = done * known.order.side.sign
        symbol = known.order.symbol
        self.cash -= signed * price
        self.positions[symbol] = self.positions.get(symbol, Decimal(0)) + signed
        is_whole = not known.left
        self._set(known, S.FILLED if is_whole else S.PARTIALLY_FILLED)
        self._say(oid, "fill" if is_whole else "partial_fill", now, fill)
        self._exits_follow(oid, known, done, now, is_whole=is_whole)

    def _exits_follow(self, oid: ClientOrderId, known: Kept, done: Qty, now: datetime, *, is_whole: bool) -> None:
        if is_whole:
            for leg in known.legs:
                if self.kept[leg].order.status is S.HELD:
                    self._set(self.kept[leg], S.NEW)
                    self._say(leg, "new", now)
        if known.entry is None:
            return
        for sibling in self.kept[known.entry].legs:
            other = self.kept[sibling]
            if sibling == oid or other.order.status not in OPEN or other.order.qty is None:
                continue
            if is_whole:
                self.end(sibling, S.CANCELED, now)
            else:
                other.order = replace(other.order, qty=Qty(other.order.qty - done))
                self._say(sibling, "restated", now)

    def end(self, oid: ClientOrderId, status: BrokerStatus, now: datetime) -> None:
        """End the order; exits of an entry that bought nothing go with it, else they live for what it bought."""
        known = self.kept[oid]
        self._becomes(oid, status, now)
        for leg in known.legs:
            other = self.kept[leg]
            if other.order.status is not S.HELD:
                continue
            if not known.order.filled_qty:
                self.end(leg, S.CANCELED, now)
            else:
                other.order = replace(other.order, qty=known.order.filled_qty)
                self._set(other, S.NEW)
                self._say(leg, "restated", now)

    def _becomes(self, oid: ClientOrderId, status: BrokerStatus, now: datetime) -> None:
        self._set(self.kept[oid], status)
        self._say(oid, str(status), now)

    @staticmethod
    def _set(known: Kept, status: BrokerStatus) -> None:
        known.order = replace(known.order, status=status, raw_status=str(status))

    def _say(self, oid: ClientOrderId, word: str, now: datetime, fill: Fill | None = None) -> None:
        self.stream.append(ev.TradeUpdated(event=word, order=self.kept[oid].order, fill=fill, at=now))

    def _keep(self, request: OrderRequest, now: datetime, *, says: bool = True) -> Kept:
        oid = request.client_order_id
        known = self.kept[oid] = Kept(_order(request, oid, now, request.side, request.order_type, S.NEW))
        if request.order_class is OrderClass.BRACKET and request.replacement is None:
            known.legs = [self._leg(request, oid, kind, now) for kind in (OrderType.LIMIT, OrderType.STOP)]
        if says:
            self._say(oid, "new", now)
        return known

    def _leg(self, request: OrderRequest, entry: ClientOrderId, kind: OrderType, now: datetime) -> ClientOrderId:
        oid = ClientOrderId(f"{entry}-{kind}")
        order = _order(request, oid, now, Side.SELL, kind, S.HELD)
        profit, loss = request.take_profit, request.stop_loss
        assert profit is not None
        assert loss is not None
        order = replace(
            order,
            limit_price=profit.limit_price if kind is OrderType.LIMIT else None,
            stop_price=loss.stop_price if kind is OrderType.STOP else None,
        )
        self.kept[oid] = Kept(order, entry=entry)
        return oid

    # --- what it has -------------------------------------------------------------------------------------------------

    def account(self) -> tuple[Cash, tuple[BrokerPosition, ...]]:
        """Return cash and positions."""
        held = sorted((s, q) for s, q in self.positions.items() if q)
        return Cash(self.cash), tuple(
            BrokerPosition(symbol=s, qty=Qty(q), avg_entry_price=Price(Decimal(100))) for s, q in held
        )

    def fills(self) -> dict[str, tuple[ClientOrderId, Fill]]:
        """Return every fill by its id."""
        return {fill.fill_id: (oid, fill) for oid, known in self.kept.items() for fill in known.fills}


def _order(  # noqa: PLR0917  a table's row
    request: OrderRequest, oid: ClientOrderId, now: datetime, side: Side, kind: OrderType, status: BrokerStatus
) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id=BrokerOrderId(f"b-{oid}"),
        client_order_id=oid,
        status=status,
        raw_status=str(status),
        symbol=request.symbol,
        side=side,
        order_type=kind,
        time_in_force=request.time_in_force,
        qty=request.qty,
        notional=request.notional,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        filled_qty=NOTHING,
        filled_avg_price=None,
        submitted_at=now,
    )


@dataclass
class Look:
    """A look at the account under way: the orders were told, positions and cash are yet to be."""

    orders: tuple[BrokerOrder, ...]
    fills: tuple[tuple[ClientOrderId, tuple[Fill, ...]], ...]
    missing: tuple[ClientOrderId, ...]
    fill_count: int
    asked_at: datetime


LAG = timedelta(seconds=10)  # by which positions may be behind
