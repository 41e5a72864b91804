"""Guarantees of opening a tape."""

from pathlib import Path

import pytest

from deskd.domain.errors import ConfigError
from deskd.venue.tapes import open_tape
from tests.venue.markets import OPEN, a_tape, calendar, write, write_trades


def refused(*sources: str) -> str:
    with pytest.raises(ConfigError) as caught:
        open_tape(sources, calendar=calendar())
    return str(caught.value)


def test_a_missing_path_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    """A typing mistake is answered with what was meant."""
    write_trades(tmp_path / "trades_IBM.csv", [(OPEN, "IBM", 1.0, 1, " ")])
    assert f"did you mean {tmp_path / 'trades_IBM.csv'}?" in refused(str(tmp_path / "trades_IMB.csv"))
    assert "nothing like it" in refused(str(tmp_path / "zzz"))


def test_no_source_is_an_error_and_synthetic_stands_alone(tmp_path: Path) -> None:
    """Recorded and invented prices are never mixed."""
    assert "no tape" in refused()
    file = write_trades(tmp_path / "a.csv", [(OPEN, "IBM", 1.0, 1, " ")])
    assert "cannot play together" in refused("synthetic", str(file))


def test_a_folder_is_all_of_its_tape_files(tmp_path: Path) -> None:
    """Files that are no tape's are left aside with a notice; one named for itself is refused."""
    write_trades(tmp_path / "a.csv", [(OPEN, "IBM", 1.0, 1, " ")])
    write_trades(tmp_path / "b.csv", [(OPEN, "SPY", 1.0, 1, " ")])
    other = write(tmp_path / "actions.csv", "ex_date,symbol", ["2013-10-08,IBM"])
    (tmp_path / "README.md").write_text("notes")
    tape = a_tape(tmp_path)
    assert [listing.symbol for listing in tape.listings()] == ["IBM", "SPY"]
    assert tape.notices == ["actions.csv: left aside: its header is none of a tape's"]
    assert "none of a tape's" in refused(str(other))


def test_a_folder_without_tapes_names_the_folders_that_may_hold_them(tmp_path: Path) -> None:
    """Pointing one level too high is answered with the next step."""
    (tmp_path / "ticks").mkdir()
    assert "perhaps one of its folders: ticks" in refused(str(tmp_path))
    (tmp_path / "notes.txt").write_text("x")
    assert "end in .csv" in refused(str(tmp_path / "notes.txt"))


def test_the_same_file_named_twice_plays_once(tmp_path: Path) -> None:
    """A folder and a file of it do not double the volume."""
    file = write_trades(tmp_path / "a.csv", [(OPEN, "IBM", 1.0, 1, " ")])
    tape = a_tape(tmp_path, file)
    assert sum(len(batch.messages) for batch in tape.play(tape.days()[0], 0)) == 1
