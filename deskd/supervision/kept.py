"""What the supervisor knows of one strategy: what was found, what is wished, and where its process is."""

import asyncio
from dataclasses import dataclass, field

from deskd.domain.run import RunEnd, RunStatus
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.domain.streak import Streak
from deskd.supervision.ending import Asked
from deskd.supervision.lifecycle import Life, Step, step
from deskd.supervision.run import Run


@dataclass(slots=True)
class Kept:
    """What the supervisor knows of one strategy."""

    found: StrategySpec | BrokenStrategy
    life: Life = field(default_factory=Life)
    run: Run | None = None
    last_end: RunEnd | None = None
    streak: Streak | None = None  # the deaths that count, as the ledger has them
    ran: str | None = None  # the code_hash of the version that ran last
    wish: Asked | None = None  # why it is to stop; None: it is to run
    anew: str | None = None  # why its deaths are to be forgotten
    retry: asyncio.Event = field(default_factory=asyncio.Event)  # do not wait longer between two tries
    at_rest: asyncio.Event = field(default_factory=asyncio.Event)  # nobody keeps it

    def __post_init__(self) -> None:
        self.at_rest.set()

    @property
    def is_given_up(self) -> bool:
        """Say whether it died too often, and nobody keeps it any more."""
        return self.life.status is RunStatus.FATAL and self.at_rest.is_set()

    def take(self, run: Run, grace_s: float) -> None:
        """Note the process that came to be; end it at once where somebody wished that while it was made."""
        self.run = run
        if self.wish is not None:
            run.end(self.wish, grace_s=grace_s)
        else:
            self.life = step(self.life, Step.UP)
