"""The key `exits` of config.json: a strategy's own exits, each only tighter than the desk's."""

from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from deskd.config import RiskExitsSection
from deskd.config.near import nearest
from deskd.domain.exits import ExitRules
from deskd.domain.ids import Symbol
from deskd.domain.money import parse_decimal
from deskd.supervision.folder import FolderError

SYMBOL_MAX = 20  # characters of one that is told
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


class SymbolExits(BaseModel):
    """What stands there for one symbol."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    stop_loss_pct: _Percent | None = None
    take_profit_pct: _Percent | None = None
    trailing_pct: _Percent | None = None


class OwnExits(SymbolExits):
    """What stands there."""

    symbols: dict[str, SymbolExits] = {}


def own_exits(given: OwnExits, desk: RiskExitsSection, traded: Collection[str] = ()) -> ExitRules:
    """Return the strategy's exits; raise FolderError for one that is looser than the desk's, or of a symbol not *traded*.

    What a symbol's own rules do not say is as for all others.
    """
    for_all = _rules(given, desk, "exits")
    by_symbol: dict[Symbol, ExitRules] = {}
    for symbol, said in given.symbols.items():
        if symbol not in traded:
            meant = nearest(symbol, traded)
            hint = f'did you mean "{meant}"?' if meant else "add it to `symbols`, or take it out here"
            raise FolderError(
                f"config.json: exits.symbols.{symbol[:SYMBOL_MAX]}: the strategy does not trade it: {hint}"
            )
        if all(getattr(said, name) is None for name in NAMES):
            raise FolderError(f"config.json: exits.symbols.{symbol}: says nothing: give one of {', '.join(NAMES)}")
        own = _rules(said, desk, f"exits.symbols.{symbol}")
        by_symbol[Symbol(symbol)] = ExitRules(
            **{name: getattr(for_all if getattr(own, name) is None else own, name) for name in NAMES}
        )
    return replace(for_all, by_symbol=by_symbol)


def _rules(given: SymbolExits, desk: RiskExitsSection, place: str) -> ExitRules:
    found: dict[str, Any] = {}
    for name in NAMES:
        own: Decimal | None = getattr(given, name)
        bound: Decimal = getattr(desk, name)
        if own is not None and bound and own > bound:
            raise FolderError(
                f"config.json: {place}.{name}: {own} is looser than the desk's {bound}: "
                "a strategy's exits only tighten; change it, or ask an officer"
            )
        found[name] = own
    return ExitRules(**found)
