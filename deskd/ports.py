"""What rooms need of each other and of the outside, as protocols. Adapters satisfy them by shape."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from deskd.domain.activity import Activity
from deskd.domain.book import Account, Position
from deskd.domain.effects import OrderUpdate, Refuse
from deskd.domain.events import (
    BrokerOrder,
    BrokerPosition,
    CancelAllAnswered,
    CancelAnswered,
    CancelInDoubt,
    Fact,
    OrderLookedUp,
    SubmitAccepted,
    SubmitInDoubt,
    SubmitRejected,
)
from deskd.domain.ids import BrokerOrderId, ClientOrderId, RunId, StrategyId, Symbol
from deskd.domain.market import Instrument, MarketClock, Quote
from deskd.domain.money import Cash
from deskd.domain.order import Fill, Order, OrderRequest, Replacement
from deskd.domain.priority import Priority
from deskd.domain.run import RunEnd, RunStatus
from deskd.domain.strategy import BrokenStrategy, Delivery, DeskWait, Liveness, StrategySpec

type RawMarketMessage = dict[str, Any]  # one Alpaca market-data message as msgpack decoded it, keys T, S, p, ...


class Clock(Protocol):
    """The desk's own clock. Pure code never reads it: `now` is an argument."""

    def now(self) -> datetime:
        """Return the present instant, aware, UTC."""

    def monotonic(self) -> float:
        """Return seconds that only go forward, for durations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFigures:
    """How the broker's request limit stands."""

    limit: int | None  # a minute; None: there is none
    used: int  # of the last minute, by others of the same account, too
    reserve: int  # that no order can use
    waiting: Mapping[str, int]  # orders, by strategy
    turned_away: int  # HTTP 429 since the start
    pause_s: float  # for so long the broker is left alone


class Broker(Protocol):
    """Where orders go. No method raises for the world's failures where an event can say it."""

    async def submit(
        self, request: OrderRequest, *, priority: Priority, leaves: Callable[[], str | None]
    ) -> SubmitAccepted | SubmitRejected | SubmitInDoubt:
        """Send the order in its turn, once, and return what is known.

        *leaves* is asked when its turn has come: None, and it leaves now; else why it does not. It is sent again only
        where the broker turned it away for the number of requests alone.
        """

    async def replace(
        self,
        request: OrderRequest,
        broker_order_id: BrokerOrderId,
        *,
        priority: Priority,
        leaves: Callable[[], str | None],
    ) -> SubmitAccepted | SubmitRejected | SubmitInDoubt:
        """Ask for the order in the place of the broker's *broker_order_id*, as `submit` does."""

    def crowded(self, strategy_id: StrategyId) -> tuple[float, str] | None:
        """Return after how many seconds an order of the strategy is worth a try, and why not now; None: it is now."""

    def weigh(self, weights: Mapping[StrategyId, float]) -> None:
        """Let strategies have so many turns for each one of another's from now on; who is not named has one."""

    def withdraw(self, why: str, client_order_id: ClientOrderId | None = None) -> None:
        """Let that order not go, if it still waits for its turn; None: any order that does."""

    async def cancel(
        self, client_order_id: ClientOrderId, broker_order_id: BrokerOrderId
    ) -> CancelAnswered | CancelInDoubt:
        """Ask for a cancel (in doubt: the stream or a look-up will tell)."""

    async def cancel_all(
        self, orders: Sequence[tuple[ClientOrderId, BrokerOrderId]]
    ) -> Sequence[CancelAnswered | CancelInDoubt | CancelAllAnswered]:
        """Ask, once, for the cancel of all that is open in the account.

        Return what is known of each of *orders*, and last the sum where there was a clear answer.
        """

    async def look_up(self, client_order_id: ClientOrderId) -> OrderLookedUp | None:
        """Fetch the order by client_order_id with all its fills; None where there was no clear answer."""

    async def account(self) -> tuple[Cash, Cash, Cash]:
        """Return cash, equity and buying power of the shared account."""

    async def positions(self) -> Sequence[BrokerPosition]:
        """Return all positions of the shared account."""

    async def orders(self, *, after: datetime | None = None, is_open: bool = False) -> Sequence[BrokerOrder]:
        """Return orders, oldest first, every page; legs as orders of their own."""

    async def fills(self, *, after: datetime) -> Mapping[BrokerOrderId, Sequence[Fill]]:
        """Return every execution since *after*, every page, by broker_order_id."""

    async def activities(
        self, *, after: datetime, until: datetime | None = None, is_trade: bool, pages_max: int = 200
    ) -> Sequence[Activity]:
        """Return the account's history in that span, oldest first: executions and their corrections, or all else.

        Raise ConnectionError where it has more than *pages_max* pages of 100.
        """

    async def order(self, broker_order_id: BrokerOrderId) -> BrokerOrder | None:
        """Return the order of that id, whoever sent it; None where the broker has none."""

    async def clock(self) -> MarketClock:
        """Return the market's clock."""

    async def instruments(self) -> Sequence[Instrument]:
        """Return all active instruments."""

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        """Return the latest *limit* bars, oldest first."""


type Statement = tuple[str, tuple[object, ...]]  # SQL and its parameters: a projected row


class Ledger(Protocol):
    """Where facts are kept."""

    async def append(self, facts: Sequence[Fact], statements: Sequence[Statement]) -> None:
        """Store the facts, and the projections' rows, in one transaction; return only when they are on disk."""


