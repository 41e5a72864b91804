"""A run's row as it is shown, and last ends that outlive the desk."""

from pathlib import Path

from deskd.control.answers import StrategyAnswer
from deskd.control.runs import view, with_last_ends
from deskd.ledger.queries import LedgerReader
from tests.control.a_running_desk import a_running_desk


def test_last_prints_are_a_list() -> None:
    """The ledger keeps them as JSON; a run that goes on has none."""
    assert view({"run_id": "r", "output": '["a", "\\u001b[2J"]'}) == {"run_id": "r", "output": ["a", "\x1b[2J"]}
    assert view({"run_id": "r", "output": None})["output"] == []


async def test_an_end_before_the_desks_start_is_remembered(tmp_path: Path) -> None:
    """A desk that was started anew knows from the ledger how each strategy ended last."""
    strategies: list[StrategyAnswer] = [
        {"strategy_id": "alice", "status": "stopped"},
        {"strategy_id": "bob", "status": "stopped"},
        {"strategy_id": "eve", "status": "stopped", "exit_reason": "error", "exit_detail": "since"},
        {"strategy_id": "wreck", "status": "broken"},
    ]
    async with a_running_desk(tmp_path):
        await with_last_ends(strategies, LedgerReader(tmp_path / "desk.db"))
    alice, bob, eve, wreck = strategies
    assert (alice["exit_reason"], alice["exit_detail"]) == ("oom", "it used 512 MiB of 512 MiB of memory")
    assert "exit_reason" not in bob
    assert eve["exit_detail"] == "since"
    assert "exit_reason" not in wreck


async def test_a_ledger_that_cannot_be_read_hides_no_status(tmp_path: Path) -> None:
    """What is in memory is shown all the same."""
    strategies: list[StrategyAnswer] = [{"strategy_id": "alice", "status": "stopped"}]
    await with_last_ends(strategies, LedgerReader(tmp_path / "none.db"))
    await with_last_ends([], LedgerReader(tmp_path / "none.db"))
    assert strategies == [{"strategy_id": "alice", "status": "stopped"}]
