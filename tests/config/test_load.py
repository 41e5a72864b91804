"""desk.toml and the environment become one Config, or every problem is named at once."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskd.config import Config
from deskd.config.load import FILE_BYTES_MAX, Loaded, load
from deskd.domain.errors import ConfigError


def load_text(folder: Path, text: str, environment: dict[str, str] | None = None) -> Loaded:
    file = folder / "desk.toml"
    file.write_text(text)
    return load(file, root=folder, environment=environment or {})


def problems_of(folder: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(folder, text, environment)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_an_empty_file_gives_the_defaults_with_absolute_paths(tmp_path: Path) -> None:
    """What is not said has its default; nobody downstream meets a relative path."""
    config = load_text(tmp_path, "").config
    assert config.sandbox.memory_mb == Config().sandbox.memory_mb
    assert config.desk.state_dir == tmp_path / "var"
    assert config.desk.db_path == tmp_path / "var/desk.db"
    assert config.exchange.state == tmp_path / "var/exchange.db"
    assert config.desk.strategies_dir == tmp_path / "strategies"


def test_money_is_taken_exactly_from_text_and_from_numbers(tmp_path: Path) -> None:
    """An amount is the decimal that stands there."""
    config = load_text(tmp_path, '[risk.strategy]\nallocation = "10000.10"\norder_notional_max = 0.1\n').config
    assert config.risk.strategy.allocation == Decimal("10000.10")
    assert config.risk.strategy.order_notional_max == Decimal("0.1")


BAD_LINES = {
    'desk.toml:2:1: sandbox.memory_mb: is "512" (text); allowed: a whole number from 16 to 65536': (
        '[sandbox]\nmemory_mb = "512"'
    ),
    "desk.toml:2:1: sandbox.memory_mb: is 8; allowed: a whole number from 16 to 65536": "[sandbox]\nmemory_mb = 8",
    "desk.toml:2:1: sandbox.memory_mb: is 1.5; allowed: a whole number from 16 to 65536": "[sandbox]\nmemory_mb = 1.5",
    "desk.toml:2:1: sandbox.cpu: is nan; allowed: a number over 0 to 64": "[sandbox]\ncpu = nan",
    "desk.toml:2:1: exchange.loop: is 1; allowed: true or false": "[exchange]\nloop = 1",
    "desk.toml:2:1: sandbox.pids: is true; allowed: a whole number from 4 to 4096": "[sandbox]\npids = true",
    "desk.toml:2:1: desk.state_dir: is 5; allowed: a path in quotes": "[desk]\nstate_dir = 5",
    "desk.toml:2:1: desk.name: is [1] (a list); allowed: text in quotes": "[desk]\nname = [1]",
    "desk.toml:2:1: desk.name: is {…} (a table); allowed: text in quotes": "[desk]\nname = {a = 1}",
    'desk.toml:2:1: risk.strategy.allocation: is -5; allowed: an amount, as text ("5000") or number over 0': (
        "[risk.strategy]\nallocation = -5"
    ),
    'desk.toml:2:1: risk.strategy.allocation: is "ten" (text); allowed: an amount, as text ("5000") or number over 0': (
        '[risk.strategy]\nallocation = "ten"'
    ),
    'desk.toml:2:1: broker.mode: is "alpac" (text); allowed: "embedded" or "alpaca"; did you mean "alpaca"?': (
        '[broker]\nmode = "alpac"'
    ),
    'desk.toml:2:1: exchange.tape: is 5; allowed: a list of texts, as in ["one", "two"]': "[exchange]\ntape = [5]",
    "desk.toml:3:3: sandbox.memroy_mb: no such key; did you mean sandbox.memory_mb?": "[sandbox]\n\n  memroy_mb = 1",
    "desk.toml:2:1: risk.strategy.memory_mb: no such key; did you mean sandbox.memory_mb?": (
        "[risk.strategy]\nmemory_mb = 64"
    ),
    "desk.toml:2:1: log.xyz: no such key; [log] has: level, format": "[log]\nxyz = 1",
    "desk.toml:1:1: memory_mb: no such key; did you mean sandbox.memory_mb?": "memory_mb = 64",
    "desk.toml:1:1: sandbx: no such section; did you mean [sandbox]?": "[sandbx]\nmemory_mb = 64",
    "desk.toml:1:1: notifications: no such section; did you mean [notify]?": '[notifications]\nrisk = ["club"]',
    "desk.toml:1:1: desk: is a section: write [desk] on a line of its own, its keys below": 'desk = "x"',
}


@pytest.mark.parametrize(("problem", "text"), BAD_LINES.items())
def test_a_wrong_line_is_named_with_place_key_rule_and_remedy(tmp_path: Path, problem: str, text: str) -> None:
    """An officer can mend the file from the message alone."""
    assert problems_of(tmp_path, text) == [problem]


def test_every_problem_is_named_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Nobody mends a file error by error."""
    text = '[desk]\nnme = "x"\nname "x"\n[sandbox]\npids = 1\n[exchange]\nlisten = "here"\n'
    places = [problem.split(": ")[0] for problem in problems_of(tmp_path, text, {"DESKD_SANDBOX__CPU": "lots"})]
    assert places == ["desk.toml:2:1", "desk.toml:3:6", "desk.toml:5:1", "desk.toml:7:1", "DESKD_SANDBOX__CPU"]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('[desk]\nname = "open\n', "desk.toml:2:13: not TOML: "),
        ("[desk\nname = 1\n", "desk.toml:1:6: not TOML: "),
        ("[exchange]\ntape = [1,\nspeed = 2\n", "desk.toml:3:1: not TOML: "),
        ("[desk]\nname =\n", "desk.toml:2:7: not TOML: "),
        ("[desk]\nname = 'a'\nname = 'b'\n", "desk.toml:3:11: not TOML: cannot overwrite a value"),
    ],
)
def test_a_syntax_error_is_named_with_its_place_and_without_echoes(tmp_path: Path, text: str, start: str) -> None:
    """A line that is not TOML gives one message, at that line."""
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith(start)


