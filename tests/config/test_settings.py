"""The shipped etc/desk.toml is the settings tree, key by key."""

import re
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


def test_a_config_cannot_be_changed() -> None:
    """Settings are built once at start and handed on."""
    assert Config.model_config["frozen"]
    assert Config.model_config["extra"] == "forbid"


def test_a_config_reads_no_environment_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the loader gives sources: what a test or a room builds is what it wrote."""
    monkeypatch.setenv("DESKD_SANDBOX__PIDS", "99")
    monkeypatch.setenv("DESKD_DESK", "not even JSON")
    assert Config().sandbox.pids == Config.model_fields["sandbox"].default.pids