class Quotes(Protocol):
    """What the market hub knows of prices."""

    def quote(self, symbol: Symbol) -> Quote | None:
        """Return the latest quote, however old; its received_at tells the age."""

    def is_halted(self, symbol: Symbol) -> bool | None:
        """Tell whether the market halted trading in the symbol, as far as it said."""


class Tells(Protocol):
    """Order lines to strategies that asked for the `orders` channel. They are never conflated."""

    def tell(self, strategy_id: StrategyId, update: OrderUpdate) -> None:
        """Queue the line for the strategy's run, if there is one and it wants orders."""


class Feeds(Protocol):
    """Where the supervisor hands a run's standard input to: the market hub."""

    async def attach(self, spec: StrategySpec, run_id: RunId, stdin: int) -> None:
        """Feed the run through *stdin*, the non-blocking write end of its pipe, history first; the hub closes it."""

    def detach(self, run_id: RunId) -> None:
        """Stop feeding and close the run's standard input: the strategy sees the end of input. Safe to call twice."""

    def counts(self, run_id: RunId) -> Delivery:
        """Return what became of the run's lines; zeros where it is not fed."""


class Doors(Protocol):
    """Where the supervisor has a run's order socket made: the api."""

    async def open(self, spec: StrategySpec, run_id: RunId, directory: Path, uid: int | None) -> None:
        """Listen on DIRECTORY/order.sock for that run alone; *uid* is the only peer allowed (None: not told apart)."""

    async def close(self, run_id: RunId) -> None:
        """Close the door and its connections. Safe to call twice."""

    def waited(self, run_id: RunId) -> DeskWait:
        """Return what the run waited for the desk so far; nothing where it has no door."""


class Runs(Protocol):
    """What the desk can ask of the supervisor (all by strategy)."""

    def strategies(self) -> Sequence[StrategySpec | BrokenStrategy]:
        """Return what lies in strategies_dir, as last read."""

    async def reread(self) -> None:
        """Read strategies_dir anew. What runs goes on as it is until it is started again."""

    async def start(self, strategy_id: StrategyId) -> None:
        """Start the strategy, if it is not running; a failed one gets a fresh count of restarts."""

    async def stop(self, strategy_id: StrategyId) -> None:
        """End the strategy's run: end of input, grace, then kill; return when it is gone, and stays so with the desk."""

    async def restart(self, strategy_id: StrategyId) -> None:
        """Stop the strategy, and start it again; a desk that is killed in between starts it, too."""

    def status(self, strategy_id: StrategyId) -> RunStatus:
        """Return where its process is."""

    def liveness(self, strategy_id: StrategyId) -> Liveness | None:
        """Return what is known of its present run; None where there is none."""

    def last_end(self, strategy_id: StrategyId) -> RunEnd | None:
        """Return how its last run ended."""

    def log_path(self, strategy_id: StrategyId) -> Path:
        """Return the newest file of its log (older ones: .1, .2)."""


class Orders(Protocol):
    """The runtime's face to the doors (api, control). Reads are of the present state, from memory."""

    def refusal(self) -> Refuse | None:
        """Return why no new order is taken at the moment (starting, stopping, trade stream down), or None."""

    def is_shut_out(self, order: Order) -> bool:
        """Tell whether the order was denied because no order of its strategy is taken: paused, not active, killed."""

    async def place(self, request: OrderRequest, *, timeout_s: float) -> Order | Refuse:
        """Put the request through the gate and to the broker.

        Return the order once it is denied, accepted, rejected or further; after *timeout_s* as it then stands
        (`submitted`: in doubt). The same client_order_id with the same content gets the same answer; with other
        content, Refuse(CONFLICT).
        """

    async def replace(
        self,
        strategy_id: StrategyId | None,
        replacement: Replacement,
        *,
        client_order_id: ClientOrderId,
        by: str,
        timeout_s: float,
    ) -> Order | Refuse:
        """Put another order in the place of an open one, which *replacement* names by either of its ids.

        Return the new order, *client_order_id*, as `place` does. None as strategy: any strategy's (officers).
        """

    async def cancel(self, strategy_id: StrategyId | None, order_id: str, *, by: str) -> Order | Refuse:
        """Ask for a cancel by client_order_id or broker_order_id; None as strategy: any strategy's (officers)."""

    def find(self, strategy_id: StrategyId | None, order_id: str) -> Order | None:
        """Return the order of that client_order_id or broker_order_id, if it is the strategy's."""

    def orders(self, strategy_id: StrategyId | None, *, is_open: bool | None = None) -> Sequence[Order]:
        """Return orders, oldest first: all that are open, else the newest thousand; *is_open* None: of all."""

    def positions(self, strategy_id: StrategyId | None) -> Sequence[Position]:
        """Return positions at the latest mark, flat ones left out."""

    def account(self, strategy_id: StrategyId) -> Account | None:
        """Return the strategy's sub-ledger (HOUSE: the rest of the shared account)."""

    async def clock(self) -> MarketClock:
        """Return the market's clock."""

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        """Return the latest bars of *symbol*, oldest first."""


type OnFact = Callable[[Fact], None]  # called after the commit, in order, on the loop; must not block or raise


class SystemClock:
    """The machine's clock: the one place that reads it."""

    def now(self) -> datetime:
        """Return the present instant, aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251  the one place

    def monotonic(self) -> float:
        """Return seconds that only go forward."""
        return time.monotonic()
