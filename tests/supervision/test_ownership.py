"""Whose a strategy is: officers say, then the ledger, then the folder's owner; config.json only where none of these does."""

import os
from pathlib import Path

import pytest

from deskd.config import MarketSection, RiskStrategySection
from deskd.domain.ids import StrategyId, UserId
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.supervision.discovery import Defaults, discover
from deskd.supervision.folder import FolderError
from deskd.supervision.ownership import Owners

MEAN = StrategyId("mean")
HERE = Path(__file__)  # whoever has the file has its folder


def test_config_json_is_believed_where_nothing_else_is_known(tmp_path: Path) -> None:
    """A desk of one login needs no list of owners: user_id says whose it is, and without one the folder's name does."""
    owners = Owners(login=lambda _uid: "ann")
    (folder := tmp_path / "mean").mkdir()
    assert owners.member(MEAN, "bob", folder) == "bob"
    assert owners.member(MEAN, None, folder) == "mean"
    assert owners.member(MEAN, "bob", tmp_path / "nowhere") == "bob"


def test_a_strategy_stays_its_members() -> None:
    """Another user_id is an error with the remedy; the same, or none, is its member."""
    owners = Owners(on_record=lambda _: UserId("ann"))
    assert owners.member(MEAN, "ann", HERE) == owners.member(MEAN, None, HERE) == "ann"
    with pytest.raises(FolderError) as told:
        owners.member(MEAN, "bob", HERE)
    assert str(told.value) == (
        'config.json: user_id: is "bob", and mean is ann\'s on record: write "ann", or leave it out; '
        'an officer gives it to another member with member = "bob" in [risk.strategies.mean]'
    )


def test_officers_decide() -> None:
    """Their word holds against the ledger, the folder's owner and config.json."""
    owners = Owners(named={"mean": "carol"}, on_record=lambda _: UserId("ann"), login=lambda _: "dave")
    assert owners.member(MEAN, "bob", HERE) == "carol"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_members_folder_is_the_members(tmp_path: Path) -> None:
    """Nobody claims another's name; a folder of root, of an officer or of nobody may name any member."""
    (folder := tmp_path / "mean").mkdir()
    os.chown(folder, 12345, 12345)
    owners = Owners(login={12345: "ann"}.get)
    assert owners.member(MEAN, None, folder) == owners.member(MEAN, "ann", folder) == "ann"
    with pytest.raises(FolderError, match='is "bob", and the folder belongs to the login ann: write "ann"'):
        owners.member(MEAN, "bob", folder)
    assert Owners().member(MEAN, "bob", folder) == "bob"
    os.chown(tmp_path, 12345, 12345)  # who owns all folders adds strategies for everybody
    assert owners.member(MEAN, "bob", folder) == "bob"


def test_a_strategy_that_would_change_its_member_is_broken(tmp_path: Path) -> None:
    """It is shown with what is wrong, beside all that is; what needs no user_id is its member's."""
    for name, config in (("mean", '{"user_id": "bob"}'), ("other", "{}")):
        (folder := tmp_path / name).mkdir()
        (folder / "strategy.py").write_text("")
        (folder / "config.json").write_text(config)
    owners = Owners(on_record=lambda _: UserId("ann"))
    defaults = Defaults(market=MarketSection(), risk=RiskStrategySection(), owners=owners)
    broken, good = discover(tmp_path, defaults, lambda sources: [None for _ in sources])
    assert isinstance(broken, BrokenStrategy)
    assert 'user_id: is "bob", and mean is ann\'s on record' in broken.problem
    assert isinstance(good, StrategySpec)
    assert good.user_id == "ann"
