"""`deskd record` writes a tape that the exchange plays."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deskd.cli.record import record
from deskd.domain.errors import ConfigError
from deskd.venue.tapes import open_tape
from tests.venue.serving import calendar, served_in_thread, settings, write_tape

DAY = ("--day", "2013-10-08")
SPAN = ("--from", "09:00", "--to", "09:35")


def ran(folder: Path, *arguments: str, text: str = "") -> Result:
    config = folder / "desk.toml"
    config.write_text(text)
    return CliRunner(env={"APCA_API_KEY_ID": "test-key", "APCA_API_SECRET_KEY": "test-secret"}).invoke(
        record, [*arguments, "--config", str(config)]
    )


def test_what_is_recorded_can_be_played(tmp_path: Path) -> None:
    """Against the exchange's own REST: each symbol, each kind, and nothing from beyond the span."""
    out = tmp_path / "new" / "tape"
    with served_in_thread(settings(write_tape(tmp_path / "played"))) as url:
        done = ran(tmp_path, "spy", "AAPL", *DAY, *SPAN, "--url", url, "--out", str(out))
        again = ran(tmp_path, "SPY", *DAY, "--url", url, "--out", str(out))
        lacks = ran(tmp_path, "SPY,ZZZZ", *DAY, *SPAN, "--url", url, "--out", str(tmp_path / "other"))
    assert done.exit_code == 0, done.output
    assert f"{out}/trades.csv.gz: " in done.output
    assert {file.name for file in out.iterdir()} == {"trades.csv.gz", "quotes.csv.gz", "bars.csv.gz"}
    tape = open_tape((str(out),), calendar=calendar())
    assert {one.symbol for one in tape.listings()} == {"AAPL", "SPY"}
    assert (again.exit_code, "is there already" in again.output) == (1, True)
    assert (lacks.exit_code, "nothing of ZZZZ on 2013-10-08" in lacks.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("SPY", "--day", "today"), "'today' is no date"),
        (("SPY", *DAY, "--from", "9:30"), "--from: '9:30' is no time"),
        (("SPY", *DAY, "--from", "16:00", "--to", "09:30"), "--from 16:00 is not before --to 09:30"),
        (("sp_y", *DAY), "'SP_Y' is no symbol"),
        ((",", *DAY), "0 symbols; give 1 to 100"),
        (("SPY",), "Missing option '--day'"),
        (DAY, "Missing argument 'SYMBOL...'"),
    ],
)
def test_wrong_usage_is_named(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """Before anything is asked or written."""
    done = ran(tmp_path, *arguments, "--out", str(tmp_path / "tape"))
    assert (done.exit_code, said in done.output) == (2, True), done.output
    assert not (tmp_path / "tape").exists()


def test_the_embedded_market_is_a_tape_already(tmp_path: Path) -> None:
    """And without keys there is nobody to ask: both say what to do, as every wrong configuration does."""
    done = ran(tmp_path, "SPY", *DAY, "--out", str(tmp_path / "tape"))
    assert isinstance(done.exception, ConfigError)
    assert "--url" in str(done.exception)
    config = tmp_path / "desk.toml"
    config.write_text('[broker]\nmode = "alpaca"\n')
    arguments = ["SPY", *DAY, "--out", str(tmp_path / "tape"), "--config", str(config)]
    done = CliRunner(env=dict.fromkeys(("APCA_API_KEY_ID", "ALPACA_API_KEY", "APCA_API_SECRET_KEY"), "")).invoke(
        record, arguments
    )
    assert "no keys in this environment" in str(done.exception)


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    """As of every setting, with the form it must have."""
    done = ran(tmp_path, "SPY", *DAY, "--url", "gopher://hole", "--out", str(tmp_path / "tape"))
    assert isinstance(done.exception, ConfigError)
    assert "must be an address like http://HOST:PORT" in str(done.exception)
