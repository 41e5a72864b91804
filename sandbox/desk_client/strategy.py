"""The optional class: methods instead of a loop over standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any


class Strategy:
    """Override what you need, then call `run()`.

    Each line from the desk becomes one call: `bar["close"]`, `trade["price"]`, `quote["bid"]`. `on_order` needs
    `"channels": [..., "orders"]` in config.json. What a method raises ends the strategy, with its traceback in the log.
    """

    def on_start(self, params: dict[str, str]) -> None:
        """Take the parameters: the `env` of config.json, as the environment has it now."""

    def on_bar(self, bar: dict[str, Any]) -> None:
        """Take one bar. Warm-up bars come first, with `bar.get("history")` true; missed ones late, with `"late"`."""

    def on_trade(self, trade: dict[str, Any]) -> None:
        """Take one trade of the market."""

    def on_quote(self, quote: dict[str, Any]) -> None:
        """Take one quote: the best bid and ask."""

    def on_order(self, update: dict[str, Any]) -> None:
        """Take any news of one of your orders."""

    def on_order_filled(self, order: dict[str, Any]) -> None:
        """Take the news that one of your orders is filled as a whole (`on_order` has had it, too)."""

    def on_stop(self) -> None:
        """Tidy up: the desk stops this strategy, and gives it a few seconds."""

    def run(self, lines: Iterable[str] | None = None) -> None:
        """Read the market until the desk closes it."""
        import json

        self.on_start(_params())
        for line in sys.stdin if lines is None else lines:
            self._dispatch(json.loads(line))
        self.on_stop()

    def _dispatch(self, message: dict[str, Any]) -> None:
        kind = message.get("type", "trade")  # {"symbol": ..., "price": ...} alone is what one types on a laptop
        if kind == "trade":
            self.on_trade(message)
        elif kind == "quote":
            self.on_quote(message)
        elif kind == "bar":
            self.on_bar(message)
        elif kind == "order":
            self.on_order(message)
            if message.get("status") == "filled":
                self.on_order_filled(message)


def _params() -> dict[str, str]:
    import json

    path = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "config.json")  # noqa: PTH100, PTH118, PTH120
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            env = json.load(file).get("env", {})
    except FileNotFoundError:
        return {}
    return {name: os.environ.get(name, default) for name, default in env.items()}
