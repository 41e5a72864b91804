"""All that is wrong with a strategy is told at once, by the code of the deployment; what it imports, by what there is."""

import json
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from deskd.config import Config, RiskSection
from deskd.domain.strategy import BrokenStrategy
from deskd.supervision.discovery import Defaults, discover_one
from deskd.supervision.inspection import BAD, WARNING, Finding, inspect, packages_of, place_in_json

ROOT = Path(__file__).parents[2]
READS = "import sys\nfor line in sys.stdin:\n    pass\n"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Configure a desk whose packages are one that is called nump, and that forbids ZZZ."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / "packages" / "key" / "site"
    (site / "nump").mkdir(parents=True)
    (site / "nump-2.0.dist-info").mkdir()
    (site / "nump-2.0.dist-info" / "METADATA").write_text("Name: nump\nVersion: 2.0\n")
    (tmp_path / "packages" / f"current-{python}").symlink_to("key")
    return Config.model_validate(
        {
            "desk": {"state_dir": str(tmp_path)},
            "sandbox": {"jail_dir": str(tmp_path), "packages": ["nump", "scipy"]},
            "risk": {"desk": {"symbols_denied": ["ZZZ"]}},
        }
    )


def a_folder(tmp_path: Path, source: str | None, config: Any = None, **files: str) -> Path:
    folder = tmp_path / "strategies" / "ann"
    folder.mkdir(parents=True, exist_ok=True)
    if source is not None:
        (folder / "strategy.py").write_text(dedent(source))
    if config is not None:
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config, indent=2))
    for name, text in files.items():
        (folder / name.replace("_dot_", ".")).write_text(text)
    return folder


def told(folder: Path, config: Config) -> list[tuple[str, str, str | None, tuple[int, int] | None]]:
    return [(one.verdict, one.rule, one.file, one.place) for one in inspect(folder, config)[1]]


def test_a_good_strategy_is_good_and_known(tmp_path: Path, config: Config) -> None:
    """Nothing is said, and it is the strategy that a deployment would see."""
    spec, found = inspect(a_folder(tmp_path, READS, {"user_id": "ann"}), config)
    assert found == []
    assert spec is not None
    assert (spec.strategy_id, spec.user_id) == ("ann", "ann")


def test_all_that_is_wrong_is_told_at_once_with_its_place(tmp_path: Path, config: Config) -> None:
    """Of config.json, of the source, and of what it asks for."""
    folder = a_folder(
        tmp_path,
        "import sys\ndef f(:\n    pass\n",
        {"symbol": ["SPY"], "history": {"bar": 1, "bars": 3}, "enabled": "yes"},
        requirements_dot_txt="# mine\n-e .\n",
    )
    assert told(folder, config) == [
        (BAD, "config", "config.json", (2, 3)),
        (BAD, "config", "config.json", (6, 5)),
        (BAD, "config", "config.json", (9, 3)),
        (BAD, "requirements", "requirements.txt", (2, 1)),
        (BAD, "syntax", "strategy.py", (2, 7)),
    ]
    assert inspect(folder, config)[1][0].found == 'symbol: is no known key: did you mean "symbols"?'


@pytest.mark.parametrize("path", sorted((ROOT / "strategies").glob("*/")), ids=lambda path: str(path.name))
def test_nothing_is_to_be_said_of_the_examples(path: Path, config: Config) -> None:
    """What the desk is shown with is how it is meant."""
    assert inspect(path, config)[1] == []


def test_what_is_too_loose_is_told_each_by_itself(tmp_path: Path, config: Config) -> None:
    """Limits only tighten."""
    loose = {"limits": {"order_notional_max": 10**9, "daily_loss_max": 10**9}}
    found = inspect(a_folder(tmp_path, READS, loose), config)[1]
    assert [one.place for one in found] == [(3, 5), (4, 5)]
    assert all("looser than the desk's" in one.found for one in found)


def test_what_check_calls_bad_of_a_folder_a_deployment_refuses_with_the_same_words(
    tmp_path: Path, config: Config
) -> None:
    """It is the same code."""
    folder = a_folder(tmp_path, READS, {"zzz": 1, "symbols": []})
    broken = discover_one(folder, Defaults(market=config.market, risk=config.risk.strategy), lambda s: [None] * len(s))
    assert isinstance(broken, BrokenStrategy)
    for one in inspect(folder, config)[1]:
        assert f"config.json: {one.found}" in broken.problem


@pytest.mark.parametrize(
    ("line", "verdict", "rule"),
    [
        ("import nump", None, ""),
        ("import desk_client, google.protobuf, json, mine", None, ""),
        ("import scipy.stats", WARNING, "import"),  # listed, and not built here
        ("import nonsuch", BAD, "import"),
        ("import tkinter", BAD, "import"),
        ("import requests", BAD, "network"),
        ("import urllib.request", WARNING, "network"),
        ("from urllib.parse import quote", None, ""),
        ("try:\n    import nonsuch\nexcept ImportError:\n    pass", None, ""),
    ],
)
def test_an_import_is_judged_by_what_strategies_have(
    tmp_path: Path, config: Config, line: str, verdict: str | None, rule: str
) -> None:
    """The standard library as jails have it, the desk's packages, the folder's own files."""
    found = told(a_folder(tmp_path, f"{line}\n{READS}", mine_dot_py=""), config)
    assert [one[:2] for one in found] == ([] if verdict is None else [(verdict, rule)])


