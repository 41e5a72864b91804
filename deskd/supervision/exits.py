"""The key `exits` of config.json: a strategy's own exits, each only tighter than the desk's."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from deskd.config import RiskExitsSection
from deskd.domain.exits import ExitRules
from deskd.domain.money import parse_decimal
from deskd.supervision.folder import FolderError

NAMES = ("stop_loss_pct", "take_profit_pct", "trailing_pct")


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("must be a number: 2 is two percent")  # noqa: TRY004  pydantic reads ValueErrors
    return parse_decimal(str(value))


def _in_percent(value: Decimal) -> Decimal:
    if not 0 < value < 100:
        raise ValueError("must be over 0 and under 100: 2 is two percent; leave the key out for no such exit")
    return value


type _Percent = Annotated[Decimal, BeforeValidator(_number), AfterValidator(_in_percent)]


class OwnExits(BaseModel):
    """What stands there."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    stop_loss_pct: _Percent | None = None
    take_profit_pct: _Percent | None = None
    trailing_pct: _Percent | None = None


def own_exits(given: OwnExits, desk: RiskExitsSection) -> ExitRules:
    """Return the strategy's exits; raise FolderError for one that is looser than the desk's."""
    found: dict[str, Any] = {}
    for name in NAMES:
        own: Decimal | None = getattr(given, name)
        bound: Decimal = getattr(desk, name)
        if own is not None and bound and own > bound:
            raise FolderError(
                f"config.json: exits.{name}: {own} is looser than the desk's {bound}: "
                "a strategy's exits only tighten; change it, or ask an officer"
            )
        found[name] = own
    return ExitRules(**found)
