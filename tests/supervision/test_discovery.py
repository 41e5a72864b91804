"""What is a strategy, and what is said of a folder that is none."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deskd.config import MarketSection, RiskStrategySection
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.strategy import BrokenStrategy, Channel, History, StrategySpec
from deskd.secrets import hiding
from deskd.supervision.discovery import ENTRIES_MAX, PROBLEM_MAX, Defaults, discover, discover_one
from tests.supervised import write_strategy

DEFAULTS = Defaults(market=MarketSection(), risk=RiskStrategySection())


def nothing_wrong(sources: Any) -> list[str | None]:
    return [None for _ in sources]


def found(tmp_path: Path, config: Any = None, *, name: str = "alice", raw: str | None = None) -> Any:
    text = raw if raw is not None else None if config is None else json.dumps(config)
    return discover_one(write_strategy(tmp_path, name, "print(1)", text), DEFAULTS, nothing_wrong)


def problem(tmp_path: Path, config: Any = None, **fields: Any) -> str:
    broken = found(tmp_path, config, **fields)
    assert isinstance(broken, BrokenStrategy), broken
    return broken.problem


def test_a_folder_with_a_strategy_py_is_enough(tmp_path: Path) -> None:
    """Every key of config.json is optional."""
    spec = found(tmp_path)
    assert isinstance(spec, StrategySpec)
    assert (spec.strategy_id, spec.user_id, spec.name, spec.version) == ("alice", "alice", "alice", "0")
    assert spec.symbols == ("SPY", "AAPL")
    assert spec.channels == {Channel.TRADES, Channel.BARS}
    assert spec.is_enabled


KEY = "planted-key-0123456789"
WITH_KEYS = replace(DEFAULTS, hide=hiding([KEY]))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", json.dumps({"env": {"TOKEN": KEY}})),
        ("config.json", json.dumps({"description": f"key {KEY}"})),
        ("config.json", json.dumps({KEY: 1})),
        ("config.json", json.dumps({"description": KEY}).replace("p", "\\u0070")),
        ("config.json", json.dumps({KEY: 1}).replace("p", "\\u0070")),
        ("strategy.py", f"SECRET = '{KEY}'"),
        ("model.bin", f"\0\x01{KEY}"),
        (f"{KEY}.txt", ""),
    ],
)
def test_a_folder_with_a_key_of_the_desk_is_no_strategy(tmp_path: Path, file: str, content: str) -> None:
    """Its name and settings go into ledger, log and everybody's status: so it is refused, and the key not shown."""
    folder = write_strategy(tmp_path, "alice", "print(1)")
    (folder / file).write_text(content)
    broken = discover_one(folder, WITH_KEYS, nothing_wrong)
    assert isinstance(broken, BrokenStrategy)
    assert "holds a key of the desk's broker (not shown)" in broken.problem
    assert KEY not in repr(broken)
    assert isinstance(discover_one(write_strategy(tmp_path, "bob", "print(1)"), WITH_KEYS, nothing_wrong), StrategySpec)


def test_a_folder_whose_name_is_a_key_is_shown_by_no_name(tmp_path: Path) -> None:
    """Others start; this one says what to do."""
    write_strategy(tmp_path, KEY, "print(1)")
    write_strategy(tmp_path, "bob", "print(1)")
    spec, broken = discover(tmp_path, WITH_KEYS, nothing_wrong)
    assert isinstance(broken, BrokenStrategy)
    assert isinstance(spec, StrategySpec)
    assert (broken.strategy_id, "rename the folder" in broken.problem) == ("***", True)
    assert KEY not in repr(broken)


