"""The door for laptops: open where the configuration has one, with a token except on the embedded exchange."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from deskd.api import tokens
from deskd.api.endpoint import Api
from deskd.domain.errors import ConfigError
from deskd.domain.ids import StrategyId
from deskd.domain.strategy import StrategySpec

log = structlog.get_logger()


def tokens_of(port: int, state_dir: Path, *, is_embedded: bool) -> tokens.Tokens | None:
    """Return the tokens that the door asks for; None: there is no door, or our own exchange's money is nobody's."""
    return tokens.load(state_dir / "token.key") if port != 0 and not is_embedded else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaptopDoor:
    """Opens it, and issues what opens it."""

    port: int  # 0: there is none
    tokens: tokens.Tokens | None  # None: a name is believed
    api: Api
    spec_of: Callable[[StrategyId], StrategySpec | None]

    async def open(self) -> None:
        """Open the door, where the configuration has one."""
        if self.port:
            port = await self.api.open_local(self.port, spec_of=self.spec_of, tokens=self.tokens)
            log.info("local_port_opened", port=port, needs_token=self.tokens is not None)

    def issue(self, strategy_id: StrategyId) -> str:
        """Return the strategy's token; raise ConfigError where none is needed."""
        if not self.port:
            raise ConfigError("laptops have no door here: set [api] local_port = 8080 and restart the desk")
        if self.tokens is None:
            raise ConfigError(f"no token is needed: on the embedded exchange STRATEGY_ID={strategy_id} is enough")
        return self.tokens.issue(strategy_id)
