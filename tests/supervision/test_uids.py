"""A uid belongs to one strategy, for ever."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId
from deskd.supervision.uids import Uids, free_uid


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


def test_other_peoples_ranges_are_passed_over() -> None:
    """Users' subordinate uids and container ranges are theirs."""
    assert free_uid({}, 200_000, [range(165_536, 231_072), range(231_072, 296_608)]) == 296_608
    assert free_uid({"a": 300_000}, 200_000, []) == 300_001
    with pytest.raises(SandboxUnavailable, match="uid_first=4294967290"):
        free_uid({}, 4_294_967_290, [range(4_294_967_000, 4_294_967_300)])


def test_a_broken_file_is_not_replaced_by_new_uids(tmp_path: Path) -> None:
    """New uids would open one strategy's state to another."""
    (tmp_path / "uids.json").write_text("{")
    with pytest.raises(SandboxUnavailable, match="restore it from a backup"):
        Uids(tmp_path / "uids.json", 200_000).of(StrategyId("alice"))
