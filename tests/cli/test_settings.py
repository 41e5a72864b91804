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
