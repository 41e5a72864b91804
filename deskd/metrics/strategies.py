"""One strategy's figures at a scrape, read where they stand."""

from dataclasses import dataclass

from deskd.core.desk import Desk
from deskd.domain.book import Account
from deskd.domain.ids import StrategyId
from deskd.domain.run import RunStatus
from deskd.domain.strategy import Liveness, StrategySpec
from deskd.ports import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFigures:
    """What is known of a strategy at one instant."""

    strategy_id: StrategyId
    member: str
    status: RunStatus
    live: Liveness | None
    orders_open: int
    account: Account | None  # None: it has no book yet, or money is not shown
    positions: int = 0
    long: float = 0.0  # dollars, for display
    short: float = 0.0


def look(spec: StrategySpec, runs: Runs, desk: Desk, *, orders_open: int, shows_money: bool) -> StrategyFigures:
    """Return the strategy's figures."""
    name = spec.strategy_id
    book = desk.portfolio.books.get(name) if shows_money else None
    worth = None if book is None else book.worth()
    return StrategyFigures(
        strategy_id=name,
        member=spec.user_id,
        status=runs.status(name),
        live=runs.liveness(name),
        orders_open=orders_open,
        account=None if book is None else desk.account(name),
        positions=0 if book is None else len(book.held()),
        long=0.0 if worth is None else float(worth.longs),
        short=0.0 if worth is None else float(worth.shorts),
    )