def test_a_file_that_is_no_text_is_refused_with_the_place(tmp_path: Path) -> None:
    """A file in another encoding names the first byte that is not UTF-8."""
    file = tmp_path / "desk.toml"
    file.write_bytes(b"[desk]\nname = '\xff'\n")
    with pytest.raises(ConfigError, match=r"desk\.toml:2:9: is not UTF-8 text; save the file as UTF-8"):
        load(file, root=tmp_path, environment={})


def test_a_missing_file_and_a_huge_one_are_refused(tmp_path: Path) -> None:
    """The file is bounded before it is read as TOML."""
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory; name another"):
        load(tmp_path / "none.toml", root=tmp_path, environment={})
    huge = tmp_path / "huge.toml"
    huge.write_text("#" * (FILE_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="a configuration has at most"):
        load(huge, root=tmp_path, environment={})


@pytest.mark.parametrize(
    "text",
    [
        '[broker]\napi_key = "PKABCDEFGHIJKLMNOPQR"',
        '[broker]\nsecret_key = "x"',
        '[keys]\nAPCA_API_KEY_ID = "PKABCDEFGHIJKLMNOPQR"',
        '[desk]\nname = "PKABCDEFGHIJKLMNOPQR"',
        '[broker]\ntrading_url = "https://PKABCDEFGHIJ:secret@host"',
        'APCA_API_SECRET_KEY = "abc"',
    ],
)
def test_a_secret_in_the_file_is_refused_and_never_shown(tmp_path: Path, text: str) -> None:
    """The message tells where keys belong, and does not carry them into a log."""
    (problem,) = problems_of(tmp_path, text)
    assert "not shown" in problem
    assert "environment" in problem
    assert "PKABC" not in problem
    assert "secret@" not in problem


def test_the_environment_wins_over_the_file_and_an_option_over_both(tmp_path: Path) -> None:
    """Every value knows who set it last."""
    file = tmp_path / "desk.toml"
    file.write_text("[exchange]\nspeed = 1\nseed = 2\n\n[sandbox]\npids = 99\n")
    environment = {"DESKD_EXCHANGE__SPEED": "2", "DESKD_EXCHANGE__SEED": "3"}
    options: dict[str, tuple[str, object]] = {"exchange.speed": ("--speed", 9.0)}
    loaded = load(file, root=tmp_path, environment=environment, options=options)
    assert loaded.config.exchange.speed == 9
    assert loaded.config.exchange.seed == 3
    assert loaded.origins["exchange.speed"] == "--speed"
    assert loaded.origins["exchange.seed"] == "DESKD_EXCHANGE__SEED"
    assert loaded.origins["sandbox.pids"] == f"{file}:6"
    assert loaded.origins["sandbox.cpu"] == "default"


def test_a_variable_is_read_as_its_key_wants_it(tmp_path: Path) -> None:
    """Text, numbers, switches, amounts and lists come through the environment alike."""
    environment = {
        "DESKD_DESK__NAME": "007",
        "DESKD_RISK__STRATEGY__ALLOCATION": "20000.50",
        "DESKD_EXCHANGE__LOOP": "off",
        "DESKD_MARKET__SYMBOLS": "IBM, BAC",
        "DESKD_EXCHANGE__TAPE": '["synthetic"]',
        "DESKD_SANDBOX__CPU": "",
        "DB_PATH": "/srv/desk.db",
        "DESKD_TEST_DATA": "/not/a/key",
    }
    config = load_text(tmp_path, "", environment).config
    assert config.desk.name == "007"
    assert config.risk.strategy.allocation == Decimal("20000.50")
    assert config.exchange.loop is False
    assert config.market.symbols == ("IBM", "BAC")
    assert config.exchange.tape == ("synthetic",)
    assert config.sandbox.cpu == Config().sandbox.cpu
    assert config.desk.db_path == Path("/srv/desk.db")


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        (
            "DESKD_SANDBOX__CPUS",
            "1",
            "DESKD_SANDBOX__CPUS: there is no key sandbox.cpus; did you mean DESKD_SANDBOX__CPU?",
        ),
        (
            "DESKD_SANDBOX__PIDS",
            "many",
            'DESKD_SANDBOX__PIDS: sandbox.pids: is "many" (text); allowed: a whole number from 4 to 4096',
        ),
        (
            "DESKD_QQQ__QQQ",
            "1",
            "DESKD_QQQ__QQQ: there is no key qqq.qqq; `deskctl config show` lists all keys",
        ),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, text: str, problem: str) -> None:
    """A mistyped override is not quietly ignored."""
    assert problems_of(tmp_path, "", {variable: text}) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[sandbox]\npids = " + "9" * 5_000, "desk.toml:2:1: not TOML: a value beyond all bounds"),
        ("[sandbox]\npids = 0x" + "f" * 5_000, "sandbox.pids: has control characters, or is beyond all bounds"),
        ("[exchange]\ntape = " + "[" * 5_000 + "]" * 5_000, "not TOML: "),
        ('[desk]\nname = "a\\u0000b"', "desk.name: has control characters"),
        ('[exchange]\ntape = ["' + "a" * 5_000 + '"]', "exchange.tape: there is no "),
        ('[exchange]\ntape = ["a\\u0000b"]', "exchange.tape: has control characters"),
        ('"desk.name" = "x"', "desk.name: no such key"),
        ("desk.name.x = 1", "desk.name: is {…} (a table)"),
    ],
)
def test_values_without_bounds_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    """No text makes the loader trip."""
    (found,) = problems_of(tmp_path, text)
    assert problem in found


