"""What must hold between keys."""

from pathlib import Path

import pytest

from deskd.config.load import load
from deskd.domain.errors import ConfigError
from tests.config.test_load import load_text, problems_of

RULES = {
    "broker.paper: is false: that is real money; allowed only beside broker.allow_live_trading = true": (
        '[broker]\nmode = "alpaca"\npaper = false'
    ),
    'broker.paper: is false, but broker.mode = "embedded" trades no money; leave it out': (
        "[broker]\nallow_live_trading = true\npaper = false"
    ),
    'orders.conflict: is "cross": with real money no shares change hands past the broker; use "hold" or "deny"': (
        '[broker]\nmode = "alpaca"\nallow_live_trading = true\npaper = false\n[orders]\nconflict = "cross"'
    ),
    "sandbox.unsafe_without_jail: is true: strategies without a jail never trade real money; set it to false": (
        '[broker]\nmode = "alpaca"\nallow_live_trading = true\npaper = false\n[sandbox]\nunsafe_without_jail = true'
    ),
    "broker.trading_url: is not encrypted (http://): the keys would be readable on the way; allowed: https://": (
        '[broker]\ntrading_url = "http://broker.example"'
    ),
    'broker.data_stream_url: is "https://x"; allowed: an address like wss://HOST': (
        '[broker]\ndata_stream_url = "https://x"'
    ),
    'exchange.listen: is "8080"; allowed: HOST:PORT, as in 127.0.0.1:0 (0: any free port)': (
        '[exchange]\nlisten = "8080"'
    ),
    'exchange.start: is "noon"; allowed: HH:MM (New York), or a time as in 2013-10-08T13:30:00Z': (
        '[exchange]\nstart = "noon"'
    ),
    "risk.schedule.opens: is 16:00, not before risk.schedule.closes = 09:30": (
        '[risk.schedule]\nopens = "16:00"\ncloses = "09:30"'
    ),
    "risk.schedule.days: is ['mon', 'mon']; allowed: each once of mon, tue, wed, thu, fri, sat, sun": (
        '[risk.schedule]\ndays = ["mon", "mon"]'
    ),
    'exchange.tape: is empty; allowed: files or folders of recorded data, or "synthetic"': "[exchange]\ntape = []",
    'sandbox.packages: "numpy>=2" is no package; allowed: a name as in "numpy", or "numpy==2.5.5"': (
        '[sandbox]\npackages = ["numpy>=2"]'
    ),
    "sandbox.packages: names a package twice; name each once": '[sandbox]\npackages = ["TA-Lib", "ta_lib==0.8.2"]',
    "sandbox.requirements_index: has a user or a password in it (not shown); allowed: an address that needs none, or the "
    "absolute path of a folder": '[sandbox]\nrequirements_index = "https://me:hush@index/simple"',
    'sandbox.requirements_index: is "wheels"; allowed: an address like https://HOST, or the absolute path of a folder': (
        '[sandbox]\nrequirements_index = "wheels"'
    ),
    'metrics.listen: is "9464"; allowed: HOST:PORT, as in 127.0.0.1:9464, or "" (off)': ('[metrics]\nlisten = "9464"'),
    'metrics.listen: is "0.0.0.0:9464": other machines reach it; allowed: 127.0.0.1:9464, or metrics.allow_public = true beside it': (
        '[metrics]\nlisten = "0.0.0.0:9464"'
    ),
    "desk.state_dir: is empty; allowed: a path in quotes": '[desk]\nstate_dir = ""',
    'market.symbols: "spy" is no symbol; allowed: capital letters as in "SPY" or "BRK.B"': (
        '[market]\nsymbols = ["spy"]'
    ),
    "market.symbols: names a symbol twice; name each once": '[market]\nsymbols = ["SPY", "SPY"]',
    "restart.backoff_initial_s: is 9.0, over restart.backoff_max_s = 3.0; swap them": (
        "[restart]\nbackoff_initial_s = 9\nbackoff_max_s = 3"
    ),
    "sandbox.state_mb: is 64, not under sandbox.memory_mb = 64; /state counts as memory: lower it, or raise the other": (
        "[sandbox]\nstate_mb = 64\nmemory_mb = 64"
    ),
    "exchange.state: is the same file as desk.db_path: the exchange and the desk keep separate books": (
        '[desk]\ndb_path = "a.db"\n[exchange]\nstate = "a.db"'
    ),
}


@pytest.mark.parametrize(("problem", "text"), RULES.items())
def test_a_broken_rule_is_named_at_its_key(tmp_path: Path, problem: str, text: str) -> None:
    """What each key allows alone may still be wrong together."""
    (found,) = problems_of(tmp_path, text)
    assert found.endswith(problem)
    assert found.startswith("desk.toml:")


def test_a_tape_that_is_not_there_is_named_with_the_path_that_was_tried(tmp_path: Path) -> None:
    """A relative tape starts from the checkout, and the message says so."""
    (problem,) = problems_of(tmp_path, '[exchange]\ntape = ["tapes/ibm.csv"]')
    assert problem == (
        "desk.toml:2:1: exchange.tape: there is no tapes/ibm.csv; a relative path starts from " + str(tmp_path)
    )


def test_paths_are_taken_from_the_root_and_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths start from the checkout, ~ is the home of who starts the desk."""
    monkeypatch.setenv("HOME", "/home/ada")
    (tmp_path / "tapes").mkdir()
    text = '[desk]\nstate_dir = "~/state"\n[exchange]\ntape = ["tapes"]\n[sandbox]\npython = "env"\n'
    config = load_text(tmp_path, text).config
    assert config.desk.state_dir == Path("/home/ada/state")
    assert config.desk.db_path == Path("/home/ada/state/desk.db")
    assert config.exchange.tape == (str(tmp_path / "tapes"),)
    assert config.sandbox.python == tmp_path / "env"


def test_live_trading_needs_both_switches(tmp_path: Path) -> None:
    """Real money is traded only where two keys say so."""
    text = '[broker]\nmode = "alpaca"\npaper = false\nallow_live_trading = true\n'
    assert load_text(tmp_path, text).config.broker.paper is False


def test_a_rule_between_a_wrong_key_and_a_right_one_is_not_judged(tmp_path: Path) -> None:
    """A key whose own value is wrong is named once."""
    with pytest.raises(ConfigError) as caught:
        load(None, root=tmp_path, environment={"DESKD_EXCHANGE__LISTEN": "8080", "DESKD_BROKER__PAPER": "perhaps"})
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["broker.paper", "exchange.listen"]


@pytest.mark.parametrize(
    "text",
    ['listen = ""', 'listen = "[::1]:9464"', 'listen = "localhost:0"', 'listen = "10.0.0.5:9464"\nallow_public = true'],
)
def test_figures_go_where_the_configuration_says_in_so_many_words(text: str, tmp_path: Path) -> None:
    """Off, loopback, and what is public on purpose."""
    config = load_text(tmp_path, f"[metrics]\n{text}").config
    assert f'listen = "{config.metrics.listen}"' in text
