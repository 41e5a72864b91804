"""How `deskctl run` tells its result; the whole of it is proved in tests/whole/test_trial.py."""

import pytest

from deskd.cli.trial import first_of, tell


def test_what_was_refused_is_told_by_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """And what is held; what did not happen is left out."""
    told = {
        "strategy_id": "ann",
        "tape": ["synthetic"],
        "ended_by": "tape",
        "exit_reason": "stopped",
        "exit_detail": "the desk stopped",
        "lines_delivered": 7,
        "lines_handled": 6,
        "orders": 2,
        "fills": 1,
        "denied": {"QUOTE_STALE": 3, "BUYING_POWER": 1},
        "rejected": {},
        "refused": {"RATE": 2},
        "allocation": "10000",
        "equity": "10001.5",
        "realized_pnl": "0",
        "unrealized_pnl": "1.5",
        "positions": [
            {"symbol": "AAPL", "qty": "3", "avg_entry_price": "100", "mark_price": "100.5", "unrealized_pnl": "1.5"}
        ],
    }
    tell(told)
    said = capsys.readouterr().out
    assert "denied by the gate: QUOTE_STALE 3, BUYING_POWER 1" in said
    assert "refused: RATE 2" in said
    assert "rejected" not in said
    assert "equity: 10,001.50" in said
    assert "AAPL" in said


def test_a_group_of_errors_is_told_by_what_went_wrong_first() -> None:
    """A group's own words are how many there were."""
    inner = ValueError("the cause")
    assert first_of(ExceptionGroup("two", [ExceptionGroup("one", [inner]), KeyError()])) is inner
