"""What another desk.toml changes: key by key, and when each counts.

Rule 1: what is not in the tables below needs a restart: a key that nobody takes up again must not look applied.
Rule 2: what needs a restart stays as it was, and is named at every reload until then.
Rule 3: a value that may hold a secret is masked.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, SecretStr

from deskd.config.settings import Config

MASK = "***"
NOT_SET = "-"


class Applies(StrEnum):
    """When a changed key counts."""

    NOW = "applied"
    NEXT_RUN = "at each strategy's next start"
    RESTART = "needs restart"


# All of these, those that will be added included: they are limits, and whoever judges by them has them from here.
_SECTIONS_NOW = (
    "risk.desk",
    "risk.member",
    "risk.members",
    "risk.strategy",
    "risk.strategies",
    "risk.schedule",
    "risk.automatic",
    "risk.breaker",
    "notify",  # with the file of routes, which each reload reads
)
_KEYS: Mapping[str, Applies] = {
    "desk.name": Applies.NOW,
    "desk.cancel_orders_on_stop": Applies.NOW,
    "desk.disk_free_min_mb": Applies.NOW,
    "desk.heartbeat_s": Applies.NOW,
    "broker.doubt_check_s": Applies.NOW,
    "broker.reconcile_every_s": Applies.NOW,
    "market.stale_after_s": Applies.NOW,
    "market.symbols": Applies.NEXT_RUN,
    "sandbox.memory_mb": Applies.NEXT_RUN,
    "sandbox.cpu": Applies.NEXT_RUN,
    "sandbox.cpu_weight": Applies.NEXT_RUN,
    "sandbox.pids": Applies.NEXT_RUN,
    "sandbox.tmp_mb": Applies.NEXT_RUN,
    "sandbox.state_mb": Applies.NEXT_RUN,
    "sandbox.state_files": Applies.NEXT_RUN,
    "sandbox.open_files": Applies.NEXT_RUN,
    "sandbox.log_bytes_per_s": Applies.NEXT_RUN,
    "sandbox.log_flood_s": Applies.NEXT_RUN,
    "sandbox.log_kept_bytes": Applies.NEXT_RUN,
    "sandbox.stalled_after_s": Applies.NEXT_RUN,
    "sandbox.stalled_end_after_s": Applies.NEXT_RUN,
    "sandbox.busy_after_s": Applies.NEXT_RUN,
    "restart.backoff_initial_s": Applies.NOW,
    "restart.backoff_max_s": Applies.NOW,
    "restart.healthy_after_s": Applies.NOW,
    "restart.give_up_after": Applies.NOW,
    "risk.strategy.requests_per_s": Applies.NEXT_RUN,
    "risk.exits.stop_loss_pct": Applies.NOW,
    "risk.exits.take_profit_pct": Applies.NOW,
    "risk.exits.trailing_pct": Applies.NOW,
    "risk.exits.spread_max_pct": Applies.NOW,
    "risk.exits.quote_age_max_s": Applies.NOW,
    "risk.exits.look_s": Applies.NOW,
    "risk.kill.depth": Applies.NOW,
    "risk.kill.after_hours": Applies.NOW,
    "orders.conflict": Applies.NOW,
    "orders.hold_max_s": Applies.NOW,
    "log.level": Applies.NOW,
}
_SECRET_KEY = re.compile(r"secret|token|password|passphrase|credential", re.IGNORECASE)
_SECRET_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)|(?<=[?&=])[^&=\s]{16,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key that is another than the desk goes by."""

    key: str
    old: str
    new: str
    applies: Applies

    def __str__(self) -> str:
        """Return it as one line for people."""
        return f"{self.key}: {self.old} -> {self.new} ({self.applies})"


def applies(key: str) -> Applies:
    """Return when a change of *key* counts."""
    if key in _KEYS:
        return _KEYS[key]
    return Applies.NOW if key.startswith(tuple(f"{section}." for section in _SECTIONS_NOW)) else Applies.RESTART


def changes(old: Config, new: Config) -> tuple[Change, ...]:
    """Return every key whose value is another, in the tree's order."""
    before, after = dict(values(old)), dict(values(new))
    return tuple(
        Change(key=key, old=shown(key, before.get(key)), new=shown(key, after.get(key)), applies=applies(key))
        for key in [*before, *(key for key in after if key not in before)]
        if before.get(key) != after.get(key)
    )


def with_applied(old: Config, new: Config) -> Config:
    """Return *old* with what need not wait for a restart taken from *new*."""
    return _mixed("", old, new)


def values(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield every key with its value, those under names that an officer gave included."""
    for name, value in _children(config):
        if isinstance(value, BaseModel):
            yield from values(value, f"{prefix}{name}.")
        elif isinstance(value, dict):
            for given, table in value.items():
                yield from values(table, f"{prefix}{name}.{given}.")
        else:
            yield f"{prefix}{name}", value


def shown(key: str, value: object) -> str:
    """Return a value as people read it; no secret is in it."""
    match value:
        case None:
            return NOT_SET
        case bool():
            return str(value).lower()
        case SecretStr():
            return MASK
        case float() | Decimal():
            return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
        case tuple() | list():
            text = ", ".join(map(str, value))
        case _:
            text = str(value)
    if text and _SECRET_KEY.search(key.rpartition(".")[2]):
        return MASK
    return _SECRET_IN_URL.sub(MASK, text) if "://" in text else text


def _mixed[S: BaseModel](prefix: str, old: S, new: S) -> S:
    taken: dict[str, Any] = {}
    for name, value in _children(new):
        key, before = f"{prefix}{name}", getattr(old, name)
        if isinstance(value, BaseModel):
            taken[name] = _mixed(f"{key}.", before, value)
        elif applies(f"{key}.*" if isinstance(value, dict) else key) is not Applies.RESTART:
            taken[name] = value
    return old.model_copy(update=taken)


def _children(model: BaseModel) -> Iterator[tuple[str, Any]]:
    for name in type(model).model_fields:
        yield name, getattr(model, name)