def test_own_modules_are_read_as_far_as_strategy_py_leads(tmp_path: Path, config: Config) -> None:
    """A broken file that nobody imports stops nothing."""
    folder = a_folder(tmp_path, f"import mine\n{READS}", mine_dot_py="import nonsuch", other_dot_py="def f(:")
    assert told(folder, config) == [(BAD, "import", "mine.py", (1, 1))]


def test_own_packages_that_are_not_built_are_told_with_who_builds_them(tmp_path: Path, config: Config) -> None:
    """And what they bring is then no error of its own."""
    found = inspect(a_folder(tmp_path, f"import ta\n{READS}", requirements_dot_txt="ta==0.11.0\n"), config)[1]
    assert [(one.verdict, one.rule) for one in found] == [(BAD, "requirements"), (WARNING, "import")]
    assert "this desk builds no packages for single strategies" in found[0].found


def test_symbols_that_the_desk_does_not_trade_are_named(tmp_path: Path, config: Config) -> None:
    """One among others may be watched; a strategy that may trade none of its own is not meant."""
    some = inspect(a_folder(tmp_path, READS, {"symbols": ["SPY", "ZZZ"]}), config)[1]
    none = inspect(a_folder(tmp_path, READS, {"symbols": ["ZZZ"]}), config)[1]
    assert [(one.verdict, one.rule) for one in some + none] == [(WARNING, "symbol"), (BAD, "symbol")]
    assert some[0].found.startswith("ZZZ: this desk takes no orders")


def test_a_remark_depends_on_what_the_strategy_receives(tmp_path: Path, config: Config) -> None:
    """Bars come once a minute; only orders and status lines lack a price."""
    source = "import json, sys\nfor line in sys.stdin:\n    print(json.loads(line)['price'])\n"
    remarks = {
        channel: [one.rule for one in inspect(a_folder(tmp_path, source, {"channels": [channel]}), config)[1]]
        for channel in ("bars", "trades", "orders")
    }
    assert remarks == {"bars": [], "trades": ["prints_each_line"], "orders": ["price_may_lack"]}


def test_what_reads_nothing_is_told(tmp_path: Path, config: Config) -> None:
    """It would be ended while lines wait."""
    assert told(a_folder(tmp_path, "print(1)"), config) == [(WARNING, "reads_nothing", "strategy.py", None)]


@pytest.mark.parametrize(
    "source", ["x = " + "-" * 900_000 + "1", "(" * 50_000, "x" * 2_000_000], ids=["deep", "open", "long"]
)
def test_hostile_source_harms_nobody(tmp_path: Path, config: Config, source: str) -> None:
    """It is read in another process, within bounds; a sentence says that it cannot be."""
    spec, [found] = inspect(a_folder(tmp_path, source), config)
    assert spec is None
    assert (found.verdict, found.rule) == (BAD, "syntax")


def test_a_folder_that_is_none_is_told(tmp_path: Path, config: Config) -> None:
    """Without strategy.py, with a name that is none, with a link out of it."""
    empty = a_folder(tmp_path, None)
    name, source = inspect(empty, config, "Ann!")[1]
    assert name.found.startswith("a strategy's name has a-z, 0-9, _ and - only")
    assert source.found == ("has no strategy.py: put the strategy's code into a file of that name")
    (empty / "strategy.py").symlink_to("/etc/hostname")
    [link] = inspect(empty, config)[1]
    assert link == Finding(verdict=BAD, rule="folder", found=link.found)
    assert "is a link" in link.found


@pytest.mark.parametrize(
    ("text", "problem", "place"),
    [
        ('{"a": 1}', "config.json: is not JSON (x: line 3 column 9 (char 1)): correct it", (3, 9)),
        ('{\n "env": {"b": "}"},\n "b": 1}', "config.json: b: wrong", (3, 2)),
        ('{\n "env": {"b": "}"},\n "b": 1}', "config.json: env.b: wrong", (2, 10)),
        ('{"symbols": ["SPY", {"x": 1}]}', "config.json: symbols.0: wrong", (1, 2)),
        ("[]", "config.json: must be an object: {", None),
    ],
)
def test_a_key_is_found_where_it_stands(text: str, problem: str, place: tuple[int, int] | None) -> None:
    """The deepest that is there."""
    assert place_in_json(text, problem) == place


def test_without_anything_built_there_is_the_standard_library(tmp_path: Path) -> None:
    """And what is listed is awaited."""
    config = Config.model_validate({"desk": {"state_dir": str(tmp_path)}, "sandbox": {"jail_dir": str(tmp_path)}})
    packages = packages_of(config)
    assert (packages.modules, set(packages.installed)) == (frozenset(), {"protobuf"})
    assert {"numpy", "talib"} <= packages.awaited


def test_a_symbol_that_some_scope_does_not_trade_is_told_with_its_table(config: Config, tmp_path: Path) -> None:
    """A member sees whether it is the desk, or officers for him alone, that take no orders in it."""
    risk = {"members": {"ann": {"symbols_allowed": ["SPY"]}}, "strategies": {"ann": {"symbols_denied": ["AAPL"]}}}
    bounded = config.model_copy(update={"risk": RiskSection.model_validate(risk)})
    _, found = inspect(a_folder(tmp_path, READS, {"symbols": ["SPY", "AAPL"]}), bounded)
    [told] = [one.found for one in found if one.rule == "symbol"]
    assert told.startswith(
        "AAPL: this desk takes no orders in them ([risk.members.ann], [risk.strategies.ann] symbols_denied"
    )
