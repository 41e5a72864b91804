"""Every setting, with its value and where it came from."""

from pathlib import Path

from deskd.cli.settings import rows
from deskd.config.leaves import leaves


def test_every_key_is_shown_once(tmp_path: Path) -> None:
    """Nothing that the desk obeys is hidden from its officers."""
    file = tmp_path / "desk.toml"
    file.write_text('[market]\nsymbols = ["IBM", "BAC"]\n')
    shown = {row["key"]: row for row in rows(file, {})}
    assert leaves().keys() <= shown.keys()
    assert shown["market.symbols"]["value"] == "IBM, BAC"
    assert shown["exchange.loop"]["value"] == "true"
    assert shown["exchange.start"]["value"] == "-"


def test_half_a_pair_of_keys_is_told(tmp_path: Path) -> None:
    """A wrong environment is seen where one looks for it."""
    file = tmp_path / "desk.toml"
    file.write_text("")
    assert rows(file, {})[-1]["value"] == "not set"
    assert "APCA_API_SECRET_KEY: is not set" in rows(file, {"APCA_API_KEY_ID": "PK1"})[-1]["value"]


def test_an_installed_desks_keys_are_looked_for_where_its_unit_has_them(tmp_path: Path) -> None:
    """Who asks has another environment than the desk: its keys are set all the same, and masked."""
    file = tmp_path / "desk.toml"
    file.write_text("")
    assert rows(file, {}, installed=file)[-1]["value"] == "not set"
    (tmp_path / "alpaca_key_id").write_text("PK1\n")
    (tmp_path / "alpaca_secret_key").write_text("s3cr3t\n")
    assert rows(file, {}, installed=file)[-1]["value"] == "***"
    assert rows(file, {})[-1]["value"] == "not set", "they are no other desk's"
    (tmp_path / "alpaca_key_id").unlink()
    assert "alpaca_key_id: is not set" in rows(file, {}, installed=file)[-1]["value"]


def test_who_may_not_see_the_keys_is_told_so(tmp_path: Path) -> None:
    """A member who reads "not set" would look for what is not wrong."""
    file = tmp_path / "desk.toml"
    file.write_text("")
    (tmp_path / "alpaca_secret_key").symlink_to("alpaca_secret_key")  # nobody can look at it, root neither
    assert rows(file, {}, installed=file)[-1]["value"] == "not yours to see"
    assert rows(file, {})[-1]["value"] == "not set"
