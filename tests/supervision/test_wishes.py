"""`notifications` of config.json: what a member hears, within bounds, and what is wrong is said by name."""

import json
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest

from deskd.config import MarketSection, RiskStrategySection
from deskd.domain.notifications import NO_WISHES, QuietHours, Topic, Wishes
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.supervision.discovery import Defaults, discover_one


def found(tmp_path: Path, notifications: Any) -> StrategySpec | BrokenStrategy:
    folder = tmp_path / "alice"
    folder.mkdir()
    (folder / "strategy.py").write_text("pass\n")
    config = {} if notifications is None else {"notifications": notifications}
    (folder / "config.json").write_text(json.dumps(config))
    defaults = Defaults(market=MarketSection(), risk=RiskStrategySection())
    return discover_one(folder, defaults, lambda sources: [None] * len(sources))


NIGHT = QuietHours(since=time(22), until=time(7, 30))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, NO_WISHES),
        ({}, NO_WISHES),
        (
            {"off": ["paper-trading", "risk"]},
            Wishes(off=frozenset({Topic.PAPER_TRADING, Topic.RISK})),
        ),
        ({"digest_min": 0}, Wishes(digest=timedelta(0))),
        ({"digest_min": 1440}, Wishes(digest=timedelta(days=1))),
        ({"quiet_since": "22:00", "quiet_until": "07:30"}, Wishes(quiet=NIGHT)),
        ({"quiet_since": "20:00", "quiet_until": "24:00"}, Wishes(quiet=QuietHours(since=time(20), until=time(0)))),
    ],
)
def test_a_member_says_what_they_wish_to_hear(tmp_path: Path, given: Any, expected: Wishes) -> None:
    """What is left out is as the desk does it."""
    spec = found(tmp_path, given)
    assert isinstance(spec, StrategySpec)
    assert spec.wishes == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"of": []}, 'notifications.of: is no known key: did you mean "off"?'),
        ({"everything": False}, "notifications.everything: is no known key: known keys are off, digest_min"),
        ({"off": ["paper-tradin"]}, 'notifications.off: "paper-tradin" is no topic: did you mean "paper-trading"?'),
        ({"off": ["x" * 1000]}, "is no topic: known are paper-trading, live-trading"),
        ({"off": ["risk", "risk"]}, "notifications.off: names a topic twice"),
        ({"off": "risk"}, "notifications.off: must be a list"),
        ({"digest_min": -1}, "notifications.digest_min: must be at least 0 (it is -1)"),
        ({"digest_min": 1441}, "notifications.digest_min: must be at most 1440 (it is 1441)"),
        ({"digest_min": "5"}, 'notifications.digest_min: must be a whole number, without quotes (it is "5")'),
        ({"digest_min": True}, "notifications.digest_min: must be a whole number"),
        ({"quiet_since": "25:00", "quiet_until": "07:00"}, "notifications.quiet_since: must be a time of the day"),
        ({"quiet_since": "22:00"}, "quiet_since stands there without quiet_until"),
        ({"quiet_until": "07:00"}, "quiet_until stands there without quiet_since"),
        ({"quiet_since": "07:00", "quiet_until": "07:00"}, "are the same time of the day: change one"),
        ({"quiet_since": "00:00", "quiet_until": "24:00"}, "are the same time of the day: change one"),
        ([], "notifications: must be an object"),
    ],
)
def test_what_is_wrong_is_said_by_name(tmp_path: Path, given: Any, said: str) -> None:
    """Key, rule and remedy; no wish is guessed."""
    broken = found(tmp_path, given)
    assert isinstance(broken, BrokenStrategy)
    assert said in broken.problem
