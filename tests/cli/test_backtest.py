"""How `deskctl backtest` tells its result; the whole of it is proved in tests/whole/test_backtest.py."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from deskd.backtest.result import trips_of
from deskd.cli.backtest import tell
from deskd.cli.deskctl import cli
from tests.backtest.test_pages import METRICS, a_backtest
from tests.backtest.test_result import a_fill


def test_figures_and_trips_are_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What was denied with its last words; the rest of a long list is elsewhere."""
    fills = [a_fill("buy" if n % 2 == 0 else "sell", 1, 100 + n, n) for n in range(50)]
    tell(replace(a_backtest(), trips=trips_of(fills)), tmp_path)
    said = capsys.readouterr().out
    assert "total return: 1.0000%" in said
    assert "denied: QUOTE_STALE 1: =HYPERLINK()" in said
    assert "refused: CONFLICT 1" in said
    assert "Sharpe ratio: needs more days" in said
    assert "the first 20 of 25" in said
    assert f"written: {tmp_path}/report.html" in said


def test_a_part_of_a_tape_is_not_told_as_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is an invented market told as a real one."""
    tell(replace(a_backtest(), is_whole=False, is_synthetic=True, metrics=replace(METRICS, hit_rate=None)), None)
    said = capsys.readouterr().out
    assert "NOT the whole tape: up to 2026-01-06T17:00:00+00:00" in said
    assert "an invented market" in said


def test_a_folder_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    """Before anything is done."""
    (tmp_path / "desk.toml").write_text("")
    options = ["--config", str(tmp_path / "desk.toml"), "backtest", str(tmp_path), "--tape", "synthetic"]
    said = CliRunner().invoke(cli, [*options, "--out", str(tmp_path)])
    assert said.exit_code == 2
    assert "is there already: name a new folder" in said.output