def test_a_time_needs_no_quotes(tmp_path: Path) -> None:
    """TOML has times of its own; an officer need not know that this key is a text."""
    config = load_text(tmp_path, "[exchange]\nstart = 09:29:30\n").config
    assert config.exchange.start == "09:29:30"


@pytest.mark.parametrize("text", ["9" * 5_000, "[" * 5_000])
def test_a_variable_without_bounds_is_refused(tmp_path: Path, text: str) -> None:
    """No variable makes the loader trip."""
    (problem,) = problems_of(tmp_path, "", {"DESKD_SANDBOX__PIDS": text})
    assert problem.startswith("DESKD_SANDBOX__PIDS: sandbox.pids: has control characters, or is beyond all bounds")


def test_port_is_read_past_while_there_is_no_web_section(tmp_path: Path) -> None:
    """PORT, which many hosts set, keeps no desk from starting."""
    assert load_text(tmp_path, "", {"PORT": "8080"}).config == load_text(tmp_path, "").config


def test_a_variable_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes of another encoding in the environment are named, not passed on."""
    (problem,) = problems_of(tmp_path, "", {"DESKD_DESK__NAME": "caf\udce9"})
    assert problem.startswith("DESKD_DESK__NAME: desk.name: has control characters")


KEYS = st.sampled_from(["desk", "name", "sandbox", "pids", "cpu", "risk.strategy", "tape", "exchange", "x", '"y z"'])
VALUES = st.sampled_from(
    ["1", "-1", "1.5", "nan", "true", '"a"', "[1]", "[]", "{}", "{a = 1}", "2020-01-01", "0x1", "'", "["]
)
LINES = st.one_of(st.builds("[{}]".format, KEYS), st.builds("{} = {}".format, KEYS, VALUES), st.text(max_size=12))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(LINES, max_size=6))
def test_any_text_gives_settings_or_a_clear_error(tmp_path: Path, lines: list[str]) -> None:
    """Whatever stands in the file, the loader judges it and does not break."""
    file = tmp_path / "desk.toml"
    file.write_text("\n".join(lines), encoding="utf-8", errors="ignore")
    problems = ""
    try:
        load(file, root=tmp_path, environment={})
    except ConfigError as error:
        problems = str(error)
    assert all(line.startswith(f"{file}:") for line in problems.splitlines())


def test_a_strategy_and_a_member_are_bounded_by_name(tmp_path: Path) -> None:
    """Each table under a name is checked like any other: place, key, rule, and the nearest key."""
    config = load_text(
        tmp_path, "[risk.members.alice]\ndaily_loss_max = 100\n[risk.strategies.alice_1]\nallocation = 500\n"
    ).config
    assert config.risk.members["alice"].daily_loss_max == Decimal(100)
    assert config.risk.strategies["alice_1"].allocation == Decimal(500)
    for text, problem in (
        ("[risk.members.alice]\ndaily_los_max = 1\n", "risk.members.alice.daily_los_max: no such key; did you mean"),
        ("[risk.members.alice]\nopen_orders_max = 0\n", "risk.members.alice.open_orders_max: is 0; allowed"),
        ("[risk.strategies]\nalice = 3\n", "risk.strategies.alice: no such key"),
        ('[risk.members."a b"]\nopen_orders_max = 1\n', "a b"),
    ):
        with pytest.raises(ConfigError, match=re.escape(problem)):
            load_text(tmp_path, text)
