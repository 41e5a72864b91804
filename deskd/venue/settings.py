"""What one start of the embedded exchange is told: built from `[exchange]` and the command line, checked here."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from deskd.config import ExchangeSection
from deskd.domain.errors import ConfigError

TAPE_ENDED = "tape_ended"  # the word for it on the exchange's standard output
EMBEDDED_KEY = "embedded"  # both keys, where the environment names none: the exchange listens on this machine alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a client has to show. `is_default` tells that the environment named none."""

    key_id: str
    secret_key: str
    is_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSettings:
    """Everything `serve` needs to know."""

    listen: str
    tape: tuple[str, ...]
    speed: float
    loop: bool
    seed: int
    cash: Decimal
    fills: Literal["paper", "immediate"]
    start: str | None
    state: Path | None  # None: in memory, gone at the end
    keys: Keys
    rate_limit_per_min: int = 200  # Alpaca's; 0 = no limit
    faults: bool = False  # opens /faults: tests only
    die_with_parent: bool = False  # for a desk's child: no exchange outlives its desk
    waits_for_listener: bool = False  # the market stands until somebody subscribes: at speed 0 a day is over at once
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "text", "json"] = "auto"
    parent_pid: int = 0  # of that desk: a parent that died before we could ask to die with it is noticed

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port of `listen`; raise ConfigError where it is not HOST:PORT."""
        host, colon, port = self.listen.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 65_535:
            raise ConfigError(
                f"exchange.listen: {self.listen!r} is not HOST:PORT; write for example 127.0.0.1:0 (0: any free port)"
            )
        return host.removeprefix("[").removesuffix("]"), int(port)


def keys_from(environment: Mapping[str, str]) -> Keys:
    """Return the keys that the environment names, or the embedded ones; raise ConfigError where only one is named."""
    key_id = environment.get("APCA_API_KEY_ID", "")
    secret_key = environment.get("APCA_API_SECRET_KEY", "")
    if bool(key_id) != bool(secret_key):
        missing = "APCA_API_SECRET_KEY" if key_id else "APCA_API_KEY_ID"
        raise ConfigError(f"{missing} is not set, but its partner is: set both, or neither for the embedded keys")
    if not key_id:
        return Keys(key_id=EMBEDDED_KEY, secret_key=EMBEDDED_KEY, is_default=True)
    return Keys(key_id=key_id, secret_key=secret_key)


def settings_from(
    section: ExchangeSection,
    *,
    state: Path | None,
    keys: Keys,
    rate_limit_per_min: int = 200,
    faults: bool = False,
    die_with_parent: bool = False,
    waits_for_listener: bool = False,
    log_level: Literal["debug", "info", "warning", "error"] = "info",
    log_format: Literal["auto", "text", "json"] = "auto",
) -> VenueSettings:
    """Return the settings of `[exchange]`, with the *state* file as the caller resolved it."""
    return VenueSettings(
        listen=section.listen,
        tape=section.tape,
        speed=section.speed,
        loop=section.loop,
        seed=section.seed,
        cash=section.cash,
        fills=section.fills,
        start=section.start,
        state=state,
        keys=keys,
        rate_limit_per_min=rate_limit_per_min,
        faults=faults,
        die_with_parent=die_with_parent,
        waits_for_listener=waits_for_listener,
        log_level=log_level,
        log_format=log_format,
    )


def encode(settings: VenueSettings) -> bytes:
    """Return the settings as JSON, for a child process's standard input."""
    return msgspec.json.encode(settings, enc_hook=str)  # a Path is the one thing that JSON does not know


def decode(data: bytes) -> VenueSettings:
    """Return what `encode` made of the settings."""
    return msgspec.json.decode(data, type=VenueSettings, dec_hook=lambda kind, value: kind(value))
