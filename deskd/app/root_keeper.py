"""When the ledger is signed: as the market closes or its day is over, when the desk stops, and when an officer asks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from deskd.core.desk import Desk
from deskd.domain.events import Fact, RootSigned
from deskd.domain.market import MarketClock
from deskd.ledger.roots import SigningKey, add_root, catch_up, signed_roots
from deskd.ports import Clock

_NEW_YORK = ZoneInfo("America/New_York")

log = structlog.get_logger()


class Head(Protocol):
    """The ledger's last entry that is on disk."""

    last_seq: int
    last_hash: str


@dataclass(slots=True, kw_only=True)
class RootKeeper:
    """Signs what is on disk, and hands roots on to the file that officers copy."""

    key: SigningKey
    ledger: Head
    desk: Desk
    wall: Clock
    post: Callable[[RootSigned], Awaitable[None]]
    file: Path  # roots.jsonl
    _left_unsigned: bool = field(init=False)  # by the desk before: it was killed
    _day: date | None = None
    _was_open: bool = False

    def __post_init__(self) -> None:
        self._left_unsigned = self.has_unsigned()

    def has_unsigned(self) -> bool:
        """Tell whether there is more behind the last root than its own entry."""
        last = self.desk.last_root
        return self.ledger.last_seq > (last.seq + 1 if last is not None else 0)

    async def on_clock(self, clock: MarketClock) -> None:
        """Sign the market day that is over, or what a desk that was killed left unsigned."""
        today = clock.timestamp.astimezone(_NEW_YORK).date()
        over = self._day or today
        is_over = today != over or (self._was_open and not clock.is_open)
        self._day, self._was_open = today, clock.is_open
        if is_over or self._left_unsigned:
            self._left_unsigned = False
            await self.sign(over)

    async def sign(self, market_day: date | None = None) -> RootSigned | None:
        """Put the desk's name to all that is on disk; None where nothing is unsigned."""
        if not self.has_unsigned():
            return None
        now = self.wall.now()
        day = market_day or self._day or now.astimezone(_NEW_YORK).date()
        root = self.key.sign(day, self.ledger.last_seq, self.ledger.last_hash, now)
        await self.post(root)
        return root

    def catch_up(self, db: Path) -> None:
        """Hand on what a kill kept from the file; blocks: call it in a thread."""
        try:
            catch_up(self.file, signed_roots(db))
        except OSError as error:
            self._not_handed_on(error)

    def on_fact(self, fact: Fact) -> None:
        """Hand a root on once it is on disk."""
        if isinstance(fact, RootSigned):
            try:
                add_root(self.file, fact)
            except OSError as error:
                self._not_handed_on(error)

    def _not_handed_on(self, error: OSError) -> None:
        """Go on: the root is in the ledger, and the next start hands it on."""
        remedy = "let the desk's user write into it, then restart the desk"
        log.error("root_not_handed_on", file=str(self.file), error=str(error), remedy=remedy)
