"""Tokens for the loopback endpoint: a laptop has no socket of its own that could stand for a strategy.

A token is `NAME.mac`, the mac being made with a key that only the desk can read: nothing is stored per token, and a new
key (remove the file, restart the desk) makes all of them void.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from deskd.domain.errors import ConfigError
from deskd.domain.ids import STRATEGY_ID, StrategyId

_KEY_BYTES = 32


class Tokens:
    """Makes tokens and reads them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, strategy_id: StrategyId) -> str:
        """Return the token that lets its bearer trade as *strategy_id*."""
        return f"{strategy_id}.{self._mac(strategy_id)}"

    def strategy_of(self, token: str) -> StrategyId | None:
        """Return whose token it is; None for any text that this desk did not issue."""
        name, _, mac = token.partition(".")
        if not STRATEGY_ID.fullmatch(name) or not mac.isascii():
            return None
        return StrategyId(name) if hmac.compare_digest(mac, self._mac(StrategyId(name))) else None

    def _mac(self, strategy_id: StrategyId) -> str:
        return hmac.new(self._key, strategy_id.encode(), hashlib.sha256).hexdigest()


def load(path: Path) -> Tokens:
    """Return the tokens of the key in *path*, which is made, for the desk's eyes only, if it is not there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{path}: is no key of {_KEY_BYTES} bytes; remove it and every token is made anew")
    return Tokens(key)
