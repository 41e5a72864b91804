"""The broker: orders over kept-alive HTTP, what is asked seldom through alpaca-py's client (satisfies ports.Broker).

Rule 1: an order is sent once. Only the broker's own words are a refusal; everything else leaves the order in doubt,
        and it is asked for by its client_order_id. Only where the broker says that it turned the request away for the
        number of requests alone, the same one goes again, under the same id, a few times.
Rule 2: what the desk reads it decodes itself. alpaca-py's strict model is asked for its opinion, and a difference is
        logged: it never costs an order.
Rule 3: submit, cancel and look_up never raise for the world's failures. The others raise OSError with what happened:
        PermissionError where the keys are the matter.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, assert_never

import structlog

from deskd.alpaca import cancel_all
from deskd.alpaca.cold import ColdPaths, parse_timeframe, refused
from deskd.alpaca.endpoints import Endpoints, Keys
from deskd.alpaca.http import Answer, Http, NotSent, Outcome, Turn, Unanswered
from deskd.alpaca.library import check_library
from deskd.alpaca.pacing import RESERVE_SHARE, Pacer
from deskd.domain.activity import Activity
from deskd.domain.errors import WireError
from deskd.domain.events import (
    BrokerOrder,
    BrokerPosition,
    CancelAllAnswered,
    CancelAnswered,
    CancelInDoubt,
    OrderLookedUp,
    SubmitAccepted,
    SubmitInDoubt,
    SubmitRejected,
)
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, Symbol
from deskd.domain.market import Instrument, MarketClock, TradingDay
from deskd.domain.money import Cash
from deskd.domain.order import Fill, OrderClass, OrderRequest
from deskd.domain.priority import Priority
from deskd.ports import Clock, RawMarketMessage, RequestFigures
from deskd.wire.alpaca import client as wire
from deskd.wire.alpaca.client import Body
from deskd.wire.alpaca.market import parse_stamp, rfc3339, to_ns

ORDERS_PAGE = 500
FILLS_PAGE = 100
SUCCESSORS_MAX = 20  # followed in one look; the next look goes on from the last of them
PAGES_MAX = 200  # 100,000 orders or 20,000 fills in one look: more is a broker that turns in circles
BARS_MAX = 10_000
ORDER_TRIES_MAX = 3  # of an order that the broker turned away for the number of requests alone
CANCEL_TRIES_MAX = (
    300  # of a cancel: it is asked for until there is an answer, and after CANCEL_UNTIL_S looked up first
)
CANCEL_UNTIL_S = 30.0
URGENT_WAIT_S = 10.0  # of an order that flattens: it is tried as a cancel is, until it would be in doubt for too long
HISTORY_WAIT_S = 30.0  # nobody's order waits for bars
ROWS_AT_ONCE = 100  # decoded between two turns of the loop: some 2 ms
_DEFINITE = frozenset({400, 401, 403, 404, 422})
_UNIT = {"Min": timedelta(minutes=1), "Hour": timedelta(hours=1), "Day": timedelta(days=1)}
_DAY_AND_OLDER = {"Week": timedelta(weeks=1), "Month": timedelta(days=31)}
_WITH_LEGS = frozenset(kind.value for kind in OrderClass if kind is not OrderClass.SIMPLE)

log = structlog.get_logger()


@asynccontextmanager
async def open_broker(
    endpoints: Endpoints,
    keys: Keys,
    *,
    clock: Clock,
    feed: str = "iex",
    timeout_s: float = 5.0,
    requests_per_min: int | None = 200,
    reserve_share: float = RESERVE_SHARE,
    queue_wait_max_s: float = 5.0,
) -> AsyncIterator["AlpacaBroker"]:
    """Open the broker at *endpoints*; nothing is sent yet.

    *requests_per_min* holds until the broker tells another limit; None: there is none, whatever it says.
    """
    check_library()
    pacer = Pacer(per_min=requests_per_min, clock=clock, reserve_share=reserve_share)
    loop = asyncio.get_running_loop()
    cold = ColdPaths(
        endpoints=endpoints,
        keys=keys,
        timeout_s=timeout_s,
        feed=feed,
        on_answer=lambda status, headers: loop.call_soon_threadsafe(pacer.learn, status, headers),
    )
    try:
        async with Http(url=endpoints.trading, keys=keys, pacer=pacer, timeout_s=timeout_s) as http:
            yield AlpacaBroker(http=http, cold=cold, pacer=pacer, wall=clock, queue_wait_max_s=queue_wait_max_s)
    finally:
        cold.close()


@dataclass(slots=True, kw_only=True)
class AlpacaBroker:
    """One Alpaca account."""

    http: Http
    cold: ColdPaths
    pacer: Pacer
    wall: Clock
    queue_wait_max_s: float = 5.0  # an order waits no longer for its turn: the quote that it rests on grows old
    _drifts: set[str] = field(default_factory=set, init=False)  # what was said of the schema already

    # --- orders ------------------------------------------------------------------------------------------------------

    async def submit(
        self,
        request: OrderRequest,
        *,
        priority: Priority = Priority.ORDER,
        leaves: Callable[[], str | None] = lambda: None,
    ) -> SubmitAccepted | SubmitRejected | SubmitInDoubt:
        """Send the order in its turn, and return what is known."""
        oid = request.client_order_id
        try:
            body = wire.encode_order(request)
        except WireError as error:
            return self._not_sent(oid, str(error))
        turn = Turn(priority=priority, flow=request.strategy_id, name=oid, leaves=leaves)
        return self._outcome(oid, await self._send_order("POST", "/v2/orders", body, turn))

    async def replace(
        self,
        request: OrderRequest,
        broker_order_id: BrokerOrderId,
        *,
        priority: Priority = Priority.ORDER,
        leaves: Callable[[], str | None] = lambda: None,
    ) -> SubmitAccepted | SubmitRejected | SubmitInDoubt:
        """Ask in its turn for the order in the place of the broker's *broker_order_id*, and return what is known of it."""
        oid = request.client_order_id
        try:
            body = wire.encode_replacement(request)
        except WireError as error:
            return self._not_sent(oid, str(error))
        path = f"/v2/orders/{broker_order_id}"
        turn = Turn(priority=priority, flow=request.strategy_id, name=oid, leaves=leaves)
        return self._outcome(oid, await self._send_order("PATCH", path, body, turn))

    async def _send_order(self, method: str, path: str, body: bytes, turn: Turn) -> Outcome:
        """Send it in its turn; again where the broker turned it away for the number of requests alone, while it may."""
        is_urgent = turn.priority.is_urgent
        until = self.wall.monotonic() + (URGENT_WAIT_S if is_urgent else self.queue_wait_max_s)
        outcome: Outcome = NotSent("")
        for tries in range(CANCEL_TRIES_MAX if is_urgent else ORDER_TRIES_MAX):
            left_s = max(0.0, until - self.wall.monotonic())
            outcome = await self.http.send(method, path, body=body, turn=replace(turn, wait_max_s=left_s))
            if isinstance(outcome, NotSent) and tries:
                return NotSent(f"the broker turned it away unread ({tries} x 429); then {outcome.why}")
            if not _is_turned_away(outcome):
                break
        return outcome

    def crowded(self, strategy_id: StrategyId) -> tuple[float, str] | None:
        """Return after how many seconds an order of the strategy is worth a try, and why not now; None: it is now."""
        wait_s = self.pacer.order_wait_s(strategy_id)
        if wait_s <= self.queue_wait_max_s:
            return None
        waiting = self.pacer.figures().waiting.get(strategy_id, 0)
        text = (
            f"orders_waiting={waiting} queue_wait_max_s={self.queue_wait_max_s:g}: your orders go faster than the broker"
            f" takes them; {self.pacer.used_up()}"
        )
        return (self.queue_wait_max_s if wait_s == math.inf else wait_s - self.queue_wait_max_s), text

    def weigh(self, weights: Mapping[StrategyId, float]) -> None:
        """Let strategies have so many turns for each one of another's from now on; who is not named has one."""
        self.pacer.weights = weights

    def withdraw(self, why: str, client_order_id: ClientOrderId | None = None) -> None:
        """Let that order not go, if it still waits for its turn; None: any order that does."""
        self.pacer.withdraw(why, client_order_id)

    def requests(self) -> RequestFigures:
        """Return how the broker's request limit stands."""
        return self.pacer.figures()

    def _outcome(self, oid: ClientOrderId, outcome: Outcome) -> SubmitAccepted | SubmitRejected | SubmitInDoubt:
        at = self.wall.now()
        match outcome:
            case NotSent(why):
                return self._not_sent(oid, why)
            case Unanswered(why):
                return SubmitInDoubt(client_order_id=oid, why=why, at=at)
            case Answer():
                return self._judge(oid, outcome, at)
            case _:
                assert_never(outcome)

    def _not_sent(self, oid: ClientOrderId, why: str) -> SubmitRejected:
        return SubmitRejected(client_order_id=oid, message=f"not sent: {why}", at=self.wall.now(), was_sent=False)

    def _judge(
        self, oid: ClientOrderId, answer: Answer, at: datetime
    ) -> SubmitAccepted | SubmitRejected | SubmitInDoubt:
        if 200 <= answer.status < 300:
            try:
                order = self._order(wire.as_object(wire.decode_json(answer.body), "order"))
            except WireError as error:
                return SubmitInDoubt(client_order_id=oid, why=f"the broker's answer cannot be read: {error}", at=at)
            if order.client_order_id != oid:
                why = f"the broker answered with another order: {order.client_order_id}"
                return SubmitInDoubt(client_order_id=oid, why=why, at=at)
            return SubmitAccepted(client_order_id=oid, order=order, at=at)
        refusal = wire.decode_refusal(answer.status, answer.body)
        if refusal is None:
            return SubmitInDoubt(client_order_id=oid, why=f"HTTP {answer.status}, not in the broker's own words", at=at)
        is_definite = answer.status in _DEFINITE or refusal.says_too_many_requests
        if is_definite and not refusal.says_id_is_taken:
            return SubmitRejected(client_order_id=oid, message=refusal.text, at=at)
        return SubmitInDoubt(client_order_id=oid, why=f"HTTP {answer.status}: {refusal.text}", at=at)

    async def cancel(
        self, client_order_id: ClientOrderId, broker_order_id: BrokerOrderId
    ) -> CancelAnswered | CancelInDoubt:
        """Ask for a cancel."""
        outcome = await self._delete(f"/v2/orders/{broker_order_id}", Priority.CANCEL)
        at = self.wall.now()
        if not isinstance(outcome, Answer):
            return self._cancel_in_doubt(client_order_id, outcome.why, at)
        if 200 <= outcome.status < 300:
            return CancelAnswered(client_order_id=client_order_id, refusal=None, at=at)
        refusal = wire.decode_refusal(outcome.status, outcome.body)
        if refusal is None or outcome.status not in {403, 404, 422}:
            return self._cancel_in_doubt(client_order_id, f"HTTP {outcome.status}", at)
        return CancelAnswered(client_order_id=client_order_id, refusal=refusal.text, at=at)

    async def cancel_all(
        self, orders: Sequence[tuple[ClientOrderId, BrokerOrderId]]
    ) -> Sequence[CancelAnswered | CancelInDoubt | CancelAllAnswered]:
        """Ask for the cancel of all that is open in the account."""
        outcome = await self._delete(cancel_all.PATH, Priority.KILL)
        return cancel_all.CancelAll(orders, self.wall.now()).judged(outcome)

    async def _delete(self, path: str, priority: Priority) -> Outcome:
        """Ask until there is an answer that is not for the number of requests alone, for so long as it may."""
        until = self.wall.monotonic() + CANCEL_UNTIL_S
        outcome: Outcome = NotSent("")
        for _ in range(CANCEL_TRIES_MAX):
            turn = Turn(priority=priority, wait_max_s=max(0.0, until - self.wall.monotonic()))
            outcome = await self.http.send("DELETE", path, turn=turn)
            if not _is_turned_away(outcome):
                break
        return outcome

    @staticmethod
    def _cancel_in_doubt(oid: ClientOrderId, why: str, at: datetime) -> CancelInDoubt:
        log.warning("cancel_unanswered", client_order_id=oid, why=why)
        return CancelInDoubt(client_order_id=oid, why=why, at=at)

    async def look_up(self, client_order_id: ClientOrderId) -> OrderLookedUp | None:
        """Fetch the order by client_order_id with all its fills; None where there was no clear answer.

        It is as old as the question: an order that was not there then may have arrived since.
        """
        asked_at = self.wall.now()
        try:
            body = await self._find(client_order_id)
            if body is None:
                return OrderLookedUp(client_order_id=client_order_id, order=None, fills=(), at=asked_at)
            order = self._order(body)
            fills = await self._fills_of(order) if order.filled_qty else ()
            successors = await self._successors_of(order)
        except (OSError, WireError) as error:
            log.warning("look_up_unanswered", client_order_id=client_order_id, why=str(error))
            return None
        return OrderLookedUp(
            client_order_id=client_order_id,
            order=order,
            fills=tuple(fills),
            at=asked_at,
            successors=tuple(successors),
        )

    async def _successors_of(self, order: BrokerOrder) -> Sequence[BrokerOrder]:
        """Return the order in the place of *order*, what took the place of that, and so on."""
        found: list[BrokerOrder] = []
        while order.replaced_by is not None and len(found) < SUCCESSORS_MAX:
            path = f"/v2/orders/{order.replaced_by}"
            body = await self._read(path, {"nested": "true"}, priority=Priority.LOOK_UP, absent="order not found")
            if body is None:
                break
            order = self._order(wire.as_object(body, "order"))
            found.append(order)
        return found

    async def _find(self, client_order_id: ClientOrderId) -> Body | None:
        params = {"client_order_id": client_order_id}
        path = "/v2/orders:by_client_order_id"
        body = await self._read(path, params, priority=Priority.LOOK_UP, absent="order not found")
        if body is None:
            return None
        order = wire.as_object(body, "order")
        if order.get("client_order_id") != client_order_id:
            raise WireError(f"asked for {client_order_id}, the broker answered with {order.get('client_order_id')!r}")
        if str(order.get("order_class")) in _WITH_LEGS and not order.get("legs"):
            path = f"/v2/orders/{order.get('id')}"
            nested = await self._read(path, {"nested": "true"}, priority=Priority.LOOK_UP)
            order = wire.as_object(nested, "order")
        return order

    async def _fills_of(self, order: BrokerOrder) -> Sequence[Fill]:
        # No time bound: a tape that is played again goes back in time, and the fill lies before its order.
        fills = await self._fills({"order_id": str(order.broker_order_id)}, priority=Priority.LOOK_UP)
        return fills.get(order.broker_order_id, ())

    def _order(self, body: Body) -> BrokerOrder:
        order = wire.decode_order(body)
        drift = wire.schema_drift(body)
        if drift is not None and drift not in self._drifts and len(self._drifts) < 100:
            self._drifts.add(drift)
            log.warning("broker_schema_changed", problem=drift, broker_order_id=order.broker_order_id)
        return order

    # --- lists -------------------------------------------------------------------------------------------------------

    async def orders(self, *, after: datetime | None = None, is_open: bool = False) -> Sequence[BrokerOrder]:
        """Return orders, oldest first, every page; legs as orders of their own.

        An order that cannot be read is left out, and logged: a stranger's option spread must not hide the rest.
        """
        params = {"status": "open" if is_open else "all", "limit": str(ORDERS_PAGE), "direction": "asc"}
        if after is not None:
            params["after"] = rfc3339(to_ns(after))
        found: dict[BrokerOrderId, BrokerOrder] = {}
        for _ in range(PAGES_MAX):
            rows = wire.as_rows(await self._read("/v2/orders", params), "orders")
            known = len(found)
            for order in await self._readable(rows, wire.decode_order):
                found |= {o.broker_order_id: o for o in (order, *order.legs)}
            if len(rows) < ORDERS_PAGE:
                return sorted(found.values(), key=_submitted)
            last = parse_stamp(str(rows[-1].get("submitted_at")))
            # `after` is exclusive, and legs share their stamp: look again at the last instant, unless that is all.
            params["after"] = rfc3339(last - 1 if len(found) > known else last)
        raise ConnectionError(f"the broker's list of orders does not end after {PAGES_MAX} pages")

    async def fills(self, *, after: datetime) -> Mapping[BrokerOrderId, Sequence[Fill]]:
        """Return every execution since *after*, every page, by broker_order_id."""
        return await self._fills({"after": rfc3339(to_ns(after))})

    async def activities(
        self, *, after: datetime, until: datetime | None = None, is_trade: bool, pages_max: int = PAGES_MAX
    ) -> Sequence[Activity]:
        """Return the account's history in that span, oldest first: executions and their corrections, or all else.

        Raise ConnectionError where it has more than *pages_max* pages of 100.
        """
        params = {"after": rfc3339(to_ns(after))} | ({} if until is None else {"until": rfc3339(to_ns(until))})
        if not is_trade:
            params["category"] = "non_trade_activity"
        path = "/v2/account/activities/FILL" if is_trade else "/v2/account/activities"
        rows = await self._activity_rows(path, params, pages_max=pages_max)
        return await self._readable(
            [row for row in rows if row.get("status", "executed") == "executed"], wire.decode_activity
        )

    async def order(self, broker_order_id: BrokerOrderId) -> BrokerOrder | None:
        """Return the order of that id, whoever sent it; None where the broker has none."""
        body = await self._read(f"/v2/orders/{broker_order_id}", {}, absent="order not found")
        return None if body is None else self._order(wire.as_object(body, "order"))

    async def _activity_rows(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        priority: Priority = Priority.RECONCILE,
        pages_max: int = PAGES_MAX,
    ) -> list[Body]:
        asked = dict(params) | {"direction": "asc", "page_size": str(FILLS_PAGE)}
        found: dict[str, Body] = {}
        for _ in range(pages_max):
            rows = wire.as_rows(await self._read(path, asked, priority=priority), "activities")
            found |= {str(row.get("id")): row for row in rows}
            if len(rows) < FILLS_PAGE:
                return list(found.values())
            asked["page_token"] = str(rows[-1].get("id"))
        raise ConnectionError(f"the account's history does not end after {pages_max} pages")

    async def _fills(
        self, params: dict[str, str], *, priority: Priority = Priority.RECONCILE
    ) -> dict[BrokerOrderId, list[Fill]]:
        rows = await self._activity_rows("/v2/account/activities/FILL", params, priority=priority)
        found: dict[BrokerOrderId, dict[str, Fill]] = {}
        for order_id, fill in await self._readable([row for row in rows if wire.is_execution(row)], wire.decode_fill):
            found.setdefault(order_id, {})[fill.fill_id] = fill
        return {order_id: list(fills.values()) for order_id, fills in found.items()}

    async def _readable[R, T](self, rows: Sequence[R], decode: Callable[[R], T]) -> Sequence[T]:
        """Decode what can be read, log what cannot, and let others run in between."""
        read: list[T] = []
        for number, row in enumerate(rows, start=1):
            try:
                read.append(decode(row))
            except WireError as error:
                log.warning("broker_row_unreadable", problem=str(error), row=repr(row)[:200])
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return read

    async def _read(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        priority: Priority = Priority.RECONCILE,
        absent: str | None = None,
    ) -> object:
        """Return the answer's JSON; None where the broker says *absent*; raise OSError or WireError."""
        body = await self._answer(path, params, priority=priority, absent=absent)
        return None if body is None else wire.decode_json(body)

    async def _answer(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        priority: Priority = Priority.RECONCILE,
        absent: str | None = None,
    ) -> bytes | None:
        outcome = await self.http.send("GET", path, params=params, turn=Turn(priority=priority))
        if not isinstance(outcome, Answer):
            raise ConnectionError(outcome.why)
        if outcome.status == 200:
            return outcome.body
        refusal = wire.decode_refusal(outcome.status, outcome.body)
        if absent is not None and outcome.status == 404 and refusal is not None and absent in refusal.message:
            return None
        raise refused(outcome.status, outcome.body)

    # --- what is asked seldom ----------------------------------------------------------------------------------------

    async def account(self) -> tuple[Cash, Cash, Cash]:
        """Return cash, equity and buying power of the shared account."""
        async with self._turn(Priority.RECONCILE):
            said = await self.cold.account()
        return _whole(wire.decode_account, said)

    async def positions(self) -> Sequence[BrokerPosition]:
        """Return all positions of the shared account."""
        async with self._turn(Priority.RECONCILE):
            rows = await self.cold.positions()
        return _whole(lambda value: [wire.decode_position(row) for row in wire.as_rows(value, "positions")], rows)

    async def clock(self) -> MarketClock:
        """Return the market's clock."""
        async with self._turn(Priority.RECONCILE):
            said = await self.cold.clock()
        return _whole(wire.decode_clock, said)

    async def calendar(self, first: date, last: date) -> Sequence[TradingDay]:
        """Return the days on which the exchange trades, both included, oldest first."""
        body = await self._answer("/v2/calendar", {"start": first.isoformat(), "end": last.isoformat()})
        return _whole(
            lambda value: [wire.decode_day(row) for row in wire.as_rows(wire.decode_json(value), "days")], body
        )

    async def instruments(self) -> Sequence[Instrument]:
        """Return all active instruments.

        Not through alpaca-py: it would parse 12,000 assets in one go, and hold the interpreter for 50 ms.
        """
        body = await self._answer("/v2/assets", wire.ASSETS)
        rows = _whole(wire.split_rows, body)
        return await self._readable(rows, wire.decode_asset)

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        """Return the latest *limit* bars, oldest first; raise WireError for a timeframe that is none."""
        count, unit = parse_timeframe(timeframe)
        limit = min(limit, BARS_MAX)
        now = (await self.clock()).timestamp
        span = _UNIT.get(unit) or _DAY_AND_OLDER[unit]
        # Nights and weekends hold no bars: 6.5 of 168 hours' trading is the worst of a holiday week, and then some.
        since = now - count * limit * span * (6 if unit != "Month" else 1) - timedelta(days=10)
        async with self._turn(Priority.HISTORY):
            by_symbol = await self.cold.bars(symbol, timeframe, limit, max(since, now - timedelta(days=3650)))
        rows = _whole(lambda value: wire.as_rows(wire.as_object(value, "bars").get(symbol, []), "bars"), by_symbol)
        newest_first = await self._readable(rows, lambda row: wire.decode_bar(symbol, row))
        return newest_first[:limit][::-1]

    async def bars_between(
        self, symbols: Collection[Symbol], start: datetime, end: datetime
    ) -> Mapping[Symbol, Sequence[RawMarketMessage]]:
        """Return the minute bars of all *symbols* from *start* to *end*, BARS_MAX in all, oldest first."""
        async with self._turn(Priority.HISTORY):
            said = await self.cold.minute_bars(symbols, start, end, BARS_MAX)
        by_symbol = _whole(lambda value: wire.as_object(value, "bars"), said)
        found: dict[Symbol, Sequence[RawMarketMessage]] = {}
        for symbol in symbols:
            rows = _whole(lambda value: wire.as_rows(value, "bars"), by_symbol.get(symbol, []))
            found[symbol] = await self._readable(rows, partial(wire.decode_bar, symbol))
        return found

    async def latest_quotes(self, symbols: Collection[Symbol]) -> Sequence[RawMarketMessage]:
        """Return the newest quote of each symbol that has one, shaped as on the stream."""
        async with self._turn(Priority.HISTORY):
            said = await self.cold.latest_quotes(symbols)
        by_symbol = _whole(lambda value: wire.as_object(value, "quotes"), said)
        return [{"T": "q", "S": symbol} | wire.as_object(row, "quote") for symbol, row in by_symbol.items()]

    @asynccontextmanager
    async def _turn(self, priority: Priority) -> AsyncIterator[None]:
        """Wait for a turn of what is asked through alpaca-py, and count it; raise ConnectionError where none comes."""
        wait_max_s = HISTORY_WAIT_S if priority is Priority.HISTORY else self.http.timeout_s
        if (why_not := await self.pacer.take(priority, wait_max_s=wait_max_s)) is not None:
            raise ConnectionError(why_not)
        try:
            yield
        finally:
            self.pacer.unanswered()  # what the headers said comes by ColdPaths.on_answer


def _is_turned_away(outcome: Outcome) -> bool:
    """Tell whether the broker itself says that it did not look at the request: there are too many."""
    if not isinstance(outcome, Answer) or outcome.status != 429:
        return False
    refusal = wire.decode_refusal(outcome.status, outcome.body)
    return refusal is not None and refusal.says_too_many_requests


def _submitted(order: BrokerOrder) -> tuple[bool, str]:
    return order.submitted_at is None, order.submitted_at.isoformat() if order.submitted_at else ""


def _whole[T](decode: Callable[[Any], T], value: Any) -> T:
    """Decode an answer of which no part may be missing; nonsense is the broker's failure."""
    try:
        return decode(value)
    except (WireError, AttributeError) as error:
        raise ConnectionError(f"the broker's answer cannot be read: {error}") from None
