"""A key that was changed on the disk is not yet the desk's: whoever looks is told, until it was started again."""

import os
from datetime import UTC, datetime
from pathlib import Path

from deskd.cli.credentials import changed_since_start, in_words, of_unit
from deskd.config.keys import read_keys


def written_after(moment: float, file: Path) -> None:
    """Write it when the file system's clock has moved on."""
    file.write_text("new")
    while file.stat().st_ctime <= moment:
        file.write_text("new")


def test_what_was_changed_after_the_start_is_named(tmp_path: Path) -> None:
    """By when it was put there, whatever date the file carries; what was there before is the desk's."""
    file = tmp_path / "desk.toml"
    for name in ("alpaca_key_id", "alpaca_secret_key", "other"):
        (tmp_path / name).write_text("old")
    since = (tmp_path / "alpaca_secret_key").stat().st_ctime + 0.001  # an instant is rounded to microseconds
    started = {"started_at": datetime.fromtimestamp(since, UTC).isoformat()}
    assert changed_since_start(started, file, installed=file) == []
    written_after(since, tmp_path / "alpaca_secret_key")
    os.utime(tmp_path / "alpaca_secret_key", (0, 0))
    written_after(since, tmp_path / "notification_routes")
    found = changed_since_start(started, file, installed=file)
    assert found == ["alpaca_secret_key", "notification_routes"]
    assert in_words(found).endswith("still has the old: alpaca_secret_key, notification_routes")


def test_another_desks_credentials_are_none_of_it(tmp_path: Path) -> None:
    """A desk in a checkout has its keys from its environment."""
    (tmp_path / "alpaca_key_id").write_text("new")
    elsewhere = tmp_path / "checkout" / "desk.toml"
    assert changed_since_start({}, elsewhere, installed=tmp_path / "desk.toml") == ()


def test_root_judges_the_keys_that_the_unit_loads(tmp_path: Path) -> None:
    """Before the desk is started again with them; nobody else can read them, and no other configuration leads there."""
    file = tmp_path / "desk.toml"
    assert of_unit(file, installed=file) is None
    (tmp_path / "alpaca_key_id").write_text("PK1\n")
    (tmp_path / "alpaca_secret_key").write_text("s3cr3t\n")
    found = of_unit(file, installed=file)
    assert found is not None
    assert read_keys(found) == ("PK1", "s3cr3t")
    assert of_unit(file) is None