def test_every_key_is_taken(tmp_path: Path) -> None:
    """What stands in config.json is what the desk uses."""
    config = {
        "user_id": "Al.Ice",
        "name": "Momentum",
        "description": "buys what rises",
        "version": "1.2",
        "symbols": ["BRK.B", "SPY"],
        "channels": ["orders"],
        "env": {"THRESHOLD": "0.02"},
        "limits": {"order_notional_max": 99.5, "open_orders_max": "3", "duplicate_window_s": 1},
        "history": {"bars": 200, "timeframe": "5Min"},
        "enabled": False,
    }
    spec = found(tmp_path, config)
    assert (spec.user_id, spec.name, spec.description, spec.version) == ("Al.Ice", "Momentum", "buys what rises", "1.2")
    assert (spec.symbols, spec.channels, spec.env) == (("BRK.B", "SPY"), {Channel.ORDERS}, {"THRESHOLD": "0.02"})
    assert spec.limits == {
        "order_notional_max": Decimal("99.5"),
        "open_orders_max": Decimal(3),
        "duplicate_window_s": Decimal(1),
    }
    assert (spec.history, spec.is_enabled) == (History(bars=200, timeframe="5Min"), False)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"symbol": ["SPY"]}, 'symbol: is no known key: did you mean "symbols"?'),
        ({"zzz": 1}, "zzz: is no known key: known keys are user_id, name"),
        ({"history": {"bar": 1}}, 'history.bar: is no known key: did you mean "bars"?'),
        ({"enabled": "yes"}, 'enabled: must be true or false, without quotes (it is "yes")'),
        ({"version": 1.5}, 'version: must be text, in quotes: such as "1" (it is 1.5)'),
        ({"symbols": []}, "symbols: is empty: name at least one"),
        ({"symbols": ["spy"]}, '"spy" is no ticker such as "SPY" or "BRK.B" (did you mean "SPY"?)'),
        ({"symbols": ["SPY", "SPY"]}, "names a symbol twice"),
        ({"channels": ["trade"]}, "channels.0: must be one of 'trades', 'quotes', 'bars', 'orders' or 'status'"),
        ({"history": {"bars": 0}}, "history.bars: must be at least 1"),
        ({"history": {"bars": 5, "timeframe": "2Days"}}, '"2Days" is no timeframe such as "1Min"'),
        ({"limits": {"order_notional": 5}}, '"order_notional" is no limit: did you mean "order_notional_max"?'),
        ({"limits": {"order_notional_max": True}}, '"order_notional_max" must be a number'),
        ({"limits": {"order_notional_max": "1e400"}}, "digits before the decimal point"),
        ({"limits": {"order_notional_max": -1}}, "is negative"),
        ({"limits": {"order_notional_max": 5001}}, "5001 is looser than the desk's 5000"),
        ({"limits": {"duplicate_window_s": 0}}, "0 is looser than the desk's 0.5"),
        ({"env": {"A B": "1"}}, '"A B" is no name of a variable'),
        ({"env": {"A": 1}}, 'env.A: must be text, in quotes: such as "1" (it is 1)'),
        ({"env": {"A": "x\0y"}}, "zero byte"),
        ({"env": {"A": "x\ud800"}}, "half a character"),
        ({"env": {"A": "x" * 20_000}}, "over 16384 bytes together"),
        ({"name": "two\nlines"}, "name: has control characters"),
        ({"user_id": "../root"}, "user_id: must have letters, digits,"),
        ([], "config.json: must be an object"),
    ],
)
def test_a_wrong_config_names_key_rule_and_remedy(tmp_path: Path, config: Any, says: str) -> None:
    """The member sees what to change, and where."""
    text = problem(tmp_path, config)
    assert text.startswith(f"{tmp_path}/alice: config.json: ")
    assert says in text


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "PYTHONPATH", "PATH", "HOME", "DESK_SERVER_URL", "USER_ID", "STRATEGY_ID", "APCA_API_KEY_ID", "TZ"],
)
def test_names_of_the_loader_and_of_the_desk_are_refused(tmp_path: Path, name: str) -> None:
    """A member's env cannot change how programs are loaded, nor who the strategy is."""
    assert f'"{name}" belongs to the desk' in problem(tmp_path, {"env": {name: "x"}})


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("{", "is not JSON"),
        ('{"name": NaN}', "NaN is no JSON number"),
        ('{"name": "a", "name": "b"}', 'the key "name" stands there twice'),
        ('{"limits": ' + "[" * 20_000, "is not JSON"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "is not JSON"),
        ('{"' + "k" * 60_000 + '": 1}', "is no known key"),
        ('{"limits": {"allocation": "' + "9" * 60_000 + '"}}', "allocation"),
        (" " * 70_000, "is over 65536 bytes"),
        ('{"limits": {"allocation": 1' + "0" * 5_000 + "}}", "is not JSON"),
    ],
)
def test_strict_json_only(tmp_path: Path, raw: str, says: str) -> None:
    """What two readers could read differently is refused."""
    text = problem(tmp_path, raw=raw)
    assert "config.json: " in text
    assert says in text
    assert len(text) <= PROBLEM_MAX + 1


