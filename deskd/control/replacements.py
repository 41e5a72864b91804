"""What `deskctl replace` says: the words of a command as a replacement."""

from collections.abc import Mapping
from decimal import Decimal

from deskd.domain.ids import ClientOrderId
from deskd.domain.money import Price, Qty, parse_decimal
from deskd.domain.order import Replacement, TimeInForce

FIELDS = ("qty", "limit_price", "stop_price", "trail_price", "trail_percent", "time_in_force")


def read(body: Mapping[str, object], replaces: ClientOrderId) -> Replacement:
    """Return what is to be different; raise ValueError, whose text names the field and the rule."""
    given = {name: body[name] for name in FIELDS if body.get(name) is not None}
    if not given:
        raise ValueError(f"nothing is to change: give at least one of {', '.join(map(option, FIELDS))}")
    numbers = {name: _number(name, value) for name, value in given.items() if name != "time_in_force"}
    prices = {name: Price(value) for name, value in numbers.items() if name != "qty"}
    return Replacement(
        replaces=replaces,
        qty=Qty(numbers["qty"]) if "qty" in numbers else None,
        time_in_force=_time_in_force(given.get("time_in_force")),
        **prices,
    )


def arguments(wanted: Replacement) -> str:
    """Return the command's arguments as they are kept."""
    changes = ((name, getattr(wanted, name)) for name in FIELDS)
    return " ".join([wanted.replaces, *(f"{option(name)} {value}" for name, value in changes if value is not None)])


def option(field: str) -> str:
    """Return the field as deskctl's option."""
    return "--" + field.replace("_", "-")


def _number(name: str, value: object) -> Decimal:
    try:
        number = parse_decimal(value) if isinstance(value, str) else None
    except ValueError as broken:
        raise ValueError(f"{option(name)}: {ascii(value)[:40]} {broken}") from None
    if number is None or number <= 0:
        raise ValueError(f"{option(name)}: {ascii(value)[:40]} is not a number greater than zero")
    return number


def _time_in_force(value: object) -> TimeInForce | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in set(TimeInForce):
        raise ValueError(f"{option('time_in_force')}: {ascii(value)[:40]} is not one of {', '.join(TimeInForce)}")
    return TimeInForce(value)
