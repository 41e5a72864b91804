"""The class calls one method a line."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from desk_client import Strategy


class Witness(Strategy):
    """Writes down what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def on_start(self, params: dict[str, str]) -> None:
        self.calls.append(("start", params))

    def on_bar(self, bar: dict[str, Any]) -> None:
        self.calls.append(("bar", bar["close"]))

    def on_trade(self, trade: dict[str, Any]) -> None:
        self.calls.append(("trade", trade["price"]))

    def on_quote(self, quote: dict[str, Any]) -> None:
        self.calls.append(("quote", quote["bid"]))

    def on_order(self, update: dict[str, Any]) -> None:
        self.calls.append(("order", update["event"]))

    def on_order_filled(self, order: dict[str, Any]) -> None:
        self.calls.append(("filled", order["client_order_id"]))

    def on_stop(self) -> None:
        self.calls.append(("stop", None))


LINES = [
    {"type": "trade", "symbol": "AAPL", "price": 1},
    {"symbol": "AAPL", "price": 2},
    {"type": "bar", "symbol": "AAPL", "price": 3, "close": 3},
    {"type": "quote", "symbol": "AAPL", "price": 4, "bid": 3.9},
    {"type": "order", "event": "partial_fill", "client_order_id": "x", "status": "partially_filled"},
    {"type": "order", "event": "fill", "client_order_id": "x", "status": "filled"},
    {"type": "status", "symbol": "AAPL", "halted": True},
    {"type": "gap", "dropped": 3},
    {"type": "from tomorrow"},
]
CALLS = [
    ("start", {}),
    ("trade", 1),
    ("trade", 2),
    ("bar", 3),
    ("quote", 3.9),
    ("order", "partial_fill"),
    ("order", "fill"),
    ("filled", "x"),
    ("stop", None),
]


def test_each_line_is_one_call() -> None:
    """Start first, stop last, everything between in order; kinds it does not know pass by."""
    witness = Witness()
    witness.run(json.dumps(line) for line in LINES)
    assert witness.calls == CALLS


def test_the_lines_are_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run()` alone reads what the desk sends."""
    witness = Witness()
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(json.dumps(line) + "\n" for line in LINES)))
    witness.run()
    assert witness.calls == CALLS


def test_parameters_are_the_configs_env_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a laptop the defaults of config.json, in a jail what the desk set, by the same names."""
    (tmp_path / "config.json").write_text('{"env": {"THRESHOLD": "1", "MAX_POSITION": "5"}}')
    monkeypatch.setattr("sys.argv", [str(tmp_path / "strategy.py")])
    monkeypatch.setenv("THRESHOLD", "2")
    witness = Witness()
    witness.run([])
    assert witness.calls[0] == ("start", {"THRESHOLD": "2", "MAX_POSITION": "5"})


def test_a_strategy_may_leave_everything_out() -> None:
    """Every method has a default that does nothing."""
    lines = iter([json.dumps(line) for line in LINES])
    Strategy().run(lines)
    assert next(lines, None) is None, "every line was read"


def test_what_a_method_raises_ends_the_strategy() -> None:
    """A mistake is seen, never swallowed."""

    class Wrong(Strategy):
        def on_trade(self, trade: dict[str, Any]) -> None:
            raise KeyError(trade["nothing"])

    with pytest.raises(KeyError, match="nothing"):
        Wrong().run(json.dumps(line) for line in LINES)