def test_a_thousand_mistakes_are_told_in_a_few_words(tmp_path: Path) -> None:
    """What is wrong is kept, and shown at every look: hostile files do not make it long, and steer no terminal."""
    text = problem(tmp_path, {f"\x1b[31m\u202e{number}": 1 for number in range(1_000)})
    assert text.isprintable()
    assert "; and 995 more" in text
    broken = discover_one(write_strategy(tmp_path, "bob", "x"), DEFAULTS, lambda _: ["line 1: \x9b" + "m" * 10_000])
    assert isinstance(broken, BrokenStrategy)
    assert len(broken.problem) <= PROBLEM_MAX + 1
    assert broken.problem.isprintable()


@pytest.mark.parametrize("name", ["Alice", "a b", "-a", "a" * 49, "ä"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """Names go into paths, cgroups and URLs."""
    assert "rename the folder" in problem(tmp_path, name=name)


def test_the_house_is_no_strategy(tmp_path: Path) -> None:
    """The desk's own book cannot be claimed."""
    assert "desk's own book" in problem(tmp_path, name="house")


def test_a_broken_strategy_stops_no_other(tmp_path: Path) -> None:
    """Each folder is read on its own; hidden ones and files are passed over."""
    for name in ("alice", "carol"):
        write_strategy(tmp_path, name, "print(1)")
    write_strategy(tmp_path, "bob", "print(1)", "{")
    write_strategy(tmp_path, ".git", "print(1)")
    (tmp_path / "empty").mkdir()
    (tmp_path / "README.md").write_text("")
    ones = discover(tmp_path, DEFAULTS, lambda sources: ["line 1: bad", *nothing_wrong(sources[1:])])
    assert [(one.strategy_id, isinstance(one, StrategySpec)) for one in ones] == [
        ("alice", False),
        ("bob", False),
        ("carol", True),
        ("empty", False),
    ]
    assert isinstance(ones[0], BrokenStrategy)
    assert ones[0].problem == f"{tmp_path}/alice/strategy.py: line 1: bad"
    assert isinstance(ones[3], BrokenStrategy)
    assert "has no strategy.py" in ones[3].problem


def test_no_strategies_dir_is_no_strategies(tmp_path: Path) -> None:
    """A desk without strategies runs."""
    assert discover(tmp_path / "none", DEFAULTS, nothing_wrong) == []


def test_a_strategies_dir_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    """As is one into which somebody put more than any club has strategies."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SandboxUnavailable, match=r"strategies_dir=.*loop: cannot be listed .*let the desk's user read"):
        discover(tmp_path / "loop", DEFAULTS, nothing_wrong)
    full = tmp_path / "full"
    full.mkdir()
    for number in range(ENTRIES_MAX + 1):
        (full / f"{number}").touch()
    with pytest.raises(SandboxUnavailable, match="has more than 10000 entries: remove what is no strategy"):
        discover(full, DEFAULTS, nothing_wrong)


def test_all_that_is_wrong_with_a_folder_is_told_at_once(tmp_path: Path) -> None:
    """Its name, its configuration, its limits: nobody learns of the next by mending the first."""
    text = problem(tmp_path, {"limits": {"order_notional_max": 10**9, "daily_loss_max": 10**9}}, name="Alice")
    assert "a strategy's name has a-z" in text
    assert text.count("looser than the desk's") == 2
