"""A uid belongs to one strategy, for ever."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId
from deskd.supervision.uids import Uids, free_uid, is_known_here


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_lost_file_is_made_anew_from_what_strategies_own(tmp_path: Path) -> None:
    """Whoever owns a state keeps it, and nobody else gets that uid."""
    (tmp_path / "state" / "bob").mkdir(parents=True)
    os.chown(tmp_path / "state" / "bob", 200_000, 200_000)
    uids = Uids(tmp_path / "uids.json", 200_000, tmp_path / "state")
    assert uids.of(StrategyId("alice")) == 200_001
    assert uids.of(StrategyId("bob")) == 200_000
