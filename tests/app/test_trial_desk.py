"""A trial's desk: the given desk's rules, in a folder that is gone afterwards, and no way outside."""

from decimal import Decimal
from pathlib import Path

import pytest

from deskd.app.trial_desk import trial_config, trial_desk
from deskd.config import Config, DeskSection, NotifySection, SandboxSection
from deskd.config.risk import RiskNamedStrategySection, RiskSection
from deskd.domain.errors import ConfigError
from deskd.domain.ids import StrategyId

ANN = StrategyId("ann")


def a_strategy(folder: Path) -> Path:
    place = folder / "ann"
    (place / "more").mkdir(parents=True)
    (place / "strategy.py").write_text("print('hello')\n")
    (place / "more" / "table.csv").write_text("1,2\n")
    return place


def settings(folder: Path, **sections: object) -> Config:
    return Config.model_validate({"desk": DeskSection(state_dir=folder / "real", name="the club's"), **sections})


def test_the_strategy_is_copied_and_all_is_gone_afterwards(tmp_path: Path) -> None:
    """Also where the trial itself ends in an error."""
    place = a_strategy(tmp_path)
    homes: list[Path] = []

    def tries() -> None:
        with trial_desk(place, settings(tmp_path), cash=None) as desk:
            assert desk.strategy_id == "ann"
            assert (desk.folder / "more" / "table.csv").read_text() == "1,2\n"
            homes.append(desk.config.desk.state_dir.parent)
            assert homes[0].stat().st_mode & 0o777 == 0o711
            raise KeyError

    with pytest.raises(KeyError):
        tries()
    assert not homes[0].exists()
    assert not (tmp_path / "real").exists()


def test_what_reaches_outside_is_not_there(tmp_path: Path) -> None:
    """Nobody is notified, no port is opened, no job runs; what decides stays."""
    given = settings(
        tmp_path,
        notify=NotifySection(paper_trading=("everybody",)),
        sandbox=SandboxSection(memory_mb=128, prewarmed=3),
    )
    made = trial_config(given, tmp_path / "t", ANN, None)
    assert made.notify == NotifySection()
    assert (made.metrics.listen, made.api.local_port, made.jobs.enabled) == ("", 0, False)
    assert (made.sandbox.memory_mb, made.sandbox.prewarmed, made.sandbox.jail_dir) == (128, 0, tmp_path / "t" / "jail")
    assert (made.restart.give_up_after, made.exchange.loop) == (0, False)
    assert made.risk == given.risk
    for path in (made.desk.state_dir, made.desk.runtime_dir, made.desk.strategies_dir, made.desk.db_path):
        assert path is not None
        assert path.is_relative_to(tmp_path / "t")


def test_cash_is_the_strategys_and_the_account_has_at_least_as_much(tmp_path: Path) -> None:
    """Whatever the desk's file gives it by name."""
    risk = RiskSection(strategies={"ann": RiskNamedStrategySection(allocation=Decimal(7))})
    poor = trial_config(settings(tmp_path, risk=risk), tmp_path, ANN, Decimal(500))
    assert (poor.risk.strategies["ann"].allocation, poor.exchange.cash) == (Decimal(500), Decimal(100000))
    rich = trial_config(settings(tmp_path), tmp_path, ANN, Decimal(200000))
    assert (rich.risk.strategy.allocation, rich.exchange.cash) == (Decimal(200000), Decimal(200000))


def test_packages_that_were_built_are_lent(tmp_path: Path) -> None:
    """By a link, so that nothing of them can be changed or taken away."""
    import sys

    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = tmp_path / "real" / "packages"
    (packages / "k1" / "site").mkdir(parents=True)
    (packages / f"current-{python}").symlink_to("k1")
    for folder in (tmp_path, tmp_path / "real", packages):
        folder.chmod(0o711)
    given = settings(tmp_path, sandbox=SandboxSection(jail_dir=tmp_path / "real", unsafe_without_jail=True))
    with trial_desk(a_strategy(tmp_path), given, cash=None) as desk:
        assert desk.config.sandbox.jail_dir is not None
        link = desk.config.sandbox.jail_dir / "packages" / f"current-{python}"
        assert link.resolve() == packages / "k1"
    assert (packages / "k1" / "site").is_dir()


def test_what_is_no_strategys_folder_is_refused(tmp_path: Path) -> None:
    """In the words of the real desk."""
    place = a_strategy(tmp_path)
    (place / "secret").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match="secret: is a link"), trial_desk(place, settings(tmp_path), cash=None):
        pass
