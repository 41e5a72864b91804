"""A uid belongs to one strategy, for ever."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId
from deskd.supervision.staging import JailFolder
from deskd.supervision.uids import Identity, Uids, free_uid, is_known_here

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


def test_a_uid_is_kept_and_never_given_again(tmp_path: Path) -> None:
    """Whoever owns a /state keeps it, also when the strategy is gone and others come."""
    alice, bob = StrategyId("alice"), StrategyId("bob")
    first = Uids(tmp_path / "uids.json", 200_000)
    uid = first.of(alice)
    again = Uids(tmp_path / "uids.json", 200_000)
    assert again.of(bob) != uid
    assert again.of(alice) == uid


def test_runs_prepared_together_get_different_uids(tmp_path: Path) -> None:
    """Fifty starts at once are fifty uids."""
    uids = Uids(tmp_path / "uids.json", 200_000)
    names = [StrategyId(f"s{number}") for number in range(50)]
    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(uids.of, names))
    assert len(set(given)) == 50
    assert json.loads((tmp_path / "uids.json").read_text()) == dict(zip(names, given, strict=True))


def test_a_strategy_that_comes_back_finds_its_uid(tmp_path: Path) -> None:
    """Removing a folder frees nothing: its state may still lie there, and its owner may come back."""
    names = [StrategyId(name) for name in ("alice", "bob", "carol")]
    before = [Uids(tmp_path / "uids.json", 200_000).of(name) for name in names]
    for later in range(3):
        Uids(tmp_path / "uids.json", 200_000).of(StrategyId(f"later{later}"))
    assert [Uids(tmp_path / "uids.json", 250_000).of(name) for name in reversed(names)] == before[::-1]


def test_other_peoples_ranges_are_passed_over() -> None:
    """Users' subordinate uids, people of this machine and systemd's ranges are theirs."""
    assert free_uid({}, 200_000, [range(165_536, 231_072), range(231_072, 296_608)]) == 296_608
    assert free_uid({"a": 300_000}, 200_000, []) == 300_001
    assert free_uid({}, 200_000, [], lambda uid: uid < 200_003) == 200_003
    assert free_uid({"a": 524_287}, 200_000, [], lambda uid: uid == 65_536) == 65_537  # beyond are systemd's containers
    assert free_uid({}, 200_000, [range(100_000, 600_000)]) == 65_536
    with pytest.raises(SandboxUnavailable, match="uid_first=200000: no uid is left from 65536 to 524287"):
        free_uid({}, 200_000, [range(65_536, 4_294_967_295)])


def test_who_has_a_number_on_this_machine_is_asked() -> None:
    """A directory service gives numbers to people from where strategies' begin."""
    assert is_known_here(0)
    assert not is_known_here(431_337)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[]", "one uid"),
        ('{"a": "200000"}', "one uid"),
        ('{"a": 0}', "one uid"),
        ('{"a": true}', "one uid"),
        ('{"a": 4294967295}', "one uid"),
        ('{"bob": 200000, "alice": 200000}', "alice and bob"),
    ],
)
def test_a_damaged_file_is_not_replaced_by_new_uids(tmp_path: Path, text: str, says: str) -> None:
    """New uids would open one strategy's state to another."""
    (tmp_path / "uids.json").write_text(text)
    with pytest.raises(SandboxUnavailable, match="restore it from a backup") as refused:
        Uids(tmp_path / "uids.json", 200_000).of(StrategyId("alice"))
    assert says in str(refused.value)
    assert (tmp_path / "uids.json").read_text() == text


def staged(folder: Path, name: str, *gids: int) -> None:
    """Lay out what a desk leaves of a strategy: what is kept of its state is the desk's, its code is of its group."""
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / f"{name}.kept").touch()
    for number, gid in enumerate(gids):
        copy = folder / "code" / name / f"{number:016x}"
        copy.mkdir(parents=True)
        os.chown(copy, -1, gid)


@needs_root
def test_a_lost_file_is_made_anew_from_what_strategies_bear(tmp_path: Path) -> None:
    """Whose group a strategy's code is of, whoever owns a state folder of old: nobody else gets that uid."""
    staged(tmp_path, "bob", 200_000)
    staged(tmp_path, "carol", 200_005)
    (tmp_path / "state" / "dave").mkdir(parents=True)
    os.chown(tmp_path / "state" / "dave", 200_007, 200_007)
    uids = Uids(tmp_path / "uids.json", 200_000, tmp_path)
    assert uids.of(StrategyId("bob")) == 200_000
    shutil.rmtree(tmp_path / "code")  # what was found is on disk by now
    assert uids.of(StrategyId("alice")) == 200_008
    assert uids.of(StrategyId("carol")) == 200_005
    assert uids.of(StrategyId("dave")) == 200_007


@needs_root
def test_after_a_loss_nobody_can_read_what_was_anothers(tmp_path: Path) -> None:
    """The folder as a desk leaves it: bob, who is started first, does not come by the group of alice's code."""
    folder = JailFolder(tmp_path / "jails")
    folder.prepare()
    first = Uids(folder.uids, 200_000, folder.root)
    places = {}
    for name in (StrategyId("alice"), StrategyId("bob")):
        source = tmp_path / name
        source.mkdir()
        (source / "strategy.py").write_text(f"# {name}'s secret")
        number = first.of(name)
        places[name], _ = folder.stage_code(name, source, Identity(number, number, False))
    folder.uids.unlink()
    again = Uids(folder.uids, 200_000, folder.root)
    assert again.of(StrategyId("bob")) == 200_001
    assert again.of(StrategyId("mallory")) == 200_002
    assert places[StrategyId("alice")].stat().st_gid == again.of(StrategyId("alice"))


@needs_root
@pytest.mark.parametrize("bob", [(200_000,), (200_001, 200_002)], ids=["alice's", "two"])
def test_a_lost_file_that_cannot_be_made_anew_is_refused(tmp_path: Path, bob: tuple[int, ...]) -> None:
    """A guess could open one strategy's code to another: an officer restores the file, or has the copies made anew."""
    staged(tmp_path, "alice", 200_000)
    staged(tmp_path, "bob", *bob)
    uids = Uids(tmp_path / "uids.json", 200_000, tmp_path)
    with pytest.raises(
        SandboxUnavailable, match=r"do not say which uid is whose: restore the file from a backup"
    ) as no:
        uids.of(StrategyId("carol"))
    assert "bob" in str(no.value)
    shutil.rmtree(tmp_path / "code" / "bob")
    if len(bob) == 1:
        assert uids.of(StrategyId("alice")) == 200_000
    assert uids.of(StrategyId("bob")) == 200_001


def test_where_the_desk_gives_nothing_to_others_no_uid_was_given(tmp_path: Path) -> None:
    """Copies of the desk's own group say nothing, and do not clash."""
    staged(tmp_path, "alice", os.getegid())
    staged(tmp_path, "bob", os.getegid())
    assert Uids(tmp_path / "uids.json", 200_000, tmp_path).known() == {}
