"""The shipped etc/desk.toml is the settings tree, key by key."""

import re
import tomllib
from pathlib import Path

import pytest

from deskd.config import Config
from deskd.config.leaves import sections
from deskd.config.load import load

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "etc/desk.toml"


def test_the_shipped_file_says_what_is_true_without_it() -> None:
    """Every default in the file is the default of the code."""
    shipped = load(SHIPPED, root=ROOT, environment={}).config
    assert shipped == load(None, root=ROOT, environment={}).config
    assert Config().desk.name == shipped.desk.name


def test_the_shipped_file_names_every_key_once_in_its_section() -> None:
    """An officer finds every key in the file, with a comment."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in SHIPPED.read_text().splitlines():
        if header := re.match(r"\[(.+)\]", line):
            section = header[1]
        elif key := re.match(r"(?:# )?(\w+) = .*# \S", line):
            found.setdefault(section, []).append(key[1])
    assert found == {s.name: [leaf.name for leaf in s.leaves] for s in sections()}


def test_what_officers_and_scripts_write_keeps_its_name_and_default() -> None:
    """The keys that were promised to the outside: a file with all of them says what an empty one says."""
    promised = """
        [desk]
        state_dir = "var"
        runtime_dir = "var/run"
        strategies_dir = "strategies"
        [broker]
        paper = true
        allow_live_trading = false
        [exchange]
        listen = "127.0.0.1:0"
        tape = ["synthetic"]
        speed = 1.0
        loop = true
        seed = 1
        cash = "100000"
        [market]
        feed = "iex"
        symbols = ["SPY", "AAPL"]
        [sandbox]
        memory_mb = 512
        cpu = 0.5
        pids = 64
        tmp_mb = 64
        state_mb = 64
        open_files = 256
        stop_grace_s = 5
        unsafe_without_jail = false
        [api]
        [notify]
        [log]
    """
    known = {f"{s.name}.{leaf.name}" for s in sections() for leaf in s.leaves}
    read = Config.model_validate(tomllib.loads(promised), strict=False)
    assert read == Config()
    without_default = {
        "desk": ("name", "db_path"),
        "broker": ("mode", "trading_url", "data_url", "data_stream_url", "trade_stream_url"),
        "exchange": ("fills", "state"),
        "market": ("stale_after_s",),
        "sandbox": ("log_bytes_per_s", "python"),
        "restart": ("backoff_initial_s", "backoff_max_s", "healthy_after_s", "give_up_after"),
    }
    assert {f"{section}.{key}" for section, keys in without_default.items() for key in keys} <= known
    assert {"risk.desk", "risk.strategy", "risk.schedule"} <= {s.name for s in sections()}


def test_a_config_cannot_be_changed() -> None:
    """Settings are built once at start and handed on."""
    assert Config.model_config["frozen"]
    assert Config.model_config["extra"] == "forbid"


def test_a_config_reads_no_environment_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the loader gives sources: what a test or a room builds is what it wrote."""
    monkeypatch.setenv("DESKD_SANDBOX__PIDS", "99")
    monkeypatch.setenv("DESKD_DESK", "not even JSON")
    assert Config().sandbox.pids == Config.model_fields["sandbox"].default.pids
