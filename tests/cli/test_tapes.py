"""Which settings a run on a tape goes by: the desk's, with that tape."""

from contextlib import chdir
from decimal import Decimal
from pathlib import Path

import click
import pytest

from deskd.cli.tapes import cash_of, settings_for, without_jails
from deskd.domain.errors import ConfigError, SandboxUnavailable


def test_the_desks_settings_hold_but_for_the_tape(tmp_path: Path) -> None:
    """A desk that trades at Alpaca is tried on the embedded exchange; limits stay."""
    file = tmp_path / "desk.toml"
    file.write_text(
        '[broker]\nmode = "alpaca"\npaper = false\nallow_live_trading = true\n[risk.strategy]\nallocation = 777\n'
    )
    config = settings_for(file, ("synthetic",), {"speed": 5.0, "seed": None})
    assert (config.broker.mode, config.broker.paper) == ("embedded", True)
    assert (config.exchange.tape, config.exchange.speed, config.exchange.seed) == (("synthetic",), 5.0, 1)
    assert config.risk.strategy.allocation == 777


def test_a_tape_is_named_from_where_one_stands(tmp_path: Path) -> None:
    """Not from the desk's folder, as its own configuration's paths are."""
    (tmp_path / "tape").mkdir()
    (tmp_path / "desk.toml").write_text("")
    with chdir(tmp_path):
        assert settings_for(tmp_path / "desk.toml", ("tape",), {}).exchange.tape == (str(tmp_path / "tape"),)
        with pytest.raises(ConfigError, match=r"--tape: exchange\.tape: there is no"):
            settings_for(tmp_path / "desk.toml", ("nothing",), {})


def test_an_amount_is_dollars() -> None:
    """As people write them."""
    assert cash_of(None) is None
    assert cash_of("25,000") == Decimal(25000)
    for wrong in ("much", "0", "-3", "1e99", "nan"):
        with pytest.raises(click.UsageError, match="--cash"):
            cash_of(wrong)


def test_who_can_make_no_jail_runs_their_strategy_as_themselves(tmp_path: Path) -> None:
    """A member has no rights to make cgroups: their own strategy may do what they may, and they say so."""
    (tmp_path / "desk.toml").write_text("")
    assert settings_for(tmp_path / "desk.toml", ("synthetic",), {"without_jail": True}).sandbox.unsafe_without_jail
    jailed = settings_for(tmp_path / "desk.toml", ("synthetic",), {"without_jail": False})
    assert not jailed.sandbox.unsafe_without_jail
    assert "--without-jail" in str(without_jails(SandboxUnavailable("cgroups cannot be made")))
