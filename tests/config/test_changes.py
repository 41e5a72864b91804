"""What another desk.toml changes, and when each key of it counts."""

from decimal import Decimal
from pathlib import Path

import pytest

from deskd.config import Config
from deskd.config.changes import Applies, applies, changes, shown, values, with_applied
from deskd.config.leaves import leaves
from deskd.config.load import load


def a_config(folder: Path, text: str) -> Config:
    file = folder / "desk.toml"
    file.write_text(text)
    return load(file, root=folder, environment={}).config


def test_each_changed_key_is_named_with_both_values(tmp_path: Path) -> None:
    """Of sections, and of tables under a name: one that came, one that went."""
    old = a_config(tmp_path, '[risk.strategies.bob]\nallocation = "300"\n')
    new = a_config(
        tmp_path,
        "[risk.strategy]\nallocation = 2e4\n[sandbox]\nuid_first = 300_000\n[risk.members.ann]\nopen_orders_max = 3\n",
    )
    told = {str(change) for change in changes(old, new)}
    assert told == {
        "risk.strategy.allocation: 10000 -> 20000 (applied)",
        "sandbox.uid_first: 200000 -> 300000 (needs restart)",
        "risk.members.ann.open_orders_max: - -> 3 (applied)",
        "risk.strategies.bob.allocation: 300 -> - (applied)",
    }


def test_the_same_file_changes_nothing(tmp_path: Path) -> None:
    """An amount written in another way is the same amount."""
    old = a_config(tmp_path, '[risk.strategy]\nallocation = "20000"\n')
    assert changes(old, a_config(tmp_path, "[risk.strategy]\nallocation = 20000.00\n")) == ()


def test_what_needs_a_restart_stays_and_is_named_again(tmp_path: Path) -> None:
    """The desk goes by what it can take; the rest waits, seen at every look."""
    old = Config()
    new = a_config(tmp_path, '[desk]\nname = "x"\n[api]\nlocal_port = 8080\n[risk.strategies.bob]\nallocation = 5\n')
    mixed = with_applied(old, new)
    assert (mixed.desk.name, mixed.api.local_port) == ("x", 0)
    assert mixed.desk.state_dir == old.desk.state_dir
    assert mixed.risk.strategies["bob"].allocation == Decimal(5)
    assert {change.key for change in changes(mixed, new)} >= {"api.local_port"}
    assert "desk.name" not in {change.key for change in changes(mixed, new)}


def test_a_key_that_nobody_thought_of_needs_a_restart() -> None:
    """It must not look applied."""
    assert applies("tomorrow.key") is Applies.RESTART
    assert applies("broker.mode") is Applies.RESTART


@pytest.mark.parametrize(
    "section", ["risk.desk", "risk.member", "risk.strategy", "risk.schedule", "risk.automatic", "risk.breaker"]
)
def test_every_limit_is_applied_while_the_desk_runs(section: str) -> None:
    """Nobody stops a desk to tighten a limit."""
    waits = {key for key in leaves() if key.startswith(f"{section}.") and applies(key) is Applies.RESTART}
    assert waits == set()


def test_every_key_has_a_value_to_show() -> None:
    """The tree's own list and this one agree."""
    assert [key for key, _ in values(Config())] == list(leaves())


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("a.b", None, "-"),
        ("a.b", True, "true"),
        ("a.b", 0.5, "0.5"),
        ("a.b", 100.0, "100"),
        ("a.b", Decimal("0.10"), "0.1"),
        ("a.b", Decimal(1000), "1000"),
        ("a.b", ("SPY", "AAPL"), "SPY, AAPL"),
        ("notify.smtp_password", "hunter2", "***"),
        ("a.url", "https://ann:hunter2@host/x", "https://***@host/x"),
        ("a.urls", ("tgram://x/?auth=0123456789abcdef0123",), "tgram://x/?auth=***"),
    ],
)
def test_values_are_shown_as_people_write_them_and_secrets_never(key: str, value: object, text: str) -> None:
    """A diff goes into the log and the ledger."""
    assert shown(key, value) == text
